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
// chain.LeafSource; what the log grows by later is not looked at.
type Log struct {
	ctx    context.Context
	client *http.Client
	base   string
	pause  time.Duration // before the second attempt

	authorization []string // the header, nil if none is sent

	checkpoint []byte
	origin     string
	size       uint64
	workspaces sync.Pool // of *workspace

	mu       sync.Mutex
	absent   int
	findings []chain.Finding
}

var _ chain.LeafSource = (*Log)(nil)

// Options say how a log is read.
type Options struct {
	// Connections is how many goroutines can read at a time.
	Connections int
	// Token, if any, is sent as a bearer token: a log that is not public asks for
	// one. It goes to no other host, and over nothing but TLS, except to this
	// machine itself.
	Token string
}

// Open fetches the checkpoint of the log at a URL. The log can be read until ctx
// ends.
func Open(ctx context.Context, rawURL string, o Options) (*Log, error) {
	base, err := parseBase(rawURL)
	if err != nil {
		return nil, err
	}
	l := &Log{ctx: ctx, client: newClient(ctx, base, o.Connections), base: base, pause: firstPause}
	if o.Token != "" {
		if !mayCarryToken(base) {
			return nil, errors.New("it begins with http://, so the key would be read by whoever stands between: give the log's https:// URL, or no key")
		}
		l.authorization = []string{"Bearer " + o.Token}
	}
	return l, l.fetchCheckpoint()
}

func (l *Log) fetchCheckpoint() error {
	b, err := l.get(l.ctx, "checkpoint", maxCheckpoint, nil)
	if errors.Is(err, errAbsent) {
		return fmt.Errorf("%w: there is no checkpoint at %scheckpoint: is this the log's URL?", ErrUnavailable, l.base)
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
	return l.Leaves(from, func(index uint64, leaf []byte) error { return f(index, leaf[1:]) })
}

// Leaves implements chain.LeafSource.
func (l *Log) Leaves(from uint64, f func(index uint64, leaf []byte) error) error {
	for n := from / chain.TileHashes; n*chain.TileHashes < l.size; n++ {
		if err := l.bundle(n, from, f); err != nil {
			return err
		}
	}
	return nil
}

// A workspace is what a bundle is read into, used again and again.
type workspace struct {
	bundle []byte
	leaves [][]byte
}

func (l *Log) bundle(n, from uint64, f func(index uint64, leaf []byte) error) error {
	w, _ := l.workspaces.Get().(*workspace)
	if w == nil {
		w = new(workspace)
	}
	defer l.workspaces.Put(w)
	first := n * chain.TileHashes
	width := int(min(chain.TileHashes, l.size-first))
	path, full := chain.EntriesPath(n, width), false
	b, err := l.get(l.ctx, path, maxBundle, w.bundle)
	if errors.Is(err, errAbsent) && width < chain.TileHashes {
		path, full = chain.EntriesPath(n, chain.TileHashes), true
		b, err = l.get(l.ctx, path, maxBundle, w.bundle)
	}
	if errors.Is(err, errAbsent) {
		return l.isAbsent()
	}
	if err != nil {
		return err
	}
	w.bundle = b
	if err := w.split(width, full); err != nil {
		// The entries are then missing from the log, and this says why.
		l.find(chain.Finding{Kind: BundleMalformed, Index: first, What: fmt.Sprintf("%s: %v", path, err)})
		return l.isAbsent()
	}
	for i, leaf := range w.leaves[:width] {
		if index := first + uint64(i); index >= from {
			if err := f(index, leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

// split splits a bundle that must hold exactly width entries or, if it is the
// full one in place of a partial, 256.
func (w *workspace) split(width int, full bool) (err error) {
	if len(w.bundle) > maxBundle {
		return fmt.Errorf("entry bundle: is longer than %d bytes", maxBundle)
	}
	if w.leaves, err = chain.SplitLeaves(w.leaves[:0], w.bundle); err != nil {
		return err
	}
	want := width
	if full {
		want = chain.TileHashes
	}
	if len(w.leaves) != want {
		return fmt.Errorf("entry bundle: has %d entries instead of %d", len(w.leaves), want)
	}
	return nil
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
	return b, nil
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

// CheckEdge compares the partial tiles at the log's right edge with those that
// the entries give, as Verify reported them.
func (l *Log) CheckEdge(edges [][]byte) (tiles int, found []chain.Finding, _ error) {
	for level, want := range edges {
		if len(want) == 0 {
			continue
		}
		n := l.size >> (8 * (level + 1))
		path, got, err := l.partial(level, n, len(want)/chain.HashSize)
		index := n << (8 * (level + 1)) // the first entry under the tile
		switch {
		case errors.Is(err, errAbsent):
			found = append(found, chain.Finding{Kind: chain.TileMissing, Index: index, What: path + " is not there, and neither is the full tile"})
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

// partial reads the first width hashes of a tile that may have become full, as
// far as it is as long as it must be: a log that grows may drop the partial.
func (l *Log) partial(level int, n uint64, width int) (path string, _ []byte, _ error) {
	path = chain.TilePath(level, n, width)
	b, err := l.get(l.ctx, path, chain.TileSize, nil)
	if width == chain.TileHashes || !errors.Is(err, errAbsent) {
		return path, b, err
	}
	full := chain.TilePath(level, n, chain.TileHashes)
	if b, err = l.get(l.ctx, full, chain.TileSize, nil); err != nil {
		return path, nil, err
	}
	if len(b) == chain.TileSize {
		b = b[:width*chain.HashSize]
	}
	return full, b, nil
}

// SameHead reports whether two checkpoints say the same, whoever signed them.
func SameHead(a, b []byte) bool { return Claims(a) == Claims(b) }
