package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// sweepBatch bounds how many members are looked at before the queue is waited for.
const sweepBatch = 256

// sweepAgain is how soon a sweep is tried again that found the queue full.
const sweepAgain = 5 * time.Second

// sweepLoop destroys what is due: at start, and then every SweepEvery.
func (l *Ledger) sweepLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-l.closing
		cancel()
	}()
	for {
		tick := l.o.After(l.o.SweepEvery)
		_, err := l.Sweep(ctx)
		var again <-chan time.Time
		switch {
		case err == nil || errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled):
		case errors.Is(err, ErrBusy):
			again = time.After(sweepAgain)
		default:
			l.o.Log.Error("what is due could not be destroyed; it is tried again", "err", err)
		}
		select {
		case <-l.closing:
			return
		case <-tick:
		case <-again:
		}
	}
}

// Sweep destroys every key whose time is up, and returns how many members it changed. It works in
// bounded batches, as ordinary commits, while the ledger serves.
func (l *Ledger) Sweep(ctx context.Context) (changed int, err error) {
	for {
		now := l.now()
		slots, err := l.keys.Due(now.Unix(), sweepBatch)
		if err != nil {
			return changed, l.damaged(err)
		}
		if len(slots) == 0 {
			return changed, nil
		}
		waiting := make([]*Pending, 0, len(slots))
		for _, slot := range slots {
			p, err := l.expire(ctx, slot)
			if errors.Is(err, ErrBusy) && len(waiting) > 0 {
				break // wait for those, then look again
			}
			if err != nil {
				return changed, err
			}
			if p != nil {
				waiting = append(waiting, p)
			}
		}
		for _, p := range waiting {
			if _, err := p.Wait(ctx); err != nil {
				return changed, err
			}
			changed++
		}
		if len(waiting) == 0 {
			return changed, nil
		}
	}
}

// expire destroys what is due of one slot: the living membership of an id, or an ended one. It
// returns nil if there is nothing to do.
func (l *Ledger) expire(ctx context.Context, slot uint64) (*Pending, error) {
	rec, err := l.keys.Member(slot)
	if err != nil || rec == nil {
		return nil, l.damaged(err)
	}
	p, err := l.write(ctx, rec.Path, func(m *member, now time.Time) (*submission, error) {
		// Under the member's lock nothing else changes the record.
		rec, err := l.keys.Member(slot)
		if err != nil {
			return nil, l.damaged(err)
		}
		if rec == nil {
			return nil, errNothing
		}
		return l.planExpiry(m, slot, rec, now)
	})
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	return p, err
}

// planExpiry works out what is left of a record at a time.
//
// The due of a ratchet is only a lower bound: it was set when the key was made. Here the entries
// are looked at, and the ratchet moves to the day of the oldest one that may still be read.
func (l *Ledger) planExpiry(m *member, slot uint64, rec *keyring.Member, now time.Time) (*submission, error) {
	reg := l.register.Load()
	today := reg.Day(now)
	s := &submission{member: m, path: m.path, slot: slot, pending: newPending(), at: now}
	left := rec.Clone()
	left.Keys = left.Keys[:0]
	d := &destruction{cause: causeExpiry}
	changed := false
	for i := range rec.Keys {
		k := rec.Keys[i]
		if at := k.DueAt(); at == 0 || at > now.Unix() {
			left.Keys = append(left.Keys, k)
			continue
		}
		changed = true
		mk := newMemberKey(&k)
		days, err := l.daysOf(mk, &k)
		if err != nil {
			return nil, err
		}
		if !k.Ratchet {
			d.keys++
			d.entries += mk.count
			d.old = append(d.old, k.Key)
			continue
		}
		rule, ok := reg.Rule(mk.name.Class)
		if !ok {
			return nil, l.damaged(fmt.Errorf("%w: no policy has the class %s", ErrCorrupt, mk.name.Class.Name()))
		}
		oldest, dead := today, uint64(0)
		for _, day := range days {
			if reg.DiesOn(rule, day) <= today {
				dead++
			} else if day < oldest {
				oldest = day
			}
		}
		living := uint64(len(days)) - dead
		switch {
		case living == 0 && rec.Ended:
			d.keys++
			d.entries += dead
			d.old = append(d.old, k.Key)
			continue
		case dead > 0:
			d.keys++
			d.entries += dead
			d.old = append(d.old, k.Key)
		}
		if oldest > consent.Day(k.Day) {
			k.Key = newMemberKey(&k).keyOf(&k, oldest)
			k.Day = int32(oldest)
		}
		k.Due = reg.DayStart(reg.DiesOn(rule, oldest)).Unix()
		left.Keys = append(left.Keys, k)
	}
	if !changed {
		return nil, errNothing
	}
	if d.keys > 0 {
		s.destruction = d
		s.pending.answer.DestroyedKeys, s.pending.answer.DestroyedEntries = d.keys, int(d.entries)
	} else {
		// Nothing dies, only a clock is set anew. What is in memory follows by being read again.
		m.dead = true
	}
	if len(left.Keys) > 0 || !rec.Ended {
		s.record = left
		return s, nil
	}
	s.deleteRec = true
	after := keyring.IDRecord{Slot: m.id.Slot}
	for _, kept := range m.id.Kept {
		if kept != slot {
			after.Kept = append(after.Kept, kept)
		}
	}
	if after.Slot == 0 && len(after.Kept) == 0 {
		s.deleteID = true
	} else {
		s.putID = &after
	}
	return s, nil
}

// daysOf returns the day of each entry under a ratchet that can still be read, and counts the
// entries of any key.
func (l *Ledger) daysOf(mk *memberKey, k *keyring.MemberKey) ([]consent.Day, error) {
	opened, err := l.openKey(mk, k, nil)
	if err != nil {
		return nil, err
	}
	days := make([]consent.Day, len(opened))
	for i, e := range opened {
		days[i] = e.day
	}
	return days, nil
}
