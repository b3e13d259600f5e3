package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server"
	"consentledger/server/witness"
	"consentledger/testdata/policies"
)

type serveCmd struct {
	place
	listening
	Init           bool     `help:"Make the ledger first if there is none, with the sample policy of a shop, and print its keys and three calls to try."`
	Policy         []string `sep:"," placeholder:"FILE" help:"With --init: this policy instead of the sample."`
	CacheBytes     int64    `placeholder:"N" default:"268435456" help:"Memory for members whose state is kept at hand (default ${default})."`
	MaxConnections int      `placeholder:"N" default:"4096" help:"Connections at once; one more is told to come back (default ${default}). Each takes some 100 KiB at most."`
	MinFree        uint64   `name:"min-free-bytes" placeholder:"N" default:"268435456" help:"With less room than this on its disks the server is not ready and takes no writes but withdrawals (default ${default})."`
	Metrics        bool     `name:"public-metrics" help:"Show /metrics without a key: only where nobody else reaches the address."`
	PrivateLog     bool     `name:"private-log" help:"Show the log (checkpoint, tiles, policies, recipients, destructions, witnesses) only to who has an API key, of any role. Absent: to anybody."`
	Origin         string   `placeholder:"NAME" help:"With --init: the ledger's public name (default localhost/consent)."`
	RateLimit      string   `placeholder:"N/S[,BURST]" help:"How many requests one API key may make in S, such as 100/1s or 6000/1m,200 (default: no limit)."`

	limit server.RateLimit
	push  *witness.Pusher // once the ledger is open
}

func (c *serveCmd) Run(ctx context.Context, t *terminal) error {
	if len(c.Policy) > 0 && !c.Init {
		return errors.New("--policy only goes with --init; `policy add` adds one to a ledger that is there")
	}
	if c.Origin != "" && !c.Init {
		return errors.New("--origin only goes with --init; a ledger that is there keeps its name")
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.CacheBytes < 1<<20 {
		return errors.New("--cache-bytes: give at least 1048576, a mebibyte")
	}
	if c.MaxConnections < 1 {
		return errors.New("--max-connections: give at least 1")
	}
	limit, err := c.rateLimit()
	if err != nil {
		return err
	}
	c.limit = limit
	log := slog.New(slog.NewTextHandler(t.err, nil))
	tlsConfig, err := c.tls(log)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	collectSeldom()

	missing := datadir.Exists(c.Dir)
	if c.Init && errors.Is(missing, datadir.ErrMissing) {
		return c.first(ctx, t, log, tlsConfig)
	}
	if missing != nil {
		return missing
	}
	given, err := readPolicies(c.Policy)
	if err != nil {
		return refused(err)
	}
	// The address before the ledger, so that /livez answers and nobody is refused a connection
	// while it is opened. What is wrong with the ledger is said first: of two servers on one
	// directory the second should hear that, and not that its port is taken.
	ln, noAddress := c.listen(ctx)
	return c.serve(ctx, t, log, ln, tlsConfig, func() (*ledger.Ledger, error) {
		l, err := datadir.Open(c.Dir, c.root(), c.served(ctx, log))
		switch {
		case err != nil:
			return nil, err
		case c.Origin != "" && c.Origin != l.Origin():
			err = fmt.Errorf("--origin: the ledger in %s is there already, and its name is %s, which cannot be changed: leave --origin out, or make another ledger with another --dir", c.Dir, l.Origin())
		case noAddress != nil:
			err = noAddress
		default:
			err = c.has(l, given)
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		if c.Init {
			fmt.Fprintf(t.out, "the ledger in %s is there already and is served as it is; its keys were shown when it was made (`key create` makes another)\n", c.Dir)
		}
		return l, nil
	})
}

// has refuses policies that the ledger does not have: served without them, they would seem to be in
// force. The command that made the ledger can be typed again.
func (c *serveCmd) has(l *ledger.Ledger, given [][]byte) error {
	for i, src := range given {
		if !slices.ContainsFunc(l.Policies(), func(p consent.Posted) bool { return bytes.Equal(p.Source(), src) }) {
			return fmt.Errorf("--policy %s: the ledger in %s is there already, has no such policy or not these words of it, and takes no policy this way: add it with `policy add`, or make another ledger with another --dir", c.Policy[i], c.Dir)
		}
	}
	return nil
}

// first makes the ledger. The address before the ledger: its keys are printed
// once, and an address that is taken must not cost them.
func (c *serveCmd) first(ctx context.Context, t *terminal, log *slog.Logger, tlsConfig *tls.Config) error {
	g := datadir.Genesis{Origin: c.Origin, Policies: [][]byte{policies.Haim()}, Writer: true}
	if g.Origin == "" {
		g.Origin = "localhost/consent"
	}
	if len(c.Policy) > 0 {
		var err error
		if g.Policies, err = readPolicies(c.Policy); err != nil {
			return refused(err)
		}
	}
	ln, err := c.listen(ctx)
	if err != nil {
		return err
	}
	made, err := datadir.Create(c.Dir, c.root(), g, c.options(log))
	if err != nil {
		return errors.Join(refused(err), ln.Close())
	}
	// Printed before anything else can fail.
	fmt.Fprintf(t.out, "a new ledger %s in %s\n\n", made.Origin, c.Dir)
	fmt.Fprintf(t.out, "root key    %s  (%s; in no backup of %s, and never lost)\n", c.root(), made.Grade, c.Dir)
	fmt.Fprintf(t.out, "public key  %s\n", made.PublicKey)
	fmt.Fprintf(t.out, "admin key   %s\n", made.AdminKey)
	fmt.Fprintf(t.out, "writer key  %s\n", made.WriterKey)
	fmt.Fprint(t.out, "            (both keys are shown this once)\n\n")
	if f, ok := t.out.(*os.File); ok && !term.IsTerminal(int(f.Fd())) {
		log.Warn("the keys were printed into a file or a pipe and not to a terminal: who can read it can do all that they can; take them out of there once they are where they belong")
	}
	printExample(t.out, g.Policies[0], c.url(ln), made.WriterKey)
	return c.serve(ctx, t, log, ln, tlsConfig, func() (*ledger.Ledger, error) {
		return datadir.Open(c.Dir, c.root(), c.served(ctx, log))
	})
}

// serve answers on ln, opens the ledger, answers for it until ctx ends, and closes everything. With
// no listener it only opens, which then fails.
func (c *serveCmd) serve(ctx context.Context, t *terminal, log *slog.Logger, ln net.Listener, tlsConfig *tls.Config, open func() (*ledger.Ledger, error)) (err error) {
	s := server.Starting(server.Options{
		Log: log, TLS: tlsConfig, MinFree: c.MinFree, DiskFree: c.diskFree, PublicMetrics: c.Metrics, PrivateLog: c.PrivateLog,
		MaxConnections: c.MaxConnections, RateLimit: c.limit,
	})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx) // one that fails stops the others
	if ln != nil {
		g.Go(func() error { return s.Serve(ctx, ln) })
	}
	l, err := open()
	if err != nil {
		stop()
		return errors.Join(err, g.Wait())
	}
	defer func() {
		if e := l.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close the ledger: %w", e))
		}
	}()
	socket, err := server.ListenControl(c.Dir)
	if err != nil {
		stop()
		return errors.Join(err, g.Wait())
	}
	s.Open(l)
	g.Go(func() error { return s.ServeControl(ctx, socket) })
	g.Go(func() error { c.push.Run(ctx); return nil })
	fmt.Fprintf(t.out, "listening on %s\n", c.url(ln))
	tell(log, daemon.SdNotifyReady)
	<-ctx.Done()
	tell(log, daemon.SdNotifyStopping)
	return g.Wait()
}

// collectSeldom lets the heap grow further before it is collected: what a request or a block leaves
// behind dies with it, and the heap is small. Collecting at four times the living heap instead of
// twice costs some memory and gives a tenth of the processor back. GOMEMLIMIT still bounds it.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
}

// maxRate bounds what --rate-limit says, so that no header overflows.
const maxRate = 1_000_000_000

// rateLimit reads --rate-limit. Without a burst as many may come at once as in the whole time.
func (c *serveCmd) rateLimit() (server.RateLimit, error) {
	if c.RateLimit == "" {
		return server.RateLimit{}, nil
	}
	bad := fmt.Errorf("--rate-limit %s: give requests and a time, and how many may come at once, such as 100/1s or 6000/1m,200; the time is at most a day, the numbers at most a billion", c.RateLimit)
	share, burst, hasBurst := strings.Cut(c.RateLimit, ",")
	number, within, _ := strings.Cut(share, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return server.RateLimit{}, bad
	}
	d, err := time.ParseDuration(within)
	if err != nil || d <= 0 || d > 24*time.Hour || n > maxRate {
		return server.RateLimit{}, bad
	}
	limit := server.RateLimit{PerSecond: float64(n) / d.Seconds(), Burst: n}
	if hasBurst {
		if limit.Burst, err = strconv.Atoi(burst); err != nil || limit.Burst < 1 || limit.Burst > maxRate {
			return server.RateLimit{}, bad
		}
	}
	return limit, nil
}

// diskFree is how much room is left where the ledger writes, on the fuller of its filesystems.
func (c *serveCmd) diskFree() (uint64, error) {
	data, err := diskFree(c.Dir)
	if err != nil {
		return 0, err
	}
	root, err := diskFree(c.root())
	return min(data, root), err
}

// untilSignal ends its context at the first SIGINT or SIGTERM, which lets what
// is under way finish. A second one ends the process at once: what was
// acknowledged is on disk.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		cancel()
		<-signals
		os.Exit(exitCould)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// served is the options of a ledger that is to be served.
func (c *serveCmd) served(ctx context.Context, log *slog.Logger) datadir.Options {
	o := c.options(log)
	o.CacheBytes = c.CacheBytes
	o.Ask = askWitnesses(ctx, log, &c.push)
	return o
}
