package consent

import (
	"encoding/hex"
	"time"
)

// States of a member.
const (
	StateActive    = "active"
	StateWithdrawn = "withdrawn"
)

// A MemberView is what GET /v1/members/{ref} shows.
type MemberView struct {
	State          string            `json:"state"`
	MemberKind     string            `json:"member_kind,omitempty"`  // under the policy decided on last
	MemberKinds    map[string]string `json:"member_kinds,omitempty"` // by policy
	Purposes       []PurposeView     `json:"purposes"`
	SuspendedItems []SuspendedView   `json:"suspended_items"`
	Disclosures    []DisclosureView  `json:"disclosures"`
}

// A PurposeView is a member's newest decision on a purpose.
type PurposeView struct {
	Policy        string    `json:"policy"`
	Purpose       string    `json:"purpose"`
	Decision      string    `json:"decision"` // granted, refused, withdrawn
	Items         []string  `json:"items,omitempty"`
	Recipients    []string  `json:"recipients,omitempty"`
	PolicyVersion string    `json:"policy_version"`
	RecordedAt    time.Time `json:"recorded_at"`
	Index         uint64    `json:"index"`
	Allowed       bool      `json:"allowed"` // what a decision on it says now
	Reason        string    `json:"reason"`  // and why
}

// A SuspendedView is an item under correction.
type SuspendedView struct {
	Item       string    `json:"item"`
	Correction string    `json:"correction"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// A DisclosureView is a disclosure that was made.
type DisclosureView struct {
	Recipient  string    `json:"recipient"`
	Policy     string    `json:"policy"`
	Purpose    string    `json:"purpose"`
	Items      []string  `json:"items"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// View returns the member's state. Of a member who has left it shows that, and
// no more. Lists are empty rather than nil.
func (f *Fold) View(r *Register, now time.Time) MemberView {
	v := MemberView{State: StateActive, Purposes: []PurposeView{}, SuspendedItems: []SuspendedView{}, Disclosures: []DisclosureView{}}
	if f.withdrawn {
		v.State = StateWithdrawn
		return v
	}
	var newest uint64
	for i := range f.kinds {
		if v.MemberKinds == nil {
			v.MemberKinds = map[string]string{}
		}
		v.MemberKinds[f.kinds[i].policy] = f.kinds[i].kind
		v.MemberKind = f.kinds[i].kind
	}
	for i := range f.purposes {
		s := &f.purposes[i]
		if k := f.kind(s.policy); s.index >= newest && k != "" {
			newest, v.MemberKind = s.index, k
		}
		a := r.Decide(f, &Question{Purpose: s.policy + "/" + s.purpose}, now)
		v.Purposes = append(v.Purposes, PurposeView{
			Policy: s.policy, Purpose: s.purpose, Decision: s.decision.String(), Items: s.items, Recipients: s.recipients,
			PolicyVersion: s.version, RecordedAt: s.at, Index: s.index, Allowed: a.Allowed, Reason: a.Reason,
		})
	}
	for _, s := range f.suspended {
		v.SuspendedItems = append(v.SuspendedItems, SuspendedView{s.item, s.correction, s.at, s.index})
	}
	for i := range f.disclosures {
		d := &f.disclosures[i]
		v.Disclosures = append(v.Disclosures, DisclosureView{d.recipient, d.policy, d.purpose, d.items, d.at, d.index})
	}
	return v
}

// An EventView is what a row of /history shows of an entry's body.
type EventView struct {
	Kind          string         `json:"kind"`
	Policy        string         `json:"policy,omitempty"`
	PolicyVersion string         `json:"policy_version,omitempty"`
	MemberKind    string         `json:"member_kind,omitempty"`
	OccurredAt    *time.Time     `json:"occurred_at,omitempty"`
	Evidence      bool           `json:"evidence,omitempty"` // a copy kept as proof
	Decisions     []DecisionView `json:"decisions,omitempty"`
	Method        string         `json:"method,omitempty"`
	Locale        string         `json:"locale,omitempty"`
	ShownDigest   string         `json:"shown_digest,omitempty"`
	Age           string         `json:"age,omitempty"`
	Guardian      *GuardianView  `json:"guardian,omitempty"`
	Reference     string         `json:"reference,omitempty"`
	Scope         string         `json:"scope,omitempty"`
	Purposes      []string       `json:"purposes,omitempty"`
	Purpose       string         `json:"purpose,omitempty"`
	Items         []string       `json:"items,omitempty"`
	Correction    string         `json:"correction,omitempty"`
	Changes       []ChangeView   `json:"changes,omitempty"`
	Outcome       string         `json:"outcome,omitempty"`
	Reason        string         `json:"reason,omitempty"`
	Recipient     string         `json:"recipient,omitempty"`
	Business      string         `json:"business,omitempty"`
	Basis         string         `json:"basis,omitempty"`
	RestsOn       *uint64        `json:"rests_on,omitempty"`
	Form          string         `json:"form,omitempty"`
	Who           string         `json:"who,omitempty"`
	From          string         `json:"from,omitempty"`
	What          string         `json:"what,omitempty"`
}

// A DecisionView is a Decision as it is shown.
type DecisionView struct {
	Purpose    string   `json:"purpose"`
	Decision   string   `json:"decision"`
	Items      []string `json:"items,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
}

// A GuardianView is a GuardianProof as it is shown.
type GuardianView struct {
	Reference  string    `json:"reference"`
	Method     string    `json:"method"`
	VerifiedAt time.Time `json:"verified_at"`
}

// A ChangeView is a ChangeValue as it is shown to those who may see values.
type ChangeView struct {
	Item string  `json:"item"`
	Old  *string `json:"old,omitempty"`
	New  *string `json:"new,omitempty"`
}

// View returns the event as a row of /history shows it: an EventView, ready
// for JSON.
func (e Event) View() any {
	v := EventView{
		Kind: e.Kind.String(), Policy: e.Policy, PolicyVersion: e.PolicyVersion, MemberKind: e.MemberKind, Evidence: e.Copy,
		Method: e.Method, Locale: e.Locale, ShownDigest: hex.EncodeToString(e.ShownDigest), Age: e.Age.String(), Reference: e.Reference,
		Purposes: e.Purposes, Items: e.Items, Correction: e.Correction, Outcome: e.Outcome, Reason: e.Reason,
		Recipient: e.Recipient, Business: e.Business, Basis: e.Basis, RestsOn: e.RestsOn, Form: e.Form, Who: e.Who, From: e.From, What: e.What,
	}
	if e.OccurredAtMs != 0 {
		t := time.UnixMilli(e.OccurredAtMs).UTC()
		v.OccurredAt = &t
	}
	if e.Membership {
		v.Scope = "membership"
	}
	if e.Kind == KindDisclosure {
		v.Purposes = nil
		if len(e.Purposes) > 0 {
			v.Purpose = e.Purposes[0]
		}
		if v.Form == "" {
			v.Form = FormIdentified
		}
	}
	if g := e.Guardian; g != nil {
		v.Guardian = &GuardianView{g.Reference, g.Method, time.UnixMilli(g.VerifiedAtMs).UTC()}
	}
	for _, d := range e.Decisions {
		said := stateRefused
		if d.Granted {
			said = stateGranted
		}
		v.Decisions = append(v.Decisions, DecisionView{d.Purpose, said.String(), d.Items, d.Recipients})
	}
	for _, c := range e.Changes {
		v.Changes = append(v.Changes, ChangeView(c))
	}
	return v
}
