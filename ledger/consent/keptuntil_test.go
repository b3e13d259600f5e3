package consent_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

// Who reads what is kept apart is told the end and the law that the member was
// told on leaving: of what was a member's before they bought, of a class whose
// entries run out one by one, and of what a hold keeps longer or alone.
func TestWhatIsKeptApartIsKeptForAsLongAsTheWithdrawalSaid(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
	c := haimConsent("purchasing_member", grant("order"), grant("payment"), grant("complaints"), grant("delivery"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("order")), noon.AddDate(2, 0, 0)))
	h := holdOn("newsletter", "complaint")
	h.Until = noon.AddDate(9, 0, 0)
	ok(t)(b.hold(h, "hld_1", noon))
	left := noon.AddDate(2, 0, 1)
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, left))

	said := map[string]consent.Kept{}
	for _, row := range p.Kept {
		said[row.Class] = consent.Kept{Until: row.Until, Basis: row.Basis}
	}
	if len(said) != 7 || len(b.keys) != 7 {
		t.Fatalf("kept: %v, keys: %v", p.Kept, b.keys)
	}
	for _, k := range b.keys {
		var is consent.Kept
		is.Until, is.Basis = b.r.KeptUntil(b.f, k, left.AddDate(0, 6, 0))
		if d := cmp.Diff(said[k.Class.Name()], is); d != "" {
			t.Errorf("%s: %s", k.Class, d)
		}
	}

	// What the law no longer keeps, and the hold still does.
	for _, k := range b.keys {
		if k.Class != "haim/complaint" {
			continue
		}
		if until, basis := b.r.KeptUntil(b.f, k, noon.AddDate(4, 0, 0)); until == nil || !until.Equal(h.Until) || basis != "legal hold" {
			t.Errorf("a complaint of four years ago is kept until %v: %s", until, basis)
		}
	}

	// Of a member who is dormant nothing has begun to run but what runs by itself.
	d := newBook(t, haim(t))
	ok(t)(d.consent(haimConsent("purchasing_member", grant("membership"), grant("order")), noon))
	for _, k := range d.keys {
		until, basis := d.r.KeptUntil(d.f, k, noon.AddDate(2, 0, 0))
		if runs := k.Class == "haim/contract" || k.Class == "haim/access"; (until != nil) != runs || basis == "" {
			t.Errorf("%s of a dormant member is kept until %v: %s", k.Class, until, basis)
		}
	}
}
