package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"consentledger/ledger/store"
)

// with runs f on an open store and closes it.
func with(s Subject, f func(store.Store) error) error {
	st, err := s.Open()
	if err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	err = f(st)
	return errors.Join(err, st.Close())
}

// put puts keys and values, one after the other.
func put(w store.Writer, m store.Map, kv ...string) error {
	for i := 0; i < len(kv); i += 2 {
		if err := w.Put(m, []byte(kv[i]), []byte(kv[i+1])); err != nil {
			return fmt.Errorf("Put: %w", err)
		}
	}
	return nil
}

// update puts keys and values, one after the other, in one Update.
func update(st store.Store, m store.Map, kv ...string) error {
	if err := st.Update(func(w store.Writer) error { return put(w, m, kv...) }); err != nil {
		return fmt.Errorf("Update: %w", err)
	}
	return nil
}

// contents returns a map as "k=v" in the order of Scan.
func contents(r store.Reader, m store.Map, from, to []byte) (string, error) {
	var all []string
	err := r.Scan(m, from, to, func(k, v []byte) error {
		all = append(all, string(k)+"="+string(v))
		return nil
	})
	return strings.Join(all, " "), err
}

// wantContents says how a map differs from what it should hold.
func wantContents(r store.Reader, m store.Map, want string) error {
	got, err := contents(r, m, nil, nil)
	if err != nil {
		return fmt.Errorf("Scan: %w", err)
	}
	if got != want {
		return fmt.Errorf("map %s holds [%s], want [%s]", m, got, want)
	}
	return nil
}

func wantView(st store.Store, m store.Map, want string) error {
	return st.View(func(r store.Reader) error { return wantContents(r, m, want) })
}

func wantGet(r store.Reader, m store.Map, key string, want []byte) error {
	got, err := r.Get(m, []byte(key))
	if err != nil {
		return fmt.Errorf("Get: %w", err)
	}
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		return fmt.Errorf("Get(%q) = %q (nil: %t), want %q (nil: %t)", key, got, got == nil, want, want == nil)
	}
	return nil
}

// wantIs says that a call did not fail as it should.
func wantIs(what string, err error, targets ...error) error {
	if !slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) }) {
		return fmt.Errorf("%s: %v, want %v", what, err, targets)
	}
	return nil
}

// wantSame says that an error did not come back unwrapped.
func wantSame(what string, got, want error) error {
	if got != want { //nolint:errorlint // that it is the very same is the promise
		return fmt.Errorf("%s: %v, want exactly %v", what, got, want)
	}
	return nil
}

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
