package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"consentledger/crypto/seal"
)

// leafLimit is the encoded size above which a leaf of several records splits.
const leafLimit = 1024

const (
	pageLeaf   byte = 1
	pageBranch byte = 2
)

const pageLabel = "consentledger/page/v1"

// node is one page, decrypted. Once its batch is published it never changes.
type node struct {
	owner  *Batch   // the batch that may still change it; nil once published
	recs   []record // a leaf's records, in order of key
	branch bool
	prefix []byte // half bytes between a branch's position and its children's
	kids   [16]kid
}

// record is one key and what is kept at it. The value is not changed in place.
type record struct {
	key []byte
	due int64 // Unix seconds at which something in the value is to be destroyed; 0: never
	val []byte
}

// kid is a branch's reference to a child: its key, and the earliest due below it.
type kid struct {
	ref *ref
	due int64
}

// ref pins one version of a page. Clones of a branch share it, so that a page is read once.
type ref struct {
	key  seal.Key
	node atomic.Pointer[node] // nil while the page is not in memory
	size int
}

// earliest combines two dues, where 0 means never.
func earliest(a, b int64) int64 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

func (n *node) due() int64 {
	var d int64
	for i := range n.recs {
		d = earliest(d, n.recs[i].due)
	}
	if n.branch {
		for i := range n.kids {
			d = earliest(d, n.kids[i].due)
		}
	}
	return d
}

func recordSize(r *record) int { return 1 + len(r.key) + 8 + 4 + len(r.val) }

func (n *node) leafSize() int {
	s := 3
	for i := range n.recs {
		s += recordSize(&n.recs[i])
	}
	return s
}

func (n *node) appendTo(dst []byte) []byte {
	if !n.branch {
		dst = append(dst, pageLeaf)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.recs)))
		for i := range n.recs {
			r := &n.recs[i]
			dst = append(dst, byte(len(r.key)))
			dst = append(dst, r.key...)
			dst = binary.BigEndian.AppendUint64(dst, uint64(r.due))
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.val)))
			dst = append(dst, r.val...)
		}
		return dst
	}
	dst = append(dst, pageBranch, byte(len(n.prefix)))
	dst = append(dst, n.prefix...)
	var used uint16
	for i := range n.kids {
		if n.kids[i].ref != nil {
			used |= 1 << i
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, used)
	for i := range n.kids {
		if k := &n.kids[i]; k.ref != nil {
			dst = k.ref.key.AppendTo(dst)
			dst = binary.BigEndian.AppendUint64(dst, uint64(k.due))
		}
	}
	return dst
}

var errPageShape = errors.New("the page's contents are not well-formed")

func parsePage(b []byte) (*node, error) {
	r := reader{b: b}
	n := &node{}
	switch r.u8() {
	case pageLeaf:
		count := int(r.u16())
		n.recs = make([]record, 0, count)
		for range count {
			rec := record{key: r.bytes(int(r.u8())), due: int64(r.u64()), val: r.bytes(int(r.u32()))}
			if r.bad || len(rec.key) == 0 {
				return nil, errPageShape
			}
			n.recs = append(n.recs, rec)
		}
	case pageBranch:
		n.branch = true
		n.prefix = r.bytes(int(r.u8()))
		used := r.u16()
		for i := range n.kids {
			if used&(1<<i) == 0 {
				continue
			}
			key, err := seal.KeyFromBytes(r.bytes(32))
			if r.bad || err != nil {
				return nil, errPageShape
			}
			n.kids[i] = kid{ref: &ref{key: key}, due: int64(r.u64())}
		}
	default:
		return nil, errPageShape
	}
	if !r.done() {
		return nil, errPageShape
	}
	return n, nil
}

// sealPage encrypts a page's contents under a key that seals nothing else.
//
// The nonce is all zero: every rewrite of every page draws a fresh key, so no (key, nonce) pair
// is ever used twice, and twelve random bytes would add nothing but length.
func sealPage(key seal.Key, aad, plain []byte) []byte {
	var raw [32]byte
	aead := newGCM(key.AppendTo(raw[:0]))
	clear(raw[:])
	var nonce [12]byte
	return aead.Seal(make([]byte, 0, len(plain)+aead.Overhead()), nonce[:], plain, aad)
}

func openPage(key seal.Key, aad, sealed []byte) ([]byte, error) {
	var raw [32]byte
	aead := newGCM(key.AppendTo(raw[:0]))
	clear(raw[:])
	var nonce [12]byte
	return aead.Open(nil, nonce[:], sealed, aad)
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("keyring: AES refused a 32-byte key: %v", err))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(fmt.Sprintf("keyring: GCM refused AES: %v", err))
	}
	return aead
}

// The top page is rewritten many times under one root, so its key is drawn afresh from the root
// and a random salt: HMAC-SHA-256 as a pseudorandom function.
const topLabel = "consentledger/top/v1"

func topKey(root seal.Key, salt []byte) (seal.Key, error) {
	m := root.MAC([]byte(topLabel), salt)
	return seal.KeyFromBytes(m[:])
}

func sealTop(rand io.Reader, root seal.Key, aad, plain []byte) ([]byte, error) {
	salt := make([]byte, 32)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, fmt.Errorf("draw a salt: %w", err)
	}
	key, err := topKey(root, salt)
	if err != nil {
		return nil, err
	}
	return append(salt, sealPage(key, aad, plain)...), nil
}

func openTop(root seal.Key, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < 32+16 {
		return nil, errPageShape
	}
	key, err := topKey(root, sealed[:32])
	if err != nil {
		return nil, err
	}
	return openPage(key, aad, sealed[32:])
}

func pageAAD(ledger [16]byte, pos []byte) []byte {
	aad := make([]byte, 0, len(pageLabel)+16+len(pos))
	aad = append(aad, pageLabel...)
	aad = append(aad, ledger[:]...)
	return append(aad, pos...)
}

// reader takes fixed-size pieces off a byte string and remembers if one was missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		r.b = nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }
