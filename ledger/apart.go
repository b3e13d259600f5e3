package ledger

import (
	"context"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// A membership that ended, and of which something is kept, is worked on beside the living one that
// its id may have by now: same lock, state of its own.

// apart loads the ended membership of a slot. The caller holds m, the member of its id.
func (l *Ledger) apart(m *member, slot uint64) (*member, error) {
	rec, err := l.keys.Member(slot)
	if err != nil {
		return nil, l.damaged(err)
	}
	if rec == nil || !rec.Ended || rec.Path != m.path {
		return nil, ErrUnknownMember
	}
	a := &member{path: m.path, loaded: true, apart: slot, id: m.id, rec: rec, fold: consent.NewFold()}
	opened, keys, err := l.openMember(rec)
	if err != nil {
		return nil, err
	}
	a.keys = keys
	for _, e := range opened {
		a.fold.Apply(e.Index, e.RecordedAt, e.key, e.Event)
	}
	a.fold.MarkWithdrawn()
	return a, nil
}

// of returns the membership of a slot: m itself if it is the living one.
func (l *Ledger) of(m *member, slot uint64) (*member, error) {
	if m.id.Slot == slot {
		return m, nil
	}
	return l.apart(m, slot)
}

// slot is the slot that a membership lies in.
func (m *member) slot() uint64 {
	if m.apart != 0 {
		return m.apart
	}
	return m.id.Slot
}

// writeSlot is write for the membership of a slot, living or ended.
func (l *Ledger) writeSlot(ctx context.Context, path keyring.IDPath, slot uint64, f func(*member, time.Time) (*submission, error)) (*Pending, error) {
	return l.write(ctx, path, func(m *member, now time.Time) (*submission, error) {
		is, err := l.of(m, slot)
		if err != nil {
			return nil, err
		}
		s, err := f(is, now)
		if err != nil {
			return nil, err
		}
		s.member, s.apart = m, is != m
		return s, nil
	})
}

// doAt does what a plan says to the membership of a ref, living or ended, and waits for it.
func (l *Ledger) doAt(ctx context.Context, ref Ref, c submitting, plan planner) (*Answer, error) {
	path, slot, _, err := l.resolve(ref)
	if err != nil {
		return nil, err
	}
	p, err := l.writeSlot(ctx, path, slot, func(m *member, now time.Time) (*submission, error) {
		return l.planned(m, c, change{cause: c.cause, unasked: c.unasked}, now, plan)
	})
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// readSlot runs f on the membership of a slot, with no write of its member under way.
func (l *Ledger) readSlot(ctx context.Context, path keyring.IDPath, slot uint64, f func(m *member, now time.Time) error) error {
	m, err := l.acquire(ctx, path)
	if err != nil {
		return err
	}
	defer l.release(m)
	is, err := l.of(m, slot)
	if err != nil {
		return err
	}
	return f(is, l.now())
}

// PlaceHold keeps what some classes of a member hold from being destroyed until a time.
func (l *Ledger) PlaceHold(ctx context.Context, who Caller, ref Ref, h *consent.Hold) (*Answer, error) {
	if !who.May(ActOffice) {
		return nil, ErrForbidden
	}
	id, err := l.randomID("hld_")
	if err != nil {
		return nil, err
	}
	return l.onceNow(ctx, who, l.slotOfRef(ref), func(ctx context.Context) (*Answer, error) {
		return l.doAt(ctx, ref, submitting{cause: causeHold, answer: func(a *Answer) { a.Hold = id }}, func(m *member, now time.Time) (*consent.Plan, error) {
			return l.register.Load().PlanHold(m.fold, m.states(), h, id, now)
		})
	})
}

// ReleaseHold ends a hold. What it kept beyond its time is destroyed with it.
func (l *Ledger) ReleaseHold(ctx context.Context, who Caller, ref Ref, id string) (*Answer, error) {
	if !who.May(ActOffice) {
		return nil, ErrForbidden
	}
	a, err := l.doAt(ctx, ref, submitting{cause: causeHold, unasked: true, answer: func(a *Answer) { a.Hold = id }}, func(m *member, now time.Time) (*consent.Plan, error) {
		return l.register.Load().PlanRelease(m.fold, m.states(), id, now)
	})
	if err != nil {
		return nil, err
	}
	// Of a class whose entries each have a clock only those go that have run out, which is the
	// sweep's to work out. The release is durable by now: what fails here is left to the next sweep.
	slot, _ := l.refs.open(ref)
	if p, err := l.expire(ctx, slot); err == nil && p != nil {
		if more, err := p.Wait(ctx); err == nil {
			a.Entries = append(a.Entries, more.Entries...)
			a.DestroyedKeys += more.DestroyedKeys
			a.DestroyedEntries += more.DestroyedEntries
		}
	}
	return a, nil
}

// WithdrawRef is a withdrawal of the member whom a ref stands for; w names none.
func (l *Ledger) WithdrawRef(ctx context.Context, who Caller, ref Ref, w *consent.Withdrawal) (*Answer, error) {
	if !who.May(ActWrite) {
		return nil, ErrForbidden
	}
	if who.Policies != nil {
		return nil, ErrPolicyNotAllowed
	}
	return l.onceNow(ctx, who, l.slotOfRef(ref), func(ctx context.Context) (*Answer, error) {
		_, _, ended, err := l.resolve(ref)
		if err != nil {
			return nil, err
		}
		if ended {
			return nil, ErrWithdrawn
		}
		return l.doAt(ctx, ref, submitting{cause: causeOf(w)}, func(m *member, now time.Time) (*consent.Plan, error) {
			return l.register.Load().PlanWithdrawal(m.fold, m.states(), w, now)
		})
	})
}
