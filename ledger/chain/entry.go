package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Version is the first byte of every entry.
	Version = 1
	// HeaderSize is the size of what precedes the sealed part of an entry:
	// version, recorded_at, prev.
	HeaderSize = 1 + 8 + HashSize

	tagSize  = 16
	saltSize = 32
	// sealedOverhead is what the sealed part has beside the padded
	// plaintext: tag, salt, commitment, nonce, GCM tag.
	sealedOverhead = tagSize + saltSize + 32 + 12 + 16

	// MinEntry is the size of an entry of the smallest bucket of padding.
	MinEntry = HeaderSize + sealedOverhead + 256
	// MaxEntry bounds an entry's size: the entry bundles of C2SP tlog-tiles
	// give it in 16 bits. (The padding rule leaves nothing between the
	// largest entry that exists, 63,637 bytes, and this.)
	MaxEntry = 1<<16 - 1
)

// ErrMalformed is what every error of Parse wraps. The error says which field
// is wrong; an entry that does not parse cannot be repaired, only restored.
var ErrMalformed = errors.New("malformed entry")

// Entry is one record of the log as everybody sees it. The zero Entry is none.
type Entry struct {
	// RecordedAtUnixMs is the server's time of the commit, in milliseconds
	// since 1970-01-01 UTC. It never decreases along the log.
	RecordedAtUnixMs int64
	// Prev is the leaf hash of the entry before, zeroes for entry 0.
	Prev Hash
	// Tag finds the entry for who holds its key; to all others it is random.
	// It is also the beginning of Sealed.
	Tag [tagSize]byte
	// Sealed runs from the tag to the end of the entry. It is part of what
	// was parsed, not a copy.
	Sealed []byte
}

// AppendHeader appends the header of an entry, to which the sealed part is
// then appended: the version, and zeroes where Complete writes.
func AppendHeader(dst []byte) []byte {
	var header [HeaderSize]byte
	header[0] = Version
	return append(dst, header[:]...)
}

// Complete writes into an entry what only the committer knows. The leaf hash
// binds both. It panics if entry is shorter than a header.
func Complete(entry []byte, recordedAtUnixMs int64, prev Hash) {
	_ = entry[HeaderSize-1]
	binary.BigEndian.PutUint64(entry[1:], uint64(recordedAtUnixMs))
	copy(entry[9:HeaderSize], prev[:])
}

// Parse parses an entry. What parses encodes to the same bytes again: the size
// must be one that padding produces, so nothing may trail or be cut, and the
// version must be known. An all-zero salt is refused, because it would take
// the per-entry randomness out of the entry's keys, and so is a time before
// 1970. Every error wraps ErrMalformed. Nothing is copied or allocated.
func Parse(b []byte) (Entry, error) {
	switch padded := len(b) - HeaderSize - sealedOverhead; {
	case len(b) < MinEntry:
		return Entry{}, fmt.Errorf("%w: size is %d bytes, the smallest is %d", ErrMalformed, len(b), MinEntry)
	case len(b) > MaxEntry:
		return Entry{}, fmt.Errorf("%w: size is %d bytes, the largest is %d", ErrMalformed, len(b), MaxEntry)
	case !isPaddedSize(padded):
		return Entry{}, fmt.Errorf("%w: size is %d bytes, which no padding produces (the sealed body would have %d)", ErrMalformed, len(b), padded)
	}
	if b[0] != Version {
		return Entry{}, fmt.Errorf("%w: version is %d, this program knows %d", ErrMalformed, b[0], Version)
	}
	recordedAt := int64(binary.BigEndian.Uint64(b[1:]))
	if recordedAt < 0 {
		return Entry{}, fmt.Errorf("%w: recorded_at is before 1970", ErrMalformed)
	}
	sealed := b[HeaderSize:len(b):len(b)]
	if [saltSize]byte(sealed[tagSize:]) == [saltSize]byte{} {
		return Entry{}, fmt.Errorf("%w: salt is all zero", ErrMalformed)
	}
	return Entry{
		RecordedAtUnixMs: recordedAt,
		Prev:             Hash(b[9:]),
		Tag:              [tagSize]byte(sealed),
		Sealed:           sealed,
	}, nil
}

// AppendTo appends the entry's bytes. The tag is taken from Sealed.
func (e Entry) AppendTo(dst []byte) []byte {
	at := len(dst)
	dst = AppendHeader(dst)
	Complete(dst[at:], e.RecordedAtUnixMs, e.Prev)
	return append(dst, e.Sealed...)
}
