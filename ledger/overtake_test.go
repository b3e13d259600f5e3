package ledger

import (
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// heldFlight leaves a write of a member under way: the commit loop is kept from taking it until
// what it returns is called.
func heldFlight(t testing.TB, l *Ledger, who Caller, c Call) (letGo func()) {
	t.Helper()
	l.gate.Lock()
	done := make(chan error, 1)
	go func() {
		_, err := l.Do(t.Context(), who, c)
		done <- err
	}()
	for flying := false; !flying; time.Sleep(time.Millisecond) {
		l.queue.mu.Lock()
		flying = l.queue.free < l.o.QueueCalls
		l.queue.mu.Unlock()
	}
	time.Sleep(20 * time.Millisecond)
	return func() {
		t.Helper()
		l.gate.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestALookThatAWithdrawalOvertakesShowsNothingOfWhatIsKeptApart(t *testing.T) {
	for _, call := range []string{"member", "history", "export"} {
		w := newWorld(t)
		l := w.create(t)
		id := "buyer@shop.example"
		mustDo(t, l, enrolment(t, id, w))
		a := mustDo(t, l, order(t, id, "order-1", w))
		letGo := heldFlight(t, l, writer, leave(t, id))
		shown := make(chan int, 1)
		reader := Caller{KeyID: "key_reader", Role: RoleReader, From: "test"}
		go func() {
			why := Look{Reason: "r", What: call}
			var err error
			n := 0
			switch call {
			case "member":
				var v consent.MemberView
				v, err = l.Member(t.Context(), reader, a.Member, why)
				n = len(v.Purposes)
			case "history":
				var rows []HistoryRow
				rows, _, err = l.History(t.Context(), reader, a.Member, why, 0, 100)
				n = len(rows)
			case "export":
				var x *consent.Export
				if x, err = l.Export(t.Context(), reader, a.Member, why); x != nil {
					n = 1
				}
			}
			if !errors.Is(err, ErrWithdrawn) {
				t.Errorf("%s: %v, want that the member has withdrawn", call, err)
			}
			shown <- n
		}()
		time.Sleep(50 * time.Millisecond) // it waits for the withdrawal by now
		letGo()
		if n := <-shown; n != 0 {
			t.Errorf("%s shows %d rows of what is kept apart", call, n)
		}
		verifyAll(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAConsentThatTheEndOfItsEventOvertakesIsRefused(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	before := l.Size()
	l.gate.Lock()
	p, err := l.Submit(t.Context(), writer, order(t, id, "parcel", w)) // planned and sealed
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.EndEvent(t.Context(), writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "parcel", OccurredAt: w.clock.Now()})
		ended <- err
	}()
	for len(l.endings.unfinished()) == 0 {
		time.Sleep(time.Millisecond)
	}
	l.gate.Unlock()
	if _, err := p.Wait(t.Context()); !isRefusal(err) {
		t.Errorf("the order: %v, want a refusal", err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for len(l.endings.unfinished()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if n := l.Size() - before; n != 2 {
		t.Errorf("%d entries were written, want the event's end and that it is done", n)
	}
	mustDo(t, l, order(t, id, "parcel-2", w)) // the counters of the keys have no gap
	verifyAll(t, l)
}

func TestAMemberWhoComesBackDuringALookAtWhatIsKeptApartIsNotShown(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, dormantPolicy())
	defer func() { l.Close() }()
	id := "back@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	w.clock.Advance(time.Hour)
	doAs(t, l, dpo, &consent.Notice{Kind: consent.NoticeDormancy, Member: memberID(t, id), Channel: "email", SentAt: w.clock.Now(), Outcome: "sent"})
	w.clock.Advance(400 * 24 * time.Hour)
	kept := make(chan error, 1)
	l.gate.Lock()
	go func() {
		_, err := l.Kept(t.Context(), dpo, a.Member, Look{Reason: "r"}, "membership")
		kept <- err
	}()
	m := l.members.get(l.pathOf(memberID(t, id)))
	for flying := false; !flying; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		flying = m.flight != nil && !m.flight.pending.isDone()
		m.mu.Unlock()
	}
	back := make(chan error, 1)
	go func() {
		_, err := l.Do(t.Context(), writer, &consent.Reactivation{Member: memberID(t, id), Method: "login"})
		back <- err
	}()
	for m.waiters.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.gate.Unlock()
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	// Whichever of the two came first: what is shown was kept apart when it was shown.
	err := <-kept
	var no *consent.Refusal
	if err != nil && !(errors.As(err, &no) && no.Code == "not_kept_apart") {
		t.Error(err)
	}
	if _, err := l.Kept(t.Context(), dpo, a.Member, Look{Reason: "r"}, "membership"); !isRefusal(err) {
		t.Errorf("once the member is back: %v", err)
	}
	verifyAll(t, l)
}
