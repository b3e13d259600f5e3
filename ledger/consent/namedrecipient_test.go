package consent_test

import (
	"strings"
	"testing"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// A consent may name recipients of any purpose. What it named must not become
// somebody else under it, whatever the kind of the purpose.
func TestARecipientThatWasNamedDoesNotBecomeAnotherForAPurposeOfAnyKind(t *testing.T) {
	vendor := "kind: processor\n    country: KR\n    purposes: [membership"
	for what, change := range map[string]struct {
		pairs []string
		asked bool
	}{
		"another contact":                   {[]string{"dpo@haim.example", "officer@haim.example"}, false}, // the control
		"another company, and an authority": {[]string{"name: IT vendor (placeholder)", "name: Police", vendor, strings.Replace(vendor, "processor", "authority", 1)}, true},
	} {
		b := newBook(t, haim(t))
		d := grant("membership")
		d.Recipients = []string{"it-vendor"}
		ok(t)(b.consent(haimConsent("member", d), noon))
		next := amend(t, string(policies.Haim()), append(change.pairs, `version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`)...)
		b.r = must(b.r.With(must(consent.ParsePolicy([]byte(next))), noon))
		later := noon.AddDate(0, 6, 0)
		a := b.r.Decide(b.f, &consent.Question{Purpose: "membership", Items: []string{"email"}, Recipient: "it-vendor"}, later)
		if a.Allowed == change.asked {
			t.Errorf("%s: %+v", what, a)
		}
		_, err := b.r.PlanDisclosure(b.f, b.keys, &consent.Disclosure{Recipient: "it-vendor", Purpose: "membership", Items: []string{"email"}, OccurredAt: later}, later)
		if (err == nil) == change.asked {
			t.Errorf("%s: disclosed: %v", what, err)
		}
	}
}

// Members said yes to an authority by name, too: it gets no more than they were
// told of unless they are asked again.
func TestAnAuthorityThatConsentsNameGetsNoMoreBetweenVersions(t *testing.T) {
	src := amend(t, string(policies.Haim()), "exemptions:\n", "  city-hall: {name: City hall, business: subsidies, kind: authority, purposes: [partner_offers], items: [email]}\n\nexemptions:\n")
	src = amend(t, src, "exemptions:\n", "  tax-office: {name: City hall, business: subsidies, kind: authority, purposes: [payment], items: [name]}\n\nexemptions:\n")
	r := register(t, []byte(src))
	change := func(id, purpose string, items ...string) error {
		_, err := r.WithRecipient(&consent.RecipientChange{
			Policy: "haim", ID: id, Announced: "2026-03-10", Reason: "r",
			Recipient: consent.Recipient{Name: "City hall", Business: "subsidies", Kind: "authority", Purposes: []string{purpose}, Items: items, From: "2026-04-09"},
		}, noon)
		return err
	}
	for what, err := range map[string]error{
		"the same": change("city-hall", "partner_offers", "email"), "more, where no consent is asked for": change("tax-office", "payment", "name", "payment_record"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantRefusal(t, change("city-hall", "partner_offers", "email", "name"), consent.Invalid, "needs_policy_version", "recipient")
}
