// Package book makes and opens ledgers for the benchmarks, on real files and as
// the program does it, and fills them inside this process.
package book

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"consentledger/bench/internal/workload"
	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/consent"
)

// Origin is the name of every ledger that is made here.
const Origin = "bench.example/ledger"

// Writer is who makes the calls.
var Writer = ledger.Caller{KeyID: "local", Role: ledger.RoleWriter, From: "bench"}

// A temporary directory may lie where overwriting cannot be shown (overlay,
// tmpfs); what is measured there is weaker, and the grade says so.
var options = datadir.Options{AcceptWeakRoot: true, SweepEvery: -1}

// Create makes a ledger with the sample policy in a directory that is not there yet.
func Create(dir string) (datadir.Created, error) {
	return datadir.Create(dir, datadir.DefaultRoot(dir), datadir.Genesis{
		Origin: Origin, Policies: [][]byte{workload.Policy()}, Writer: true,
	}, options)
}

// Open opens a ledger in this process.
func Open(dir string) (*ledger.Ledger, error) {
	return datadir.Open(dir, datadir.DefaultRoot(dir), options)
}

// MustID parses an id that this program has made up.
func MustID(s string) consent.MemberID {
	id, err := consent.ParseMemberID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// Enrolling keeps this many calls of each goroutine under way, so that a commit
// carries thousands: 4 × 1024 is half of the ledger's queue.
const (
	enrolGoroutines = 4
	enrolWindow     = 1024
)

// Enrol enrols the members with numbers from up to, not including, to. progress
// is told from time to time how many are durable; it may be nil.
func Enrol(ctx context.Context, l *ledger.Ledger, m workload.Members, from, to uint64, progress func(done uint64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Uint64
	next.Store(from)
	at := time.Now()
	var work sync.WaitGroup
	for range enrolGoroutines {
		work.Go(func() {
			window := make([]*ledger.Pending, 0, enrolWindow)
			settle := func(some int) bool {
				for _, p := range window[:some] {
					if _, err := p.Wait(ctx); err != nil {
						cancel(err)
						return false
					}
					if d := done.Add(1); progress != nil && d%10_000 == 0 {
						progress(d)
					}
				}
				window = append(window[:0], window[some:]...)
				return true
			}
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= to {
					settle(len(window))
					return
				}
				p, err := l.Submit(ctx, Writer, workload.Consent(MustID(m.ID(n)), true, at))
				if err != nil {
					cancel(err)
					return
				}
				window = append(window, p)
				if len(window) == enrolWindow && !settle(enrolWindow/2) {
					return
				}
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// Consent gives each of some members more entries, one after the other.
func Consent(ctx context.Context, l *ledger.Ledger, m workload.Members, numbers []uint64, entries int) error {
	at := time.Now()
	for range entries {
		for some := range slices.Chunk(numbers, enrolWindow) {
			window := make([]*ledger.Pending, len(some))
			for i, n := range some {
				var err error
				if window[i], err = l.Submit(ctx, Writer, workload.Consent(MustID(m.ID(n)), false, at)); err != nil {
					return err
				}
			}
			for _, p := range window {
				if _, err := p.Wait(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Leaves reads all entries of a ledger, each with the prefix that a leaf of the
// tree has before it (RFC 6962, section 2.1), ready to be hashed.
func Leaves(l *ledger.Ledger) (leaves [][]byte, err error) {
	for size := l.Size(); uint64(len(leaves)) < size; {
		entries, err := l.LogEntries(uint64(len(leaves)), 4096)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			return nil, errors.New("the ledger ends before its size")
		}
		for _, e := range entries {
			leaves = append(leaves, append([]byte{0}, e...))
		}
	}
	return leaves, nil
}
