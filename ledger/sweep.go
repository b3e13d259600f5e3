package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	ctx, cancel := l.untilClosing()
	defer cancel()
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

// untilClosing returns a context that ends when the ledger is closed.
func (l *Ledger) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-l.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Sweep destroys every key whose time is up, ends the memberships of those who were dormant too
// long, and works out anew when those are to be looked at whose time for that has come. It returns
// how many memberships were changed. It works in bounded batches, as ordinary commits, while the
// ledger serves.
func (l *Ledger) Sweep(ctx context.Context) (changed int, err error) {
	l.sweepMu.Lock()
	defer l.sweepMu.Unlock()
	for more := true; more && err == nil; {
		var n int
		n, err = l.sweepOnce(ctx)
		changed, more = changed+n, n > 0
	}
	err = worse(err, l.sweepMarks(ctx))
	err = worse(err, l.recordKeyUse(ctx, false))
	now := l.now()
	again := l.eachSlot(ctx, func(from uint64) ([]uint64, error) {
		return l.keys.Tasks(l.tasked, now.Unix(), from, sweepBatch)
	}, l.lookAgain, nil)
	if again == nil {
		l.tasked = now.Unix()
	}
	if err = worse(err, again); err == nil {
		l.sweptAt.Store(l.now().UnixMilli())
	}
	return changed, err
}

// sweepOnce goes once through what is due.
func (l *Ledger) sweepOnce(ctx context.Context) (changed int, err error) {
	now := l.now()
	err = l.eachSlot(ctx, func(from uint64) ([]uint64, error) {
		return l.keys.DueFrom(now.Unix(), from, sweepBatch)
	}, l.expire, func(*Answer) { changed++ })
	return changed, err
}

// eachSlot calls f with the slots that next returns, and waits for what f queues after each batch.
// A member for whom f fails keeps nobody else waiting: the rest come first, then the error.
func (l *Ledger) eachSlot(ctx context.Context, next func(from uint64) ([]uint64, error),
	f func(context.Context, uint64) (*Pending, error), done func(*Answer),
) (failed error) {
	for from := uint64(0); ; {
		slots, err := next(from)
		if err != nil {
			return l.damaged(err)
		}
		if len(slots) == 0 {
			return failed
		}
		waiting := make([]*Pending, 0, len(slots))
		for _, slot := range slots {
			if err := ctx.Err(); err != nil {
				return err
			}
			p, err := f(ctx, slot)
			if errors.Is(err, ErrBusy) && !errors.Is(err, errMemberBusy) && len(waiting) > 0 {
				break // the queue is full: wait for those, then go on from here
			}
			if l.hopeless(ctx, err) {
				return err
			}
			from = slot + 1
			failed = worse(failed, err)
			if p != nil {
				waiting = append(waiting, p)
			}
		}
		for _, p := range waiting {
			a, err := p.Wait(ctx)
			if l.hopeless(ctx, err) {
				return err
			}
			failed = worse(failed, err)
			if err == nil && done != nil {
				done(a)
			}
		}
	}
}

// hopeless says whether an error is that of the whole ledger, or of its caller, and not of one member.
func (l *Ledger) hopeless(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || l.Health() != nil || errors.Is(err, ErrClosed) ||
		errors.Is(err, ErrBusy) && !errors.Is(err, errMemberBusy))
}

// worse keeps the first of several errors; one that says that somebody is busy gives way.
func worse(have, err error) error {
	if have == nil || err != nil && errors.Is(have, ErrBusy) && !errors.Is(err, ErrBusy) {
		return err
	}
	return have
}

// atSlot runs f on the membership of a slot, living or ended, if there still is one, and queues
// what it returns. It returns nil if there is nothing to do.
func (l *Ledger) atSlot(ctx context.Context, slot uint64, f func(m *member, now time.Time) (*submission, error)) (*Pending, error) {
	rec, err := l.keys.Member(slot)
	if err != nil || rec == nil {
		return nil, l.damaged(err)
	}
	p, err := l.writeSlot(ctx, rec.Path, slot, f)
	if errors.Is(err, errNothing) || errors.Is(err, ErrUnknownMember) {
		return nil, nil
	}
	return p, err
}

// expire destroys what is due of one slot: the living membership of an id, or an ended one.
func (l *Ledger) expire(ctx context.Context, slot uint64) (*Pending, error) {
	return l.atSlot(ctx, slot, l.planExpiry)
}

// lookAgain works out anew when a member is to be looked at.
func (l *Ledger) lookAgain(ctx context.Context, slot uint64) (*Pending, error) {
	return l.atSlot(ctx, slot, func(m *member, now time.Time) (*submission, error) {
		s, err := l.build(m, &consent.Plan{}, change{clocks: true}, now)
		if err == nil && s.empty() {
			err = errNothing
		}
		return s, err
	})
}

// planExpiry works out what is left of a membership at a time.
//
// The due of a ratchet is only a lower bound: it was set when the key was made. Here the entries
// are looked at, and the ratchet moves to the day of the oldest one that may still be read.
func (l *Ledger) planExpiry(m *member, now time.Time) (*submission, error) {
	reg := l.register.Load()
	ch := change{cause: causeExpiry, clocks: true, unasked: true}
	if m.rec.Wake != 0 && m.rec.Wake <= now.Unix() && m.apart == 0 {
		if p := reg.PlanDormancyEnd(m.fold, m.states(), now); p != nil {
			return l.build(m, p, change{cause: causeDormancy, unasked: true}, now)
		}
	}
	var gone, aging []consent.KeyName // aging: of which some days go
	for i := range m.rec.Keys {
		k := &m.rec.Keys[i]
		due := k.DueAt()
		if due == 0 || due > now.Unix() {
			continue
		}
		name := m.keys[i].name
		if !k.Ratchet {
			gone = append(gone, name)
			continue
		}
		mv, all, err := l.planRatchet(reg, k, name, now)
		if err != nil {
			return nil, err
		}
		if all && m.rec.Ended {
			gone = append(gone, name)
			continue
		}
		ch.moves = append(ch.moves, mv)
		if mv.dead > 0 {
			aging = append(aging, name)
		}
	}
	p := &consent.Plan{}
	if len(gone)+len(aging) > 0 && m.apart == 0 {
		if q := reg.PlanExpiry(m.fold, m.states(), slices.Concat(gone, aging), now); q != nil {
			p = q
		}
	}
	p.Destroy = gone
	s, err := l.build(m, p, ch, now)
	if err != nil {
		return nil, err
	}
	if s.empty() {
		return nil, errNothing
	}
	return s, nil
}

// planRatchet says how far a ratchet moves on, and whether every entry under it has had its time.
func (l *Ledger) planRatchet(reg *consent.Register, k *keyring.MemberKey, name consent.KeyName, now time.Time) (mv ratchetMove, all bool, err error) {
	rule, ok := reg.Rule(name.Class)
	if !ok {
		return mv, false, l.damaged(fmt.Errorf("%w: no policy has the class %s", ErrCorrupt, name.Class.Name()))
	}
	days, err := l.daysOf(newMemberKey(k), k)
	if err != nil {
		return mv, false, err
	}
	today := reg.Day(now)
	mv = ratchetMove{name: name, day: today}
	for _, day := range days {
		if reg.DiesOn(rule, day) <= today {
			mv.dead++
		} else if day < mv.day {
			mv.day = day
		}
	}
	mv.due = reg.DayStart(reg.DiesOn(rule, mv.day)).Unix()
	return mv, uint64(len(days)) == mv.dead, nil
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
