package chain

import (
	"sync"

	"consentledger/crypto/digest"
)

// HashSize is the size of a Hash in bytes.
const HashSize = 32

// Hash is a SHA-256 hash: a leaf or a node of the tree. It converts to and
// from golang.org/x/mod/sumdb/tlog.Hash.
type Hash = [HashSize]byte

// hashName names the implementation of SHA-256 that sum256 runs.
func hashName() string { return digest.Name() }

func sum256(b []byte) Hash { return digest.Sum256(b) }

// RFC 6962, section 2.1: a leaf hash can never be taken for a node hash,
// because what is hashed begins with another byte.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// smallEntry is the largest entry that LeafHash copies to the stack; the
// smallest bucket of padding, which is nearly every entry, fits.
const smallEntry = 511

var leafBuffers = sync.Pool{New: func() any { return new(leafHasher) }}

// LeafHash returns SHA-256(0x00 | entry): the leaf of the tree, and what the
// next entry's prev holds. It allocates nothing. It takes any bytes, so that
// a verifier can hash what is stored before it knows whether that parses.
func LeafHash(entry []byte) Hash {
	if len(entry) <= smallEntry {
		var b [1 + smallEntry]byte // b[0] is leafPrefix
		return sum256(b[:1+copy(b[1:], entry)])
	}
	h := leafBuffers.Get().(*leafHasher)
	leaf := h.leaf(entry)
	leafBuffers.Put(h)
	return leaf
}

// A leafHasher hashes leaves in one piece: the one-shot hash is the only one
// that may be used here (crypto/digest says why), and it wants the prefix and
// the entry side by side. Not for concurrent use.
type leafHasher struct{ buf []byte }

func (h *leafHasher) leaf(entry []byte) Hash {
	if h.buf == nil {
		h.buf = make([]byte, 1, 1+4*smallEntry)
		h.buf[0] = leafPrefix
	}
	h.buf = append(h.buf[:1], entry...)
	return sum256(h.buf)
}

// nodeHash returns SHA-256(0x01 | left | right).
func nodeHash(left, right *Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sum256(b[:])
}

// emptyRoot is the root of a tree without leaves: SHA-256 of nothing.
func emptyRoot() Hash { return sum256(nil) }

// foldLevel replaces the hashes of one level of a perfect subtree, in place,
// by those of the level above, and returns them. len(hashes) is even.
func foldLevel(hashes []Hash) []Hash {
	half := len(hashes) / 2
	for i := range half {
		hashes[i] = nodeHash(&hashes[2*i], &hashes[2*i+1])
	}
	return hashes[:half]
}

// perfectRoot returns the root of a perfect subtree over hashes, of which
// there are a power of two. It uses hashes as its working space.
func perfectRoot(hashes []Hash) Hash {
	for len(hashes) > 1 {
		hashes = foldLevel(hashes)
	}
	return hashes[0]
}

// subtreeRoot returns the RFC 6962 root of any number of hashes, at least one,
// of one level, leaving them as they are. scratch has room for as many.
func subtreeRoot(hashes, scratch []Hash) Hash {
	var root Hash
	for have := false; len(hashes) > 0; {
		// The largest perfect subtrees stand left, so the right edge is
		// folded from the smallest, which is rightmost.
		n := len(hashes) & -len(hashes)
		at := len(hashes) - n
		right := perfectRoot(append(scratch[:0], hashes[at:]...))
		if have {
			root = nodeHash(&right, &root)
		} else {
			root, have = right, true
		}
		hashes = hashes[:at]
	}
	return root
}

// bytesOf appends hashes to dst.
func bytesOf(dst []byte, hashes []Hash) []byte {
	for i := range hashes {
		dst = append(dst, hashes[i][:]...)
	}
	return dst
}

// hashesOf appends the hashes that b holds to dst. len(b) is a multiple of
// HashSize.
func hashesOf(dst []Hash, b []byte) []Hash {
	for ; len(b) >= HashSize; b = b[HashSize:] {
		dst = append(dst, Hash(b))
	}
	return dst
}
