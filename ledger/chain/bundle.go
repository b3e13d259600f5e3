package chain

import (
	"encoding/binary"
	"fmt"
)

// AppendBundled appends an entry to an entry bundle of C2SP tlog-tiles: its
// length in 16 bits, big-endian, and its bytes. It panics if the entry is
// longer than MaxEntry.
func AppendBundled(dst, entry []byte) []byte {
	if len(entry) > MaxEntry {
		panic("chain: the entry does not fit a bundle")
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(entry))), entry...)
}

// SplitBundle returns the entries of a bundle, as parts of it. It does not
// parse them. A bundle with a cut entry, or with none or more than 256, is an
// error.
func SplitBundle(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	err := eachBundled(bundle, func(at, end int) { entries = append(entries, bundle[at:end:end]) })
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// SplitLeaves appends the entries of a bundle to leaves as they are hashed: with
// the byte 0x00 before each. They are parts of the bundle, which is no longer one
// afterwards: the lengths in it are overwritten. It refuses what SplitBundle does,
// and then leaves the bundle as it was.
func SplitLeaves(leaves [][]byte, bundle []byte) ([][]byte, error) {
	before := len(leaves)
	err := eachBundled(bundle, func(at, end int) { leaves = append(leaves, bundle[at-1:end:end]) })
	if err != nil {
		return nil, err
	}
	for _, leaf := range leaves[before:] {
		leaf[0] = leafPrefix
	}
	return leaves, nil
}

// eachBundled calls f with the place of each entry in a bundle.
func eachBundled(bundle []byte, f func(at, end int)) error {
	count := 0
	for at := 0; at < len(bundle); count++ {
		if len(bundle)-at < 2 {
			return fmt.Errorf("entry bundle: ends within the length of its entry %d", count)
		}
		n := int(binary.BigEndian.Uint16(bundle[at:]))
		if at += 2; len(bundle)-at < n {
			return fmt.Errorf("entry bundle: its entry %d has %d bytes instead of %d", count, len(bundle)-at, n)
		}
		if count == TileHashes {
			return fmt.Errorf("entry bundle: has more than %d entries", TileHashes)
		}
		f(at, at+n)
		at += n
	}
	if count == 0 {
		return fmt.Errorf("entry bundle: is empty")
	}
	return nil
}
