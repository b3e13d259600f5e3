package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// The registers (policies, API keys) are entries of the ledger's own, folded at start. They are
// small, and hold no member.

// policyPart is how much of a policy file one entry holds.
const policyPart = 48 << 10

func (l *Ledger) loadRegisters() error {
	reg := consent.NewRegister()
	keys := make(map[string]apiKeyRow)
	operators := &consent.Operators{}
	witnesses := &Witnesses{}
	var parts []byte
	err := l.eachOwn(topicRegisters, func(index uint64, at time.Time, body []byte) error {
		var b registerBody
		if err := decodeBody(body, &b); err != nil {
			return err
		}
		switch b.Kind {
		case kindPolicy:
			parts = append(parts, b.Data...)
			if b.Part+1 < b.Parts {
				return nil
			}
			p, err := consent.ParsePolicy(parts)
			if err != nil {
				return fmt.Errorf("%w: a policy in the register: %w", ErrCorrupt, err)
			}
			if reg, err = reg.With(p, at); err != nil {
				return fmt.Errorf("%w: a policy in the register: %w", ErrCorrupt, err)
			}
			parts = nil
		case kindRecipient:
			if b.Recipient == nil {
				return fmt.Errorf("%w: entry %d of the registers names no recipient", ErrCorrupt, index)
			}
			next, err := reg.WithRecipient(b.Recipient.change(), at)
			if err != nil {
				return fmt.Errorf("%w: a recipient in the register: %w", ErrCorrupt, err)
			}
			reg = next
		case kindWitness:
			if b.Witness == nil {
				return fmt.Errorf("%w: entry %d of the registers names no witness", ErrCorrupt, index)
			}
			next, err := witnesses.apply(b.Witness, at)
			if err != nil {
				return fmt.Errorf("%w: a witness in the register: %w", ErrCorrupt, err)
			}
			witnesses = next
		case kindOperatorAdded, kindOperatorHandover, kindOperatorEnded, kindOperatorInvited:
			next, err := b.Operator.apply(operators, b.Kind, at)
			if err != nil {
				return err
			}
			operators = next
		case kindKeyCreated:
			row := apiKeyRow{APIKey: APIKey{ID: b.KeyID, Role: b.Role, Name: b.Name, Policies: b.Policies, Certificate: b.Certificate, CreatedAt: at}}
			copy(row.secret[:], b.Secret)
			keys[b.KeyID] = row
		case kindKeyRevoked:
			row := keys[b.KeyID]
			row.RevokedAt = at
			keys[b.KeyID] = row
		case kindKeysUsed:
			l.keyUse.loaded(b.Used, b.UsedDay)
		default:
			return fmt.Errorf("%w: entry %d of the registers is of an unknown kind", ErrCorrupt, index)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.register.Store(reg)
	l.apiKeys.Store(&keys)
	l.operators.Store(operators)
	l.witnesses.Store(witnesses)
	return nil
}

// eachOwn opens the entries of one of the ledger's own topics, in order.
func (l *Ledger) eachOwn(name string, f func(index uint64, at time.Time, body []byte) error) error {
	topic := l.commit.topics[name]
	for i := range topic.count {
		index, ok, err := l.tags.Find(topic.tagger.Tag(i))
		if err != nil {
			return fmt.Errorf("read the ledger's own entries: %w", err)
		}
		if !ok {
			return fmt.Errorf("%w: entry %d of %s is missing", ErrCorrupt, i, name)
		}
		raw, err := l.entry(index)
		if err != nil {
			return fmt.Errorf("read the ledger's own entries: %w", err)
		}
		e, err := chain.Parse(raw)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
		}
		body, err := l.box.Open(nil, chain.Version, topic.key, e.Sealed)
		if err != nil {
			return fmt.Errorf("%w: entry %d of %s: %w", ErrCorrupt, index, name, err)
		}
		if err := f(index, time.UnixMilli(e.RecordedAtUnixMs), body); err != nil {
			return err
		}
	}
	return nil
}

// writeRegister makes a change to a register durable.
//
// dated, if not nil, is asked with the time that the entries will have, and can still say no.
func (l *Ledger) writeRegister(ctx context.Context, who Caller, dated func(time.Time) error, bodies ...registerBody) (Written, error) {
	if err := l.Health(); err != nil {
		return Written{}, err
	}
	s := &submission{pending: newPending(), dated: dated}
	for _, b := range bodies {
		b.By = who.KeyID
		body, err := encodeOwn(b)
		if err != nil {
			return Written{}, err
		}
		s.system = append(s.system, systemDraft{topicRegisters, "registers", body})
	}
	if err := l.queue.reserve(); err != nil {
		return Written{}, err
	}
	if err := l.markFor(ctx, s); err != nil {
		l.queue.release(1)
		return Written{}, err
	}
	l.queue.put(s)
	// The register in memory must follow what is durable, so a caller who goes away is not heeded.
	a, err := s.pending.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return Written{}, err
	}
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt}, nil
}

// Policies lists every version of every policy, with when it was recorded. It is public.
func (l *Ledger) Policies() []consent.Posted { return l.register.Load().Policies() }

// AddPolicy records a version of a policy. It fails with a *consent.Refusal if the file does not
// parse or may not follow the versions that are there.
func (l *Ledger) AddPolicy(ctx context.Context, who Caller, yaml []byte) (*consent.Policy, Written, error) {
	if !who.May(ActPolicies) {
		return nil, Written{}, ErrForbidden
	}
	p, err := consent.ParsePolicy(yaml)
	if err != nil {
		return nil, Written{}, err
	}
	if err := who.policy(p.ID()); err != nil {
		return nil, Written{}, err
	}
	w, err := l.onceWritten(ctx, who, func(ctx context.Context) (Written, error) { return l.addPolicy(ctx, who, yaml, p) })
	if err != nil {
		return nil, Written{}, err
	}
	return p, w, nil
}

func (l *Ledger) addPolicy(ctx context.Context, who Caller, yaml []byte, p *consent.Policy) (Written, error) {
	l.regMu.Lock()
	defer l.regMu.Unlock()
	base := l.register.Load()
	if _, err := base.With(p, l.now()); err != nil {
		return Written{}, err
	}
	var bodies []registerBody
	for piece := range slices.Chunk(yaml, policyPart) {
		bodies = append(bodies, registerBody{Kind: kindPolicy, Part: uint64(len(bodies)), Data: piece})
	}
	for i := range bodies {
		bodies[i].Parts = uint64(len(bodies))
	}
	// A notice period goes by the time that the entry gets, which may be of the next day.
	w, err := l.writeRegister(ctx, who, func(at time.Time) error { _, err := base.With(p, at); return err }, bodies...)
	if err != nil {
		return Written{}, err
	}
	reg, err := base.With(p, w.RecordedAt)
	if err != nil {
		return Written{}, fmt.Errorf("%w: a policy was recorded that may not follow the others: %w", ErrCorrupt, err)
	}
	l.register.Store(reg)
	return w, nil
}
