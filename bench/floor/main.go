// Floor prints what nothing can be faster than on this machine, with the same
// driver on the same processors: an HTTP server whose handler does nothing, and
// a bbolt database that commits entries of the same size. Told a server, it
// measures that in turn with them and prints the ratios.
//
//	go run ./bench/floor [-url http://127.0.0.1:8787 -key-file F]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"consentledger/bench/internal/child"
	"consentledger/bench/internal/drive"
	"consentledger/bench/internal/floors"
	"consentledger/bench/internal/rounds"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

type options struct {
	conns, rounds, entry int
	duration             time.Duration
}

func run() error {
	var (
		serve   = flag.String("serve", "", "only run the empty handler, on this address")
		url     = flag.String("url", "", "a server to compare; loopback only")
		keyFile = flag.String("key-file", "", "a file with a writer's API key in its first line")
		o       options
	)
	flag.IntVar(&o.conns, "conns", 256, "connections, and callers of the database, at a time")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each measurement")
	flag.IntVar(&o.entry, "entry", floors.EntryBytes, "bytes of an entry")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "of a round")
	flag.Parse()
	if *serve != "" {
		ln, err := net.Listen("tcp", *serve)
		if err != nil {
			return err
		}
		return floors.Serve(ln)
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q is not a flag", flag.Arg(0))
	case o.conns < 1 || o.conns > 10_000 || o.rounds < 1 || o.rounds > 100 || o.entry < 1 || o.entry > 65_535:
		return errors.New("-conns is from 1 to 10000, -rounds from 1 to 100, -entry from 1 to 65535")
	case o.duration <= 0 || o.duration > time.Minute:
		return errors.New("-duration is at most a minute")
	case *url != "" && *keyFile == "":
		return errors.New("-url also needs -key-file: a file with a writer's API key")
	}
	return compare(o, *url, *keyFile)
}

func compare(o options, url, keyFile string) error {
	ctx := context.Background()
	empty, stop, err := startEmpty()
	if err != nil {
		return err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "floor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	handler := func() (float64, error) { return single(ctx, empty, o) }
	commits := func() (float64, error) {
		path := filepath.Join(dir, "floor.db")
		defer os.Remove(path)
		n, took, err := floors.GroupCommit(path, o.entry, o.conns, o.duration)
		return float64(n) / took.Seconds(), err
	}
	p, err := rounds.Interleave(o.rounds, handler, commits)
	if err != nil {
		return err
	}
	fmt.Printf("empty handler, %d connections: %.0f requests/s\n", o.conns, rounds.Median(p.A))
	fmt.Printf("bbolt group commit of %d bytes, %d callers: %.0f entries/s\n", o.entry, o.conns, rounds.Median(p.B))
	if url == "" {
		return nil
	}
	key, err := drive.ReadKey(keyFile)
	if err != nil {
		return err
	}
	target, err := drive.ParseTarget(url, key)
	if err != nil {
		return err
	}
	d := drive.NewDriver(target)
	if err := d.Enrol(ctx, 10_000); err != nil {
		return err
	}
	for _, name := range []string{"consent-enrolled", "consent-new"} {
		measured := func() (float64, error) {
			r, err := d.Run(ctx, name, drive.Plan{Conns: o.conns, Warmup: time.Second, Duration: o.duration})
			if err == nil && r.Failed() != "" {
				err = fmt.Errorf("%s: %s", name, r.Failed())
			}
			return r.RequestsPerSecond(), err
		}
		h, err := rounds.Interleave(o.rounds, measured, handler)
		if err != nil {
			return err
		}
		c, err := rounds.Interleave(o.rounds, measured, commits)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.0f requests/s; %.2f of the empty handler, %.2f of the group commit\n",
			name, rounds.Median(h.A), h.Ratio(), c.Ratio())
	}
	return nil
}

// startEmpty runs the empty handler in a process of its own, as the server is.
func startEmpty() (d *drive.Driver, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	address, err := child.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	p, err := child.Start(address, floors.ReadyPath, self, "-serve", address)
	if err != nil {
		return nil, nil, err
	}
	t, err := drive.ParseTarget(p.URL(), "none")
	if err != nil {
		return nil, nil, errors.Join(err, p.Stop())
	}
	return drive.NewDriver(t), func() { _ = p.Stop() }, nil
}

func single(ctx context.Context, d *drive.Driver, o options) (float64, error) {
	r, err := d.Run(ctx, "consent-new", drive.Plan{Conns: o.conns, Warmup: time.Second / 2, Duration: o.duration})
	if err == nil && r.Failed() != "" {
		err = fmt.Errorf("the empty handler: %s", r.Failed())
	}
	return r.RequestsPerSecond(), err
}
