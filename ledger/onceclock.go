package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/store"
	"consentledger/ledger/tagindex"
)

// Marks of idempotency keys forget by the keyring, as everything does. Two keys of the ledger's own
// move on with time: one each hour, under which answers are sealed, and one each month (of 30 days),
// under which marks are found. The sweep moves them on, under a fresh root; so an answer can be had
// for 24 to 25 hours, and a key is known for 30 to 60 days, and for as long as the sweep is late.
// After that its row says nothing to anybody, and is removed.

const (
	secondsPerHour  = 60 * 60
	secondsPerMonth = 30 * 24 * 60 * 60

	answerHours = 24 // whole hours, after that of the answer itself
	markMonths  = 1  // likewise

	systemAnswers = "answers"
	systemMarks   = "marks"

	causeAnswers = "answers" // of a destruction: answers to writes, and no member's key
)

func hourOf(t time.Time) uint32  { return uint32(t.Unix() / secondsPerHour) }
func monthOf(t time.Time) uint32 { return uint32(t.Unix() / secondsPerMonth) }

// errEpochGone says that the key of a time was destroyed.
var errEpochGone = errors.New("the key of that time is gone")

// epochs are the keys of one kind, by number. Each follows from the one before it.
type epochs struct {
	name string

	mu    sync.Mutex
	first epoch // the oldest that the keyring still gives
	last  epoch // the newest that was asked for
}

type epoch struct {
	number uint32
	key    seal.Key
}

func (e epoch) at(number uint32) epoch {
	for e.number < number {
		e.number, e.key = e.number+1, e.key.Next()
	}
	return e
}

func (e *epochs) load(k *keyring.Keyring) error {
	number, key, err := k.Epoch(e.name)
	if err != nil {
		return err
	}
	e.set(epoch{number, key})
	return nil
}

func (e *epochs) set(first epoch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.first.key.Clear()
	if e.last.number <= first.number {
		e.last = first
	}
	e.first = first
}

func (e *epochs) oldest() epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first
}

// key returns the key of an epoch.
func (e *epochs) key(number uint32) (seal.Key, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case number < e.first.number:
		return seal.Key{}, errEpochGone
	case number < e.last.number:
		return e.first.at(number).key, nil
	}
	e.last = e.last.at(number)
	return e.last.key, nil
}

// markTable finds marks: an index of tags for each month.
type markTable struct {
	epochs
	dir   string
	log   *slog.Logger
	store store.Store

	tables sync.RWMutex
	months map[uint32]*monthIndex
}

type monthIndex struct {
	tags *tagindex.Index
	next uint64
}

func (t *markTable) find(month uint32, tag seal.Tag) (n uint64, ok bool, err error) {
	t.tables.RLock()
	defer t.tables.RUnlock() // to the end: nobody closes an index that is being read
	m := t.months[month]
	if m == nil {
		return 0, false, nil
	}
	if n, ok, err = m.tags.Find(tagindex.Tag(tag)); err != nil {
		err = fmt.Errorf("find the mark of an idempotency key: %w", err)
	}
	return n, ok, err
}

// open opens what is there of the months whose key still is.
func (t *markTable) open(now time.Time) error {
	for month := t.oldest().number; month <= monthOf(now); month++ {
		n, err := t.count(month)
		if err != nil {
			return err
		}
		if n > 0 {
			if _, err := t.month(month, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// count is how many marks a month has: they are numbered without a gap.
func (t *markTable) count(month uint32) (n uint64, err error) {
	err = t.store.View(func(r store.Reader) error {
		has := func(n uint64) (bool, error) {
			row, err := r.Get(mapMarks, markKey(month, n))
			return row != nil, err
		}
		lo, hi := uint64(0), uint64(1)
		for {
			ok, err := has(hi - 1)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			lo, hi = hi, hi*2
		}
		for lo < hi-1 {
			mid := (lo + hi - 1) / 2
			ok, err := has(mid)
			if err != nil {
				return err
			}
			if ok {
				lo = mid + 1
			} else {
				hi = mid + 1
			}
		}
		n = lo
		return nil
	})
	return n, err
}

func (t *markTable) folder(month uint32) string {
	return filepath.Join(t.dir, strconv.FormatUint(uint64(month), 10))
}

// month returns the index of a month, opening it if need be.
func (t *markTable) month(month uint32, have uint64) (*monthIndex, error) {
	t.tables.RLock()
	m := t.months[month]
	t.tables.RUnlock()
	if m != nil {
		return m, nil
	}
	tags, err := tagindex.Open(t.folder(month), have, t.log, func(from, to uint64, f func(uint64, tagindex.Tag) error) error {
		return t.eachTag(month, from, to, f)
	})
	if err != nil {
		return nil, fmt.Errorf("open the index of idempotency keys: %w", err)
	}
	m = &monthIndex{tags: tags, next: have}
	t.tables.Lock()
	defer t.tables.Unlock()
	if t.months == nil {
		t.months = make(map[uint32]*monthIndex)
	}
	t.months[month] = m
	return m, nil
}

func (t *markTable) eachTag(month uint32, from, to uint64, f func(uint64, tagindex.Tag) error) error {
	return t.store.View(func(r store.Reader) error {
		n := from
		err := r.Scan(mapMarks, markKey(month, from), markKey(month, to), func(_, row []byte) error {
			if err := checkMark(row); err != nil {
				return err
			}
			n++
			return f(n-1, tagindex.Tag(row[:16]))
		})
		if err == nil && n != to {
			err = fmt.Errorf("%w: a mark of an idempotency key is missing", ErrCorrupt)
		}
		return err
	})
}

// forget drops the indexes of months before one.
func (t *markTable) forget(before uint32) error {
	t.tables.Lock()
	defer t.tables.Unlock()
	var err error
	for month, m := range t.months {
		if month < before {
			delete(t.months, month)
			err = errors.Join(err, m.tags.Close(), os.RemoveAll(t.folder(month)))
		}
	}
	return err
}

func (t *markTable) close() error {
	t.tables.Lock()
	defer t.tables.Unlock()
	var err error
	for _, m := range t.months {
		err = errors.Join(err, m.tags.Close())
	}
	t.months = nil
	return err
}

// putMarks writes the marks of a group.
func (c *committer) putMarks(w store.Writer, marks []*mark) error {
	next := make(map[uint32]uint64, 1)
	for _, m := range marks {
		n, ok := next[m.month]
		if !ok {
			n = c.l.marks.next(m.month)
		}
		next[m.month] = n + 1
		if err := w.Put(mapMarks, markKey(m.month, n), m.row); err != nil {
			return err
		}
	}
	return nil
}

func (t *markTable) next(month uint32) uint64 {
	t.tables.RLock()
	defer t.tables.RUnlock()
	if m := t.months[month]; m != nil {
		return m.next
	}
	return 0
}

// added makes marks findable that are durable.
func (t *markTable) added(marks []*mark) error {
	for _, m := range marks {
		index, err := t.month(m.month, 0)
		if err != nil {
			return err
		}
		if err := index.tags.Add(index.next, tagindex.Tag(m.tag)); err != nil {
			return err
		}
		index.next++
	}
	return nil
}

// check compares every index with the marks, and names a month in which they differ.
func (t *markTable) check() (month uint32, ok bool, err error) {
	t.tables.RLock()
	defer t.tables.RUnlock()
	for month, m := range t.months {
		if _, ok, err := m.tags.Check(); err != nil || !ok {
			return month, false, err
		}
	}
	return 0, true, nil
}

// turn moves the keys of answers, marks and waiting certificates on.
type turn struct {
	answers, marks, waiting epoch
	forget                  []forgotten // rows that nobody can find or open any more
}

// forgotten is a row that goes.
type forgotten struct {
	of  store.Map
	row []byte
}

func (t *turn) apply(b *keyring.Batch) error {
	if len(t.forget) > 0 {
		return nil
	}
	if err := b.PutEpoch(systemAnswers, t.answers.number, t.answers.key); err != nil {
		return err
	}
	if err := b.PutEpoch(systemMarks, t.marks.number, t.marks.key); err != nil {
		return err
	}
	return b.PutEpoch(systemWaiting, t.waiting.number, t.waiting.key)
}

// forgetAtOnce is how many rows one commit removes.
const forgetAtOnce = 1000

// sweepMarks destroys the keys of answers, marks and waiting certificates whose time is up, if there
// are any, and removes the rows that went with them.
func (l *Ledger) sweepMarks(ctx context.Context) error {
	now := l.now()
	answers, marks, waiting := l.answers.oldest(), l.marks.oldest(), l.waiting.oldest()
	hour, month, day := answers.number, marks.number, waiting.number
	newest, some, err := l.marks.newestHour()
	if err != nil {
		return l.damaged(err)
	}
	if cut := hourOf(now) - answerHours; cut > hour && some && newest >= hour {
		hour = cut
	}
	if cut := monthOf(now) - markMonths; cut > month {
		old, err := l.marks.before(cut, 1)
		if err != nil {
			return err
		}
		if len(old) > 0 {
			month = cut
		}
	}
	if cut := dayOf(now) - waitingDays; cut > day {
		old, err := l.waitingBefore(cut, 1)
		if err != nil {
			return l.damaged(err)
		}
		if len(old) > 0 {
			day = cut
		}
	}
	if hour == answers.number && month == marks.number && day == waiting.number {
		return l.forgetRows(ctx)
	}
	t := &turn{answers: answers.at(hour), marks: marks.at(month), waiting: waiting.at(day)}
	s := &submission{
		pending: newPending(), turn: t, destruction: &destruction{cause: causeAnswers, keys: 1},
		durable: func() { l.answers.set(t.answers); l.marks.set(t.marks); l.waiting.set(t.waiting) },
	}
	if err := l.queue.reserve(); err != nil {
		return err
	}
	l.queue.put(s)
	if _, err := s.pending.Wait(ctx); err != nil {
		return err
	}
	return l.forgetRows(ctx)
}

// newestHour is that of the newest mark; ok is false if there is none.
func (t *markTable) newestHour() (hour uint32, ok bool, err error) {
	err = t.store.View(func(r store.Reader) error {
		_, row, err := r.Last(mapMarks)
		if err != nil || row == nil {
			return err
		}
		if err := checkMark(row); err != nil {
			return err
		}
		hour, ok = binary.BigEndian.Uint32(row[hourAt:]), true
		return nil
	})
	return hour, ok, err
}

// before returns up to limit keys of marks of the months before one.
func (t *markTable) before(month uint32, limit int) (rows [][]byte, err error) {
	err = t.store.View(func(r store.Reader) error {
		return r.Scan(mapMarks, nil, markKey(month, 0), func(k, _ []byte) error {
			if rows = append(rows, append([]byte(nil), k...)); len(rows) == limit {
				return store.ErrStop
			}
			return nil
		})
	})
	return rows, err
}

// forgetRows removes the rows of months and days whose key is gone.
func (l *Ledger) forgetRows(ctx context.Context) error {
	before := l.marks.oldest().number
	err := l.forgetAll(ctx, mapMarks, func() ([][]byte, error) { return l.marks.before(before, forgetAtOnce) })
	if err == nil {
		err = l.marks.forget(before)
	}
	if err != nil {
		return err
	}
	day := l.waiting.oldest().number
	return l.forgetAll(ctx, mapWaiting, func() ([][]byte, error) { return l.waitingBefore(day, forgetAtOnce) })
}

func (l *Ledger) forgetAll(ctx context.Context, of store.Map, next func() ([][]byte, error)) error {
	for {
		rows, err := next()
		if err != nil || len(rows) == 0 {
			return err
		}
		t := &turn{}
		for _, row := range rows {
			t.forget = append(t.forget, forgotten{of, row})
		}
		s := &submission{pending: newPending(), turn: t}
		if err := l.queue.reserve(); err != nil {
			return err
		}
		l.queue.put(s)
		if _, err := s.pending.Wait(ctx); err != nil {
			return err
		}
	}
}
