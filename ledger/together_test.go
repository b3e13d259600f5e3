package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// What random calls of many at once lead to: the same must hold as after calls one by one. Sweeps,
// lists and ends of events run beside them.
func TestWhateverIsCalledTogetherTheLedgerStaysAsItShould(t *testing.T) {
	rounds, steps := 2, 40
	if long {
		rounds, steps = 60, 200
	}
	first := newRandomLife(t, 77, 0)
	first.busy = true
	defer func() { first.l.Close() }()
	lives := []*randomLife{first}
	for i := range 7 {
		r := *first
		r.rng, r.done = rand.New(rand.NewPCG(uint64(i), 7)), map[string]int{}
		r.references = slices.Clone(r.references)
		lives = append(lives, &r)
	}
	for range rounds {
		var calls, beside sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		again := func(f func() error) {
			beside.Go(func() {
				for ctx.Err() == nil {
					if err := f(); err != nil && !errors.Is(err, ErrBusy) && ctx.Err() == nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		l := first.l
		again(func() error { _, err := l.Sweep(ctx); return err })
		again(func() error { _, _, err := l.Due(ctx, dpo, Look{Reason: "r"}, 90*24*time.Hour); return err })
		again(func() error {
			return l.Breach(ctx, dpo, Look{Reason: "r"}, &BreachAsk{}, func(BreachRow) error { return nil })
		})
		for _, r := range lives {
			r.l = l
			calls.Go(func() {
				for range steps {
					r.step()
				}
			})
		}
		calls.Wait()
		stop()
		beside.Wait()
		if t.Failed() {
			for _, r := range lives {
				t.Log(r.log[max(0, len(r.log)-10):])
			}
			return
		}
		first.check()
		for _, r := range lives {
			r.holdsKeep(l.now())
			r.endedIsGone(l.now())
		}
		first.l = first.w.reopen(t, l)
	}
	verifyAll(t, first.l)
}
