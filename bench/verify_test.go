package bench

import (
	"context"
	"runtime"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/floors"
	"consentledger/ledger"
	"consentledger/ledger/chain"
)

const verified = 50_000

// BenchmarkVerify checks a ledger of 50,000 entries an iteration, through the
// ledger that has it open; BenchmarkVerifyFloor hashes the same entries and as
// many nodes. The ratio of their MB/s is what verifying costs beside the
// hashing that nobody can leave out.
func BenchmarkVerify(b *testing.B) {
	l := openLedger(b, filled(b, verified))
	defer closeLedger(b, l)
	key, err := note.NewVerifier(l.PublicKey())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(l.Size()) * int64(floors.EntryBytes))
	b.ReportAllocs()
	for b.Loop() {
		r, err := chain.Verify(context.Background(), source{l}, chain.VerifyOptions{Verifier: key})
		if err != nil || !r.Intact || r.Entries != l.Size() {
			b.Fatal(r, err)
		}
	}
}

func BenchmarkVerifyFloor(b *testing.B) {
	l := openLedger(b, filled(b, verified))
	defer closeLedger(b, l)
	leaves, err := book.Leaves(l)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(l.Size()) * int64(floors.EntryBytes))
	for b.Loop() {
		floors.Hash(leaves, runtime.GOMAXPROCS(0))
	}
}

// source reads an open ledger in pieces, as a verify beside a running server does.
type source struct{ l *ledger.Ledger }

func (s source) Size() (uint64, error)       { return s.l.Size(), nil }
func (s source) Checkpoint() ([]byte, error) { return s.l.Checkpoint(), nil }

func (s source) Tile(level int, n uint64) ([]byte, error) { return s.l.LogTile(level, n) }

func (s source) Entries(from uint64, f func(uint64, []byte) error) error {
	for {
		// Verify asks for blocks of 256; more than that would be read in vain.
		entries, err := s.l.LogEntries(from, chain.TileHashes)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if err := f(from, e); err != nil {
				return err
			}
			from++
		}
	}
}
