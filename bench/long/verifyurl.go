package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"consentledger/bench/internal/rounds"
	"consentledger/cmd/consentledger/datadir"
)

// verifyURL compares `consentledger verify --url` over loopback with
// `verify --file`: the same entries, both from the start of the process to its
// end. The server that answers the one runs on the same processors, and does
// nothing while the other runs.
func verifyURL(ctx context.Context, out io.Writer, args []string) error {
	return measured(ctx, out, "verifyurl", args, func(s *speedRun, isQuick bool) error {
		s.sizes = sizes{middle: 100_000, rounds: 31}
		if isQuick {
			s.sizes = sizes{middle: 3_000, rounds: 3}
		}
		return s.verifyURL()
	})
}

func (s *speedRun) verifyURL() (err error) {
	if err := s.build(); err != nil {
		return err
	}
	m, err := s.make("verified", s.middle)
	if err != nil {
		return err
	}
	// A server keeps its database to itself.
	file := filepath.Join(s.dir, "copy.db")
	raw, err := os.ReadFile(datadir.Database(m.dir))
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		return err
	}
	server, _, err := s.serve(m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	var entries uint64
	var ofFile, ofURL, ofServer time.Duration // processor time
	check := func(used *time.Duration, args ...string) (float64, error) {
		cmd := exec.CommandContext(s.ctx, s.program, append([]string{"verify", "--key", m.PublicKey, "--json"}, args...)...)
		begin := time.Now()
		raw, err := cmd.Output()
		took := time.Since(begin).Seconds()
		if err != nil {
			return 0, fmt.Errorf("verify %v: %w: %s", args, err, raw)
		}
		var said struct{ Entries uint64 }
		if err := json.Unmarshal(raw, &said); err != nil || said.Entries < m.count {
			return 0, fmt.Errorf("verify %v: checked %d of at least %d entries: %w", args, said.Entries, m.count, err)
		}
		if entries == 0 {
			entries = said.Entries
		}
		if said.Entries != entries { // both are to have checked the same
			return 0, fmt.Errorf("verify %v: checked %d entries, and %d before", args, said.Entries, entries)
		}
		*used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return took, nil
	}
	p, err := rounds.Interleave(s.rounds, func() (float64, error) {
		return check(&ofFile, "--file", file)
	}, func() (float64, error) {
		before, err1 := server.CPU()
		took, err2 := check(&ofURL, "--url", server.URL())
		after, err3 := server.CPU()
		ofServer += after - before
		return took, errors.Join(err1, err2, err3)
	})
	if err != nil {
		return err
	}
	s.line("verify --url over loopback", fmt.Sprintf("%d entries in %.0f ms, --file %.0f ms: %.2f", entries, 1e3*rounds.Median(p.B), 1e3*rounds.Median(p.A), p.Ratio()),
		"at least 0.5 of the speed of verify --file", p.Ratio() >= 0.5)
	each := func(d time.Duration) float64 { return ms(d) / float64(s.rounds) }
	s.info("processor time: --file %.0f ms; --url %.0f ms, and %.0f ms in the server", each(ofFile), each(ofURL), each(ofServer))
	return nil
}
