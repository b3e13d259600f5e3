package drive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"consentledger/bench/internal/workload"
)

// Scenarios are the names that Scenario takes.
var Scenarios = []string{"consent-enrolled", "consent-new", "decision", "batch-enrolled", "batch-new", "mix", "withdrawal"}

// A Plan bounds a scenario.
type Plan struct {
	Conns       int
	Streams     int // of batches
	Rate        float64
	Warmup      time.Duration
	Duration    time.Duration
	Count       uint64
	Withdrawals float64 // of the mix, in percent
	Pool        uint64  // members made beforehand for the withdrawals to come; 0: as many as they may need
}

// A Driver knows which members of the server are there for it.
type Driver struct {
	target   Target
	at       time.Time // of every consent
	enrolled workload.Members
	count    uint64
	begun    atomic.Uint64 // consents of enrolled members and decisions, over all scenarios
	fresh    atomic.Uint64 // members that were enrolled by this driver
	newcomer workload.Members
}

// NewDriver makes a driver whose ids no other has.
func NewDriver(t Target) *Driver {
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // never fails
	run := hex.EncodeToString(raw[:])
	return &Driver{target: t, at: time.Now(), newcomer: workload.Members("new-" + run)}
}

// UseMembers says that the members 0 to count-1 of a prefix are enrolled already.
func (d *Driver) UseMembers(m workload.Members, count uint64) { d.enrolled, d.count = m, count }

// Enrol enrols members for the scenarios that need them.
func (d *Driver) Enrol(ctx context.Context, count uint64) error {
	m := "old-" + d.newcomer
	if err := d.enrol(ctx, m, count); err != nil {
		return err
	}
	d.UseMembers(m, count)
	return nil
}

func (d *Driver) enrol(ctx context.Context, m workload.Members, count uint64) error {
	var n atomic.Uint64
	r, err := Batch{
		Target: d.target, Streams: 2, Count: count, Line: workload.ConsentLine(m, true, d.at),
		Next: func() uint64 { return n.Add(1) - 1 },
	}.Run(ctx)
	if err != nil {
		return err
	}
	if f := r.Failed(); f != "" || r.Requests != count {
		return fmt.Errorf("%d of %d members could be enrolled: %s", r.Requests, count, f)
	}
	return nil
}

// next walks through the enrolled members in steps that are coprime to any
// count that is not a multiple of the prime: neighbours in time are not neighbours.
func (d *Driver) next() uint64 { return d.begun.Add(1) * 7919 % d.count }

func (d *Driver) nextNew() uint64 { return d.fresh.Add(1) }

// Run runs one scenario by its name.
func (d *Driver) Run(ctx context.Context, name string, p Plan) (Result, error) {
	if !slices.Contains(Scenarios, name) {
		return Result{}, fmt.Errorf("no scenario has the name %q; there are %v", name, Scenarios)
	}
	if p.Duration <= 0 {
		return Result{}, errors.New("a scenario needs a duration")
	}
	needs := name != "consent-new" && name != "batch-new" && name != "withdrawal"
	if needs && d.count == 0 {
		return Result{}, fmt.Errorf("the scenario %s needs members that are enrolled", name)
	}
	switch name {
	case "batch-enrolled":
		return d.batch(ctx, p, workload.ConsentLine(d.enrolled, false, d.at), d.next)
	case "batch-new":
		return d.batch(ctx, p, workload.ConsentLine(d.newcomer, true, d.at), d.nextNew)
	}
	l := Load{Target: d.target, Conns: p.Conns, Rate: p.Rate, Warmup: p.Warmup, Duration: p.Duration, Count: p.Count}
	consent := d.target.NewCall("/v1/consents", workload.ConsentBody(d.enrolled, false, d.at), true)
	switch name {
	case "consent-enrolled":
		l.Calls = []Call{consent}
		l.Next = func() (int, uint64, bool) { return 0, d.next(), true }
	case "consent-new":
		l.Calls = []Call{d.target.NewCall("/v1/consents", workload.ConsentBody(d.newcomer, true, d.at), true)}
		l.Next = func() (int, uint64, bool) { return 0, d.nextNew(), true }
	case "decision":
		l.Calls = []Call{d.target.NewCall("/v1/decisions", workload.DecisionBody(d.enrolled), false)}
		l.Next = func() (int, uint64, bool) { return 0, d.next(), true }
	case "mix", "withdrawal":
		return d.mix(ctx, name, p, l, consent)
	}
	return l.Run(ctx)
}

// Fetch fetches a path with a number in it, NNN, from first on, count of them, in steps that are coprime to
// any count that is not a multiple of the prime: whoever comes after another fetches something else.
func (d *Driver) Fetch(ctx context.Context, path string, first, count uint64, p Plan) (Result, error) {
	l := Load{Target: d.target, Conns: p.Conns, Rate: p.Rate, Warmup: p.Warmup, Duration: p.Duration, Count: p.Count}
	l.Calls = []Call{d.target.NewGet(path)}
	l.Next = func() (int, uint64, bool) { return 0, first + d.begun.Add(1)*7919%count, true }
	return l.Run(ctx)
}

func (d *Driver) batch(ctx context.Context, p Plan, line workload.Body, next func() uint64) (Result, error) {
	return Batch{Target: d.target, Streams: max(p.Streams, 1), Duration: p.Duration, Count: p.Count, Line: line, Next: next}.Run(ctx)
}

// poolPerSecond is more withdrawals than are asked for in a second of a mix.
const poolPerSecond = 600

// mix sends consents of enrolled members and, evenly spread among them, the
// withdrawal of memberships that were made for it, each once.
func (d *Driver) mix(ctx context.Context, name string, p Plan, l Load, consent Call) (Result, error) {
	percent := p.Withdrawals
	if name == "withdrawal" {
		percent = 100
	}
	if percent < 0 || percent > 100 {
		return Result{}, errors.New("withdrawals are 0 to 100 percent")
	}
	if p.Pool == 0 {
		p.Pool = uint64((p.Warmup+p.Duration).Seconds()*poolPerSecond) + 1
		if p.Count > 0 {
			p.Pool = min(p.Pool, p.Count)
		}
	}
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // never fails
	leaving := workload.Members("leaving-" + hex.EncodeToString(raw[:]))
	if percent > 0 {
		if err := d.enrol(ctx, leaving, p.Pool); err != nil {
			return Result{}, fmt.Errorf("enrol those who will withdraw: %w", err)
		}
	}
	withdrawal := d.target.NewCall("/v1/withdrawals", workload.WithdrawalBody(leaving), true)
	var sent, gone atomic.Uint64
	next := func() (int, uint64, bool) {
		n := sent.Add(1)
		if uint64(float64(n)*percent/100) == uint64(float64(n-1)*percent/100) {
			return 0, d.next(), true
		}
		g := gone.Add(1) - 1
		return 1, g, g < p.Pool
	}
	l.Calls, l.Next = []Call{consent, withdrawal}, next
	if name == "withdrawal" {
		l.Calls = []Call{withdrawal}
		l.Next = func() (int, uint64, bool) { _, m, ok := next(); return 0, m, ok }
	}
	return l.Run(ctx)
}
