package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/crypto/keyring"
	"consentledger/ledger"
	"consentledger/ledger/chain"
)

// NotOpening is the kind of a finding that the ledger refuses to open.
const NotOpening chain.Kind = "does_not_open"

// deep opens everything that can be opened: through the server if one runs,
// else by opening the ledger, which first finishes what a crash left half done.
func (c *verifyCmd) deep(ctx context.Context, t *terminal, res *result) error {
	progress, done := newProgress(t.err, "deep", "entries")
	defer done()
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	server, err := findControl(ctx, c.Dir)
	if err != nil {
		return err
	}
	var report ledger.DeepReport
	if server != nil {
		report, err = deepRunning(ctx, server, progress)
	} else {
		report, err = c.deepHere(ctx, progress)
	}
	if isDamage(err) || errors.Is(err, ledger.ErrRollback) || errors.Is(err, keyring.ErrDamaged) {
		res.findOther(NotOpening, err.Error())
		res.Unchecked = append(res.Unchecked, "what entries and keyring pages hold: the ledger does not open")
		res.finish()
		return nil
	}
	if err != nil {
		return err
	}
	res.addDeep(report)
	return nil
}

func (c *verifyCmd) deepHere(ctx context.Context, progress func(done, total uint64)) (_ ledger.DeepReport, err error) {
	l, err := datadir.Open(c.Dir, c.root(), c.once())
	if err != nil {
		return ledger.DeepReport{}, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	who := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "command line"}
	return l.VerifyDeep(ctx, who, progress)
}

// deepRunning reads lines of {"done","total"}, and then one with the report or
// with a problem.
func deepRunning(ctx context.Context, c *control, progress func(done, total uint64)) (ledger.DeepReport, error) {
	resp, err := c.send(ctx, c.patient, http.MethodPost, "/control/verify-deep", "", nil)
	var r *refusal
	if errors.As(err, &r) {
		return ledger.DeepReport{}, r.answer()
	}
	if err != nil {
		return ledger.DeepReport{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		raw, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return ledger.DeepReport{}, errors.New("the server ended before its check did: see its log, and run this again")
		}
		if err != nil {
			return ledger.DeepReport{}, fmt.Errorf("read the server's answer: %w", err)
		}
		var line struct {
			Done, Total uint64
			Report      *ledger.DeepReport
			Code        string
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			return ledger.DeepReport{}, fmt.Errorf("read the server's answer: %w: are this program and the server of one release?", err)
		}
		switch {
		case line.Report != nil:
			return *line.Report, nil
		case line.Code != "":
			p := &refusal{}
			if err := json.Unmarshal(raw, &p.Problem); err != nil {
				return ledger.DeepReport{}, err
			}
			return ledger.DeepReport{}, p
		}
		progress(line.Done, line.Total)
	}
}
