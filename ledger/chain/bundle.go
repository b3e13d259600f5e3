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
	for rest := bundle; len(rest) > 0; {
		if len(rest) < 2 {
			return nil, fmt.Errorf("entry bundle: ends within the length of its entry %d", len(entries))
		}
		n := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; len(rest) < n {
			return nil, fmt.Errorf("entry bundle: its entry %d has %d bytes instead of %d", len(entries), len(rest), n)
		}
		if len(entries) == TileHashes {
			return nil, fmt.Errorf("entry bundle: has more than %d entries", TileHashes)
		}
		entries = append(entries, rest[:n:n])
		rest = rest[n:]
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("entry bundle: is empty")
	}
	return entries, nil
}
