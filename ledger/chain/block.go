package chain

import (
	"bytes"
	"errors"
	"fmt"
)

// mark says what is odd about an entry. No bit is set for one that is fine.
type mark uint8

const (
	isMissing   mark = 1 << iota // it is not there
	isMalformed                  // it does not parse
	isUnlinked                   // its prev is not the leaf hash of the entry before
	isBack                       // it was recorded before the entry before
	isOffTile                    // its leaf hash is not the one in the stored tile
	isOnTile                     // its leaf hash is the one in the stored tile
)

// A block is what is verified in one piece: the entries of one tile, without
// what links it to the block before. Blocks are used again and again.
type block struct {
	n     uint64 // it holds the entries from n*TileHashes on
	count int    // of entries that must be there, 1–256; fewer than 256 in the last

	leaves [TileHashes]Hash // zero where an entry is missing
	marks  [TileHashes]mark
	odd    bool // some mark but isOnTile is set
	// root is the root of the leaves, if they fill a tile.
	root Hash
	// prev is what the first entry links to, if that parses.
	prev Hash
	// prevs are what the entries marked isUnlinked link to, in their order.
	prevs []Hash
	// malformed says of the entries marked isMalformed, in their order, why.
	malformed []error
	// parsed is whether any entry parses; if so, these are the times of the
	// first and last that do, and the index of the first.
	parsed              bool
	firstParsed         int
	firstTime, lastTime int64
	// tileFault says what is wrong with the stored tile as a whole.
	tileFault Kind
	tileWhat  string
}

func (b *block) first() uint64 { return b.n * TileHashes }

var errStop = errors.New("stop")

// A scanner reads blocks from a source. Each worker has its own.
type scanner struct {
	src    Source
	each   func(index uint64, entry []byte, leaf Hash) // nil: nobody wants to know
	hasher leafHasher
	nodes  [TileHashes]Hash
	at     int // which entry of the block is next
}

// scan fills b, of which n and count are set. An error means that the block
// could not be read, not that it is wrong.
func (s *scanner) scan(b *block) error {
	*b = block{n: b.n, count: b.count, prevs: b.prevs[:0], malformed: b.malformed[:0]}
	if err := s.entries(b); err != nil {
		return err
	}
	if b.count < TileHashes {
		return nil
	}
	if err := s.tile(b); err != nil {
		return err
	}
	b.root = perfectRoot(append(s.nodes[:0], b.leaves[:]...))
	return nil
}

func (s *scanner) entries(b *block) error {
	s.at = 0
	var err error
	if src, ok := s.src.(LeafSource); ok {
		err = src.Leaves(b.first(), func(index uint64, leaf []byte) error {
			if len(leaf) == 0 || leaf[0] != leafPrefix {
				return fmt.Errorf("the source gave entry %d without the prefix of a leaf", index)
			}
			return s.next(b, index, leaf[1:], leaf)
		})
	} else {
		err = s.src.Entries(b.first(), func(index uint64, entry []byte) error {
			return s.next(b, index, entry, nil)
		})
	}
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("reading the entries from %d on: %w", b.first(), err)
	}
	for ; s.at < b.count; s.at++ {
		b.mark(s.at, isMissing)
	}
	return nil
}

// next takes the next entry that the source gives; leaf is it with its prefix,
// nil if it has to be copied for that.
func (s *scanner) next(b *block, index uint64, entry, leaf []byte) error {
	if index < b.first()+uint64(s.at) {
		return fmt.Errorf("the source gave entry %d out of order", index)
	}
	for ; s.at < b.count && index != b.first()+uint64(s.at); s.at++ {
		b.mark(s.at, isMissing)
	}
	if s.at == b.count {
		return errStop
	}
	if leaf != nil {
		b.leaves[s.at] = sum256(leaf)
	} else {
		b.leaves[s.at] = s.hasher.leaf(entry)
	}
	s.entry(b, s.at, entry)
	if s.at++; s.at == b.count {
		return errStop
	}
	return nil
}

func (s *scanner) entry(b *block, i int, entry []byte) {
	e, err := Parse(entry)
	if err != nil {
		b.mark(i, isMalformed)
		b.malformed = append(b.malformed, err)
		return
	}
	if s.each != nil {
		s.each(b.first()+uint64(i), entry, b.leaves[i])
	}
	switch {
	case i == 0:
		b.prev = e.Prev
	case b.marks[i-1]&isMissing == 0 && e.Prev != b.leaves[i-1]:
		b.mark(i, isUnlinked)
		b.prevs = append(b.prevs, e.Prev)
	}
	if !b.parsed {
		b.parsed, b.firstParsed, b.firstTime = true, i, e.RecordedAtUnixMs
	} else if e.RecordedAtUnixMs < b.lastTime {
		b.mark(i, isBack)
	}
	b.lastTime = e.RecordedAtUnixMs
}

// tile compares the block's leaves with the stored tile.
func (s *scanner) tile(b *block) error {
	stored, fault, what, err := readStored(s.src, 0, b.n)
	if err != nil {
		return err
	}
	if fault != "" {
		b.odd, b.tileFault, b.tileWhat = true, fault, what
		return nil
	}
	for i := range b.leaves {
		switch {
		case bytes.Equal(stored[i*HashSize:(i+1)*HashSize], b.leaves[i][:]):
			b.marks[i] |= isOnTile
		case b.marks[i]&isMissing == 0:
			b.mark(i, isOffTile)
		}
	}
	return nil
}

// readStored reads a full tile as it is stored. If there is none or its length
// is wrong, fault and what say so.
func readStored(src Source, level int, n uint64) (stored []byte, fault Kind, what string, err error) {
	path := TilePath(level, n, TileHashes)
	stored, err = src.Tile(level, n)
	switch {
	case err != nil:
		return nil, "", "", fmt.Errorf("reading %s: %w", path, err)
	case stored == nil:
		return nil, TileMissing, fmt.Sprintf("%s is not stored, though all its entries are there", path), nil
	case len(stored) != TileSize:
		return nil, TileDiffers, fmt.Sprintf("%s has %d bytes instead of %d", path, len(stored), TileSize), nil
	}
	return stored, "", "", nil
}

func (b *block) mark(i int, m mark) {
	b.marks[i] |= m
	b.odd = true
}
