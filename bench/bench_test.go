// Package bench measures the ledger on real files: see README.md for what each
// figure means, and ./load, ./floor and ./long for what a running server does.
package bench

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var consentedAt = time.Now()

// parallel calls f from many goroutines at a time, b.N times in all, and reports the rate.
// RunParallel would start a multiple of GOMAXPROCS, which is not what is asked for.
func parallel(b *testing.B, goroutines int, f func() error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	for range goroutines {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
