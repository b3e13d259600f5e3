package ledger

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// While a head is asked for every few milliseconds, a witness takes its time over one of them: its
// signature is of use all the same, to all who wait for a head that is no larger.
func TestASlowWitnessIsOfUseWhileManyHeadsAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes, calls = 400 * time.Millisecond, 200
		w := newWorld(t)
		l := w.create(t)
		defer func() { l.Close() }()
		a := newTestWitness(t, 1)
		addWitness(t, l, a, number(1))
		stop := make(chan struct{})
		var pusher, callers sync.WaitGroup
		pusher.Go(func() {
			for {
				moved := l.Moved()
				head, msg, err := l.Head()
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(takes)
				if err := l.Cosign(head.Size, a.key, a.line(t, msg)); err != nil {
					t.Error(err)
				}
				select {
				case <-moved:
				case <-stop:
					return
				}
			}
		})
		slowest, all := time.Duration(0), []error{}
		var mu sync.Mutex
		for i := range calls {
			mustDo(t, l, enrolment(t, memberName(i), w))
			size := l.Size()
			callers.Go(func() {
				began := time.Now()
				_, err := l.CosignedCheckpoint(t.Context(), size)
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, time.Since(began))
				if err != nil {
					all = append(all, err)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		callers.Wait()
		close(stop)
		pusher.Wait()
		if len(all) > 0 || slowest > 2*takes+100*time.Millisecond {
			t.Errorf("%d of %d heads were not signed, the slowest after %s: %v", len(all), calls, slowest, errors.Join(all...))
		}
		// What is remembered is bounded, and shrinks again.
		l.cosigning.mu.Lock()
		n := len(l.cosigning.recent)
		l.cosigning.mu.Unlock()
		if n > calls/10 {
			t.Errorf("%d heads are remembered", n)
		}
		time.Sleep(askedWithin)
		mustDo(t, l, enrolment(t, memberName(calls), w))
		time.Sleep(2 * publishEvery)
		l.cosigning.mu.Lock()
		defer l.cosigning.mu.Unlock()
		if n := len(l.cosigning.recent); n != recentHeads {
			t.Errorf("%d heads are remembered for ever", n)
		}
	})
}

func TestACosignatureThatIsDatedWrongIsNotTaken(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	now := w.clock.Now()
	for n, tc := range []struct {
		at   time.Time
		good bool
	}{
		{now, true},
		{now.Add(4 * time.Minute), true},
		{now.Add(-4 * time.Minute), true},
		{now.Add(6 * time.Minute), false},
		{now.Add(-6 * time.Minute), false},
		{now.AddDate(75, 0, 0), false},
		{time.Unix(1, 0), false},
		{time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{time.Unix(1<<62, 0), false},
	} {
		a := newTestWitnessAt(t, byte(1+n), tc.at)
		addWitness(t, l, a, nil)
		if _, err := l.CosignedCheckpoint(t.Context(), l.Size()); err != nil {
			t.Fatal(err)
		}
		head, msg, err := l.Head()
		if err != nil {
			t.Fatal(err)
		}
		err = l.Cosign(head.Size, a.key, a.line(t, msg))
		if tc.good != (err == nil) {
			t.Errorf("%s, and here it is %s: %v", tc.at, now, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "one of the two clocks is wrong") || !strings.Contains(err.Error(), "here it is "+now.Format(time.RFC3339))) {
			t.Errorf("it does not say what is wrong: %v", err)
		}
		if joined := strings.Contains(string(l.Checkpoint()), fmt.Sprintf("— witness.example/w%d ", 1+n)); joined != tc.good {
			t.Errorf("%s: joined %v", tc.at, joined)
		}
	}
	// A head from before this start has no time here, and its witness may have signed it long ago.
	l = w.reopen(t, l)
	early := newTestWitnessAt(t, 100, now.AddDate(-1, 0, 0))
	head, msg, err := l.Head()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Cosign(head.Size, early.key, early.line(t, msg)); err != nil {
		t.Errorf("a head from before: %v", err)
	}
}
