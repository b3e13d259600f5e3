package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"consentledger/ledger/store"
)

var errOfCaller = errors.New("an error of the caller")

func updateIsSeen(s Subject) error {
	return with(s, func(st store.Store) error {
		return errors.Join(update(st, One, "a", "1", "b", "2"), wantView(st, One, "a=1 b=2"))
	})
}

func updateOutlives(s Subject) error {
	for i, want := range []string{"a=1", "a=1 b=2", "a=1 b=2 c=3"} {
		if err := with(s, func(st store.Store) error { return update(st, One, string(rune('a'+i)), fmt.Sprint(i+1)) }); err != nil {
			return err
		}
		if err := with(s, func(st store.Store) error { return wantView(st, One, want) }); err != nil {
			return fmt.Errorf("opened again: %w", err)
		}
	}
	return nil
}

func emptyIsNotMissing(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := st.Update(func(w store.Writer) error {
			return errors.Join(
				w.Put(One, []byte("nil"), nil), w.Put(One, []byte("empty"), []byte{}),
				wantGet(w, One, "nil", []byte{}), wantGet(w, One, "empty", []byte{}),
			)
		}); err != nil {
			return err
		}
		return st.View(func(r store.Reader) error {
			return errors.Join(wantGet(r, One, "nil", []byte{}), wantGet(r, One, "empty", []byte{}),
				r.Scan(One, nil, nil, func(k, v []byte) error {
					if v == nil {
						return fmt.Errorf("Scan gave nil for the value of %q", k)
					}
					return nil
				}))
		})
	})
}

func missingIsNil(s Subject) error {
	return with(s, func(st store.Store) error {
		get := func() error {
			return st.View(func(r store.Reader) error {
				return errors.Join(wantGet(r, One, "b", nil), wantGet(r, One, "zz", nil))
			})
		}
		return errors.Join(get(), update(st, One, "a", "1", "bb", "2"), get())
	})
}

func putReplaces(s Subject) error {
	return with(s, func(st store.Store) error {
		return errors.Join(update(st, One, "a", "1", "a", "2"), wantView(st, One, "a=2"),
			update(st, One, "a", "3"), wantView(st, One, "a=3"))
	})
}

func deleteRemoves(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2", "c", "3"); err != nil {
			return err
		}
		if err := st.Update(func(w store.Writer) error {
			return errors.Join(w.Delete(One, []byte("b")), w.Delete(One, []byte("nobody")))
		}); err != nil {
			return fmt.Errorf("Delete: %w", err)
		}
		return wantView(st, One, "a=1 c=3")
	})
}

// manyKeys is enough for several pages of any database.
func manyKeys(st store.Store) error {
	return st.Update(func(w store.Writer) error {
		for i := range 2000 {
			i = i * 7 % 2000 // not in order
			if err := w.Put(One, fmt.Appendf(nil, "%04d", i), repeat(byte(i), 40)); err != nil {
				return err
			}
		}
		return nil
	})
}

func scanBounds(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := manyKeys(st); err != nil {
			return err
		}
		scan := func(r store.Reader, from, to []byte, first, end int) error {
			next := first
			if err := r.Scan(One, from, to, func(k, v []byte) error {
				if want := fmt.Sprintf("%04d", next); string(k) != want || !bytes.Equal(v, repeat(byte(next), 40)) {
					return fmt.Errorf("Scan from %q to %q gave %q, want %q and its value", from, to, k, want)
				}
				next++
				return nil
			}); err != nil {
				return err
			}
			if next != end && first < end {
				return fmt.Errorf("Scan from %q to %q ended before %d, want %d", from, to, next, end)
			}
			return nil
		}
		return st.View(func(r store.Reader) error {
			return errors.Join(
				scan(r, nil, nil, 0, 2000),
				scan(r, []byte("0000"), []byte("1999"), 0, 1999),    // to is not part of it
				scan(r, []byte("0500"), []byte("1500"), 500, 1500),  // from is
				scan(r, []byte("0500x"), []byte("0700x"), 501, 701), // bounds need not be keys
				scan(r, []byte("1999"), nil, 1999, 2000),
				scan(r, []byte("2"), nil, 0, 0), // beyond the end
				scan(r, []byte("0700"), []byte("0700"), 0, 0),
				scan(r, []byte("0700"), []byte("0300"), 0, 0),
				scan(r, nil, []byte{}, 0, 0), // an empty end is before everything; nil is none
				scan(r, []byte{}, nil, 0, 2000),
			)
		})
	})
}

func scanStops(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2", "c", "3"); err != nil {
			return err
		}
		return st.View(func(r store.Reader) error {
			var seen []string
			err := r.Scan(One, nil, nil, func(k, _ []byte) error {
				seen = append(seen, string(k))
				if string(k) == "b" {
					return store.ErrStop
				}
				return nil
			})
			if got := strings.Join(seen, " "); err != nil || got != "a b" {
				return fmt.Errorf("Scan saw [%s] and returned %v, want [a b] and no error", got, err)
			}
			return nil
		})
	})
}

func scanError(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1"); err != nil {
			return err
		}
		return st.View(func(r store.Reader) error {
			return wantSame("Scan", r.Scan(One, nil, nil, func(_, _ []byte) error { return errOfCaller }), errOfCaller)
		})
	})
}

func scansNest(s Subject) error {
	return with(s, func(st store.Store) error {
		if err := update(st, One, "a", "1", "b", "2", "c", "3"); err != nil {
			return err
		}
		return st.View(func(r store.Reader) error {
			var all []string
			err := r.Scan(One, nil, nil, func(k, _ []byte) error {
				return r.Scan(One, k, nil, func(inner, _ []byte) error {
					if err := wantGet(r, One, "a", []byte("1")); err != nil {
						return err
					}
					all = append(all, string(k)+string(inner))
					return nil
				})
			})
			if got := strings.Join(all, " "); err != nil || got != "aa ab ac bb bc cc" {
				return fmt.Errorf("nested scans gave [%s], %v", got, err)
			}
			return nil
		})
	})
}

func last(s Subject) error {
	return with(s, func(st store.Store) error {
		want := func(key, value string) error {
			return st.View(func(r store.Reader) error {
				k, v, err := r.Last(One)
				if err != nil || string(k) != key || string(v) != value || (key == "" && (k != nil || v != nil)) {
					return fmt.Errorf("Last = %q, %q, %v; want %q, %q", k, v, err, key, value)
				}
				return nil
			})
		}
		return errors.Join(want("", ""), update(st, One, "b", "2", "a", "1"), want("b", "2"),
			manyKeys(st), want("b", "2"),
			st.Update(func(w store.Writer) error { return errors.Join(w.Delete(One, []byte("a")), w.Delete(One, []byte("b"))) }),
			want("1999", strings.Repeat(string([]byte{1999 % 256}), 40)))
	})
}

func mapsDoNotMix(s Subject) error {
	return with(s, func(st store.Store) error {
		return errors.Join(update(st, One, "a", "1"), update(st, Two, "a", "2", "b", "3"),
			wantView(st, One, "a=1"), wantView(st, Two, "a=2 b=3"))
	})
}

func largestFit(s Subject) error {
	key, value := repeat('k', store.MaxKeyBytes), repeat('v', store.MaxValueBytes)
	want := func(r store.Reader) error {
		if got, err := r.Get(One, key); err != nil || !bytes.Equal(got, value) {
			return fmt.Errorf("Get of the largest key gave %d bytes, %v", len(got), err)
		}
		return nil
	}
	return errors.Join(
		with(s, func(st store.Store) error {
			return st.Update(func(w store.Writer) error { return errors.Join(w.Put(One, key, value), want(w)) })
		}),
		with(s, func(st store.Store) error { return st.View(want) }),
	)
}

func viewError(s Subject) error {
	return with(s, func(st store.Store) error {
		return wantSame("View", st.View(func(store.Reader) error { return errOfCaller }), errOfCaller)
	})
}

func readerEnds(s Subject) error {
	return with(s, func(st store.Store) error {
		var r store.Reader
		var w store.Writer
		if err := errors.Join(update(st, One, "a", "1", "b", "2"),
			st.View(func(v store.Reader) error { r = v; return nil }),
			st.Update(func(u store.Writer) error { w = u; return nil })); err != nil {
			return err
		}
		_, errGet := r.Get(One, []byte("a"))
		_, _, errLast := w.Last(One)
		return errors.Join(
			wantIs("Get after View", errGet, store.ErrEnded),
			wantIs("Last after Update", errLast, store.ErrEnded),
			wantIs("Scan after View", r.Scan(One, nil, nil, func(_, _ []byte) error { return nil }), store.ErrEnded),
			wantIs("Put after Update", w.Put(One, []byte("a"), nil), store.ErrEnded),
			wantIs("Delete after Update", w.Delete(One, []byte("a")), store.ErrEnded),
			wantView(st, One, "a=1 b=2"),
		)
	})
}
