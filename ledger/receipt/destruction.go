package receipt

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// Destruction is the body of a destruction's entry: that keys died, and a
// commitment to whose they were. FORMAT.md has it under Bodies.
type Destruction struct {
	Kind    string `cbor:"1,keyasint"` // KindDestruction
	Cause   string `cbor:"2,keyasint"`
	Keys    uint64 `cbor:"3,keyasint"`
	Entries uint64 `cbor:"4,keyasint"` // that nobody can read any more
	From    uint64 `cbor:"5,keyasint"` // generation before
	To      uint64 `cbor:"6,keyasint"` // generation after

	Commitment []byte `cbor:"7,keyasint,omitempty"` // absent of keys that were nobody's
}

// KindDestruction is the kind of a destruction's entry.
const KindDestruction = "destruction"

// Commitment is what a destruction's entry holds of whose it is: the subject is
// a member's id or ref.
func Commitment(opening [32]byte, subject []byte) [sha256.Size]byte {
	b := make([]byte, 0, len(opening)+len(subject))
	return sha256.Sum256(append(append(b, opening[:]...), subject...))
}

var bodyEncoding = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var errNoDestruction = errors.New("what is in it is no destruction")

// readDestruction reads a body, if it is written in the one way allowed.
func readDestruction(b []byte) (d Destruction, err error) {
	if err := cbor.Unmarshal(b, &d); err != nil || d.Kind != KindDestruction {
		return d, errNoDestruction
	}
	again, err := bodyEncoding.Marshal(d)
	if err != nil || !bytes.Equal(again, b) {
		return d, errNoDestruction
	}
	return d, nil
}
