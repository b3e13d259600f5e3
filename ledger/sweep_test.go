package ledger

import (
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func TestWhatIsDueIsDestroyedWithoutAnybodyAsking(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	stays, leaves := "stays@shop.example", "leaves@shop.example"
	mustDo(t, l, enrolment(t, stays, w))
	mustDo(t, l, order(t, stays, "order-1", w))
	mustDo(t, l, enrolment(t, leaves, w))
	mustDo(t, l, order(t, leaves, "order-2", w))
	gone := mustDo(t, l, leave(t, leaves))
	var until time.Time
	for _, k := range gone.Kept {
		if k.Class == "purchase" {
			until = *k.Until
		}
	}
	// Recorded on 2025-03-01 in Seoul; five years by the calendar end with 2030-03-01.
	want := time.Date(2030, 3, 2, 0, 0, 0, 0, time.FixedZone("KST", 9*3600))
	if !until.Equal(want) {
		t.Errorf("kept until %v, want %v", until, want)
	}
	sweep := func(want int) {
		t.Helper()
		n, err := l.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n != want {
			t.Errorf("%v: the sweep changed %d members, want %d", w.clock.Now(), n, want)
		}
		verifyAll(t, l)
	}
	sweep(0)
	w.clock.Advance(until.Sub(w.clock.Now()) - time.Second)
	// Two years after the enrolments only the empty class of looks comes due, and is given a new clock.
	l.Sweep(t.Context())
	if d := decide(t, l, stays, "order"); !d.Allowed {
		t.Errorf("a second before its end: %+v", d)
	}
	l = w.reopen(t, l)
	w.clock.Advance(time.Second)
	before := l.Size()
	sweep(2)
	if l.Size() != before+2 {
		t.Errorf("%d destruction entries, want one for each member", l.Size()-before)
	}
	if d := decide(t, l, stays, "order"); d.Allowed {
		t.Errorf("after its end: %+v", d)
	}
	if d := decide(t, l, stays, "membership"); !d.Allowed {
		t.Errorf("what has no end: %+v", d)
	}
	sweep(0)
	// The shipping key waits for a delivery, whatever the time.
	_, state, err := l.Lookup(t.Context(), writer, memberID(t, leaves))
	if err != nil || state != StateWithdrawn {
		t.Errorf("who left, while shipping is open: %v, %v", state, err)
	}
}

func TestAMemberOfWhomNothingIsLeftIsUnknown(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	c := enrolment(t, id, w)
	c.MemberKind = "buyer" // membership data is kept five years from the withdrawal
	a := mustDo(t, l, c)
	gone := mustDo(t, l, leave(t, id))
	if len(gone.Kept) != 1 || gone.Kept[0].Class != "buyers" {
		t.Fatalf("kept %+v", gone.Kept)
	}
	if _, state, err := l.Lookup(t.Context(), writer, memberID(t, id)); err != nil || state != StateWithdrawn {
		t.Fatalf("%v %v", state, err)
	}
	w.clock.Advance(5*366*24*time.Hour + 48*time.Hour)
	if n, err := l.Sweep(t.Context()); err != nil || n != 1 {
		t.Fatalf("sweep: %d, %v", n, err)
	}
	if _, _, err := l.Lookup(t.Context(), writer, memberID(t, id)); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := l.Member(t.Context(), dpo, a.Member, Look{Reason: "r", What: "state"}); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("by ref: %v", err)
	}
	if d := decide(t, l, id, "membership"); d.Reason != consent.ReasonUnknownMember {
		t.Errorf("%+v", d)
	}
	verifyAll(t, l)
}

func TestALedgerThatWasOffForYearsCatchesUpInBatches(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	const members = sweepBatch + 50
	for i := range members {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "o", w))
	}
	w.clock.Advance(10 * 366 * 24 * time.Hour)
	l = w.reopen(t, l)
	defer func() { l.Close() }()
	n, err := l.Sweep(t.Context())
	if err != nil || n < members {
		t.Fatalf("sweep: %d of %d, %v", n, members, err)
	}
	verifyAll(t, l)
	if d := decide(t, l, memberName(7), "order"); d.Allowed {
		t.Errorf("ten years on: %+v", d)
	}
}
