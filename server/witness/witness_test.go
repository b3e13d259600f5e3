package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
)

func TestEveryStatusOfTheSpecification(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(20, "leaf")
	other := newLog(t, "other.example/log", 3)
	other.grow(5, "other")
	stranger := newLog(t, "stranger.example/log", 4)
	stranger.grow(5, "stranger")
	impostor := newLog(t, testOrigin, 5) // the name, not the key
	impostor.grow(20, "leaf")
	fork := l.branch(5, 15, "fork")
	w := createWitness(t, l.vkey, other.vkey)

	w.wants(t, "a size that was never cosigned", l.request(3, 5).Marshal(), http.StatusConflict, "0\n")
	w.wants(t, "a proof from nothing", Request{0, l.proof(3, 5), l.note(5), chain.Checkpoint{}}.Marshal(), http.StatusUnprocessableEntity, "")
	w.wants(t, "an empty log", l.request(0, 0).Marshal(), http.StatusOK, "")
	empty := bytes.Replace(l.note(0), []byte("47DE"), []byte("57DE"), 1)
	w.wants(t, "an empty log with another root, badly signed", Request{Note: empty}.Marshal(), http.StatusForbidden, "")
	w.wants(t, "an empty log with another root", Request{Note: l.sign(testOrigin + "\n0\nLvodQLTHdskkq2kQWJ5ltnHVc1jx6YUwA3Yk6tY91Us=\n")}.Marshal(), http.StatusUnprocessableEntity, "")

	w.wants(t, "the first head", l.request(0, 7).Marshal(), http.StatusOK, "")
	w.wants(t, "the same head again", l.request(7, 7).Marshal(), http.StatusOK, "")
	w.wants(t, "a proof for the same head", Request{7, l.proof(3, 5), l.note(7), chain.Checkpoint{}}.Marshal(), http.StatusUnprocessableEntity, "")
	w.wants(t, "from the beginning again", l.request(0, 7).Marshal(), http.StatusConflict, "7\n")
	w.wants(t, "a size that is over", l.request(5, 9).Marshal(), http.StatusConflict, "7\n")
	w.wants(t, "a size that is not yet", l.request(8, 9).Marshal(), http.StatusConflict, "7\n")
	w.wants(t, "back to a smaller size", l.request(5, 6).Marshal(), http.StatusConflict, "7\n")
	// tlog-witness v1.0.0; a later draft says 422.
	w.wants(t, "another head of the same size", fork.request(7, 7).Marshal(), http.StatusConflict, "7\n")
	w.wants(t, "another history", fork.request(7, 9).Marshal(), http.StatusUnprocessableEntity, "")
	w.wants(t, "no proof", Request{Old: 7, Note: l.note(9)}.Marshal(), http.StatusUnprocessableEntity, "")
	short := l.request(7, 9)
	short.Proof = short.Proof[1:]
	w.wants(t, "a hash too few", short.Marshal(), http.StatusUnprocessableEntity, "")
	w.wants(t, "another log's proof", Request{7, fork.proof(7, 9), l.note(9), chain.Checkpoint{}}.Marshal(), http.StatusUnprocessableEntity, "")

	w.wants(t, "an unknown log", stranger.request(0, 3).Marshal(), http.StatusNotFound, "")
	w.wants(t, "an unknown log with a fault in its size", stranger.request(1, 3).Marshal(), http.StatusNotFound, "")
	w.wants(t, "another key", impostor.request(7, 9).Marshal(), http.StatusForbidden, "")
	w.wants(t, "another key and another size", impostor.request(2, 9).Marshal(), http.StatusForbidden, "")
	flipped := l.request(7, 9)
	flipped.Note = bytes.Replace(flipped.Note, []byte("\n9\n"), []byte("\n8\n"), 1)
	w.wants(t, "a size that was changed after it was signed", flipped.Marshal(), http.StatusForbidden, "")
	two := l.request(7, 9)
	lines := strings.SplitAfter(string(impostor.note(9)), "\n")
	two.Note = append(two.Note, lines[len(lines)-2]...)
	w.wants(t, "a good signature beside one that nobody knows", two.Marshal(), http.StatusOK, "")

	w.wants(t, "old above the checkpoint", Request{Old: 10, Note: l.note(9)}.Marshal(), http.StatusBadRequest, "")
	w.wants(t, "nothing", nil, http.StatusBadRequest, "")
	w.wants(t, "too large", append(l.request(9, 20).Marshal(), bytes.Repeat([]byte("x"), MaxRequest)...), http.StatusRequestEntityTooLarge, "")
	// As large as may be: many signatures that nobody knows.
	full := l.request(9, 9)
	for n := 0; ; n++ {
		line := fmt.Appendf(nil, "— other.example/%d %s\n", n, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(n)}, 3072)))
		if len(full.Marshal())+len(line) > MaxRequest {
			break
		}
		full.Note = append(full.Note, line...)
	}
	w.wants(t, "as large as may be", full.Marshal(), http.StatusOK, "")

	// Where several are due, in the order of the specification: 400, 404, 403, 409, 422.
	junk := []chain.Hash{{1}}
	w.wants(t, "400 before 404", Request{Old: 4, Note: stranger.note(3)}.Marshal(), http.StatusBadRequest, "")
	w.wants(t, "400 before 403", Request{Old: 10, Note: impostor.note(9)}.Marshal(), http.StatusBadRequest, "")
	w.wants(t, "404 before 409 and 422", Request{Old: 2, Proof: junk, Note: stranger.note(3)}.Marshal(), http.StatusNotFound, "")
	w.wants(t, "403 before 409 and 422", Request{Old: 2, Proof: junk, Note: impostor.note(9)}.Marshal(), http.StatusForbidden, "")
	w.wants(t, "409 before 422", Request{Old: 2, Proof: junk, Note: l.note(9)}.Marshal(), http.StatusConflict, "9\n")
	w.wants(t, "409 before 422 for another head of the same size", Request{Old: 9, Proof: junk, Note: fork.note(9)}.Marshal(), http.StatusConflict, "9\n")
	w.wants(t, "none of these has changed anything", l.request(9, 9).Marshal(), http.StatusOK, "")
	w.wants(t, "extension lines", Request{9, l.proof(9, 12), l.note(12, "an extension\n"), chain.Checkpoint{}}.Marshal(), http.StatusOK, "")
	w.wants(t, "the other log stands by itself", other.request(0, 5).Marshal(), http.StatusOK, "")
	w.wants(t, "and this one goes on", l.request(12, 20).Marshal(), http.StatusOK, "")

	// A closed memory: nothing leaves that is not remembered.
	w.store.Close()
	w.wants(t, "a memory that cannot be written", other.request(5, 5).Marshal(), http.StatusInternalServerError, "")
}

func TestOtherPathsAndMethodsAreNone(t *testing.T) {
	w := createWitness(t)
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/add-checkpoint", http.StatusMethodNotAllowed},
		{http.MethodHead, "/add-checkpoint", http.StatusMethodNotAllowed},
		{http.MethodPut, "/add-checkpoint", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/add-checkpoint", http.StatusMethodNotAllowed},
		{http.MethodOptions, "/add-checkpoint", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodPost, "/", http.StatusNotFound},
		{http.MethodPost, "/add-checkpoint/", http.StatusNotFound},
		{http.MethodPost, "/add-checkpoint", http.StatusBadRequest},
	} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest(tc.method, tc.path, nil))
		if rec.Code != tc.status {
			t.Errorf("%s %s: %d instead of %d", tc.method, tc.path, rec.Code, tc.status)
		}
		if allow := rec.Header().Get("Allow"); (allow == http.MethodPost) != (tc.status == http.StatusMethodNotAllowed) {
			t.Errorf("%s %s: allowed is %q", tc.method, tc.path, allow)
		}
	}
}

// TestEverySizeLeadsToEveryLarger takes each step with a proof of
// transparency-dev/merkle and, on a witness of its own, one of x/mod/sumdb/tlog.
func TestEverySizeLeadsToEveryLarger(t *testing.T) {
	const most = 36
	l := newLog(t, testOrigin, 1)
	l.grow(most, "leaf")
	var hashes []tlog.Hash
	for i, leaf := range l.leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
			for _, i := range at {
				out = append(out, hashes[i])
			}
			return out, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	memory := &forgetful{}
	signer, _, err := chain.NewCosigner("witness.example/w1", seed(2), func() time.Time { return cosignedAt })
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWitness(memory, signer, logsOf(t, l.vkey), nil)
	if err != nil {
		t.Fatal(err)
	}
	for m := range uint64(most + 1) {
		for n := m; n <= most; n++ {
			memory.have = chain.Checkpoint{Origin: testOrigin, Size: m, Root: l.root(m)}
			if status, _, text := ask(w, l.request(m, n).Marshal()); status != http.StatusOK {
				t.Fatalf("from %d to %d: %d %s", m, n, status, text)
			}
			if m == 0 {
				continue
			}
			proof, err := tlog.ProveTree(int64(n), int64(m), reader)
			if err != nil {
				t.Fatal(err)
			}
			r := Request{Old: m, Note: l.note(n)}
			for _, h := range proof {
				r.Proof = append(r.Proof, chain.Hash(h))
			}
			memory.have = chain.Checkpoint{Origin: testOrigin, Size: m, Root: l.root(m)}
			if status, _, text := ask(w, r.Marshal()); status != http.StatusOK {
				t.Fatalf("tlog's proof from %d to %d: %d %s", m, n, status, text)
			}
			// Control: one bit of any hash, and it is refused.
			for i := range r.Proof {
				r.Proof[i][i%32] ^= 1
				memory.have = chain.Checkpoint{Origin: testOrigin, Size: m, Root: l.root(m)}
				if status, _, _ := ask(w, r.Marshal()); status != http.StatusUnprocessableEntity {
					t.Fatalf("from %d to %d with hash %d changed: %d", m, n, i, status)
				}
				r.Proof[i][i%32] ^= 1
			}
		}
	}
}

// forgetful is a memory that a test sets.
type forgetful struct{ have chain.Checkpoint }

func (f *forgetful) advance(_ string, decide func(chain.Checkpoint) (chain.Checkpoint, error)) error {
	_, err := decide(f.have)
	return err
}

func TestAHeadIsRememberedAcrossAStart(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(9, "leaf")
	w := createWitness(t, l.vkey)
	w.wants(t, "a head", l.request(0, 5).Marshal(), http.StatusOK, "")
	w.store.Close()
	w = openWitness(t, w.path, l.vkey)
	w.wants(t, "a fork after a start", l.branch(2, 7, "fork").request(0, 6).Marshal(), http.StatusConflict, "5\n")
	w.wants(t, "the log goes on", l.request(5, 9).Marshal(), http.StatusOK, "")
}

func TestADamagedMemoryIsRefused(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(9, "leaf")
	w := createWitness(t, l.vkey)
	w.wants(t, "a head", l.request(0, 5).Marshal(), http.StatusOK, "")
	w.store.Close()
	whole, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	open := func() error {
		s, err := bolt.Open(w.path, bolt.Options{MapBytes: 1 << 26})
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = OpenHeads(s, w.vkey)
		return err
	}
	if err := open(); err != nil {
		t.Fatalf("control: %v", err)
	}
	// Every byte of every copy of the row: free pages hold old ones, so not
	// every flip is one of what is read, and the size must stay what it was.
	row := encodeRow(chain.Checkpoint{Origin: testOrigin, Size: 5, Root: l.root(5)})
	found, refused := 0, 0
	for at := 0; ; {
		i := bytes.Index(whole[at:], row)
		if i < 0 {
			break
		}
		at += i
		found++
		for k := range row {
			bad := bytes.Clone(whole)
			bad[at+k] ^= 0x10
			if err := os.WriteFile(w.path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(); errors.Is(err, ErrDamaged) {
				refused++
			} else if err != nil {
				t.Fatalf("byte %d: %v", k, err)
			}
		}
		at += len(row)
	}
	if found == 0 || refused < len(row) || refused%len(row) != 0 {
		t.Errorf("of %d copies of the row %d flipped bytes were refused", found, refused)
	}
	for what, bad := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": nil, "zeroes": make([]byte, len(whole))} {
		if err := os.WriteFile(w.path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(); err == nil {
			t.Errorf("a file that is %s was opened", what)
		}
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(w.path); err == nil {
		t.Error("opening made a file")
	}
}

func TestTheMemoryOfAnotherWitnessIsRefused(t *testing.T) {
	w := createWitness(t)
	if _, err := OpenHeads(w.store, "another+key"); !errors.Is(err, ErrOtherWitness) {
		t.Errorf("another key: %v", err)
	}
	if err := CreateHeads(w.store, w.vkey); err == nil {
		t.Error("a memory was made anew")
	}
	path := w.path + ".empty"
	if err := bolt.Create(path, Maps()); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Options{MapBytes: 1 << 26})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := OpenHeads(s, w.vkey); !errors.Is(err, ErrDamaged) {
		t.Errorf("a store that nobody made a memory in: %v", err)
	}
	var _ store.Store = s
}

func TestALogIsTakenByItsKey(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	_, witnessKey, err := chain.NewCosigner("witness.example/w1", seed(2), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "x", l.vkey[:len(l.vkey)-2], witnessKey, strings.Replace(l.vkey, "ledger", "ledges", 1)} {
		if _, err := ParseLog(bad); err == nil {
			t.Errorf("%q was taken for a log's key", bad)
		}
	}
	log, err := ParseLog(l.vkey)
	if err != nil || log.Origin != testOrigin {
		t.Fatalf("%+v, %v", log, err)
	}
	if _, err := newWitness(&forgetful{}, nil, []Log{log, log}, nil); err == nil {
		t.Error("one key was taken twice")
	}
	// Two keys of one log: either signs.
	second := newLog(t, testOrigin, 6)
	second.grow(4, "leaf")
	l.grow(4, "leaf")
	w := createWitness(t, l.vkey, second.vkey)
	w.wants(t, "the first key", l.request(0, 2).Marshal(), http.StatusOK, "")
	w.wants(t, "the second key", second.request(2, 4).Marshal(), http.StatusOK, "")
	// Both, and then one of them of another head: signed-note has no note that a known key rejects.
	line := func(l *testLog, n uint64) string {
		return strings.SplitAfter(string(l.note(n)), "\n\n")[1]
	}
	both := Request{Old: 4, Note: append(l.note(4), line(second, 4)...)}
	w.wants(t, "both keys", both.Marshal(), http.StatusOK, "")
	both.Note = append(l.note(4), line(second, 3)...)
	w.wants(t, "a good one beside a bad one of a key that is known", both.Marshal(), http.StatusForbidden, "")
}

func FuzzParseRequest(f *testing.F) {
	l := newLog(f, testOrigin, 1)
	l.grow(9, "leaf")
	f.Add(l.request(0, 0).Marshal())
	f.Add(l.request(0, 7).Marshal())
	f.Add(l.request(7, 9).Marshal())
	f.Add(Request{Old: 3, Proof: l.proof(3, 9), Note: l.note(9, "extension\n")}.Marshal())
	f.Add([]byte("old 00\n\n"))
	f.Add([]byte("old 18446744073709551615\n\nx\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAAAA==\n"))
	f.Add(append(l.request(0, 7).Marshal(), "more"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), b) {
			t.Errorf("%q has two ways to be written", b)
		}
		if r.Old > r.head.Size || len(r.Proof) > 63 {
			t.Errorf("old %d, size %d, %d hashes", r.Old, r.head.Size, len(r.Proof))
		}
		// What parses has the line that others read.
		n, err := note.Open(r.Note, note.VerifierList())
		var unverified *note.UnverifiedNoteError
		if !errors.As(err, &unverified) || n != nil || !strings.HasPrefix(unverified.Note.Text, fmt.Sprintf("%s\n%d\n", r.head.Origin, r.head.Size)) {
			t.Errorf("a checkpoint that others do not read: %v", err)
		}
	})
}

func TestARequestWrittenAnotherWayIsRefused(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(9, "leaf")
	good := string(l.request(3, 9).Marshal())
	if _, err := ParseRequest([]byte(good)); err != nil {
		t.Fatalf("control: %v", err)
	}
	hash := strings.Split(good, "\n")[1]
	for what, bad := range map[string]string{
		"no old line":          good[len("old 3\n"):],
		"a leading zero":       strings.Replace(good, "old 3", "old 03", 1),
		"a sign":               strings.Replace(good, "old 3", "old +3", 1),
		"a space more":         strings.Replace(good, "old 3", "old  3", 1),
		"a space behind":       strings.Replace(good, "old 3", "old 3 ", 1),
		"capitals":             strings.Replace(good, "old 3", "Old 3", 1),
		"a carriage return":    strings.Replace(good, "old 3\n", "old 3\r\n", 1),
		"no size":              strings.Replace(good, "old 3", "old ", 1),
		"a size of 64 bits":    strings.Replace(good, "old 3", "old 9223372036854775808", 1),
		"a short hash":         strings.Replace(good, hash, hash[4:], 1),
		"a hash without end":   strings.Replace(good, hash, hash[:43], 1),
		"stray bits":           strings.Replace(good, hash, hash[:42]+"B=", 1),
		"a hash with a return": strings.Replace(good, hash, hash[:20]+"\r"+hash[20:], 1),
		"64 hashes":            strings.Replace(good, hash+"\n", strings.Repeat(hash+"\n", 62), 1),
		"no empty line":        strings.Replace(good, "\n\n"+testOrigin, "\n"+testOrigin, 1),
		"two empty lines":      strings.Replace(good, "\n\n"+testOrigin, "\n\n\n"+testOrigin, 1),
		"nothing behind":       good[:strings.Index(good, "\n\n")+2],
		"no signature":         good[:strings.Index(good, "— ")],
		"no last line end":     good[:len(good)-1],
		"more behind":          good + "more\n",
	} {
		if bad == good {
			t.Errorf("%s: the test changes nothing", what)
		}
		if _, err := ParseRequest([]byte(bad)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	many := strings.Replace(good, hash+"\n", strings.Repeat(hash+"\n", 64-strings.Count(good[:strings.Index(good, "\n\n")], "\n")), 1)
	if r, err := ParseRequest([]byte(many)); err != nil || len(r.Proof) != 63 {
		t.Errorf("control: %d hashes, %v", len(r.Proof), err)
	}
}
