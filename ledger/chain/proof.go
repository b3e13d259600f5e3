package chain

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof says that a message is no proof, or not written as proofs are
// written, or that it does not prove what it is meant to. Every error of
// ParseProof wraps it, and those of Proof.Open that are not about the
// checkpoint.
var ErrProof = errors.New("not a proof of this entry")

const (
	proofHeader = "c2sp.org/tlog-proof@v1\n"
	indexLabel  = "index "
	// maxProof is how many hashes a proof can have: those of a path from a
	// leaf to the root of a tree that is 63 levels high.
	maxProof = 63
)

// Proof shows that an entry is in a log: C2SP tlog-proof@v1, without extra
// data.
type Proof struct {
	// Index is the entry's.
	Index uint64
	// Hashes is the inclusion proof of RFC 6962, section 2.1.1, from the leaf
	// upwards.
	Hashes []Hash
	// Checkpoint is the signed note of the head under which the entry is, with
	// what signatures it has.
	Checkpoint []byte
}

// Marshal returns the proof as it is written to a file.
func (p Proof) Marshal() []byte {
	b := strconv.AppendUint([]byte(proofHeader+indexLabel), p.Index, 10)
	b = append(b, '\n')
	for i := range p.Hashes {
		b = base64.StdEncoding.AppendEncode(b, p.Hashes[i][:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, p.Checkpoint...)
}

// ParseProof parses what Marshal writes, and nothing else: a proof has one
// way to be written, its checkpoint too. It checks no signature and no hash;
// Open does. The result holds no part of b.
func ParseProof(b []byte) (Proof, error) {
	rest, ok := bytes.CutPrefix(b, []byte(proofHeader))
	if !ok {
		return Proof{}, fmt.Errorf("%w: it does not begin with the line c2sp.org/tlog-proof@v1", ErrProof)
	}
	line, rest, ok := bytes.Cut(rest, []byte("\n"))
	number, labelled := bytes.CutPrefix(line, []byte(indexLabel))
	if !ok || !labelled {
		return Proof{}, fmt.Errorf("%w: line 2 is not the entry's index", ErrProof)
	}
	var p Proof
	var err error
	if p.Index, err = strconv.ParseUint(string(number), 10, 63); err != nil {
		return Proof{}, fmt.Errorf("%w: line 2 is no index in decimal digits", ErrProof)
	}
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return Proof{}, fmt.Errorf("%w: it ends before its checkpoint", ErrProof)
		}
		if len(line) == 0 {
			break
		}
		hash, err := base64.StdEncoding.AppendDecode(make([]byte, 0, HashSize), line)
		switch {
		case err != nil || len(hash) != HashSize:
			return Proof{}, fmt.Errorf("%w: line %d is not the base64 of a hash", ErrProof, 3+len(p.Hashes))
		case len(p.Hashes) == maxProof:
			return Proof{}, fmt.Errorf("%w: it has more than %d hashes", ErrProof, maxProof)
		}
		p.Hashes = append(p.Hashes, Hash(hash))
	}
	if _, err := readCheckpoint(rest); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	p.Checkpoint = bytes.Clone(rest)
	// Digits have leading zeroes and signs, base64 has stray bits: write it
	// again and compare.
	if !bytes.Equal(p.Marshal(), b) {
		return Proof{}, fmt.Errorf("%w: it is not written in the one way allowed", ErrProof)
	}
	return p, nil
}

// Open returns the checkpoint under which the entry with this leaf hash is,
// if the proof shows that it is and the checkpoint opens as OpenCheckpoint
// says. What does not fit is an error that wraps ErrProof, ErrCheckpoint,
// ErrSignature or ErrOtherOrigin.
func (p Proof) Open(leaf Hash, v note.Verifiers, origin string) (Checkpoint, error) {
	c, err := OpenCheckpoint(p.Checkpoint, v, origin)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := p.under(c, leaf); err != nil {
		return Checkpoint{}, err
	}
	return c, nil
}

// under checks the path from a leaf to the root of a checkpoint.
func (p Proof) under(c Checkpoint, leaf Hash) error {
	if p.Index >= c.Size {
		return fmt.Errorf("%w: entry %d is not under a checkpoint of %d entries", ErrProof, p.Index, c.Size)
	}
	hashes := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(hashes, int64(c.Size), tlog.Hash(c.Root), int64(p.Index), tlog.Hash(leaf)); err != nil {
		return fmt.Errorf("%w: its hashes do not lead from the entry to the root of the checkpoint", ErrProof)
	}
	return nil
}
