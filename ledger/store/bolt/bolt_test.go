package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"consentledger/ledger/internal/crashfs"
	"consentledger/ledger/store"
	"consentledger/ledger/store/storetest"
)

func TestMain(m *testing.M) {
	crashfs.Main()
	goleak.VerifyTestMain(m)
}

const a, b store.Map = "a", "b"

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// memoryDir is a directory in memory, where there is one: what these tests are
// about does not depend on a disk, and takes ten times as long on one.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bolt-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// created makes a store with the maps a and b.
func created(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(memoryDir(t), "test.db")
	must(t, Create(path, []store.Map{a, b}))
	return path
}

func opened(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	must(t, err)
	t.Cleanup(func() { s.Close() }) // some tests have closed or broken it
	return s
}

// put puts one key in one update.
func put(s *Store, m store.Map, key, value string) error {
	return s.Update(func(w store.Writer) error { return w.Put(m, []byte(key), []byte(value)) })
}

func get(s *Store, m store.Map, key string) (v string, err error) {
	err = s.View(func(r store.Reader) error {
		b, err := r.Get(m, []byte(key))
		v = string(b)
		return err
	})
	return v, err
}

// failWrites makes the store's descriptor one that can't be written to.
func failWrites(t testing.TB, s *Store) {
	t.Helper()
	f, err := os.Open(s.file.Name())
	must(t, err)
	defer f.Close()
	must(t, syscall.Dup3(int(f.Fd()), int(s.file.Fd()), syscall.O_CLOEXEC))
}

func TestTheContract(t *testing.T) {
	for name, o := range map[string]Options{
		"as it comes":     {},
		"with full pages": {Maps: map[store.Map]MapOptions{storetest.One: {FillPercent: 1}, storetest.Two: {FillPercent: 0.9}}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Subject {
				path := filepath.Join(memoryDir(t), "test.db")
				must(t, Create(path, storetest.Maps()))
				var last *Store
				return storetest.Subject{
					Open: func() (store.Store, error) {
						var err error
						last, err = Open(path, o)
						return last, err
					},
					FailNextCommit: func() { failWrites(t, last) },
				}
			})
		})
	}
}

func TestCreateRefusesAnExistingFile(t *testing.T) {
	path := created(t)
	must(t, put(opened(t, path, Options{}), a, "k", "v"))
	before, err := os.ReadFile(path)
	must(t, err)
	if err := Create(path, []store.Map{a}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a store: %v, want ErrExist", err)
	}
	link := filepath.Join(t.TempDir(), "dangling")
	must(t, os.Symlink("nowhere", link))
	if err := Create(link, []store.Map{a}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a dangling link: %v, want ErrExist", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a refused Create changed the file")
	}
	if others, _ := filepath.Glob(path + ".*"); len(others) > 0 {
		t.Errorf("Create left %v behind", others)
	}
}

func TestAStoreIsForItsOwnerOnly(t *testing.T) {
	info, err := os.Stat(created(t))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	good := created(t)
	for _, c := range []struct {
		name, path string
		o          Options
		want       error
		says       string
	}{
		{"missing", filepath.Join(dir, "nowhere"), Options{}, fs.ErrNotExist, "nowhere"},
		{"missing, read-only", filepath.Join(dir, "nowhere"), Options{ReadOnly: true}, fs.ErrNotExist, "nowhere"},
		{"empty", file("empty", ""), Options{}, ErrNotBolt, "too short"},
		{"text", file("text", strings.Repeat("not a database ", 1000)), Options{}, ErrNotBolt, "text"},
		{"zeros", file("zeros", strings.Repeat("\x00", 1<<16)), Options{}, ErrNotBolt, "zeros"},
		{"a map is missing", good, Options{Maps: map[store.Map]MapOptions{a: {}, "tags": {}}}, store.ErrUnknownMap, `"tags"`},
		{"a fill beyond a page", good, Options{Maps: map[store.Map]MapOptions{a: {FillPercent: 1.5}}}, nil, `"a": FillPercent`},
		{"a directory", dir, Options{ReadOnly: true}, nil, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.path, c.o)
			if err == nil {
				s.Close()
				t.Fatal("it opens")
			}
			if (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Open: %v; want %v and the words %q", err, c.want, c.says)
			}
			if c.want == ErrNotBolt && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%v is no ErrCorrupt", err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("Open created a file")
	}
	if info, _ := os.Stat(filepath.Join(dir, "empty")); info.Size() != 0 {
		t.Error("Open wrote to an empty file")
	}
	must(t, opened(t, good, Options{}).Check()) // none of this locked or hurt it
}

func TestOneWriterOrManyReaders(t *testing.T) {
	path := created(t)
	soon := Options{LockTimeout: time.Millisecond}
	soonReading := Options{LockTimeout: time.Millisecond, ReadOnly: true}
	busy := func(what string, o Options) {
		t.Helper()
		if s, err := Open(path, o); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", what, err)
			if err == nil {
				s.Close()
			}
		}
	}
	writer := opened(t, path, soon)
	busy("a second writer", soon)
	busy("a reader beside a writer", soonReading)
	must(t, writer.Close())
	one, two := opened(t, path, soonReading), opened(t, path, soonReading)
	busy("a writer beside readers", soon)
	must(t, one.Close(), two.Close())
	opened(t, path, soon)
}

func TestAReadOnlyStoreIsNotWrittenTo(t *testing.T) {
	path := created(t)
	s := opened(t, path, Options{})
	must(t, put(s, a, "k", "v"), s.Close())
	must(t, os.Chmod(path, 0o400))
	before, err := os.ReadFile(path)
	must(t, err)
	s = opened(t, path, Options{ReadOnly: true})
	if v, err := get(s, a, "k"); v != "v" || err != nil {
		t.Errorf("Get = %q, %v", v, err)
	}
	for what, err := range map[string]error{"Update": put(s, a, "k", "w"), "Settle": s.Settle()} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", what, err)
		}
	}
	must(t, s.Check(), s.Close())
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file changed")
	}
}

func TestSettleOutlivesTheLossOfTheNewestHeader(t *testing.T) {
	for _, settled := range []bool{true, false} {
		t.Run(fmt.Sprintf("settled %t", settled), func(t *testing.T) {
			path := created(t)
			s := opened(t, path, Options{})
			must(t, put(s, a, "k", "old"), put(s, a, "k", "new"))
			if settled {
				must(t, s.Settle())
			}
			must(t, s.Close())
			loseNewestHeader(t, path)
			v, err := get(opened(t, path, Options{}), a, "k")
			must(t, err)
			// Without Settle bbolt falls back, silently: the control.
			if want := map[bool]string{true: "new", false: "old"}[settled]; v != want {
				t.Errorf("after the loss of the newest header the value is %q, want %q", v, want)
			}
		})
	}
}

func loseNewestHeader(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	first, err := readHeader(f, 0)
	must(t, err)
	second, err := readHeader(f, first.pageSize)
	must(t, err)
	at := int64(0)
	if second.txid > first.txid {
		at = first.pageSize
	}
	_, err = f.WriteAt(make([]byte, 8), at+pageHeader+metaSize-8) // its checksum
	must(t, err)
}

func TestASettledStoreIsNotWrittenToBySettle(t *testing.T) {
	path := created(t)
	s := opened(t, path, Options{})
	must(t, put(s, a, "k", "v"), s.Settle())
	before, err := os.ReadFile(path)
	must(t, err, s.Settle())
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a second Settle wrote to the file")
	}
}

func TestASmallStoreIsASmallFile(t *testing.T) {
	s := opened(t, created(t), Options{})
	for i := range 100 {
		must(t, put(s, a, fmt.Sprint(i), strings.Repeat("v", 500)))
	}
	if n, err := s.Size(); err != nil || n > 2<<20 {
		t.Errorf("100 values of 500 bytes take %d bytes, %v", n, err)
	}
}

func TestAPanicOfTheCallerIsNotTakenForDamage(t *testing.T) {
	s := opened(t, created(t), Options{})
	var nothing *int
	for what, f := range map[string]func(){
		"View":   func() { _ = s.View(func(store.Reader) error { *nothing = 1; return nil }) },
		"Update": func() { _ = s.Update(func(store.Writer) error { *nothing = 1; return nil }) },
		"Scan": func() {
			_ = s.Update(func(w store.Writer) error {
				return errors.Join(w.Put(a, []byte("k"), nil), w.Scan(a, nil, nil, func(_, _ []byte) error { *nothing = 1; return nil }))
			})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s swallowed a nil dereference of its caller", what)
				}
			}()
			f()
		}()
	}
	must(t, put(s, a, "k", "v"), s.Check())
}
