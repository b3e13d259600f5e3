package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// testSource is a log in memory, with what a pusher has told it.
type testSource struct {
	t testing.TB

	mu      sync.Mutex
	log     *testLog
	size    uint64 // published
	peers   []Peer
	signed  map[string]uint64 // by key, the size that was cosigned
	away    map[string]string // by id, why
	against error
	moved   chan struct{}
}

func newSource(t testing.TB, l *testLog, peers ...Peer) *testSource {
	return &testSource{t: t, log: l, size: l.tree.Size(), peers: peers, signed: map[string]uint64{}, away: map[string]string{}, moved: make(chan struct{})}
}

func (s *testSource) Peers() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers
}

func (s *testSource) Head() (chain.Checkpoint, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return chain.Checkpoint{Origin: testOrigin, Size: s.size, Root: s.log.root(s.size)}, s.log.note(s.size), nil
}

func (s *testSource) Consistency(older, newer uint64) ([]chain.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.proof(older, newer), nil
}

func (s *testSource) Cosign(size uint64, key string, lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := chain.ParseWitnessKey(key)
	if err != nil {
		return err
	}
	if _, err := note.Open(append(s.log.note(size), lines...), note.VerifierList(v)); err != nil {
		return err
	}
	s.signed[key] = size
	delete(s.away, key)
	return nil
}

func (s *testSource) Away(id, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away[id] = why
}

func (s *testSource) Contradicted(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.against = err
}

func (s *testSource) Moved() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

// grow publishes more entries.
func (s *testSource) grow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.grow(n, "leaf")
	s.size = s.log.tree.Size()
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *testSource) signedBy(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed[key]
}

func (s *testSource) whyAway(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away[id]
}

func (s *testSource) whatAgainst() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.against
}

// served is a witness at a URL, which can be told to answer with something else.
type served struct {
	*testWitness
	url     string
	instead atomic.Pointer[http.HandlerFunc]
	asked   atomic.Int64
}

func serveWitness(t testing.TB, w *testWitness) *served {
	s := &served{testWitness: w}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if h := s.instead.Load(); h != nil {
			(*h)(rw, r)
			return
		}
		w.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *served) answers(h http.HandlerFunc) { s.instead.Store(&h) }

func (s *served) peer(id string) Peer {
	return Peer{ID: id, Name: "witness.example/w1", URL: s.url, Key: s.vkey}
}

func TestAWitnessIsAskedWithTheProofThatItWants(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(5, "leaf")
	w := serveWitness(t, createWitness(t, l.vkey))
	src := newSource(t, l, w.peer("wit_1"))
	p := NewPusher(src, PushOptions{})
	for range 3 {
		if err := p.Ask(t.Context()); err != nil || src.signedBy(w.vkey) != src.size {
			t.Fatalf("%v, %d of %d signed: %s", err, src.signedBy(w.vkey), src.size, src.whyAway("wit_1"))
		}
		src.grow(4)
	}
	if n := w.asked.Load(); n != 3 {
		t.Errorf("%d requests for three heads", n)
	}
	// After a start the witness says from where it wants the proof.
	p = NewPusher(src, PushOptions{})
	if err := p.Ask(t.Context()); err != nil || src.signedBy(w.vkey) != src.size || w.asked.Load() != 5 {
		t.Errorf("%v, %d of %d signed, %d requests", err, src.signedBy(w.vkey), src.size, w.asked.Load())
	}
	// Nothing new: nobody is asked.
	if err := p.Ask(t.Context()); err != nil || w.asked.Load() != 5 {
		t.Errorf("%v, %d requests", err, w.asked.Load())
	}
	if src.whyAway("wit_1") != "" {
		t.Error(src.whyAway("wit_1"))
	}
}

func TestAnEmptyLogAsksToo(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	w := serveWitness(t, createWitness(t, l.vkey))
	if err := NewPusher(newSource(t, l, w.peer("wit_1")), PushOptions{}).Ask(t.Context()); err != nil {
		t.Errorf("a witness that has seen nothing: %v", err)
	}
	longer := newLog(t, testOrigin, 1)
	longer.grow(3, "leaf")
	w.wants(t, "a head", longer.request(0, 3).Marshal(), http.StatusOK, "")
	if err := NewPusher(newSource(t, l, w.peer("wit_1")), PushOptions{}).Ask(t.Context()); !errors.Is(err, ErrContradiction) {
		t.Errorf("a witness that has seen more: %v", err)
	}
}

// TestAnotherHistoryIsFoundOut is the operator who rewrites it with all keys in hand.
func TestAnotherHistoryIsFoundOut(t *testing.T) {
	shown := newLog(t, testOrigin, 1)
	shown.grow(10, "leaf")
	for name, tc := range map[string]struct {
		log  *testLog
		says string
	}{
		"a shorter one":      {shown.branch(7, 0, ""), "a head of 10 entries"},
		"another of as many": {shown.branch(4, 6, "other"), "another head of 10 entries"},
		"a longer one":       {shown.branch(4, 20, "other"), "not the beginning of this log"},
		"the same":           {shown.branch(10, 0, ""), ""}, // control
		"its continuation":   {shown.branch(10, 9, "leaf"), ""},
	} {
		w := serveWitness(t, createWitness(t, shown.vkey))
		w.wants(t, "what was shown", shown.request(0, 10).Marshal(), http.StatusOK, "")
		src := newSource(t, tc.log, w.peer("wit_1"))
		err := NewPusher(src, PushOptions{}).Ask(t.Context())
		switch {
		case tc.says == "" && (err != nil || src.signedBy(w.vkey) != src.size):
			t.Errorf("%s: %v, %s", name, err, src.whyAway("wit_1"))
		case tc.says != "" && (!errors.Is(err, ErrContradiction) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "witness.example/w1")):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a witness may answer, and what is made of it: it is away, and says why, or it is believed.
func TestABadAnswerIsNoContradiction(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(10, "leaf")
	w := serveWitness(t, createWitness(t, l.vkey))
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, h := range map[string]http.HandlerFunc{
		"404": http.NotFound,
		"403": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) },
		"400": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(400) },
		"500": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) },
		"a redirect": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, other.URL, http.StatusTemporaryRedirect)
		},
		"no signature":       func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello\n") },
		"an empty answer":    func(http.ResponseWriter, *http.Request) {},
		"a long answer":      func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, strings.Repeat("x", maxAnswer+1)) },
		"409 and no size":    func(rw http.ResponseWriter, _ *http.Request) { conflict(rw, "x") },
		"409 and the same":   func(rw http.ResponseWriter, _ *http.Request) { conflict(rw, "0") },
		"409 of a web page":  func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(409); fmt.Fprint(rw, "1000\n") },
		"422 of a first one": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(422) },
		"a cut connection":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing for long": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
		},
		"409 in turns": func() http.HandlerFunc {
			var n atomic.Int64
			return func(rw http.ResponseWriter, _ *http.Request) {
				conflict(rw, fmt.Sprint(1+n.Add(1)%2))
			}
		}(),
		"long headers": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Long", strings.Repeat("x", maxAnswer+4096))
			w.ServeHTTP(rw, r)
		},
		"bytes without end": func(rw http.ResponseWriter, r *http.Request) {
			for b := bytes.Repeat([]byte("x"), 1<<16); r.Context().Err() == nil; {
				if _, err := rw.Write(b); err != nil {
					return
				}
			}
		},
	} {
		w.answers(h)
		src := newSource(t, l, w.peer("wit_1"))
		began := time.Now()
		if err := NewPusher(src, PushOptions{Within: 200 * time.Millisecond}).Ask(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if src.whyAway("wit_1") == "" || src.signedBy(w.vkey) != 0 {
			t.Errorf("%s: away %q, %d signed", name, src.whyAway("wit_1"), src.signedBy(w.vkey))
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	// Control.
	w.instead.Store(nil)
	src := newSource(t, l, w.peer("wit_1"))
	if err := NewPusher(src, PushOptions{}).Ask(t.Context()); err != nil || src.signedBy(w.vkey) != 10 {
		t.Errorf("%v, %d signed", err, src.signedBy(w.vkey))
	}
}

func TestAWitnessThatComesBackIsAskedAgain(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(3, "leaf")
	good := serveWitness(t, createWitness(t, l.vkey))
	ill := serveWitness(t, createWitness(t, l.vkey))
	ill.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) })
	illPeer := ill.peer("wit_2")
	src := newSource(t, l, good.peer("wit_1"), illPeer)
	p := NewPusher(src, PushOptions{Most: 100 * time.Millisecond})
	p.first = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the good one does not sign", func() bool { return good.asked.Load() > 0 && src.signedBy(good.vkey) == 3 })
	until("the ill one is not asked again", func() bool { return ill.asked.Load() > 3 })
	// The good one is not kept waiting, nor asked again.
	for range 5 {
		src.grow(1)
		until("the good one does not go on", func() bool { return good.asked.Load() > 0 && src.signedBy(good.vkey) == src.size })
	}
	if n := good.asked.Load(); n > 8 {
		t.Errorf("the good one was asked %d times for six heads", n)
	}
	if n := ill.asked.Load(); n > 2000 {
		t.Errorf("the ill one was asked %d times", n)
	}
	ill.instead.Store(nil)
	until("the ill one was not asked once it was well", func() bool {
		status, _, answer := ask(ill.Witness, l.request(0, 1).Marshal())
		return status == http.StatusConflict && answer == fmt.Sprintf("%d\n", src.size)
	})
	// A contradiction ends it.
	good.answers(func(rw http.ResponseWriter, _ *http.Request) { conflict(rw, "1000") })
	src.grow(1)
	until("the log was not told", func() bool { return errors.Is(src.whatAgainst(), ErrContradiction) })
	<-done
	cancel()
}

// A witness that takes a connection and says nothing, or takes its time over every head, keeps the others
// waiting once, and no more.
func TestNobodyWaitsForAWitnessThatHangs(t *testing.T) {
	t.Run("for ever", func(t *testing.T) { nobodyWaits(t, true) })
	t.Run("for a while, and signs", func(t *testing.T) { nobodyWaits(t, false) })
}

func nobodyWaits(t *testing.T, forEver bool) {
	const within = 300 * time.Millisecond
	l := newLog(t, testOrigin, 1)
	l.grow(3, "leaf")
	good := serveWitness(t, createWitness(t, l.vkey))
	// Two keys, so that one can be told from the other.
	ill := serveWitness(t, createWitnessNamed(t, "witness.example/w2", l.vkey))
	ill.answers(func(rw http.ResponseWriter, r *http.Request) {
		patience := 2 * within / 3
		if forEver {
			patience = time.Second
		}
		select {
		case <-r.Context().Done():
		case <-time.After(patience):
			ill.ServeHTTP(rw, r)
		}
	})
	src := newSource(t, l, good.peer("wit_1"), Peer{ID: "wit_2", Name: "witness.example/w2", URL: ill.url, Key: ill.vkey})
	p := NewPusher(src, PushOptions{Within: within, Most: 10 * time.Millisecond})
	p.first = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	wait := func() time.Duration {
		began := time.Now()
		for src.signedBy(good.vkey) != src.size {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the good one does not sign")
			}
			time.Sleep(time.Millisecond)
		}
		return time.Since(began)
	}
	wait()
	for end := time.Now().Add(10 * time.Second); src.whyAway("wit_2") == "" && src.signedBy(ill.vkey) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the one that hangs is not away")
		}
	}
	slow := 0
	for range 20 {
		src.grow(1)
		if wait() > within/2 {
			slow++
		}
		time.Sleep(20 * time.Millisecond)
	}
	if slow > 2 {
		t.Errorf("%d of 20 heads waited for a witness that hangs", slow)
	}
	if n := ill.asked.Load(); n < 2 {
		t.Errorf("the one that hangs was asked %d times", n)
	}
	if signs := src.signedBy(ill.vkey) > 0; signs == forEver {
		t.Errorf("the one that hangs signs: %v", signs)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("it runs on")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(3, "leaf")
	w := serveWitness(t, createWitness(t, l.vkey))
	hangs := serveWitness(t, createWitnessNamed(t, "witness.example/w2", l.vkey))
	hangs.answers(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not noticed
		<-r.Context().Done()
	})
	already := goleak.IgnoreCurrent()
	src := newSource(t, l, w.peer("wit_1"), Peer{ID: "wit_2", Name: "witness.example/w2", URL: hangs.url, Key: hangs.vkey})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	// Away after 200 ms, and hanging again soon after that, where nobody waits for it.
	p := NewPusher(src, PushOptions{Within: 200 * time.Millisecond, Most: 20 * time.Millisecond})
	go func() { defer close(done); p.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); src.signedBy(w.vkey) != 3 || hangs.asked.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was pushed")
		}
	}
	if goleak.Find(already, goleak.IgnoreTopFunction("time.Sleep")) == nil {
		t.Error("control: while it runs there is nothing to be found")
	}
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it runs on")
	}
	// Nothing of it is left, on either side of the connections.
	if err := goleak.Find(already); err != nil {
		t.Error(err)
	}
}

// A log that a witness contradicts stays shut: then its pusher leaves nothing behind either.
func TestAskThatFindsAContradictionLeavesNothingBehind(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(10, "leaf")
	w := serveWitness(t, createWitness(t, l.vkey))
	w.wants(t, "a head", l.request(0, 10).Marshal(), http.StatusOK, "")
	already := goleak.IgnoreCurrent()
	if err := NewPusher(newSource(t, l.branch(4, 3, "other"), w.peer("wit_1")), PushOptions{}).Ask(t.Context()); !errors.Is(err, ErrContradiction) {
		t.Errorf("control: %v", err)
	}
	if err := goleak.Find(already); err != nil {
		t.Error(err)
	}
}
