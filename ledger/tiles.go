package ledger

import (
	"errors"

	"consentledger/ledger/chain"
)

// ErrUnknownTile says that the published head does not cover a tile or a bundle of entries.
var ErrUnknownTile = errors.New("no such tile under the published head")

// PublishedTile appends to dst the first width hashes of a tile (C2SP tlog-tiles) as far as the published
// head covers them: every width that was or could have been published, so that whoever goes by an
// older checkpoint finds what they need. Anything else is ErrUnknownTile. It takes no lock of the
// write path.
func (l *Ledger) PublishedTile(dst []byte, level int, n uint64, width int) ([]byte, error) {
	h := l.published.Load()
	if h == nil || level < 0 || level > 63/8 || width < 1 || width > chain.TileHashes {
		return nil, ErrUnknownTile
	}
	hashes := h.size >> (8 * level)
	full, edge := hashes/chain.TileHashes, int(hashes%chain.TileHashes)
	switch {
	case n < full:
		dst, err := l.appendTile(dst, level, n, width)
		if err != nil {
			return nil, l.damaged(err)
		}
		return dst, nil
	case n > full || width > edge:
		return nil, ErrUnknownTile
	}
	return append(dst, h.edges[level][:width*chain.HashSize]...), nil
}

// PublishedEntries appends to dst the entries 256·n … 256·n + width − 1 as an entry bundle of C2SP
// tlog-tiles, if the published head covers all of them; otherwise it is ErrUnknownTile.
func (l *Ledger) PublishedEntries(dst []byte, n uint64, width int) ([]byte, error) {
	h := l.published.Load()
	if h == nil || width < 1 || width > chain.TileHashes || n > h.size/chain.TileHashes || n*chain.TileHashes+uint64(width) > h.size {
		return nil, ErrUnknownTile
	}
	first := n * chain.TileHashes
	err := l.eachEntry(first, first+uint64(width), func(_ uint64, entry []byte) error {
		dst = chain.AppendBundled(dst, entry)
		return nil
	})
	if err != nil {
		return nil, l.damaged(err)
	}
	return dst, nil
}
