package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
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
	info []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) free() {
	info := s.info[:0]
	*s = scratch{info: info} // info is public
	scratches.Put(s)
}

// extract is HKDF-Extract (RFC 5869, 2.2): prk = HMAC(salt, key). An empty salt
// is HashLen zero bytes, as the RFC has it, so that crypto/hmac always sees a key
// of full length and its FIPS 140-only mode has nothing to refuse.
func (s *scratch) extract(salt []byte) {
	copy(s.salt[:], salt) // all zero until now, as free left it
	mac := hmac.New(sha256.New, s.salt[:])
	mac.Write(s.key[:])
	mac.Sum(s.prk[:0])
}

// expand is HKDF-Expand (RFC 5869, 2.3) of prk and info to 64 bytes, in okm:
// T(1) = HMAC(prk, info | 1), T(2) = HMAC(prk, T(1) | info | 2). Shorter outputs
// are prefixes of it; blocks is how many T(i) are wanted.
func (s *scratch) expand(info string, blocks int) {
	s.info = append(s.info[:0], info...)
	s.info = append(s.info, 1)
	mac := hmac.New(sha256.New, s.prk[:])
	mac.Write(s.info)
	mac.Sum(s.okm[:0])
	if blocks == 1 {
		return
	}
	s.info[len(s.info)-1] = 2
	mac.Reset()
	mac.Write(s.okm[:sha256.Size])
	mac.Write(s.info)
	mac.Sum(s.okm[:sha256.Size])
}
