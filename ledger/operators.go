package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// The register of operators (D6). A row that stays for good names the operator by a ref and says the
// role; the name is an entry of the operator's own, under a key in a slot of the keyring like a
// member's. So it can be destroyed like a member's, and is, by the clock, when the last look that
// names the operator has gone; the register's rows verify before and after.
//
// An operator's slot has no member id: its path is random, no id leads there, and no call about
// members works on it (see resolve).

// operatorBody is a change of the register of operators as it is recorded.
type operatorBody struct {
	Operator    []byte `cbor:"1,keyasint"`
	Role        string `cbor:"2,keyasint,omitempty"` // who is added
	Responsible bool   `cbor:"3,keyasint,omitempty"`
	To          []byte `cbor:"4,keyasint,omitempty"` // of a handover
	AtMs        int64  `cbor:"5,keyasint,omitempty"`
}

const operatorPrefix = "opr_"

// operatorID is a ref as the name of an operator: opr_ instead of mbr_.
func operatorID(r Ref) string { return operatorPrefix + r.String()[len(refPrefix):] }

func parseOperatorID(s string) (Ref, error) {
	if len(s) > len(operatorPrefix) && s[:len(operatorPrefix)] == operatorPrefix {
		if r, err := ParseRef(refPrefix + s[len(operatorPrefix):]); err == nil {
			return r, nil
		}
	}
	return Ref{}, (&consent.Operators{}).Living(s) // a refusal: there is no such operator
}

func (b *operatorBody) refs() (of, to string, err error) {
	var refs [2]Ref
	for i, raw := range [][]byte{b.Operator, b.To} {
		if len(raw) != 0 && copy(refs[i][:], raw) != len(refs[i]) || len(raw) > len(refs[i]) {
			return "", "", fmt.Errorf("%w: an operator in the register", ErrCorrupt)
		}
	}
	return operatorID(refs[0]), operatorID(refs[1]), nil
}

// apply is the register after a change that was recorded at a time.
func (b *operatorBody) apply(o *consent.Operators, kind string, at time.Time) (*consent.Operators, error) {
	if b == nil {
		return nil, fmt.Errorf("%w: an entry of the registers names no operator", ErrCorrupt)
	}
	of, to, err := b.refs()
	if err != nil {
		return nil, err
	}
	var next *consent.Operators
	switch kind {
	case kindOperatorAdded:
		next, err = o.With(of, &consent.NewOperator{Role: b.Role, Responsible: b.Responsible}, at)
	case kindOperatorHandover:
		next, err = o.WithHandover(consent.Handover{From: of, To: to, At: time.UnixMilli(b.AtMs), RecordedAt: at})
	case kindOperatorEnded:
		next, err = o.WithEnd(of, at)
	case kindOperatorInvited:
		next, err = o, o.Living(of)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: an operator in the register: %w", ErrCorrupt, err)
	}
	return next, nil
}

func (l *Ledger) operatorDraft(who Caller, kind string, b operatorBody) (systemDraft, error) {
	raw, err := encodeOwn(registerBody{Kind: kind, By: who.KeyID, Operator: &b})
	return systemDraft{topicRegisters, "registers", raw}, err
}

// OperatorRow is a row of the register with the name, if the caller may see it and it is not destroyed.
type OperatorRow struct {
	consent.Operator
	Name string
}

// Format prints no field.
func (OperatorRow) Format(s fmt.State, _ rune) { io.WriteString(s, "[operator]") }

// Operators lists the operators and the handovers, oldest first. An auditor sees the register and no
// name: to read one, the ledger would have to decrypt it.
func (l *Ledger) Operators(ctx context.Context, who Caller) ([]OperatorRow, []consent.Handover, error) {
	if !who.May(ActPeople) {
		return nil, nil, ErrForbidden
	}
	o := l.operators.Load()
	rows := make([]OperatorRow, 0, len(o.Rows()))
	for _, r := range o.Rows() {
		row := OperatorRow{Operator: r}
		if who.May(ActRegister) || who.May(ActOffice) {
			var err error
			if row.Name, err = l.operatorName(ctx, r.ID); err != nil {
				return nil, nil, err
			}
		}
		rows = append(rows, row)
	}
	return rows, o.Handovers(), nil
}

// operatorName reads the name of an operator, empty once it is destroyed.
func (l *Ledger) operatorName(ctx context.Context, id string) (name string, err error) {
	err = l.readOperator(ctx, id, func(m *member, _ time.Time) error {
		e, err := l.newestOf(m, consent.OperatorClass)
		if e != nil {
			name = e.Event.Name
		}
		return err
	})
	if errors.Is(err, ErrUnknownMember) {
		return "", nil
	}
	return name, err
}

// operatorSlot finds the slot of an operator. It fails with ErrUnknownMember once nothing is left of them.
func (l *Ledger) operatorSlot(id string) (path keyring.IDPath, slot uint64, err error) {
	ref, err := parseOperatorID(id)
	if err != nil {
		return path, 0, err
	}
	slot, nonce := l.refs.open(ref)
	rec, err := l.keys.Member(slot)
	if err != nil {
		return path, 0, l.damaged(err)
	}
	if rec == nil || rec.Nonce != nonce || rec.Kind != consent.OperatorKind {
		return path, 0, ErrUnknownMember
	}
	return rec.Path, slot, nil
}

func (l *Ledger) readOperator(ctx context.Context, id string, f func(*member, time.Time) error) error {
	path, slot, err := l.operatorSlot(id)
	if err != nil {
		return err
	}
	return l.readSlot(ctx, path, slot, f)
}

// AddOperator adds a person to the register, and returns their id.
func (l *Ledger) AddOperator(ctx context.Context, who Caller, n *consent.NewOperator) (id string, w Written, err error) {
	if err := who.must(ActRegister); err != nil {
		return "", Written{}, err
	}
	plan, err := l.register.Load().PlanOperator(n)
	if err != nil {
		return "", Written{}, err
	}
	a, err := l.onceNow(ctx, who, noSlot, func(ctx context.Context) (*Answer, error) { return l.addOperator(ctx, who, n, plan) })
	if err != nil {
		return "", Written{}, err
	}
	return operatorID(a.Member), Written{Entries: a.Entries, RecordedAt: a.RecordedAt, Replayed: a.Replayed}, nil
}

func (l *Ledger) addOperator(ctx context.Context, who Caller, n *consent.NewOperator, plan *consent.Plan) (*Answer, error) {
	l.regMu.Lock()
	defer l.regMu.Unlock()
	base := l.operators.Load()
	if _, err := base.With("", n, l.now()); err != nil {
		return nil, err
	}
	var path keyring.IDPath
	if _, err := io.ReadFull(l.o.Rand, path[:]); err != nil {
		return nil, fmt.Errorf("draw an operator's place: %w", err)
	}
	p, err := l.write(ctx, path, func(m *member, now time.Time) (*submission, error) {
		m.fold = consent.NewFold()
		s, err := l.build(m, plan, change{fresh: true}, now)
		if err != nil {
			return nil, err
		}
		s.sealedUnder = nil // the answer holds the ref and no name, and the register keeps that for good
		ref := s.pending.answer.Member
		d, err := l.operatorDraft(who, kindOperatorAdded, operatorBody{Operator: ref[:], Role: n.Role, Responsible: n.Responsible})
		s.system = append(s.system, d)
		return s, err
	})
	if err != nil {
		return nil, err
	}
	// The register in memory must follow what is durable, so a caller who goes away is not heeded.
	a, err := p.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	next, err := base.With(operatorID(a.Member), n, a.RecordedAt)
	if err != nil {
		return nil, fmt.Errorf("%w: an operator was recorded who may not be: %w", ErrCorrupt, err)
	}
	l.operators.Store(next)
	return a, nil
}

// HandOver records that the responsibility for customer information passed from one operator to another.
func (l *Ledger) HandOver(ctx context.Context, who Caller, from, to string, at time.Time) (Written, error) {
	if err := who.must(ActRegister); err != nil {
		return Written{}, err
	}
	return l.onceWritten(ctx, who, func(ctx context.Context) (Written, error) {
		l.regMu.Lock()
		defer l.regMu.Unlock()
		base := l.operators.Load()
		// What is kept is what is recorded, to the millisecond.
		h := consent.Handover{From: from, To: to, At: time.UnixMilli(at.UnixMilli()), RecordedAt: l.now()}
		if _, err := base.WithHandover(h); err != nil {
			return Written{}, err
		}
		giver, err := parseOperatorID(from)
		if err != nil {
			return Written{}, err
		}
		taker, err := parseOperatorID(to)
		if err != nil {
			return Written{}, err
		}
		b := operatorBody{Operator: giver[:], To: taker[:], AtMs: h.At.UnixMilli()}
		w, err := l.writeRegister(ctx, who, nil, registerBody{Kind: kindOperatorHandover, Operator: &b})
		if err != nil {
			return Written{}, err
		}
		h.RecordedAt = w.RecordedAt
		next, err := base.WithHandover(h)
		if err != nil {
			return Written{}, fmt.Errorf("%w: a handover was recorded that may not be: %w", ErrCorrupt, err)
		}
		l.operators.Store(next)
		return w, nil
	})
}

// EndOperator ends an operator's right to anything, at once and for good, and destroys what they
// signed in with. Their name stays until the last look that names them has gone.
func (l *Ledger) EndOperator(ctx context.Context, who Caller, id string) (Written, error) {
	if err := who.must(ActRegister); err != nil {
		return Written{}, err
	}
	l.regMu.Lock()
	defer l.regMu.Unlock()
	if l.revoked(who.KeyID) {
		return Written{}, ErrUnauthorized
	}
	base := l.operators.Load()
	ended, err := base.WithEnd(id, l.now())
	if err != nil {
		return Written{}, err
	}
	if err := l.remains(ctx, who, id); err != nil {
		return Written{}, err
	}
	ref, err := parseOperatorID(id)
	if err != nil {
		return Written{}, err
	}
	path, slot, err := l.operatorSlot(id)
	if err != nil {
		return Written{}, err
	}
	// In memory first: from the moment that somebody asked, the operator must not get in.
	l.operators.Store(ended)
	p, err := l.writeSlot(ctx, path, slot, func(m *member, now time.Time) (*submission, error) {
		s, err := l.build(m, l.register.Load().PlanOperatorEnd(m.states(), now), change{cause: causeOperatorEnd}, now)
		if err != nil {
			return nil, err
		}
		d, err := l.operatorDraft(who, kindOperatorEnded, operatorBody{Operator: ref[:]})
		s.system = append(s.system, d)
		return s, err
	})
	var a *Answer
	if err == nil {
		a, err = p.Wait(context.WithoutCancel(ctx))
	}
	if err != nil {
		if !errors.Is(err, ErrUncertain) {
			l.operators.Store(base)
		}
		return Written{}, err
	}
	if ended, err = base.WithEnd(id, a.RecordedAt); err != nil {
		return Written{}, err
	}
	l.operators.Store(ended)
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt}, nil
}

// OperatorCaller is an operator as a caller, in the role that the register says. It fails with
// ErrUnauthorized for who is not, or no longer, in it. Whether it is them, whoever asks has checked.
func (l *Ledger) OperatorCaller(id, from string) (Caller, error) {
	o, ok := l.operators.Load().Find(id)
	if !ok || !o.EndedAt.IsZero() {
		return Caller{}, ErrUnauthorized
	}
	return Caller{KeyID: o.ID, Role: Role(o.Role), From: from}, nil
}
