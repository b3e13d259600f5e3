// Package datadir makes and opens the data directory of a ledger. It is the
// only place that chooses what a ledger is kept in: bbolt for the database, a
// file of two slots for the root key.
//
//	<dir>/ledger.db      entries, tiles, keyring
//	<dir>/head           the last published checkpoint
//	<dir>/tags/          the tag runs, made from the entries
//	<dir>/control.sock   of the server that runs on it
//	<root>               the root-key file, by default <dir>-root/root.key: outside, and in no backup
//
// Every error says what happened and what to do next.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"consentledger/crypto/rootkey"
	"consentledger/ledger"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
)

const databaseName = "ledger.db"

// Options of Create and Open. The zero value is ready to use.
type Options struct {
	// AcceptWeakRoot accepts a filesystem for the root-key file where
	// overwriting in place cannot be shown.
	AcceptWeakRoot bool
	Log            *slog.Logger     // absent: nothing is logged
	Clock          func() time.Time // absent: the system's
	// After is how the sweep waits, so that it follows Clock; absent: by the system's time.
	After func(time.Duration) <-chan time.Time
	// SweepEvery is how often what is due is destroyed; absent: an hour, and at
	// once when the ledger is opened; negative: never, for a command that does
	// one thing and ends.
	SweepEvery time.Duration
	Ask        func(*ledger.Ledger) error // asks the witnesses, before anything is signed
	// CacheBytes bounds the members in memory; absent: the ledger's default.
	CacheBytes int64
}

var (
	// ErrMissing says that there is no ledger in the directory.
	ErrMissing = errors.New("there is no ledger")
	// ErrExists says that Create found something where the ledger would be.
	ErrExists = errors.New("there is something already")
	// ErrBusy says that another process has the ledger open.
	ErrBusy = errors.New("another process has the ledger open")
)

// Database returns the path of the database in a data directory.
func Database(dir string) string { return filepath.Join(dir, databaseName) }

// DefaultRoot returns where the root-key file of a data directory is, unless
// somebody says otherwise: beside it, so that a backup of the one does not
// hold the other.
func DefaultRoot(dir string) string { return filepath.Clean(dir) + "-root/root.key" }

// Exists says whether a directory holds a ledger: nil, or an error that wraps
// ErrMissing if it does not.
func Exists(dir string) error {
	info, err := os.Stat(Database(dir))
	switch {
	case err == nil && info.Mode().IsRegular():
		return nil
	case err == nil:
		return fmt.Errorf("%w in %s: %s is not a regular file: look at what is there before anything else", ErrMissing, dir, Database(dir))
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s is not a directory: give the ledger's own with --dir", ErrMissing, dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for the ledger: %w", hint(err, dir))
	}
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%w in %s, though the directory is there: if it held one, put %s and head back, or mount the right disk; `init` makes a new ledger, at a path where nothing is yet", ErrMissing, dir, databaseName)
	}
	return fmt.Errorf("%w at %s: give the right --dir, or make a new, empty ledger with `consentledger init --dir %s --origin NAME --policy FILE`", ErrMissing, dir, dir)
}

// Open opens the ledger in dir for reading and writing. It never creates one,
// and an Open that fails changes nothing.
//
// Errors wrap ErrMissing, ErrBusy, those of rootkey.Open, those of ledger.Open
// (ledger.ErrCorrupt and ledger.ErrRollback say that the ledger is damaged),
// and those of the operating system.
func Open(dir, root string, o Options) (*ledger.Ledger, error) {
	if err := Exists(dir); err != nil {
		return nil, err
	}
	// Before anything is opened: a directory that cannot be written to would
	// only be found out in the middle.
	if err := writable(dir); err != nil {
		return nil, err
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	id, err := ledger.Identify(s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	keeper, err := rootkey.Open(root, id.ID, rootkey.Options{AcceptWeak: o.AcceptWeakRoot})
	if err != nil {
		return nil, errors.Join(rootHint(err), s.Close())
	}
	l, err := ledger.Open(options(dir, s, keeper, o)) // closes both if it fails
	if err != nil {
		return nil, fmt.Errorf("open the ledger in %s: %w", dir, hint(err, dir))
	}
	return l, nil
}

// OpenReadOnly opens the database of a ledger beside other readers, and
// without a key. The file is not written to.
func OpenReadOnly(database string) (store.Store, error) {
	s, err := bolt.Open(database, bolt.Options{ReadOnly: true, Maps: boltMaps()})
	switch {
	case errors.Is(err, bolt.ErrBusy):
		return nil, fmt.Errorf("%w: %s: with --dir, verify goes through the server that has it open; or stop it, or check a copy", ErrBusy, database)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no file %s: give the ledger's directory with --dir, or its database with --file", ErrMissing, database)
	case errors.Is(err, store.ErrUnknownMap):
		return nil, fmt.Errorf("%s is a bbolt file, but not that of a ledger: give the ledger's own: %w", database, err)
	case err != nil:
		return nil, err
	}
	return s, nil
}

func openStore(dir string) (store.Store, error) {
	s, err := bolt.Open(Database(dir), bolt.Options{Maps: boltMaps()})
	switch {
	case errors.Is(err, bolt.ErrBusy):
		return nil, fmt.Errorf("%w: %s: a server runs on it, or is just stopping; use that one, or stop it first. Two would destroy each other's work, so this one does not start", ErrBusy, dir)
	case err != nil:
		return nil, hint(err, dir)
	}
	return s, nil
}

func boltMaps() map[store.Map]bolt.MapOptions {
	maps := make(map[store.Map]bolt.MapOptions)
	for _, m := range ledger.Maps() {
		maps[m] = bolt.MapOptions{}
	}
	for _, m := range ledger.Increasing() {
		maps[m] = bolt.MapOptions{FillPercent: 0.9} // bbolt leaves room for inserts that never come
	}
	return maps
}

func options(dir string, s store.Store, keeper ledger.RootKeeper, o Options) ledger.Options {
	return ledger.Options{Dir: dir, Store: s, Root: keeper, Log: o.Log, Clock: o.Clock, After: o.After, SweepEvery: o.SweepEvery, Ask: o.Ask, CacheBytes: o.CacheBytes}
}

// writable makes sure that files can be made in dir, which a ledger needs for
// its tag runs and its socket, and that there is some room: on a full disk a
// ledger would start and stop at the first write.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return hint(err, dir)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeBytes))
	if err == nil {
		err = f.Sync() // delayed allocation finds out here
	}
	return hint(errors.Join(err, f.Close()), dir)
}

// probeBytes is about what one group of writes needs.
const probeBytes = 256 << 10

// hint adds what to do about an error of the operating system.
func hint(err error, dir string) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk with %s is full: make room or move the directory to a larger disk, and start again; nothing that was acknowledged is lost", err, dir)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: a file in %s may not grow (ulimit -f, or the filesystem's largest file): raise that limit and start again; nothing that was acknowledged is lost", err, dir)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %s is on a filesystem that is mounted read-only: mount it for writing. To look at the ledger as it is, `verify --file` needs no writing", err, dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not read and write in %s: run it as the user that owns the directory", err, dir)
	}
	return err
}

// rootHint names the flag where the package can only name the choice.
func rootHint(err error) error {
	if errors.Is(err, rootkey.ErrFilesystem) {
		return fmt.Errorf("%w (--root gives the file another place; --accept-weak-root accepts the weaker grade, which then stands on every proof of destruction)", err)
	}
	if errors.Is(err, rootkey.ErrMissing) || errors.Is(err, rootkey.ErrOtherLedger) {
		return fmt.Errorf("%w (--root gives the path)", err)
	}
	return err
}
