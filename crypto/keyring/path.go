package keyring

import (
	"bytes"
	"fmt"
)

// The maps of a keyring. The first byte of every key names its map, so that one tree, with one
// top page and so one root key, holds all three.
const (
	mapSystem byte = 0 // the ledger's own keys, by name
	mapID     byte = 1 // 16-byte path of a member id → slots
	mapSlot   byte = 2 // slot, big endian → the member's keys
)

// Keys of one map have one length, so no key begins with another one.
const (
	systemKeySize = 1 + 16
	idKeySize     = 1 + 16
	slotKeySize   = 1 + 8

	// maxPath is the most half bytes that lead to a page; its count has to fit one byte.
	maxPath = 2 * max(systemKeySize, idKeySize, slotKeySize)
)

// keySize is the length of the keys of a map, 0 if there is no such map.
func keySize(m byte) int {
	switch m {
	case mapSystem:
		return systemKeySize
	case mapID:
		return idKeySize
	case mapSlot:
		return slotKeySize
	}
	return 0
}

func validKey(key []byte) bool { return len(key) > 0 && len(key) == keySize(key[0]) }

// below says whether a key belongs under the page at path.
func below(key, path []byte) bool {
	if len(path) > nibbles(key) {
		return false
	}
	for i, p := range path {
		if nibble(key, i) != p {
			return false
		}
	}
	return true
}

// mayBranch says whether a page at path can hold a branch with a prefix: half bytes that lead into
// one of the maps, or above them, and leave at least one for the branch to decide by.
func mayBranch(path, prefix []byte) bool {
	for _, p := range prefix {
		if p > 15 {
			return false
		}
	}
	at := func(i int) byte {
		if i < len(path) {
			return path[i]
		}
		return prefix[i-len(path)]
	}
	switch n := len(path) + len(prefix); n {
	case 0:
		return true
	case 1:
		return at(0) == 0
	default:
		return n < 2*keySize(at(0)<<4|at(1))
	}
}

// nibble returns the i-th half byte of a key, high half first.
func nibble(key []byte, i int) byte {
	b := key[i/2]
	if i%2 == 0 {
		return b >> 4
	}
	return b & 15
}

func nibbles(key []byte) int { return 2 * len(key) }

// commonNibbles counts the half bytes that a and b share from position from on.
func commonNibbles(a, b []byte, from int) int {
	n := min(nibbles(a), nibbles(b))
	i := from
	for i < n && nibble(a, i) == nibble(b, i) {
		i++
	}
	return i - from
}

// position names a page: the path of half bytes from the top to it, as its count and the
// half bytes packed. The top page's position is a single zero byte.
func position(path []byte) []byte {
	p := make([]byte, 1, 1+(len(path)+1)/2)
	p[0] = byte(len(path))
	for i := 0; i < len(path); i += 2 {
		b := path[i] << 4
		if i+1 < len(path) {
			b |= path[i+1]
		}
		p = append(p, b)
	}
	return p
}

func describe(path []byte) string {
	if len(path) == 0 {
		return "the top page"
	}
	var b bytes.Buffer
	for _, n := range path {
		fmt.Fprintf(&b, "%x", n)
	}
	return "page " + b.String()
}
