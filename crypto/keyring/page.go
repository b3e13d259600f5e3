package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/cryptobyte"

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
	owner  uint64   // number of the batch that made it and may still change it; 0: read from the store
	recs   []record // a leaf's records, in order of key
	branch bool
	prefix []byte // half bytes between a branch's position and its children's
	kids   []kid  // 16 in a branch, none in a leaf
}

// record is one key and what is kept at it. The value is not changed in place.
type record struct {
	key []byte
	times
	val []byte
}

// kid is a branch's reference to a child: its key, and the earliest times below it.
type kid struct {
	ref *ref
	times
}

// times is what records are found by, beside their keys. Both are Unix seconds, 0 for none.
type times struct {
	due  int64 // something in the value is to be destroyed, or looked at
	task int64 // somebody has something to do
}

func (t times) earliest(o times) times {
	return times{due: earliest(t.due, o.due), task: earliest(t.task, o.task)}
}

// timesSize is their size in a page.
const timesSize = 8 + 8

func (t times) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.due))
	return binary.BigEndian.AppendUint64(dst, uint64(t.task))
}

func (r *reader) times() times { return times{due: int64(r.u64()), task: int64(r.u64())} }

// ref pins one version of a page. Clones of a branch share it, so that a page is read once.
type ref struct {
	key  seal.Key
	node atomic.Pointer[node] // nil while the page is not in memory
	used atomic.Bool          // since the cache last looked
	inCache
}

// earliest combines two times, where 0 means never.
func earliest(a, b int64) int64 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

func newBranch(owner uint64, prefix []byte) *node {
	return &node{owner: owner, branch: true, prefix: prefix, kids: make([]kid, 16)}
}

func (n *node) earliest() times {
	var t times
	for i := range n.recs {
		t = t.earliest(n.recs[i].times)
	}
	for i := range n.kids {
		t = t.earliest(n.kids[i].times)
	}
	return t
}

func recordSize(r *record) int { return 1 + len(r.key) + timesSize + 4 + len(r.val) }

// size is the exact length of what appendTo appends.
func (n *node) size() int {
	if n.branch {
		s := 2 + len(n.prefix) + 2
		for i := range n.kids {
			if n.kids[i].ref != nil {
				s += seal.KeySize + timesSize
			}
		}
		return s
	}
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
			dst = r.times.appendTo(dst)
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
			dst = k.times.appendTo(dst)
		}
	}
	return dst
}

var errPageShape = errors.New("the page's contents are not well-formed")

// parsePage reads the contents of the page at path. There is one way to write a page, and all that
// it holds belongs below path: anything else is refused.
func parsePage(b, path []byte) (*node, error) {
	r := reader{s: b}
	n := &node{}
	switch r.u8() {
	case pageLeaf:
		n.recs = r.records(path)
		if len(n.recs) == 0 && len(path) > 0 {
			return nil, errPageShape
		}
	case pageBranch:
		// A copy, because later versions of the branch share it: it must not hold on to this
		// version's buffer, which is full of keys.
		n = newBranch(0, bytes.Clone(r.bytes(int(r.u8()))))
		if !mayBranch(path, n.prefix) {
			return nil, errPageShape
		}
		used := r.u16()
		if used == 0 {
			return nil, errPageShape
		}
		for i := range n.kids {
			if used&(1<<i) == 0 {
				continue
			}
			n.kids[i] = kid{ref: &ref{key: r.key()}, times: r.times()}
		}
	default:
		return nil, errPageShape
	}
	if !r.done() {
		return nil, errPageShape
	}
	return n, nil
}

// records reads a leaf's records: keys of a known map, below path, each larger than the last.
func (r *reader) records(path []byte) []record {
	const least = 1 + slotKeySize + timesSize + 4
	count := int(r.u16())
	if count > len(r.s)/least {
		r.bad = true
		return nil
	}
	recs := make([]record, 0, count)
	var last []byte
	for range count {
		rec := record{key: r.bytes(int(r.u8())), times: r.times(), val: r.bytes(int(r.u32()))}
		if r.bad || !validKey(rec.key) || !below(rec.key, path) || bytes.Compare(last, rec.key) >= 0 {
			r.bad = true
			return nil
		}
		last = rec.key
		recs = append(recs, rec)
	}
	return recs
}

// gcmTag is what sealing adds to a page.
const gcmTag = 16

// sealPage encrypts a page's contents, in place if they have gcmTag bytes of room behind them,
// under a key that seals nothing else.
//
// The nonce is all zero: every rewrite of every page draws a fresh key, so no (key, nonce) pair
// is ever used twice, and twelve random bytes would add nothing but length.
func sealPage(key seal.Key, aad, plain []byte) []byte {
	var nonce [12]byte
	return pageCipher(key).Seal(plain[:0], nonce[:], plain, aad)
}

func openPage(key seal.Key, aad, sealed []byte) ([]byte, error) {
	var nonce [12]byte
	return pageCipher(key).Open(nil, nonce[:], sealed, aad)
}

func pageCipher(key seal.Key) cipher.AEAD {
	var raw [seal.KeySize]byte
	aead := newGCM(key.AppendTo(raw[:0]))
	clear(raw[:])
	return aead
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

const topSalt = 32

// sealTop returns salt | sealed. room is for the salt and then the contents, as in sealPage.
func sealTop(rand io.Reader, root seal.Key, aad, room []byte) ([]byte, error) {
	salt, plain := room[:topSalt], room[topSalt:]
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
	if len(sealed) < topSalt+gcmTag {
		return nil, errPageShape
	}
	key, err := topKey(root, sealed[:topSalt])
	if err != nil {
		return nil, err
	}
	return openPage(key, aad, sealed[topSalt:])
}

// appendAAD binds a page to its ledger and to its place. All parts but the last have a fixed size.
func appendAAD(dst []byte, ledger [16]byte, pos []byte) []byte {
	dst = append(dst, pageLabel...)
	dst = append(dst, ledger[:]...)
	return append(dst, pos...)
}

// reader takes fixed-size pieces off a byte string and remembers if one was missing. The bounds
// are cryptobyte's.
type reader struct {
	s   cryptobyte.String
	bad bool
}

// was notes whether a piece was there; after one was not, nothing is.
func (r *reader) was(there bool) {
	if !there {
		r.bad, r.s = true, nil
	}
}

func (r *reader) bytes(n int) (out []byte) {
	r.was(r.s.ReadBytes(&out, n))
	return slices.Clip(out)
}

func (r *reader) u8() (v uint8) {
	r.was(r.s.ReadUint8(&v))
	return v
}

func (r *reader) u16() (v uint16) {
	r.was(r.s.ReadUint16(&v))
	return v
}

func (r *reader) u32() (v uint32) {
	r.was(r.s.ReadUint32(&v))
	return v
}

func (r *reader) u64() (v uint64) {
	r.was(r.s.ReadUint64(&v))
	return v
}

// flag reads a byte that is 0 or 1.
func (r *reader) flag() bool {
	b := r.u8()
	r.bad = r.bad || b > 1
	return b == 1
}

func (r *reader) key() seal.Key {
	k, err := seal.KeyFromBytes(r.bytes(seal.KeySize))
	r.bad = r.bad || err != nil
	return k
}

func (r *reader) done() bool { return !r.bad && r.s.Empty() }
