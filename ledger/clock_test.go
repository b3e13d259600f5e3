package ledger

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// heldCommit keeps the commit loop from beginning a group until f has sealed its call, turns the
// clock, and lets go.
func heldCommit(l *Ledger, w *world, turn time.Duration, f func()) {
	l.gate.Lock()
	done := make(chan struct{})
	free := func() int {
		l.queue.mu.Lock()
		defer l.queue.mu.Unlock()
		return l.queue.free
	}
	before := free()
	go func() {
		defer close(done)
		f()
	}()
	for free() == before {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // sealed by now
	w.clock.Advance(turn)
	l.gate.Unlock()
	<-done
}

func TestAPolicyPostedAMomentBeforeItsNoticeEndsLeavesALedgerThatOpens(t *testing.T) {
	w := newWorld(t)
	l := w.create(t) // 21:00 of 1 March in Seoul
	next := strings.NewReplacer(`version: "2025-01-01"`, `version: "2025-03-31"`, `announced: "2024-12-01"`, `announced: "2025-03-01"`).Replace(testPolicy)
	heldCommit(l, w, 4*time.Hour, func() {
		if _, _, err := l.AddPolicy(t.Context(), admin, []byte(next)); !isRefusal(err) {
			t.Errorf("posted a day too late: %v, want a refusal", err)
		}
	})
	l = w.reopen(t, l)
	defer l.Close()
	if n := len(l.Policies()); n != 1 {
		t.Errorf("%d versions are on the register", n)
	}
	verifyAll(t, l)
}

func TestAClockThatGoesBackOverMidnightLosesNothing(t *testing.T) {
	for _, old := range []bool{false, true} {
		w := newWorld(t)
		l := w.create(t)
		mustDo(t, l, enrolment(t, "a@shop.example", w))
		if old {
			mustDo(t, l, order(t, "a@shop.example", "before", w))
			w.clock.Advance(48 * time.Hour)
		}
		w.clock.Advance(3*time.Hour + time.Second) // 00:00:01 in Seoul
		heldCommit(l, w, -2*time.Second, func() { mustDo(t, l, order(t, "a@shop.example", "o", w)) })
		l = w.reopen(t, l)
		if d := decide(t, l, "a@shop.example", "order"); !d.Allowed {
			t.Errorf("an acknowledged order is gone after a restart: %+v", d)
		}
		if err := l.Health(); err != nil {
			t.Error(err)
		}
		verifyAll(t, l)
		l.Close()
	}
}

func TestACallThatWasSealedTwoDaysBeforeItsCommitIsNotRecorded(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	before := l.Size()
	heldCommit(l, w, 49*time.Hour, func() {
		if _, err := l.Do(t.Context(), writer, order(t, "a@shop.example", "o", w)); err == nil {
			t.Error("an entry is two days younger than its key")
		}
	})
	if l.Size() != before {
		t.Error("what was turned away is recorded")
	}
	mustDo(t, l, order(t, "a@shop.example", "o", w))
	l = w.reopen(t, l)
	defer l.Close()
	if d := decide(t, l, "a@shop.example", "order"); !d.Allowed {
		t.Errorf("the second try: %+v", d)
	}
	verifyAll(t, l)
}

func TestASweepThatOnlySetsClocksIsNotDamage(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	w.clock.Advance(2*366*24*time.Hour + 48*time.Hour)
	if _, err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.publish(0); err != nil {
		t.Fatal(err)
	}
	if found := verifyStore(t, l.o.Store, w.dir, l.PublicKey()); len(found) != 0 {
		t.Errorf("a healthy ledger: %+v", found)
	}
	verifyAll(t, l)
}

func TestAClockThatLeapsForAMomentTurnsAwayWhoIsUnderWayAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	heldCommit(l, w, 72*time.Hour, func() {
		if _, err := l.Do(t.Context(), writer, order(t, "a@shop.example", "o", w)); err == nil {
			t.Error("control: the clock leapt three days, and the call was recorded")
		}
	})
	w.clock.Advance(-72 * time.Hour)
	mustDo(t, l, order(t, "a@shop.example", "o", w))
	verifyAll(t, l)
}

func TestTheEndOfAnEventReachesEverybodyThoughTheClockLeapsAllTheTime(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	for i := range 20 {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "parcel", w))
	}
	l.o.Clock = func() time.Time { w.clock.Advance(6 * time.Minute); return w.clock.Now() }
	if _, err := l.EndEvent(t.Context(), writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "parcel", OccurredAt: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); len(l.endings.unfinished()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the end is not brought to its end")
		}
	}
	for i := range 20 {
		if d := decide(t, l, memberName(i), "delivery"); d.Allowed {
			t.Errorf("member %d: the end of the event is on record as done, and the key is there", i)
		}
	}
	verifyAll(t, l)
}
