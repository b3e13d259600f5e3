package bench

import (
	"context"
	"runtime"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/floors"
	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
)

const verified = 50_000

// BenchmarkVerify checks a ledger of 50,000 entries an iteration: Log the
// entries, links, tiles and checkpoint, Beside what stands beside them, as the
// command does after it. BenchmarkVerifyFloor hashes the same entries and as
// many nodes. The ratio of their MB/s is what verifying costs beside the
// hashing that nobody can leave out.
func BenchmarkVerify(b *testing.B) {
	dir := filled(b, verified)
	s, err := datadir.OpenReadOnly(datadir.Database(dir))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	log, id, err := ledger.NewLogSource(s, dir)
	if err != nil {
		b.Fatal(err)
	}
	key, err := note.NewVerifier(id.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	var r chain.Report
	verify := func(b *testing.B) {
		if r, err = chain.Verify(context.Background(), log, chain.VerifyOptions{Verifier: key}); err != nil || !r.Intact || r.Entries < verified {
			b.Fatal(r, err)
		}
	}
	b.Run("Log", func(b *testing.B) {
		b.SetBytes(verified * int64(floors.EntryBytes))
		b.ReportAllocs()
		for b.Loop() {
			verify(b)
		}
	})
	b.Run("Beside", func(b *testing.B) {
		verify(b)
		b.SetBytes(verified * int64(floors.EntryBytes))
		b.ReportAllocs()
		for b.Loop() {
			if beside, err := log.CheckBeside(context.Background(), r, false); err != nil || len(beside.Findings) > 0 || len(beside.Other) > 0 {
				b.Fatal(beside, err)
			}
		}
	})
}

func BenchmarkVerifyFloor(b *testing.B) {
	l := openLedger(b, filled(b, verified))
	defer closeLedger(b, l)
	leaves, err := book.Leaves(l)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(verified * int64(floors.EntryBytes))
	for b.Loop() {
		floors.Hash(leaves, runtime.GOMAXPROCS(0))
	}
}
