// Package tagindex finds the entry that carries a tag.
//
// A tag is 16 bytes that look random to whoever lacks the key that made it, so an index over tags
// says nothing about members. Recent tags are in memory; older ones stand in sorted, immutable
// files ("runs"), because random inserts into a B+tree cost ten times more. Runs are derived from
// the entries: one that is lost or bad is made again.
//
// An Index may be used by any number of goroutines.
package tagindex

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
)

// RunLength is how many tags stay in memory before they become a run.
const RunLength = 131072

// fanIn is how many runs of like size are merged into one.
const fanIn = 8

// Tag is the tag of one entry.
type Tag = [16]byte

// Index is the map from tags to entry indexes.
type Index struct {
	dir  string
	log  *slog.Logger
	run  uint64 // RunLength, or less in tests
	tags func(from, to uint64, f func(index uint64, tag Tag) error) error

	mu      sync.RWMutex
	recent  map[Tag]uint64
	writing map[Tag]uint64 // what is being written to a run; nil if nothing is
	from    uint64         // first index in recent or writing
	next    uint64         // first index not in the index
	runs    []*run         // in order of index

	merging sync.Mutex // one merge at a time
	work    sync.WaitGroup
}

// Open reads the runs in a directory, creating it if needed, and brings the index up to size.
// tags must report the tag of every entry from one index up to another; it is how the newest tags
// come back after a restart, and how a bad run is made again.
func Open(dir string, size uint64, log *slog.Logger, tags func(from, to uint64, f func(uint64, Tag) error) error) (*Index, error) {
	return open(dir, size, RunLength, log, tags)
}

func open(dir string, size, runLength uint64, log *slog.Logger, tags func(from, to uint64, f func(uint64, Tag) error) error) (_ *Index, err error) {
	x := &Index{dir: dir, log: log, run: runLength, tags: tags, recent: make(map[Tag]uint64)}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the tag runs: %w", err)
	}
	if err := x.openRuns(size); err != nil {
		return nil, err
	}
	if n := len(x.runs); n > 0 {
		x.from = x.runs[n-1].to
	}
	for size-x.from > 2*x.run {
		if err := x.rebuild(x.from, x.from+x.run); err != nil {
			return nil, err
		}
		x.from += x.run
	}
	x.next = x.from
	if err := tags(x.from, size, x.Add); err != nil {
		return nil, fmt.Errorf("read the newest tags: %w", err)
	}
	return x, nil
}

// openRuns keeps the runs that are whole and follow each other, and makes the others again.
func (x *Index) openRuns(size uint64) error {
	names, err := os.ReadDir(x.dir)
	if err != nil {
		return fmt.Errorf("open the tag runs: %w", err)
	}
	var found []*run
	for _, de := range names {
		path := filepath.Join(x.dir, de.Name())
		if name := strings.TrimSuffix(de.Name(), tempSuffix); de.IsDir() || !strings.HasSuffix(name, runSuffix) {
			continue // not ours
		}
		if strings.HasSuffix(de.Name(), tempSuffix) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove an unfinished tag run: %w", err)
			}
			continue
		}
		r, err := openRun(path)
		if err == nil && r.to > size {
			err = errors.New("it covers entries that the ledger does not have")
			r.close()
		}
		if err != nil {
			x.log.Warn("a tag run cannot be used and is made again", "run", de.Name(), "why", err)
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove a bad tag run: %w", err)
			}
			continue
		}
		found = append(found, r)
	}
	// A merged run and the ones that it was made of may both be there after a crash: the longest
	// that starts where the one before it ended wins.
	sort.Slice(found, func(i, j int) bool {
		if found[i].from != found[j].from {
			return found[i].from < found[j].from
		}
		return found[i].to > found[j].to
	})
	var at uint64
	for _, r := range found {
		if r.from < at {
			r.remove()
			continue
		}
		for at < r.from {
			to := min(at+x.run, r.from)
			if err := x.rebuild(at, to); err != nil {
				return err
			}
			at = to
		}
		x.runs = append(x.runs, r)
		at = r.to
	}
	return nil
}

// rebuild makes the run for [from, to) from the entries and appends it.
func (x *Index) rebuild(from, to uint64) error {
	recs := make([]pair, 0, to-from)
	err := x.tags(from, to, func(i uint64, t Tag) error {
		recs = append(recs, pair{t, i})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read tags to make a run again: %w", err)
	}
	r, err := writeRun(x.dir, from, to, recs)
	if err != nil {
		return err
	}
	x.runs = append(x.runs, r)
	return nil
}

// ErrOrder says that a tag was added out of order.
var ErrOrder = errors.New("tags are added in the order of their entries")

// Add records the tag of the next entry. It does no I/O.
func (x *Index) Add(index uint64, tag Tag) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if index != x.next {
		return ErrOrder
	}
	x.recent[tag] = index
	x.next++
	if uint64(len(x.recent)) >= x.run && x.writing == nil {
		x.writing, x.recent = x.recent, make(map[Tag]uint64, x.run)
		from, to := x.from, x.next
		x.from = to
		x.work.Add(1)
		go x.flush(x.writing, from, to)
	}
	return nil
}

// flush writes a full map as a run. If the disk refuses, the tags stay in memory: the entries
// hold them too, so nothing is lost, and the next start makes the run.
func (x *Index) flush(m map[Tag]uint64, from, to uint64) {
	defer x.work.Done()
	recs := make([]pair, 0, len(m))
	for t, i := range m {
		recs = append(recs, pair{t, i})
	}
	r, err := writeRun(x.dir, from, to, recs)
	if err != nil {
		x.log.Error("a tag run could not be written; its tags stay in memory", "err", err)
		return // writing stays set, so lookups still find them and no further run is begun
	}
	x.mu.Lock()
	x.runs = append(x.runs, r)
	x.writing = nil
	x.mu.Unlock()
	x.merge()
}

// merge joins the newest fanIn runs while they are of like size. Another run may be added meanwhile.
func (x *Index) merge() {
	x.merging.Lock()
	defer x.merging.Unlock()
	for {
		x.mu.RLock()
		var group []*run
		if n := len(x.runs); n >= fanIn {
			group = slices.Clone(x.runs[n-fanIn:])
		}
		x.mu.RUnlock()
		if group == nil || group[0].count() > 2*group[fanIn-1].count() {
			return
		}
		merged, err := mergeRuns(x.dir, group)
		if err != nil {
			x.log.Error("tag runs could not be merged", "err", err)
			return
		}
		x.mu.Lock()
		at := slices.Index(x.runs, group[0])
		x.runs = slices.Concat(x.runs[:at], []*run{merged}, x.runs[at+fanIn:])
		x.mu.Unlock()
		for _, r := range group {
			r.remove()
		}
	}
}

// Find returns the index of the entry with a tag.
func (x *Index) Find(tag Tag) (index uint64, ok bool, err error) {
	x.mu.RLock()
	index, ok = x.recent[tag]
	if !ok && x.writing != nil {
		index, ok = x.writing[tag]
	}
	runs := x.runs
	for i := len(runs) - 1; !ok && i >= 0; i-- {
		if index, ok, err = runs[i].find(tag); err != nil {
			break
		}
	}
	x.mu.RUnlock()
	return index, ok, err
}

// Check compares every run with the entries, and returns the first index at which they differ.
func (x *Index) Check() (index uint64, ok bool, err error) {
	x.mu.RLock()
	next := x.next
	x.mu.RUnlock()
	bad := errors.New("differs")
	err = x.tags(0, next, func(i uint64, t Tag) error {
		got, found, err := x.Find(t)
		if err != nil {
			return err
		}
		if !found || got != i {
			index = i
			return bad
		}
		return nil
	})
	if errors.Is(err, bad) {
		return index, false, nil
	}
	return 0, err == nil, err
}

// Close waits for what is being written and closes the runs.
func (x *Index) Close() error {
	x.work.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	var err error
	for _, r := range x.runs {
		err = errors.Join(err, r.close())
	}
	x.runs = nil
	return err
}
