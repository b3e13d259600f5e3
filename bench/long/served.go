package main

import (
	"errors"
	"fmt"
	"time"

	"consentledger/bench/internal/child"
	"consentledger/bench/internal/drive"
	"consentledger/bench/internal/rounds"
)

// served is what is measured of a running server.
func (s *speedRun) served() (err error) {
	m, err := s.make("served", s.middle)
	if err != nil {
		return err
	}
	server, d, err := s.serve(m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	floor, e, err := s.empty()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.Stop()) }()
	v := &service{s, server, floor, d, e}
	// Destructions first: the calls after them add members.
	for _, part := range []func() error{
		v.destruction, v.oneConnection,
		func() error { return v.single("consent-enrolled", "single calls, enrolled members", 0.6) },
		func() error { return v.single("consent-new", "single calls, new members", 0.35) },
		v.cold, v.decisions, v.withdrawals,
		func() error { return v.batch("batch-enrolled", "batch, enrolled members", 60_000) },
		func() error { return v.batch("batch-new", "batch, new members", 8_000) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

type service struct {
	*speedRun
	server       *child.Process
	nothing      *child.Process // the empty handler
	ledger, idle *drive.Driver
}

// run runs a scenario; whatever is not answered with success ends the run.
func (v *service) run(d *drive.Driver, name string, p drive.Plan) (drive.Result, error) {
	if p.Duration == 0 {
		p.Duration = v.round
	}
	if p.Warmup == 0 {
		p.Warmup = v.warmup()
	}
	r, err := d.Run(v.ctx, name, p)
	if err == nil {
		err = v.ctx.Err()
	}
	if f := r.Failed(); err == nil && f != "" {
		err = fmt.Errorf("%s: %s", name, f)
	}
	return r, err
}

func (v *service) warmup() time.Duration { return v.round / 4 }

func (v *service) single(name, what string, target float64) error {
	v.say("%s", what)
	measure := func(d *drive.Driver, p *child.Process, used *usage) func() (float64, error) {
		return func() (float64, error) {
			before, err1 := p.CPU()
			r, err2 := v.run(d, name, drive.Plan{Conns: conns})
			after, err3 := p.CPU()
			// The processor time is that of the warm-up too, the requests are not.
			used.cpu += (after - before).Seconds() * v.round.Seconds() / (v.round + v.warmup()).Seconds()
			used.requests += float64(r.Requests)
			return r.RequestsPerSecond(), errors.Join(err1, err2, err3)
		}
	}
	var server, floor usage
	p, err := rounds.Interleave(v.rounds, measure(v.ledger, v.server, &server), measure(v.idle, v.nothing, &floor))
	if err != nil {
		return err
	}
	v.line(what, fmt.Sprintf("%.0f/s beside %.0f/s of an empty handler: %.2f", rounds.Median(p.A), rounds.Median(p.B), p.Ratio()),
		fmt.Sprintf("at least %.2f", target), p.Ratio() >= target)
	v.info("processor time of a call: %.0f µs in the server, %.0f µs in the empty handler", server.microseconds(), floor.microseconds())
	return nil
}

// usage is processor time, in seconds, and what it was used for.
type usage struct{ cpu, requests float64 }

func (u usage) microseconds() float64 { return 1e6 * u.cpu / max(u.requests, 1) }

func (v *service) oneConnection() error {
	v.say("one connection")
	for _, name := range []string{"consent-enrolled", "consent-new"} {
		r, err := v.run(v.ledger, name, drive.Plan{Conns: 1})
		if err != nil {
			return err
		}
		const target = 1500 * time.Microsecond
		v.line("one connection, "+name, fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", ms(r.Latency(0, 50)), ms(r.Latency(0, 99))),
			"p50 under 1.5 ms", r.Latency(0, 50) < target)
	}
	return nil
}

// cold is about all members in turn: of each, nothing was asked for a long time.
func (v *service) cold() error {
	v.ledger.UseMembers(members, v.middle)
	defer v.ledger.UseMembers(members, min(active, v.middle))
	r, err := v.run(v.ledger, "consent-enrolled", drive.Plan{Conns: conns})
	if err != nil {
		return err
	}
	v.info("single calls, all %d members in turn: %s", v.middle, r)
	return nil
}

func (v *service) decisions() error {
	v.say("decisions")
	r, err := v.run(v.ledger, "decision", drive.Plan{Conns: conns})
	if err != nil {
		return err
	}
	v.info("decisions: %s", r)
	return nil
}

func (v *service) batch(name, what string, target float64) error {
	v.say("%s", what)
	var rates []float64
	var entries uint64
	before, err := v.server.CPU()
	if err != nil {
		return err
	}
	for range v.rounds {
		r, err := v.run(v.ledger, name, drive.Plan{Streams: 2})
		if err != nil {
			return err
		}
		rates = append(rates, r.EntriesPerSecond())
		entries += r.Entries
	}
	after, err := v.server.CPU()
	if err != nil {
		return err
	}
	rate := rounds.Median(rates)
	v.line(what, fmt.Sprintf("%.0f entries/s", rate), fmt.Sprintf("at least %.0f", target), rate >= target)
	v.info("the server's processor time: %.0f µs an entry", float64((after-before).Microseconds())/float64(max(entries, 1)))
	return nil
}

func (v *service) withdrawals() error {
	const what, target = "2 % withdrawals of memberships in the mix", 0.7
	v.say("%s", what)
	var worst time.Duration
	mix := func(percent float64) func() (float64, error) {
		return func() (float64, error) {
			r, err := v.run(v.ledger, "mix", drive.Plan{Conns: conns, Withdrawals: percent})
			if err == nil && percent > 0 {
				worst = max(worst, r.Latency(1, 99))
			}
			return r.RequestsPerSecond(), err
		}
	}
	p, err := rounds.Interleave(v.rounds, mix(2), mix(0))
	if err != nil {
		return err
	}
	v.line(what, fmt.Sprintf("%.0f/s beside %.0f/s without: %.2f", rounds.Median(p.A), rounds.Median(p.B), p.Ratio()),
		fmt.Sprintf("at least %.1f", target), p.Ratio() >= target)
	v.info("p99 of the withdrawals in the mix: %.1f ms in the worst round", ms(worst))
	return nil
}

func (v *service) destruction() error {
	const target = 20 * time.Millisecond
	v.say("destructions")
	r, err := v.run(v.ledger, "withdrawal", drive.Plan{Conns: 1, Count: v.singly, Duration: time.Minute, Warmup: time.Nanosecond})
	if err != nil {
		return err
	}
	p99 := r.Latency(0, 99)
	v.line(fmt.Sprintf("a destruction at %d members", v.middle),
		fmt.Sprintf("p50 %.1f ms, p99 %.1f ms over %d", ms(r.Latency(0, 50)), ms(p99), r.Requests), "p99 under 20 ms", p99 < target)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
