package bolt

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"consentledger/ledger/store"
)

// reader is a store.Reader, and a store.Writer when its transaction is
// writable.
type reader struct {
	s       *Store
	tx      *bbolt.Tx
	ended   bool
	maps    []*bucket // those used so far; few, so searched in order
	refused error     // the first refused change or damage: such an update never commits

	base, mapBytes, fileBytes uintptr // of the mapped file
}

// bucket is one map, with the cursor that single reads share: making one for
// each would allocate.
type bucket struct {
	name     store.Map
	b        *bbolt.Bucket
	cursor   *bbolt.Cursor
	inline   bool // it has no page of its own
	scanning int  // scans running over it
}

func newReader(s *Store, tx *bbolt.Tx) *reader {
	r := &reader{s: s, tx: tx, base: s.db.Info().Data, fileBytes: uintptr(tx.Size())}
	r.mapBytes = mappingSize(max(uintptr(s.opts.MapBytes), r.fileBytes))
	return r
}

// mappingSize is how much bbolt maps when it needs size bytes: a power of two
// from 32 KiB to 1 GiB, then whole GiB.
func mappingSize(size uintptr) uintptr {
	for n := uintptr(32 << 10); n <= 1<<30; n *= 2 {
		if size <= n {
			return n
		}
	}
	return (size + 1<<30 - 1) >> 30 << 30
}

// end makes every later call fail.
func (r *reader) end() { r.ended = true }

// Get implements store.Reader.
func (r *reader) Get(m store.Map, key []byte) (v []byte, err error) {
	if err := store.CheckKey(m, key); err != nil {
		return nil, err
	}
	defer catch(r, &err)
	b, err := r.bucket(m)
	if err != nil {
		return nil, err
	}
	k, v := b.cursor.Seek(key)
	if !r.plausible(b, k) {
		return nil, r.damaged(b)
	}
	if !bytes.Equal(k, key) {
		return nil, nil
	}
	return r.value(b, v)
}

// Last implements store.Reader.
func (r *reader) Last(m store.Map) (k, v []byte, err error) {
	defer catch(r, &err)
	b, err := r.bucket(m)
	if err != nil {
		return nil, nil, err
	}
	k, v = b.cursor.Last()
	return r.pair(b, k, v)
}

// Scan implements store.Reader.
func (r *reader) Scan(m store.Map, from, to []byte, f func(k, v []byte) error) error {
	b, c, k, v, err := r.first(m, from)
	if err != nil {
		return err
	}
	b.scanning++
	defer func() { b.scanning-- }()
	for k != nil && (to == nil || bytes.Compare(k, to) < 0) {
		if err := f(k, v); err != nil {
			if errors.Is(err, store.ErrStop) {
				return nil
			}
			return err
		}
		if r.ended {
			return store.ErrEnded
		}
		if k, v, err = r.next(b, c, k); err != nil {
			return err
		}
	}
	return nil
}

// first starts a scan, with a cursor of its own: scans may be nested.
func (r *reader) first(m store.Map, from []byte) (b *bucket, c *bbolt.Cursor, k, v []byte, err error) {
	defer catch(r, &err)
	b, err = r.bucket(m)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	c = b.b.Cursor()
	if from == nil {
		k, v = c.First()
	} else {
		k, v = c.Seek(from)
	}
	k, v, err = r.pair(b, k, v)
	return b, c, k, v, err
}

// next steps a scan. Keys that do not grow are damage, and could go round in
// circles.
func (r *reader) next(b *bucket, c *bbolt.Cursor, last []byte) (k, v []byte, err error) {
	defer catch(r, &err)
	k, v = c.Next()
	k, v, err = r.pair(b, k, v)
	if err == nil && k != nil && bytes.Compare(last, k) >= 0 {
		return nil, nil, r.damaged(b)
	}
	return k, v, err
}

// Put implements store.Writer.
func (r *reader) Put(m store.Map, key, value []byte) (err error) {
	defer catch(r, &err)
	b, err := r.changing(m)
	if err == nil {
		err = store.CheckPut(m, key, value)
	}
	if err != nil {
		return r.refuse(err)
	}
	if value == nil {
		value = []byte{} // bbolt keeps the slice, and Get must not return nil
	}
	if err := b.b.Put(key, value); err != nil {
		return r.refuse(fmt.Errorf("map %q: %w", m, err))
	}
	return nil
}

// Delete implements store.Writer.
func (r *reader) Delete(m store.Map, key []byte) (err error) {
	defer catch(r, &err)
	b, err := r.changing(m)
	if err == nil {
		err = store.CheckKey(m, key)
	}
	if err != nil {
		return r.refuse(err)
	}
	if err := b.b.Delete(key); err != nil {
		return r.refuse(fmt.Errorf("map %q: %w", m, err))
	}
	return nil
}

func (r *reader) changing(m store.Map) (*bucket, error) {
	b, err := r.bucket(m)
	if err != nil {
		return nil, err
	}
	if b.scanning > 0 {
		return nil, fmt.Errorf("map %q: %w", m, store.ErrScanning)
	}
	return b, nil
}

func (r *reader) refuse(err error) error {
	if r.refused == nil {
		r.refused = err
	}
	return err
}

func (r *reader) bucket(m store.Map) (*bucket, error) {
	if r.ended {
		return nil, store.ErrEnded
	}
	for _, b := range r.maps {
		if b.name == m {
			return b, nil
		}
	}
	b := r.tx.Bucket([]byte(m))
	if b == nil {
		return nil, fmt.Errorf("%w: %q", store.ErrUnknownMap, m)
	}
	if p := r.s.opts.Maps[m].FillPercent; p != 0 {
		b.FillPercent = p
	}
	r.maps = append(r.maps, &bucket{name: m, b: b, cursor: b.Cursor(), inline: b.Root() == 0})
	return r.maps[len(r.maps)-1], nil
}

// pair checks what a cursor returned.
func (r *reader) pair(b *bucket, k, v []byte) ([]byte, []byte, error) {
	if k == nil {
		return nil, nil, nil
	}
	if len(k) == 0 || len(k) > store.MaxKeyBytes || !r.plausible(b, k) {
		return nil, nil, r.damaged(b)
	}
	v, err := r.value(b, v)
	if err != nil {
		return nil, nil, err
	}
	return k, v, nil
}

// value checks a value that a cursor returned. A nil one belongs to a bucket
// inside a bucket, which no store has.
func (r *reader) value(b *bucket, v []byte) ([]byte, error) {
	if v == nil || len(v) > store.MaxValueBytes || !r.plausible(b, v) {
		return nil, r.damaged(b)
	}
	return v, nil
}

func (r *reader) damaged(b *bucket) error {
	return r.refuse(fmt.Errorf("%w: map %q has a page that can't be right", store.ErrCorrupt, b.name))
}
