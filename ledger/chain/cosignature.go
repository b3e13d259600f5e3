package chain

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// ErrWitnessKey says that a text is no key of a witness.
var ErrWitnessKey = errors.New("not a witness's verifier key")

const (
	cosignatureType = 0x04
	// cosignatureSize is that of a cosignature without the key id: seconds
	// and an Ed25519 signature.
	cosignatureSize = 8 + ed25519.SignatureSize
)

// NewCosigner returns the signer of a witness of that name: it makes
// cosignatures of C2SP tlog-cosignature v1.0.1 (timestamped Ed25519, type
// 0x04), dated by now, and the verifier key that belongs to it, which
// ParseWitnessKey takes. The name follows the rules of an origin. What it
// signs must be the text of a checkpoint of any log, without its empty line. It
// prints as [key].
func NewCosigner(name string, seed [ed25519.SeedSize]byte, now func() time.Time) (s note.Signer, vkey string, err error) {
	if _, err := ParseOrigin(name); err != nil {
		return nil, "", fmt.Errorf("making a witness's signer: %w", err)
	}
	if seed == [ed25519.SeedSize]byte{} {
		return nil, "", errors.New("making a witness's signer: the seed is all zero; draw a random one")
	}
	key := ed25519.NewKeyFromSeed(seed[:])
	public := typedKey(key.Public().(ed25519.PublicKey))
	c := &cosigner{name: name, hash: keyID(name, public), key: key, now: now}
	vkey = fmt.Sprintf("%s+%08x+%s", name, c.hash, base64.StdEncoding.EncodeToString(public))
	return c, vkey, nil
}

type cosigner struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
	now  func() time.Time
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	if _, err := ParseForeignText(string(msg)); err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	seconds := c.now().Unix()
	if seconds <= 0 {
		return nil, errors.New("cosigning: the clock is before 1970; a cosignature without a time says nothing")
	}
	sig := binary.BigEndian.AppendUint64(make([]byte, 0, cosignatureSize), uint64(seconds))
	return append(sig, ed25519.Sign(c.key, cosigned(uint64(seconds), msg))...), nil
}

// Format prints [key] whatever the verb.
func (c *cosigner) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[key]") }

// cosigned is what a witness signs of a checkpoint's text.
func cosigned(seconds uint64, text []byte) []byte {
	b := strconv.AppendUint([]byte("cosignature/v1\ntime "), seconds, 10)
	b = append(b, '\n')
	return append(b, text...)
}

// ParseWitnessKey parses the verifier key of a witness, in the form
// name+id+base64 of C2SP signed-note with the type 0x04, and nothing else: a
// key has one way to be written. The verifier accepts cosignatures of
// checkpoints by that key. Every error wraps ErrWitnessKey.
func ParseWitnessKey(vkey string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	if _, err := ParseOrigin(name); err != nil {
		return nil, fmt.Errorf("%w: its name: %w", ErrWitnessKey, err)
	}
	public, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil || len(public) == 0 || base64.StdEncoding.EncodeToString(public) != encoded:
		return nil, fmt.Errorf("%w: what follows the second plus sign is not base64", ErrWitnessKey)
	case public[0] == 0x01:
		return nil, fmt.Errorf("%w: it is a log's key (type 0x01); ask the witness for its cosignature key (type 0x04)", ErrWitnessKey)
	case public[0] != cosignatureType || len(public) != 1+ed25519.PublicKeySize:
		return nil, fmt.Errorf("%w: its type is 0x%02x with %d bytes; only Ed25519 cosignatures (type 0x04, %d bytes) are supported", ErrWitnessKey, public[0], len(public)-1, ed25519.PublicKeySize)
	}
	v := &coverifier{name: name, hash: keyID(name, public), key: ed25519.PublicKey(public[1:])}
	if id != fmt.Sprintf("%08x", v.hash) {
		return nil, fmt.Errorf("%w: its id is not that of its name and key; copy the whole line again", ErrWitnessKey)
	}
	return v, nil
}

type coverifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (v *coverifier) Name() string    { return v.name }
func (v *coverifier) KeyHash() uint32 { return v.hash }

func (v *coverifier) Verify(msg, sig []byte) bool {
	if len(sig) != cosignatureSize {
		return false
	}
	if _, err := ParseForeignText(string(msg)); err != nil {
		return false // a witness signs checkpoints and nothing else
	}
	seconds := binary.BigEndian.Uint64(sig)
	return seconds > 0 && seconds <= math.MaxInt64 && ed25519.Verify(v.key, cosigned(seconds, msg), sig[8:])
}

// CosignedAt returns when a cosignature of a note that was opened was made.
// Only what a verifier of ParseWitnessKey has accepted says a time that can be
// believed.
func CosignedAt(sig note.Signature) (time.Time, error) {
	raw, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil || len(raw) != 4+cosignatureSize {
		return time.Time{}, fmt.Errorf("%w: the signature of %s is no cosignature", ErrSignature, sig.Name)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC(), nil
}

func typedKey(public ed25519.PublicKey) []byte {
	return append([]byte{cosignatureType}, public...)
}

// keyID is the key id of C2SP signed-note: the first 4 bytes of
// SHA-256(name | 0x0A | type | public key).
func keyID(name string, typed []byte) uint32 {
	h := sum256(append([]byte(name+"\n"), typed...))
	return binary.BigEndian.Uint32(h[:])
}
