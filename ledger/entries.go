package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/ledger/tagindex"
)

func indexOf(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// perView bounds how much one read transaction does, because a writer that must grow the database
// waits for every open one.
const perView = 4096

// eachEntry reports the entries from one index up to another, in order. The bytes are valid only
// inside f, which must not wait for anything.
func (l *Ledger) eachEntry(from, to uint64, f func(index uint64, entry []byte) error) error {
	for from < to {
		end := min(from+perView, to)
		err := l.o.Store.View(func(r store.Reader) error {
			return r.Scan(mapEntries, indexKey(from), indexKey(end), func(k, v []byte) error {
				if i := indexOf(k); i != from {
					return fmt.Errorf("%w: entry %d is missing", ErrCorrupt, from)
				}
				from++
				return f(from-1, v)
			})
		})
		if err != nil {
			return err
		}
		if from != end {
			return fmt.Errorf("%w: entry %d is missing", ErrCorrupt, from)
		}
	}
	return nil
}

func (l *Ledger) eachTag(from, to uint64, f func(uint64, tagindex.Tag) error) error {
	return l.eachEntry(from, to, func(i uint64, entry []byte) error {
		if len(entry) < chain.MinEntry {
			return fmt.Errorf("%w: entry %d is too short", ErrCorrupt, i)
		}
		return f(i, tagindex.Tag(entry[chain.HeaderSize:]))
	})
}

// entry returns a copy of one entry.
func (l *Ledger) entry(index uint64) ([]byte, error) {
	out, err := l.entries([]uint64{index})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// entries returns copies of some entries, read in one view.
func (l *Ledger) entries(indexes []uint64) ([][]byte, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	out := make([][]byte, len(indexes))
	err := l.o.Store.View(func(r store.Reader) error {
		for i, index := range indexes {
			b, err := r.Get(mapEntries, indexKey(index))
			if err != nil {
				return err
			}
			if b == nil {
				return fmt.Errorf("%w: entry %d is missing", ErrCorrupt, index)
			}
			out[i] = append([]byte(nil), b...)
		}
		return nil
	})
	return out, err
}

// tile answers what a tree is restored or proved from: stored full tiles, and for the right edge
// of level 0 the hashes of the entries themselves.
func (l *Ledger) tile(level int, n uint64, width int) ([]byte, error) {
	if width == chain.TileHashes {
		return l.appendTile(nil, level, n, width)
	}
	if level != 0 {
		return nil, fmt.Errorf("no partial tile of level %d is stored", level)
	}
	data := make([]byte, 0, width*32)
	err := l.eachEntry(n*256, n*256+uint64(width), func(_ uint64, entry []byte) error {
		h := chain.LeafHash(entry)
		data = append(data, h[:]...)
		return nil
	})
	return data, err
}

// appendTile appends the first width hashes of a stored tile.
func (l *Ledger) appendTile(dst []byte, level int, n uint64, width int) ([]byte, error) {
	err := l.o.Store.View(func(r store.Reader) error {
		b, err := r.Get(mapTiles, tileKey(level, n))
		if err != nil {
			return err
		}
		if len(b) != chain.TileSize {
			return fmt.Errorf("%w: tile %s has %d bytes", ErrCorrupt, chain.TilePath(level, n, chain.TileHashes), len(b))
		}
		dst = append(dst, b[:width*chain.HashSize]...)
		return nil
	})
	return dst, err
}

func (l *Ledger) restoreTree(size uint64) (*chain.Tree, error) {
	t, err := chain.RestoreTree(size, l.tile)
	if err != nil {
		return nil, fmt.Errorf("restore the tree: %w", err)
	}
	return t, nil
}

// Entry returns one entry as it is stored, with its proof of inclusion in a published checkpoint.
// Anybody may have it: without the member's key it says only when and how large.
func (l *Ledger) Entry(ctx context.Context, who Caller, index uint64) (EntryProof, error) {
	if !who.May(ActLog) {
		return EntryProof{}, ErrForbidden
	}
	if index >= l.size.Load() {
		return EntryProof{}, ErrUnknownEntry
	}
	head := l.published.Load()
	if head == nil || index >= head.size {
		if err := l.publish(index + 1); err != nil {
			return EntryProof{}, err
		}
		head = l.published.Load()
	}
	raw, err := l.entry(index)
	if err != nil {
		return EntryProof{}, err
	}
	p := EntryProof{Index: index, Entry: raw, LeafHash: chain.LeafHash(raw), Checkpoint: l.cosignedNote(head)}
	proof, err := tlog.ProveRecord(int64(head.size), int64(index), head.tree)
	if err != nil {
		return EntryProof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	for _, h := range proof {
		p.Proof = append(p.Proof, [32]byte(h))
	}
	return p, nil
}

// LogEntries returns up to limit entries from an index on, for verifying beside a running ledger.
func (l *Ledger) LogEntries(from uint64, limit int) ([][]byte, error) {
	size := l.size.Load()
	if from >= size || limit <= 0 {
		return nil, nil
	}
	to := min(from+uint64(min(limit, perView)), size)
	out := make([][]byte, 0, to-from)
	err := l.eachEntry(from, to, func(_ uint64, entry []byte) error {
		out = append(out, append([]byte(nil), entry...))
		return nil
	})
	return out, err
}

// LogTile returns one full tile as it is stored, nil if it is not there.
func (l *Ledger) LogTile(level int, n uint64) ([]byte, error) {
	var data []byte
	err := l.o.Store.View(func(r store.Reader) error {
		b, err := r.Get(mapTiles, tileKey(level, n))
		data = append(data, b...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read tile %s: %w", chain.TilePath(level, n, 256), err)
	}
	return data, nil
}
