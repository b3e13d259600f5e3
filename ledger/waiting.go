package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// A destruction that nobody asked for (a time was up, an event ended for everybody, a hold was
// released) has nobody to answer. What its certificate is made from waits for the officer, who sends
// it with the notice: a row beside the log, by the index of the destruction's entry.
//
//	row = day u32 | sealed part, under K_day, with version 0x82 and the first 16 bytes of the commitment as tag
//
// The key of a day follows from that of the day before, and the sweep destroys it after thirty days. A
// row whose certificate was delivered is cut down to its day; what it held can be read with the day's
// key, from an older image of the database, until that goes.

const (
	waitingDays   = 30
	systemWaiting = "waiting"

	// waitingVersion keeps what is sealed here apart from entries and answers.
	waitingVersion = 0x82
)

// ErrNoCertificate says that no certificate waits for a destruction: it went out with the answer to a
// call, was delivered, or its thirty days are over.
var ErrNoCertificate = errors.New("no certificate waits for this destruction")

// waitingBody is what waits.
type waitingBody struct {
	Opening []byte     `cbor:"1,keyasint"`
	Member  []byte     `cbor:"2,keyasint"`
	Kept    []onceKept `cbor:"3,keyasint,omitempty"`
}

func dayOf(t time.Time) uint32 { return uint32(t.Unix() / secondsPerDay) }

// waitingRow makes the row of a destruction whose entry has no index yet.
func (l *Ledger) waitingRow(commitment []byte, b waitingBody, now time.Time) ([]byte, error) {
	day := dayOf(now)
	k, err := l.waiting.key(day)
	if err != nil {
		return nil, err
	}
	raw, err := encodeBody(b)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	row := binary.BigEndian.AppendUint32(make([]byte, 0, 512), day)
	if row, err = l.box.Seal(row, l.o.Rand, waitingVersion, k, waitingTag(commitment), raw); err != nil {
		return nil, fmt.Errorf("seal what a certificate is made from: %w", err)
	}
	return row, nil
}

func waitingDay(row []byte) (uint32, error) {
	if len(row) < 4 {
		return 0, fmt.Errorf("%w: what a certificate is made from is cut off", ErrCorrupt)
	}
	return binary.BigEndian.Uint32(row), nil
}

// openWaiting opens a row. It fails with ErrNoCertificate if there is nothing in it any more.
func (l *Ledger) openWaiting(row, commitment []byte, now time.Time) (w waitingBody, err error) {
	if row == nil {
		return w, ErrNoCertificate
	}
	day, err := waitingDay(row)
	if err != nil {
		return w, err
	}
	if len(row) == 4 || day+waitingDays < dayOf(now) {
		return w, ErrNoCertificate
	}
	k, err := l.waiting.key(day)
	if errors.Is(err, errEpochGone) {
		return w, ErrNoCertificate
	}
	if err != nil {
		return w, err
	}
	sealed := row[4:]
	if len(commitment) != 32 || len(sealed) < 16 || seal.Tag(sealed[:16]) != waitingTag(commitment) {
		return w, fmt.Errorf("%w: what a certificate is made from is of another destruction", ErrCorrupt)
	}
	raw, err := l.box.Open(nil, waitingVersion, k, sealed)
	if err != nil {
		return w, fmt.Errorf("%w: what a certificate is made from cannot be opened: %w", ErrCorrupt, err)
	}
	defer clear(raw)
	if err := decodeBody(raw, &w); err != nil {
		return w, err
	}
	if len(w.Opening) != len(opening{}) || len(w.Member) != len(Ref{}) {
		return w, fmt.Errorf("%w: what a certificate is made from", ErrCorrupt)
	}
	return w, nil
}

// delivered is what ends a certificate's waiting: a notice to the member that names the destruction,
// and has come to them.
func delivered(n *consent.Notice) bool {
	return n.Destruction != nil && (n.Kind == consent.NoticeWithdrawalDone || n.Kind == consent.NoticeDestructionDone) &&
		(n.Outcome == consent.NoticeDelivered || n.Outcome == consent.NoticeConfirmed)
}

// putWaiting writes what the destructions of a group leave waiting, and ends the waiting of what was
// delivered.
func putWaiting(w store.Writer, group []*submission) error {
	for _, s := range group {
		if d := s.destruction; d != nil && d.waits != nil {
			if err := w.Put(mapWaiting, indexKey(d.index), d.waits); err != nil {
				return err
			}
		}
		if s.delivered == nil {
			continue
		}
		k := indexKey(*s.delivered)
		row, err := w.Get(mapWaiting, k)
		if err != nil {
			return err
		}
		if len(row) <= 4 {
			continue
		}
		if err := w.Put(mapWaiting, k, append([]byte(nil), row[:4]...)); err != nil {
			return err
		}
	}
	return nil
}

// waitingBefore returns up to limit keys of rows of the days before one. A row of just before midnight
// may stand behind one of just after it, and is found a day later.
func (l *Ledger) waitingBefore(day uint32, limit int) (rows [][]byte, err error) {
	err = l.o.Store.View(func(r store.Reader) error {
		return r.Scan(mapWaiting, nil, nil, func(k, row []byte) error {
			d, err := waitingDay(row)
			if err != nil {
				return err
			}
			if d >= day {
				return store.ErrStop
			}
			if rows = append(rows, append([]byte(nil), k...)); len(rows) == limit {
				return store.ErrStop
			}
			return nil
		})
	})
	return rows, err
}

// waits checks that each row opens while its key lives, and is of the destruction whose index it has.
func (c *deepCheck) waits() error {
	type row struct {
		index uint64
		value []byte
	}
	from := []byte(nil)
	for {
		var rows []row
		err := c.l.o.Store.View(func(r store.Reader) error {
			return r.Scan(mapWaiting, from, nil, func(k, v []byte) error {
				rows = append(rows, row{indexOf(k), append([]byte(nil), v...)})
				if len(rows) == slotsPerStep {
					return store.ErrStop
				}
				return nil
			})
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			from = indexKey(r.index + 1)
			if r.index >= c.size {
				continue
			}
			d, err := c.l.destructionAt(r.index)
			if err == nil {
				_, err = c.l.openWaiting(r.value, d.body.Commitment, c.l.now())
			}
			switch {
			case err == nil || errors.Is(err, ErrNoCertificate):
			case isDamage(err) || errors.Is(err, ErrUnknownDestruction) || errors.Is(err, chain.ErrMalformed):
				c.find("certificate_damaged", int64(r.index), err.Error())
			default:
				return err
			}
		}
	}
}
