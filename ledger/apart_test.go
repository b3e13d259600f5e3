package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func TestWhatIsKeptApartIsReadOnlyOnTheGroundThatKeepsIt(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	a := mustDo(t, l, order(t, id, "order-1", w))
	why := Look{Reason: "claim 12"}
	if _, err := l.Kept(t.Context(), dpo, a.Member, why, "purchase"); !isRefusal(err) {
		t.Errorf("of an active member: %v", err)
	}
	mustDo(t, l, leave(t, id))
	if _, err := l.Member(t.Context(), dpo, a.Member, why); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("by the ordinary call: %v", err)
	}
	for _, who := range []Caller{writer, admin, {KeyID: "key_reader", Role: RoleReader}, {KeyID: "key_auditor", Role: RoleAuditor}} {
		if _, err := l.Kept(t.Context(), who, a.Member, why, "purchase"); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", who.Role, err)
		}
	}
	before := l.Size()
	if _, err := l.Kept(t.Context(), dpo, a.Member, why, "newsletter"); !errors.Is(err, ErrUnknownGround) {
		t.Errorf("on a ground that keeps nothing: %v", err)
	}
	if l.Size() != before {
		t.Errorf("a refused look was recorded")
	}
	k, err := l.Kept(t.Context(), dpo, a.Member, why, "purchase")
	if err != nil {
		t.Fatal(err)
	}
	if k.State != StateWithdrawn || k.Basis != "E-Commerce Act" || k.Until == nil || len(k.Entries) != 1 || k.Entries[0].Class != "purchase" {
		t.Errorf("kept: %+v", k)
	}
	if l.Size() != before+1 {
		t.Errorf("%d entries for one look", l.Size()-before)
	}
	// The look is itself kept, and readable on its own ground.
	looks, err := l.Kept(t.Context(), dpo, a.Member, why, "access")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range looks.Entries {
		found = found || e.Event.What == "kept:purchase" && e.Event.Reason == "claim 12"
	}
	if !found {
		t.Errorf("the look is not on record: %d rows", len(looks.Entries))
	}
	verifyAll(t, l)
}

func TestAnEventThatEndsForEverybodyEndsAcrossARestart(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	const members = sweepBatch + 20
	for i := range members {
		mustDo(t, l, enrolment(t, memberName(i), w))
		ref := "parcel-1"
		if i%7 == 0 {
			ref = "parcel-2"
		}
		mustDo(t, l, order(t, memberName(i), ref, w))
	}
	gone := mustDo(t, l, leave(t, memberName(1))) // shipping is open, and so kept
	if !keeps(gone, "shipping") {
		t.Fatalf("kept: %+v", gone.Kept)
	}
	if d := decide(t, l, memberName(2), "delivery"); !d.Allowed {
		t.Fatalf("before the end: %+v", d)
	}
	e := &consent.EventEnd{Type: consent.EventDelivered, Reference: "parcel-1", OccurredAt: w.clock.Now()}
	if _, err := l.EndEvent(t.Context(), dpo, e); err != nil {
		t.Fatal(err)
	}
	l = w.reopen(t, l) // most likely in the middle of it
	if _, err := l.EndEvent(t.Context(), dpo, e); !isRefusal(err) {
		t.Errorf("ended a second time: %v", err)
	}
	ended := func() bool { return len(l.endings.unfinished()) == 0 }
	for end := time.Now().Add(20 * time.Second); !ended() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	if !ended() {
		t.Fatal("the end was not brought to its end")
	}
	for i := range members {
		d := decide(t, l, memberName(i), "delivery")
		if i != 1 && d.Allowed != (i%7 == 0) {
			t.Errorf("member %d: %+v", i, d)
		}
	}
	if _, _, err := l.Lookup(t.Context(), writer, memberID(t, memberName(1))); err != nil {
		t.Errorf("who left still has what the law keeps: %v", err)
	}
	if _, err := l.Do(t.Context(), writer, order(t, memberName(3), "parcel-1", w)); !isRefusal(err) {
		t.Errorf("an order under a reference that has ended: %v", err)
	}
	if _, err := l.Do(t.Context(), writer, order(t, memberName(3), "parcel-3", w)); err != nil {
		t.Errorf("an order under another: %v", err)
	}
	verifyAll(t, l)
}

func keeps(a *Answer, class string) bool {
	for _, k := range a.Kept {
		if k.Class == class {
			return true
		}
	}
	return false
}

func TestWhatIsKeptPastItsTimeIsReportedWithItsIndex(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	a := mustDo(t, l, order(t, id, "order-1", w))
	var purchase uint64
	for _, e := range a.Entries {
		if e.Class == "purchase" {
			purchase = e.Index
		}
	}
	deep := func() DeepReport {
		t.Helper()
		r, err := l.VerifyDeep(t.Context(), admin, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	end := time.Date(2030, 3, 2, 0, 0, 0, 0, time.FixedZone("KST", 9*3600))
	w.clock.Advance(end.Sub(w.clock.Now()) + 30*time.Minute)
	if r := deep(); !r.Intact {
		t.Errorf("within the hour that the sweep may take: %+v", r.Findings)
	}
	w.clock.Advance(time.Hour)
	r := deep()
	if r.Intact || len(r.Findings) != 1 || r.Findings[0].Kind != "kept_past_its_time" || !r.Findings[0].Rules || r.Findings[0].Index != int64(purchase) {
		t.Errorf("an hour later: %+v, want entry %d", r.Findings, purchase)
	}
	if _, err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifyAll(t, l)
}

// forge writes an entry that the rules did not allow, as an operator with every key could.
func forge(t *testing.T, l *Ledger, id string, e consent.Event, key consent.KeyName) uint64 {
	t.Helper()
	p, err := l.submit(t.Context(), submitting{id: memberID(t, id)}, func(*member, time.Time) (*consent.Plan, error) {
		return &consent.Plan{Entries: []consent.Draft{{Key: key, Event: e}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return a.Entries[0].Index
}

func TestADisclosureThatNothingCoveredIsReportedWithItsIndex(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	a := mustDo(t, l, order(t, id, "order-1", w))
	basis := a.Entries[0].Index
	honest := mustDo(t, l, &consent.Disclosure{
		Member: memberID(t, id), Recipient: "parcel-co", Purpose: "delivery", Items: []string{"name", "address"},
		OccurredAt: w.clock.Now(), Reference: "order-1",
	})
	verifyAll(t, l)
	forged := forge(t, l, id, consent.Event{
		Kind: consent.KindDisclosure, Policy: "shop", PolicyVersion: "2025-01-01", OccurredAtMs: w.clock.Now().UnixMilli(),
		Purposes: []string{"newsletter"}, Items: []string{"email"}, Recipient: "parcel-co", Business: "delivery", Basis: "consent", RestsOn: &basis,
	}, consent.KeyName{Class: "shop/newsletter"})
	r, err := l.VerifyDeep(t.Context(), admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Intact || len(r.Findings) != 1 || r.Findings[0].Index != int64(forged) {
		t.Fatalf("findings %+v, want one at %d (the honest one is %d)", r.Findings, forged, honest.Entries[0].Index)
	}
	if strings.Contains(r.Findings[0].What, "email") || strings.Contains(r.Findings[0].What, id) {
		t.Errorf("the finding names data: %s", r.Findings[0].What)
	}
}

func TestWhatIsKeptGoesToAnAuthorityAndToNobodyElse(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, testPolicy+"exemptions:\n  tax: {title: {en: Tax audit}, basis: Framework Act on National Taxes, recipient: authority}\n"+
		"  safety: {title: {en: Safety}, basis: PIPA 18(2), purposes: [order]}\n")
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	mustDo(t, l, order(t, id, "order-1", w))
	mustDo(t, l, leave(t, id))
	d := func(basis, recipient string) error {
		_, err := l.Do(t.Context(), writer, &consent.Disclosure{
			Member: memberID(t, id), Recipient: recipient, Purpose: "order", Items: []string{"name"}, Basis: basis, OccurredAt: w.clock.Now(),
		})
		return err
	}
	before := l.Size()
	if err := d("", "parcel-co"); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("without a law: %v", err)
	}
	if err := d("safety", "parcel-co"); !isRefusal(err) {
		t.Errorf("by an exemption for others: %v", err)
	}
	if l.Size() != before {
		t.Error("a refused disclosure was recorded")
	}
	if err := d("tax", "tax-office"); err != nil {
		t.Fatal(err)
	}
	_, state, err := l.Lookup(t.Context(), writer, memberID(t, id))
	if err != nil || state != StateWithdrawn {
		t.Errorf("afterwards: %v, %v", state, err)
	}
	verifyAll(t, l)
}
