package seal

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

const ratchetInfo = "consentledger/ratchet/v1"

// A Key is 32 secret, uniformly random bytes. The zero Key is no key: nothing can
// be sealed under it, and deriving from it panics, because what is derived from
// public bytes is public.
//
// A Key prints as [key] with every verb, alone, in an exported field, or in a slice
// or map of keys, and in every log; and it refuses to be marshalled as JSON, text
// or binary. Where fmt does not ask a value how it wants to be printed, no method
// can help, and whoever holds keys has to mind it: fmt reads unexported fields by
// reflection, so a struct that keeps a Key in one needs a Format method of its
// own; and what fmt calls a bad verb dumps raw bytes (%p or %w of a Key, %s of a
// struct with pointers in it), all of which go vet refuses.
//
// Compare keys with [Key.Equal]. A Key is copied by assignment, and [Key.Clear]
// wipes one copy.
type Key struct{ b [KeySize]byte }

// NewKey reads a new key from rand, which must be a cryptographic source.
func NewKey(rand io.Reader) (Key, error) {
	var b [KeySize]byte
	defer clear(b[:])
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return Key{}, fmt.Errorf("seal: reading randomness for a key: %w", err)
	}
	k, err := KeyFromBytes(b[:])
	if err != nil {
		return Key{}, errRandomness
	}
	return k, nil
}

// KeyFromBytes is the key whose bytes b holds: 32 of them, not all zero.
func KeyFromBytes(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("seal: a key has %d bytes, these are %d: give exactly the bytes that AppendTo wrote", KeySize, len(b))
	}
	k := Key{[KeySize]byte(b)}
	if k.IsZero() {
		return Key{}, errors.New("seal: 32 zero bytes are no key: what should hold one was cleared or never written")
	}
	return k, nil
}

// AppendTo appends the 32 bytes of k to dst, for sealing into a page.
func (k Key) AppendTo(dst []byte) []byte { return append(dst, k.b[:]...) }

// Derive returns HKDF-SHA-256(salt empty, ikm k, info, 32 bytes) of RFC 5869. It
// panics if k is the zero Key.
func (k Key) Derive(info string) Key {
	k.mustNotBeZero()
	s := newScratch()
	defer s.free()
	s.key = k.b
	s.extract(nil)
	s.expand(info, 1)
	return Key{[KeySize]byte(s.okm[:KeySize])}
}

// Next is one step of the ratchet: HKDF-Expand(PRK k, "consentledger/ratchet/v1",
// 32 bytes). A key is uniform, so Extract is skipped (RFC 5869, 3.3). The step
// cannot be undone: who holds Next does not hold k. It panics if k is the zero Key.
func (k Key) Next() Key {
	k.mustNotBeZero()
	s := newScratch()
	defer s.free()
	s.prk = k.b
	s.expand(ratchetInfo, 1)
	return Key{[KeySize]byte(s.okm[:KeySize])}
}

// MAC returns HMAC-SHA-256 (RFC 2104, FIPS 198-1) under k of the parts, one after
// the other. Where a part ends is not authenticated: parts of variable length need
// their length among the parts. It panics if k is the zero Key.
func (k Key) MAC(parts ...[]byte) [sha256.Size]byte {
	k.mustNotBeZero()
	s := newScratch()
	defer s.free()
	s.key = k.b
	for _, p := range parts {
		s.msg = append(s.msg, p...)
	}
	return s.hmac(&s.key)
}

// Clear overwrites this copy of the key with zero bytes.
func (k *Key) Clear() { clear(k.b[:]) }

// IsZero says whether k is the zero Key, which is no key. Its time does not depend
// on the bytes.
func (k Key) IsZero() bool { return isZero(k.b[:]) }

// Equal compares two keys in constant time.
func (k Key) Equal(other Key) bool { return subtle.ConstantTimeCompare(k.b[:], other.b[:]) == 1 }

func (k Key) mustNotBeZero() {
	if k.IsZero() {
		panic("seal: use of the zero Key, which is no key")
	}
}

func isZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return subtle.ConstantTimeByteEq(or, 0) == 1
}

const opaque = "[key]"

var errMarshal = errors.New("seal: a key is not to be marshalled: use AppendTo, and seal what it gives")

// Format implements [fmt.Formatter]: [key], whatever the verb and flags.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, opaque) }

// String returns [key].
func (Key) String() string { return opaque }

// GoString returns [key].
func (Key) GoString() string { return opaque }

// LogValue implements [slog.LogValuer]: [key].
func (Key) LogValue() slog.Value { return slog.StringValue(opaque) }

// MarshalJSON fails always.
func (Key) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText fails always.
func (Key) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalBinary fails always; gob and CBOR ask for it.
func (Key) MarshalBinary() ([]byte, error) { return nil, errMarshal }
