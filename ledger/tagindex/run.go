package tagindex

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A run is: magic, from, to (u64 BE), then (tag, index u64 BE) in order of tag, then the CRC-32C
// of all before it. The checksum is against rot, not against people: whoever can change a run can
// change the entries that it is made from, and those are chained.
const (
	runMagic   = "cltags1\n"
	runHeader  = len(runMagic) + 16
	pairSize   = 24
	tempSuffix = ".tmp"
	runSuffix  = ".tags"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type pair struct {
	tag   Tag
	index uint64
}

type run struct {
	path     string
	file     *os.File
	from, to uint64
}

func (r *run) count() uint64 { return r.to - r.from }
func (r *run) close() error  { return r.file.Close() }

func (r *run) remove() {
	r.file.Close()
	os.Remove(r.path) // if it stays, the next start drops it
}

var errRun = errors.New("it is not a whole tag run")

// openRun checks a run's shape and checksum.
func openRun(path string) (_ *run, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	header := make([]byte, runHeader)
	if _, err := io.ReadFull(f, header); err != nil || !bytes.HasPrefix(header, []byte(runMagic)) {
		return nil, errRun
	}
	r := &run{
		path: path, file: f,
		from: binary.BigEndian.Uint64(header[len(runMagic):]),
		to:   binary.BigEndian.Uint64(header[len(runMagic)+8:]),
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if r.from >= r.to || r.count() > 1<<40 || st.Size() != int64(runHeader)+int64(r.count())*pairSize+4 || filepath.Base(path) != runName(r.from, r.to) {
		return nil, errRun
	}
	sum := crc32.New(castagnoli)
	sum.Write(header)
	if _, err := io.CopyBuffer(sum, io.LimitReader(f, int64(r.count())*pairSize), make([]byte, 1<<20)); err != nil {
		return nil, err
	}
	var tail [4]byte
	if _, err := io.ReadFull(f, tail[:]); err != nil || binary.BigEndian.Uint32(tail[:]) != sum.Sum32() {
		return nil, errRun
	}
	return r, nil
}

// find reads the block in which an evenly spread tag should stand, and corrects from there.
func (r *run) find(tag Tag) (uint64, bool, error) {
	const blockPairs = 170 // about a page of memory
	lo, hi := uint64(0), r.count()
	loTag, hiTag := uint64(0), ^uint64(0)
	want := binary.BigEndian.Uint64(tag[:])
	var buf [blockPairs * pairSize]byte
	for lo < hi {
		width := min(uint64(blockPairs), hi-lo)
		at := lo
		if hi-lo > blockPairs {
			frac := float64(want-loTag) / (float64(hiTag-loTag) + 1)
			guess := lo + uint64(frac*float64(hi-lo))
			at = min(max(guess, lo+width/2)-width/2, hi-width)
		}
		b := buf[:width*pairSize]
		if _, err := r.file.ReadAt(b, int64(runHeader)+int64(at)*pairSize); err != nil {
			return 0, false, fmt.Errorf("read a tag run: %w", err)
		}
		first, last := b[:16], b[(width-1)*pairSize:][:16]
		switch {
		case bytes.Compare(tag[:], first) < 0:
			hi, hiTag = at, binary.BigEndian.Uint64(first)
		case bytes.Compare(tag[:], last) > 0:
			lo, loTag = at+width, binary.BigEndian.Uint64(last)
		default:
			i, j := 0, int(width)
			for i < j {
				m := (i + j) / 2
				if bytes.Compare(b[m*pairSize:][:16], tag[:]) < 0 {
					i = m + 1
				} else {
					j = m
				}
			}
			p := b[i*pairSize:]
			if bytes.Equal(p[:16], tag[:]) {
				return binary.BigEndian.Uint64(p[16:]), true, nil
			}
			return 0, false, nil
		}
	}
	return 0, false, nil
}

func runName(from, to uint64) string { return fmt.Sprintf("%012x-%012x%s", from, to, runSuffix) }

// writeRun sorts the pairs and makes a durable run of them.
func writeRun(dir string, from, to uint64, recs []pair) (*run, error) {
	slices.SortFunc(recs, func(a, b pair) int { return bytes.Compare(a.tag[:], b.tag[:]) })
	return streamRun(dir, from, to, func(put func(pair) error) error {
		for _, p := range recs {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// streamRun writes a run under a temporary name and renames it when it is whole and durable.
func streamRun(dir string, from, to uint64, produce func(put func(pair) error) error) (_ *run, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write a tag run: %w", err)
		}
	}()
	path := filepath.Join(dir, runName(from, to))
	f, err := os.OpenFile(path+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<18)
	header := binary.BigEndian.AppendUint64([]byte(runMagic), from)
	header = binary.BigEndian.AppendUint64(header, to)
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	var count uint64
	var b [pairSize]byte
	if err := produce(func(p pair) error {
		count++
		copy(b[:], p.tag[:])
		binary.BigEndian.PutUint64(b[16:], p.index)
		_, err := w.Write(b[:])
		return err
	}); err != nil {
		return nil, err
	}
	if count != to-from {
		return nil, fmt.Errorf("%d tags for %d entries: two entries carry the same tag", count, to-from)
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if _, err := f.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &run{path: path, file: r, from: from, to: to}, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// mergeRuns joins adjacent runs in one pass, reading each in order of tag.
func mergeRuns(dir string, group []*run) (*run, error) {
	type head struct {
		r    *bufio.Reader
		cur  pair
		left uint64
	}
	heads := make([]*head, len(group))
	advance := func(h *head) error {
		if h.left == 0 {
			h.r = nil
			return nil
		}
		h.left--
		var b [pairSize]byte
		if _, err := io.ReadFull(h.r, b[:]); err != nil {
			return err
		}
		copy(h.cur.tag[:], b[:])
		h.cur.index = binary.BigEndian.Uint64(b[16:])
		return nil
	}
	for i, r := range group {
		section := io.NewSectionReader(r.file, int64(runHeader), int64(r.count())*pairSize)
		heads[i] = &head{r: bufio.NewReaderSize(section, 1<<16), left: r.count()}
		if err := advance(heads[i]); err != nil {
			return nil, fmt.Errorf("read a tag run: %w", err)
		}
	}
	return streamRun(dir, group[0].from, group[len(group)-1].to, func(put func(pair) error) error {
		for {
			var least *head
			for _, h := range heads {
				if h.r != nil && (least == nil || bytes.Compare(h.cur.tag[:], least.cur.tag[:]) < 0) {
					least = h
				}
			}
			if least == nil {
				return nil
			}
			if err := put(least.cur); err != nil {
				return err
			}
			if err := advance(least); err != nil {
				return err
			}
		}
	})
}
