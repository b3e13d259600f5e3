package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote/tilestest"
)

// A grownLog serves a log that grows, counts what is read of it, and answers
// some paths otherwise.
type grownLog struct {
	t    *testing.T
	all  *tilestest.Log
	seed [32]byte
	key  string
	url  string

	mu       sync.Mutex
	now      http.Handler
	change   func(path string, b []byte) []byte
	requests int
	bytes    int
}

const grownOrigin = "ledger.example/consent"

func newGrownLog(t *testing.T, entries int) *grownLog {
	t.Helper()
	l := &grownLog{t: t, seed: [32]byte(bytes.Repeat([]byte{7}, 32))}
	var err error
	if l.all, err = tilestest.New(entries, grownOrigin, l.seed, 0); err != nil {
		t.Fatal(err)
	}
	if _, l.key, err = chain.NewSigner(grownOrigin, l.seed); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

func (l *grownLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec := httptest.NewRecorder()
	l.now.ServeHTTP(rec, r)
	b := rec.Body.Bytes()
	if l.change != nil {
		b = l.change(r.URL.Path, bytes.Clone(b))
	}
	l.requests++
	l.bytes += len(b)
	w.WriteHeader(rec.Code)
	_, _ = w.Write(b)
}

// show has the log serve its first n entries, with some answers changed.
func (l *grownLog) show(n int, change func(path string, b []byte) []byte) {
	l.t.Helper()
	p, err := l.all.Prefix(n, grownOrigin, l.seed)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.change, l.requests, l.bytes = tilestest.Handler(p), change, 0, 0
}

// read is what was read since show.
func (l *grownLog) read() (requests, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests, l.bytes
}

// flipped changes one bit of one path, as often as it is read or only once.
func flipped(path string, once bool) func(string, []byte) []byte {
	done := false
	return func(p string, b []byte) []byte {
		if p == path && !(once && done) {
			done = true
			b[len(b)/2] ^= 1
		}
		return b
	}
}

func says(list []string, what string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, what) })
}

func TestWithAStateFileOnlyWhatIsNewIsRead(t *testing.T) {
	l := newGrownLog(t, 30_000)
	state := filepath.Join(t.TempDir(), "state")
	check := func(more ...string) (int, answer, string) {
		t.Helper()
		return verifyBinary(t, append([]string{"--url", l.url, "--key", l.key, "--state", state}, more...)...)
	}
	kept := func() []byte {
		t.Helper()
		b, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	l.show(20_000, nil)
	if rc, a, msg := check(); rc != exitDone || a.Before != nil || a.ReadFrom != 0 {
		t.Fatalf("the first time: %d, %+v, %s", rc, a, msg)
	}
	wholeRequests, wholeBytes := l.read()
	if wholeRequests < 2*20_000/256 || wholeBytes < 20_000*chain.MinEntry {
		t.Fatalf("the first time %d bytes were read in %d requests: not all", wholeBytes, wholeRequests)
	}
	at := 20_000
	for _, c := range []struct{ size, bundles int }{{20_000, 1}, {20_100, 1}, {20_480, 2}, {20_500, 2}, {25_000, 18}} {
		l.show(c.size, nil)
		rc, a, msg := check()
		if rc != exitDone || a.Before == nil || a.Before.Entries != uint64(at) || a.ReadFrom != uint64((at-1)/256*256) {
			t.Fatalf("%d entries: %d, %+v, %s", c.size, rc, a, msg)
		}
		// A bundle and a tile for each 256 entries; a tile on each of two levels
		// for the old head and for the right edge, and the checkpoint.
		if requests, bytes := l.read(); requests > 2*c.bundles+6 || bytes > (c.bundles+1)*wholeBytes*256/20_000+6*chain.TileSize {
			t.Errorf("%d entries: %d bytes were read in %d requests", c.size, bytes, requests)
		}
		if !says(a.Checked, "entries 0 to ") || !says(a.Unchecked, "--full reads them again") {
			t.Errorf("%d entries: it does not say what was verified when: %v, %v", c.size, a.Checked, a.Unchecked)
		}
		at = c.size
	}

	// An entry below the state's head is given otherwise, its tile is as it was:
	// that is not read again, and the report says so. Reading all finds it.
	good := kept()
	l.show(at, flipped("/tile/entries/001", false))
	if rc, a, msg := check(); rc != exitDone || !says(a.Unchecked, "whether the server still gives the entries 0 to") {
		t.Errorf("an entry that is not read: %d, %+v, %s", rc, a, msg)
	}
	good2 := kept()
	if rc, a, msg := check("--full"); rc != exitNo || a.FirstBadIndex == nil || *a.FirstBadIndex/256 != 1 || !bytes.Equal(kept(), good2) {
		t.Errorf("--full: %d, %+v, %s", rc, a, msg)
	}
	if bytes.Contains(good, []byte("v1")) || len(good) > 1024 {
		t.Errorf("the state is no small file of version 2: %s", good)
	}

	// One in what is new, given once and then well: what was found is found.
	for _, once := range []bool{false, true} {
		l.show(26_000, flipped("/tile/entries/100", once))
		rc, a, msg := check()
		if rc != exitNo || a.FirstBadIndex == nil || *a.FirstBadIndex/256 != 100 || !bytes.Equal(kept(), good2) || says(a.Unchecked, "read again, which was then") != once {
			t.Errorf("an altered new entry, once %v: %d, %+v, %s", once, rc, a, msg)
		}
	}

	// Control: --full on the good log reads all, and the state says when.
	time.Sleep(1100 * time.Millisecond) // the state counts seconds
	l.show(26_000, nil)
	rc, a, msg := check("--full")
	if requests, _ := l.read(); rc != exitDone || a.Before != nil || requests < 2*26_000/256 {
		t.Errorf("--full on the good log: %d, %+v, %s; %d requests", rc, a, msg, requests)
	}
	rc, a, msg = check()
	if rc != exitDone || a.Before == nil || !a.Before.WholeAt.Equal(a.Before.VerifiedAt) {
		t.Fatalf("after --full: %d, %+v, %s", rc, a, msg)
	}
	time.Sleep(1100 * time.Millisecond)
	whole := a.Before.WholeAt
	_, _, _ = check()
	if rc, a, msg := check(); rc != exitDone || !a.Before.WholeAt.Equal(whole) || !a.Before.VerifiedAt.After(whole) {
		t.Errorf("the state forgets when all was read: %d, %+v, %s", rc, a, msg)
	}
	out, err := exec.Command("consentledger", "verify", "--url", l.url, "--key", l.key, "--state", state).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "read now: those from 25856 on") || !strings.Contains(string(out), "verified before with this state file, last on 20") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAForgedStateLeavesNothingOut(t *testing.T) {
	l := newGrownLog(t, 900)
	state := filepath.Join(t.TempDir(), "state")
	l.show(800, nil)
	args := []string{"--url", l.url, "--key", l.key, "--state", state}
	if rc, a, msg := verifyBinary(t, args...); rc != exitDone {
		t.Fatalf("%d, %+v, %s", rc, a, msg)
	}
	// Another key's log has this head: its signature is not the log's.
	other := newGrownLog(t, 900)
	other.seed[0] ^= 1
	other.show(800, nil)
	_, key, err := chain.NewSigner(grownOrigin, other.seed)
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "state")
	if rc, a, msg := verifyBinary(t, "--url", other.url, "--key", key, "--state", forged); rc != exitDone {
		t.Fatalf("control: %d, %+v, %s", rc, a, msg)
	}
	l.show(900, nil)
	rc, a, msg := verifyBinary(t, append(args[:4:4], "--state", forged)...)
	if requests, _ := l.read(); rc != exitNo || a.Before != nil || !slices.Contains(kinds(a), string(chain.CheckpointSignature)) || requests < 8 {
		t.Errorf("%d, %+v, %s; %d requests", rc, a, msg, requests)
	}
	if rc, a, msg := verifyBinary(t, args...); rc != exitDone || a.Before == nil {
		t.Errorf("control: the true state: %d, %+v, %s", rc, a, msg)
	}
}
