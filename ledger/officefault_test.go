package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func TestAnEventThatEndedIsBroughtToItsEndAfterAFaultAtAnyStep(t *testing.T) {
	for _, step := range crashSteps {
		if strings.HasPrefix(step, "update/") {
			continue // that would be the end itself, which is then not answered
		}
		w := newWorld(t)
		c := &crasher{}
		w.wrap, w.wrapRoot = c.store, c.keeper
		l := w.create(t)
		for i := range 5 {
			mustDo(t, l, enrolment(t, memberName(i), w))
			mustDo(t, l, order(t, memberName(i), "parcel", w))
		}
		mustDo(t, l, leave(t, memberName(4)))
		c.set(step)
		if _, err := l.EndEvent(t.Context(), writer, &consent.EventEnd{Type: consent.EventDelivered, Reference: "parcel", OccurredAt: w.clock.Now()}); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		for end := time.Now().Add(20 * time.Second); l.Health() == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("control: %s: the fault did not happen", step)
			}
		}
		if n := len(l.endings.unfinished()); n != 1 {
			t.Errorf("%s: %d events are unfinished, want 1", step, n)
		}
		c.set("")
		if err := l.Close(); err != nil && !c.expected(err) {
			t.Errorf("%s: close: %v", step, err)
		}
		l, err := w.open()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		for end := time.Now().Add(20 * time.Second); len(l.endings.unfinished()) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not brought to its end", step)
			}
		}
		if err := noKey(func(k string) bool { return k == "shop/shipping parcel" })(l); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		verifyAll(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEachFaultInWhatTheOfficeDestroysIsUncertainAndLeavesAWholeLedger(t *testing.T) {
	calls := map[string]func(t *testing.T, w *world, l *Ledger) func() error{
		"a release": func(t *testing.T, w *world, l *Ledger) func() error {
			a := mustDo(t, l, enrolment(t, "a@shop.example", w))
			h, err := l.PlaceHold(t.Context(), dpo, a.Member, &consent.Hold{Classes: []string{"membership"}, Ground: "claim", Until: w.clock.Now().AddDate(1, 0, 0)})
			if err != nil {
				t.Fatal(err)
			}
			mustDo(t, l, leave(t, "a@shop.example"))
			return func() error { _, err := l.ReleaseHold(t.Context(), dpo, a.Member, h.Hold); return err }
		},
		"the end of an operator": func(t *testing.T, _ *world, l *Ledger) func() error {
			id := addOperator(t, l, "Kim Min-ji", "dpo", false)
			return func() error { _, err := l.EndOperator(t.Context(), admin, id); return err }
		},
		"the end of an event": func(t *testing.T, w *world, l *Ledger) func() error {
			mustDo(t, l, enrolment(t, "a@shop.example", w))
			mustDo(t, l, order(t, "a@shop.example", "o", w))
			return func() error {
				_, err := l.Do(t.Context(), writer, &consent.EventEnd{Type: consent.EventDelivered, Member: memberID(t, "a@shop.example"), Reference: "o", OccurredAt: w.clock.Now()})
				return err
			}
		},
		"a sweep": func(t *testing.T, w *world, l *Ledger) func() error {
			mustDo(t, l, enrolment(t, "a@shop.example", w))
			mustDo(t, l, order(t, "a@shop.example", "o", w))
			w.clock.Advance(6 * 366 * 24 * time.Hour)
			return func() error { _, err := l.Sweep(t.Context()); return err }
		},
	}
	for name, prepare := range calls {
		for _, step := range crashSteps {
			w := newWorld(t)
			c := &crasher{}
			w.wrap, w.wrapRoot = c.store, c.keeper
			l := w.create(t)
			call := prepare(t, w, l)
			mustDo(t, l, enrolment(t, "stays@shop.example", w))
			c.set(step)
			err := call()
			if !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrUncertain) {
				t.Errorf("%s, %s: %v", name, step, err)
			}
			c.set("")
			if err := l.Close(); err != nil && !c.expected(err) {
				t.Errorf("%s, %s: close: %v", name, step, err)
			}
			if l, err = w.open(); err != nil {
				t.Errorf("%s, %s: %v", name, step, err)
				continue
			}
			sweep(t, l)
			if d := decide(t, l, "stays@shop.example", "membership"); !d.Allowed {
				t.Errorf("%s, %s: who stayed: %+v", name, step, d)
			}
			verifyAll(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
