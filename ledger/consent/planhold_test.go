package consent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

var nextYear = noon.AddDate(1, 0, 0)

func holdOn(classes ...string) *consent.Hold {
	return &consent.Hold{Classes: classes, Ground: "Seoul Central District Court 2026-1234", Until: nextYear}
}

func newsletterReader(t *testing.T) *book {
	t.Helper()
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
	return b
}

func TestAHoldIsRefusedByName(t *testing.T) {
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics").Replace(small)
	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		change      func(h *consent.Hold)
	}{
		{"classes_required", "classes", consent.Invalid, func(h *consent.Hold) { h.Classes = nil }},
		{"unknown_class", "classes[1]", consent.Invalid, func(h *consent.Hold) { h.Classes = append(h.Classes, "no-such-class") }},
		{"unknown_class", "classes[0]", consent.Invalid, func(h *consent.Hold) { h.Classes[0] = "other/newsletter" }},
		{"class_not_open", "classes[0]", consent.Conflict, func(h *consent.Hold) { h.Classes[0] = "contract" }},
		{"class_ambiguous", "classes[0]", consent.Invalid, func(h *consent.Hold) { h.Classes[0] = "membership" }},
		{"duplicate_class", "classes[1]", consent.Invalid, func(h *consent.Hold) { h.Classes = append(h.Classes, "haim/newsletter") }},
		{"ground_required", "ground", consent.Invalid, func(h *consent.Hold) { h.Ground = " " }},
		{"invalid_ground", "ground", consent.Invalid, func(h *consent.Hold) { h.Ground = strings.Repeat("x", 2049) }},
		{"invalid_until", "until", consent.Invalid, func(h *consent.Hold) { h.Until = time.Time{} }},
		{"invalid_until", "until", consent.Invalid, func(h *consent.Hold) { h.Until = noon }},
		{"invalid_until", "until", consent.Invalid, func(h *consent.Hold) { h.Until = noon.AddDate(30, 0, 1) }},
	} {
		t.Run(c.code, func(t *testing.T) {
			b := newBook(t, register(t, policies.Haim(), []byte(second)))
			ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
			other := haimConsent("member", grant("membership"))
			other.Policy = "second"
			ok(t)(b.consent(other, noon))
			h := holdOn("newsletter")
			c.change(h)
			_, err := b.hold(h, "hld_1", noon)
			wantRefusal(t, err, c.kind, c.code, c.field)
			ok(t)(b.hold(holdOn("newsletter", "second/membership"), "hld_1", noon)) // control
		})
	}
	_, err := newBook(t, haim(t)).hold(holdOn("newsletter"), "hld_1", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

// What a hold keeps is destroyed when it ends, without anybody asking.
func TestWhatIsHeldIsNotDestroyedUntilTheHoldEnds(t *testing.T) {
	key := consent.KeyName{Class: "haim/newsletter"}
	b := newsletterReader(t)
	p := ok(t)(b.hold(holdOn("newsletter"), "hld_1", noon))
	if d := cmp.Diff([]consent.KeyHold{{KeyName: key, Until: nextYear}}, p.SetHold); d != "" || p.Entries[0].Key != key || !p.Recheck {
		t.Errorf("recorded under %v, recheck %t: %s", p.Entries[0].Key, p.Recheck, d)
	}
	p = ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if len(p.Destroy) != 0 || len(p.SetDue) != 1 || p.SetDue[0] != (consent.KeyDue{KeyName: key, Due: noon}) {
		t.Errorf("destroys %v, due %v", p.Destroy, p.SetDue)
	}
	if d := cmp.Diff([]consent.Kept{{Class: "newsletter", Until: &nextYear, Basis: "legal hold"}}, p.Kept); d != "" {
		t.Error(d)
	}
	if a := b.ask("marketing", noon); a.Allowed || a.Reason != consent.ReasonWithdrawn {
		t.Errorf("what is held is used: %+v", a)
	}
	b.sweep(nextYear.Add(-time.Second))
	if b.key(key) < 0 {
		t.Fatal("destroyed before the hold ended")
	}
	b.sweep(nextYear)
	if b.key(key) >= 0 {
		t.Error("kept when the hold had ended")
	}
	if a := b.ask("marketing", nextYear); a.Reason != consent.ReasonWithdrawn {
		t.Errorf("%+v", a)
	}
}

func TestAMembershipThatIsHeldEndsAndIsDestroyedWithTheRelease(t *testing.T) {
	for _, when := range []string{"before the end", "after it"} {
		b := newsletterReader(t)
		if when == "before the end" {
			ok(t)(b.hold(holdOn("membership"), "hld_1", noon))
		} else {
			// Another hold keeps something, so that there is something left to hold.
			ok(t)(b.hold(&consent.Hold{Classes: []string{"membership"}, Ground: "a first ground", Until: noon.Add(time.Hour)}, "hld_0", noon))
		}
		p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
		if !p.Ended || !slices.Contains(p.Destroy, consent.KeyName{Class: "haim/newsletter"}) {
			t.Errorf("%s: ended %t, destroys %v", when, p.Ended, p.Destroy)
		}
		if len(p.Kept) != 1 || p.Kept[0].Class != "membership" || p.Kept[0].Basis != "legal hold" {
			t.Errorf("%s: kept %v", when, p.Kept)
		}
		if when == "after it" {
			ok(t)(b.hold(holdOn("membership"), "hld_1", noon.Add(time.Minute)))
			b.sweep(noon.Add(2 * time.Hour))
		}
		for _, a := range []consent.Answer{b.ask("membership", noon), b.ask("marketing", noon)} {
			if a.Allowed || a.Reason != consent.ReasonWithdrawn {
				t.Errorf("%s: %+v", when, a)
			}
		}
		if h := b.f.Holds(noon.Add(3 * time.Hour)); len(h) != 1 || h[0].Hold != "hld_1" || !slices.Equal(h[0].Classes, []string{"haim/membership"}) {
			t.Errorf("%s: holds %v", when, h)
		}
		p = ok(t)(b.release("hld_1", noon.Add(3*time.Hour)))
		if d := cmp.Diff([]consent.KeyName{{Class: "haim/membership"}}, p.Destroy); d != "" {
			t.Errorf("%s: %s", when, d)
		}
		if len(b.keys) != 0 {
			t.Errorf("%s: %d keys are left", when, len(b.keys))
		}
	}
}

func TestAHoldCanBeReleasedOnceAndOnlyByItsName(t *testing.T) {
	b := newsletterReader(t)
	ok(t)(b.hold(holdOn("newsletter"), "hld_1", noon))
	_, err := b.release("hld_2", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_hold", "id")
	p := ok(t)(b.release("hld_1", noon))
	if len(p.Destroy) != 0 || len(p.SetHold) != 1 || !p.SetHold[0].Until.IsZero() {
		t.Errorf("destroys %v, holds %v", p.Destroy, p.SetHold)
	}
	_, err = b.release("hld_1", noon)
	wantRefusal(t, err, consent.Conflict, "hold_finished", "id")

	ok(t)(b.hold(holdOn("newsletter"), "hld_3", noon))
	_, err = b.release("hld_3", nextYear)
	wantRefusal(t, err, consent.Conflict, "hold_finished", "id")
	_, err = newBook(t, haim(t)).release("hld_3", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

func TestOfTwoHoldsTheLongerOneRules(t *testing.T) {
	key := consent.KeyName{Class: "haim/newsletter"}
	for _, released := range []string{"hld_short", "hld_long"} {
		b := newsletterReader(t)
		ok(t)(b.hold(holdOn("newsletter"), "hld_long", noon))
		short := holdOn("newsletter")
		short.Until = noon.AddDate(0, 1, 0)
		p := ok(t)(b.hold(short, "hld_short", noon))
		if !p.SetHold[0].Until.Equal(nextYear) {
			t.Errorf("a shorter hold moves the end to %v", p.SetHold[0].Until)
		}
		ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
		p = ok(t)(b.release(released, noon))
		want := nextYear
		if released == "hld_long" {
			want = short.Until
		}
		if len(p.Destroy) != 0 || !p.SetHold[0].Until.Equal(want) {
			t.Errorf("%s: destroys %v, held until %v", released, p.Destroy, p.SetHold[0].Until)
		}
		b.sweep(want.Add(-time.Second))
		if b.key(key) < 0 {
			t.Errorf("%s: destroyed under the other", released)
		}
	}
}

func TestWhatIsMadeInAHeldClassIsHeld(t *testing.T) {
	b := newBook(t, haim(t))
	order := func(reference string, at time.Time) *consent.Plan {
		c := haimConsent("purchasing_member", grant("membership"), grant("delivery"))
		c.Reference, c.OccurredAt = reference, at
		return ok(t)(b.consent(c, at))
	}
	order("order-7", noon)
	ok(t)(b.hold(holdOn("shipping"), "hld_1", noon))
	p := order("order-8", noon)
	if d := cmp.Diff([]consent.KeyHold{{KeyName: consent.KeyName{Class: "haim/shipping", Reference: "order-8"}, Until: nextYear}}, p.SetHold); d != "" {
		t.Error(d)
	}
	if p := order("order-9", nextYear); len(p.SetHold) != 0 {
		t.Errorf("held after the hold ended: %v", p.SetHold)
	}
}

func TestWhatOnlyAHoldKeptIsInUseAgainAfterAnotherYes(t *testing.T) {
	key := consent.KeyName{Class: "haim/newsletter"}
	b := newsletterReader(t)
	ok(t)(b.hold(holdOn("newsletter"), "hld_1", noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if p := ok(t)(b.consent(haimConsent("member", refusal("marketing")), noon)); len(p.ClearDue) != 0 {
		t.Errorf("a no gives %v a use", p.ClearDue)
	}
	p := ok(t)(b.consent(haimConsent("member", grant("marketing")), noon))
	if d := cmp.Diff([]consent.KeyName{key}, p.ClearDue); d != "" {
		t.Error(d)
	}
	b.sweep(nextYear.AddDate(0, 0, 1))
	if a := b.ask("marketing", nextYear.AddDate(0, 0, 1)); !a.Allowed {
		t.Errorf("after the hold: %+v", a)
	}
}

func TestAnOrderThatEndedUnderAHoldCarriesNothing(t *testing.T) {
	key := consent.KeyName{Class: "haim/shipping", Reference: "order-7"}
	b := newBook(t, haim(t))
	order := haimConsent("purchasing_member", grant("membership"), grant("delivery"))
	order.Reference = "order-7"
	ok(t)(b.consent(order, noon))
	ok(t)(b.hold(holdOn("shipping"), "hld_1", noon))
	give := &consent.Disclosure{Recipient: "parcel-co", Purpose: "delivery", Items: []string{"name"}, Reference: "order-7", OccurredAt: noon}
	ok(t)(b.disclose(give, noon)) // control

	p := ok(t)(b.event(consent.EventDelivered, "order-7", noon))
	if len(p.Destroy) != 0 || len(p.Entries) != 1 || p.Entries[0].Key != key || p.Entries[0].Event.Kind != consent.KindEventEnd || p.Kept[0].Basis != "legal hold" {
		t.Errorf("%+v", p)
	}
	if a := b.ask("delivery", noon); a.Allowed || a.Reason != consent.ReasonNoConsent {
		t.Errorf("%+v", a)
	}
	_, err := b.disclose(give, noon)
	wantRefusal(t, err, consent.Forbidden, "no_effective_consent", "purpose")
	_, err = b.event(consent.EventDelivered, "order-7", noon)
	wantRefusal(t, err, consent.Conflict, "reference_unknown", "reference")

	p = ok(t)(b.consent(order, noon)) // the parcel came back and is sent again
	if d := cmp.Diff([]consent.KeyName{key}, p.ClearDue); d != "" {
		t.Error(d)
	}
	ok(t)(b.disclose(give, noon))
	p = ok(t)(b.event(consent.EventDelivered, "order-7", nextYear))
	if d := cmp.Diff([]consent.KeyName{key}, p.Destroy); d != "" {
		t.Errorf("after the hold: %s", d)
	}
}

func TestAHoldThatOutlastsTheLawIsNamedBesideIt(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership"), grant("order"), grant("complaints")), noon))
	h := holdOn("complaint", "purchasing_member")
	h.Until = noon.AddDate(4, 0, 0)
	ok(t)(b.hold(h, "hld_1", noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	for _, row := range p.Kept {
		held := strings.HasSuffix(row.Basis, "; legal hold")
		if want := row.Class == "complaint"; held != want || want && !row.Until.Equal(h.Until) {
			t.Errorf("%s is kept until %v: %s", row.Class, row.Until, row.Basis)
		}
	}
}

// Entries under a ratchet run out one by one; a release does not take those
// along whose time has not come.
func TestAReleaseDestroysOnlyWhatHasRunOut(t *testing.T) {
	made := func(last time.Time) *book {
		b := newBook(t, haim(t))
		c := haimConsent("purchasing_member", grant("membership"), grant("order"), grant("payment"))
		ok(t)(b.consent(c, noon))
		ok(t)(b.consent(haimConsent("purchasing_member", grant("payment")), last))
		h := holdOn("purchasing_member", "payment")
		h.Until = noon.AddDate(10, 0, 0)
		ok(t)(b.hold(h, "hld_1", noon))
		return b
	}
	key := consent.KeyName{Class: "haim/payment"}
	at := noon.AddDate(5, 0, 1)
	b := made(noon)
	b.sweep(at)
	if b.key(key) < 0 {
		t.Fatal("control: destroyed under the hold")
	}
	if a := b.ask("payment", at); a.Allowed || a.Reason != consent.ReasonNoConsent {
		t.Errorf("what has run out and is only held is used: %+v", a)
	}
	if p := ok(t)(b.release("hld_1", at)); len(p.Destroy) != 0 {
		t.Errorf("destroys %v, which the member's next order would be under", p.Destroy)
	}
	b.sweep(at)
	if slices.ContainsFunc(b.entries, func(l line) bool { return l.key == key && l.at.Equal(noon) }) {
		t.Error("what has run out stays after the release")
	}

	b = made(noon.AddDate(0, 0, 1))
	if p := ok(t)(b.release("hld_1", at.AddDate(0, 0, -1))); len(p.Destroy) != 0 {
		t.Errorf("destroys %v, whose newest entry may still be read", p.Destroy)
	}
	if a := b.ask("payment", at.AddDate(0, 0, -1)); !a.Allowed {
		t.Errorf("the newest entry carries it: %+v", a)
	}
	b.sweep(at.AddDate(0, 0, 1))
	if a := b.ask("payment", at.AddDate(0, 0, 1)); a.Allowed {
		t.Errorf("when its time has come as well: %+v", a)
	}
}

// Cutting off part of a second would end a hold early.
func TestAHoldNeverEndsEarly(t *testing.T) {
	b := newsletterReader(t)
	h := holdOn("newsletter")
	h.Until = nextYear.Add(time.Millisecond)
	p := ok(t)(b.hold(h, "hld_1", noon))
	if got := p.SetHold[0].Until; !got.Equal(nextYear.Add(time.Second)) {
		t.Errorf("held until %v", got)
	}
	if _, err := b.release("hld_1", h.Until); err != nil {
		t.Errorf("at its end as it was asked for: %v", err)
	}
}

func TestTheGroundOfAHoldIsTheOfficersAlone(t *testing.T) {
	b := newsletterReader(t)
	p := ok(t)(b.hold(holdOn("newsletter"), "hld_1", noon))
	e := p.Entries[0].Event
	if v := e.View().(consent.EventView); v.Ground != "" || v.Reason != "" || v.Hold != "hld_1" || !slices.Equal(v.Classes, []string{"newsletter"}) || !v.Until.Equal(nextYear) {
		t.Errorf("a row of the history shows %+v", v)
	}
	if v := e.OfficeView(); v.Ground != holdOn().Ground {
		t.Errorf("the officer sees %q", v.Ground)
	}
	if h := b.f.Holds(noon); len(h) != 1 || h[0].Ground != holdOn().Ground {
		t.Errorf("the officer sees %+v", h)
	}
	if h := b.f.Holds(nextYear); len(h) != 0 {
		t.Errorf("in force after its end: %+v", h)
	}
}

func TestAnOrderThatHasEndedAndIsOnlyHeldWaitsForNothingWhenTheMemberLeaves(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership"), grant("delivery"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	h := holdOn("shipping")
	ok(t)(b.hold(h, "hld_1", noon))
	ok(t)(b.event(consent.EventDelivered, "order-7", noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	for _, k := range p.Kept {
		if k.Class == "shipping" && (k.Until == nil || !k.Until.Equal(h.Until)) {
			t.Errorf("an order that was delivered is kept for its delivery: %+v", k)
		}
	}
	if got := keptRows(p.Kept); !strings.Contains(got, "shipping") {
		t.Errorf("kept: %s", got)
	}
}
