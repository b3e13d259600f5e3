package bolt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"consentledger/ledger/internal/crashfs"
	"consentledger/ledger/store"
)

// eachState writes every state that a power cut can leave into a directory in
// memory, and calls f with the place of the store and the last mark.
func eachState(t *testing.T, ops []crashfs.Op, f func(path, mark string, there bool) error) (states int, err error) {
	dir := memoryDir(t)
	mark, at := "", 0
	err = crashfs.Rules{Seed: 1}.All(ops, func(cut int, _ string, d *crashfs.Disk) error {
		for ; at < cut; at++ {
			if ops[at].Kind == crashfs.Marked {
				mark = ops[at].Label
			}
		}
		states++
		if err := d.WriteTo(dir); err != nil {
			return err
		}
		_, there := d.File("test.db")
		return f(filepath.Join(dir, "test.db"), mark, there)
	})
	return states, err
}

// counted checks that a store holds the updates up to some number, whole, and
// returns the number.
func counted(path string) (n int, err error) {
	s, err := Open(path, Options{Maps: map[store.Map]MapOptions{a: {}, b: {}}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Check(); err != nil {
		return 0, err
	}
	v, err := get(s, b, "count")
	if err != nil || v == "" {
		return 0, err
	}
	n, err = strconv.Atoi(v)
	if err != nil {
		return 0, err
	}
	rows := 0
	err = s.View(func(r store.Reader) error {
		return r.Scan(a, nil, nil, func(k, v []byte) error {
			if want := fmt.Sprintf("%04d", rows); string(k) != want || !right(k, v) {
				return fmt.Errorf("row %q, want %q and its value", k, want)
			}
			rows++
			return nil
		})
	})
	if err == nil && rows != 3*n {
		err = fmt.Errorf("%d rows of %d updates of three", rows, n)
	}
	return n, err
}

// count makes update n: three rows in one map, the number in the other.
func count(s *Store, n int) error {
	return s.Update(func(w store.Writer) error {
		for i := 3 * (n - 1); i < 3*n; i++ {
			k := fmt.Sprintf("%04d", i)
			if err := w.Put(a, []byte(k), signed(k, 700)); err != nil {
				return err
			}
		}
		return w.Put(b, []byte("count"), []byte(strconv.Itoa(n)))
	})
}

func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	mount := crashfs.Start(t, t.TempDir())
	path := filepath.Join(mount.Path(), "test.db")
	must(t, Create(path, []store.Map{a, b}))
	mount.Mark(t, "0")
	s := opened(t, path, Options{})
	for n := 1; n <= 20; n++ {
		must(t, count(s, n))
		mount.Mark(t, strconv.Itoa(n))
	}
	must(t, s.Close())
	states, err := eachState(t, mount.Ops(t), func(path, mark string, there bool) error {
		if mark == "" && !there {
			return nil // no Create has returned
		}
		n, err := counted(path)
		if err != nil {
			return err
		}
		if acknowledged, _ := strconv.Atoi(mark); n < acknowledged || n > acknowledged+1 {
			return fmt.Errorf("%d updates are there, %d were acknowledged", n, acknowledged)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if states < 500 {
		t.Errorf("only %d states were tried", states)
	}
	t.Logf("%d states", states)
}

// The header that bbolt wrote last is torn or lost in every state; settled
// means that the store is not set back by it.
func TestAfterSettleEveryHeaderShowsTheLastUpdate(t *testing.T) {
	mount := crashfs.Start(t, t.TempDir())
	path := filepath.Join(mount.Path(), "test.db")
	must(t, Create(path, []store.Map{a, b}))
	s := opened(t, path, Options{})
	must(t, count(s, 1), count(s, 2))
	mount.Mark(t, "updated")
	must(t, s.Settle())
	mount.Mark(t, "settled")
	must(t, s.Close())
	setBack := 0
	_, err := eachState(t, mount.Ops(t), func(path, mark string, _ bool) error {
		if mark == "" {
			return nil
		}
		loseNewestHeader(t, path)
		n, err := counted(path)
		if mark == "settled" {
			if err == nil && n != 2 {
				err = fmt.Errorf("settled after update 2, set back to %d", n)
			}
			return err
		}
		// Before, the store may be set back, or worse: while Settle writes, the
		// pages of the header before the lost one are being used again.
		if err == nil && n < 2 {
			setBack++
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if setBack == 0 {
		t.Error("not even before Settle does the loss of a header set the store back: the test proves nothing")
	}
}

func TestAnErrorOfTheDiskIsUncertainAndTheStoreStaysWhole(t *testing.T) {
	for _, f := range []crashfs.Fault{
		{Kind: crashfs.Write, Nth: 1},
		{Kind: crashfs.Write, Nth: 2},
		{Kind: crashfs.Write, Nth: 4},
		{Kind: crashfs.Fsync, Nth: 1}, // of the pages
		{Kind: crashfs.Fsync, Nth: 2}, // of the header
		{Kind: crashfs.Fsync, Nth: 3},
		{Kind: crashfs.Truncate, Nth: 1}, // when the file grows
	} {
		for _, f.Happened = range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %d, happened %t", f.Kind, f.Nth, f.Happened), func(t *testing.T) { diskError(t, f) })
		}
	}
}

// diskError makes updates until one meets the fault.
func diskError(t *testing.T, f crashfs.Fault) {
	mount := crashfs.Start(t, memoryDir(t))
	path := filepath.Join(mount.Path(), "test.db")
	must(t, Create(path, []store.Map{a, b}))
	s := opened(t, path, Options{})
	must(t, count(s, 1))
	mount.Mark(t, "1")
	f.PathSuffix, f.Errno = ".db", syscall.EIO
	mount.Inject(t, f)
	n, err := 1, error(nil)
	for ; err == nil && n < 100; n++ {
		mount.Mark(t, strconv.Itoa(n))
		err = count(s, n+1)
	}
	if !errors.Is(err, store.ErrUncertain) || !strings.Contains(err.Error(), "input/output error") { // bbolt does not always wrap
		t.Fatalf("update %d: %v, want ErrUncertain and the cause", n, err)
	}
	mount.Clear(t)
	before := len(mount.Ops(t))
	if err := count(s, n); !errors.Is(err, store.ErrPoisoned) {
		t.Errorf("the next Update: %v, want ErrPoisoned", err)
	}
	if now := mount.Ops(t); len(now) != before {
		t.Errorf("a poisoned store did %v", now[before:])
	}
	must(t, s.Close())
	if _, err := eachState(t, mount.Ops(t), func(path, mark string, _ bool) error {
		if mark == "" {
			return nil
		}
		got, err := counted(path)
		if acknowledged, _ := strconv.Atoi(mark); err == nil && got != acknowledged && got != acknowledged+1 {
			err = fmt.Errorf("%d updates are there, %d were acknowledged", got, acknowledged)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestAnUnreadableDiskIsAnError(t *testing.T) {
	mount := crashfs.Start(t, t.TempDir())
	path := filepath.Join(mount.Path(), "test.db")
	must(t, Create(path, []store.Map{a, b}))
	s := opened(t, path, Options{})
	for n := 1; n <= 50; n++ {
		must(t, count(s, n))
	}
	must(t, s.Close())
	s = opened(t, path, Options{ReadOnly: true}) // opening drops what the kernel has in memory
	mount.Inject(t, crashfs.Fault{Kind: crashfs.Read, Errno: syscall.EIO, Sticky: true})
	err := s.View(func(r store.Reader) error {
		return r.Scan(a, nil, nil, func(k, v []byte) error {
			if !right(k, v) {
				return errors.New("a value is wrong")
			}
			return nil
		})
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Scan: %v, want ErrCorrupt", err)
	}
	if err := s.Check(); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "can't be read") {
		t.Errorf("Check: %v, want ErrCorrupt and what can't be read", err)
	}
}
