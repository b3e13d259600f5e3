// Package tilestest serves a log as C2SP tlog-tiles from a chain.Source, for
// tests of those who read logs: plainly, and with whatever a test puts in the
// place of an answer, which no honest server can show.
package tilestest

import (
	"errors"
	"math/rand/v2"
	"net/http"

	"consentledger/ledger/chain"
)

var errEnough = errors.New("enough")

// Handler serves a log.
func Handler(src chain.Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := answer(src, r.URL.Path[1:])
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case b == nil:
			http.NotFound(w, r)
		default:
			kind := "application/octet-stream"
			if r.URL.Path == "/checkpoint" {
				kind = "text/plain; charset=utf-8"
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(b)
		}
	})
}

func answer(src chain.Source, path string) ([]byte, error) {
	if path == "checkpoint" {
		return src.Checkpoint()
	}
	size, err := src.Size()
	if err != nil {
		return nil, err
	}
	if n, width, err := chain.ParseEntriesPath(path); err == nil {
		if n*chain.TileHashes+uint64(width) > size {
			return nil, nil
		}
		b := make([]byte, 0, width*(chain.MinEntry+256))
		err := entries(src, n, width, func(e []byte) { b = chain.AppendBundled(b, e) })
		return b, err
	}
	level, n, width, err := chain.ParseTilePath(path)
	if err != nil || n*chain.TileHashes+uint64(width) > size>>(8*level) {
		return nil, nil
	}
	return chain.ReadTile(level, n, width, func(level int, n uint64, width int) ([]byte, error) {
		if width == chain.TileHashes {
			return src.Tile(level, n)
		}
		var b []byte
		err := entries(src, n, width, func(e []byte) {
			h := chain.LeafHash(e)
			b = append(b, h[:]...)
		})
		return b, err
	})
}

func entries(src chain.Source, n uint64, width int, f func(e []byte)) error {
	err := src.Entries(n*chain.TileHashes, func(_ uint64, e []byte) error {
		if width == 0 {
			return errEnough
		}
		f(e)
		width--
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Log is a log in memory: a chain.Source.
type Log struct {
	All   [][]byte
	Tiles map[string][]byte
	Head  []byte
}

// New makes a log of n entries that look real, signed with a seed. Another
// salt makes another history.
func New(n int, origin string, seed [32]byte, salt uint64) (*Log, error) {
	l := &Log{Tiles: map[string][]byte{}}
	rnd := rand.New(rand.NewPCG(salt, uint64(n)))
	tree := chain.NewTree()
	var prev chain.Hash
	for i := range n {
		e := chain.AppendHeader(nil)
		for range chain.MinEntry - chain.HeaderSize {
			e = append(e, byte(rnd.Uint32()))
		}
		chain.Complete(e, 1_700_000_000_000+int64(i), prev)
		prev = chain.LeafHash(e)
		tree.Append(prev)
		l.All = append(l.All, e)
	}
	tree.TakeFullTiles(func(level int, n uint64, data []byte) {
		l.Tiles[chain.TilePath(level, n, chain.TileHashes)] = data
	})
	signer, _, err := chain.NewSigner(origin, seed)
	if err != nil {
		return nil, err
	}
	l.Head, err = chain.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()}.Sign(signer)
	return l, err
}

// Prefix is the log as it was with its first n entries.
func (l *Log) Prefix(n int, origin string, seed [32]byte) (*Log, error) {
	tree := chain.NewTree()
	for _, e := range l.All[:n] {
		tree.Append(chain.LeafHash(e))
	}
	signer, _, err := chain.NewSigner(origin, seed)
	if err != nil {
		return nil, err
	}
	head, err := chain.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()}.Sign(signer)
	return &Log{All: l.All[:n], Tiles: l.Tiles, Head: head}, err
}

// Size implements chain.Source.
func (l *Log) Size() (uint64, error) { return uint64(len(l.All)), nil }

// Checkpoint implements chain.Source.
func (l *Log) Checkpoint() ([]byte, error) { return l.Head, nil }

// Tile implements chain.Source.
func (l *Log) Tile(level int, n uint64) ([]byte, error) {
	return l.Tiles[chain.TilePath(level, n, chain.TileHashes)], nil
}

// Entries implements chain.Source.
func (l *Log) Entries(from uint64, f func(index uint64, entry []byte) error) error {
	for i := from; i < uint64(len(l.All)); i++ {
		if err := f(i, l.All[i]); err != nil {
			return err
		}
	}
	return nil
}
