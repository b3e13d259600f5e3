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
