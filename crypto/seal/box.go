package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	entryInfo = "consentledger/entry/v1"

	tagSize        = len(Tag{})
	saltSize       = 32
	commitmentSize = 32
	nonceSize      = 12
	gcmTagSize     = 16
	aadSize        = 1 + tagSize + saltSize + commitmentSize

	// Where the parts of a sealed record begin.
	saltAt       = tagSize
	commitmentAt = saltAt + saltSize
	nonceAt      = commitmentAt + commitmentSize
	ciphertextAt = nonceAt + nonceSize

	// Overhead is how many bytes a sealed record is longer than its padded
	// plaintext: tag, salt, commitment, nonce and GCM tag.
	Overhead = ciphertextAt + gcmTagSize
)

var (
	// ErrWrongKey says that the record does not commit to this key: it was
	// sealed under another one, for another origin, or its salt or commitment
	// was altered. Nothing was decrypted.
	ErrWrongKey = errors.New("seal: the record does not commit to this key: it was sealed under another key or for another origin, or its salt or commitment was altered")
	// ErrAltered says that the record commits to this key, but is not what was
	// sealed; or that it has a shape that no sealed record has.
	ErrAltered = errors.New("seal: the record was altered")
	// ErrPadding says that the record is authentic, but was not padded by
	// Seal: there is only one way to pad a body.
	ErrPadding = errors.New("seal: the record's padding is not canonical")
	// ErrNoKey says that the zero Key was given.
	ErrNoKey = errors.New("seal: the zero Key is no key")

	errRandomness = errors.New("seal: the source of randomness gave 32 zero bytes: it is broken, do not go on with it")
)

// A Box seals and opens the records of one ledger. It is immutable and may be used
// from several goroutines at once.
type Box struct{ info string }

// NewBox returns the box of the ledger whose public name is origin.
func NewBox(origin string) Box { return Box{info: entryInfo + origin} }

// Seal appends to dst
//
//	tag | salt | commitment | nonce | ciphertext | gcm tag
//
// of body under k, len = PaddedSize(len(body)) + Overhead, and returns the extended
// slice. Salt and nonce are the next 44 bytes of rand, which must be a
// cryptographic source; version is authenticated, but not stored. body must not
// overlap dst's spare capacity.
//
// Its errors are ErrNoKey, ErrTooLarge, and those of rand. After an error, what
// dst held is unchanged.
func (b Box) Seal(dst []byte, rand io.Reader, version byte, k Key, tag Tag, body []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrNoKey
	}
	size, err := PaddedSize(len(body))
	if err != nil {
		return nil, err
	}
	out := slices.Grow(dst, Overhead+size)[:len(dst)+Overhead+size]
	sealed := out[len(dst):]

	// One read gives salt and nonce: the nonce where it belongs, the salt where
	// the commitment will be.
	if _, err := io.ReadFull(rand, sealed[commitmentAt:ciphertextAt]); err != nil {
		return nil, fmt.Errorf("seal: reading randomness for a record: %w", err)
	}
	copy(sealed, tag[:])
	salt := sealed[saltAt:commitmentAt]
	copy(salt, sealed[commitmentAt:nonceAt])
	if isZero(salt) {
		return nil, errRandomness
	}

	s := newScratch()
	defer s.free()
	s.key = k.b
	s.extract(salt)
	s.expand(b.info, 2)
	copy(sealed[commitmentAt:nonceAt], s.okm[KeySize:])
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	plaintext := sealed[ciphertextAt : ciphertextAt+size]
	pad(plaintext, body)
	aead.Seal(plaintext[:0], sealed[nonceAt:ciphertextAt], plaintext, s.additional(version, sealed))
	return out, nil
}

// Open appends to dst the body of a record that Seal made under k, and returns the
// extended slice. dst's spare capacity must not overlap sealed.
//
// Its errors are ErrNoKey, ErrWrongKey, ErrAltered and ErrPadding, tested in that
// order. After an error, what dst held is unchanged and no plaintext is left in
// its spare capacity.
func (b Box) Open(dst []byte, version byte, k Key, sealed []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrNoKey
	}
	if err := checkShape(sealed); err != nil {
		return nil, err
	}
	s := newScratch()
	defer s.free()
	s.key = k.b
	s.extract(sealed[saltAt:commitmentAt])
	return b.open(dst, s, version, sealed)
}

// OpenPRK is Open for somebody to whom not the key but the record's PRK was
// disclosed. See [PRK].
func (b Box) OpenPRK(dst []byte, version byte, prk [sha256.Size]byte, sealed []byte) ([]byte, error) {
	if err := checkShape(sealed); err != nil {
		return nil, err
	}
	s := newScratch()
	defer s.free()
	s.prk = prk
	return b.open(dst, s, version, sealed)
}

// PRK returns what must be disclosed so that somebody can open this one record,
// and no other, with [Box.OpenPRK]. It does not look whether the record was sealed
// under k: open it first. Its errors are ErrNoKey and ErrAltered.
func PRK(k Key, sealed []byte) ([sha256.Size]byte, error) {
	if k.IsZero() {
		return [sha256.Size]byte{}, ErrNoKey
	}
	if err := checkShape(sealed); err != nil {
		return [sha256.Size]byte{}, err
	}
	s := newScratch()
	defer s.free()
	s.key = k.b
	s.extract(sealed[saltAt:commitmentAt])
	return s.prk, nil
}

// checkShape refuses what Seal cannot have written under any key.
func checkShape(sealed []byte) error {
	if n := len(sealed) - Overhead; n < minPlaintext || n > maxPlaintext {
		return fmt.Errorf("%w: it has %d bytes, and a sealed record has %d to %d", ErrAltered, len(sealed), Overhead+minPlaintext, Overhead+maxPlaintext)
	}
	if isZero(sealed[saltAt:commitmentAt]) {
		return fmt.Errorf("%w: its salt is all zero", ErrAltered)
	}
	return nil
}

// open goes on from s.prk. The commitment comes first: GCM alone would accept a
// record that was crafted to open under two keys.
func (b Box) open(dst []byte, s *scratch, version byte, sealed []byte) ([]byte, error) {
	s.expand(b.info, 2)
	if subtle.ConstantTimeCompare(sealed[commitmentAt:nonceAt], s.okm[KeySize:]) != 1 {
		return nil, ErrWrongKey
	}
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	size := len(sealed) - Overhead
	out := slices.Grow(dst, size)[:len(dst)+size]
	plaintext := out[len(dst):]
	if _, err := aead.Open(plaintext[:0], sealed[nonceAt:ciphertextAt], sealed[ciphertextAt:], s.additional(version, sealed)); err != nil {
		clear(plaintext)
		return nil, ErrAltered
	}
	n, err := unpad(plaintext)
	if err != nil {
		clear(plaintext)
		return nil, err
	}
	return out[:len(dst)+n], nil
}

// aead is AES-256-GCM under K_e. K_e is used for one record, so a caller's nonce
// can never meet itself under it.
func (s *scratch) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.okm[:KeySize])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead, nil
}

// additional is version | tag | salt | commitment.
func (s *scratch) additional(version byte, sealed []byte) []byte {
	s.aad[0] = version
	copy(s.aad[1:], sealed[:nonceAt])
	return s.aad[:]
}
