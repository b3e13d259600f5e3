package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"consentledger/ledger/store"
)

// viewIsSnapshot holds a view open while updates commit beside it.
func viewIsSnapshot(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2"); err != nil {
			return err
		}
		return st.View(func(r store.Reader) error {
			if err := wantContents(r, One, "a=1 b=2"); err != nil {
				return err
			}
			done := make(chan error)
			go func() {
				done <- errors.Join(
					st.Update(func(w store.Writer) error {
						return errors.Join(put(w, One, "a", "9", "c", "3"), w.Delete(One, []byte("b")))
					}),
					manyKeys(st),
					wantView(st, Two, ""),
				)
			}()
			return errors.Join(<-done, wantContents(r, One, "a=1 b=2"), wantGet(r, One, "b", []byte("2")), wantGet(r, One, "c", nil))
		})
	})
}

// noHalfUpdate looks, while updates run, for one that shows in one map and
// not in the other, or for a view that goes back in time.
func noHalfUpdate(s Subject) error {
	return with(s, func(st store.Store) error {
		const rounds = 100
		number := func(r store.Reader, m store.Map) (uint64, error) {
			v, err := r.Get(m, []byte("n"))
			if v == nil || err != nil {
				return 0, err
			}
			return binary.BigEndian.Uint64(v), nil
		}
		var finished atomic.Bool
		look := func() error {
			var last uint64
			for !finished.Load() {
				err := st.View(func(r store.Reader) error {
					one, err1 := number(r, One)
					two, err2 := number(r, Two)
					switch {
					case err1 != nil || err2 != nil:
						return errors.Join(err1, err2)
					case one != two:
						return fmt.Errorf("a view sees update %d in one map and %d in the other", one, two)
					case one < last:
						return fmt.Errorf("a view sees update %d after one saw %d", one, last)
					}
					last = one
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		}
		found := make(chan error)
		for range 2 {
			go func() { found <- look() }()
		}
		var err error
		for n := uint64(1); n <= rounds && err == nil; n++ {
			v := binary.BigEndian.AppendUint64(nil, n)
			err = st.Update(func(w store.Writer) error {
				if err := w.Put(One, []byte("n"), v); err != nil {
					return err
				}
				time.Sleep(50 * time.Microsecond) // for a view to see what it must not
				return w.Put(Two, []byte("n"), v)
			})
		}
		finished.Store(true)
		return errors.Join(err, <-found, <-found)
	})
}

func updatesSerial(s Subject) error {
	return with(s, func(st store.Store) error {
		const workers, each = 8, 20
		var group sync.WaitGroup
		errs := make([]error, workers)
		for i := range workers {
			group.Go(func() {
				for range each {
					errs[i] = errors.Join(errs[i], st.Update(func(w store.Writer) error {
						v, err := w.Get(One, []byte("n"))
						if err != nil {
							return err
						}
						return w.Put(One, []byte("n"), append(slices.Clone(v), 'x'))
					}))
				}
			})
		}
		group.Wait()
		return errors.Join(errors.Join(errs...), wantView(st, One, "n="+strings.Repeat("x", workers*each)))
	})
}

// matchesModel runs random updates, one in five of them rolled back, against
// plain maps.
func matchesModel(s Subject) error {
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[store.Map]map[string]string{One: {}, Two: {}}
	clone := func() map[store.Map]map[string]string {
		return map[store.Map]map[string]string{One: maps.Clone(model[One]), Two: maps.Clone(model[Two])}
	}
	shown := func(m map[string]string) string {
		var all []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			all = append(all, k+"="+m[k])
		}
		return strings.Join(all, " ")
	}
	round := func(st store.Store) error {
		next := clone()
		keep := rng.IntN(5) > 0
		err := st.Update(func(w store.Writer) error {
			for range rng.IntN(200) {
				m := Maps()[rng.IntN(2)]
				k := fmt.Sprint(rng.IntN(1000))
				var err error
				if rng.IntN(3) == 0 {
					delete(next[m], k)
					err = w.Delete(m, []byte(k))
				} else {
					next[m][k] = fmt.Sprint(rng.Uint64())
					err = w.Put(m, []byte(k), []byte(next[m][k]))
				}
				if err != nil {
					return err
				}
			}
			if err := wantContents(w, One, shown(next[One])); err != nil || keep {
				return err
			}
			return errOfCaller
		})
		if keep {
			model = next
		} else if errors.Is(err, errOfCaller) {
			err = nil
		}
		return errors.Join(err, wantView(st, One, shown(model[One])), wantView(st, Two, shown(model[Two])))
	}
	for range 5 { // opened again four times
		if err := with(s, func(st store.Store) error {
			for range 20 {
				if err := round(st); err != nil {
					return err
				}
			}
			return st.Check()
		}); err != nil {
			return err
		}
	}
	return nil
}
