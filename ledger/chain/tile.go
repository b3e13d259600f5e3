package chain

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// tileFunc answers for the hashes n*256 … n*256+width-1 of a tile level.
type tileFunc = func(level int, n uint64, width int) ([]byte, error)

// askTile asks for a tile and checks its length.
func askTile(tile tileFunc, level int, n uint64, width int) ([]byte, error) {
	b, err := tile(level, n, width)
	if err != nil {
		return nil, fmt.Errorf("tile %s: %w", TilePath(level, n, width), err)
	}
	if len(b) != width*HashSize {
		return nil, fmt.Errorf("tile %s: has %d bytes instead of %d; rebuild it from the entries", TilePath(level, n, width), len(b), width*HashSize)
	}
	return b, nil
}

// ReadTile returns the first width hashes of a tile, as they are served:
// width*HashSize bytes. It asks tile for the tile itself if it is full (width
// 256) or of level 0, and otherwise, for the partial tile (level, n, width),
// for the full tiles n*256 … n*256+width-1 of the level below, whose roots its
// hashes are. So a log that stores full tiles only, and hashes its last
// entries for level 0, can serve them all. Errors of tile are returned,
// wrapped; a tile of another length is one. It panics unless width is 1–256
// and level 0–63.
func ReadTile(level int, n uint64, width int, tile func(level int, n uint64, width int) ([]byte, error)) ([]byte, error) {
	if level == 0 || width == TileHashes {
		return askTile(tile, level, n, width)
	}
	_ = TilePath(level, n, width) // panics
	hashes := make([]byte, 0, width*HashSize)
	scratch := make([]Hash, 0, TileHashes)
	for i := range uint64(width) {
		b, err := askTile(tile, level-1, n*TileHashes+i, TileHashes)
		if err != nil {
			return nil, err
		}
		root := perfectRoot(hashesOf(scratch[:0], b))
		hashes = append(hashes, root[:]...)
	}
	return hashes, nil
}

// readEdge returns the hashes at the right edge of a tile level, those that
// follow its last full tile: size/256^level mod 256.
func readEdge(size uint64, level int, tile tileFunc) ([]Hash, error) {
	at := size >> (tileHeight * level)
	width := int(at % TileHashes)
	if width == 0 {
		return nil, nil
	}
	b, err := ReadTile(level, at/TileHashes, width, tile)
	if err != nil {
		return nil, err
	}
	return hashesOf(make([]Hash, 0, width), b), nil
}

// TileReader reads the tree of the given size from its tiles, for
// tlog.ProveRecord, tlog.ProveTree and tlog.TreeHash at that size or, as long
// as the tiles are those of the same log, any smaller one. The size need not
// be the newest: an older one is answered as it was then.
//
// It asks tile for full tiles of any level (width 256) that are full at that
// size, and for level 0 with n = size/256, width = size%256: the same rule as
// RestoreTree's, so the caller stores full tiles only. The right edge of a
// higher level is worked out from the full tiles below, once, and kept, so
// one reader for each published head serves many proofs cheaply; full tiles
// are asked for again in each call. Errors of tile are returned, wrapped.
// It is safe for concurrent use if tile is.
func TileReader(size uint64, tile func(level int, n uint64, width int) ([]byte, error)) tlog.HashReader {
	return &tileReader{size: size, tile: tile}
}

// TileReader returns a reader of the tree as it is now, as the function
// TileReader does, but with the right edges taken from t: tile is asked for
// full tiles only. What is appended to t later does not show in it.
func (t *Tree) TileReader(tile func(level int, n uint64, width int) ([]byte, error)) tlog.HashReader {
	return EdgeReader(t.size, t.edges, tile)
}

// EdgeReader is TileReader with the right edges, as Tree.Edges gave them when
// the tree had that size: tile is asked for full tiles only.
func EdgeReader(size uint64, edges [][]byte, tile func(level int, n uint64, width int) ([]byte, error)) tlog.HashReader {
	r := &tileReader{size: size, tile: tile}
	for level, edge := range edges {
		r.edges[level] = hashesOf(make([]Hash, 0, len(edge)/HashSize), edge)
	}
	return r
}

type tileReader struct {
	size uint64
	tile tileFunc

	mu    sync.Mutex
	edges [64/tileHeight + 1][]Hash // nil: not yet read
}

type tileKey struct {
	level int
	n     uint64
}

// ReadHashes implements tlog.HashReader.
func (r *tileReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	asked := make(map[tileKey][]byte, 8) // full tiles, for this call
	hashes := make([]tlog.Hash, len(indexes))
	var scratch [TileHashes]Hash
	for i, index := range indexes {
		if index < 0 {
			return nil, fmt.Errorf("reading the tree: stored hash index %d is negative", index)
		}
		level, at := tlog.SplitStoredHashIndex(index)
		// The subtree of 2^level leaves is made of count hashes of a tile.
		l, count := level/tileHeight, uint64(1)<<(level%tileHeight)
		first := uint64(at) * count
		if r.size>>(tileHeight*l) < first+count {
			return nil, fmt.Errorf("reading the tree: node %d of level %d is not in a tree of size %d", at, level, r.size)
		}
		n, offset := first/TileHashes, first%TileHashes
		part := scratch[:0]
		if n < r.size>>(tileHeight*l)/TileHashes {
			key := tileKey{l, n}
			b, ok := asked[key]
			if !ok {
				var err error
				if b, err = askTile(r.tile, l, n, TileHashes); err != nil {
					return nil, fmt.Errorf("reading the tree: %w", err)
				}
				b = slices.Clone(b) // tile's answer is good until it is asked again
				asked[key] = b
			}
			part = hashesOf(part, b[offset*HashSize:(offset+count)*HashSize])
		} else {
			edge, err := r.edge(l)
			if err != nil {
				return nil, fmt.Errorf("reading the tree: %w", err)
			}
			part = append(part, edge[offset:offset+count]...)
		}
		hashes[i] = tlog.Hash(perfectRoot(part))
	}
	return hashes, nil
}

func (r *tileReader) edge(level int) ([]Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.edges[level] == nil {
		edge, err := readEdge(r.size, level, r.tile)
		if err != nil {
			return nil, err
		}
		r.edges[level] = edge
	}
	return r.edges[level], nil
}
