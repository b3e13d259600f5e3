package ledger

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// Whatever is under way when the ledger is closed comes to an end: it is done, or says that the
// ledger is closed, and the ledger opens again with nothing amiss.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	for round := range 5 {
		w := newWorld(t)
		w.queue = 16
		l := w.createWith(t, dormantPolicy())
		var last *Answer
		for i := range 40 {
			mustDo(t, l, enrolment(t, memberName(i), w))
			mustDo(t, l, order(t, memberName(i), "raffle", w))
			last = mustDo(t, l, order(t, memberName(i), "o", w))
		}
		w.clock.Advance(6 * 366 * 24 * time.Hour)
		var calls sync.WaitGroup
		tell := func(what string, f func() error) {
			calls.Go(func() {
				err := f()
				var no *consent.Refusal
				if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrUnknownMember) && !errors.As(err, &no) {
					t.Errorf("%s, closed meanwhile: %v", what, err)
				}
			})
		}
		ctx := context.Background()
		tell("a sweep", func() error { _, err := l.Sweep(ctx); return err })
		tell("the end of an event", func() error {
			_, err := l.EndEvent(ctx, writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "raffle", OccurredAt: w.clock.Now()})
			return err
		})
		tell("a list of what is due", func() error { _, _, err := l.Due(ctx, dpo, Look{Reason: "r"}, 9000*time.Hour); return err })
		tell("a breach", func() error {
			return l.Breach(ctx, dpo, Look{Reason: "r"}, &BreachAsk{}, func(BreachRow) error { return nil })
		})
		tell("a look", func() error { _, err := l.Member(ctx, dpo, last.Member, Look{Reason: "r", What: "state"}); return err })
		time.Sleep(time.Duration(round) * 8 * time.Millisecond)
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Errorf("close: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the ledger does not close")
		}
		calls.Wait()
		l, err := w.open()
		if err != nil {
			t.Fatalf("does not open again: %v", err)
		}
		for err = ErrBusy; errors.Is(err, ErrBusy); {
			_, err = l.Sweep(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		verifyAll(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
