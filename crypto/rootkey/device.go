//go:build unix

package rootkey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// osDevice is a file of the operating system.
type osDevice struct {
	path       string
	acceptWeak bool
	file       *os.File
	direct     *os.File // bypasses the page cache; nil where the filesystem can't
	place      placement
	buffer     []byte   // slotSize bytes, aligned for direct I/O
	made       []string // directories that createDevice made, outermost first
}

// placement is where a file's bytes are, as far as the operating system tells.
type placement struct {
	kind   placeKind
	why    string // why not inPlace
	layout layout
}

type placeKind byte

const (
	notShown placeKind = iota // an overwrite may leave the old bytes elsewhere
	inMemory                  // no medium
	inPlace                   // an overwrite replaces the old bytes
)

// layout is the address on the medium of each 512 bytes of the file; all zero
// where it isn't known.
type layout [fileSize / 512]uint64

// createDevice makes a file of two cleared slots. No key is written before it is
// known that one can be overwritten there.
func createDevice(path string, o Options) (_ *osDevice, err error) {
	d := &osDevice{path: path, acceptWeak: o.AcceptWeak, buffer: alignedBuffer()}
	if err := d.makeDirectories(); err != nil {
		return nil, fmt.Errorf("rootkey: creating %s: %w", path, err)
	}
	d.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		d.removeDirectories()
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w at %s: open it, or give another path; a root-key file is never replaced", ErrExists, path)
		}
		return nil, fmt.Errorf("rootkey: creating %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			d.remove()
			d.close()
		}
	}()
	if err := d.lock(); err != nil {
		return nil, err
	}
	for i := range slots {
		if err := d.writeAt(&cleared, offset(i)); err != nil {
			return nil, fmt.Errorf("rootkey: creating %s: %w", path, err)
		}
	}
	if err := d.sync(); err != nil {
		return nil, fmt.Errorf("rootkey: creating %s: fsync: %w", path, err)
	}
	if err := d.syncDirectories(); err != nil {
		return nil, fmt.Errorf("rootkey: creating %s: %w", path, err)
	}
	return d, d.locate()
}

func openDevice(path string, o Options) (_ *osDevice, err error) {
	d := &osDevice{path: path, acceptWeak: o.AcceptWeak, buffer: alignedBuffer()}
	d.file, err = os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s: give the path of the ledger's own file; without it nothing that the ledger sealed can be read again, so do not create another one", ErrMissing, path)
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("rootkey: %s is a symbolic link: give the path of the file itself", path)
	}
	if err != nil {
		return nil, fmt.Errorf("rootkey: opening %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	info, err := d.file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("rootkey: opening %s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("rootkey: %s is not a regular file: give the path of the ledger's own root-key file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("rootkey: others may read or write %s (mode %04o): find out who has, then chmod 600 it: %w", path, info.Mode().Perm(), fs.ErrPermission)
	}
	if err := d.lock(); err != nil {
		return nil, err
	}
	// Only now: before the lock, another process might have been creating it.
	if info, err = d.file.Stat(); err != nil {
		return nil, fmt.Errorf("rootkey: opening %s: %w", path, err)
	}
	if info.Size() != fileSize {
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d: if its creation was interrupted and nothing was ever recorded, remove it and create it again; otherwise put the ledger's own file back", ErrDamaged, path, info.Size(), fileSize)
	}
	return d, d.locate()
}

func inspectDevice(path string) (string, error) {
	d := &osDevice{path: path, acceptWeak: true, buffer: alignedBuffer()}
	var err error
	if d.file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); err != nil {
		return "", fmt.Errorf("rootkey: opening %s: %w", path, err)
	}
	defer d.close()
	defer clear(d.buffer)
	if err := d.locate(); err != nil {
		return "", err
	}
	return d.grade(), nil
}

// lock takes the file for this process, until it is closed.
func (d *osDevice) lock() error {
	switch err := unix.Flock(int(d.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: %s: stop that one first", ErrBusy, d.path)
	case err != nil:
		return fmt.Errorf("rootkey: locking %s: %w", d.path, err)
	}
	return nil
}

// locate finds out where the file is and whether it can be read back directly.
func (d *osDevice) locate() error {
	d.place = locate(d.file)
	if err := d.acceptable(d.place); err != nil {
		return err
	}
	direct, err := openDirect(d.path)
	if err != nil {
		return fmt.Errorf("rootkey: opening %s for direct reading: %w", d.path, err)
	}
	if direct == nil {
		return nil
	}
	d.direct = direct
	if err := d.samePath(direct); err != nil {
		return err
	}
	switch _, err := direct.ReadAt(d.buffer, 0); {
	case errors.Is(err, syscall.EINVAL), errors.Is(err, errors.ErrUnsupported):
		// The filesystem takes the flag, or the device has larger sectors, but
		// it does not read: the weaker grade.
		d.direct = nil
		direct.Close()
	case err != nil:
		return fmt.Errorf("rootkey: reading %s: %w", d.path, err)
	}
	clear(d.buffer)
	return nil
}

func (d *osDevice) acceptable(p placement) error {
	if p.kind == inPlace || d.acceptWeak {
		return nil
	}
	return fmt.Errorf("%w: %s: %s: an old root key could survive there; put the file on ext4 or XFS, on a disk of its own if need be, or accept the weaker grade knowingly", ErrFilesystem, d.path, p.why)
}

// samePath says whether other is the file that d has open.
func (d *osDevice) samePath(other interface{ Stat() (fs.FileInfo, error) }) error {
	mine, err := d.file.Stat()
	if err != nil {
		return err
	}
	theirs, err := other.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(mine, theirs) {
		return fmt.Errorf("rootkey: %s was replaced by another file while it was open: put the first one back, its key is the current one", d.path)
	}
	return nil
}

// lstat is what stands at a path now.
type lstat string

func (path lstat) Stat() (fs.FileInfo, error) { return os.Lstat(string(path)) }

func (d *osDevice) check() error {
	if err := d.samePath(lstat(d.path)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rootkey: %s was removed or renamed while it was open: put it back, its key is the current one: %w", d.path, err)
		}
		return err
	}
	if d.place.kind != inPlace {
		return nil // accepted already, and no better grade can come of it
	}
	now := locateAgain(d.file)
	if now.kind == inPlace && now.layout != d.place.layout {
		now.kind, now.why = notShown, "its blocks moved on the disk while it was open (defragmentation, or a clone), and the old blocks may hold a key"
	}
	if err := d.acceptable(now); err != nil {
		return err
	}
	d.place = now // with a weaker grade, if need be, until the file is opened again
	return nil
}

func (d *osDevice) grade() string {
	readBack := "read-back-cached"
	if d.direct != nil {
		readBack = "read-back-direct"
	}
	switch d.place.kind {
	case inPlace:
		return "overwritten-in-place/" + readBack
	case inMemory:
		return "memory"
	default:
		return "overwriting-not-shown/" + readBack
	}
}

func (d *osDevice) writeAt(b *block, offset int64) error {
	_, err := d.file.WriteAt(b[:], offset)
	return err
}

func (d *osDevice) sync() error { return d.file.Sync() }

func (d *osDevice) readBack(b *block, offset int64) error {
	from := d.file
	if d.direct != nil {
		from = d.direct
	}
	defer clear(d.buffer)
	if _, err := from.ReadAt(d.buffer, offset); err != nil {
		return err
	}
	copy(b[:], d.buffer)
	return nil
}

func (d *osDevice) close() error {
	var direct error
	if d.direct != nil {
		direct = d.direct.Close()
	}
	return errors.Join(direct, d.file.Close())
}

// remove takes back what createDevice made. Whatever it can't remove holds no key
// that anything was sealed under.
func (d *osDevice) remove() {
	os.Remove(d.path)
	d.removeDirectories()
}

func (d *osDevice) makeDirectories() error {
	var missing []string
	for dir := filepath.Dir(d.path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			d.removeDirectories()
			return err
		} else if err == nil {
			d.made = append(d.made, missing[i])
		}
	}
	return nil
}

func (d *osDevice) removeDirectories() {
	for i := len(d.made) - 1; i >= 0; i-- {
		os.Remove(d.made[i])
	}
}

// syncDirectories makes the file's name durable, and those of the directories that
// were made for it.
func (d *osDevice) syncDirectories() error {
	dirs := []string{filepath.Dir(d.path)}
	for _, made := range d.made {
		dirs = append(dirs, filepath.Dir(made))
	}
	for _, name := range dirs {
		dir, err := os.Open(name)
		if err != nil {
			return err
		}
		err = dir.Sync()
		dir.Close()
		if err != nil {
			return fmt.Errorf("fsync of directory %s: %w", name, err)
		}
	}
	return nil
}

// alignedBuffer returns slotSize bytes that begin at a multiple of slotSize, which
// direct I/O wants. Go's collector does not move them.
func alignedBuffer() []byte {
	b := make([]byte, 2*slotSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % slotSize
	return b[skip : skip+slotSize : skip+slotSize]
}
