package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Witnesses that lie, and what is none and stands where one stood.

func conflict(rw http.ResponseWriter, size string) {
	rw.Header().Set("Content-Type", sizeType)
	rw.WriteHeader(http.StatusConflict)
	fmt.Fprintln(rw, size)
}

// A witness that always wants another proof is left alone after a few, and one that is slow about it costs
// no more than the time of two requests.
func TestAWitnessThatAlwaysWantsAnotherProofIsLeftAlone(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(500, "leaf")
	w := serveWitness(t, createWitness(t, l.vkey))
	for what, takes := range map[string]time.Duration{"at once": 0, "slowly": 300 * time.Millisecond} {
		var named atomic.Int64
		w.answers(func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(takes)
			conflict(rw, fmt.Sprint(named.Add(1)))
		})
		src := newSource(t, l, w.peer("wit_1"))
		began := time.Now()
		if err := NewPusher(src, PushOptions{Within: 500 * time.Millisecond}).Ask(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n, why := named.Load(), src.whyAway("wit_1"); n < 1 || n > maxTurns || why == "" || takes == 0 && !strings.Contains(why, "another size each time") {
			t.Errorf("%s: it was asked %d times: %s", what, n, why)
		}
		if took := time.Since(began); took > 1350*time.Millisecond {
			t.Errorf("%s: it took %s", what, took)
		}
	}
	// Control: two turns are no offence.
	w.instead.Store(nil)
	w.wants(t, "an older head", l.request(0, 400).Marshal(), http.StatusOK, "")
	src := newSource(t, l, w.peer("wit_1"))
	if err := NewPusher(src, PushOptions{}).Ask(t.Context()); err != nil || src.signedBy(w.vkey) != 500 {
		t.Errorf("%v, %d signed", err, src.signedBy(w.vkey))
	}
}

// Where a witness stood there is now something else, as a proxy that was set up wrong makes it: a web
// service that answers 422 to what it does not understand, as some do, or 409. That is no reason to end
// all writing.
func TestWhatIsNoWitnessContradictsNobody(t *testing.T) {
	for status, says := range map[int]string{
		http.StatusUnprocessableEntity: "does not say which it signed",
		http.StatusConflict:            "409 without a size",
	} {
		l := newLog(t, testOrigin, 1)
		l.grow(10, "leaf")
		w := serveWitness(t, createWitness(t, l.vkey))
		src := newSource(t, l, w.peer("wit_1"))
		p := NewPusher(src, PushOptions{})
		p.first = 0
		if err := p.Ask(t.Context()); err != nil || src.signedBy(w.vkey) != 10 {
			t.Fatalf("control: %v", err)
		}
		src.grow(5)
		w.answers(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"detail":[{"type":"model_attributes_type"}]}`)
		})
		if err := p.Ask(t.Context()); err != nil || !strings.Contains(src.whyAway("wit_1"), says) {
			t.Errorf("%d to everything: %v, %s", status, err, src.whyAway("wit_1"))
		}
		w.instead.Store(nil)
		if err := p.Ask(t.Context()); err != nil || src.signedBy(w.vkey) != 15 {
			t.Errorf("the witness is back: %v, %s", err, src.whyAway("wit_1"))
		}
		// Control: the witness itself, where the log has become another.
		src.log = l.branch(12, 0, "").branch(12, 8, "other")
		src.size = src.log.tree.Size()
		if err := p.Ask(t.Context()); !errors.Is(err, ErrContradiction) || !strings.Contains(err.Error(), "has signed a head of 15 entries") {
			t.Errorf("another history: %v", err)
		}
	}
}
