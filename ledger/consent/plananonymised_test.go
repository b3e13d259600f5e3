package consent_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// statistics is an anonymised disclosure that nothing is wrong with.
func statistics() *consent.Disclosure {
	return &consent.Disclosure{
		Recipient: "it-vendor", Purpose: "membership", Items: []string{"birth_date"}, Basis: "statistics",
		Form: consent.FormAnonymised, OccurredAt: noon,
	}
}

func TestAnAnonymisedDisclosureIsOfNoMemberAndRestsOnItsExemption(t *testing.T) {
	e, err := haim(t).PlanAnonymised(statistics(), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := consent.Event{
		Kind: consent.KindDisclosure, Policy: "haim", PolicyVersion: "2025-01-01", OccurredAtMs: noon.UnixMilli(),
		Purposes: []string{"membership"}, Items: []string{"birth_date"}, Recipient: "it-vendor", Business: "hosting of the shop",
		Basis: "statistics", Form: "anonymised",
	}
	encoded, wanted := must(e.Encode()), must(want.Encode())
	if !slices.Equal(encoded, wanted) {
		t.Error(cmp.Diff(want.View(), e.View()))
	}
}

func TestAnAnonymisedDisclosureIsHeldToThePolicyInTheOrderOfOthers(t *testing.T) {
	r := register(t, policies.Haim(), []byte(strings.Replace(small, "name: Shop,", "name: Haim Aesthetics,", 1)))
	for _, c := range []struct {
		what, code, field string
		kind              consent.RefusalKind
		change            func(*consent.Disclosure)
	}{
		{"a member", "member_id_not_allowed", "member_id", consent.Invalid, func(d *consent.Disclosure) { d.Member = must(consent.ParseMemberID("u-1")) }},
		{"another form", "invalid_form", "form", consent.Invalid, func(d *consent.Disclosure) { d.Form = consent.FormPseudonymised }},
		{"an order", "invalid_reference", "reference", consent.Invalid, func(d *consent.Disclosure) { d.Reference = "order-7" }},
		{"no items", "items_required", "items", consent.Invalid, func(d *consent.Disclosure) { d.Items = nil }},
		{"two policies", "purpose_ambiguous", "purpose", consent.Invalid, func(d *consent.Disclosure) { d.Purpose = "membership" }},
		{"an unknown purpose, before all else", "purpose_not_stated", "purpose", consent.Forbidden, func(d *consent.Disclosure) { d.Purpose, d.Basis, d.Recipient = "resale", "none", "nobody" }},
		{"no basis", "basis_not_allowed", "basis", consent.Forbidden, func(d *consent.Disclosure) { d.Basis, d.Recipient = "", "nobody" }},
		{"a basis that the policy does not list", "basis_not_allowed", "basis", consent.Forbidden, func(d *consent.Disclosure) { d.Basis, d.Recipient = "none", "nobody" }},
		{"a basis for data about members", "basis_not_allowed", "basis", consent.Forbidden, func(d *consent.Disclosure) { d.Basis, d.Recipient = "safety", "nobody" }},
		{"nobody", "recipient_not_registered", "recipient", consent.Forbidden, func(d *consent.Disclosure) { d.Recipient = "nobody" }},
		{"a recipient for another purpose", "recipient_not_allowed", "recipient", consent.Forbidden, func(d *consent.Disclosure) { d.Recipient = "payment-co" }},
		{"an item that the recipient does not get", "recipient_not_allowed", "recipient", consent.Forbidden, func(d *consent.Disclosure) { d.Items = []string{"shoe_size"} }},
	} {
		d := statistics()
		d.Purpose = "haim/membership"
		if _, err := r.PlanAnonymised(d, noon); err != nil {
			t.Fatalf("control: %v", err)
		}
		c.change(d)
		_, err := r.PlanAnonymised(d, noon)
		t.Run(c.what, func(t *testing.T) { wantRefusal(t, err, c.kind, c.code, c.field) })
	}
}

// What identifies nobody cannot stop at the state of somebody; and what is of a
// member stays a member's, whatever exemption it names.
func TestAMembersDisclosureCannotPassForAnonymised(t *testing.T) {
	b := buyer(t)
	d := statistics()
	_, err := b.disclose(d, noon)
	wantRefusal(t, err, consent.Invalid, "member_id_not_allowed", "member_id")
	d.Form = consent.FormPseudonymised
	_, err = b.disclose(d, noon)
	wantRefusal(t, err, consent.Forbidden, "basis_not_allowed", "basis")
	d.Basis, d.Items = "", []string{"name"}
	p := ok(t)(b.disclose(d, noon))
	if e := p.Entries[0].Event; e.Form != "pseudonymised" || e.RestsOn == nil {
		t.Errorf("form %q, rests on %v", e.Form, e.RestsOn)
	}
}
