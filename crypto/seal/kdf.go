package seal

import (
	"crypto/sha256"
	"sync"

	"consentledger/crypto/digest"
)

// scratch is the working memory of one derivation. It holds secrets, so it is
// cleared before it goes back to the pool; and it is pooled because whatever is
// handed to crypto/hmac or to a cipher.AEAD through an interface would otherwise
// be a heap allocation, and an uncleared copy, each time.
type scratch struct {
	key  [KeySize]byte // input keying material
	salt [saltSize]byte
	prk  [sha256.Size]byte
	okm  [2 * sha256.Size]byte // K_e | C_e, or a derived key and half of nothing
	aad  [aadSize]byte
	out  [sha256.BlockSize + sha256.Size]byte // HMAC's outer message
	msg  []byte                               // HMAC's inner message: a block for the key, then what is authenticated
}

var scratches = sync.Pool{New: func() any { return &scratch{msg: make([]byte, sha256.BlockSize, 256)} }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) free() {
	clear(s.msg[:cap(s.msg)])
	*s = scratch{msg: s.msg[:sha256.BlockSize]}
	scratches.Put(s)
}

// hmac is HMAC-SHA-256 (RFC 2104, FIPS 198-1) under a key of 32 bytes, of what stands in s.msg
// behind its first block.
//
// It is written out, and not left to crypto/hmac, because every key here is used once: crypto/hmac
// would allocate two digests for each, a quarter of all allocations of an append, where two
// one-shot hashes over memory at hand take a third of the time. Tests hold it to crypto/hmac and to
// the vectors.
func (s *scratch) hmac(key *[sha256.Size]byte) [sha256.Size]byte {
	inner, outer := s.msg[:sha256.BlockSize], s.out[:sha256.BlockSize]
	for i := range inner {
		inner[i], outer[i] = 0x36, 0x5c
	}
	for i, b := range key {
		inner[i] ^= b
		outer[i] ^= b
	}
	sum := digest.Sum256(s.msg)
	copy(s.out[sha256.BlockSize:], sum[:])
	s.msg = s.msg[:sha256.BlockSize]
	return digest.Sum256(s.out[:])
}

// extract is HKDF-Extract (RFC 5869, 2.2): prk = HMAC(salt, key). An empty salt is HashLen zero
// bytes, as the RFC has it.
func (s *scratch) extract(salt []byte) {
	copy(s.salt[:], salt) // all zero until now, as free left it
	s.msg = append(s.msg, s.key[:]...)
	s.prk = s.hmac(&s.salt)
}

// expand is HKDF-Expand (RFC 5869, 2.3) of prk and info to 64 bytes, in okm:
// T(1) = HMAC(prk, info | 1), T(2) = HMAC(prk, T(1) | info | 2). Shorter outputs
// are prefixes of it; blocks is how many T(i) are wanted.
func (s *scratch) expand(info string, blocks int) {
	s.msg = append(append(s.msg, info...), 1)
	t := s.hmac(&s.prk)
	copy(s.okm[:], t[:])
	if blocks == 1 {
		return
	}
	s.msg = append(append(append(s.msg, t[:]...), info...), 2)
	t = s.hmac(&s.prk)
	copy(s.okm[sha256.Size:], t[:])
	clear(t[:])
}
