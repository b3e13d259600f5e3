package ledger

import (
	"context"
	"errors"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// Decide answers whether a purpose may use a member's items, now or, if the question names a
// time, as the ledger stood then. It records nothing: a decision is not a look.
func (l *Ledger) Decide(ctx context.Context, who Caller, q *consent.Question) (consent.Answer, error) {
	if !who.May(ActDecide) {
		return consent.Answer{}, ErrForbidden
	}
	if err := l.purposesInScope(who, q.Purpose); err != nil {
		return consent.Answer{}, err
	}
	if err := q.CheckAt(l.now()); err != nil {
		return consent.Answer{}, err
	}
	reg := l.register.Load()
	m, err := l.acquire(ctx, l.pathOf(q.Member))
	if err != nil {
		return consent.Answer{}, err
	}
	defer l.release(m)
	now := l.now()
	switch {
	case m.ended():
		return consent.Answer{Reason: consent.ReasonWithdrawn}, nil
	case !m.living():
		return reg.Decide(nil, q, now), nil
	case q.At.IsZero() || !q.At.Before(now):
		return reg.Decide(m.fold, q, now), nil
	}
	all, _, err := l.openMember(m.rec)
	if err != nil {
		return consent.Answer{}, err
	}
	fold := consent.NewFold()
	for _, e := range all {
		if !e.RecordedAt.After(q.At) {
			fold.Apply(e.Index, e.RecordedAt, e.key, e.Event)
		}
	}
	return reg.Decide(fold, q, q.At), nil
}

// Lookup turns a member id into the member's ref. Of a membership that ended it says so only
// while something is kept.
func (l *Ledger) Lookup(ctx context.Context, who Caller, id consent.MemberID) (Ref, State, error) {
	if !who.May(ActDecide) {
		return Ref{}, "", ErrForbidden
	}
	m, err := l.acquire(ctx, l.pathOf(id))
	if err != nil {
		return Ref{}, "", err
	}
	defer l.release(m)
	switch {
	case m.living():
		state := StateActive
		now := l.now()
		if _, dormant := l.register.Load().DormantSince(m.fold, now); dormant {
			state = StateDormant
		}
		return l.refs.ref(m.id.Slot, m.rec.Nonce), state, nil
	case m.ended():
		slot := m.id.Kept[len(m.id.Kept)-1]
		rec, err := l.keys.Member(slot)
		if err != nil {
			return Ref{}, "", l.damaged(err)
		}
		if rec != nil {
			return l.refs.ref(slot, rec.Nonce), StateWithdrawn, nil
		}
	}
	return Ref{}, "", ErrUnknownMember
}

// resolve finds the member id that a ref stands for, as far as the keyring knows it.
func (l *Ledger) resolve(ref Ref) (path keyring.IDPath, slot uint64, ended bool, err error) {
	slot, nonce := l.refs.open(ref)
	rec, err := l.keys.Member(slot)
	if err != nil {
		return path, 0, false, l.damaged(err)
	}
	if rec == nil || rec.Nonce != nonce || rec.Kind == consent.OperatorKind {
		return path, 0, false, ErrUnknownMember
	}
	return rec.Path, slot, rec.Ended, nil
}

// ErrWithdrawn says that the membership ended, and that what is kept of it is kept apart.
var ErrWithdrawn = errors.New("the member has withdrawn")

// look records a look at a member and, once that is durable, hands the member to f.
//
// No record, no answer: the entry that says who looked, and why, is on disk before f runs. check,
// if not nil, can say no before that: a look that is refused shows nothing and is not recorded.
func (l *Ledger) look(ctx context.Context, who Caller, ref Ref, lk Look, check, f func(m *member, now time.Time) error) error {
	if !who.May(ActLook) {
		return ErrForbidden
	}
	path, slot, ended, err := l.resolve(ref)
	if err != nil {
		return err
	}
	if ended {
		return ErrWithdrawn
	}
	pending, err := l.recordLook(ctx, who, path, slot, lk, ordinary(check))
	if err != nil {
		return err
	}
	if _, err := pending.Wait(ctx); err != nil {
		return err
	}
	return l.readSlot(ctx, path, slot, ordinary(f))
}

// ordinary keeps f from a membership that ended while the look waited for its turn: what is left of
// it is kept apart.
func ordinary(f func(m *member, now time.Time) error) func(m *member, now time.Time) error {
	return func(m *member, now time.Time) error {
		switch {
		case m.apart != 0:
			return ErrWithdrawn
		case f == nil:
			return nil
		}
		return f(m, now)
	}
}

// recordLook queues the record of a look at a membership, living or ended. check, if not nil, can
// say no before anything is recorded.
func (l *Ledger) recordLook(ctx context.Context, who Caller, path keyring.IDPath, slot uint64, lk Look, check func(m *member, now time.Time) error) (*Pending, error) {
	ctx = context.WithValue(ctx, askerKey{}, who.KeyID)
	return l.writeSlot(ctx, path, slot, func(m *member, now time.Time) (*submission, error) {
		if check != nil {
			if err := check(m, now); err != nil {
				return nil, err
			}
		}
		a := &consent.Access{Who: who.KeyID, From: who.From, What: lk.What, Reason: lk.Reason}
		p, err := l.register.Load().PlanAccess(m.fold, m.states(), a, now)
		if err != nil {
			return nil, err
		}
		return l.build(m, p, change{}, now)
	})
}

// awake refuses what is not shown of a dormant member.
func (l *Ledger) awake(m *member, now time.Time) error {
	if _, dormant := l.register.Load().DormantSince(m.fold, now); dormant {
		return ErrDormant
	}
	return nil
}

// Member returns a member's state; to the officer also the legal holds, which may have to be kept
// from the member. The look is recorded first.
func (l *Ledger) Member(ctx context.Context, who Caller, ref Ref, lk Look) (v consent.MemberView, err error) {
	err = l.look(ctx, who, ref, lk, nil, func(m *member, now time.Time) error {
		v = m.fold.View(l.register.Load(), now)
		if who.May(ActOffice) && v.State == consent.StateActive {
			v.Holds = m.fold.Holds(now)
		}
		return nil
	})
	return v, err
}

// History returns a member's entries, newest first, from before an index (0: the newest). next is
// the index to go on from, 0 where there is no more. The look is recorded first, and is the first
// row of the first page.
func (l *Ledger) History(ctx context.Context, who Caller, ref Ref, lk Look, before uint64, limit int) (rows []HistoryRow, next uint64, err error) {
	err = l.look(ctx, who, ref, lk, l.awake, func(m *member, _ time.Time) error {
		all, _, err := l.openMember(m.rec)
		if err != nil {
			return err
		}
		rows, next = page(all, before, limit)
		return nil
	})
	return rows, next, err
}
