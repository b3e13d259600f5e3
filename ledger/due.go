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
	reg, now := l.register.Load(), l.now()
	until := reg.DayStart(reg.Day(now.Add(within)) + 1)
	d := dueList{l: l, who: who, look: lk, until: until, patient: time.Now().Add(patience), seen: make(map[uint64]bool)}
	for _, item := range l.asks.due(until) {
		d.rows = append(d.rows, DueRow{DueItem: item})
	}
	// What is late first, then further and further ahead: a list that is cut has what presses most.
	after := int64(0)
	for _, days := range []int{0, 3, 10, 30, 100, 1000_000} {
		to := min(now.AddDate(0, 0, days).Unix(), until.Unix())
		if err := d.between(ctx, after, to); err != nil {
			return nil, false, err
		}
		after = to
	}
	for _, p := range d.waiting {
		if _, err := p.Wait(ctx); err != nil {
			return nil, false, err
		}
	}
	slices.SortStableFunc(d.rows, func(a, b DueRow) int { return a.At.Compare(b.At) })
	return d.rows, d.more, nil
}

// dueList is a list that is being made.
type dueList struct {
	l       *Ledger
	who     Caller
	look    Look
	until   time.Time
	patient time.Time // how long it waits for who is busy
	rows    []DueRow
	more    bool
	seen    map[uint64]bool // slots of the members that it names
	waiting []*Pending      // the records of the looks
}

// between adds the members whose task is later than after and not later than to, in seconds, until
// the list is full.
func (d *dueList) between(ctx context.Context, after, to int64) error {
	for from := uint64(0); after < to && !d.more; {
		slots, err := d.l.keys.Tasks(after, to, from, sweepBatch)
		if err != nil || len(slots) == 0 {
			return d.l.damaged(err)
		}
		for _, slot := range slots {
			from = slot + 1
			if d.seen[slot] {
				continue // its task was moved meanwhile
			}
			if err := d.add(ctx, slot); err != nil || d.more {
				return err
			}
		}
	}
	return nil
}

// add adds what is due of one member, and queues the record that they are looked at.
func (d *dueList) add(ctx context.Context, slot uint64) error {
	var items []consent.DueItem
	var member Ref
	var path keyring.IDPath
	err := patiently(ctx, d.patient, func() (err error) {
		items, member, path, err = d.l.dueOf(ctx, slot, d.until)
		return err
	})
	if err != nil || len(items) == 0 {
		return err
	}
	if len(d.seen) == maxDueMembers {
		d.more = true
		return nil
	}
	var p *Pending
	err = patiently(ctx, d.patient, func() (err error) {
		p, err = d.l.recordLook(ctx, d.who, path, slot, d.look, nil)
		return err
	})
	if errors.Is(err, ErrUnknownMember) {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	d.seen[slot] = true
	d.waiting = append(d.waiting, p)
	for _, item := range items {
		d.rows = append(d.rows, DueRow{item, member})
	}
	return nil
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
// members, unless some are named. A name that stands nowhere is refused: that nobody is affected must
// not be the answer to a slip of the pen.
func (l *Ledger) Breach(ctx context.Context, who Caller, lk Look, q *BreachAsk, emit func(BreachRow) error) error {
	if !who.May(ActOffice) {
		return ErrForbidden
	}
	reg := l.register.Load()
	if err := reg.CheckBreach(&q.BreachQuery); err != nil {
		return err
	}
	found := false
	err := l.breach(ctx, who, lk, q, func(row BreachRow) error {
		found = true
		return emit(row)
	})
	if err == nil && !found {
		err = reg.CheckNoBreach(&q.BreachQuery)
	}
	return err
}

func (l *Ledger) breach(ctx context.Context, who Caller, lk Look, q *BreachAsk, emit func(BreachRow) error) error {
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
		if s.Member.Kind == consent.OperatorKind {
			continue // no member; their name and what they sign in with is nobody's answer
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
