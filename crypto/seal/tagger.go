package seal

import (
	"encoding/binary"
	"fmt"
	"io"
)

const tagInfo = "consentledger/tag/v1"

// A Tag names the i-th record of one key to those who hold the key, and is a
// random number to everybody else.
type Tag [16]byte

// A Tagger computes the tags of one key. It may be used by several goroutines.
type Tagger struct{ key Key }

// NewTagger returns the tagger of k, which works under K_tag =
// k.Derive("consentledger/tag/v1"). It panics if k is the zero Key.
func NewTagger(k Key) *Tagger { return &Tagger{k.Derive(tagInfo)} }

// Tag returns HMAC-SHA-256(K_tag, i as u64 big endian), cut to 16 bytes.
func (t *Tagger) Tag(i uint64) Tag {
	s := newScratch()
	defer s.free()
	s.msg = binary.BigEndian.AppendUint64(s.msg, i)
	s.key = t.key.b
	sum := s.hmac(&s.key)
	return Tag(sum[:len(Tag{})])
}

// Disclose returns K_tag: who has it finds every record of the key, those of
// before and those to come, and opens none.
func (t *Tagger) Disclose() [KeySize]byte { return t.key.b }

// TagOf is Tag for who was disclosed K_tag.
func TagOf(disclosed [KeySize]byte, i uint64) Tag {
	t := Tagger{Key{disclosed}}
	return t.Tag(i)
}

// Format prints [key].
func (*Tagger) Format(f fmt.State, _ rune) { io.WriteString(f, opaque) }
