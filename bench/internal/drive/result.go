package drive

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies counts how long calls took, in microseconds up to a minute, to
// three figures. Several are used beside each other so that nobody waits long.
type latencies struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

const longest = time.Minute

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Microseconds(), 3)
}

func (l *latencies) record(d time.Duration) {
	l.mu.Lock()
	_ = l.h.RecordValue(min(max(d, time.Microsecond), longest).Microseconds()) // in range, so it cannot fail
	l.mu.Unlock()
}

// A Result is what a load came to.
type Result struct {
	Elapsed  time.Duration
	Requests uint64 // answered with 2xx
	Entries  uint64 // that the answers name
	Late     uint64 // open loop: requests that could not be sent before the load was over
	Status   map[int]uint64
	Errors   map[string]uint64 // of connections
	latency  []*hdrhistogram.Histogram
}

// RequestsPerSecond counts those that were answered with 2xx.
func (r Result) RequestsPerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// EntriesPerSecond counts what is durable.
func (r Result) EntriesPerSecond() float64 { return float64(r.Entries) / r.Elapsed.Seconds() }

// Latency of one of the load's calls, by its position, at a quantile in percent; 100 is the longest.
func (r Result) Latency(call int, percent float64) time.Duration {
	return time.Duration(r.latency[call].ValueAtQuantile(percent)) * time.Microsecond
}

// Failed says what went wrong, or is empty: every request must have had a 2xx.
func (r Result) Failed() string {
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(r.Status)) {
		if s < 200 || s > 299 {
			parts = append(parts, fmt.Sprintf("%d × status %d", r.Status[s], s))
		}
	}
	for _, e := range slices.Sorted(maps.Keys(r.Errors)) {
		parts = append(parts, fmt.Sprintf("%d × %s", r.Errors[e], e))
	}
	if r.Late > 0 {
		parts = append(parts, fmt.Sprintf("%d not sent in time", r.Late))
	}
	return strings.Join(parts, ", ")
}

// String prints the figures on one line, a part for each call.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f entries/s, %.0f requests/s", r.EntriesPerSecond(), r.RequestsPerSecond())
	for i, h := range r.latency {
		if h.TotalCount() == 0 {
			continue
		}
		name := ""
		if len(r.latency) > 1 {
			name = fmt.Sprintf(" call %d:", i+1)
		}
		fmt.Fprintf(&b, ";%s p50 %s p99 %s max %s", name, ms(r.Latency(i, 50)), ms(r.Latency(i, 99)), ms(r.Latency(i, 100)))
	}
	if f := r.Failed(); f != "" {
		fmt.Fprintf(&b, "; errors: %s", f)
	} else {
		b.WriteString("; no errors")
	}
	return b.String()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
