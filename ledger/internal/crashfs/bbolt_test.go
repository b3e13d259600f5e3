package crashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"

	"go.etcd.io/bbolt"
)

// These tests prove the package with a database whose ways are known. bbolt
// keeps its promises if every commit is synced; without syncs it must be
// found to lose acknowledged data, or this package finds nothing.

const transactions = 50

// record runs transactions that each put a row and its count, and marks the
// record when one has returned.
func record(t *testing.T, noSync bool) []Op {
	fs := Start(t, t.TempDir())
	// bbolt does not create a file safely: this one is made beforehand.
	name := filepath.Join(fs.Path(), "test.db")
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err }))
	syncDir(t, fs.Path())
	db.NoSync = noSync
	fs.Mark(t, "0")
	for i := range transactions {
		must(t, db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("b"))
			row := make([]byte, 300)
			binary.BigEndian.PutUint64(row, uint64(i))
			return errors.Join(b.Put(fmt.Appendf(nil, "%03d", i), row), b.Put([]byte("count"), binary.BigEndian.AppendUint64(nil, uint64(i+1))))
		}))
		fs.Mark(t, strconv.Itoa(i+1))
	}
	must(t, db.Close())
	return fs.Ops(t)
}

// errLost says that a state opens, and lacks what was acknowledged.
var errLost = errors.New("lost")

// lost opens a state and says what is missing of the acknowledged rows.
func lost(name string, acknowledged int) (err error) {
	// Without syncs there are also states that send bbolt astray.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt panics: %v", p)
		}
	}()
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		if b == nil {
			return errors.New("no bucket")
		}
		n := 0
		if count := b.Get([]byte("count")); len(count) == 8 {
			n = int(binary.BigEndian.Uint64(count))
		}
		if n < acknowledged {
			return fmt.Errorf("%w: there are %d transactions, %d were acknowledged", errLost, n, acknowledged)
		}
		for i := range n {
			row := b.Get(fmt.Appendf(nil, "%03d", i))
			if len(row) != 300 || binary.BigEndian.Uint64(row) != uint64(i) {
				return fmt.Errorf("%w: row %d of %d is missing or wrong", errLost, i, n)
			}
		}
		return nil
	})
}

// replayAll opens every state after the first mark and returns how many there
// were, and the first error that counts.
func replayAll(t *testing.T, ops []Op, counts func(error) bool) (states int, err error) {
	dir, e := os.MkdirTemp(fastDir(), "crashfs-states-")
	must(t, e)
	defer os.RemoveAll(dir)
	started, acknowledged, at := false, 0, 0
	err = Rules{Seed: 1}.All(ops, func(cut int, _ string, d *Disk) error {
		for ; at < cut; at++ {
			if ops[at].Kind == Marked {
				started = true
				acknowledged, e = strconv.Atoi(ops[at].Label)
				must(t, e)
			}
		}
		if !started {
			return nil
		}
		states++
		if err := d.WriteTo(dir); err != nil {
			return err
		}
		if err := lost(filepath.Join(dir, "test.db"), acknowledged); err != nil && counts(err) {
			return err
		}
		return nil
	})
	return states, err
}

// fastDir is a file system in memory, if there is one.
func fastDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func TestBboltWithSyncsLosesNothingAcknowledged(t *testing.T) {
	states, err := replayAll(t, record(t, false), func(error) bool { return true })
	if err != nil {
		t.Error(err)
	}
	if states < 20*transactions {
		t.Errorf("only %d states were tried", states)
	}
	t.Logf("%d states", states)
}

func TestBboltWithoutSyncsIsCaughtLosingData(t *testing.T) {
	states, err := replayAll(t, record(t, true), func(err error) bool { return errors.Is(err, errLost) })
	if err == nil {
		t.Fatalf("none of %d states shows that bbolt without syncs loses data", states)
	}
	t.Logf("after %d states: %v", states, err)
}
