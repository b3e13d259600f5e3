package bench

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/workload"
	"consentledger/ledger"
)

const members = workload.Members("bench")

// newLedger makes a ledger with n members, numbers 0 to n-1, on the disk of b's
// directory, and has it open until b ends.
func newLedger(b *testing.B, n uint64) (*ledger.Ledger, workload.Members) {
	b.Helper()
	l := openLedger(b, filled(b, n))
	b.Cleanup(func() { closeLedger(b, l) })
	return l, members
}

// callers is how many calls are under way at a time, as from as many connections.
const callers = 256

// request is as large as a consent.
var request = make([]byte, 400)

// BenchmarkAppend writes one consent, durable before the call returns, for each iteration.
func BenchmarkAppend(b *testing.B) {
	const enrolled = 10_000
	for _, one := range []struct {
		name  string
		fresh bool
		once  bool // with an idempotency key
	}{{"Enrolled", false, false}, {"EnrolledOnce", false, true}, {"New", true, false}} {
		call := func(l *ledger.Ledger, m workload.Members, n uint64) error {
			id := n % enrolled
			if one.fresh {
				id = enrolled + n
			}
			who := book.Writer
			if one.once {
				who.Once = &ledger.Once{Key: strconv.FormatUint(n, 10), Request: request}
			}
			_, err := l.Do(context.Background(), who, workload.Consent(book.MustID(m.ID(id)), one.fresh, consentedAt))
			return err
		}
		b.Run(one.name+"/OneCaller", func(b *testing.B) {
			l, m := newLedger(b, enrolled)
			b.ReportAllocs()
			var n uint64
			for b.Loop() {
				if err := call(l, m, n); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
		b.Run(one.name+"/256Callers", func(b *testing.B) {
			l, m := newLedger(b, enrolled)
			var n atomic.Uint64
			parallel(b, callers, func() error { return call(l, m, n.Add(1)-1) })
		})
	}
}
