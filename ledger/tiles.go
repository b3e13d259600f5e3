package ledger

import (
	"errors"
	"slices"

	"consentledger/ledger/chain"
)

// ErrUnknownTile says that the published head does not cover a tile or a bundle of entries.
var ErrUnknownTile = errors.New("no such tile under the published head")

// PublishedTile returns the first width hashes of a tile (C2SP tlog-tiles) as far as the published
// head covers them: every width that was or could have been published, so that whoever goes by an
// older checkpoint finds what they need. Anything else is ErrUnknownTile. It takes no lock of the
// write path. The caller may keep the bytes.
func (l *Ledger) PublishedTile(level int, n uint64, width int) ([]byte, error) {
	h := l.published.Load()
	if h == nil || level < 0 || level > 63/8 || width < 1 || width > chain.TileHashes {
		return nil, ErrUnknownTile
	}
	hashes := h.size >> (8 * level)
	full, edge := hashes/chain.TileHashes, int(hashes%chain.TileHashes)
	switch {
	case n < full:
		data, err := l.tile(level, n, chain.TileHashes)
		if err != nil {
			return nil, l.damaged(err)
		}
		return data[:width*chain.HashSize], nil
	case n > full || width > edge:
		return nil, ErrUnknownTile
	}
	return slices.Clone(h.edges[level][:width*chain.HashSize]), nil
}

// PublishedEntries returns the entries 256·n … 256·n + width − 1 as an entry bundle of C2SP
// tlog-tiles, if the published head covers all of them, and ErrUnknownTile otherwise.
func (l *Ledger) PublishedEntries(n uint64, width int) ([]byte, error) {
	h := l.published.Load()
	if h == nil || width < 1 || width > chain.TileHashes || n > h.size/chain.TileHashes || n*chain.TileHashes+uint64(width) > h.size {
		return nil, ErrUnknownTile
	}
	first := n * chain.TileHashes
	bundle := make([]byte, 0, width*(2+chain.MinEntry))
	err := l.eachEntry(first, first+uint64(width), func(_ uint64, entry []byte) error {
		bundle = chain.AppendBundled(bundle, entry)
		return nil
	})
	if err != nil {
		return nil, l.damaged(err)
	}
	return bundle, nil
}
