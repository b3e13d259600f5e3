package consent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// Whoever takes back every item of a purpose, one by one or together, takes
// back the purpose: what was kept for it goes.
func TestTheClassOfAPurposeEndsWithItsLastItem(t *testing.T) {
	src := amend(t, string(policies.Haim()), "items: {mandatory: [email], optional: [name, telephone]}", "items: {optional: [email, name, telephone]}")
	letters := []consent.KeyName{{Class: "haim/newsletter"}}
	for what, steps := range map[string][][]string{
		"together":   {{"email", "telephone"}},
		"one by one": {{"email"}, {"telephone"}},
	} {
		b := newBook(t, register(t, []byte(src)))
		ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing", "email", "telephone")), noon))
		for i, items := range steps {
			p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}, Items: items}, noon))
			want := letters
			if i < len(steps)-1 {
				want = nil
			}
			if d := cmp.Diff(want, p.Destroy); d != "" {
				t.Errorf("%s, step %d: %s", what, i+1, d)
			}
		}
		if a := b.ask("marketing", noon); a.Allowed || a.Reason != consent.ReasonWithdrawn {
			t.Errorf("%s: %+v", what, a)
		}
	}
}

// A no where a yes stood takes it back, but it is no withdrawal: the class ends
// once the member withdraws, which they still can.
func TestWhoSaidNoAfterAYesCanStillEndTheClass(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
	ok(t)(b.consent(haimConsent("member", refusal("marketing")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if d := cmp.Diff([]consent.KeyName{{Class: "haim/newsletter"}}, p.Destroy); d != "" {
		t.Error(d)
	}
	_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon)
	wantRefusal(t, err, consent.Conflict, "nothing_to_withdraw", "")
}
