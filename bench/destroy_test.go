package bench

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/workload"
)

// BenchmarkDestroy ends one membership an iteration: the answer comes when the
// member's keys can no longer be had. A million members are for ./long speed.
func BenchmarkDestroy(b *testing.B) {
	for _, count := range []uint64{10_000, 100_000} {
		b.Run(fmt.Sprintf("%dMembers/OneCaller", count), func(b *testing.B) {
			l, m := newLedger(b, count)
			var took []time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			cost, err := book.Measure(b.N, func() (err error) {
				took, err = book.Withdraw(context.Background(), l, m, count, 0, within(b, count), 1)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(float64(cost.CPU.Nanoseconds()), "cpu-ns/op")
			b.ReportMetric(cost.Bytes, "written-B/op")
		})
		b.Run(fmt.Sprintf("%dMembers/256Callers", count), func(b *testing.B) {
			l, m := newLedger(b, count)
			within(b, count)
			var n atomic.Uint64
			parallel(b, callers, func() error {
				id := book.MustID(m.ID(book.Spread(n.Add(1)-1, count)))
				_, err := l.Do(context.Background(), book.Writer, workload.Withdrawal(id))
				return err
			})
		})
	}
}

// within is b.N, which must not be more than there is to destroy.
func within(b *testing.B, count uint64) uint64 {
	b.Helper()
	if uint64(b.N) > count {
		b.Fatalf("%d iterations, and only %d members to withdraw: use a shorter -benchtime", b.N, count)
	}
	return uint64(b.N)
}
