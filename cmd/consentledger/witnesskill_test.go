package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/server/witness"
)

// A history is one that a log with all keys in hand could tell. Its tree and
// its proofs are those of github.com/transparency-dev/merkle.
type history struct {
	leaves [][]byte
	tree   *testonly.Tree
}

func newHistory(leaves [][]byte, more int, what string) *history {
	h := &history{leaves: slices.Clone(leaves), tree: testonly.New(rfc6962.DefaultHasher)}
	for i := range more {
		h.leaves = append(h.leaves, fmt.Appendf(nil, "%s %d", what, i))
	}
	h.tree.AppendData(h.leaves...)
	return h
}

func (h *history) size() uint64 { return uint64(len(h.leaves)) }

// A signedHead is one that the witness has given its signature to.
type signedHead struct {
	size uint64
	root string
}

// liar is a log that has every history signed that it can.
type liar struct {
	t        *testing.T
	log      note.Signer
	good     note.Verifier
	url      string
	client   *http.Client
	mu       sync.Mutex
	trunk    *history // whose head is the newest that is known to be signed
	underWay map[*history]bool
	signed   []signedHead
}

// ask has a history's head signed, as the continuation of what it shares with
// the one that was signed at a size.
func (l *liar) ask(h *history, old uint64) (status int, answer string, err error) {
	root := h.tree.Hash()
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", l.log.Name(), h.size(), base64.StdEncoding.EncodeToString(root))}, l.log)
	if err != nil {
		return 0, "", err
	}
	raw, err := h.tree.ConsistencyProof(old, h.size())
	if err != nil {
		return 0, "", err
	}
	r := witness.Request{Old: old, Note: msg}
	for _, p := range raw {
		r.Proof = append(r.Proof, chain.Hash(p))
	}
	resp, err := l.client.Post(l.url+"/add-checkpoint", "text/plain", bytes.NewReader(r.Marshal()))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	if resp.StatusCode == http.StatusOK {
		if _, err := note.Open(append(msg, b...), note.VerifierList(l.good)); err != nil {
			l.t.Errorf("a signature that does not verify: %v", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.signed = append(l.signed, signedHead{h.size(), string(root)})
		if h.size() > l.trunk.size() {
			l.trunk = h
		}
	}
	return resp.StatusCode, string(b), nil
}

// forks tries one history after the other until the witness is gone.
func (l *liar) forks(name string) {
	for i := 0; ; i++ {
		l.mu.Lock()
		trunk := l.trunk
		h := newHistory(trunk.leaves, 1+rand.IntN(3), fmt.Sprintf("%s-%d", name, i))
		l.underWay[h] = true
		l.mu.Unlock()
		if _, _, err := l.ask(h, trunk.size()); err != nil {
			return // what was under way may have been signed
		}
		l.mu.Lock()
		delete(l.underWay, h)
		l.mu.Unlock()
	}
}

// resume finds out what the witness has signed that nobody was told of.
func (l *liar) resume() {
	l.t.Helper()
	status, answer, err := l.ask(newHistory(nil, 0, ""), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	size := uint64(0)
	if status == http.StatusConflict {
		if size, err = strconv.ParseUint(strings.TrimSuffix(answer, "\n"), 10, 63); err != nil {
			l.t.Fatal(err)
		}
	}
	if size < l.trunk.size() {
		l.t.Errorf("the witness has signed %d entries and remembers %d", l.trunk.size(), size)
	}
	if size > l.trunk.size() {
		found := false
		for h := range l.underWay {
			if h.size() != size {
				continue
			}
			if status, _, err := l.ask(h, size); err != nil {
				l.t.Fatal(err)
			} else if status == http.StatusOK {
				found = true
			}
		}
		if !found {
			l.t.Fatalf("the witness remembers a head of size %d that nobody asked for", size)
		}
	}
	clear(l.underWay)
}

// judge says whether all that was signed is of one history.
func (l *liar) judge() error {
	roots := map[uint64]string{}
	for _, s := range l.signed {
		if have, ok := roots[s.size]; ok && have != s.root {
			return fmt.Errorf("two heads of size %d were signed", s.size)
		}
		roots[s.size] = s.root
		if s.size > l.trunk.size() || string(l.trunk.tree.HashAt(s.size)) != s.root {
			return fmt.Errorf("the head of size %d is of another history", s.size)
		}
	}
	return nil
}

// TestAWitnessThatIsKilledSignsOneHistory kills the real witness while a log
// tells it a new history in every request, again and again.
func TestAWitnessThatIsKilledSignsOneHistory(t *testing.T) {
	rounds := 6
	if long {
		rounds = 50
	}
	dir := t.TempDir()
	state, key := newWitness(t)
	var seed [32]byte
	seed[0] = 1
	signer, vkey, err := chain.NewSigner("liar.example/log", seed)
	if err != nil {
		t.Fatal(err)
	}
	good, err := fnote.NewVerifierForCosignatureV1(key)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{t: t, log: signer, good: good, trunk: newHistory(nil, 0, ""), underWay: map[*history]bool{}}
	start := func() *exec.Cmd {
		cmd, url := startWitness(t, state, vkey)
		l.url, l.client = url, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	unheard := 0
	for round := range rounds {
		cmd := start()
		before := l.trunk.size()
		l.resume()
		if l.trunk.size() > before {
			unheard++
		}
		if round == 1 { // a copy of what the witness knew then, for the control
			b, err := os.ReadFile(filepath.Join(state, "witness.db"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "old.db"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() { l.forks(fmt.Sprintf("r%d-c%d", round, c)) })
		}
		time.Sleep(time.Duration(30+rand.IntN(150)) * time.Millisecond)
		kill(cmd)
		wg.Wait()
		l.client.CloseIdleConnections()
	}
	cmd := start()
	l.resume()
	if err := l.judge(); err != nil {
		t.Error(err)
	}
	if len(l.signed) < 5*rounds {
		t.Errorf("only %d heads were signed in %d rounds", len(l.signed), rounds)
	}
	t.Logf("%d heads signed in %d rounds; %d times the last was signed and nobody heard of it", len(l.signed), rounds, unheard)
	kill(cmd)

	// Control: a witness that has forgotten signs twice, and it shows.
	b, err := os.ReadFile(filepath.Join(dir, "old.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "witness.db"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd = start()
	defer kill(cmd)
	_, answer, err := l.ask(newHistory(nil, 0, ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(answer, "\n"), 10, 63)
	if err != nil || size >= l.trunk.size() {
		t.Fatalf("the control forgets nothing: %q of %d", answer, l.trunk.size())
	}
	if status, answer, err := l.ask(newHistory(l.trunk.leaves[:size], 1, "fork"), size); status != http.StatusOK {
		t.Fatalf("the control was not signed: %d %s %v", status, answer, err)
	}
	if l.judge() == nil {
		t.Error("two histories were signed, and it does not show")
	}
}

// newWitness makes a witness, and returns its directory and its verifier key.
func newWitness(t *testing.T) (state, key string) {
	t.Helper()
	state = filepath.Join(t.TempDir(), "state")
	out, err := exec.Command("consentledger", "witness", "init", "--state", state, "--name", "witness.example/w1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return state, strings.Fields(string(out[bytes.Index(out, []byte("verifier key")):]))[2]
}

// startWitness starts the real witness and waits until it listens.
func startWitness(t *testing.T, state string, logs ...string) (*exec.Cmd, string) {
	t.Helper()
	return startWitnessAt(t, "127.0.0.1:0", state, logs...)
}

func startWitnessAt(t *testing.T, address, state string, logs ...string) (*exec.Cmd, string) {
	t.Helper()
	args := []string{"witness", "serve", "--state", state, "--listen", address}
	for _, l := range logs {
		args = append(args, "--log", l)
	}
	cmd := exec.Command("consentledger", args...)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := ready.FindSubmatch(b); m != nil {
			return cmd, string(m[1])
		}
	}
	b, _ := os.ReadFile(out.Name())
	t.Fatalf("the witness does not listen\n%s", b)
	return nil, ""
}
