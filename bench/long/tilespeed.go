package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"consentledger/bench/internal/child"
	"consentledger/bench/internal/drive"
	"consentledger/bench/internal/floors"
	"consentledger/bench/internal/rounds"
)

// fetchers is how many files of a log are being fetched at a time: several mirrors, each with some connections.
const fetchers = 32

// tileSpeed measures how fast a log's files are served, beside a handler that only writes as many bytes.
func tileSpeed(ctx context.Context, out io.Writer, args []string) error {
	return measured(ctx, out, "tilespeed", args, func(s *speedRun, isQuick bool) error {
		s.sizes = sizes{middle: 100_000, rounds: 21, round: time.Second}
		if isQuick {
			s.sizes = sizes{middle: 3_000, rounds: 1, round: 150 * time.Millisecond}
		}
		if err := s.build(); err != nil {
			return err
		}
		return s.tiles()
	})
}

// A fetched is one kind of file of a log, of which there are some that differ in the number in their path.
type fetched struct {
	what, path   string // NNN is the number
	first, count uint64
	off          int     // how many bytes an answer may have more or less than the floor's
	target       float64 // 0: none
}

func (f fetched) one() string { return strings.ReplaceAll(f.path, "NNN", fmt.Sprintf("%03d", f.first)) }

func (s *speedRun) tiles() (err error) {
	m, err := s.make("tiles", s.middle)
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
	size, err := s.covered(server.URL(), m.count)
	if err != nil {
		return err
	}
	v := &service{s, server, floor, d, e}
	// The first bundle has the policy's entries, which are of other sizes. One of which an entry is missing
	// is not kept in memory: what it takes is what a full one takes that was not fetched lately. That has no
	// target: the floor has its bytes at hand, and they have to be found in the database.
	full := size/256 - 1
	for _, f := range []fetched{
		{"full tiles", "/tile/0/NNN", 1, full, 0, 0.8},
		{"bundles of entries that were fetched lately", "/tile/entries/NNN", 1, min(full, 100), 0, 0.8},
		{"bundles of entries that are read anew", "/tile/entries/NNN.p/255", 1, full, 2 + floors.EntryBytes, 0},
		{"checkpoints", "/checkpoint", 0, 1, 8, 0.8},
	} {
		if err := v.fetched(f); err != nil {
			return err
		}
	}
	return nil
}

// covered waits until a head covers so many entries, and says how many it covers.
func (s *speedRun) covered(url string, entries uint64) (uint64, error) {
	for range 100 {
		_, msg, err := get(s.ctx, url+"/checkpoint")
		if err != nil {
			return 0, err
		}
		lines := strings.Split(string(msg), "\n")
		if len(lines) > 1 {
			if n, err := strconv.ParseUint(lines[1], 10, 64); err == nil && n >= entries {
				return n, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, fmt.Errorf("the server published no head of %d entries within 10 s", entries)
}

func get(ctx context.Context, url string) (http.Header, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.Header, b, err
}

// alike fails unless the floor's answers have the size of the server's, and the same headers.
func (v *service) alike(f fetched) error {
	header, body, err := get(v.ctx, v.server.URL()+f.one())
	if err != nil {
		return err
	}
	floorHeader, floorBody, err := get(v.ctx, v.nothing.URL()+f.one())
	if err != nil {
		return err
	}
	if off := len(body) - len(floorBody); off < -f.off || off > f.off {
		return fmt.Errorf("%s: the server answers %d bytes and the floor %d: they cannot be compared", f.path, len(body), len(floorBody))
	}
	for name := range header {
		if len(floorHeader[name]) != len(header[name]) {
			return fmt.Errorf("%s: the floor does not send the header %s as the server does", f.path, name)
		}
	}
	if len(floorHeader) != len(header) {
		return fmt.Errorf("%s: the server sends %d headers and the floor %d", f.path, len(header), len(floorHeader))
	}
	return nil
}

func (v *service) fetched(f fetched) error {
	v.say("%s", f.what)
	if err := v.alike(f); err != nil {
		return err
	}
	measure := func(d *drive.Driver, p *child.Process, used *usage) func() (float64, error) {
		return func() (float64, error) {
			before, err1 := p.CPU()
			r, err2 := d.Fetch(v.ctx, f.path, f.first, f.count, drive.Plan{Conns: fetchers, Warmup: v.warmup(), Duration: v.round})
			after, err3 := p.CPU()
			if failed := r.Failed(); err2 == nil && failed != "" {
				err2 = fmt.Errorf("%s: %s", f.what, failed)
			}
			// The processor time is that of the warm-up too, the requests are not.
			used.cpu += (after - before).Seconds() * v.round.Seconds() / (v.round + v.warmup()).Seconds()
			used.requests += float64(r.Requests)
			return r.RequestsPerSecond(), errors.Join(err1, err2, err3, v.ctx.Err())
		}
	}
	var server, floor usage
	p, err := rounds.Interleave(v.rounds, measure(v.ledger, v.server, &server), measure(v.idle, v.nothing, &floor))
	if err != nil {
		return err
	}
	measured := fmt.Sprintf("%.0f/s beside %.0f/s of an empty handler: %.2f", rounds.Median(p.A), rounds.Median(p.B), p.Ratio())
	if f.target == 0 {
		v.info("%s: %s", f.what, measured)
	} else {
		v.line(f.what, measured, fmt.Sprintf("at least %.1f", f.target), p.Ratio() >= f.target)
	}
	v.info("processor time of a call: %.0f µs in the server, %.0f µs in the empty handler", server.microseconds(), floor.microseconds())
	return nil
}
