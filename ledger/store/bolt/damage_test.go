package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"consentledger/ledger/store"
)

// sample returns the bytes of a store with two maps of several levels, values
// that overflow a page, and a list of free pages. Each value ends with a
// checksum of key and value, so that a test can tell right from wrong.
func sample(t testing.TB) []byte {
	t.Helper()
	path := created(t)
	s := opened(t, path, Options{Maps: map[store.Map]MapOptions{a: {FillPercent: 0.9}}})
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 8 {
		must(t, s.Update(func(w store.Writer) error {
			for i := range 400 {
				if err := w.Put(a, fmt.Appendf(nil, "%08d", round*400+i), signed(fmt.Sprintf("%08d", round*400+i), 40+rng.IntN(60))); err != nil {
					return err
				}
			}
			for range 40 {
				k := fmt.Sprintf("%016x", rng.Uint64())
				if err := w.Put(b, []byte(k), signed(k, 100+rng.IntN(9000))); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	must(t, s.Check(), s.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func signed(key string, size int) []byte {
	v := bytes.Repeat([]byte{byte(size)}, size)
	return binary.BigEndian.AppendUint32(v, crc32.ChecksumIEEE(append([]byte(key), v...)))
}

func right(k, v []byte) bool {
	if len(v) < 4 {
		return false
	}
	n := len(v) - 4
	return crc32.ChecksumIEEE(append(bytes.Clone(k), v[:n]...)) == binary.BigEndian.Uint32(v[n:])
}

// use does everything one can do with a store. It returns the first error, how
// many pairs it read, and how many of them were wrong.
func use(path string, o Options) (read, wrong int, err error) {
	s, err := Open(path, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	see := func(k, v []byte) error {
		read++
		if !right(k, v) {
			wrong++
		}
		return nil
	}
	err = s.View(func(r store.Reader) error {
		var errs []error
		for _, m := range []store.Map{a, b} {
			errs = append(errs, r.Scan(m, nil, nil, see))
			_, _, err := r.Last(m)
			errs = append(errs, err)
			for i := range 50 {
				_, err := r.Get(m, fmt.Appendf(nil, "%08d", i*64))
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	if !o.ReadOnly {
		err = errors.Join(err, s.Update(func(w store.Writer) error {
			var errs []error
			for i := range 20 {
				errs = append(errs, w.Put(a, fmt.Appendf(nil, "%08d", i*150), signed(fmt.Sprintf("%08d", i*150), 50)),
					w.Delete(a, fmt.Appendf(nil, "%08d", i*150+1)), w.Put(b, fmt.Appendf(nil, "%016x", i<<59), signed(fmt.Sprintf("%016x", i<<59), 50)))
			}
			return errors.Join(errs...)
		}))
	}
	return read, wrong, errors.Join(err, s.Check())
}

// damages are ways for a file to go bad.
var damages = map[string]func(rng *rand.Rand, data []byte) []byte{
	"a page of noise": func(rng *rand.Rand, data []byte) []byte {
		noise(rng, page4k(rng, data))
		return data
	},
	"a page of zeros": func(rng *rand.Rand, data []byte) []byte {
		clear(page4k(rng, data))
		return data
	},
	"a changed byte": func(rng *rand.Rand, data []byte) []byte {
		data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
		return data
	},
	"changed bytes at the beginning of a page": func(rng *rand.Rand, data []byte) []byte {
		noise(rng, page4k(rng, data)[rng.IntN(64):][:1+rng.IntN(16)])
		return data
	},
	"noise behind the header of a page": func(rng *rand.Rand, data []byte) []byte {
		noise(rng, page4k(rng, data)[16:])
		return data
	},
	"a sector of noise": func(rng *rand.Rand, data []byte) []byte {
		noise(rng, data[rng.IntN(len(data)/512)*512:][:512])
		return data
	},
	"one page in the place of another": func(rng *rand.Rand, data []byte) []byte {
		copy(page4k(rng, data), page4k(rng, data))
		return data
	},
	"the page number of another": func(rng *rand.Rand, data []byte) []byte {
		to := page4k(rng, data)
		id := binary.NativeEndian.Uint64(to)
		copy(to, page4k(rng, data))
		binary.NativeEndian.PutUint64(to, id)
		return data
	},
	"a shorter file": func(rng *rand.Rand, data []byte) []byte { return data[:rng.IntN(len(data))] },
	"many changed bytes": func(rng *rand.Rand, data []byte) []byte {
		for range 200 {
			data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
		}
		return data
	},
}

func noise(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func page4k(rng *rand.Rand, data []byte) []byte {
	return data[rng.IntN(len(data)/4096)*4096:][:4096]
}

func TestADamagedFileIsAnErrorAndNeverACrash(t *testing.T) {
	whole := sample(t)
	h, err := newestHeader(bytes.NewReader(whole), int64(len(whole)))
	must(t, err)
	whole = whole[:int64(h.pages)*h.pageSize] // nothing behind the last page: all of it counts
	path := filepath.Join(memoryDir(t), "damaged.db")
	must(t, os.WriteFile(path, whole, 0o600))
	total, wrong, err := use(path, Options{ReadOnly: true})
	if err != nil || wrong != 0 || total < 3000 {
		t.Fatalf("the sample itself: %d pairs, %d wrong, %v", total, wrong, err)
	}
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			var refused, harmless, silent int
			for seed := range rounds {
				rng := rand.New(rand.NewPCG(uint64(seed), 1))
				must(t, os.WriteFile(path, damage(rng, bytes.Clone(whole)), 0o600))
				read, wrong, err := use(path, Options{ReadOnly: seed%2 == 0})
				switch {
				case err != nil && !errors.Is(err, store.ErrCorrupt):
					t.Errorf("seed %d: %v, which is not ErrCorrupt", seed, err)
				case err != nil:
					refused++
				case wrong > 0:
					silent++ // inside a value: not ours to see
				case read != total && wrong == 0:
					t.Errorf("seed %d: %d pairs of %d and no error", seed, read, total)
				default:
					harmless++ // a free page
				}
			}
			t.Logf("%d refused, %d harmless, %d only in a value", refused, harmless, silent)
			if refused == 0 && name != "a changed byte" {
				t.Error("no damage was noticed at all")
			}
		})
	}
}

func TestAFileThatShrinksUnderAnOpenStoreIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	must(t, os.WriteFile(path, sample(t), 0o600))
	s := opened(t, path, Options{ReadOnly: true})
	err := s.View(func(r store.Reader) error {
		// A value that is already in hand faults in the caller's own code.
		_, v, err := r.Last(b)
		must(t, err, os.Truncate(path, 2*4096))
		if right([]byte("?"), v) {
			t.Error("a value could be read from a file that is gone")
		}
		return nil
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("View: %v, want ErrCorrupt", err)
	}
	err = s.View(func(r store.Reader) error {
		return r.Scan(a, nil, nil, func(_, _ []byte) error { return nil })
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the next View: %v, want ErrCorrupt", err)
	}
	if err := s.Check(); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Check: %v, want ErrCorrupt", err)
	}
	must(t, os.Truncate(path, 0)) // the headers too
	if err := s.View(func(store.Reader) error { return nil }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("View of nothing: %v, want ErrCorrupt", err)
	}
	if err := s.View(func(store.Reader) error { return nil }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("one more: %v, want ErrCorrupt", err)
	}
	must(t, s.Close())
}

func FuzzAnyFileOpensOrIsRefused(f *testing.F) {
	whole := sample(f)[:64<<10]
	f.Add(whole, uint32(0), []byte{})
	f.Add(whole, uint32(4096), []byte{1, 2, 3})
	f.Add([]byte("not a database"), uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, data []byte, at uint32, patch []byte) {
		data = bytes.Clone(data)
		if int(at) < len(data) {
			copy(data[at:], patch)
		}
		path := filepath.Join(memoryDir(t), "f.db")
		must(t, os.WriteFile(path, data, 0o600))
		if s, err := Open(path, Options{ReadOnly: true}); err == nil {
			_ = s.View(func(r store.Reader) error { // that it does not crash is the test
				return r.Scan(a, nil, nil, func(_, _ []byte) error { return nil })
			})
			must(t, s.Close())
		}
	})
}
