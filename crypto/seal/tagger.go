package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

const tagInfo = "consentledger/tag/v1"

// A Tag names the i-th record of one key to those who hold the key, and is a
// random number to everybody else.
type Tag [16]byte

// A Tagger computes the tags of one key. It keeps HMAC's state between calls, so a
// tag costs two compressions and no allocation. It is not for concurrent use.
type Tagger struct {
	mac hash.Hash
	in  [8]byte
	out [sha256.Size]byte
}

// NewTagger returns the tagger of k, which works under K_tag =
// k.Derive("consentledger/tag/v1"). It panics if k is the zero Key.
func NewTagger(k Key) *Tagger {
	tagKey := k.Derive(tagInfo)
	defer tagKey.Clear()
	return &Tagger{mac: hmac.New(sha256.New, tagKey.b[:])}
}

// Tag returns HMAC-SHA-256(K_tag, i as u64 big endian), cut to 16 bytes.
func (t *Tagger) Tag(i uint64) Tag {
	t.mac.Reset()
	binary.BigEndian.PutUint64(t.in[:], i)
	t.mac.Write(t.in[:])
	t.mac.Sum(t.out[:0])
	return Tag(t.out[:len(Tag{})])
}
