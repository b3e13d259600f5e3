package ledger

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

// countedStore counts the read transactions.
type countedStore struct {
	store.Store
	views *atomic.Int64
}

func (s countedStore) View(f func(store.Reader) error) error {
	s.views.Add(1)
	return s.Store.View(f)
}

type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, i := range indexes {
		out = append(out, s[i])
	}
	return out, nil
}

// checkEdges holds the tiles at the published head's right edge against those that tlog makes of the
// entries, and a proof. It says how many read transactions the edges took.
func checkEdges(t *testing.T, l *Ledger, views *atomic.Int64) (took int64) {
	t.Helper()
	head := l.published.Load()
	var hashes storedHashes
	entries, err := l.LogEntries(0, int(head.size))
	if err != nil || uint64(len(entries)) != head.size {
		t.Fatal(len(entries), err)
	}
	for i, e := range entries {
		more, err := tlog.StoredHashes(int64(i), e, hashes)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	edges := 0
	for level := 0; head.size>>(8*level) > 0; level++ {
		at := head.size >> (8 * level)
		for width := 1; width <= int(at%256); width++ {
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(at / 256), W: width}, hashes)
			if err != nil {
				t.Fatal(err)
			}
			before := views.Load()
			got, err := l.PublishedTile(nil, level, at/256, width)
			took += views.Load() - before
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d entries, level %d, width %d: %d bytes, %v", head.size, level, width, len(got), err)
			}
			edges++
		}
	}
	if edges == 0 {
		t.Fatal("there was no edge to compare")
	}
	// Proofs under this head, and under older ones: whoever has such a checkpoint goes on with it.
	for _, size := range []uint64{1, 2, head.size / 3, head.size - 1, head.size} {
		root, err := tlog.TreeHash(int64(size), hashes)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range []uint64{0, size / 2, size - 1} {
			p, err := tlog.ProveRecord(int64(size), int64(index), head.tree)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, int64(size), root, int64(index), tlog.RecordHash(entries[index])); err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
		}
		proof, err := l.Consistency(size, head.size)
		if err != nil {
			t.Fatal(err)
		}
		newest, err := tlog.TreeHash(int64(head.size), hashes)
		if err != nil {
			t.Fatal(err)
		}
		older, newer := chain.Checkpoint{Size: size, Root: chain.Hash(root)}, chain.Checkpoint{Size: head.size, Root: chain.Hash(newest)}
		if err := chain.CheckConsistency(older, newer, proof); err != nil {
			t.Fatalf("from %d to %d: %v", size, head.size, err)
		}
	}
	return took
}

// Nothing is published by the clock in this test's time but what it publishes itself, or the same.
func TestTheRightEdgesArePublishedWithTheHeadAndCostNoRead(t *testing.T) {
	w := newWorld(t)
	var views atomic.Int64
	w.wrap = func(s store.Store) store.Store { return countedStore{s, &views} }
	l := w.create(t)
	defer func() { l.Close() }()
	next := 0
	grow := func(to uint64) {
		t.Helper()
		for l.Size() < to {
			next++
			mustDo(t, l, enrolment(t, fmt.Sprintf("edge-%d@shop.example", next), w))
		}
		if err := l.publish(0); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []uint64{3, 255, 300, 700} {
		grow(size)
		if took := checkEdges(t, l, &views); took != 0 {
			t.Errorf("%d entries: the edges took %d reads", l.Size(), took)
		}
	}
	before := views.Load()
	if _, err := l.PublishedTile(nil, 0, 0, 256); err != nil || views.Load() != before+1 {
		t.Errorf("control: a full tile took %d reads, %v", views.Load()-before, err)
	}

	// A start with a head that is older than the database: its edges are worked out from what is stored.
	older := l.published.Load().size
	copyFile(t, filepath.Join(w.dir, headFileName), filepath.Join(w.dir, "head.older"))
	grow(older + 300)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(w.dir, "head.older"), filepath.Join(w.dir, headFileName))
	// Asked before anything new is published.
	asked := false
	w.ask = func(l *Ledger) error {
		asked = true
		if head := l.published.Load(); head.size != older {
			t.Errorf("the head covers %d entries at the start, want %d", head.size, older)
		}
		checkEdges(t, l, &views)
		return nil
	}
	var err error
	if l, err = w.open(); err != nil || !asked {
		t.Fatal(asked, err)
	}
	w.ask = nil
	// And with one that is the newest.
	grow(l.Size())
	newest := l.Size()
	l = w.reopen(t, l)
	if head := l.published.Load(); head.size != newest || newest == older {
		t.Fatalf("the head covers %d entries after the start, want %d", head.size, newest)
	}
	checkEdges(t, l, &views)
}
