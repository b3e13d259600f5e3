// Load sends load to a ledger's server on this machine and prints how it did.
//
//	go run ./bench/load -url http://127.0.0.1:8787 -key-file F -scenario consent-enrolled
//
// The key is a writer's. The members that it makes up stay in the ledger.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"consentledger/bench/internal/drive"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		url       = flag.String("url", "http://127.0.0.1:8787", "the server; loopback only")
		keyFile   = flag.String("key-file", "", "a file with a writer's API key in its first line")
		scenarios = flag.String("scenario", "consent-enrolled", "one of, or several with commas: "+strings.Join(drive.Scenarios, ", "))
		members   = flag.Uint64("members", 10_000, "how many members to enrol first, for the scenarios that need them")
		p         drive.Plan
	)
	flag.IntVar(&p.Conns, "conns", 256, "connections at a time")
	flag.IntVar(&p.Streams, "streams", 2, "batches at a time")
	flag.Float64Var(&p.Rate, "rate", 0, "requests a second, in an open loop; 0: as fast as answers come")
	flag.DurationVar(&p.Warmup, "warmup", time.Second, "before anything is counted (not of batches)")
	flag.DurationVar(&p.Duration, "duration", 10*time.Second, "how long a scenario takes")
	flag.Uint64Var(&p.Count, "count", 0, "at most so many requests or lines a scenario; 0: no bound")
	flag.Float64Var(&p.Withdrawals, "withdrawals", 2, "percent of the mix that are withdrawals of memberships")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q is not a flag", flag.Arg(0))
	case *keyFile == "":
		return errors.New("-key-file is missing: a file with a writer's API key")
	case p.Conns < 1 || p.Conns > 10_000:
		return errors.New("-conns is from 1 to 10000")
	case p.Streams < 1 || p.Streams > 16:
		return errors.New("-streams is from 1 to 16")
	case p.Duration <= 0 || p.Duration > time.Hour || p.Warmup < 0 || p.Warmup > time.Hour:
		return errors.New("-duration and -warmup are at most an hour")
	case p.Rate < 0:
		return errors.New("-rate is not negative")
	}
	key, err := drive.ReadKey(*keyFile)
	if err != nil {
		return err
	}
	target, err := drive.ParseTarget(*url, key)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d := drive.NewDriver(target)
	if *members > 0 {
		begin := time.Now()
		if err := d.Enrol(ctx, *members); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d members enrolled in %v\n", *members, time.Since(begin).Round(time.Millisecond))
	}
	failed := false
	for _, name := range strings.Split(*scenarios, ",") {
		r, err := d.Run(ctx, name, p)
		if err != nil {
			return err
		}
		fmt.Printf("%-16s %s\n", name, r)
		failed = failed || r.Failed() != ""
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	if failed {
		return errors.New("not every request had a 2xx answer")
	}
	return nil
}
