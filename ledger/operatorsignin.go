package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"consentledger/ledger/consent"
)

// What an operator signs in with is an entry of the operator's, under a key of its own that dies when
// it is replaced. To the ledger it is bytes: what they mean is the business of whoever checks them.

// ErrSignInChanged says that somebody else was faster: what was checked is no longer what there is.
var ErrSignInChanged = errors.New("what the operator signs in with has changed meanwhile")

// SignInRecord returns what an operator signs in with, nil if there is nothing.
func (l *Ledger) SignInRecord(ctx context.Context, id string) (record []byte, err error) {
	if err := l.operators.Load().Living(id); err != nil {
		return nil, err
	}
	err = l.readOperator(ctx, id, func(m *member, _ time.Time) (err error) {
		record, err = l.signInOf(m)
		return err
	})
	return record, err
}

func (l *Ledger) signInOf(m *member) (record []byte, err error) {
	e, err := l.newestOf(m, consent.SignInClass)
	if e == nil || err != nil {
		return nil, err
	}
	return e.Event.SignIn, nil
}

// newestOf opens the newest entry of a class that is not kept for a time, nil if there is none. It opens
// no other: what anybody may ask for must not cost more the longer the log is.
func (l *Ledger) newestOf(m *member, class consent.ClassID) (newest *opened, err error) {
	for i, mk := range m.keys {
		if mk.name.Class != class || mk.count == 0 {
			continue
		}
		index, ok, err := l.tags.Find(mk.tagger.Tag(mk.count - 1))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, l.damaged(fmt.Errorf("%w: the newest entry of a key is not found", ErrCorrupt))
		}
		if newest != nil && index < newest.Index {
			continue
		}
		raw, err := l.entries([]uint64{index})
		if err != nil {
			return nil, l.damaged(err)
		}
		e, err := l.openOne(l.register.Load(), mk, &m.rec.Keys[i], index, raw[0])
		if err != nil {
			return nil, l.damaged(err)
		}
		newest = &e
	}
	return newest, nil
}

// InviteOperator replaces what an operator signs in with by an invitation, and destroys what there
// was. Who did so is an entry of the register. The invitation's token is returned, that of the first
// call where the call was sent again.
func (l *Ledger) InviteOperator(ctx context.Context, who Caller, id string, record []byte, token string) (Written, string, error) {
	if err := who.must(ActRegister); err != nil {
		return Written{}, "", err
	}
	ref, err := parseOperatorID(id)
	if err != nil {
		return Written{}, "", err
	}
	d, err := l.operatorDraft(who, kindOperatorInvited, operatorBody{Operator: ref[:]})
	if err != nil {
		return Written{}, "", err
	}
	a, err := l.onceNow(ctx, who, l.slotOfRef(ref), func(ctx context.Context) (*Answer, error) {
		if c := claimOf(ctx); c != nil {
			if c.extra, err = encodeBody(madeKey{id, token}); err != nil {
				return nil, err
			}
			defer clear(c.extra)
		}
		return l.writeSignIn(ctx, who.KeyID, id, nil, record, true, d)
	})
	if err != nil {
		return Written{}, "", err
	}
	if a.Replayed {
		var made madeKey
		if err := decodeBody(a.extra, &made); err != nil {
			return Written{}, "", err
		}
		token = made.Token
	}
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt, Replayed: a.Replayed}, token, nil
}

// ChangeSignIn records what an operator signs in with from now on, if it still is what the caller
// checked. With fresh, what there was is destroyed. It returns once that is durable.
func (l *Ledger) ChangeSignIn(ctx context.Context, id string, have, next []byte, fresh bool) (Written, error) {
	a, err := l.writeSignIn(ctx, id, id, have, next, fresh)
	if err != nil {
		return Written{}, err
	}
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt}, nil
}

func (l *Ledger) writeSignIn(ctx context.Context, by, id string, have, next []byte, fresh bool, register ...systemDraft) (*Answer, error) {
	// An operator who ends meanwhile must stay ended.
	l.regMu.Lock()
	defer l.regMu.Unlock()
	if err := l.operators.Load().Living(id); err != nil {
		return nil, err
	}
	if l.revoked(by) {
		return nil, ErrUnauthorized
	}
	path, slot, err := l.operatorSlot(id)
	if err != nil {
		return nil, err
	}
	p, err := l.writeSlot(ctx, path, slot, func(m *member, now time.Time) (*submission, error) {
		if have != nil {
			is, err := l.signInOf(m)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(is, have) {
				return nil, ErrSignInChanged
			}
		}
		plan := l.register.Load().PlanSignIn(m.states(), next, fresh)
		s, err := l.build(m, plan, change{cause: causeSignInReplaced}, now)
		if err != nil {
			return nil, err
		}
		s.system = append(s.system, register...)
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	return p.Wait(context.WithoutCancel(ctx))
}
