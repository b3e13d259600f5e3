package ledger

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

// verifyStore checks a store as `verify --dir` does, and returns the findings.
func verifyStore(t testing.TB, s store.Store, dir, publicKey string) []chain.Finding {
	t.Helper()
	src, _, err := NewLogSource(s, dir)
	if err != nil {
		return []chain.Finding{{Kind: "refused", What: err.Error()}}
	}
	v, err := note.NewVerifier(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	report, err := chain.Verify(t.Context(), src, chain.VerifyOptions{Verifier: v, Jobs: 1})
	if err != nil {
		return []chain.Finding{{Kind: "refused", What: err.Error()}}
	}
	beside, err := src.CheckBeside(t.Context(), report, true)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(report.Findings, beside.Findings...), beside.Other...)
}

// TestAFlipInAnyByteOfARealLedgerIsFound goes through a small ledger as it stands on disk: every
// byte of every entry, of the head row and of the published checkpoint. The long run takes each
// byte, and then a ledger with a full tile.
func TestAFlipInAnyByteOfARealLedgerIsFound(t *testing.T) {
	if !long {
		flipBytes(t, 6, 5)
		return
	}
	flipBytes(t, 6, 1)
	flipBytes(t, 200, 11)
}

// flipBytes flips one bit in one of `every` bytes of an entry, at other places in each entry, and
// in each byte of all else.
func flipBytes(t *testing.T, members, every int) {
	w := newWorld(t)
	l := w.create(t)
	for i := range members {
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	mustDo(t, l, leave(t, memberName(0)))
	key := l.PublicKey()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := w.openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	if found := verifyStore(t, s, w.dir, key); len(found) != 0 {
		t.Fatalf("control: the untouched ledger: %+v", found)
	}
	put := func(m store.Map, k, v []byte) {
		t.Helper()
		if err := s.Update(func(x store.Writer) error { return x.Put(m, k, v) }); err != nil {
			t.Fatal(err)
		}
	}
	flips := 0
	flipAll := func(m store.Map, every int, index func(k []byte) int64, found func() []chain.Finding) {
		type row struct{ k, v []byte }
		var rows []row
		err := s.View(func(r store.Reader) error {
			return r.Scan(m, nil, nil, func(k, v []byte) error {
				rows = append(rows, row{append([]byte(nil), k...), append([]byte(nil), v...)})
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for n, r := range rows {
			for i := n % every; i < len(r.v); i += every {
				bad := append([]byte(nil), r.v...)
				bad[i] ^= 1 << (i % 8)
				put(m, r.k, bad)
				flips++
				found := found()
				if len(found) == 0 {
					t.Fatalf("a flip in byte %d of %s %x is not found", i, m, r.k)
				}
				if want := index(r.k); want >= 0 && found[0].Index != uint64(want) {
					t.Fatalf("a flip in byte %d of entry %d: the first finding is %+v", i, want, found[0])
				}
			}
			put(m, r.k, r.v)
		}
	}
	verify := func() []chain.Finding { return verifyStore(t, s, w.dir, key) }
	none := func([]byte) int64 { return -1 }
	flipAll(mapEntries, every, func(k []byte) int64 { return int64(indexOf(k)) }, verify)
	flipAll(mapTiles, 1, none, verify)
	// What verify cannot judge without a key, a start refuses.
	flipAll(mapMeta, 1, none, func() []chain.Finding {
		if found := verify(); len(found) != 0 {
			return found
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var found []chain.Finding
		if l, err := w.open(); err != nil {
			found = []chain.Finding{{Kind: "refused", What: err.Error()}}
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = w.openStore(); err != nil {
			t.Fatal(err)
		}
		return found
	})
	head := filepath.Join(w.dir, headFileName)
	b, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := parseHeadSlot(b[headSlot:])
	if !ok {
		if _, text, ok = parseHeadSlot(b[:headSlot]); !ok {
			t.Fatal("no slot of the head file is whole")
		}
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bad := append([]byte(nil), text...)
		bad[i] ^= 1 << (i % 8)
		flips++
		if _, err := chain.OpenCheckpoint(bad, note.VerifierList(v), "ledger.example/shop"); err == nil {
			t.Fatalf("a flip in byte %d of the checkpoint is not found", i)
		}
	}
	if found := verifyStore(t, s, w.dir, key); len(found) != 0 {
		t.Errorf("after putting everything right: %+v", found)
	}
	t.Logf("%d flips", flips)
}
