package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"consentledger/bench/internal/book"
	"consentledger/ledger"

	"consentledger/bench/internal/workload"
)

// BenchmarkDecide asks for a decision an iteration.
func BenchmarkDecide(b *testing.B) {
	decide := func(b *testing.B, l *ledger.Ledger, m workload.Members, n uint64) {
		a, err := l.Decide(context.Background(), book.Writer, workload.Question(book.MustID(m.ID(n))))
		if err != nil || !a.Allowed {
			b.Fatal(a.Reason, err)
		}
	}
	b.Run("Cached", func(b *testing.B) {
		const count = 1_000
		l, m := newLedger(b, count)
		b.ReportAllocs()
		var n uint64
		for b.Loop() {
			decide(b, l, m, n%count)
			n++
		}
	})
	// Every iteration asks for a member of whom nothing is in memory but the
	// upper pages of the keyring: their keys and entries are read and opened.
	for _, entries := range []int{1, 20} {
		b.Run(fmt.Sprintf("NotCached/entries=%d", entries), func(b *testing.B) {
			count := uint64(20_000 / entries)
			dir := filled(b, count)
			if entries > 1 {
				all := make([]uint64, count)
				for n := range all {
					all[n] = uint64(n)
				}
				l := openLedger(b, dir)
				if err := book.Consent(context.Background(), l, members, all, entries-1); err != nil {
					b.Fatal(err)
				}
				closeLedger(b, l)
			}
			b.ReportAllocs()
			var l *ledger.Ledger
			var n uint64
			for b.Loop() {
				if n%count == 0 { // all have been asked for: forget them
					b.StopTimer()
					if l != nil {
						closeLedger(b, l)
					}
					l = openLedger(b, dir)
					b.StartTimer()
				}
				decide(b, l, members, book.Spread(n, count))
				n++
			}
			closeLedger(b, l)
		})
	}
}

// BenchmarkOpen opens a ledger of 100,000 entries, as a server does at its start.
func BenchmarkOpen(b *testing.B) {
	dir := filled(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		l := openLedger(b, dir)
		b.StopTimer()
		closeLedger(b, l)
		b.StartTimer()
	}
}

// filled makes a ledger with n members and closes it.
func filled(b *testing.B, n uint64) (dir string) {
	b.Helper()
	dir = filepath.Join(b.TempDir(), "ledger")
	if _, err := book.Create(dir); err != nil {
		b.Fatal(err)
	}
	l := openLedger(b, dir)
	if err := book.Enrol(context.Background(), l, members, 0, n, nil); err != nil {
		b.Fatal(err)
	}
	closeLedger(b, l)
	return dir
}

func openLedger(b *testing.B, dir string) *ledger.Ledger {
	b.Helper()
	l, err := book.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func closeLedger(b *testing.B, l *ledger.Ledger) {
	b.Helper()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
