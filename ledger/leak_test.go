package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"consentledger/ledger/consent"
)

func TestNothingRunsOnOnceALedgerIsClosed(t *testing.T) {
	already := goleak.IgnoreCurrent()
	w := newWorld(t)
	l := w.createWith(t, dormantPolicy())
	for i := range 40 {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "parcel", w))
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := l.EndEvent(ctx, writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "parcel", OccurredAt: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	done := make(chan error, 3)
	go func() { _, err := l.Sweep(ctx); done <- err }()
	go func() { _, _, err := l.Due(ctx, dpo, Look{Reason: "r"}, 365*24*time.Hour); done <- err }()
	go func() {
		done <- l.Breach(ctx, dpo, Look{Reason: "r"}, &BreachAsk{}, func(BreachRow) error { return nil })
	}()
	time.Sleep(5 * time.Millisecond)
	cancel() // whoever asked goes away in the middle of it
	for range 3 {
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, already)
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	sweep(t, l)
	for len(l.endings.unfinished()) > 0 {
		time.Sleep(time.Millisecond)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, already)
}
