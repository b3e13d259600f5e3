package consent_test

import (
	"strings"
	"testing"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// A raffle's no is no word on another raffle, whichever ends first.
func TestAYesToAnEventStandsBesideANoToAnother(t *testing.T) {
	raffle := func(b *book, reference string, d consent.Decision) {
		t.Helper()
		c := haimConsent("member", d)
		c.Reference = reference
		ok(t)(b.consent(c, noon))
	}
	asked := func(b *book, reference string, items ...string) consent.Answer {
		return b.r.Decide(b.f, &consent.Question{Purpose: "promotion", Reference: reference, Items: items}, noon)
	}
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	raffle(b, "1", grant("promotion", "name", "email", "telephone"))
	raffle(b, "2", refusal("promotion"))
	raffle(b, "3", grant("promotion", "name", "email"))
	for _, c := range []struct {
		reference string
		items     []string
		want      string
	}{
		{"", nil, "consent_in_force"},
		{"", []string{"telephone"}, "consent_in_force"},
		{"1", []string{"telephone"}, "consent_in_force"},
		{"2", nil, "refused"},
		{"2", []string{"email"}, "refused"},
		{"3", nil, "consent_in_force"},
		{"3", []string{"telephone"}, "item_not_consented"},
		{"4", nil, "no_consent"},
	} {
		if a := asked(b, c.reference, c.items...); a.Reason != c.want || a.Allowed != (c.want == "consent_in_force") {
			t.Errorf("raffle %q, %v: %+v, want %s", c.reference, c.items, a, c.want)
		}
	}
	ok(t)(b.event(consent.EventEnded, "1", noon))
	if a := asked(b, "", "telephone"); a.Allowed {
		t.Errorf("the only yes to it has ended: %+v", a)
	}
	ok(t)(b.event(consent.EventEnded, "3", noon))
	if a := asked(b, ""); a.Allowed || a.Reason != consent.ReasonRefused {
		t.Errorf("only the no is left: %+v", a)
	}
	raffle(b, "5", grant("promotion"))
	ok(t)(b.event(consent.EventEnded, "2", noon))
	if a := asked(b, ""); !a.Allowed {
		t.Errorf("the no has ended, and the yes stands: %+v", a)
	}
}

func TestAWithdrawalTakesBackTheYesToEveryEvent(t *testing.T) {
	made := func() *book {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
		for _, d := range []struct {
			reference string
			consent.Decision
		}{{"1", grant("promotion", "name", "email", "telephone")}, {"2", grant("promotion", "name", "email")}, {"3", refusal("promotion")}} {
			c := haimConsent("", d.Decision)
			c.Reference = d.reference
			ok(t)(b.consent(c, noon))
		}
		return b
	}
	b := made()
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"promotion"}, Items: []string{"telephone"}}, noon))
	if a := b.ask("promotion", noon, "telephone"); a.Allowed {
		t.Errorf("withdrawn: %+v", a)
	}
	if a := b.ask("promotion", noon, "email"); !a.Allowed {
		t.Errorf("another item: %+v", a)
	}
	_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{"promotion"}, Items: []string{"telephone"}}, noon)
	wantRefusal(t, err, consent.Conflict, "nothing_to_withdraw", "")

	b = made()
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"promotion"}}, noon))
	if len(p.Destroy) != 3 {
		t.Errorf("destroys %v", p.Destroy)
	}
	if a := b.ask("promotion", noon); a.Allowed || a.Reason != consent.ReasonWithdrawn {
		t.Errorf("%+v", a)
	}
}

// What one policy forbids is not allowed by forgetting it.
func TestAPlainNameIsAskedOfEveryPolicyOfTheMember(t *testing.T) {
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics").Replace(small)
	b := newBook(t, register(t, policies.Haim(), []byte(second)))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("partner_offers")), noon))
	if a := b.ask("partner_offers", noon); !a.Allowed {
		t.Errorf("control: %+v", a)
	}
	c := haimConsent("member", grant("membership"), refusal("partner_offers"))
	c.Policy = "second"
	ok(t)(b.consent(c, noon))
	for _, want := range []string{consent.ReasonRefused, consent.ReasonNoConsent} {
		if a := b.ask("partner_offers", noon); a.Allowed || a.Reason != want {
			t.Errorf("%+v, want %s", a, want)
		}
		if b.key(consent.KeyName{Class: "second/partners"}) >= 0 {
			if err := b.commit(&consent.Plan{Destroy: []consent.KeyName{{Class: "second/partners"}}}, nil, noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a := b.ask("haim/partner_offers", noon); !a.Allowed {
		t.Errorf("asked of one: %+v", a)
	}
}
