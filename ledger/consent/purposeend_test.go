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

// A look at what is kept is recorded in the access class, which may count from
// a withdrawal that has been.
func TestALookAtWhatIsKeptIsItselfNotKeptForEver(t *testing.T) {
	src := amend(t, string(policies.Haim()), "access: {keep: 24mo, from: entry,", "access: {keep: 24mo, from: withdrawal,")
	b := newBook(t, register(t, []byte(src)))
	c := haimConsent("purchasing_member", grant("membership"))
	ok(t)(b.consent(c, noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	ok(t)(b.look(&consent.Access{Who: "op", Reason: "because"}, noon.AddDate(1, 0, 0)))
	if b.key(consent.KeyName{Class: "haim/access"}) < 0 {
		t.Fatal("the look is not on record")
	}
	for _, k := range b.keys {
		if k.Due.IsZero() {
			t.Errorf("a key of %s has no end", k.Class)
		}
	}
	b.sweep(noon.AddDate(6, 0, 0))
	if len(b.keys) != 0 {
		t.Errorf("years later there are %d keys", len(b.keys))
	}
}
