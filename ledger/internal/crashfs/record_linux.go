package crashfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// recorder keeps the record, in the child.
type recorder struct {
	mu     sync.Mutex // held while an operation happens, so that the record is in the order of the disk
	ops    []Op
	faults []Fault
	files  map[uint64]uint64 // inode of the backing file → Op.File
	next   uint64
}

func newRecorder() *recorder { return &recorder{files: map[uint64]uint64{}} }

func (r *recorder) add(op Op) { r.ops = append(r.ops, op) }

// fault says whether this operation fails, and whether it happens first.
func (r *recorder) fault(k Kind, path string) (errno syscall.Errno, happens bool) {
	for i := range r.faults {
		f := &r.faults[i]
		if f.Kind != k || !strings.HasSuffix(path, f.PathSuffix) {
			continue
		}
		f.Nth--
		if f.Nth == 0 || (f.Nth < 0 && f.Sticky) {
			return f.Errno, f.Happened
		}
	}
	return 0, true
}

// do lets an operation happen, or fail, and records it.
func (r *recorder) do(op Op, happen func() syscall.Errno) syscall.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	errno, happens := r.fault(op.Kind, op.Path)
	if happens {
		if e := happen(); e != 0 {
			return e
		}
		r.add(op)
	}
	return errno
}

// fsync records an fsync when it ends; it covers what had ended when it
// began. The backing files need no fsync: no power is cut.
func (r *recorder) fsync(k Kind, path string, file uint64) syscall.Errno {
	r.mu.Lock()
	covers := len(r.ops)
	r.mu.Unlock()
	// Here other operations may come in between, as they do on a disk.
	r.mu.Lock()
	defer r.mu.Unlock()
	errno, happens := r.fault(k, path)
	if !happens && k == Fsync {
		k = FsyncLost
	}
	if happens || k == FsyncLost {
		r.add(Op{Kind: k, Path: path, File: file, Covers: covers})
	}
	return errno
}

// file returns the number of a backing file.
func (r *recorder) file(inode uint64) uint64 {
	if r.files[inode] == 0 {
		r.next++
		r.files[inode] = r.next
	}
	return r.files[inode]
}

// base records what is there already, as durable.
func (r *recorder) base(dir string) error {
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(dir, name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			if path != "." {
				r.add(Op{Kind: Mkdir, Path: path})
			}
			return nil
		case !info.Mode().IsRegular():
			return &os.PathError{Op: "record", Path: name, Err: syscall.ENOTSUP}
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file := r.file(info.Sys().(*syscall.Stat_t).Ino)
		r.add(Op{Kind: Create, Path: path, File: file})
		r.add(Op{Kind: Write, Path: path, File: file, Data: data})
		r.add(Op{Kind: Fsync, Path: path, File: file, Covers: len(r.ops)})
		return nil
	})
	dirs := []string{"."}
	for _, op := range r.ops {
		if op.Kind == Mkdir {
			dirs = append(dirs, op.Path)
		}
	}
	for _, d := range dirs {
		r.add(Op{Kind: FsyncDir, Path: d, Covers: len(r.ops)})
	}
	return err
}

// since returns the record from a place on.
func (r *recorder) since(from int) []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops[from:])
}
