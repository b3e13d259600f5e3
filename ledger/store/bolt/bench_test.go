package bolt

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"consentledger/ledger/store"
)

// On the disk of TMPDIR, because waiting for it is what is measured.
func onDisk(b *testing.B, o Options) *Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bench.db")
	must(b, Create(path, []store.Map{"a", "b"}))
	return opened(b, path, o)
}

// BenchmarkUpdate writes groups of 500-byte values under growing keys, as the
// ledger writes entries.
func BenchmarkUpdate(b *testing.B) {
	value := make([]byte, 500)
	for _, group := range []int{1, 16, 128, 1024, 4096} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			s := onDisk(b, Options{Maps: map[store.Map]MapOptions{"a": {FillPercent: 0.9}}})
			next := uint64(0)
			b.SetBytes(int64(group * len(value)))
			for b.Loop() {
				must(b, s.Update(func(w store.Writer) error {
					for range group {
						if err := w.Put("a", binary.BigEndian.AppendUint64(nil, next), value); err != nil {
							return err
						}
						next++
					}
					return nil
				}))
			}
			b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkReserved shows what reserving address space costs.
func BenchmarkReserved(b *testing.B) {
	for _, gib := range []int64{1, 64, 1024} {
		b.Run(fmt.Sprintf("GiB=%d/update", gib), func(b *testing.B) {
			s := onDisk(b, Options{MapBytes: gib << 30})
			n := uint64(0)
			for b.Loop() {
				must(b, s.Update(func(w store.Writer) error {
					n++
					return w.Put("a", binary.BigEndian.AppendUint64(nil, n), make([]byte, 500))
				}))
			}
		})
		b.Run(fmt.Sprintf("GiB=%d/open", gib), func(b *testing.B) {
			s := onDisk(b, Options{})
			path := s.file.Name()
			must(b, s.Close())
			for b.Loop() {
				s, err := Open(path, Options{MapBytes: gib << 30})
				must(b, err, s.Close())
			}
		})
	}
}

// BenchmarkRandomKeys tells whether a caller should sort what it puts: 16-byte
// keys into a map that holds 100,000.
func BenchmarkRandomKeys(b *testing.B) {
	for _, group := range []int{256, 4096} {
		for _, order := range []string{"as they come", "sorted"} {
			b.Run(fmt.Sprintf("group=%d/%s", group, order), func(b *testing.B) {
				s := opened(b, created(b), Options{}) // in memory: this is about the processor
				rng := rand.New(rand.NewPCG(1, 1))
				puts := func(n int) {
					keys := make([][]byte, n)
					for i := range keys {
						keys[i] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, rng.Uint64()), rng.Uint64())
					}
					if order == "sorted" {
						slices.SortFunc(keys, slices.Compare)
					}
					must(b, s.Update(func(w store.Writer) error {
						for _, k := range keys {
							if err := w.Put("b", k, k); err != nil {
								return err
							}
						}
						return nil
					}))
				}
				for range 25 {
					puts(4000)
				}
				for b.Loop() {
					puts(group)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*group), "ns/put")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := opened(b, created(b), Options{})
	for round := range uint64(100) {
		must(b, s.Update(func(w store.Writer) error {
			for i := range uint64(1000) {
				if err := w.Put("a", binary.BigEndian.AppendUint64(nil, round*1000+i), make([]byte, 500)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	b.Run("one a view", func(b *testing.B) {
		b.ReportAllocs()
		key := make([]byte, 8)
		for i := uint64(0); b.Loop(); i++ {
			binary.BigEndian.PutUint64(key, i*7919%100_000)
			must(b, s.View(func(r store.Reader) error { _, err := r.Get("a", key); return err }))
		}
	})
	b.Run("many a view", func(b *testing.B) {
		b.ReportAllocs()
		key := make([]byte, 8)
		must(b, s.View(func(r store.Reader) error {
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(key, i*7919%100_000)
				if v, err := r.Get("a", key); err != nil || len(v) != 500 {
					return fmt.Errorf("Get gave %d bytes, %w", len(v), err)
				}
			}
			return nil
		}))
	})
	b.Run("scan", func(b *testing.B) {
		n := 0
		for b.Loop() {
			must(b, s.View(func(r store.Reader) error {
				return r.Scan("a", nil, nil, func(_, _ []byte) error { n++; return nil })
			}))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/pair")
	})
	b.Run("open", func(b *testing.B) {
		path := s.file.Name()
		must(b, s.Close())
		for b.Loop() {
			s, err := Open(path, Options{})
			must(b, err, s.Close())
		}
	})
}
