package remote

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
)

// ErrNoStart says that the log's tiles do not show that it continues a head: it
// does not, or they are not there or wrong. Who wants to know reads all of it.
var ErrNoStart = errors.New("the log's tiles do not show that it continues the head")

// maxStart keeps the numbers that golang.org/x/mod gives to hashes in an int64.
const maxStart = 1 << 61

// Start returns where a check can begin of a log of which all was verified
// before, up to a head: at the tile that the head's last entry is in, so that
// the entries read tie what follows to that head. It reads the few tiles that
// lead there, and takes only what has the head's root hash; nil if nothing can
// be left out. The error is ErrNoStart or says that the log could not be read.
func (l *Log) Start(head chain.Checkpoint) (*chain.Start, error) {
	if head.Size > l.size || head.Size > maxStart {
		return nil, fmt.Errorf("%w: it has %d entries of %d", ErrNoStart, l.size, head.Size)
	}
	if head.Size == 0 {
		return nil, nil
	}
	s := &chain.Start{Size: (head.Size - 1) &^ (chain.TileHashes - 1)}
	if s.Size == 0 {
		return nil, nil
	}
	var indexes []int64
	var levels []int // of indexes
	for level := 1; s.Size>>(8*level) > 0; level++ {
		at := s.Size >> (8 * level)
		for n := at &^ (chain.TileHashes - 1); n < at; n++ {
			indexes, levels = append(indexes, tlog.StoredHashIndex(8*level, int64(n))), append(levels, level)
		}
	}
	tiles := &headTiles{log: l}
	reader := tlog.TileHashReader(tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Root)}, tiles)
	hashes, err := reader.ReadHashes(indexes)
	if err != nil {
		return nil, tiles.error(err)
	}
	s.Edges = [][]byte{nil}
	for i, h := range hashes {
		for len(s.Edges) <= levels[i] {
			s.Edges = append(s.Edges, nil)
		}
		s.Edges[levels[i]] = append(s.Edges[levels[i]], h[:]...)
	}
	s.Continues = func(older chain.Checkpoint) (bool, error) {
		if older.Size > head.Size || older.Size == 0 {
			return false, nil
		}
		proof, err := tlog.ProveTree(int64(head.Size), int64(older.Size), reader)
		if err != nil {
			if err = tiles.error(err); errors.Is(err, ErrNoStart) {
				return false, nil
			}
			return false, err
		}
		hashes := make([]chain.Hash, len(proof))
		for i, h := range proof {
			hashes[i] = chain.Hash(h)
		}
		return chain.CheckConsistency(older, head, hashes) == nil, nil
	}
	return s, nil
}

// headTiles are the tiles of a head that the log has grown beyond. What they
// hold is for tlog to check.
type headTiles struct {
	log  *Log
	fail error // the log could not be read
}

// Height implements tlog.TileReader.
func (*headTiles) Height() int { return 8 }

// SaveTiles implements tlog.TileReader.
func (*headTiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (t *headTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		path, b, err := t.log.partial(tile.L, uint64(tile.N), tile.W)
		if errors.Is(err, errAbsent) {
			return nil, fmt.Errorf("%s is not there", path)
		}
		if err != nil {
			t.fail = err
			return nil, err
		}
		data[i] = b
	}
	return data, nil
}

// error is what to say of an error of tlog's.
func (t *headTiles) error(err error) error {
	if t.fail != nil {
		return t.fail
	}
	return fmt.Errorf("%w: %w", ErrNoStart, err)
}

// Again is the same log at the same head, of which nothing is known yet.
func (l *Log) Again() *Log {
	return &Log{ctx: l.ctx, client: l.client, base: l.base, pause: l.pause, authorization: l.authorization, checkpoint: l.checkpoint, origin: l.origin, size: l.size}
}
