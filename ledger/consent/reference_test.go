package consent_test

import (
	"testing"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// For one kind of member a class may end by an event and for another not. A yes
// to one order stays a yes to that one.
func TestAYesToOneOrderCarriesNoDisclosureForAnotherWhateverTheClassIsNow(t *testing.T) {
	src := amend(t, string(policies.Haim()), "    retention: promotion\n", "    retention: {member: promotion, purchasing_member: purchasing_member}\n")
	b := newBook(t, register(t, []byte(src)))
	c := haimConsent("member", grant("membership"), grant("promotion"))
	c.Reference = "event-1"
	ok(t)(b.consent(c, noon))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
	for reference, want := range map[string]bool{"event-1": true, "event-2": false} {
		q := &consent.Question{Purpose: "promotion", Items: []string{"email"}, Reference: reference}
		if a := b.r.Decide(b.f, q, noon); a.Allowed != want {
			t.Errorf("decided for %s: %+v", reference, a)
		}
		d := &consent.Disclosure{Recipient: "parcel-co", Purpose: "promotion", Items: []string{"name"}, Reference: reference, OccurredAt: noon}
		_, err := b.r.PlanDisclosure(b.f, b.keys, d, noon)
		if (err == nil) != want {
			t.Errorf("given for %s: %v", reference, err)
		}
	}
}
