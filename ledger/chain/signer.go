package chain

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
)

// NewSigner returns the signer of a log's checkpoints, with an Ed25519 key made
// from seed (RFC 8032), and the verifier key that belongs to it, in the form
// that note.NewVerifier takes. The same seed and origin give the same key. A
// seed of zeroes is refused: it is one that was never set.
//
// note.NewSigner would do, but takes the seed as base64 in a string, which
// cannot be wiped and prints. This signer prints as [key].
func NewSigner(origin string, seed [ed25519.SeedSize]byte) (s note.Signer, vkey string, err error) {
	if _, err := ParseOrigin(origin); err != nil {
		return nil, "", fmt.Errorf("making a signer: %w", err)
	}
	if seed == [ed25519.SeedSize]byte{} {
		return nil, "", errors.New("making a signer: the seed is all zero; draw a random one")
	}
	key := ed25519.NewKeyFromSeed(seed[:])
	vkey, err = note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", fmt.Errorf("making a signer: %w", err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, "", fmt.Errorf("making a signer: %w", err)
	}
	return &signer{name: origin, hash: v.KeyHash(), key: key}, vkey, nil
}

type signer struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
}

func (s *signer) Name() string                    { return s.name }
func (s *signer) KeyHash() uint32                 { return s.hash }
func (s *signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// Format prints [key] whatever the verb.
func (s *signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[key]") }
