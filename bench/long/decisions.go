package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/rounds"
	"consentledger/bench/internal/workload"
	"consentledger/ledger"
)

// decisionSizes are how much is measured of decisions.
type decisionSizes struct {
	others  []uint64 // members beside the one who is asked about: a ledger for each
	entries int      // of those who are asked about
	opens   int      // of each ledger
	warm    int      // decisions of a round about members in memory
	warms   int      // such rounds
}

var (
	fullDecisions  = decisionSizes{others: []uint64{10, 1_000, 100_000}, entries: 20, opens: 40, warm: 5_000, warms: 21}
	quickDecisions = decisionSizes{others: []uint64{10, 100, 1_000}, entries: 20, opens: 3, warm: 500, warms: 3}
)

// decisions measures what a decision costs.
func decisions(ctx context.Context, out io.Writer, args []string) error {
	return measured(ctx, out, "decisions", args, func(s *speedRun, isQuick bool) error {
		d := &decisionsRun{speedRun: s, decisionSizes: fullDecisions}
		// Many short rounds: beside other work on the machine the median of few means little.
		s.sizes = sizes{rounds: 21, round: time.Second}
		if isQuick {
			s.sizes, d.decisionSizes = sizes{rounds: 1, round: 300 * time.Millisecond}, quickDecisions
		}
		return d.all()
	})
}

type decisionsRun struct {
	*speedRun
	decisionSizes
	ledgers []made
}

// asked are the members that are asked about: as many in each ledger, and all over it.
func (d *decisionsRun) asked(m made) []uint64 {
	out := make([]uint64, d.others[0]+1)
	for i := range out {
		out[i] = uint64(i) * m.count / uint64(len(out))
	}
	return out
}

func (d *decisionsRun) ask(l *ledger.Ledger, member uint64) error {
	a, err := l.Decide(d.ctx, book.Writer, workload.Question(book.MustID(members.ID(member))))
	if err == nil && !a.Allowed {
		err = fmt.Errorf("a member who consented is refused: %s", a.Reason)
	}
	return err
}

func (d *decisionsRun) all() error {
	for _, others := range d.others {
		m, err := d.make(fmt.Sprint(others), others+1)
		if err == nil {
			err = d.with(m, func(l *ledger.Ledger) error { // one entry they have
				return book.Consent(d.ctx, l, members, d.asked(m), d.entries-1)
			})
		}
		if err != nil {
			return err
		}
		d.ledgers = append(d.ledgers, m)
	}
	for _, part := range []func() error{d.inMemory, d.fromDisk, d.served} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// inMemory asks about members who are in memory, in one ledger after the other.
func (d *decisionsRun) inMemory() (err error) {
	d.say("decisions, members in memory")
	open := make([]*ledger.Ledger, len(d.ledgers))
	defer func() {
		for _, l := range open {
			if l != nil {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	took := make([][]float64, len(d.ledgers))
	for i, m := range d.ledgers {
		if open[i], err = book.Open(m.dir); err != nil {
			return err
		}
		for _, n := range d.asked(m) {
			if err := d.ask(open[i], n); err != nil {
				return err
			}
		}
	}
	for range d.warms {
		for i, m := range d.ledgers {
			asked := d.asked(m)
			begin := time.Now()
			for n := range d.warm {
				if err := d.ask(open[i], asked[n%len(asked)]); err != nil {
					return err
				}
			}
			took[i] = append(took[i], microseconds(time.Since(begin))/float64(d.warm))
		}
	}
	d.report("the member in memory", took, 1, 20)
	return d.ctx.Err()
}

// fromDisk asks once about each member, in ledgers that were opened for it. Others were asked about
// before, as in a server that has run for a while; of these members themselves nothing is in memory,
// neither keys nor entries.
func (d *decisionsRun) fromDisk() error {
	d.say("decisions, members not in memory")
	took := make([][]float64, len(d.ledgers))
	for range d.opens {
		for i, m := range d.ledgers {
			err := d.with(m, func(l *ledger.Ledger) error {
				if err := d.askOthers(l, m); err != nil {
					return err
				}
				runtime.GC() // what was read before is not these members' to collect
				for _, n := range d.asked(m) {
					begin := time.Now()
					if err := d.ask(l, n); err != nil {
						return err
					}
					took[i] = append(took[i], microseconds(time.Since(begin)))
				}
				return d.ctx.Err()
			})
			if err != nil {
				return err
			}
		}
	}
	d.report(fmt.Sprintf("the member not in memory, %d entries", d.entries), took, len(d.asked(d.ledgers[0])), 500)
	return nil
}

// askOthers asks about some of those who are not asked about otherwise.
func (d *decisionsRun) askOthers(l *ledger.Ledger, m made) error {
	for n := range min(1_000, m.count) {
		other := book.Spread(n, m.count)
		if slices.Contains(d.asked(m), other) {
			continue
		}
		if err := d.ask(l, other); err != nil {
			return err
		}
	}
	return nil
}

// flat is how many times as much a decision may cost in the ledger where it costs most as in the
// one where it costs least: nothing of it grows with the number of members but a search in a tree.
const flat = 1.5

// report says what decisions took in each ledger: of so many members in turn, round after round.
// What they cost is the median. How they compare is by the least of each member, because what
// others do on the machine only ever adds to that.
func (d *decisionsRun) report(what string, took [][]float64, asked int, target float64) {
	var medians, leasts []float64
	var each []string
	for i, t := range took {
		of := slices.Clone(t[:asked])
		for j, took := range t {
			of[j%asked] = min(of[j%asked], took)
		}
		least := rounds.Median(of)
		medians, leasts = append(medians, rounds.Median(t)), append(leasts, least)
		each = append(each, fmt.Sprintf("%.1f µs beside %d", least, d.others[i]))
		d.info("%s, beside %d others: median %.1f µs, at the least %.1f µs", what, d.others[i], medians[i], least)
	}
	most, ratio := slices.Max(medians), slices.Max(leasts)/slices.Min(leasts)
	d.line("a decision, "+what, fmt.Sprintf("median %.1f µs where it is greatest", most), fmt.Sprintf("at most %.0f µs", target), most <= target)
	d.line("… beside more and more others", fmt.Sprintf("%s at the least: %.2f", strings.Join(each, ", "), ratio), fmt.Sprintf("at most %.1f times", flat), ratio <= flat)
}

// served asks over HTTP, about members in memory of the largest ledger.
func (d *decisionsRun) served() (err error) {
	if err := d.build(); err != nil {
		return err
	}
	server, driver, err := d.serve(d.ledgers[len(d.ledgers)-1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	floor, idle, err := d.empty()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.Stop()) }()
	v := &service{d.speedRun, server, floor, driver, idle}
	return v.single("decision", "decisions over HTTP", 0.7)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
