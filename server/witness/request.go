package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// MaxRequest bounds the body of a request: a proof has at most 63 lines of 45
// bytes, a checkpoint some signatures, of which those after quantum computers
// have 3 KiB each.
const MaxRequest = 64 << 10

var errMalformed = errors.New("malformed request")

// A Request is the body of add-checkpoint.
type Request struct {
	// Old is the size of the checkpoint that the log says was cosigned last.
	Old uint64
	// Proof is the consistency proof from there to the checkpoint.
	Proof []chain.Hash
	// Note is the checkpoint, a signed note.
	Note []byte

	head chain.Checkpoint
}

const oldLabel = "old "

// Marshal returns the request as it is sent.
func (r Request) Marshal() []byte {
	b := strconv.AppendUint([]byte(oldLabel), r.Old, 10)
	b = append(b, '\n')
	for i := range r.Proof {
		b = base64.StdEncoding.AppendEncode(b, r.Proof[i][:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, r.Note...)
}

// ParseRequest parses what Marshal writes, and nothing else. It checks no
// signature and no hash. The result holds no part of b.
func ParseRequest(b []byte) (Request, error) {
	if len(b) > MaxRequest {
		return Request{}, fmt.Errorf("%w: it has more than %d bytes", errMalformed, MaxRequest)
	}
	var r Request
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	number, labelled := bytes.CutPrefix(line, []byte(oldLabel))
	if !ok || !labelled {
		return Request{}, fmt.Errorf("%w: line 1 is not old and a size", errMalformed)
	}
	var err error
	// The largest size that other tools can count.
	if r.Old, err = strconv.ParseUint(string(number), 10, 63); err != nil || strconv.FormatUint(r.Old, 10) != string(number) {
		return Request{}, fmt.Errorf("%w: line 1 has no size in decimal digits", errMalformed)
	}
	for n := 2; ; n++ {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return Request{}, fmt.Errorf("%w: it ends before its checkpoint", errMalformed)
		}
		if len(line) == 0 {
			break
		}
		if len(r.Proof) == chain.MaxConsistency {
			return Request{}, fmt.Errorf("%w: the proof has more than %d hashes", errMalformed, chain.MaxConsistency)
		}
		hash, err := base64.StdEncoding.DecodeString(string(line))
		// DecodeString passes over line ends and stray bits.
		if err != nil || len(hash) != chain.HashSize || base64.StdEncoding.EncodeToString(hash) != string(line) {
			return Request{}, fmt.Errorf("%w: line %d is not the base64 of a hash", errMalformed, n)
		}
		r.Proof = append(r.Proof, chain.Hash(hash))
	}
	// Without a verifier note.Open checks the form alone.
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(rest, note.VerifierList()); !errors.As(err, &unverified) {
		return Request{}, fmt.Errorf("%w: its checkpoint is no signed note", errMalformed)
	}
	if r.head, err = chain.ParseForeignText(unverified.Note.Text); err != nil {
		return Request{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if r.Old > r.head.Size {
		return Request{}, fmt.Errorf("%w: the old size %d is larger than the checkpoint's, %d", errMalformed, r.Old, r.head.Size)
	}
	r.Note = bytes.Clone(rest)
	return r, nil
}
