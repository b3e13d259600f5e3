package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// DueRow is something that somebody has to do by a time.
type DueRow struct {
	consent.DueItem
	Member Ref // zero where no member is left
}

// maxDueMembers bounds one answer: each member in it is looked at, and that is recorded.
const maxDueMembers = 1000

// Due lists what has to be done within a time, what is late included, earliest first. more says
// that the list was cut: there is more once what is in it is done. Each member that it names is
// recorded as looked at first.
func (l *Ledger) Due(ctx context.Context, who Caller, lk Look, within time.Duration) (rows []DueRow, more bool, err error) {
	if !who.May(ActOffice) {
		return nil, false, ErrForbidden
	}
	lk.What = "due"
	// To the end of the day on which the time is over: a request of today that may take thirty days is
	// in a list of thirty.
	reg := l.register.Load()
	until := reg.DayStart(reg.Day(l.now().Add(within)) + 1)
	for _, item := range l.asks.due(until) {
		rows = append(rows, DueRow{DueItem: item})
	}
	named := 0
	end := time.Now().Add(patience)
	var waiting []*Pending
	for from := uint64(0); ; {
		slots, err := l.keys.Tasks(0, until.Unix(), from, sweepBatch)
		if err != nil {
			return nil, false, l.damaged(err)
		}
		if len(slots) == 0 {
			break
		}
		for _, slot := range slots {
			from = slot + 1
			var items []consent.DueItem
			var member Ref
			var path keyring.IDPath
			err := patiently(ctx, end, func() (err error) {
				items, member, path, err = l.dueOf(ctx, slot, until)
				return err
			})
			if err != nil {
				return nil, false, err
			}
			if len(items) == 0 {
				continue
			}
			if named == maxDueMembers {
				more = true
				break
			}
			named++
			var p *Pending
			err = patiently(ctx, end, func() (err error) {
				p, err = l.recordLook(ctx, who, path, slot, lk, nil)
				return err
			})
			if errors.Is(err, ErrUnknownMember) {
				continue // gone meanwhile
			}
			if err != nil {
				return nil, false, err
			}
			waiting = append(waiting, p)
			for _, item := range items {
				rows = append(rows, DueRow{item, member})
			}
		}
		if more {
			break
		}
	}
	for _, p := range waiting {
		if _, err := p.Wait(ctx); err != nil {
			return nil, false, err
		}
	}
	slices.SortStableFunc(rows, func(a, b DueRow) int { return a.At.Compare(b.At) })
	return rows, more, nil
}

func (l *Ledger) dueOf(ctx context.Context, slot uint64, until time.Time) (items []consent.DueItem, ref Ref, path keyring.IDPath, err error) {
	rec, err := l.keys.Member(slot)
	if err != nil || rec == nil {
		return nil, ref, path, l.damaged(err)
	}
	path, ref = rec.Path, l.refs.ref(slot, rec.Nonce)
	err = l.readSlot(ctx, path, slot, func(m *member, now time.Time) error {
		items = l.register.Load().Due(m.fold, m.states(), now, until)
		return nil
	})
	if errors.Is(err, ErrUnknownMember) {
		err = nil
	}
	return items, ref, path, err
}

// BreachAsk says what leaked.
type BreachAsk struct {
	Members []Ref // absent: anybody
	consent.BreachQuery
}

// BreachRow is one member whose data is affected.
type BreachRow struct {
	Member  Ref
	Items   []string
	Entries []uint64 // the records that show it
}

// Breach reports every member whose data is affected, living or ended. Each is recorded as looked
// at before emit is called with them. It works in bounded batches, and takes as long as there are
// members, unless some are named.
func (l *Ledger) Breach(ctx context.Context, who Caller, lk Look, q *BreachAsk, emit func(BreachRow) error) error {
	if !who.May(ActOffice) {
		return ErrForbidden
	}
	lk.What = "breach"
	if len(q.Members) > 0 {
		var slots []keyring.Slot
		for _, ref := range q.Members {
			_, slot, _, err := l.resolve(ref)
			if errors.Is(err, ErrUnknownMember) {
				continue // nothing of them is left to be affected
			}
			if err != nil {
				return err
			}
			rec, err := l.keys.Member(slot)
			if err != nil {
				return l.damaged(err)
			}
			// Whoever is named twice is one person, looked at once.
			if rec != nil && !slices.ContainsFunc(slots, func(s keyring.Slot) bool { return s.Number == slot }) {
				slots = append(slots, keyring.Slot{Number: slot, Member: rec})
			}
		}
		return l.breachOf(ctx, who, lk, q, slots, emit)
	}
	end := l.nextSlot.Load() // who comes while it runs is not waited for
	for from := uint64(0); from < end; {
		slots, err := l.keys.Slots(from, sweepBatch)
		if err != nil {
			return l.damaged(err)
		}
		whole := len(slots) == sweepBatch
		for len(slots) > 0 && slots[len(slots)-1].Number >= end {
			slots = slots[:len(slots)-1]
		}
		if err := l.breachOf(ctx, who, lk, q, slots, emit); err != nil {
			return err
		}
		if !whole || len(slots) == 0 {
			return nil
		}
		from = slots[len(slots)-1].Number + 1
	}
	return nil
}

func (l *Ledger) breachOf(ctx context.Context, who Caller, lk Look, q *BreachAsk, slots []keyring.Slot, emit func(BreachRow) error) error {
	var rows []BreachRow
	var waiting []*Pending
	end := time.Now().Add(patience)
	for _, s := range slots {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := BreachRow{Member: l.refs.ref(s.Number, s.Member.Nonce)}
		err := patiently(ctx, end, func() error {
			return l.readSlot(ctx, s.Member.Path, s.Number, func(m *member, _ time.Time) error {
				entries, err := l.memberEntries(m)
				if err == nil {
					row.Items, row.Entries = consent.Breach(entries, &q.BreachQuery)
				}
				return err
			})
		})
		if errors.Is(err, ErrUnknownMember) || err == nil && len(row.Entries) == 0 {
			continue
		}
		if err != nil {
			return err
		}
		var p *Pending
		err = patiently(ctx, end, func() (err error) {
			p, err = l.recordLook(ctx, who, s.Member.Path, s.Number, lk, nil)
			return err
		})
		if errors.Is(err, ErrUnknownMember) {
			continue
		}
		if err != nil {
			return err
		}
		rows, waiting = append(rows, row), append(waiting, p)
	}
	for i, p := range waiting {
		if _, err := p.Wait(ctx); err != nil {
			return err
		}
		if err := emit(rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// A list of many members is not given up because the ledger, or one of them, is busy for a moment:
// what it has queued so far is written meanwhile.
const (
	patience = 10 * time.Second // for one list, or one batch of a long one
	pause    = 10 * time.Millisecond
)

// patiently calls f until it no longer says that something is busy, or until a time.
func patiently(ctx context.Context, end time.Time, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
