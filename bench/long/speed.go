package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"consentledger/bench/internal/book"
	"consentledger/bench/internal/child"
	"consentledger/bench/internal/drive"
	"consentledger/bench/internal/floors"
	"consentledger/bench/internal/workload"
	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
)

// sizes are how much is measured.
type sizes struct {
	small, middle, large uint64        // members of the three ledgers
	rounds               int           // of each measurement
	round                time.Duration // how long each is
	singly, grouped      uint64        // destructions that are measured
}

var (
	// Those of the targets.
	full = sizes{small: 10_000, middle: 100_000, large: 1_000_000, rounds: 5, round: 4 * time.Second, singly: 1_000, grouped: 4_000}
	// To see that everything runs.
	quick = sizes{small: 3_000, middle: 10_000, large: 30_000, rounds: 3, round: time.Second, singly: 200, grouped: 512}
)

// active is how many of the members the calls of enrolled members are about, so
// that they are in memory as those are who use a shop on a day.
const active = 10_000

// tooNoisy is the share of the processors from which on others blur the figures.
const tooNoisy = 0.05

// conns is how many single calls are under way at a time.
const conns = 256

// speed measures everything that has a target, in one run.
func speed(ctx context.Context, out io.Writer, args []string) error {
	return measured(ctx, out, "speed", args, func(s *speedRun, isQuick bool) error {
		s.sizes = full
		if isQuick {
			s.sizes = quick
		}
		fmt.Fprintf(out, "%d members, %d rounds of %v\n", s.middle, s.rounds, s.round)
		return s.all()
	})
}

// measured makes a check that measures: its options, its place on the disk, and its verdict.
func measured(ctx context.Context, out io.Writer, name string, args []string, f func(s *speedRun, isQuick bool) error) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	isQuick := flags.Bool("quick", false, "small ledgers and short rounds, to see that it runs; no verdict")
	dir := flags.String("dir", "", "where to make the ledgers, on the disk that counts; absent: a temporary directory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s has no option %q", name, flags.Arg(0))
	}
	s := &speedRun{ctx: ctx, out: out}
	var err error
	if s.dir, err = os.MkdirTemp(*dir, "consentledger-"+name+"-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	fmt.Fprintf(out, "%s %s/%s, %d processors, driver on the same ones\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	quiet, err := listen()
	if err != nil {
		return err
	}
	if err := f(s, *isQuick); err != nil {
		return err
	}
	others, err := quiet.share(runtime.NumCPU())
	if err != nil {
		return err
	}
	s.info("others used %.0f %% of the processors meanwhile", 100*others)
	if others > tooNoisy {
		s.info("with so much noise only the ratios within a round say something")
	}
	switch {
	case *isQuick:
		fmt.Fprintln(out, "quick: these are not the sizes of the targets")
		return nil
	case s.misses > 0:
		return fmt.Errorf("%w: %d of %d targets were missed", errMiss, s.misses, s.lines)
	}
	fmt.Fprintf(out, "all %d targets are met\n", s.lines)
	return nil
}

type speedRun struct {
	sizes
	ctx           context.Context
	out           io.Writer
	dir           string
	lines, misses int
	program       string // the server
	floor         string // the empty handler
}

func (s *speedRun) all() error {
	if err := s.build(); err != nil {
		return err
	}
	for _, part := range []func() error{s.served, s.grown} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// line prints one target and whether it was met.
func (s *speedRun) line(what, measured, target string, met bool) {
	verdict := "ok"
	s.lines++
	if !met {
		verdict = "MISS"
		s.misses++
	}
	fmt.Fprintf(s.out, "%-4s  %-44s %s (target: %s)\n", verdict, what, measured, target)
}

// info prints a figure that has no target.
func (s *speedRun) info(format string, args ...any) {
	fmt.Fprintf(s.out, "      "+format+"\n", args...)
}

func (s *speedRun) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// build compiles what is measured, once.
func (s *speedRun) build() error {
	s.program, s.floor = filepath.Join(s.dir, "consentledger"), filepath.Join(s.dir, "floor")
	for pkg, program := range map[string]string{"consentledger/cmd/consentledger": s.program, "consentledger/bench/floor": s.floor} {
		s.say("building %s", pkg)
		if raw, err := exec.CommandContext(s.ctx, "go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", pkg, err, raw)
		}
	}
	return nil
}

const members = workload.Members("bench")

// made is a ledger with members 0 to count-1.
type made struct {
	datadir.Created
	dir   string
	count uint64
}

// make makes a ledger and fills it in this process: much faster than over HTTP.
func (s *speedRun) make(name string, count uint64) (m made, err error) {
	m = made{dir: filepath.Join(s.dir, name), count: count}
	if m.Created, err = book.Create(m.dir); err != nil {
		return m, err
	}
	begin := time.Now()
	progress := func(done uint64) {
		if done%100_000 == 0 {
			s.say("%d of %d members enrolled", done, count)
		}
	}
	err = s.with(m, func(l *ledger.Ledger) error { return book.Enrol(s.ctx, l, members, 0, count, progress) })
	if err != nil {
		return m, err
	}
	took := time.Since(begin)
	s.info("%d members enrolled inside the process in %.1f s, %.0f a second", count, took.Seconds(), float64(count)/took.Seconds())
	return m, nil
}

// with opens a ledger in this process for as long as f runs.
func (s *speedRun) with(m made, f func(*ledger.Ledger) error) error {
	l, err := book.Open(m.dir)
	if err != nil {
		return err
	}
	return errors.Join(f(l), l.Close())
}

// serve runs the program on a ledger.
func (s *speedRun) serve(m made) (*child.Process, *drive.Driver, error) {
	address, err := child.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	p, err := child.Start(address, "/readyz", s.program, "serve", "--dir", m.dir, "--root", datadir.DefaultRoot(m.dir), "--listen", address, "--accept-weak-root")
	if err != nil {
		return nil, nil, err
	}
	t, err := drive.ParseTarget(p.URL(), m.WriterKey)
	if err != nil {
		return nil, nil, errors.Join(err, p.Stop())
	}
	d := drive.NewDriver(t)
	d.UseMembers(members, min(active, m.count))
	return p, d, nil
}

// empty runs the empty handler.
func (s *speedRun) empty() (*child.Process, *drive.Driver, error) {
	address, err := child.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	p, err := child.Start(address, floors.ReadyPath, s.floor, "-serve", address)
	if err != nil {
		return nil, nil, err
	}
	t, err := drive.ParseTarget(p.URL(), "none")
	if err != nil {
		return nil, nil, errors.Join(err, p.Stop())
	}
	d := drive.NewDriver(t)
	d.UseMembers(members, active)
	return p, d, nil
}
