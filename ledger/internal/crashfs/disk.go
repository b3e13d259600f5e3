package crashfs

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Disk is what could be on the disk after a power cut. It must not be used
// after the function it was given to has returned.
type Disk struct {
	dirs  map[string]bool
	files map[string][]byte
}

// Paths returns the paths of all files, sorted.
func (d *Disk) Paths() []string { return slices.Sorted(maps.Keys(d.files)) }

// File returns what a file holds, which must not be changed, and whether it
// is there.
func (d *Disk) File(path string) ([]byte, bool) {
	b, ok := d.files[filepath.Clean(path)]
	return b, ok
}

// WriteTo makes the directory dir look like the disk. Whatever else is in it
// is removed, so one directory can serve for many states, best on a file
// system in memory. Nothing is synced; pages of zeros become holes.
func (d *Disk) WriteTo(dir string) error {
	if err := d.removeOthers(dir); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(d.dirs)) { // parents before their children
		if err := os.Mkdir(filepath.Join(dir, p), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for p, data := range d.files {
		if err := writeSparse(filepath.Join(dir, p), data); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) removeOthers(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		path, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		_, isFile := d.files[path]
		switch {
		case e.IsDir() && !d.dirs[path]:
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			return fs.SkipDir
		case !e.IsDir() && !isFile:
			return os.Remove(name)
		}
		return nil
	})
}

func writeSparse(name string, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	for at := 0; at < len(data); {
		run := 0 // bytes of pages that are not all zero
		for at+run < len(data) {
			page := data[at+run : min(at+run+len(zeros), len(data))]
			if bytes.Equal(page, zeros[:len(page)]) {
				break
			}
			run += len(page)
		}
		if run > 0 {
			if _, err := f.WriteAt(data[at:at+run], int64(at)); err != nil {
				return err
			}
		}
		at += run + len(zeros) // the page that ended the run is all zero
	}
	return nil
}

var zeros [4096]byte

// tree is the names on a disk.
type tree struct {
	dirs  map[string]bool
	files map[string]uint64 // Op.File
}

func (t tree) clone() tree { return tree{maps.Clone(t.dirs), maps.Clone(t.files)} }

// apply changes the names. A name whose directory is missing stays, and is
// left out in the end: the directory may come later.
func (t tree) apply(op Op) {
	switch op.Kind {
	case Create:
		t.files[op.Path] = op.File
	case Mkdir:
		t.dirs[op.Path] = true
	case Unlink:
		delete(t.files, op.Path)
		delete(t.dirs, op.Path)
	case Rename:
		// The file that op.File names gets its new name even if its old one
		// never made it to the disk.
		delete(t.files, op.Path)
		if op.File != 0 {
			t.files[op.NewPath] = op.File
			return
		}
		delete(t.dirs, op.Path)
		t.dirs[op.NewPath] = true
		for p := range maps.Clone(t.dirs) {
			if rest, ok := strings.CutPrefix(p, op.Path+"/"); ok {
				delete(t.dirs, p)
				t.dirs[op.NewPath+"/"+rest] = true
			}
		}
		for p, file := range maps.Clone(t.files) {
			if rest, ok := strings.CutPrefix(p, op.Path+"/"); ok {
				delete(t.files, p)
				t.files[op.NewPath+"/"+rest] = file
			}
		}
	}
}

// reachable says whether all directories above a path are there.
func (t tree) reachable(path string) bool {
	for d := filepath.Dir(path); d != "."; d = filepath.Dir(d) {
		if !t.dirs[d] {
			return false
		}
	}
	return true
}

// change applies an operation to the bytes of a file, which it may reuse. A
// write may be torn: only its sectors for which keep is true happen.
func change(b []byte, op Op, keep func(sector int) bool) []byte {
	if op.Kind == Truncate {
		if op.Size <= int64(len(b)) {
			return b[:op.Size:op.Size] // no room behind it: growing again must show zeros
		}
		return grow(b, op.Size)
	}
	for i, from := 0, int64(0); from < int64(len(op.Data)); i++ {
		// Sectors lie at fixed places on the disk, so the first may be short.
		to := min(int64(len(op.Data)), from+sectorSize-(op.Offset+from)%sectorSize)
		if keep == nil || keep(i) {
			b = grow(b, op.Offset+to)
			copy(b[op.Offset+from:], op.Data[from:to])
		}
		from = to
	}
	return b
}

const sectorSize = 512

// sectors is how many sectors a write touches.
func sectors(op Op) int {
	if len(op.Data) == 0 {
		return 0
	}
	return int((op.Offset+int64(len(op.Data))-1)/sectorSize-op.Offset/sectorSize) + 1
}

func grow(b []byte, size int64) []byte {
	if int64(len(b)) >= size {
		return b
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}
