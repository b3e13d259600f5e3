package ledger

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// While a ledger that was off for years destroys what has run out since, it answers decisions and
// writes as always, and no decision rests on what is only still there.
func TestALedgerThatWasOffForYearsServesWhileItCatchesUp(t *testing.T) {
	members, bound := 4*sweepBatch, 3*time.Second
	if long {
		members = 20_000
	}
	w := newWorld(t)
	l := w.create(t)
	var all sync.WaitGroup
	for c := range 64 {
		all.Go(func() {
			for i := c; i < members; i += 64 {
				mustDo(t, l, enrolment(t, memberName(i), w))
				mustDo(t, l, order(t, memberName(i), "o", w))
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { l.Close() }()
	swept := make(chan int)
	began := time.Now()
	go func() { swept <- sweep(t, l) }()
	var took []time.Duration
	beside := 0
	for n, done := 0, false; !done; n++ {
		select {
		case got := <-swept:
			if got < members {
				t.Errorf("%d of %d members were swept", got, members)
			}
			done = true
			continue
		default:
		}
		at := time.Now()
		if d := decide(t, l, memberName((n*37)%members), "order"); d.Allowed {
			t.Errorf("a decision rests on an order of six years ago: %+v", d)
		}
		took = append(took, time.Since(at))
		at = time.Now()
		mustDo(t, l, enrolment(t, fmt.Sprintf("new-%d@shop.example", n), w))
		took = append(took, time.Since(at))
		beside++
	}
	if beside < 5 {
		t.Errorf("control: only %d writes were made beside the sweep", beside)
	}
	slices.Sort(took)
	t.Logf("%d members in %v; beside them %d writes: half within %v, the slowest %v", members, time.Since(began), beside, took[len(took)/2], took[len(took)-1])
	if slowest := took[len(took)-1]; slowest > bound {
		t.Errorf("a call beside the sweep took %v, want at most %v", slowest, bound)
	}
	verifyAll(t, l)
}
