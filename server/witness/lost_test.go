package witness

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"testing"

	"consentledger/ledger/store"
)

// unsettled is a store whose Settle does nothing, or fails.
type unsettled struct {
	store.Store
	err error
}

func (u unsettled) Settle() error { return u.err }

// over makes the witness remember in another store.
func (w *testWitness) over(t *testing.T, s store.Store) *testWitness {
	t.Helper()
	h, err := OpenHeads(s, w.vkey)
	if err != nil {
		t.Fatal(err)
	}
	w.heads = h
	return w
}

// The disk loses the newest page that says where all others are, as a power cut may make it. bbolt then
// goes by the one before, and says nothing.
func TestWhatWasSignedOutlivesTheLossOfTheNewestPage(t *testing.T) {
	for _, settled := range []bool{true, false} {
		l := newLog(t, testOrigin, 1)
		l.grow(9, "leaf")
		w := createWitness(t, l.vkey)
		if !settled {
			w.over(t, unsettled{Store: w.store})
		}
		w.wants(t, "a head", l.request(0, 5).Marshal(), http.StatusOK, "")
		w.wants(t, "the next", l.request(5, 7).Marshal(), http.StatusOK, "")
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		loseNewestMeta(t, w.path)
		w = openWitness(t, w.path, l.vkey)
		// Another history from the older head on, which a witness that has forgotten would sign.
		status, _, text := ask(w, l.branch(5, 2, "fork").request(5, 7).Marshal())
		if forgot := status == http.StatusOK; forgot == settled {
			t.Errorf("settled %v: a second head of size 7: %d %s", settled, status, text)
		}
	}
}

// loseNewestMeta spoils the newer of bbolt's two meta pages.
func loseNewestMeta(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const pageHeader, atPageSize, atTxid, metaSize = 16, 8, 48, 64
	size := int(binary.NativeEndian.Uint32(b[pageHeader+atPageSize:]))
	txid := func(page int) uint64 { return binary.NativeEndian.Uint64(b[page*size+pageHeader+atTxid:]) }
	if diff := max(txid(0), txid(1)) - min(txid(0), txid(1)); diff != 1 {
		t.Fatalf("these are no meta pages: %d and %d", txid(0), txid(1))
	}
	newest := 0
	if txid(1) > txid(0) {
		newest = 1
	}
	clear(b[newest*size+pageHeader+metaSize-8 : newest*size+pageHeader+metaSize]) // its checksum
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The head is written, but whether it stays is not sure: no signature leaves for it, and the next start
// knows it.
func TestNothingIsSignedWhileItIsNotSureThatItIsRemembered(t *testing.T) {
	l := newLog(t, testOrigin, 1)
	l.grow(9, "leaf")
	w := createWitness(t, l.vkey)
	sure := w.store
	w.over(t, unsettled{sure, fmt.Errorf("%w: an input/output error", store.ErrUncertain)})
	for range 2 {
		status, _, text := ask(w, l.request(0, 5).Marshal())
		if status == http.StatusOK {
			t.Fatalf("it was signed: %s", text)
		}
		// The second time it is the head that is remembered, and that is not sure either.
		status, _, text = ask(w, l.request(5, 5).Marshal())
		if status != http.StatusInternalServerError {
			t.Errorf("%d %s", status, text)
		}
	}
	w.over(t, sure)
	w.wants(t, "after a start: another history", l.branch(0, 5, "fork").request(5, 5).Marshal(), http.StatusConflict, "5\n")
	w.wants(t, "control: the same", l.request(5, 5).Marshal(), http.StatusOK, "")
}
