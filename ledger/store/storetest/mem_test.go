package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"consentledger/ledger/store"
)

// disk is what outlives a mem store.
type disk struct {
	data map[store.Map]map[string][]byte // never changed, only replaced
	fail bool
}

// mem is the plainest store there can be: each update copies everything.
type mem struct {
	d      *disk
	update sync.Mutex
	mu     sync.Mutex // guards d, closed and poisoned
	closed bool
	poison bool
	fault  fault
}

// fault is a way for mem to break its promises.
type fault int

const (
	none fault = iota
	losesAPut
	reordersScan
	showsHalfAnUpdate
	keepsARefusedUpdate
	keepsAFailedUpdate
	missesPoison
	callsItFailed
	forgetsAtClose
	nilForEmpty
	scanIncludesEnd
	tornCommit
	livesOn
	wrapsErrors
	swallowsPanics
	notASnapshot
)

func subject(f fault) Subject {
	d := &disk{data: map[store.Map]map[string][]byte{One: {}, Two: {}}}
	return Subject{
		Open:           func() (store.Store, error) { return &mem{d: d, fault: f}, nil },
		FailNextCommit: func() { d.fail = true },
	}
}

type memReader struct {
	s        *mem
	data     map[store.Map]map[string][]byte
	ended    bool
	scanning map[store.Map]int
	refused  error
	puts     int
}

func (s *mem) View(f func(store.Reader) error) error {
	s.mu.Lock()
	data, closed := s.d.data, s.closed
	s.mu.Unlock()
	if closed {
		return store.ErrClosed
	}
	r := &memReader{s: s, data: data}
	if s.fault == notASnapshot {
		r.data = nil
	}
	defer func() { r.ended = s.fault != livesOn }()
	err := f(r)
	if err != nil && s.fault == wrapsErrors {
		return fmt.Errorf("view: %w", err)
	}
	return err
}

func (s *mem) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if s.poison && s.fault != missesPoison {
		return store.ErrPoisoned
	}
	return nil
}

func (s *mem) Update(f func(store.Writer) error) (err error) {
	s.update.Lock()
	defer s.update.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	w := &memReader{s: s, scanning: map[store.Map]int{}}
	w.data = map[store.Map]map[string][]byte{One: maps.Clone(s.d.data[One]), Two: maps.Clone(s.d.data[Two])}
	defer func() {
		w.ended = s.fault != livesOn
		if s.fault == swallowsPanics {
			_ = recover()
		}
	}()
	if err := f(w); err != nil {
		if s.fault == keepsAFailedUpdate {
			s.set(w.data)
		}
		return err
	}
	if w.refused != nil && s.fault != keepsARefusedUpdate {
		return w.refused
	}
	return s.commit(w.data)
}

func (s *mem) set(data map[store.Map]map[string][]byte) {
	s.mu.Lock()
	s.d.data = data
	s.mu.Unlock()
}

func (s *mem) commit(data map[store.Map]map[string][]byte) error {
	if s.d.fail {
		s.d.fail = false
		s.mu.Lock()
		s.poison = true
		s.mu.Unlock()
		if s.fault == tornCommit {
			s.set(map[store.Map]map[string][]byte{One: data[One], Two: s.d.data[Two]})
		}
		if s.fault == callsItFailed {
			return errors.New("failed")
		}
		return store.ErrUncertain
	}
	if data != nil {
		s.set(data)
	}
	return nil
}

func (s *mem) Settle() error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.commit(nil)
}

func (s *mem) Check() error {
	return s.View(func(store.Reader) error { return nil })
}

func (s *mem) Size() (n int64, err error) {
	err = s.View(func(r store.Reader) error {
		for _, m := range Maps() {
			if err := r.Scan(m, nil, nil, func(k, v []byte) error { n += int64(len(k) + len(v)); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (s *mem) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.fault == forgetsAtClose {
		s.d.data = map[store.Map]map[string][]byte{One: {}, Two: {}}
	}
	return nil
}

func (r *memReader) one(m store.Map) (map[string][]byte, error) {
	if r.ended {
		return nil, store.ErrEnded
	}
	data := r.data
	if data == nil { // notASnapshot
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		data = r.s.d.data
	}
	if data[m] == nil {
		return nil, fmt.Errorf("%w: %q", store.ErrUnknownMap, m)
	}
	return data[m], nil
}

func (r *memReader) Get(m store.Map, key []byte) ([]byte, error) {
	if err := store.CheckKey(m, key); err != nil {
		return nil, err
	}
	data, err := r.one(m)
	if err != nil {
		return nil, err
	}
	v := data[string(key)]
	if len(v) == 0 && r.s.fault == nilForEmpty {
		return nil, nil
	}
	return v, nil
}

func (r *memReader) Last(m store.Map) (k, v []byte, err error) {
	err = r.Scan(m, nil, nil, func(key, value []byte) error { k, v = key, value; return nil })
	return k, v, err
}

func (r *memReader) Scan(m store.Map, from, to []byte, f func(k, v []byte) error) error {
	data, err := r.one(m)
	if err != nil {
		return err
	}
	if r.scanning != nil {
		r.scanning[m]++
		defer func() { r.scanning[m]-- }()
	}
	keys := slices.Sorted(maps.Keys(data))
	if r.s.fault == reordersScan && len(keys) > 1 {
		keys[0], keys[1] = keys[1], keys[0]
	}
	for _, k := range keys {
		inside := k >= string(from) && (to == nil || k < string(to) || (r.s.fault == scanIncludesEnd && k == string(to)))
		if !inside {
			continue
		}
		if err := f([]byte(k), data[k]); errors.Is(err, store.ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *memReader) change(m store.Map, err error) (map[string][]byte, error) {
	data, errMap := r.one(m)
	if err == nil {
		err = errMap
	}
	if err == nil && r.scanning[m] > 0 {
		err = store.ErrScanning
	}
	if err != nil && r.refused == nil {
		r.refused = err
	}
	return data, err
}

func (r *memReader) Put(m store.Map, key, value []byte) error {
	data, err := r.change(m, store.CheckPut(m, key, value))
	if err != nil {
		return err
	}
	if r.puts++; r.s.fault == losesAPut && r.puts == 100 {
		return nil
	}
	data[string(key)] = append([]byte{}, value...)
	if r.s.fault == showsHalfAnUpdate {
		r.s.set(map[store.Map]map[string][]byte{One: maps.Clone(r.data[One]), Two: maps.Clone(r.data[Two])})
	}
	return nil
}

func (r *memReader) Delete(m store.Map, key []byte) error {
	data, err := r.change(m, store.CheckKey(m, key))
	if err != nil {
		return err
	}
	delete(data, string(key))
	return nil
}

func TestAPlainStoreInMemoryKeepsEveryPromise(t *testing.T) {
	Run(t, func(*testing.T) Subject { return subject(none) })
}

func TestABrokenStoreIsFoundOut(t *testing.T) {
	for name, f := range map[string]fault{
		"it loses a put":                        losesAPut,
		"it reorders a scan":                    reordersScan,
		"it shows half an update":               showsHalfAnUpdate,
		"it commits a refused update":           keepsARefusedUpdate,
		"it commits an update that failed":      keepsAFailedUpdate,
		"it writes after a failed commit":       missesPoison,
		"it calls an unknown outcome a failure": callsItFailed,
		"it forgets when closed":                forgetsAtClose,
		"it takes an empty value for none":      nilForEmpty,
		"its scans include their end":           scanIncludesEnd,
		"its failed commits leave half":         tornCommit,
		"its readers outlive their function":    livesOn,
		"it wraps the caller's errors":          wrapsErrors,
		"it swallows panics":                    swallowsPanics,
		"its views change":                      notASnapshot,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			var found []string
			for _, c := range checks() {
				if err := c.holds(subject(f)); err != nil {
					found = append(found, c.promise)
				}
			}
			if len(found) == 0 {
				t.Errorf("no check noticed that %s", name)
			}
			t.Logf("noticed by %s", strings.Join(found, ", "))
		})
	}
}
