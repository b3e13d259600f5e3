package witness

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// long says whether the tests run at the size named in the project's promises.
var long = os.Getenv("CONSENTLEDGER_LONG") != ""

// signed are the heads that a witness has given its signature to.
type signed struct {
	mu    sync.Mutex
	heads []chain.Checkpoint
}

func (s *signed) add(c chain.Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads = append(s.heads, c)
}

// judge says whether all heads are of one of the histories, and which.
func (s *signed) judge(histories ...*testLog) (one *testLog, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	roots := map[uint64]chain.Hash{}
	for _, c := range s.heads {
		if have, ok := roots[c.Size]; ok && have != c.Root {
			return nil, fmt.Errorf("two heads of size %d were signed", c.Size)
		}
		roots[c.Size] = c.Root
	}
next:
	for _, h := range histories {
		for _, c := range s.heads {
			if c.Size > h.tree.Size() || h.root(c.Size) != c.Root {
				continue next
			}
		}
		return h, nil
	}
	return nil, fmt.Errorf("the %d heads that were signed are of no one history", len(s.heads))
}

// submit asks for a signature on a head, going by the sizes that the witness
// names, and gives up once the witness will not have it.
func submit(h http.Handler, l *testLog, size uint64, good note.Verifier, out *signed) {
	old := uint64(0)
	for range 50 {
		status, _, text := ask(h, l.request(old, size).Marshal())
		switch status {
		case http.StatusOK:
			if _, err := note.Open(append(l.note(size), text...), note.VerifierList(good)); err == nil {
				out.add(chain.Checkpoint{Origin: testOrigin, Size: size, Root: l.root(size)})
			}
			return
		case http.StatusConflict:
			latest, err := strconv.ParseUint(strings.TrimSuffix(text, "\n"), 10, 63)
			if err != nil || latest > size || latest == old {
				return
			}
			old = latest
		default:
			return
		}
	}
}

// race lets two histories, which part at the last size, fight for each round's
// heads, and returns what was found out.
func race(t *testing.T, h http.Handler, l *testLog, good note.Verifier, rounds int) (all *signed, err error) {
	const branchSize, callers = 6, 24
	all = &signed{}
	for round := range rounds {
		n := uint64(len(l.leaves))
		a, b := l.branch(n, branchSize, fmt.Sprintf("a%d", round)), l.branch(n, branchSize, fmt.Sprintf("b%d", round))
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range callers {
			which := []*testLog{a, b}[i%2]
			wg.Go(func() {
				<-start
				submit(h, which, n+1+uint64(i/2%branchSize), good, all)
			})
		}
		close(start)
		wg.Wait()
		if l, err = all.judge(a, b); err != nil {
			return all, err
		}
		// Both go on from the largest that was signed.
		top := uint64(0)
		for _, c := range all.heads {
			top = max(top, c.Size)
		}
		if top == n {
			t.Fatalf("round %d: nothing was signed", round)
		}
		l = l.branch(top, 0, "")
	}
	return all, nil
}

func TestRacingForksGetOneHistorySigned(t *testing.T) {
	rounds := 12
	if long {
		rounds = 400
	}
	l := newLog(t, testOrigin, 1)
	w := createWitness(t, l.vkey)
	all, err := race(t, w, l, w.theirs, rounds)
	if err != nil {
		t.Error(err)
	}
	if len(all.heads) < rounds {
		t.Errorf("only %d heads were signed in %d rounds", len(all.heads), rounds)
	}
}

// racy is a memory that decides and writes in two steps.
type racy struct {
	mu   sync.Mutex
	have chain.Checkpoint
}

func (r *racy) advance(_ string, decide func(chain.Checkpoint) (chain.Checkpoint, error)) error {
	r.mu.Lock()
	have := r.have
	r.mu.Unlock()
	next, err := decide(have)
	if err != nil {
		return err
	}
	for range 10 {
		runtime.Gosched()
	}
	time.Sleep(time.Millisecond) // as a disk takes
	r.mu.Lock()
	defer r.mu.Unlock()
	r.have = next
	return nil
}

func TestAWitnessWithoutCompareAndSetIsCaught(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	w := createWitness(t, l.vkey)
	flawed, err := newWitness(&racy{have: chain.EmptyHead(testOrigin)}, w.signer, logsOf(t, l.vkey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := race(t, flawed, l, w.theirs, 200); err == nil {
		t.Error("a witness that decides and writes in two steps was not caught in 200 rounds")
	}
}

// A signature leaves when its head is durable: at every moment at which one is
// out, a copy of the file knows the head.
func TestNoSignatureLeavesBeforeItsHeadIsInTheFile(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(12, "leaf")
	w := createWitness(t, l.vkey)
	for n := uint64(1); n <= 12; n++ {
		if status, _, text := ask(w, l.request(n-1, n).Marshal()); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		b, err := os.ReadFile(w.path)
		if err != nil {
			t.Fatal(err)
		}
		row := encodeRow(chain.Checkpoint{Origin: testOrigin, Size: n, Root: l.root(n)})
		if !bytes.Contains(b, row) {
			t.Fatalf("the head of size %d is signed and not in the file", n)
		}
		if bytes.Contains(b, encodeRow(chain.Checkpoint{Origin: testOrigin, Size: n + 1, Root: l.root(n)})) {
			t.Fatal("control: a head that never was is in the file")
		}
	}
}
