package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote"
)

// urlJobs is how many requests are under way unless --jobs says otherwise:
// far from the log most of the time is waiting.
const urlJobs = 8

// verifyURL checks a log that some server publishes. What is in the state file
// was verified before: only what is new is read, if the log's tiles show that
// it continues that. Whenever something is not as it must be, all is read, so
// that the report names the place.
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
			o.Checkpoints = append(slices.Clip(o.Checkpoints), before.Checkpoint)
		}
	}
	src, err := remote.Open(ctx, c.URL, remote.Options{Connections: o.Jobs, Token: c.token})
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	defer src.Close()
	own, err := src.Checkpoint()
	if err != nil {
		return nil, err
	}
	// Before anything is fetched that only this checkpoint says is there.
	if kind, err := badCheckpoint(own, o.Verifier); err != nil {
		res := c.ofURL()
		res.findOther(kind, "the log's own checkpoint: "+err.Error())
		res.Unchecked = append(res.Unchecked, "the entries: the checkpoint that would say how many there are is no good")
		return res.finish(), nil
	}
	res, err := c.readURL(ctx, src, o, before)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if !res.Intact || c.State == "" {
		return res, nil
	}
	now := time.Now()
	state := remote.State{Verified: now, Whole: now, Checkpoint: own}
	if res.Before != nil {
		state.Whole = before.Whole
	}
	if err := remote.WriteState(c.State, state); err != nil {
		return nil, fmt.Errorf("--state: the log is intact, and that could not be written down: %w", err)
	}
	return res, nil
}

func (c *verifyCmd) ofURL() *result {
	return &result{Via: viaURL, Where: c.URL, PublicKey: c.Key}
}

// readURL reads what is new, and all if that is not as it must be.
func (c *verifyCmd) readURL(ctx context.Context, src *remote.Log, o chain.VerifyOptions, before *remote.State) (*result, error) {
	start, err := c.start(src, o, before)
	if err != nil {
		return nil, err
	}
	if start == nil {
		res, err := c.read(ctx, src, o)
		if err == nil && before != nil {
			res.Checked = append(res.Checked, fmt.Sprintf("the head in the state file, the last of the outside checkpoints: verified %s", before.Verified.Format(time.RFC3339)))
		}
		return res, err
	}
	all := o
	o.Start = start
	res, err := c.read(ctx, src, o)
	if err != nil {
		return nil, err
	}
	if res.Intact {
		res.readBefore(start.Size, *before)
		return res, nil
	}
	whole, err := c.read(ctx, src.Again(), all)
	if err != nil { // what was found is found
		res.Unchecked = append(res.Unchecked, fmt.Sprintf("all that was verified before: it was to be read again, and could not: %v", err))
		return res, nil
	}
	if whole.Intact {
		whole.Findings = append(whole.Findings, res.Findings...)
		whole.Unchecked = append(whole.Unchecked, "why the log gave something else when it was read again, which was then as it must be")
	}
	return whole.finish(), nil
}

// start is what need not be read again, nil if that is nothing or not shown by
// the log to be as it was.
func (c *verifyCmd) start(src *remote.Log, o chain.VerifyOptions, before *remote.State) (*chain.Start, error) {
	if before == nil || c.Full {
		return nil, nil
	}
	// The head is believed for its signature, not for being in the file.
	head, err := chain.OpenCheckpoint(before.Checkpoint, note.VerifierList(o.Verifier), o.Verifier.Name())
	if err != nil {
		return nil, nil //nolint:nilerr // all is read, and the report says so
	}
	start, err := src.Start(head)
	if errors.Is(err, remote.ErrNoStart) {
		return nil, nil
	}
	return start, err
}

// read reads the log, or what is behind a start, and says what is wrong.
func (c *verifyCmd) read(ctx context.Context, src *remote.Log, o chain.VerifyOptions) (*result, error) {
	res := c.ofURL()
	res.Origin = src.Origin()
	err := res.verifyLog(ctx, src, o)
	if errors.Is(err, remote.ErrNotServed) {
		res.find(src.Findings()...)
		res.findOther(remote.NotServed, err.Error())
		res.Unchecked = append(res.Unchecked, "the entries: too many are not served")
		return res.finish(), nil
	}
	if err != nil {
		return nil, err
	}
	res.find(src.Findings()...)
	if res.finish(); !res.Intact {
		res.Unchecked = append(res.Unchecked, "the partial tiles at the log's right edge: what they must be is not known of a log that is not intact")
		return res, nil
	}
	tiles, found, err := src.CheckEdge(res.report.Edges)
	if err != nil {
		return nil, err
	}
	res.Checked = append(res.Checked, fmt.Sprintf("%d partial tiles at the right edge", tiles))
	res.find(found...)
	return res.finish(), nil
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
