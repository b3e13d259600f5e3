package crashfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() }) // some tests have closed it
	return f
}

func syncDir(t *testing.T, path string) {
	t.Helper()
	d, err := os.Open(path)
	must(t, err, d.Sync(), d.Close())
}

// lines shows a record as text.
func lines(ops []Op) []string {
	var all []string
	for _, op := range ops {
		s := op.String()
		if op.Kind == Write {
			s += " " + string(op.Data)
		}
		all = append(all, s)
	}
	return all
}

func TestEverythingDoneToAFileIsOnRecordInOrder(t *testing.T) {
	fs := Start(t, t.TempDir())
	name := filepath.Join(fs.Path(), "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR|os.O_EXCL)
	_, err := f.WriteAt([]byte("hello"), 0)
	must(t, err, f.Sync())
	fs.Mark(t, "five bytes are durable")
	_, err = f.WriteAt([]byte("J"), 0)
	must(t, err, f.Truncate(3), syscall.Fdatasync(int(f.Fd())), f.Truncate(8), f.Close())
	f = open(t, name, os.O_APPEND|os.O_WRONLY)
	_, err = f.WriteString("end")
	must(t, err, f.Close(), os.Truncate(name, 1), os.Mkdir(filepath.Join(fs.Path(), "d"), 0o700))
	syncDir(t, fs.Path())
	to := filepath.Join(fs.Path(), "d", "g")
	must(t, os.Rename(name, to))
	syncDir(t, filepath.Dir(to))
	open(t, to, os.O_TRUNC|os.O_WRONLY).Close()
	must(t, os.Remove(to), os.Remove(filepath.Dir(to)))

	want := []string{
		"fsyncdir .", // what was there at the start: the empty directory
		"create f", "write f at 0, 5 bytes hello", "fsync f", `mark "five bytes are durable"`,
		"write f at 0, 1 bytes J", "truncate f to 3 bytes", "fsync f", "truncate f to 8 bytes",
		"write f at 8, 3 bytes end", "truncate f to 1 bytes", "mkdir d", "fsyncdir .",
		"rename f to d/g", "fsyncdir d", "truncate d/g to 0 bytes", "unlink d/g", "unlink d",
	}
	ops := fs.Ops(t)
	if d := cmp.Diff(want, lines(ops)); d != "" {
		t.Error(d)
	}
	for i, op := range ops {
		if (op.Kind == Fsync || op.Kind == FsyncDir) && op.Covers != i {
			t.Errorf("%v at place %d covers the %d operations before it", op, i, op.Covers)
		}
		if op.Kind == Write && op.File != ops[1].File {
			t.Errorf("%v is of file %d, which was created as %d", op, op.File, ops[1].File)
		}
	}
}

func TestWhatWasThereBeforeIsDurable(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o700), os.WriteFile(filepath.Join(dir, "d", "f"), []byte("old"), 0o600))
	fs := Start(t, dir)
	must(t, os.WriteFile(filepath.Join(fs.Path(), "d", "f"), []byte("new"), 0o600))
	ops := fs.Ops(t)
	seen := map[string]bool{}
	must(t, States(ops, len(ops), func(_ string, d *Disk) error { seen[shown(d)] = true; return nil }))
	want := map[string]bool{"d/f=old": true, "d/f=": true, "d/f=new": true}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
}

func TestTheMountServesWhatADatabaseNeeds(t *testing.T) {
	fs := Start(t, t.TempDir())
	name := filepath.Join(fs.Path(), "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR)
	must(t, f.Truncate(8192))

	// A mapping shows what is written.
	m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m)
	for _, word := range []string{"first", "other"} {
		_, err := f.WriteAt([]byte(word), 4096)
		must(t, err)
		if got := string(m[4096:4101]); got != word {
			t.Errorf("the mapping shows %q, want %q", got, word)
		}
	}

	// flock holds between two descriptors.
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	g := open(t, name, os.O_RDWR)
	if err := syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a second lock: %v, want EWOULDBLOCK", err)
	}

	// O_DIRECT opens and reads what was written.
	h := open(t, name, os.O_RDONLY|syscall.O_DIRECT)
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned memory
	must(t, err)
	defer unix.Munmap(b)
	if n, err := h.ReadAt(b, 4096); n != 4096 || err != nil || !bytes.HasPrefix(b, []byte("other")) {
		t.Errorf("reading with O_DIRECT gave %d bytes, %v, %q", n, err, b[:5])
	}

	// A rename that must not replace does not.
	other := filepath.Join(fs.Path(), "g")
	must(t, os.WriteFile(other, nil, 0o600))
	if err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, other, unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("renaming onto a file: %v, want EEXIST", err)
	}
}

func TestALargeWriteIsWholeOnRecord(t *testing.T) {
	fs := Start(t, t.TempDir())
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	must(t, os.WriteFile(filepath.Join(fs.Path(), "f"), data, 0o600))
	ops := fs.Ops(t)
	err := States(ops, len(ops), func(name string, d *Disk) error {
		if got, _ := d.File("f"); name == "all unsynced kept" && !bytes.Equal(got, data) {
			t.Errorf("the record gives %d bytes, not the %d written", len(got), len(data))
		}
		return nil
	})
	must(t, err)
}

func TestAFaultHitsTheChosenOperation(t *testing.T) {
	fs := Start(t, t.TempDir())
	f := open(t, filepath.Join(fs.Path(), "f.db"), os.O_CREATE|os.O_RDWR)
	g := open(t, filepath.Join(fs.Path(), "g"), os.O_CREATE|os.O_RDWR)
	put := func(f *os.File, s string) error { _, err := f.WriteAt([]byte(s), 0); return err }
	want := func(what string, got error, errno syscall.Errno) {
		t.Helper()
		if errno == 0 && got == nil || errno != 0 && errors.Is(got, errno) {
			return
		}
		t.Errorf("%s: %v, want %v", what, got, errno)
	}

	fs.Inject(t, Fault{Kind: Write, PathSuffix: ".db", Nth: 2, Errno: syscall.ENOSPC})
	want("the first write", put(f, "1"), 0)
	want("a write to another file", put(g, "x"), 0)
	want("the second write", put(f, "2"), syscall.ENOSPC)
	want("the third write", put(f, "3"), 0)

	fs.Inject(t, Fault{Kind: Fsync, Errno: syscall.EIO, Happened: true})
	want("an fsync that happens", f.Sync(), syscall.EIO)
	want("the one after it", f.Sync(), 0)
	fs.Inject(t, Fault{Kind: Fsync, Errno: syscall.EIO, Sticky: true})
	want("an fsync that does not happen", f.Sync(), syscall.EIO)
	want("one more", f.Sync(), syscall.EIO)
	want("one of another file", g.Sync(), syscall.EIO)
	fs.Clear(t)
	want("an fsync without a fault", f.Sync(), 0)

	fs.Inject(t, Fault{Kind: Rename, PathSuffix: "g", Errno: syscall.EIO, Happened: true})
	want("a rename", os.Rename(filepath.Join(fs.Path(), "g"), filepath.Join(fs.Path(), "h")), syscall.EIO)

	var kinds []string
	for _, op := range fs.Ops(t)[1:] {
		kinds = append(kinds, strings.TrimSpace(string(op.Kind)+" "+string(op.Data)))
	}
	// The write that failed is not there; the fsync that failed and happened
	// is an fsync.
	wantOps := []string{"create", "create", "write 1", "write x", "write 3", "fsync", "fsync", "fsynclost", "fsynclost", "fsynclost", "fsync", "rename"}
	if d := cmp.Diff(wantOps, kinds); d != "" {
		t.Error(d)
	}
}
