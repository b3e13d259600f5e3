package storetest

import (
	"errors"
	"fmt"
	"strings"

	"consentledger/ledger/store"
)

func sizesRefused(s Subject) error {
	return with(s, func(st store.Store) error {
		tooLong := repeat('k', store.MaxKeyBytes+1)
		refused := func(what string, want error, f func(store.Writer) error) error {
			return wantIs(what, st.Update(f), want)
		}
		return errors.Join(
			refused("Put of an empty key", store.ErrKeySize, func(w store.Writer) error { return w.Put(One, nil, nil) }),
			refused("Put of too long a key", store.ErrKeySize, func(w store.Writer) error { return w.Put(One, tooLong, nil) }),
			refused("Put of too long a value", store.ErrValueSize, func(w store.Writer) error {
				return w.Put(One, []byte("k"), repeat('v', store.MaxValueBytes+1))
			}),
			refused("Delete of an empty key", store.ErrKeySize, func(w store.Writer) error { return w.Delete(One, nil) }),
			refused("Get of an empty key", store.ErrKeySize, func(w store.Writer) error { _, err := w.Get(One, nil); return err }),
			wantView(st, One, ""),
		)
	})
}

func unknownMap(s Subject) error {
	return with(s, func(st store.Store) error {
		const none store.Map = "no-such-map"
		named := func(what string, err error) error {
			if !errors.Is(err, store.ErrUnknownMap) || !strings.Contains(err.Error(), string(none)) {
				return fmt.Errorf("%s: %v, want ErrUnknownMap and the name", what, err)
			}
			return nil
		}
		return errors.Join(
			named("Get", st.View(func(r store.Reader) error { _, err := r.Get(none, []byte("k")); return err })),
			named("Last", st.View(func(r store.Reader) error { _, _, err := r.Last(none); return err })),
			named("Scan", st.View(func(r store.Reader) error { return r.Scan(none, nil, nil, nil) })),
			named("Put", st.Update(func(w store.Writer) error { return w.Put(none, []byte("k"), nil) })),
			named("Delete", st.Update(func(w store.Writer) error { return w.Delete(none, []byte("k")) })),
		)
	})
}

func writerSeesItself(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "b", "2", "c", "3"); err != nil {
			return err
		}
		return st.Update(func(w store.Writer) error {
			if err := errors.Join(wantContents(w, One, "b=2 c=3"), put(w, One, "d", "4", "a", "1", "c", "33"), w.Delete(One, []byte("b")),
				wantContents(w, One, "a=1 c=33 d=4"),
				wantGet(w, One, "a", []byte("1")), wantGet(w, One, "b", nil), wantGet(w, One, "c", []byte("33"))); err != nil {
				return err
			}
			k, v, err := w.Last(One)
			if string(k) != "d" || string(v) != "4" || err != nil {
				return fmt.Errorf("Last = %q, %q, %v", k, v, err)
			}
			// Emptied, and filled again.
			for _, k := range []string{"a", "c", "d"} {
				if err := w.Delete(One, []byte(k)); err != nil {
					return err
				}
			}
			if k, _, err := w.Last(One); k != nil || err != nil {
				return fmt.Errorf("Last of an emptied map = %q, %v", k, err)
			}
			return errors.Join(wantContents(w, One, ""), put(w, One, "e", "5"), wantContents(w, One, "e=5"))
		})
	})
}

func errorRollsBack(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2"); err != nil {
			return err
		}
		err := st.Update(func(w store.Writer) error {
			if err := errors.Join(put(w, One, "a", "9", "c", "3"), put(w, Two, "x", "1"), w.Delete(One, []byte("b"))); err != nil {
				return err
			}
			return errOfCaller
		})
		return errors.Join(wantSame("Update", err, errOfCaller),
			wantView(st, One, "a=1 b=2"), wantView(st, Two, ""),
			update(st, Two, "y", "2"), wantView(st, One, "a=1 b=2"), wantView(st, Two, "y=2")) // and the next one works
	})
}

func panicRollsBack(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1"); err != nil {
			return err
		}
		const word = "a panic of the caller"
		caught := func(f func() error) (p any) {
			defer func() { p = recover() }()
			_ = f() // it panics
			return nil
		}
		if p := caught(func() error {
			return st.Update(func(w store.Writer) error {
				if err := put(w, One, "a", "9", "b", "2"); err != nil {
					return err
				}
				panic(word)
			})
		}); p != word {
			return fmt.Errorf("Update let %v through, want %q", p, word)
		}
		if p := caught(func() error { return st.View(func(store.Reader) error { panic(word) }) }); p != word {
			return fmt.Errorf("View let %v through, want %q", p, word)
		}
		return errors.Join(wantView(st, One, "a=1"), update(st, One, "c", "3"), wantView(st, One, "a=1 c=3"))
	})
}

func refusalRefusesAll(s Subject) error {
	return with(s, func(st store.Store) error {
		err := st.Update(func(w store.Writer) error {
			if err := put(w, One, "a", "1"); err != nil {
				return err
			}
			_ = w.Put(One, nil, nil) // a caller that does not look
			return put(w, One, "b", "2")
		})
		return errors.Join(wantIs("Update", err, store.ErrKeySize), wantView(st, One, ""), update(st, One, "c", "3"), wantView(st, One, "c=3"))
	})
}

func noChangeUnderScan(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2"); err != nil {
			return err
		}
		scan := func(f func(w store.Writer) error) error {
			return st.Update(func(w store.Writer) error {
				return w.Scan(One, nil, nil, func(_, _ []byte) error { return f(w) })
			})
		}
		return errors.Join(
			wantIs("Put in a Scan", scan(func(w store.Writer) error { return w.Put(One, []byte("c"), nil) }), store.ErrScanning),
			wantIs("Delete in a Scan", scan(func(w store.Writer) error { return w.Delete(One, []byte("a")) }), store.ErrScanning),
			wantView(st, One, "a=1 b=2"),
			scan(func(w store.Writer) error { return put(w, Two, "x", "1") }),
			wantView(st, Two, "x=1"),
			// Once the scan is over the map may change again.
			st.Update(func(w store.Writer) error {
				return errors.Join(w.Scan(One, nil, nil, func(_, _ []byte) error { return store.ErrStop }), put(w, One, "c", "3"))
			}),
			wantView(st, One, "a=1 b=2 c=3"),
		)
	})
}

func closedSaysSo(s Subject) error {
	st, err := s.Open()
	if err != nil {
		return err
	}
	if err := errors.Join(update(st, One, "a", "1"), st.Close()); err != nil {
		return err
	}
	_, errSize := st.Size()
	return errors.Join(
		wantIs("View", st.View(func(store.Reader) error { return nil }), store.ErrClosed),
		wantIs("Update", st.Update(func(store.Writer) error { return nil }), store.ErrClosed),
		wantIs("Settle", st.Settle(), store.ErrClosed),
		wantIs("Check", st.Check(), store.ErrClosed),
		wantIs("Size", errSize, store.ErrClosed),
		st.Close(),
	)
}

func settleAndCheck(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := errors.Join(st.Check(), st.Settle(), manyKeys(st), update(st, Two, "a", "1"), st.Settle(), st.Settle(), st.Check(), wantView(st, Two, "a=1")); err != nil {
			return err
		}
		if n, err := st.Size(); err != nil || n < 2000*44 {
			return fmt.Errorf("Size = %d, %v, with 2,000 keys and values of 44 bytes in it", n, err)
		}
		return nil
	})
}

// failed makes one update whose commit fails.
func failed(s Subject, st store.Store) error {
	s.FailNextCommit()
	err := st.Update(func(w store.Writer) error { return errors.Join(put(w, One, "b", "2"), put(w, Two, "b", "2")) })
	return wantIs("an Update whose commit fails", err, store.ErrUncertain)
}

func failedCommitPoisons(s Subject) error {
	return with(s, func(st store.Store) error {
		ran := false
		return errors.Join(update(st, One, "a", "1"), failed(s, st),
			wantIs("the next Update", st.Update(func(store.Writer) error { ran = true; return nil }), store.ErrPoisoned),
			wantIs("the one after it", st.Update(func(store.Writer) error { ran = true; return nil }), store.ErrPoisoned),
			wantIs("Settle", st.Settle(), store.ErrPoisoned),
			st.View(func(r store.Reader) error { return wantGet(r, One, "a", []byte("1")) }),
			func() error {
				if ran {
					return errors.New("a poisoned store ran an update")
				}
				return nil
			}(),
		)
	})
}

func failedCommitIsWhole(s Subject) error {
	if err := with(s, func(st store.Store) error { return errors.Join(update(st, One, "a", "1"), failed(s, st)) }); err != nil {
		return err
	}
	return with(s, func(st store.Store) error {
		return st.View(func(r store.Reader) error {
			one, err1 := contents(r, One, nil, nil)
			two, err2 := contents(r, Two, nil, nil)
			if both := one + "|" + two; both != "a=1|" && both != "a=1 b=2|b=2" {
				return fmt.Errorf("after a failed commit the maps hold [%s]", both)
			}
			return errors.Join(err1, err2)
		})
	})
}

func failedSettlePoisons(s Subject) error {
	if err := with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1"); err != nil {
			return err
		}
		s.FailNextCommit()
		return errors.Join(wantIs("Settle", st.Settle(), store.ErrUncertain),
			wantIs("the next Update", st.Update(func(store.Writer) error { return nil }), store.ErrPoisoned))
	}); err != nil {
		return err
	}
	return with(s, func(st store.Store) error { return wantView(st, One, "a=1") })
}
