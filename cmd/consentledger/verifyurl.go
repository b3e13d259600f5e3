package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote"
)

// urlJobs is how many requests are under way unless --jobs says otherwise:
// far from the log most of the time is waiting.
const urlJobs = 8

// verifyURL checks a log that some server publishes.
func (c *verifyCmd) verifyURL(ctx context.Context, o chain.VerifyOptions) (*result, error) {
	if o.Jobs == 0 {
		o.Jobs = urlJobs
	}
	var before *remote.State
	if c.State != "" {
		var err error
		if before, err = remote.ReadState(c.State); err != nil {
			return nil, fmt.Errorf("--state: %w", err)
		}
		if before != nil {
			o.Checkpoints = append(o.Checkpoints, before.Checkpoint)
		}
	}
	src, err := remote.Open(ctx, c.URL, o.Jobs)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	defer src.Close()
	res := &result{Via: viaURL, Where: c.URL, PublicKey: c.Key}
	own, err := src.Checkpoint()
	if err != nil {
		return nil, err
	}
	// Before anything is fetched that only this checkpoint says is there.
	if kind, err := badCheckpoint(own, o.Verifier); err != nil {
		res.findOther(kind, "the log's own checkpoint: "+err.Error())
		res.Unchecked = append(res.Unchecked, "the entries: the checkpoint that would say how many there are is no good")
		return res.finish(), nil
	}
	res.Origin = src.Origin()
	err = res.verifyLog(ctx, src, o)
	if errors.Is(err, remote.ErrNotServed) {
		res.find(src.Findings()...)
		res.findOther(remote.NotServed, err.Error())
		res.Unchecked = append(res.Unchecked, "the entries: too many are not served")
		return res.finish(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	res.find(src.Findings()...)
	if res.finish(); !res.Intact {
		res.Unchecked = append(res.Unchecked, "the partial tiles at the log's right edge: what they must be is not known of a log that is not intact")
		return res, nil
	}
	tiles, found, err := src.CheckEdge(res.report.Edges)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	res.Checked = append(res.Checked, fmt.Sprintf("%d partial tiles at the right edge", tiles))
	res.find(found...)
	if before != nil {
		res.Checked = append(res.Checked, fmt.Sprintf("the head in the state file, the last of the outside checkpoints: verified %s", before.Verified.Format(time.RFC3339)))
	}
	if res.finish(); !res.Intact || c.State == "" {
		return res, nil
	}
	if err := remote.WriteState(c.State, remote.State{Verified: time.Now(), Checkpoint: own}); err != nil {
		return nil, fmt.Errorf("--state: the log is intact, and that could not be written down: %w", err)
	}
	return res, nil
}

// badCheckpoint says what is wrong with a checkpoint in itself. Without a
// verifier its signature is not looked at.
func badCheckpoint(msg []byte, v note.Verifier) (chain.Kind, error) {
	var err error
	if v == nil {
		_, err = chain.OpenCheckpoint(msg, note.VerifierList(), "")
	} else {
		_, err = chain.OpenCheckpoint(msg, note.VerifierList(v), v.Name())
	}
	switch {
	case errors.Is(err, chain.ErrCheckpoint):
		return chain.CheckpointMalformed, err
	case v == nil || err == nil:
		return "", nil
	case errors.Is(err, chain.ErrOtherOrigin):
		return chain.CheckpointOrigin, err
	default:
		return chain.CheckpointSignature, err
	}
}
