package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"

	"consentledger/crypto/seal"
)

// Ref is the public name of one membership. It says nothing about the member, and once the
// member's keys are destroyed it leads nowhere.
type Ref [16]byte

const refPrefix = "mbr_"

var refEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String returns the ref as it stands in URLs and answers: mbr_ and 26 characters of base32.
func (r Ref) String() string { return refPrefix + refEncoding.EncodeToString(r[:]) }

var errRef = errors.New("a member ref is mbr_ and 26 characters of lower-case base32, as an answer of this ledger gave it")

// ParseRef reads what String wrote, and nothing else.
func ParseRef(s string) (Ref, error) {
	var r Ref
	if len(s) != len(refPrefix)+26 || s[:len(refPrefix)] != refPrefix {
		return Ref{}, errRef
	}
	raw, err := refEncoding.DecodeString(s[len(refPrefix):])
	if err != nil || copy(r[:], raw) != len(r) || r.String() != s {
		return Ref{}, errRef
	}
	return r, nil
}

// refCipher turns (slot, nonce) into a ref and back: one AES-256 block, so that a ref is opaque
// and needs no table. Both halves fill the block, so no mode is needed.
type refCipher struct{ block cipher.Block }

func newRefCipher(key seal.Key) (refCipher, error) {
	var raw [32]byte
	block, err := aes.NewCipher(key.AppendTo(raw[:0]))
	clear(raw[:])
	if err != nil {
		return refCipher{}, fmt.Errorf("set up member refs: %w", err)
	}
	return refCipher{block}, nil
}

func (c refCipher) ref(slot, nonce uint64) (r Ref) {
	binary.BigEndian.PutUint64(r[:8], slot)
	binary.BigEndian.PutUint64(r[8:], nonce)
	c.block.Encrypt(r[:], r[:])
	return r
}

func (c refCipher) open(r Ref) (slot, nonce uint64) {
	c.block.Decrypt(r[:], r[:])
	return binary.BigEndian.Uint64(r[:8]), binary.BigEndian.Uint64(r[8:])
}
