package chain

import (
	"bytes"
	"fmt"
	"slices"
)

// maxKept bounds what a collector keeps of each sort of oddity. It is above
// MaxFindings because several oddities can come to one finding, and what
// comes later in the log is reported later, so nothing that is cut could have
// stood in the report.
const maxKept = 4 * MaxFindings

// A collector takes the blocks in their order, builds the tree above them, and
// keeps what is odd until all is known that tells what it means.
type collector struct {
	src   Source
	size  uint64
	from  uint64 // the first entry that is read
	heads []*head

	// above is the tree over the roots of the full blocks: its leaves are
	// the hashes of tile level 1.
	above Tree
	tail  []Hash // the leaves of the last block if it is not full
	tiles uint64 // stored tiles compared

	lastLeaf            Hash
	lastMark            mark
	parsed              bool
	firstTime, lastTime int64

	named     []Finding // entries that are missing or do not parse
	missingTo uint64    // where the run of missing entries ends that is last in named
	breaks    []linkBreak
	back      []Finding
	off       []uint64 // entries whose leaf hash is not the one in the stored tile
	higher    []higherTile
	extra     []Finding
}

// linkBreak is an entry that does not link to the one before.
type linkBreak struct {
	index        uint64
	prev         Hash // what it links to
	before, this mark // of the two entries
	twin         bool // the two entries are the same
}

// higherTile is a finding about a stored tile above level 0. It is dropped if
// something is wrong with the entries from..to-1, which explains it.
type higherTile struct {
	Finding
	from, to uint64
}

func newCollector(src Source, size uint64, heads []*head) *collector {
	return &collector{src: src, size: size, heads: heads}
}

// start begins behind what was verified before.
func (c *collector) start(s Start) error {
	if s.Size%TileHashes != 0 || s.Size > c.size {
		return fmt.Errorf("a start of %d entries: it must be a multiple of %d and no more than the %d of the log", s.Size, TileHashes, c.size)
	}
	if s.Size == 0 {
		return nil
	}
	if len(s.Edges) == 0 || len(s.Edges[0]) > 0 {
		return fmt.Errorf("a start of %d entries: no entry is right of its last full tile", s.Size)
	}
	edges := slices.Clone(s.Edges[1:])
	for i := range edges {
		edges[i] = slices.Clip(edges[i]) // the tree writes behind them
	}
	above, err := restoreTree(s.Size/TileHashes, edges)
	if err != nil {
		return err
	}
	c.from, c.above = s.Size, *above
	c.lastMark = isMissing // nothing is said of the link to what is not read
	for _, h := range c.heads {
		switch {
		case !h.good || h.Size > s.Size || h.Size == 0:
		case h.Size == s.Size:
			h.computed = c.above.Root()
		default:
			ok, err := s.Continues(h.Checkpoint)
			if err != nil {
				return err
			}
			if ok {
				h.computed = h.Root
			}
		}
	}
	return nil
}

func keep[T any](list []T, t T) []T {
	if len(list) >= maxKept {
		return list
	}
	return append(list, t)
}

// take takes the next block.
func (c *collector) take(b *block) error {
	c.seam(b)
	if b.odd {
		c.oddities(b)
	}
	for _, h := range c.heads {
		if h.good && h.Size > b.first() && h.Size <= b.first()+uint64(b.count) {
			h.computed = c.rootOver(b.leaves[:h.Size-b.first()])
		}
	}
	c.lastLeaf, c.lastMark = b.leaves[b.count-1], b.marks[b.count-1]
	if b.parsed {
		if !c.parsed {
			c.parsed, c.firstTime = true, b.firstTime
		}
		c.lastTime = b.lastTime
	}
	if b.count < TileHashes {
		c.tail = slices.Clone(b.leaves[:b.count])
		return nil
	}
	if b.tileFault == "" {
		c.tiles++
	}
	c.above.Append(b.root)
	var err error
	c.above.TakeFullTiles(func(level int, n uint64, data []byte) {
		if err == nil {
			err = c.compareHigher(level+1, n, data)
		}
	})
	return err
}

// seam checks what links a block to the one before.
func (c *collector) seam(b *block) {
	if b.marks[0]&(isMissing|isMalformed) == 0 && (b.n == 0 || c.lastMark&isMissing == 0) && b.prev != c.lastLeaf {
		b.mark(0, isUnlinked)
		b.prevs = slices.Insert(b.prevs, 0, b.prev)
	}
	if b.parsed && c.parsed && b.firstTime < c.lastTime {
		b.mark(b.firstParsed, isBack)
	}
}

// oddities keeps what is odd about a block.
func (c *collector) oddities(b *block) {
	if b.tileFault != "" {
		c.extra = keep(c.extra, Finding{b.tileFault, b.first(), b.tileWhat})
	}
	before, leafBefore := c.lastMark, c.lastLeaf
	prevs, malformed, offTold := b.prevs, b.malformed, false
	for i, m := range b.marks[:b.count] {
		index := b.first() + uint64(i)
		if m&isMissing != 0 {
			c.missing(index)
		}
		if m&isMalformed != 0 {
			c.named = keep(c.named, Finding{EntryMalformed, index, fmt.Sprintf("entry %d: %v", index, malformed[0])})
			malformed = malformed[1:]
		}
		if m&isUnlinked != 0 {
			c.breaks = keep(c.breaks, linkBreak{index, prevs[0], before, m, index > 0 && b.leaves[i] == leafBefore})
			prevs = prevs[1:]
		}
		if m&isBack != 0 {
			c.back = keep(c.back, Finding{TimeWentBack, index, fmt.Sprintf("entry %d was recorded before the entry before it", index)})
		}
		if m&isOffTile != 0 && m&isMalformed == 0 && (!offTold || i == TileHashes-1) {
			c.off = keep(c.off, index)
			// Of those that no broken link explains one is enough; the last
			// may yet be explained by the next block.
			offTold = m&isUnlinked == 0 && i+1 < b.count && b.marks[i+1]&isUnlinked == 0
		}
		before, leafBefore = m, b.leaves[i]
	}
}

// missing keeps a run of missing entries as one finding.
func (c *collector) missing(index uint64) {
	if n := len(c.named); n > 0 {
		if f := &c.named[n-1]; f.Kind == EntryMissing && c.missingTo == index {
			c.missingTo++
			f.What = fmt.Sprintf("entries %d to %d are not there", f.Index, index)
			return
		}
	}
	c.missingTo = index + 1
	c.named = keep(c.named, Finding{EntryMissing, index, fmt.Sprintf("entry %d is not there", index)})
}

// compareHigher compares a tile above level 0 with the stored one.
func (c *collector) compareHigher(level int, n uint64, data []byte) error {
	stored, fault, what, err := readStored(c.src, level, n)
	if err != nil {
		return err
	}
	span := uint64(1) << (tileHeight * level) // entries that a hash covers
	from := n * TileHashes * span
	if fault != "" {
		c.extra = keep(c.extra, Finding{fault, from, what})
		return nil
	}
	c.tiles++
	if bytes.Equal(stored, data) {
		return nil
	}
	for i := range TileHashes {
		if at := i * HashSize; !bytes.Equal(stored[at:at+HashSize], data[at:at+HashSize]) {
			index := from + uint64(i)*span
			what := fmt.Sprintf("%s: hash %d is not the one that the entries from %d to %d give", TilePath(level, n, TileHashes), i, index, index+span-1)
			c.higher = keep(c.higher, higherTile{Finding{TileDiffers, index, what}, index, index + span})
		}
	}
	return nil
}

// beyond looks for a full tile that only a longer log can have.
func (c *collector) beyond() error {
	n := c.size / TileHashes
	stored, err := c.src.Tile(0, n)
	if err != nil {
		return fmt.Errorf("reading %s: %w", TilePath(0, n, TileHashes), err)
	}
	if stored == nil {
		return nil
	}
	// Unless the log grew that long meanwhile.
	size, err := c.src.Size()
	if err != nil {
		return fmt.Errorf("reading the log's size: %w", err)
	}
	if size < (n+1)*TileHashes {
		c.extra = keep(c.extra, Finding{Truncated, size, fmt.Sprintf("truncated: a full %s is stored, which covers %d entries; the log has %d", TilePath(0, n, TileHashes), (n+1)*TileHashes, size)})
	}
	return nil
}

// rootOver returns the root of the full blocks taken so far and, right of
// them, these leaves, at least one.
func (c *collector) rootOver(leaves []Hash) Hash {
	return c.above.fold(0, subtreeRoot(leaves, make([]Hash, 0, len(leaves))))
}

// root returns the root of the whole log, when all blocks are taken.
func (c *collector) root() Hash {
	if len(c.tail) > 0 {
		return c.rootOver(c.tail)
	}
	return c.above.Root()
}

// edges returns the right edges of the tile levels, when all blocks are taken.
func (c *collector) edges() [][]byte {
	edges := [][]byte{bytesOf(nil, c.tail)}
	for level := 1; level < levels(c.size); level++ {
		edges = append(edges, c.above.Partial(level-1))
	}
	return edges
}
