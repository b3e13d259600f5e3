package chain

import (
	"fmt"
	"slices"
)

// blame turns what is odd about the entries and tiles into findings, sorted by
// index, one for an entry.
func (c *collector) blame() []Finding {
	found := slices.Clone(c.named)
	named := make(map[uint64]bool) // entries that a finding is about
	for _, f := range found {
		named[f.Index] = true
	}
	for i, b := range c.breaks {
		// A break that an entry explains of which it is already said that
		// it is wrong, tells nothing new.
		if b.index > 0 && b.before&isMalformed != 0 {
			continue
		}
		nextBroken := i+1 < len(c.breaks) && c.breaks[i+1].index == b.index+1
		f := c.blameOne(b, nextBroken)
		switch {
		case !named[f.Index]:
			named[f.Index] = true
			found = append(found, f)
		case f.Kind != ChainBroken:
			// What is proven replaces what was only likely.
			for i := range found {
				if found[i].Index == f.Index && found[i].Kind == ChainBroken {
					found[i] = f
				}
			}
		}
	}
	found = append(found, c.blameTiles(named)...)
	for _, f := range c.back {
		// A time that an altered entry gives says nothing of its neighbour.
		if !named[f.Index] && !named[f.Index-1] {
			found = append(found, f)
		}
	}
	found = append(found, c.extra...)
	for _, h := range c.higher {
		explained := slices.ContainsFunc(found, func(f Finding) bool {
			return h.from <= f.Index && f.Index < h.to
		})
		if !explained {
			found = append(found, h.Finding)
		}
	}
	return found
}

// blameOne says which entry is wrong where a link is broken.
func (c *collector) blameOne(b linkBreak, nextBroken bool) Finding {
	i := b.index
	altered := func(at uint64, why string) Finding {
		return Finding{EntryAltered, at, fmt.Sprintf("entry %d is not the one that was logged in its place: %s", at, why)}
	}
	broken := func(at uint64, why string) Finding {
		return Finding{ChainBroken, at, fmt.Sprintf("entry %d does not link to entry %d: %s", i, i-1, why)}
	}
	switch {
	case i == 0:
		return altered(0, "it links to another entry before it, and the first entry has none")
	case b.before&isOffTile != 0:
		return altered(i-1, "the stored tile and the next entry have another leaf hash for it")
	case b.this&isOffTile != 0:
		return altered(i, "the stored tile has another leaf hash for it, and it does not link to the entry before")
	case b.twin:
		return altered(i, "it repeats the entry before")
	case c.fits(i-1, func(tail []Hash, at int) []Hash { tail[at] = b.prev; return tail }):
		return altered(i-1, "the next entry has another leaf hash for it, with which the log has the root of its checkpoint")
	case c.fits(i, func(tail []Hash, at int) []Hash { return slices.Insert(tail, at, b.prev) }):
		return Finding{EntryMissing, i, fmt.Sprintf("an entry that was logged between entries %d and %d is gone", i-1, i)}
	case b.before&isOnTile != 0 && b.this&isOnTile == 0:
		return altered(i, "it does not link to the entry before, which is the one in the stored tile")
	case nextBroken:
		return broken(i, "and the entry after it does not link to it either")
	case i+1 < c.size:
		return broken(i-1, "the later one is what its successor links to, so the earlier was altered, or entries between them are gone")
	}
	return broken(i, "nothing tells which of them is wrong")
}

// fits reports whether the log has the root of a good checkpoint once its tail,
// the leaves after its last full tile, is changed at entry index: who can
// name that hash knows what stood there.
func (c *collector) fits(index uint64, change func(tail []Hash, at int) []Hash) bool {
	start := c.size - uint64(len(c.tail))
	if index < start || index > c.size || len(c.tail) == 0 {
		return false
	}
	changed := change(slices.Clone(c.tail), int(index-start))
	return slices.ContainsFunc(c.heads, func(h *head) bool {
		return h.good && h.Size > index && h.Size-start <= uint64(len(changed)) && c.rootOver(changed[:h.Size-start]) == h.Root
	})
}

// blameTiles returns a finding for each tile of level 0 that differs where no
// entry is known to be wrong.
func (c *collector) blameTiles(named map[uint64]bool) []Finding {
	var found []Finding
	told := uint64(0) // entries below it are in tiles that have their finding
	for _, index := range c.off {
		if named[index] || index < told {
			continue
		}
		path := TilePath(0, index/TileHashes, TileHashes)
		if index == c.size-1 && c.lastIsAltered() {
			named[index] = true
			found = append(found, Finding{EntryAltered, index, fmt.Sprintf("entry %d is not the one that was logged in its place: %s and the checkpoint say otherwise", index, path)})
			continue
		}
		told = (index/TileHashes + 1) * TileHashes
		found = append(found, Finding{TileDiffers, index, fmt.Sprintf("%s has another leaf hash for entry %d than the entry, whose neighbours are linked to it", path, index)})
	}
	return found
}

// lastIsAltered reports whether a good checkpoint of all entries, to which no
// later entry could link, says that they are not those that were logged.
func (c *collector) lastIsAltered() bool {
	return slices.ContainsFunc(c.heads, func(h *head) bool {
		return h.good && h.Size == c.size && h.computed != h.Root
	})
}
