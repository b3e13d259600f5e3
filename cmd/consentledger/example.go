package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// exampleMember is who the printed calls are about.
const exampleMember = "demo-member-1"

// printExample prints three calls that work one after the other: a consent
// that enrols, a decision, a withdrawal; and what each will answer. They are
// made from the policy, and tried on its rules before they are printed.
func printExample(w io.Writer, policy []byte, url, key string) {
	now := time.Now()
	x, err := newExample(policy, now)
	if err != nil {
		fmt.Fprintf(w, "no calls to try are shown: %v\n\n", err)
		return
	}
	class := `"class":"…"`
	entry := `{"index":…,"leaf_hash":"…",` + class + `}`
	fmt.Fprint(w, "three calls to try, from another terminal:\n\n")
	x.call(w, "a consent, which enrols the member", url+"/v1/consents", key, x.consent,
		`201 {"member":"mbr_…","entries":[`+entry+`,…],"recorded_at":"…"}`)
	x.call(w, "a decision: may this purpose use the member's data now?", url+"/v1/decisions", key, api.Question{MemberID: exampleMember, Purpose: x.asked},
		`200 {"allowed":true,"reason":"consent_in_force","index":…,"policy_version":"`+x.consent.PolicyVersion+`"}`)
	x.call(w, "a withdrawal, which destroys what only the membership justified", url+"/v1/withdrawals", key, api.Withdrawal{MemberID: exampleMember, Scope: "membership"},
		`201 {"entries":[`+entry+`,…],"destroyed":{"keys":…,"entries":…},"kept":[…],"notify":[…],"recorded_at":"…"}`)
}

func (x *example) call(w io.Writer, what, url, key string, body any, answer string) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and booleans
	}
	fmt.Fprintf(w, "# %s\ncurl -sS %s -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '%s'\n# answers %s\n\n",
		what, url, key, strings.ReplaceAll(string(b), "'", `'\''`), answer)
}

// example is a member's consent that a policy accepts.
type example struct {
	consent api.Consent
	asked   string // a purpose that it grants
}

func newExample(policy []byte, now time.Time) (*example, error) {
	p, err := consent.ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	reg, err := consent.NewRegister().With(p, now)
	if err != nil {
		return nil, err
	}
	kind := p.MemberKinds()[0]
	x := &example{consent: api.Consent{
		MemberID: exampleMember, Enrol: true, MemberKind: kind, Policy: p.ID(), PolicyVersion: p.Version(),
		Method: "checkbox", Locale: p.Languages()[0], OccurredAt: now.UTC().Format(time.RFC3339),
		MinimumAgeConfirmed: p.MinimumAge() > 0,
	}}
	own, _ := p.MembershipClass(kind)
	for _, pu := range p.Purposes() {
		if !pu.AsksConsent() || len(pu.Mandatory) == 0 || len(pu.MemberKinds) > 0 && !slices.Contains(pu.MemberKinds, kind) {
			continue
		}
		switch {
		case pu.Kind == consent.PurposeCollection && pu.Class(kind) == own.Name():
			x.consent.Decisions = append(x.consent.Decisions, api.Decision{Purpose: pu.ID, Decision: "granted"})
			if x.asked == "" {
				x.asked = pu.ID
			}
		case pu.Kind == consent.PurposeMarketing:
			x.consent.Decisions = append(x.consent.Decisions, api.Decision{Purpose: pu.ID, Decision: "granted"})
			x.asked = pu.ID
		}
	}
	if x.asked == "" {
		return nil, fmt.Errorf("the policy asks %ss for no consent that an example could give", kind)
	}
	return x, x.tried(reg, now)
}

// tried holds the example to the rules that the server will hold it to.
func (x *example) tried(reg *consent.Register, now time.Time) error {
	id, err := consent.ParseMemberID(exampleMember)
	if err != nil {
		return err
	}
	c := &consent.Consent{
		Member: id, Enrol: true, MemberKind: x.consent.MemberKind, Policy: x.consent.Policy, PolicyVersion: x.consent.PolicyVersion,
		Method: x.consent.Method, Locale: x.consent.Locale, OccurredAt: now, MinimumAgeConfirmed: x.consent.MinimumAgeConfirmed,
	}
	for _, d := range x.consent.Decisions {
		c.Decisions = append(c.Decisions, consent.Decision{Purpose: d.Purpose, Granted: true})
	}
	_, err = reg.PlanConsent(nil, nil, c, now)
	return err
}
