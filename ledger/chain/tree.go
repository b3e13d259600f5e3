package chain

import (
	"fmt"
	"math/bits"
	"slices"
)

const (
	// TileHashes is the number of hashes in a full tile.
	TileHashes = 256
	// TileSize is the size of a full tile in bytes.
	TileSize = TileHashes * HashSize

	tileHeight = 8
	// maxSize bounds the size of a tree: other tools count in int64.
	maxSize = 1<<63 - 1
)

// Tree is the growing edge of an RFC 6962 Merkle tree: enough to append, to
// give the root, and to cut full tiles, in memory that grows with the
// logarithm of the size. Appending costs one leaf's share of node hashes,
// about one. The zero Tree is the empty tree. Not for concurrent use.
type Tree struct {
	size uint64
	// frontier[k] is the root of the perfect subtree of 2^k leaves that ends
	// the tree's right edge, and is meaningful where bit k of size is set.
	frontier [64]Hash
	// edges[l] are the hashes of tile level l (of subtrees of 256^l leaves)
	// since its last full tile.
	edges [][]byte
	full  []fullTile
}

type fullTile struct {
	level int
	n     uint64
	data  []byte
}

// NewTree returns the empty tree.
func NewTree() *Tree { return new(Tree) }

// RestoreTree rebuilds the tree of the given size from stored tiles. It asks
// tile for exactly these, width hashes each (width*HashSize bytes):
//
//   - level 0, the right edge: n = size/256, width = size%256, if that is not 0;
//   - for each level l ≥ 1, with w = floor(size/256^l) mod 256: the last w full
//     tiles of level l-1, n = floor(size/256^(l+1))*256 … +w-1, width 256,
//     whose roots are the right edge of level l.
//
// So the caller stores full tiles only, and answers for level 0 by hashing
// the last entries. It checks lengths, not content: compare Root with a head
// that is known to be right. An error of tile is returned, wrapped.
func RestoreTree(size uint64, tile func(level int, n uint64, width int) ([]byte, error)) (*Tree, error) {
	if size > maxSize {
		return nil, fmt.Errorf("restoring the tree: size is %d, the largest is %d", size, uint64(maxSize))
	}
	var edges [][]byte
	for level := 0; level < levels(size); level++ {
		edge, err := readEdge(size, level, tile)
		if err != nil {
			return nil, fmt.Errorf("restoring the tree: %w", err)
		}
		edges = append(edges, bytesOf(make([]byte, 0, TileSize), edge))
	}
	return restoreTree(size, edges)
}

// levels returns how many tile levels a tree has hashes on, at least one.
func levels(size uint64) int {
	n := 1
	for n <= 63/tileHeight && size>>(tileHeight*n) > 0 {
		n++
	}
	return n
}

// restoreTree rebuilds a tree from the right edges of its tile levels, which it
// keeps. Like RestoreTree it checks lengths, not content.
func restoreTree(size uint64, edges [][]byte) (*Tree, error) {
	if len(edges) != levels(size) {
		return nil, fmt.Errorf("restoring the tree: of size %d it has %d levels of tiles, and %d right edges are given", size, levels(size), len(edges))
	}
	t := &Tree{size: size, edges: edges}
	for level, b := range edges {
		width := int(size >> (tileHeight * level) % TileHashes)
		if len(b) != width*HashSize {
			return nil, fmt.Errorf("restoring the tree: the right edge of level %d has %d bytes instead of %d", level, len(b), width*HashSize)
		}
		edge := hashesOf(make([]Hash, 0, width), b)
		// The edge's perfect subtrees, largest first, are this level's part
		// of the frontier.
		for k := tileHeight - 1; k >= 0; k-- {
			if n := 1 << k; width&n != 0 {
				at := width &^ (2*n - 1)
				t.frontier[tileHeight*level+k] = perfectRoot(slices.Clone(edge[at : at+n]))
			}
		}
	}
	return t, nil
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Append appends a leaf, as LeafHash gives it.
func (t *Tree) Append(leaf Hash) {
	if t.size == maxSize {
		panic("chain: the tree is full") // at 2^63 leaves; nothing can get here
	}
	t.push(0, &leaf)
	// Each trailing one bit of the size is a perfect subtree that the new
	// leaf completes to one of twice the size.
	node := leaf
	k := 0
	for ; t.size>>k&1 == 1; k++ {
		node = nodeHash(&t.frontier[k], &node)
		if (k+1)%tileHeight == 0 {
			t.push((k+1)/tileHeight, &node)
		}
	}
	t.frontier[k] = node
	t.size++
}

// push adds a hash to the right edge of a tile level.
func (t *Tree) push(level int, h *Hash) {
	if level == len(t.edges) {
		t.edges = append(t.edges, nil)
	}
	edge := t.edges[level]
	if cap(edge) < TileSize { // there is none yet, or it is a clone's
		edge = append(make([]byte, 0, TileSize), edge...)
	}
	edge = append(edge, h[:]...)
	if len(edge) == TileSize {
		// t.size is not yet counted up, so the tile in which its last leaf
		// stands is the one that this hash completes.
		t.full = append(t.full, fullTile{level, t.size >> (tileHeight * (level + 1)), edge})
		edge = nil
	}
	t.edges[level] = edge
}

// Root returns the root of the tree: SHA-256 of nothing if it is empty.
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return emptyRoot()
	}
	k := bits.TrailingZeros64(t.size)
	return t.fold(k+1, t.frontier[k])
}

// fold returns the root of the tree whose right edge, all that is below the
// frontier's bit k, has the root right.
func (t *Tree) fold(k int, right Hash) Hash {
	for ; t.size>>k != 0; k++ {
		if t.size>>k&1 == 1 {
			right = nodeHash(&t.frontier[k], &right)
		}
	}
	return right
}

// Clone returns an independent copy, with the full tiles not yet taken. It is
// cheap: an edge is copied only when the copy appends to it.
func (t *Tree) Clone() *Tree {
	c := *t
	c.full = slices.Clone(t.full)
	c.edges = slices.Clone(t.edges)
	for i, edge := range c.edges {
		c.edges[i] = slices.Clip(edge) // what t appends is beyond the clone's view
	}
	return &c
}

// TakeFullTiles calls f for each tile that became full since the last call, in
// the order in which they did: a level's tiles ascend, and a tile comes after
// those below it. data is TileSize bytes; f may keep it, and not change it.
func (t *Tree) TakeFullTiles(f func(level int, n uint64, data []byte)) {
	for _, tile := range t.full {
		f(tile.level, tile.n, tile.data)
	}
	clear(t.full)
	t.full = t.full[:0]
}

// Edges returns the hashes at the right edge of each tile level, as Partial does, of all levels that
// the tree has. They are not copied: they stay as they are while the tree grows, and nobody may change
// them.
func (t *Tree) Edges() [][]byte {
	edges := slices.Clone(t.edges)
	for i, edge := range edges {
		edges[i] = slices.Clip(edge) // what t appends is beyond it
	}
	return edges
}

// Partial returns a copy of the hashes at the right edge of a tile level,
// those that follow its last full tile: floor(size/256^level) mod 256 of
// them, nil if there are none.
func (t *Tree) Partial(level int) []byte {
	if level < 0 || level >= len(t.edges) || len(t.edges[level]) == 0 {
		return nil
	}
	return slices.Clone(t.edges[level])
}
