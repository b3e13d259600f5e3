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

// maxKey bounds a key: a page's position has to fit its own length byte.
const maxKey = 64

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
