package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

const (
	lengthSize = 4 // the body's length, u32 big endian, in front of the body

	minPlaintext      = 256  // smallest bucket
	lastDoubledBucket = 4096 // beyond it, PADMÉ

	// maxPlaintext is the largest PADMÉ length with which an entry, 41 bytes of
	// header and Overhead included, still fits the 65,535 bytes that an entry
	// bundle's u16 can count (C2SP tlog-tiles). The next one is 65,536.
	maxPlaintext = 63_488

	// MaxBody is the longest body that can be sealed, in bytes.
	MaxBody = maxPlaintext - lengthSize
)

// ErrTooLarge says that a body is longer than MaxBody.
var ErrTooLarge = errors.New("seal: the body is too long for one record")

// PaddedSize returns the number of plaintext bytes that a body of n bytes is
// padded to, its four length bytes included: the next of 256, 512, 1024, 2048 and
// 4096, and beyond that the next PADMÉ length. A sealed record is Overhead longer.
// Its error is ErrTooLarge.
func PaddedSize(n int) (int, error) {
	if n < 0 || n > MaxBody {
		return 0, fmt.Errorf("%w: %d bytes, the most is %d: split it", ErrTooLarge, n, MaxBody)
	}
	size := n + lengthSize
	if size <= lastDoubledBucket {
		bucket := minPlaintext
		for bucket < size {
			bucket *= 2
		}
		return bucket, nil
	}
	return padme(size), nil
}

// padme is PADMÉ of the PURBs paper: with E = ⌊log2 n⌋ and S = ⌊log2 E⌋ + 1, it
// rounds n up until its last E-S bits are zero. That wastes at most 12 % and tells
// O(log log n) bits of a length.
func padme(n int) int {
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

// pad fills plaintext, which is PaddedSize(len(body)) long.
func pad(plaintext, body []byte) {
	binary.BigEndian.PutUint32(plaintext, uint32(len(body)))
	n := copy(plaintext[lengthSize:], body)
	clear(plaintext[lengthSize+n:])
}

// unpad moves the body to the front of plaintext and returns its length, or fails
// if plaintext is not exactly what pad makes of that body.
func unpad(plaintext []byte) (int, error) {
	n := binary.BigEndian.Uint32(plaintext)
	if n > MaxBody {
		return 0, ErrPadding
	}
	size, err := PaddedSize(int(n))
	if err != nil || size != len(plaintext) || !isZero(plaintext[lengthSize+int(n):]) {
		return 0, ErrPadding
	}
	copy(plaintext, plaintext[lengthSize:lengthSize+int(n)])
	clear(plaintext[n : lengthSize+n])
	return int(n), nil
}
