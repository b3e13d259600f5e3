package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"consentledger/ledger/store"
)

// Create makes a new, empty store with the given maps at path. It refuses an
// existing file with an error that wraps fs.ErrExist. The file appears under
// its name only when it is whole and durable: a power cut leaves either no
// file of that name or a store that opens (and perhaps a file named path +
// ".new-…", which holds nothing and may be deleted).
func Create(path string, maps []store.Map) error {
	if err := create(path, maps); err != nil {
		return fmt.Errorf("creating store %s: %w", path, err)
	}
	return nil
}

func create(path string, maps []store.Map) (err error) {
	for i, m := range maps {
		if m == "" {
			return fmt.Errorf("map %d of %d has no name", i+1, len(maps))
		}
	}
	// A friendly early answer; renameNew is what decides.
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return err
	}
	// A new bbolt file gets its first pages by two separate writes and syncs,
	// and an interrupted one neither opens nor can be told from rot: hence
	// the other name.
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // nothing points to it; the first error counts
		}
	}()
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := initialise(tmp.Name(), maps); err != nil {
		return err
	}
	if err := renameNew(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func initialise(path string, maps []store.Map) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, m := range maps {
			if _, err := tx.CreateBucket([]byte(m)); err != nil {
				return fmt.Errorf("map %q: %w", m, err)
			}
		}
		return nil
	})
	if err == nil {
		// Both headers show the maps, so losing one of them can't undo the
		// creation.
		err = db.Update(func(*bbolt.Tx) error { return nil })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	// bbolt used fdatasync; this one also covers what fstat shows.
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
