package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/floors"
	"consentledger/bench/internal/rounds"
	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
)

// grown is what is measured of a large ledger, partly beside a small one.
func (s *speedRun) grown() error {
	small, err := s.make("small", s.small)
	if err != nil {
		return err
	}
	large, err := s.make("large", s.large)
	if err != nil {
		return err
	}
	if err := s.start(large); err != nil {
		return err
	}
	if err := s.verify(large); err != nil {
		return err
	}
	return s.destructionCost(small, large)
}

func (s *speedRun) start(m made) error {
	s.say("server start")
	var took []float64
	for range s.rounds {
		p, _, err := s.serve(m)
		if err != nil {
			return err
		}
		took = append(took, p.Started.Seconds())
		if err := p.Stop(); err != nil {
			return err
		}
	}
	t := rounds.Median(took)
	s.line(fmt.Sprintf("server start with %d entries", m.count), fmt.Sprintf("%.2f s", t), "under 1 s", t < 1)
	return nil
}

// verify compares `consentledger verify` on a ledger that nobody serves, from
// the start of the process to its end, with hashing what it has to hash. It
// checks more than that (the database's structure, the tag runs), so what the
// log alone takes is measured too, in this process.
func (s *speedRun) verify(m made) error {
	s.say("verify")
	var leaves [][]byte
	err := s.with(m, func(l *ledger.Ledger) (err error) {
		leaves, err = book.Leaves(l)
		return err
	})
	if err != nil {
		return err
	}
	alone := func() (float64, error) { return floors.Hash(leaves, runtime.GOMAXPROCS(0)).Seconds(), nil }
	p, err := rounds.Interleave(s.rounds, alone, func() (float64, error) {
		begin := time.Now()
		out, err := exec.CommandContext(s.ctx, s.program, "verify", "--dir", m.dir, "--key", m.PublicKey, "--json").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("verify: %w: %s", err, out)
		}
		return time.Since(begin).Seconds(), nil
	})
	if err != nil {
		return err
	}
	s.line("verify", fmt.Sprintf("%d entries in %.2f s, hashing alone %.2f s: %.2f", len(leaves), rounds.Median(p.B), rounds.Median(p.A), p.Ratio()),
		"at least 0.6 of the speed of hashing alone", p.Ratio() >= 0.6)
	if p, err = rounds.Interleave(s.rounds, alone, func() (float64, error) { return s.verifyLog(m) }); err != nil {
		return err
	}
	s.info("of it the log, without what stands beside it and without starting a process: %.2f s, %.2f", rounds.Median(p.B), p.Ratio())
	return nil
}

func (s *speedRun) verifyLog(m made) (seconds float64, err error) {
	key, err := note.NewVerifier(m.PublicKey)
	if err != nil {
		return 0, err
	}
	db, err := datadir.OpenReadOnly(datadir.Database(m.dir))
	if err != nil {
		return 0, err
	}
	defer db.Close() // only read
	log, _, err := ledger.NewLogSource(db, m.dir)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	r, err := chain.Verify(s.ctx, log, chain.VerifyOptions{Verifier: key})
	if err == nil && !r.Intact {
		err = fmt.Errorf("a ledger that nobody touched is not intact: %s", r.Findings[0].What)
	}
	return time.Since(begin).Seconds(), err
}

// destructionCost compares what one destruction takes in a small and a large
// ledger: each opened anew, members spread all over, one at a time and in groups.
func (s *speedRun) destructionCost(small, large made) error {
	s.say("cost of destructions")
	measure := func(m made) (c [2]book.Cost, err error) {
		return c, s.with(m, func(l *ledger.Ledger) error {
			runtime.GC() // what was measured before is not this one's to collect
			for i, part := range []struct {
				from, to uint64
				callers  int
			}{{0, s.singly, 1}, {s.singly, s.singly + s.grouped, conns}} {
				var err error
				c[i], err = book.Measure(int(part.to-part.from), func() error {
					_, err := book.Withdraw(context.WithoutCancel(s.ctx), l, members, m.count, part.from, part.to, part.callers)
					return err
				})
				if err != nil {
					return err
				}
			}
			return s.ctx.Err()
		})
	}
	a, err := measure(small)
	if err != nil {
		return err
	}
	b, err := measure(large)
	if err != nil {
		return err
	}
	const target = 2.5
	over := b[0].Over(a[0])
	s.line(fmt.Sprintf("a destruction at %d members", large.count),
		fmt.Sprintf("%.2f times that at %d, the worse of wall and CPU", over, small.count), "at most 2.5 times", over <= target)
	s.info("at %d: %v; at %d: %v", small.count, a[0], large.count, b[0])
	// Those of one group share pages, and the more of them the fewer members there are: no measure of growth.
	s.info("%d at a time: at %d: %v; at %d: %v", conns, small.count, a[1], large.count, b[1])
	return nil
}
