package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// A stuckStore takes a write when it is let, and says how that ends.
type stuckStore struct {
	store.Store
	stuck *bool
	let   chan error
}

func (s stuckStore) Update(f func(store.Writer) error) error {
	if *s.stuck {
		if err := <-s.let; err != nil {
			return err
		}
	}
	return s.Store.Update(f)
}

// No record, no answer: whatever shows a member's data does so after the record of the look is on
// disk, and if that fails it shows nothing.
func TestNothingOfAMemberIsShownBeforeTheLookIsOnDisk(t *testing.T) {
	id, gone := "buyer@shop.example", "gone@shop.example"
	for what, look := range map[string]func(l *Ledger, living, left Ref, w *world) (shown bool, err error){
		"state": func(l *Ledger, living, _ Ref, _ *world) (bool, error) {
			v, err := l.Member(t.Context(), dpo, living, Look{Reason: "r", What: "state"})
			return len(v.Purposes) > 0, err
		},
		"history": func(l *Ledger, living, _ Ref, _ *world) (bool, error) {
			rows, _, err := l.History(t.Context(), dpo, living, Look{Reason: "r", What: "history"}, 0, 10)
			return len(rows) > 0, err
		},
		"export": func(l *Ledger, living, _ Ref, _ *world) (bool, error) {
			x, err := l.Export(t.Context(), dpo, living, Look{Reason: "r"})
			return x != nil, err
		},
		"kept": func(l *Ledger, _, left Ref, _ *world) (bool, error) {
			k, err := l.Kept(t.Context(), dpo, left, Look{Reason: "r"}, "purchase")
			return len(k.Entries) > 0, err
		},
		"due": func(l *Ledger, _, _ Ref, _ *world) (bool, error) {
			rows, _, err := l.Due(t.Context(), dpo, Look{Reason: "r"}, 60*24*time.Hour)
			return len(rows) > 0, err
		},
		"breach": func(l *Ledger, _, _ Ref, w *world) (shown bool, err error) {
			q := &BreachAsk{BreachQuery: consent.BreachQuery{From: w.clock.Now().Add(-time.Hour), To: w.clock.Now().Add(time.Hour)}}
			err = l.Breach(t.Context(), dpo, Look{Reason: "r"}, q, func(BreachRow) error { shown = true; return nil })
			return shown, err
		},
	} {
		for _, failure := range []error{nil, errors.New("the disk has gone")} {
			w := newWorld(t)
			stuck, let := false, make(chan error)
			w.wrap = func(s store.Store) store.Store { return stuckStore{s, &stuck, let} }
			l := w.create(t)
			living := mustDo(t, l, enrolment(t, id, w)).Member
			mustDo(t, l, order(t, id, "order-1", w))
			mustDo(t, l, &consent.Disclosure{Member: memberID(t, id), Recipient: "parcel-co", Purpose: "order", Items: []string{"name"}, OccurredAt: w.clock.Now()})
			if _, err := l.Do(t.Context(), dpo, &consent.Request{Member: memberID(t, id), Type: "access", Channel: "phone", ReceivedAt: w.clock.Now()}); err != nil {
				t.Fatal(err)
			}
			left := mustDo(t, l, enrolment(t, gone, w)).Member
			mustDo(t, l, order(t, gone, "order-2", w))
			mustDo(t, l, leave(t, gone))
			l.gate.Lock()
			stuck = true
			l.gate.Unlock()
			type answer struct {
				shown bool
				err   error
			}
			answered := make(chan answer, 1)
			go func() { shown, err := look(l, living, left, w); answered <- answer{shown, err} }()
			select {
			case a := <-answered:
				t.Fatalf("%s: answered before anything was written: %+v", what, a)
			case <-time.After(50 * time.Millisecond):
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() { // everything that is written from now on
				for {
					select {
					case let <- failure:
					case <-ctx.Done():
						return
					}
				}
			}()
			a := <-answered
			if a.shown != (failure == nil) || (a.err == nil) != (failure == nil) {
				t.Errorf("%s, the write ends with %v: shown %t, %v", what, failure, a.shown, a.err)
			}
			l.Close()
			cancel()
		}
	}
}
