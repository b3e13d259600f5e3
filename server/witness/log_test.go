package witness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
)

const testOrigin = "ledger.example/consent"

func seed(b byte) (s [32]byte) {
	copy(s[:], bytes.Repeat([]byte{b}, 32))
	return s
}

// A testLog is a log in memory, whose tree and proofs are those of
// github.com/transparency-dev/merkle.
type testLog struct {
	t      testing.TB
	tree   *testonly.Tree
	signer note.Signer
	vkey   string
	leaves [][]byte
}

func newLog(t testing.TB, origin string, key byte) *testLog {
	s, vkey, err := chain.NewSigner(origin, seed(key))
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{t: t, tree: testonly.New(rfc6962.DefaultHasher), signer: s, vkey: vkey}
}

// branch is a log with the first n leaves, and as many more of another history.
func (l *testLog) branch(n uint64, more int, what string) *testLog {
	b := &testLog{t: l.t, tree: testonly.New(rfc6962.DefaultHasher), signer: l.signer, vkey: l.vkey}
	for _, leaf := range l.leaves[:n] {
		b.add(leaf)
	}
	b.grow(more, what)
	return b
}

func (l *testLog) add(leaf []byte) {
	l.leaves = append(l.leaves, leaf)
	l.tree.AppendData(leaf)
}

func (l *testLog) grow(n int, what string) {
	for range n {
		l.add(fmt.Appendf(nil, "%s %d", what, len(l.leaves)))
	}
}

func (l *testLog) root(n uint64) chain.Hash { return chain.Hash(l.tree.HashAt(n)) }

// note is a signed checkpoint; extensions are lines of their own.
func (l *testLog) note(n uint64, extensions ...string) []byte {
	root := l.root(n)
	return l.sign(fmt.Sprintf("%s\n%d\n%s\n%s", l.signer.Name(), n, base64.StdEncoding.EncodeToString(root[:]), strings.Join(extensions, "")))
}

func (l *testLog) sign(text string) []byte {
	msg, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		l.t.Error(err)
	}
	return msg
}

func (l *testLog) proof(m, n uint64) (proof []chain.Hash) {
	raw, err := l.tree.ConsistencyProof(m, n)
	if err != nil {
		l.t.Error(err)
	}
	for _, h := range raw {
		proof = append(proof, chain.Hash(h))
	}
	return proof
}

func (l *testLog) request(m, n uint64) Request {
	return Request{Old: m, Proof: l.proof(m, n), Note: l.note(n)}
}

// testWitness is one with its memory in a file.
type testWitness struct {
	*Witness
	path, vkey string
	theirs     note.Verifier // of transparency-dev/formats
	store      store.Store
}

var cosignedAt = time.Unix(1_795_000_000, 0)

func openWitness(t testing.TB, path string, vkeys ...string) *testWitness {
	t.Helper()
	return openWitnessNamed(t, path, "witness.example/w1", vkeys...)
}

func openWitnessNamed(t testing.TB, path, name string, vkeys ...string) *testWitness {
	t.Helper()
	signer, vkey, err := chain.NewCosigner(name, seed(2), func() time.Time { return cosignedAt })
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Options{MapBytes: 1 << 26})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h, err := OpenHeads(s, vkey)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(h, signer, logsOf(t, vkeys...), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &testWitness{Witness: w, path: path, vkey: vkey, theirs: theirs, store: s}
}

func logsOf(t testing.TB, vkeys ...string) (logs []Log) {
	t.Helper()
	for _, k := range vkeys {
		l, err := ParseLog(k)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	return logs
}

func createWitness(t testing.TB, vkeys ...string) *testWitness {
	t.Helper()
	return createWitnessNamed(t, "witness.example/w1", vkeys...)
}

func createWitnessNamed(t testing.TB, name string, vkeys ...string) *testWitness {
	t.Helper()
	path := filepath.Join(t.TempDir(), "witness.db")
	_, vkey, err := chain.NewCosigner(name, seed(2), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := bolt.Create(path, Maps()); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Options{MapBytes: 1 << 26})
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateHeads(s, vkey); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openWitnessNamed(t, path, name, vkeys...)
}

// ask posts a body, and returns the status, the content type and the answer.
func ask(h http.Handler, body []byte) (status int, kind, answer string) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	b, _ := io.ReadAll(rec.Body)
	return rec.Code, rec.Header().Get("Content-Type"), string(b)
}

// wants fails unless a request is answered so; a 200 must be a good cosignature.
func (w *testWitness) wants(t testing.TB, what string, body []byte, status int, answer string) {
	t.Helper()
	got, kind, text := ask(w, body)
	switch {
	case got != status:
		t.Errorf("%s: %d instead of %d: %s", what, got, status, text)
	case status == http.StatusConflict && (text != answer || kind != "text/x.tlog.size"):
		t.Errorf("%s: %q of type %q instead of %q", what, text, kind, answer)
	case status == http.StatusOK:
		r, err := ParseRequest(body)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		n, err := note.Open(append(r.Note, text...), note.VerifierList(w.theirs))
		if err != nil || len(n.Sigs) != 1 || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %q is no cosignature: %v", what, text, err)
			return
		}
		if at, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(cosignedAt) {
			t.Errorf("%s: cosigned at %v, %v", what, at, err)
		}
	case status != http.StatusConflict && text == "":
		t.Errorf("%s: %d without a word", what, got)
	}
}
