package ledger

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

func TestOneMemberWhoIsAlwaysBusyKeepsNobodyElseFromBeingSwept(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	hot, others := "hot@shop.example", 20
	mustDo(t, l, enrolment(t, hot, w))
	mustDo(t, l, order(t, hot, "o", w))
	for i := range others {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "o", w))
	}
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	m, err := l.acquire(t.Context(), l.pathOf(memberID(t, hot)))
	if err != nil {
		t.Fatal(err)
	}
	never := &submission{member: m, pending: newPending()}
	m.flight = never // a write that does not come to its end
	l.release(m)
	m.waiters.Store(maxWaiters) // and as many callers as may wait for it
	if _, err := l.Sweep(t.Context()); err != nil && !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	left, err := l.keys.Due(w.clock.Now().Unix(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 {
		t.Errorf("one member is busy, and %d are left past their time", len(left))
	}
	m.waiters.Store(0)
	close(never.pending.done)
	never.pending.err = errNothing
	sweep(t, l)
	verifyAll(t, l)
}

func TestTheEndOfAnEventReachesEverybodyThoughTheQueueIsSmallAndOneMemberIsBusy(t *testing.T) {
	w := newWorld(t)
	w.queue = 8
	l := w.create(t)
	defer func() { l.Close() }()
	const others = 60
	hot := "hot@shop.example"
	mustDo(t, l, enrolment(t, hot, w))
	mustDo(t, l, order(t, hot, "raffle", w))
	for i := range others {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "raffle", w))
	}
	m, err := l.acquire(t.Context(), l.pathOf(memberID(t, hot)))
	if err != nil {
		t.Fatal(err)
	}
	never := &submission{member: m, pending: newPending()}
	m.flight = never
	l.release(m)
	m.waiters.Store(maxWaiters)
	if _, err := l.EndEvent(t.Context(), dpo, &consent.EventEnd{Type: consent.EventDelivered, Reference: "raffle", OccurredAt: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	open := func() (n int) {
		for i := range others {
			if decide(t, l, memberName(i), "delivery").Allowed {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(4 * time.Second); open() > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if n := open(); n > 0 {
		t.Errorf("one member is busy, and the event goes on for %d others", n)
	}
	m.waiters.Store(0)
	never.pending.err = errNothing
	close(never.pending.done)
}

func TestAnEventThatTwoCallersEndAtOnceEndsOnce(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	for r := range 50 {
		e := &consent.EventEnd{Type: consent.EventEnded, Reference: fmt.Sprint("raffle-", r), OccurredAt: w.clock.Now()}
		var ended, refused int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := l.EndEvent(t.Context(), dpo, e)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					ended++
				case isRefusal(err):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if ended != 1 || refused != 7 {
			t.Fatalf("round %d: ended %d times and refused %d times", r, ended, refused)
		}
	}
	verifyAll(t, l)
}

func TestListsOfManyMembersWaitForPlacesInTheQueue(t *testing.T) {
	w := newWorld(t)
	w.queue = 8
	gate := make(chan struct{}, 1<<20)
	w.wrap = func(s store.Store) store.Store { return slowStore{s, gate} }
	for range 1000 {
		gate <- struct{}{}
	}
	l := w.create(t)
	defer func() { l.Close() }()
	const members = 40
	for i := range members {
		mustDo(t, l, enrolment(t, memberName(i), w))
		doAs(t, l, dpo, &consent.Request{Member: memberID(t, memberName(i)), Type: consent.RequestAccess, Channel: "email", ReceivedAt: w.clock.Now()})
	}
	for len(gate) > 0 {
		<-gate
	}
	stop := make(chan struct{})
	var ticks sync.WaitGroup
	ticks.Go(func() { // each commit takes some milliseconds
		for {
			select {
			case <-stop:
				close(gate)
				return
			case <-time.After(3 * time.Millisecond):
				gate <- struct{}{}
			}
		}
	})
	rows, more, err := l.Due(t.Context(), dpo, Look{Reason: "daily list"}, 60*24*time.Hour)
	if err != nil || more || len(rows) != members {
		t.Errorf("due: %d rows of %d, more %v, %v", len(rows), members, more, err)
	}
	n := 0
	err = l.Breach(t.Context(), dpo, Look{Reason: "leak"}, &BreachAsk{}, func(BreachRow) error { n++; return nil })
	if err != nil || n != members {
		t.Errorf("affected by a leak: %d of %d, %v", n, members, err)
	}
	close(stop)
	ticks.Wait()
	verifyAll(t, l)
}

func TestListsOfManyMembersWaitForOneWhoIsBusy(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "hot@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	a := doAs(t, l, dpo, &consent.Request{Member: memberID(t, id), Type: consent.RequestAccess, Channel: "email", ReceivedAt: w.clock.Now()})
	mustDo(t, l, order(t, id, "o", w))
	busy := func(f func() error) {
		t.Helper()
		m, err := l.acquire(t.Context(), l.pathOf(memberID(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		never := &submission{member: m, pending: newPending()}
		m.flight = never
		l.release(m)
		m.waiters.Store(maxWaiters)
		time.AfterFunc(50*time.Millisecond, func() {
			m.waiters.Store(0)
			close(never.pending.done)
		})
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	busy(func() error {
		rows, _, err := l.Due(t.Context(), dpo, Look{Reason: "r"}, 60*24*time.Hour)
		if err == nil && len(rows) != 1 {
			t.Errorf("due: %+v", rows)
		}
		return err
	})
	n := 0
	busy(func() error {
		return l.Breach(t.Context(), dpo, Look{Reason: "r"}, &BreachAsk{Members: []Ref{a.Member}}, func(BreachRow) error { n++; return nil })
	})
	if n != 1 {
		t.Errorf("%d are affected", n)
	}
	verifyAll(t, l)
}
