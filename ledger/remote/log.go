// Package remote reads a log over HTTP as C2SP tlog-tiles has it, so that
// chain.Verify can check it. It knows no secret, and takes nothing that the
// server says for true: what is malformed is kept for the report, what is too
// long is cut, and what is too slow, too often broken or elsewhere is an error.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// Kinds of findings that only a log behind a server can have.
const (
	// BundleMalformed is an entry bundle that is not the entries it must be.
	BundleMalformed chain.Kind = "bundle_malformed"
	// NotServed ends the check of a log that leaves out too much.
	NotServed chain.Kind = "not_served"
)

// ErrNotServed says that the log does not serve the entries or tiles that its
// own checkpoint covers, so many that looking further is of no use.
var ErrNotServed = errors.New("the log does not serve what its checkpoint covers")

const (
	maxCheckpoint = 64 << 10
	maxBundle     = chain.TileHashes * (2 + chain.MaxEntry)
	// maxAbsent bounds how long a checkpoint of an absurd size is believed.
	maxAbsent = 4 * chain.MaxFindings
	maxKept   = chain.MaxFindings
)

// Log is a remote log at the size of the checkpoint that Open fetched. It is a
// chain.Source; what the log grows by later is not looked at.
type Log struct {
	ctx    context.Context
	client *http.Client
	base   string
	pause  time.Duration // before the second attempt

	checkpoint []byte
	origin     string
	size       uint64
	buffers    sync.Pool // of *[]byte, for bundles

	mu       sync.Mutex
	absent   int
	findings []chain.Finding
	// edge[l] are hashes of level l right of its last full tile: what the
	// partial tiles must hold. Those of level 0 come from the entries, those
	// above from full tiles that Verify compares with the entries.
	edge [9]map[uint64]chain.Hash
}

var _ chain.Source = (*Log)(nil)

// Open fetches the checkpoint of the log at a URL. The log can be read by so
// many goroutines at a time, until ctx ends.
func Open(ctx context.Context, rawURL string, connections int) (*Log, error) {
	base, err := parseBase(rawURL)
	if err != nil {
		return nil, err
	}
	l := &Log{ctx: ctx, client: newClient(connections), base: base, pause: firstPause}
	return l, l.fetchCheckpoint()
}

func (l *Log) fetchCheckpoint() error {
	b, err := l.get(l.ctx, "checkpoint", maxCheckpoint, nil)
	if errors.Is(err, errAbsent) {
		return fmt.Errorf("%w: there is no checkpoint at %scheckpoint: is this the log's URL, and is the log public?", ErrUnavailable, l.base)
	}
	if err != nil {
		return err
	}
	l.checkpoint = b
	claimed := Claims(b)
	l.origin, l.size = claimed.Origin, claimed.Size
	return nil
}

// Claims is what a checkpoint says, nothing if it is none: then Verify says so.
func Claims(msg []byte) chain.Checkpoint {
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(msg, note.VerifierList()); !errors.As(err, &unverified) {
		return chain.Checkpoint{}
	}
	c, err := chain.ParseForeignText(unverified.Note.Text)
	if err != nil {
		return chain.Checkpoint{}
	}
	return c
}

// Origin returns the name that the log gives itself.
func (l *Log) Origin() string { return l.origin }

// Close lets the connections go.
func (l *Log) Close() { l.client.CloseIdleConnections() }

// Size returns the size of the fetched checkpoint.
func (l *Log) Size() (uint64, error) { return l.size, nil }

// Checkpoint returns the fetched checkpoint.
func (l *Log) Checkpoint() ([]byte, error) { return l.checkpoint, nil }

// Entries implements chain.Source.
func (l *Log) Entries(from uint64, f func(index uint64, entry []byte) error) error {
	for n := from / chain.TileHashes; n*chain.TileHashes < l.size; n++ {
		if err := l.bundle(n, from, f); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) bundle(n, from uint64, f func(index uint64, entry []byte) error) error {
	buf, _ := l.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer l.buffers.Put(buf)
	first := n * chain.TileHashes
	width := int(min(chain.TileHashes, l.size-first))
	path, full := chain.EntriesPath(n, width), false
	b, err := l.get(l.ctx, path, maxBundle, *buf)
	if errors.Is(err, errAbsent) && width < chain.TileHashes {
		path, full = chain.EntriesPath(n, chain.TileHashes), true
		b, err = l.get(l.ctx, path, maxBundle, *buf)
	}
	if errors.Is(err, errAbsent) {
		return l.isAbsent()
	}
	if err != nil {
		return err
	}
	*buf = b
	entries, err := splitExactly(b, width, full)
	if err != nil {
		// The entries are then missing from the log, and this says why.
		l.find(chain.Finding{Kind: BundleMalformed, Index: first, What: fmt.Sprintf("%s: %v", path, err)})
		return l.isAbsent()
	}
	for i, e := range entries {
		index := first + uint64(i)
		if width < chain.TileHashes {
			l.keepEdge(0, index, chain.LeafHash(e))
		}
		if index < from {
			continue
		}
		if err := f(index, e); err != nil {
			return err
		}
	}
	return nil
}

// splitExactly returns the first width entries of a bundle that holds exactly
// these or, if it is the full one in place of a partial, 256.
func splitExactly(b []byte, width int, full bool) ([][]byte, error) {
	if len(b) > maxBundle {
		return nil, fmt.Errorf("entry bundle: is longer than %d bytes", maxBundle)
	}
	entries, err := chain.SplitBundle(b)
	if err != nil {
		return nil, err
	}
	want := width
	if full {
		want = chain.TileHashes
	}
	if len(entries) != want {
		return nil, fmt.Errorf("entry bundle: has %d entries instead of %d", len(entries), want)
	}
	return entries[:width], nil
}

// Tile implements chain.Source. A tile that is not full at the size of the
// checkpoint is left out: a log may publish tiles before the checkpoint that
// covers them.
func (l *Log) Tile(level int, n uint64) ([]byte, error) {
	if n >= l.size>>(8*(level+1)) {
		return nil, nil
	}
	b, err := l.get(l.ctx, chain.TilePath(level, n, chain.TileHashes), chain.TileSize, nil)
	if errors.Is(err, errAbsent) {
		return nil, l.isAbsent()
	}
	if err != nil {
		return nil, err
	}
	if above := level + 1; len(b) == chain.TileSize && n >= edgeStart(l.size, above) {
		// The root of a tile is the one hash of the tile above that it gives.
		root, err := chain.ReadTile(1, 0, 1, func(int, uint64, int) ([]byte, error) { return b, nil })
		if err != nil {
			return nil, err
		}
		l.keepEdge(above, n, chain.Hash(root))
	}
	return b, nil
}

// edgeStart is the first hash of a level that is in no full tile of it.
func edgeStart(size uint64, level int) uint64 {
	return size >> (8 * level) &^ (chain.TileHashes - 1)
}

func (l *Log) keepEdge(level int, n uint64, h chain.Hash) {
	if level >= len(l.edge) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.edge[level] == nil {
		l.edge[level] = map[uint64]chain.Hash{}
	}
	l.edge[level][n] = h
}

func (l *Log) isAbsent() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.absent++; l.absent > maxAbsent {
		return fmt.Errorf("%w: %d bundles and tiles are not there or malformed", ErrNotServed, l.absent)
	}
	return nil
}

func (l *Log) find(f chain.Finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.findings) < maxKept {
		l.findings = append(l.findings, f)
	}
}

// Findings are those that chain.Verify cannot know of.
func (l *Log) Findings() []chain.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.findings
}

// CheckEdge compares the partial tiles at the log's right edge with what the
// entries give. It is for after a Verify that found nothing: only then is what
// it compares with known to be right.
func (l *Log) CheckEdge() (tiles int, found []chain.Finding, _ error) {
	for level := 0; level < len(l.edge) && l.size>>(8*level) > 0; level++ {
		at := l.size >> (8 * level)
		width := int(at % chain.TileHashes)
		if width == 0 {
			continue
		}
		n, start := at/chain.TileHashes, edgeStart(l.size, level)
		want := make([]byte, 0, chain.TileSize)
		for i := range uint64(width) {
			h, ok := l.edge[level][start+i]
			if !ok {
				return tiles, found, fmt.Errorf("the right edge of level %d was not read: verify the log first", level)
			}
			want = append(want, h[:]...)
		}
		path := chain.TilePath(level, n, width)
		got, err := l.get(l.ctx, path, chain.TileSize, nil)
		if errors.Is(err, errAbsent) {
			// The log grew, and dropped the partial tile for the full one.
			path = chain.TilePath(level, n, chain.TileHashes)
			if got, err = l.get(l.ctx, path, chain.TileSize, nil); err == nil && len(got) == chain.TileSize {
				got = got[:len(want)]
			}
		}
		index := start << (8 * level) // the first entry under the tile
		switch {
		case errors.Is(err, errAbsent):
			found = append(found, chain.Finding{Kind: chain.TileMissing, Index: index, What: chain.TilePath(level, n, width) + " is not there, and neither is the full tile"})
		case err != nil:
			return tiles, found, err
		case !bytes.Equal(got, want):
			found = append(found, chain.Finding{Kind: chain.TileDiffers, Index: index, What: path + " is not the one that the entries give"})
		default:
			tiles++
		}
	}
	return tiles, found, nil
}

// SameHead reports whether two checkpoints say the same, whoever signed them.
func SameHead(a, b []byte) bool { return Claims(a) == Claims(b) }
