package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// Receipt returns the receipt of one entry of a member: as a file, and what it says. That of a legal
// hold is the officer's alone, because it says what the hold is for. Of who has withdrawn or is dormant
// the officer names the ground on which the entry is kept, as for Kept; else ground is empty. The look is
// recorded first; but for that, the ledger is the same afterwards. If too few witnesses sign within five
// seconds the error is ErrWitnessesAway, and nothing is recorded.
func (l *Ledger) Receipt(ctx context.Context, who Caller, ref Ref, lk Look, ground string, index uint64) (*receipt.Receipt, []byte, error) {
	if !who.May(ActLook) || ground != "" && !who.May(ActOffice) {
		return nil, nil, ErrForbidden
	}
	path, slot, ended, err := l.resolve(ref)
	switch {
	case err != nil:
		return nil, nil, err
	case ended && ground == "":
		return nil, nil, ErrWithdrawn
	case index >= l.size.Load():
		return nil, nil, ErrUnknownEntry
	}
	// Before the look, so that none is recorded of which nothing came.
	checkpoint, err := l.CosignedCheckpoint(ctx, index+1)
	if err != nil {
		return nil, nil, err
	}
	var of disclosed
	find := func(m *member, now time.Time) (err error) {
		of, err = l.disclose(m, index)
		if err == nil && (of.Event.Kind == consent.KindHold || of.Event.Kind == consent.KindHoldRelease) && !who.May(ActOffice) {
			return ErrForbidden
		}
		return err
	}
	check := ordinary(func(m *member, now time.Time) error {
		if err := l.awake(m, now); err != nil {
			return err
		}
		return find(m, now)
	})
	lk.What = consent.LookReceipt + strconv.FormatUint(index, 10)
	if ground != "" {
		lk.What = consent.LookKept + ground
		check = func(m *member, now time.Time) error {
			class, _, err := keptOn(l.register.Load(), m, ground, now)
			if err == nil {
				err = find(m, now)
			}
			if err == nil && of.key.Class != class {
				err = ErrUnknownEntry // it is kept on another ground
			}
			return err
		}
	}
	pending, err := l.recordLook(ctx, who, path, slot, lk, check)
	if err != nil {
		return nil, nil, err
	}
	if _, err := pending.Wait(ctx); err != nil {
		return nil, nil, err
	}
	// Again: what was destroyed meanwhile is not handed out.
	if err := l.readSlot(ctx, path, slot, check); err != nil {
		return nil, nil, err
	}
	of.at = l.now()
	return l.makeReceipt(ref, of, checkpoint)
}

func (l *Ledger) makeReceipt(ref Ref, of disclosed, checkpoint []byte) (*receipt.Receipt, []byte, error) {
	e := receipt.Entry{Bytes: of.raw, PRK: of.prk}
	var err error
	if e.Proof, err = l.prove(of.Index, checkpoint); err != nil {
		return nil, nil, l.damaged(err)
	}
	record := l.register.Load().Record(l.id.Origin, ref.String(), of.memberEntry())
	return receipt.Make(e, receipt.Facts{Member: ref.String(), Class: of.Class, IssuedAt: of.at, Event: of.Event, Record: record}, l.signer)
}

// disclosed is an entry with what opens it and nothing else.
type disclosed struct {
	opened
	raw []byte
	prk [32]byte
	at  time.Time
}

// disclose opens an entry of a member. The key is found by trying, since a try costs less than to make
// the tags of all entries: the commitment tells before anything is decrypted. An entry of somebody
// else, or that nobody can open any more, is ErrUnknownEntry.
func (l *Ledger) disclose(m *member, index uint64) (d disclosed, err error) {
	if d.raw, err = l.entry(index); err != nil {
		return d, l.damaged(err)
	}
	e, err := chain.Parse(d.raw)
	if err != nil {
		return d, l.damaged(fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err))
	}
	reg := l.register.Load()
	recorded := reg.Day(time.UnixMilli(e.RecordedAtUnixMs))
	for i, mk := range m.keys {
		k := &m.rec.Keys[i]
		_, day, err := l.openEntry(mk, k, recorded, e.Sealed)
		if errors.Is(err, seal.ErrWrongKey) || errors.Is(err, errExpired) {
			continue
		}
		if err == nil {
			d.opened, err = l.openOne(reg, mk, k, index, d.raw)
		}
		if err == nil {
			d.prk, err = seal.PRK(mk.keyOf(k, day), e.Sealed)
		}
		if err != nil {
			return d, l.damaged(err)
		}
		return d, nil
	}
	return d, ErrUnknownEntry
}

// prove makes the proof of an entry under a checkpoint that this ledger has signed.
func (l *Ledger) prove(index uint64, checkpoint []byte) (chain.Proof, error) {
	p := chain.Proof{Index: index, Checkpoint: checkpoint}
	size, reader, err := l.proving.under(checkpoint, l)
	if err != nil {
		return p, fmt.Errorf("prove entry %d: %w", index, err)
	}
	hashes, err := tlog.ProveRecord(int64(size), int64(index), reader)
	if err != nil {
		return p, fmt.Errorf("prove entry %d: %w", index, err)
	}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, chain.Hash(h))
	}
	return p, nil
}

// treeOf is what proofs under a head of a size are made from, if that is one of the newest: they were
// published with their right edges. Each destruction has a head of its own, so this must cost nothing.
func (c *cosigning) treeOf(size uint64) tlog.HashReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.recent {
		if h.size == size {
			return h.tree
		}
	}
	return nil
}

// proving keeps for each of the newest heads what proofs under it are made from: its right edges cost up
// to 255 entries and, for each level above, as many tiles to hash, and its signature is looked at once.
type proving struct {
	mu    sync.Mutex
	heads [4]provingHead
	next  int
}

type provingHead struct {
	note   string
	size   uint64
	reader tlog.HashReader
}

// under returns the size of a checkpoint that l has signed, and a reader of its tree.
func (p *proving) under(checkpoint []byte, l *Ledger) (uint64, tlog.HashReader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.heads {
		if h.note == string(checkpoint) {
			return h.size, h.reader, nil
		}
	}
	c, err := chain.OpenCheckpoint(checkpoint, note.VerifierList(l.verifier), l.id.Origin)
	if err != nil {
		return 0, nil, err
	}
	h := provingHead{string(checkpoint), c.Size, l.cosigning.treeOf(c.Size)}
	for _, other := range p.heads {
		if other.size == h.size && other.reader != nil {
			h.reader = other.reader // the same head with another cosignature
		}
	}
	if h.reader == nil {
		h.reader = chain.TileReader(c.Size, l.tile)
	}
	p.heads[p.next] = h
	p.next = (p.next + 1) % len(p.heads)
	return h.size, h.reader, nil
}
