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

// A copy kept as proof is not where a purpose is recorded, also once the policy
// keeps its proof elsewhere.
func TestADisclosureIsNotRecordedWhereOnlyProofIsKept(t *testing.T) {
	src := amend(t, string(policies.Haim()), "purposes:\n", "evidence: {retention: complaint, ground: GDPR 17(3)(e)}\npurposes:\n",
		"    retention: promotion\n", "    retention: {member: promotion, purchasing_member: newsletter}\n")
	next := amend(t, src, `version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`,
		"evidence: {retention: complaint", "evidence: {retention: contract", "purchasing_member: newsletter}", "purchasing_member: health}")
	b := newBook(t, must(register(t, []byte(src)).With(must(consent.ParsePolicy([]byte(next))), noon)))
	c := haimConsent("member", grant("membership"), grant("promotion"))
	c.Reference = "event-1"
	ok(t)(b.consent(c, noon))
	ok(t)(b.event("event_ended", "event-1", noon))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("promotion")), noon))
	june := noon.AddDate(0, 3, 0)
	p := ok(t)(b.disclose(&consent.Disclosure{Recipient: "parcel-co", Purpose: "promotion", Items: []string{"name"}, OccurredAt: june}, june))
	if got := p.Entries[0].Key; got != (consent.KeyName{Class: "haim/newsletter"}) {
		t.Errorf("recorded under %v", got)
	}
	if findings, doubt := b.audit(); len(findings)+doubt != 0 {
		t.Errorf("%+v, %d in doubt", findings, doubt)
	}
}
