package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"consentledger/bench/internal/workload"
)

// A Call is one kind of request, ready but for the member, or for the number in its path.
type Call struct {
	request []byte
	at      int // offset of the digits
	digits  int // how many
	writes  bool
}

// NewCall makes a call of a body on a path. writes says that its answers name entries.
func (t Target) NewCall(path string, b workload.Body, writes bool) Call {
	h := t.head(path, "application/json", len(b.JSON))
	return Call{append(h, b.JSON...), len(h) + b.Offset(), workload.Digits, writes}
}

// NewGet makes a call that fetches a path, in which as many digits as it has NN… are written over those.
func (t Target) NewGet(path string) Call {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, t.address)
	return Call{request, len("GET ") + max(0, strings.IndexByte(path, 'N')), strings.Count(path, "N"), false}
}

// set writes a number into a copy of the request. It makes nothing on the heap.
func (c Call) set(request []byte, n uint64) {
	for i := c.at + c.digits - 1; i >= c.at; i-- {
		request[i] = byte('0' + n%10)
		n /= 10
	}
}

// A Load is single calls over many connections.
//
// With Rate 0 it is a closed loop: every connection sends its next request
// when the last is answered. Otherwise it is an open one: requests are due at
// equal distances whatever the server does, the next free connection takes the
// next of them, and their time counts from when they were due: a server that
// stalls is not spared the requests that it kept waiting.
type Load struct {
	Target   Target
	Conns    int
	Rate     float64       // requests a second
	Warmup   time.Duration // before it, nothing is counted
	Duration time.Duration
	Count    uint64 // at most so many requests, warm-up included; 0: no bound
	Calls    []Call
	// Next says what to send: one of Calls, for which member. It is asked by
	// several goroutines. When it has no more, the load ends.
	Next func() (call int, member uint64, ok bool)
}

// grace is how long after its end an open loop may still send what was due, and
// how long an answer may take.
const grace = 15 * time.Second

const maxConnErrors = 3 // of one connection; then it gives up

// Run runs a load to its end. It fails only if no connection could be made.
func (l Load) Run(ctx context.Context) (Result, error) {
	r := &run{Load: l, begin: time.Now(), status: make(map[int]uint64), errs: make(map[string]uint64)}
	r.from = r.begin.Add(l.Warmup)
	r.until = r.from.Add(l.Duration)
	r.limit = r.until.Add(grace)
	for range l.Calls {
		shards := make([]*latencies, 4)
		for i := range shards {
			shards[i] = &latencies{h: newHistogram()}
		}
		r.latency = append(r.latency, shards)
	}
	var conns []*conn
	for range l.Conns {
		c, err := dial(l.Target, r.limit)
		if err != nil {
			for _, c := range conns {
				c.c.Close()
			}
			return Result{}, fmt.Errorf("connect to the server: %w", err)
		}
		conns = append(conns, c)
	}
	// Connections are not part of what is measured.
	r.begin = time.Now()
	r.from = r.begin.Add(l.Warmup)
	r.until = r.from.Add(l.Duration)
	var work sync.WaitGroup
	for i, c := range conns {
		work.Go(func() { r.drive(ctx, i, c) })
	}
	work.Wait()
	return r.result(), nil
}

type run struct {
	Load
	begin, from, until, limit time.Time

	sent, requests, entries, late atomic.Uint64
	last                          atomic.Int64 // when the newest answer that counts came, since begin
	latency                       [][]*latencies

	mu     sync.Mutex
	status map[int]uint64 // of what is not 2xx, and of 2xx at the end
	errs   map[string]uint64
}

func (r *run) drive(ctx context.Context, i int, c *conn) {
	defer func() {
		if c != nil {
			c.c.Close()
		}
	}()
	requests := make([][]byte, len(r.Calls))
	for j, call := range r.Calls {
		requests[j] = slices.Clone(call.request)
	}
	ok := make(map[int]uint64, 2)
	defer r.addStatus(ok)
	failures := 0
	for ctx.Err() == nil {
		due, more := r.due()
		if !more {
			return
		}
		k, member, more := r.Next()
		if !more {
			return
		}
		if c == nil {
			var err error
			if c, err = dial(r.Target, r.limit); err != nil {
				r.addError(err)
				return
			}
		}
		r.Calls[k].set(requests[k], member)
		if due.IsZero() {
			due = time.Now()
		}
		status, body, err := c.roundTrip(requests[k])
		now := time.Now()
		if err != nil {
			c.c.Close()
			c = nil
			r.addError(err)
			if failures++; failures == maxConnErrors {
				return
			}
			continue
		}
		if c.last {
			c.c.Close()
			c = nil
		}
		r.count(i, k, status, body, due, now, ok)
	}
}

// due says when the next request is to be sent; zero is now.
func (r *run) due() (at time.Time, more bool) {
	n := r.sent.Add(1) - 1
	if r.Count > 0 && n >= r.Count {
		return at, false
	}
	if r.Rate == 0 {
		return at, time.Now().Before(r.until)
	}
	at = r.begin.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
	if !at.Before(r.until) {
		return at, false
	}
	wait := time.Until(at)
	if wait < -grace {
		r.late.Add(1)
		return at, false
	}
	if wait > 0 {
		time.Sleep(wait)
	}
	return at, true
}

func (r *run) count(shard, call, status int, body []byte, due, now time.Time, ok map[int]uint64) {
	if status < 200 || status > 299 {
		r.mu.Lock()
		r.status[status]++
		r.mu.Unlock()
		return
	}
	// In a closed loop what counts was answered within the time, in an open one it was due within it.
	if r.Rate == 0 && (now.Before(r.from) || now.After(r.until)) || r.Rate > 0 && due.Before(r.from) {
		return
	}
	ok[status]++
	r.requests.Add(1)
	if r.Calls[call].writes {
		r.entries.Add(uint64(bytes.Count(body, indexMember)))
	}
	r.latency[call][shard%len(r.latency[call])].record(now.Sub(due))
	for at := int64(now.Sub(r.begin)); ; {
		old := r.last.Load()
		if old >= at || r.last.CompareAndSwap(old, at) {
			return
		}
	}
}

var indexMember = []byte(`"index":`)

func (r *run) addStatus(ok map[int]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, n := range ok {
		r.status[s] += n
	}
}

func (r *run) addError(err error) {
	what := "connection failed"
	var timeout net.Error
	switch {
	case errors.Is(err, errAnswer):
		what = errAnswer.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		what = "no answer in time"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs[what]++
}

func (r *run) result() Result {
	out := Result{
		Requests: r.requests.Load(), Entries: r.entries.Load(), Late: r.late.Load(),
		Status: r.status, Errors: r.errs,
	}
	// A load that ended early, by count, is not slower for the time that it did not use.
	out.Elapsed = max(min(r.Duration, time.Duration(r.last.Load())-r.Warmup), time.Microsecond)
	if r.Rate > 0 {
		out.Elapsed = max(time.Duration(r.last.Load())-r.Warmup, time.Microsecond)
	}
	for _, shards := range r.latency {
		all := newHistogram()
		for _, s := range shards {
			all.Merge(s.h)
		}
		out.latency = append(out.latency, all)
	}
	return out
}
