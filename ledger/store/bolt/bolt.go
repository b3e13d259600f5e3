// Package bolt keeps a store in one bbolt file.
//
// Two things about bbolt shape this package. An error of a commit says
// nothing about the disk, so the store is poisoned after one. And bbolt
// trusts its file: data pages carry no checksum, and a damaged one makes it
// panic, fault or follow a wild pointer. So Open first reads the parts that
// lead to everything else with bounds checked (see file.go), and what still
// goes wrong later is caught and becomes store.ErrCorrupt (see guard.go).
// A changed bit inside a value is not seen here: whoever put it must be able
// to tell.
package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"consentledger/ledger/store"
)

var (
	// ErrBusy says that another process, or another Open in this one, has
	// the file open in a way that excludes this one.
	ErrBusy = errors.New("another process has the store open; stop it first, or open a copy")

	// ErrNotBolt says that neither header of the file is one of bbolt. The
	// error wraps store.ErrCorrupt too, because a file whose headers are both
	// destroyed looks the same.
	ErrNotBolt = errors.New("not a bbolt file, or both its headers are destroyed")
)

// Options of Open. The zero value opens for reading and writing.
type Options struct {
	// ReadOnly opens with a shared lock, beside other readers but not beside
	// a writer, and never writes to the file.
	ReadOnly bool

	// Maps are those that must be there; Open names one that is not.
	Maps map[store.Map]MapOptions

	// MapBytes is how much address space to reserve, by default 64 GiB on a
	// 64-bit system. As long as the file is smaller, an Update never waits for
	// running Views; one that makes it larger does, so no View may then wait
	// for an Update. Address space is not memory. Where that much can't be
	// had, Open takes less.
	MapBytes int64

	// LockTimeout is how long to wait for another process to let go of the
	// file, by default 200 ms.
	LockTimeout time.Duration
}

// MapOptions tune one map.
type MapOptions struct {
	// FillPercent is how full a page is left when it splits, from 0.1 to 1:
	// about 0.9 for keys that only grow, 0.5 (the default, for 0) for random
	// ones.
	FillPercent float64
}

// Store is a store.Store in a bbolt file.
type Store struct {
	db   *bbolt.DB
	file *os.File // bbolt's own descriptor, for when bbolt can't be asked any more
	opts Options

	update   sync.Mutex // held during Update, Settle, Check and Close: one writer
	poisoned bool       // guarded by update
	settled  bool       // guarded by update: both headers show the last update
	closed   bool       // guarded by update

	// wrecked is set when bbolt panicked where it holds its own locks: from
	// then on no call may enter it, or it could wait for ever.
	wrecked atomic.Bool
}

var _ store.Store = (*Store)(nil)

const (
	defaultMapBytes    = 64 << 30
	defaultLockTimeout = 200 * time.Millisecond
	lockRetry          = 10 * time.Millisecond
)

// Open opens the store at path; it never creates one. Besides ErrBusy,
// ErrNotBolt, store.ErrCorrupt and store.ErrUnknownMap, a missing file is an
// error that wraps fs.ErrNotExist.
func Open(path string, o Options) (*Store, error) {
	if o.MapBytes == 0 && bits.UintSize == 64 {
		o.MapBytes = defaultMapBytes
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	for m, mo := range o.Maps {
		if mo.FillPercent != 0 && (mo.FillPercent < 0.1 || mo.FillPercent > 1) {
			return nil, fmt.Errorf("opening store: map %q: FillPercent must be from 0.1 to 1, not %g", m, mo.FillPercent)
		}
	}
	s, err := open(path, o)
	for errors.Is(err, syscall.ENOMEM) && o.MapBytes > 0 {
		// Address space is limited here (ulimit -v, a strict container).
		o.MapBytes /= 8
		s, err = open(path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("opening store %s: %w", path, err)
	}
	return s, nil
}

func open(path string, o Options) (_ *Store, err error) {
	s := &Store{opts: o}
	// When bbolt fails it closes the file; when it panics nobody else does.
	defer func() {
		if err != nil && s.file != nil {
			_ = letGo(s.file)
		}
	}()
	defer catch(nil, &err)
	defer faultsPanic()()
	s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly:        o.ReadOnly,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: int(o.MapBytes),
		Timeout:         o.LockTimeout,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := openExisting(name, flag&^os.O_CREATE, mode, o)
			if err != nil {
				return nil, err
			}
			s.file = f
			return f, nil
		},
	})
	if err != nil {
		if errors.Is(err, bbolterrors.ErrInvalid) || errors.Is(err, bbolterrors.ErrVersionMismatch) || errors.Is(err, bbolterrors.ErrChecksum) {
			err = fmt.Errorf("%w: %w: %w", ErrNotBolt, store.ErrCorrupt, err)
		}
		return nil, err
	}
	if err := s.hasMaps(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openExisting opens and locks the file, and looks at what bbolt is about to
// trust. bbolt locks the same descriptor once more, which changes nothing.
func openExisting(name string, flag int, mode os.FileMode, o Options) (_ *os.File, err error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // nothing was written
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err := lock(f, o); err != nil {
		return nil, err
	}
	if err := checkSkeleton(f); err != nil {
		return nil, err
	}
	return f, nil
}

// lock takes the flock, shared for a reader.
func lock(f *os.File, o Options) error {
	how := syscall.LOCK_EX | syscall.LOCK_NB
	if o.ReadOnly {
		how = syscall.LOCK_SH | syscall.LOCK_NB
	}
	for deadline := time.Now().Add(o.LockTimeout); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		case time.Now().After(deadline):
			return ErrBusy
		}
	}
}

// letGo gives up a file that bbolt will not close. Its mapping stays until the
// process ends, and would keep the lock.
func letGo(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

func (s *Store) hasMaps() error {
	return s.View(func(r store.Reader) error {
		for m := range s.opts.Maps {
			if _, _, err := r.Last(m); err != nil {
				return err
			}
		}
		return nil
	})
}

// begin starts a bbolt transaction. A panic in there leaves bbolt's own locks
// held.
func (s *Store) begin(writable bool) (tx *bbolt.Tx, err error) {
	if s.wrecked.Load() {
		return nil, fmt.Errorf("%w: an earlier call found it unreadable", store.ErrCorrupt)
	}
	defer func() {
		if err != nil && errors.Is(err, store.ErrCorrupt) {
			s.wrecked.Store(true)
		}
	}()
	defer catch(nil, &err)
	tx, err = s.db.Begin(writable)
	switch {
	case errors.Is(err, bbolterrors.ErrDatabaseNotOpen):
		return nil, store.ErrClosed
	case errors.Is(err, bbolterrors.ErrInvalidMapping):
		return nil, fmt.Errorf("%w: %w", store.ErrPoisoned, err)
	}
	return tx, err
}

// rollback ends a transaction without a trace.
func (s *Store) rollback(tx *bbolt.Tx) (err error) {
	defer func() {
		if err != nil {
			s.wrecked.Store(true)
		}
	}()
	defer catch(nil, &err)
	return tx.Rollback()
}

// View implements store.Store.
func (s *Store) View(f func(store.Reader) error) (err error) {
	defer faultsPanic()()
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	r := newReader(s, tx)
	defer func() {
		r.end()
		if e := s.rollback(tx); err == nil {
			err = e
		}
	}()
	defer catchFaults(r, &err)
	return f(r)
}

// Update implements store.Store.
func (s *Store) Update(f func(store.Writer) error) error {
	s.update.Lock()
	defer s.update.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	defer faultsPanic()()
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	w := newReader(s, tx)
	if err := s.change(w, f); err != nil {
		return err
	}
	return s.commit(tx)
}

// change runs f, and rolls the transaction back unless it ended well.
func (s *Store) change(w *reader, f func(store.Writer) error) (err error) {
	well := false
	defer func() {
		w.end()
		if !well {
			if e := s.rollback(w.tx); err == nil {
				err = e // a panic of f is on its way; this error goes nowhere
			}
		}
	}()
	defer catchFaults(w, &err)
	if err := f(w); err != nil {
		return err
	}
	if w.refused != nil {
		return w.refused
	}
	well = true
	return nil
}

// commit makes a transaction durable, or poisons the store.
func (s *Store) commit(tx *bbolt.Tx) error {
	s.settled = false
	// Reserving 64 GiB makes bbolt grow the file by AllocSize at once, 16 MiB
	// however small the file is: grow by a quarter instead. Only the writer
	// reads AllocSize.
	s.db.AllocSize = min(max(int(tx.Size()/4), minGrowBytes), maxGrowBytes)
	if err := s.tryCommit(tx); err != nil {
		s.poisoned = true
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	return nil
}

const (
	minGrowBytes = 1 << 20
	maxGrowBytes = 64 << 20
)

func (s *Store) tryCommit(tx *bbolt.Tx) (err error) {
	defer func() {
		if errors.Is(err, store.ErrCorrupt) {
			s.wrecked.Store(true)
		}
	}()
	defer catch(nil, &err)
	return tx.Commit()
}

func (s *Store) writable() error {
	switch {
	case s.closed:
		return store.ErrClosed
	case s.opts.ReadOnly:
		return store.ErrReadOnly
	case s.poisoned:
		return store.ErrPoisoned
	}
	return nil
}

// Settle implements store.Store. bbolt's two headers take turns, and when the
// newest does not check out, Open silently uses the one before it. One more,
// empty, transaction makes both show what the last Update wrote.
func (s *Store) Settle() error {
	s.update.Lock()
	defer s.update.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if s.settled {
		return nil
	}
	defer faultsPanic()()
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	if err := s.commit(tx); err != nil {
		return fmt.Errorf("settling: %w", err)
	}
	s.settled = true
	return nil
}

// Size implements store.Store: the length of the file.
func (s *Store) Size() (int64, error) {
	s.update.Lock()
	defer s.update.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	info, err := s.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("size of the store: %w", err)
	}
	return info.Size(), nil
}

// Close implements store.Store.
func (s *Store) Close() (err error) {
	s.update.Lock()
	defer s.update.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.wrecked.Load() {
		// bbolt may hold its locks for ever.
		err = letGo(s.file)
	} else {
		defer catch(nil, &err)
		err = s.db.Close()
	}
	if err != nil {
		return fmt.Errorf("closing store: %w", err)
	}
	return nil
}
