package book

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"consentledger/bench/internal/workload"
	"consentledger/ledger"
)

// Cost is what one of something took, on average.
type Cost struct {
	Wall, CPU time.Duration // CPU: of this process, all of it
	Bytes     float64       // that were written to files
}

func (c Cost) String() string {
	return fmt.Sprintf("%.2f ms wall, %.2f ms CPU, %.0f KiB written", ms(c.Wall), ms(c.CPU), c.Bytes/1024)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Over is how many times c is as much as another cost, the worse of wall and CPU.
func (c Cost) Over(other Cost) float64 {
	return max(float64(c.Wall)/float64(other.Wall), float64(c.CPU)/float64(other.CPU))
}

// Measure runs f, which does n of something, and says what one took.
func Measure(n int, f func() error) (Cost, error) {
	cpu, bytes, err := used()
	if err != nil {
		return Cost{}, err
	}
	begin := time.Now()
	if err := f(); err != nil {
		return Cost{}, err
	}
	wall := time.Since(begin)
	cpuAfter, bytesAfter, err := used()
	if err != nil {
		return Cost{}, err
	}
	return Cost{Wall: wall / time.Duration(n), CPU: (cpuAfter - cpu) / time.Duration(n), Bytes: float64(bytesAfter-bytes) / float64(n)}, nil
}

// used reads what this process has used so far.
func used() (cpu time.Duration, bytes uint64, err error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, fmt.Errorf("read the processor time used: %w", err)
	}
	cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, 0, fmt.Errorf("read the bytes written: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			bytes, err = strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			return cpu, bytes, err
		}
	}
	return 0, 0, fmt.Errorf("/proc/self/io has no write_bytes")
}

// Spread returns the nth of count different numbers that lie all over a range
// from 0. The range must not be a multiple of 7919.
func Spread(n, count uint64) uint64 { return n * 7919 % count }

// Withdraw ends the memberships from the from-th to, not including, the to-th of
// the spread over count members, some callers at a time, and says how long each
// call took, in no order.
func Withdraw(ctx context.Context, l *ledger.Ledger, m workload.Members, count, from, to uint64, callers int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Uint64
	next.Store(from)
	took := make([]time.Duration, to-from)
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= to {
					return
				}
				begin := time.Now()
				_, err := l.Do(ctx, Writer, workload.Withdrawal(MustID(m.ID(Spread(n, count)))))
				if err != nil {
					cancel(err)
					return
				}
				took[n-from] = time.Since(begin)
			}
		})
	}
	work.Wait()
	return took, context.Cause(ctx)
}
