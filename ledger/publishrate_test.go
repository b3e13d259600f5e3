package ledger

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// A headWatch sees every head that a ledger publishes, and when. It runs where time is testing/synctest's:
// that moves on only when nobody has anything to do, so no head is missed.
type headWatch struct {
	t     *testing.T
	l     *Ledger
	at    []time.Time
	sizes []uint64
}

// look notes a head that was not there before.
func (h *headWatch) look() {
	p := h.l.published.Load()
	if p == nil || len(h.sizes) > 0 && h.sizes[len(h.sizes)-1] == p.size {
		return
	}
	h.at, h.sizes = append(h.at, time.Now()), append(h.sizes, p.size)
}

// forTime lets d pass, and notes what is published.
func (h *headWatch) forTime(d time.Duration) {
	for end := time.After(d); ; {
		moved := h.l.Moved()
		h.look()
		select {
		case <-moved:
		case <-end:
			synctest.Wait()
			h.look()
			return
		}
	}
}

// written is how many heads were ever made durable: none is published that was not, so none was overlooked.
func (h *headWatch) written() uint64 {
	h.l.headFile.mu.Lock()
	defer h.l.headFile.mu.Unlock()
	return h.l.headFile.counter
}

func TestABusyLedgerPublishesOnceASecondAndAnIdleOneNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.create(t)
		defer func() { l.Close() }()
		h := &headWatch{t: t, l: l}
		h.forTime(3 * time.Second) // what creating it has left to publish
		at, before := len(h.at), h.written()

		const busy = 10
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range busy * 20 {
				mustDo(t, l, enrolment(t, memberName(i), w))
				time.Sleep(time.Second / 20)
			}
		}()
		h.forTime(busy * time.Second)
		<-done
		h.forTime(2 * time.Second) // the last of them
		if n := h.written() - before; n < busy || n > busy+1 || n != uint64(len(h.at)-at) {
			t.Errorf("%d heads in %d s with new entries all the time, of which %d were seen", n, busy, len(h.at)-at)
		}
		for i := at + 1; i < len(h.at); i++ {
			if gap := h.at[i].Sub(h.at[i-1]); gap < time.Second || h.sizes[i] <= h.sizes[i-1] {
				t.Errorf("head %d comes %s after the one before, with %d entries after %d", i, gap, h.sizes[i], h.sizes[i-1])
			}
		}
		if h.sizes[len(h.sizes)-1] != l.Size() {
			t.Errorf("the last head has %d of %d entries", h.sizes[len(h.sizes)-1], l.Size())
		}

		before = h.written()
		h.forTime(24 * time.Hour)
		if n := h.written() - before; n != 0 {
			t.Errorf("%d heads in a day without an entry", n)
		}
		// Control: one entry, and one head within a second.
		mustDo(t, l, enrolment(t, memberName(10_000), w))
		h.forTime(time.Second)
		h.forTime(time.Hour)
		if n := h.written() - before; n != 1 || l.published.Load().size != l.Size() {
			t.Errorf("%d heads after one entry", n)
		}
	})
}

// A disk that is slow for once is not made up for by two heads at a time.
func TestASlowHeadIsNotFollowedByAnotherAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 1500 * time.Millisecond
		var slow atomic.Bool
		w := newWorld(t)
		w.now = func() time.Time { // which publishing asks last of all
			if slow.CompareAndSwap(true, false) {
				time.Sleep(takes)
			}
			return w.clock.Now()
		}
		l := w.create(t)
		defer func() { l.Close() }()
		h := &headWatch{t: t, l: l}
		h.forTime(3 * time.Second)
		at := len(h.at)
		mustDo(t, l, enrolment(t, memberName(1), w))
		slow.Store(true)
		h.forTime(takes) // the head is under way
		if slow.Load() || len(h.at) != at {
			t.Fatal("the test slows nothing down")
		}
		mustDo(t, l, enrolment(t, memberName(2), w))
		h.forTime(5 * time.Second)
		if len(h.at) != at+2 || h.at[at+1].Sub(h.at[at]) < time.Second {
			t.Errorf("heads at %v", h.at[at:])
		}
	})
}

func TestAHeadOnDemandIsThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.create(t)
		defer func() { l.Close() }()
		h := &headWatch{t: t, l: l}
		h.forTime(3 * time.Second)
		opens := func(what string, msg []byte, size uint64) {
			t.Helper()
			if c, err := chain.OpenCheckpoint(msg, note.VerifierList(l.verifier), l.id.Origin); err != nil || c.Size < size {
				t.Errorf("%s: a head of %d entries and not %d: %v", what, c.Size, size, err)
			}
		}
		// Between two of the clock's, as many as are asked for.
		began := time.Now()
		for i := range 5 {
			mustDo(t, l, enrolment(t, memberName(i), w))
			size, before := l.Size(), h.written()
			if l.published.Load().size >= size {
				t.Fatal("control: it is published already")
			}
			msg, err := l.CosignedCheckpoint(t.Context(), size)
			if err != nil {
				t.Fatal(err)
			}
			opens("on demand", msg, size)
			// Who asks for what is there gets that.
			if again, err := l.CosignedCheckpoint(t.Context(), size); err != nil || string(again) != string(msg) {
				t.Errorf("asked again: %v", err)
			}
			if n := h.written() - before; n != 1 {
				t.Errorf("%d heads for one demand", n)
			}
		}
		mustDo(t, l, enrolment(t, memberName(6), w))
		proof, err := l.Entry(t.Context(), admin, l.Size()-1)
		if err != nil {
			t.Fatal(err)
		}
		opens("an entry's proof", proof.Checkpoint, l.Size())
		if took := time.Since(began); took != 0 {
			t.Errorf("it was waited for: %s", took)
		}
		if _, err := l.CosignedCheckpoint(t.Context(), l.Size()+1); !errors.Is(err, ErrUnknownEntry) {
			t.Errorf("an entry that is not there: %v", err)
		}

		// With a witness that must sign: as soon as it has, or not at all after five seconds.
		a := newTestWitness(t, 1)
		addWitness(t, l, a, number(1))
		size := l.Size()
		began = time.Now()
		if _, err := l.CosignedCheckpoint(t.Context(), size); !errors.Is(err, ErrWitnessesAway) || time.Since(began) != cosignWithin {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		cut, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.CosignedCheckpoint(cut, size); !errors.Is(err, ErrWitnessesAway) || time.Since(began) != time.Second {
			t.Errorf("a caller with less time: after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		time.AfterFunc(2*time.Second, func() {
			head, msg, err := l.Head()
			if err == nil {
				err = l.Cosign(head.Size, a.key, a.line(t, msg))
			}
			if err != nil {
				t.Error(err)
			}
		})
		msg, err := l.CosignedCheckpoint(t.Context(), size)
		if err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		opens("signed", msg, size)
	})
}
