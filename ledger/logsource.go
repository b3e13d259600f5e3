package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"consentledger/crypto/keyring"
	"consentledger/ledger/chain"
	"consentledger/ledger/store"
)

// Kinds of findings about what stands beside the log, in addition to those of
// package chain. The names are stable.
const (
	HeadRowDiffers chain.Kind = "head_row_differs" // the head row does not fit the entries or the keyring
	HeadFileBad    chain.Kind = "head_file"        // the file with the last published checkpoint is missing
	StoreDamaged   chain.Kind = "store_damaged"    // part of the database cannot be read
	TagRunDiffers  chain.Kind = "tag_run_differs"  // a tag run does not lead to the entries
)

// LogSource is the log in a store, for chain.Verify, and what stands beside the
// log, as far as it can be checked without a key. It may be used by several
// goroutines.
//
// What the store cannot read is left out, as if it were missing, so that
// Verify names the place; CheckBeside says that it was damage.
type LogSource struct {
	s    store.Store
	dir  string // empty: only the database is there
	note []byte // the newest published checkpoint
	torn error  // why there is no head file

	mu      sync.Mutex
	damaged error  // the first that was met
	at      uint64 // the lowest entry it was met at
}

var _ chain.Source = (*LogSource)(nil)

// NewLogSource opens the log in a store, which may be read-only. dir is the
// data directory, for the head file and the tag runs; empty if only the
// database is at hand. It changes nothing.
func NewLogSource(s store.Store, dir string) (*LogSource, Identity, error) {
	id, err := Identify(s)
	if err != nil {
		return nil, Identity{}, err
	}
	l := &LogSource{s: s, dir: dir}
	if dir != "" {
		if l.note, l.torn = readHeadFile(dir); l.torn != nil && !errors.Is(l.torn, fs.ErrNotExist) {
			return nil, Identity{}, fmt.Errorf("read the head file: %w", l.torn)
		}
	}
	return l, id, nil
}

// readHeadFile returns the newest checkpoint in the head file, nil if none was
// published yet.
func readHeadFile(dir string) (note []byte, err error) {
	f, err := os.Open(filepath.Join(dir, headFileName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, note = newestHead(f)
	return note, nil
}

// Checkpoint returns the last published checkpoint, nil if none is known.
func (l *LogSource) Checkpoint() ([]byte, error) { return l.note, nil }

// strayEntries is how far beyond the head row's size entries are counted. What
// lies further is no log that goes on, but one key that is wrong, and nobody
// should have to wait until all the indexes before it were found missing.
const strayEntries = 4096

// Size returns the number of entries: one more than the last index, or than the
// head row's size if the last index lies far beyond that.
func (l *LogSource) Size() (uint64, error) {
	var size uint64
	err := l.s.View(func(r store.Reader) error {
		k, _, err := r.Last(mapEntries)
		if err != nil || k == nil {
			return err
		}
		if len(k) != 8 {
			return fmt.Errorf("%w: the last key of the entries has %d bytes instead of 8", store.ErrCorrupt, len(k))
		}
		last := indexOf(k)
		size = last + 1
		raw, err := r.Get(mapMeta, keyHead)
		if err != nil {
			return err
		}
		if h, err := decodeHead(raw); err == nil && last >= h.size && last-h.size >= strayEntries {
			size = h.size + 1
		}
		return nil
	})
	return size, err
}

// Entries calls f for each entry from an index on.
func (l *LogSource) Entries(from uint64, f func(index uint64, entry []byte) error) error {
	next := from
	err := l.s.View(func(r store.Reader) error {
		return r.Scan(mapEntries, indexKey(from), nil, func(k, v []byte) error {
			if len(k) != 8 {
				return fmt.Errorf("%w: a key of the entries has %d bytes instead of 8", store.ErrCorrupt, len(k))
			}
			if indexOf(k) < next {
				return fmt.Errorf("%w: the entries are not in order", store.ErrCorrupt)
			}
			next = indexOf(k) + 1
			return f(next-1, v)
		})
	})
	return l.leaveOut(err, next)
}

// Tile returns a full tile as it is stored.
func (l *LogSource) Tile(level int, n uint64) (tile []byte, err error) {
	err = l.s.View(func(r store.Reader) error {
		b, err := r.Get(mapTiles, tileKey(level, n))
		if b != nil {
			tile = append([]byte(nil), b...)
		}
		return err
	})
	if err = l.leaveOut(err, n<<(8*(level+1))); err != nil {
		return nil, err
	}
	return tile, nil
}

// leaveOut keeps damage for the report, and lets the check go on.
func (l *LogSource) leaveOut(err error, at uint64) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.damaged == nil || at < l.at {
		l.damaged, l.at = err, at
	}
	return nil
}

// NeedsRootKey is what CheckBeside says of what VerifyDeep checks.
const NeedsRootKey = "what entries and keyring pages hold, and the head row's MAC: they need the root key (verify --deep)"

// A Beside says what CheckBeside found, in the words of a chain.Report.
type Beside struct {
	Findings           []chain.Finding
	Other              []chain.Finding // about no entry; Index is 0
	Checked, Unchecked []string
}

// CheckBeside checks what stands beside the log and needs no key: that the head row has the size, the root
// and the time that r found in the entries and the hash of the keyring's top
// page, and that there is a head file.
//
// With structure set it also reads every page of the database, those that the
// log does not reach too, and that every tag run leads to its entries. That takes
// several times as long as hashing the log.
func (l *LogSource) CheckBeside(ctx context.Context, r chain.Report, structure bool) (Beside, error) {
	var b Beside
	if err := l.structure(&b, structure); err != nil {
		return b, err
	}
	if err := l.headRow(&b, r); err != nil {
		return b, err
	}
	if l.dir == "" {
		b.Unchecked = append(b.Unchecked, "the last published checkpoint and the tag runs: only the database was given")
		return b, nil
	}
	switch {
	case l.torn != nil:
		b.findOther(HeadFileBad, fmt.Sprintf("the file %q with the last published checkpoint is missing: put back the one that belongs to this database", headFileName))
	case l.note == nil && r.Entries > 0:
		b.Unchecked = append(b.Unchecked, "that nothing published is missing: the head file holds no checkpoint")
	}
	if !structure {
		b.Unchecked = append(b.Unchecked, "the tag runs, which are made from the entries: --structure compares them")
		return b, nil
	}
	return b, l.tagRuns(ctx, &b, r.Entries)
}

func (b *Beside) find(kind chain.Kind, index uint64, what string) {
	if len(b.Findings) < chain.MaxFindings {
		b.Findings = append(b.Findings, chain.Finding{Kind: kind, Index: index, What: what})
	}
}

func (b *Beside) findOther(kind chain.Kind, what string) {
	b.Other = append(b.Other, chain.Finding{Kind: kind, What: what})
}

// structure says what could not be read, and looks at every page of the
// database, the keyring's too, if it is asked to.
func (l *LogSource) structure(b *Beside, all bool) error {
	l.mu.Lock()
	damaged, at := l.damaged, l.at
	l.mu.Unlock()
	if damaged != nil {
		b.find(StoreDamaged, at, fmt.Sprintf("the database cannot be read at entry %d: %v", at, damaged))
		return nil
	}
	if !all {
		b.Unchecked = append(b.Unchecked, "pages of the database that hold neither entries nor tiles: --structure reads them too")
		return nil
	}
	switch err := l.s.Check(); {
	case errors.Is(err, store.ErrCorrupt):
		b.findOther(StoreDamaged, fmt.Sprintf("the database's structure is damaged: %v", err))
	case err != nil:
		return fmt.Errorf("check the database: %w", err)
	default:
		b.Checked = append(b.Checked, "the database's structure")
	}
	return nil
}

func (l *LogSource) headRow(b *Beside, r chain.Report) error {
	before := len(b.Findings) + len(b.Other)
	err := l.s.View(func(rd store.Reader) error {
		raw, err := rd.Get(mapMeta, keyHead)
		if err != nil {
			return err
		}
		h, err := decodeHead(raw)
		if err != nil {
			b.findOther(HeadRowDiffers, err.Error())
			return nil
		}
		switch {
		case h.size > r.Entries:
			b.find(chain.Truncated, r.Entries, fmt.Sprintf("truncated: the head row covers %d entries, the log has %d", h.size, r.Entries))
		case h.size < r.Entries:
			b.find(HeadRowDiffers, h.size, fmt.Sprintf("the log has %d entries, and the head row covers %d: the others were not written by the ledger", r.Entries, h.size))
		case h.root != r.Root:
			b.find(HeadRowDiffers, max(r.Entries, 1)-1, "the entries do not give the root hash in the head row; it may be any of them")
		case r.Entries > 0 && r.LastRecordedAtUnixMs != 0 && h.recordedAt < r.LastRecordedAtUnixMs:
			b.find(HeadRowDiffers, r.Entries-1, "the head row has another time for the last entry")
		}
		top, err := rd.Get(mapKeyring, keyring.TopPosition())
		if err != nil {
			return err
		}
		if keyring.TopHash(top) != h.top {
			b.findOther(HeadRowDiffers, "the keyring's top page is not the one that the head row names")
		}
		return nil
	})
	switch {
	case errors.Is(err, store.ErrCorrupt):
		b.findOther(StoreDamaged, fmt.Sprintf("the head row cannot be read: %v", err))
	case err != nil:
		return fmt.Errorf("read the head row: %w", err)
	case len(b.Findings)+len(b.Other) == before:
		b.Checked = append(b.Checked, "the head row: size, root hash, time, hash of the keyring's top page")
	}
	b.Unchecked = append(b.Unchecked, NeedsRootKey)
	return nil
}

// The layout of a tag run, from package tagindex: magic, from, to, pairs of tag
// and index in order of tag, CRC-32C. It is read here on its own, because the
// index drops and makes again what it does not like, and this must not write.
const (
	runMagic  = "cltags1\n"
	runHeader = len(runMagic) + 16
	runPair   = 24
	runSuffix = ".tags"
)

// runWindow is how many tags are compared in one pass over a run: 16 MiB of them.
const runWindow = 1 << 20

// tagRuns compares every run with the entries. Entries that no run covers are
// no fault: the newest are in no run yet.
func (l *LogSource) tagRuns(ctx context.Context, b *Beside, size uint64) error {
	names, err := os.ReadDir(filepath.Join(l.dir, "tags"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // made again at the next start
	}
	if err != nil {
		return fmt.Errorf("list the tag runs: %w", err)
	}
	runs, before := 0, len(b.Findings)+len(b.Other)
	for _, de := range names {
		if filepath.Ext(de.Name()) != runSuffix {
			continue
		}
		runs++
		if err := l.tagRun(ctx, b, de.Name(), size); err != nil {
			return fmt.Errorf("check the tag run %s: %w", de.Name(), err)
		}
	}
	if runs > 0 && len(b.Findings)+len(b.Other) == before {
		b.Checked = append(b.Checked, fmt.Sprintf("%d tag runs: each leads to its entries", runs))
	}
	return nil
}

func (l *LogSource) tagRun(ctx context.Context, b *Beside, name string, size uint64) error {
	const remedy = "remove it while no server runs, it is made again from the entries"
	bad := func(what string) error {
		b.findOther(TagRunDiffers, fmt.Sprintf("tags/%s: %s: %s", name, what, remedy))
		return nil
	}
	f, err := os.Open(filepath.Join(l.dir, "tags", name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := make([]byte, runHeader)
	if _, err := io.ReadFull(f, header); err != nil || string(header[:len(runMagic)]) != runMagic {
		return bad("it is not a tag run")
	}
	from, to := binary.BigEndian.Uint64(header[len(runMagic):]), binary.BigEndian.Uint64(header[len(runMagic)+8:])
	switch {
	case from >= to || to-from > 1<<40 || info.Size() != int64(runHeader)+int64(to-from)*runPair+4:
		return bad("its header does not fit its length")
	case to > size:
		return bad(fmt.Sprintf("it covers %d entries, the log has %d", to, size))
	}
	for at := from; at < to; at += runWindow {
		if err := ctx.Err(); err != nil {
			return err
		}
		w, err := l.runWindow(at, min(at+runWindow, to))
		if err != nil {
			return err
		}
		if what, err := w.pass(f, header, from, to); err != nil {
			return err
		} else if what != "" {
			return bad(what)
		}
		if index, ok := w.differs(); ok {
			b.find(TagRunDiffers, index, fmt.Sprintf("tags/%s: it does not lead to entry %d: %s", name, index, remedy))
			return nil
		}
	}
	return nil
}

// A window is the tags of some entries, and which of them a run has.
type window struct {
	from   uint64
	tags   [][16]byte
	there  []bool // the entry can be read
	led    []bool // the run leads to it
	astray []bool // the run leads to it by another tag
}

func (l *LogSource) runWindow(from, to uint64) (*window, error) {
	n := to - from
	w := &window{from, make([][16]byte, n), make([]bool, n), make([]bool, n), make([]bool, n)}
	err := l.Entries(from, func(index uint64, e []byte) error {
		if index >= to {
			return store.ErrStop
		}
		if len(e) >= chain.MinEntry {
			w.tags[index-from], w.there[index-from] = [16]byte(e[chain.HeaderSize:]), true
		}
		return nil
	})
	return w, err
}

// pass reads a run through and says what is wrong with it as a whole.
func (w *window) pass(f *os.File, header []byte, from, to uint64) (what string, err error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	sum.Write(header)
	r := bufio.NewReaderSize(io.NewSectionReader(f, int64(runHeader), int64(to-from)*runPair+4), 1<<18)
	var pair [runPair]byte
	var before [16]byte
	for i := range to - from {
		if _, err := io.ReadFull(r, pair[:]); err != nil {
			return "", err
		}
		sum.Write(pair[:])
		tag, index := [16]byte(pair[:16]), binary.BigEndian.Uint64(pair[16:])
		switch {
		case i > 0 && bytes.Compare(before[:], tag[:]) >= 0:
			return "its tags are not in order", nil
		case index < from || index >= to:
			return "it leads outside of what it covers", nil
		}
		before = tag
		if index >= w.from && index-w.from < uint64(len(w.tags)) {
			at := index - w.from
			w.led[at] = true
			w.astray[at] = w.astray[at] || w.tags[at] != tag
		}
	}
	var tail [4]byte
	if _, err := io.ReadFull(r, tail[:]); err != nil {
		return "", err
	}
	if binary.BigEndian.Uint32(tail[:]) != sum.Sum32() {
		return "its checksum is wrong", nil
	}
	return "", nil
}

// differs returns the first entry that can be read and that the run does not lead to.
func (w *window) differs() (index uint64, ok bool) {
	for i := range w.tags {
		if w.there[i] && (!w.led[i] || w.astray[i]) {
			return w.from + uint64(i), true
		}
	}
	return 0, false
}
