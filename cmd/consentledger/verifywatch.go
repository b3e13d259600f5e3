package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote"
)

// The codes of alarms. The names are stable; VERIFY.md says what to do at each.
const (
	alarmFork      = "fork"
	alarmRollback  = "rollback"
	alarmSilence   = "silence"
	alarmSignature = "bad_signature"
	alarmTile      = "bad_tile"
	alarmEntry     = "bad_entry"
)

// An alarm is one line on stdout, ready to be posted to a webhook.
type alarm struct {
	Alarm    string     `json:"alarm"`
	Origin   string     `json:"origin"`
	At       string     `json:"at"`
	Finding  chain.Kind `json:"finding,omitempty"`
	Index    *uint64    `json:"index"`
	What     string     `json:"what"`
	KeptSize *uint64    `json:"kept_size"` // of the last head that was verified, null before the first
	KeptRoot *string    `json:"kept_root"`
	Size     *uint64    `json:"size"` // of what the log shows now, null if it is not known
	Root     *string    `json:"root"`
}

func alarmOf(kind chain.Kind) string {
	switch kind {
	case chain.Fork, chain.CheckpointRoot:
		return alarmFork
	case chain.Truncated:
		return alarmRollback
	case chain.CheckpointSignature, chain.CheckpointMalformed, chain.CheckpointOrigin:
		return alarmSignature
	case chain.TileDiffers, chain.TileMissing, remote.BundleMalformed:
		return alarmTile
	default:
		return alarmEntry
	}
}

// watch follows a log until a signal, which is a good end, or an alarm.
func (c *verifyCmd) watch(ctx context.Context, t *terminal, o chain.VerifyOptions) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	for last := time.Now(); ; {
		// A server that answers ever so slowly is silent, too.
		pass, cancel := context.WithDeadline(ctx, last.Add(c.Silence))
		res, err := c.look(pass, o)
		late := errors.Is(pass.Err(), context.DeadlineExceeded)
		cancel()
		switch {
		case err == nil && res != nil && !res.Intact: // before a signal: what was found is said
			return c.alarms(t, o, res)
		case ctx.Err() != nil:
			return nil
		case err == nil:
			last = time.Now()
		case late || errors.Is(err, remote.ErrUnavailable) && time.Since(last) >= c.Silence:
			return c.silent(t, o, last, err)
		case errors.Is(err, remote.ErrUnavailable):
			fmt.Fprintf(t.err, "watch: %v; it becomes an alarm at %s\n", err, last.Add(c.Silence).UTC().Format(time.RFC3339))
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(c.Every, max(time.Until(last.Add(c.Silence)), time.Millisecond))):
		}
	}
}

// look checks the log if it shows another head than the one in the state file.
func (c *verifyCmd) look(ctx context.Context, o chain.VerifyOptions) (*result, error) {
	before, err := remote.ReadState(c.State)
	if err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	if before != nil && c.looked {
		src, err := remote.Open(ctx, c.URL, remote.Options{Connections: 1, Token: c.token})
		if err != nil {
			return nil, err
		}
		defer src.Close()
		shown, err := src.Checkpoint()
		if err != nil {
			return nil, err
		}
		if _, err := badCheckpoint(shown, o.Verifier); err == nil && remote.SameHead(shown, before.Checkpoint) {
			return nil, nil
		}
	}
	res, err := c.verifyURL(ctx, o)
	c.looked = err == nil
	return res, err
}

func (c *verifyCmd) kept(a *alarm) {
	if before, err := remote.ReadState(c.State); err == nil && before != nil {
		head := remote.Claims(before.Checkpoint)
		root := base64.StdEncoding.EncodeToString(head.Root[:])
		a.KeptSize, a.KeptRoot = &head.Size, &root
	}
}

func (c *verifyCmd) alarms(t *terminal, o chain.VerifyOptions, res *result) error {
	for _, f := range res.Findings {
		a := alarm{Alarm: alarmOf(f.Kind), Origin: o.Verifier.Name(), At: time.Now().UTC().Format(time.RFC3339), Finding: f.Kind, Index: f.Index, What: f.What}
		c.kept(&a)
		if res.Root != "" {
			a.Size, a.Root = &res.Entries, &res.Root
		}
		if err := json.NewEncoder(t.out).Encode(a); err != nil {
			return err
		}
	}
	return no{}
}

func (c *verifyCmd) silent(t *terminal, o chain.VerifyOptions, last time.Time, err error) error {
	a := alarm{
		Alarm: alarmSilence, Origin: o.Verifier.Name(), At: time.Now().UTC().Format(time.RFC3339),
		What: fmt.Sprintf("no good answer since %s: %v", last.UTC().Format(time.RFC3339), err),
	}
	c.kept(&a)
	if err := json.NewEncoder(t.out).Encode(a); err != nil {
		return err
	}
	return no{}
}
