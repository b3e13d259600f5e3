package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// Submit checks a call against the rules, seals what it writes, and queues it. What it returns
// becomes done once the call is durable. Calls of one goroutine for one member keep their order.
//
// Its errors: *consent.Refusal if the rules say no, ErrUnknownMember, ErrBusy if too many calls
// wait, ErrReadOnly once the disk is in doubt, ErrForbidden, ErrClosed. After any of them nothing
// is recorded.
func (l *Ledger) Submit(ctx context.Context, who Caller, call Call) (*Pending, error) {
	if !who.May(ActWrite) {
		return nil, ErrForbidden
	}
	reg := l.register.Load()
	switch c := call.(type) {
	case *consent.Consent:
		return l.submit(ctx, c.Member, c.Enrol, causePurposeWithdrawal, func(m *member, now time.Time) (*consent.Plan, string, error) {
			p, err := reg.PlanConsent(m.fold, m.states(), c, now)
			return p, "", err
		})
	case *consent.Withdrawal:
		cause := causePurposeWithdrawal
		if c.Membership {
			cause = causeWithdrawal
		}
		return l.submit(ctx, c.Member, false, cause, func(m *member, now time.Time) (*consent.Plan, string, error) {
			p, err := reg.PlanWithdrawal(m.fold, m.states(), c, now)
			return p, "", err
		})
	case *consent.Correction:
		return l.submit(ctx, c.Member, false, causeCorrection, func(m *member, now time.Time) (*consent.Plan, string, error) {
			id, err := l.randomID("cor_")
			if err != nil {
				return nil, "", err
			}
			p, err := reg.PlanCorrection(m.fold, m.states(), c, id, now)
			return p, id, err
		})
	case *consent.CorrectionOutcome:
		return l.submit(ctx, c.Member, false, causeCorrection, func(m *member, now time.Time) (*consent.Plan, string, error) {
			p, err := reg.PlanOutcome(m.fold, m.states(), c, now)
			return p, c.Correction, err
		})
	case *consent.Disclosure:
		if c.Form == consent.FormAnonymised {
			// It is of no member, so it has no key to be sealed under; the ledger's own topic for it
			// comes with the rules for statistics.
			return nil, &consent.Refusal{
				Kind: consent.Invalid, Code: "form_not_available", Field: "form",
				Message: "anonymised disclosures cannot be recorded yet; nothing was recorded",
			}
		}
		return l.submit(ctx, c.Member, false, causePurposeWithdrawal, func(m *member, now time.Time) (*consent.Plan, string, error) {
			p, err := reg.PlanDisclosure(m.fold, m.states(), c, now)
			return p, "", err
		})
	}
	return nil, fmt.Errorf("a call of type %T is not one that a ledger takes", call)
}

// Do submits a call and waits for it.
func (l *Ledger) Do(ctx context.Context, who Caller, call Call) (*Answer, error) {
	p, err := l.Submit(ctx, who, call)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

func (l *Ledger) randomID(prefix string) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(l.o.Rand, b[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	return prefix + refEncoding.EncodeToString(b[:]), nil
}

// errNothing says that a write came to nothing, and that this is no error.
var errNothing = errors.New("there is nothing to write")

// write does what every write of a member has in common: f is asked with the member locked, and
// what it returns is queued.
func (l *Ledger) write(ctx context.Context, path keyring.IDPath, f func(*member, time.Time) (*submission, error)) (*Pending, error) {
	if err := l.Health(); err != nil {
		return nil, err
	}
	// A place first: what is sealed must be written, or the counters of its keys would have gaps.
	if err := l.queue.reserve(); err != nil {
		return nil, err
	}
	queued := false
	defer func() {
		if !queued {
			l.queue.release(1)
		}
	}()
	m, err := l.acquire(ctx, path)
	if err != nil {
		return nil, err
	}
	defer l.release(m)
	s, err := f(m, l.now())
	if err != nil {
		return nil, err
	}
	m.flight = s
	l.queue.put(s)
	queued = true
	return s.pending, nil
}

// submit writes what a plan says, of a living member or, with enrol, of a new one.
func (l *Ledger) submit(ctx context.Context, id consent.MemberID, enrol bool, cause string,
	plan func(*member, time.Time) (*consent.Plan, string, error),
) (*Pending, error) {
	return l.write(ctx, l.pathOf(id), func(m *member, now time.Time) (*submission, error) {
		fresh := !m.living()
		if fresh {
			if !enrol {
				if m.ended() && cause == causeWithdrawal {
					return nil, &consent.Refusal{Kind: consent.Conflict, Code: "nothing_to_withdraw", Message: "the member has withdrawn already; nothing is left to withdraw"}
				}
				return nil, ErrUnknownMember
			}
			m.fold = consent.NewFold()
		}
		p, correction, err := plan(m, now)
		if err != nil {
			return nil, err
		}
		s, err := l.build(m, p, fresh, cause, now)
		if err != nil {
			return nil, err
		}
		s.pending.answer.Correction = correction
		return s, nil
	})
}

// maxMemberKeys bounds the keys of one member, because their record is rewritten as a whole.
const maxMemberKeys = 4096

// build turns a plan into a submission, and the member into what they are once it is durable.
// It changes nothing unless it succeeds.
func (l *Ledger) build(m *member, p *consent.Plan, fresh bool, cause string, now time.Time) (*submission, error) {
	reg := l.register.Load()
	s := &submission{member: m, pending: newPending(), path: m.path, at: now}
	id, rec, keys := m.id, m.rec, m.keys
	if fresh {
		nonce, err := l.randomUint64()
		if err != nil {
			return nil, err
		}
		id = keyring.IDRecord{Slot: l.nextSlot.Add(1) - 1, Kept: m.id.Kept}
		rec = &keyring.Member{Nonce: nonce, Path: m.path}
		s.putID = &id
	}
	changed := fresh
	edit := func() {
		if !changed || (rec == m.rec && rec != nil) {
			rec = rec.Clone()
		}
		changed = true
	}
	if p.MemberKind != "" && p.MemberKind != rec.Kind {
		edit()
		rec.Kind = p.MemberKind
	}
	for _, name := range p.Create {
		if indexOfKey(keys, name) >= 0 {
			continue
		}
		k, err := l.newKey(reg, name, now)
		if err != nil {
			return nil, err
		}
		if len(rec.Keys) >= maxMemberKeys {
			return nil, &consent.Refusal{
				Kind: consent.Conflict, Code: "too_many_references", Field: "reference",
				Message: "the member has too many orders or events that have not ended; end some first",
			}
		}
		edit()
		rec.Keys = append(rec.Keys, k)
		keys = append(keys[:len(keys):len(keys)], newMemberKey(&k))
	}
	// Seal under the counters as they will be, and move the counters only when nothing can fail.
	used := make([]uint64, len(keys))
	newest := make([]consent.Day, len(keys))
	today := reg.Day(now)
	s.entries = make([][]byte, 0, len(p.Entries))
	for n := range p.Entries {
		d := &p.Entries[n]
		i := indexOfKey(keys, d.Key)
		if i < 0 {
			return nil, fmt.Errorf("%w: the rules name a key of class %s that the member does not have", ErrCorrupt, d.Key.Class.Name())
		}
		e, err := l.sealEvent(keys[i], &rec.Keys[i], keys[i].count+used[i], today, &d.Event)
		if err != nil {
			return nil, err
		}
		used[i]++
		newest[i] = today
		s.entries = append(s.entries, e)
	}
	s.drafts = p.Entries
	for _, d := range p.SetDue {
		if i := indexOfKey(keys, d.KeyName); i >= 0 {
			edit()
			rec.Keys[i].Due = d.Due.Unix()
		}
	}
	if len(p.Destroy) > 0 || p.Ended {
		edit()
		s.destruction = &destruction{cause: cause}
		for _, name := range p.Destroy {
			i := indexOfKey(keys, name)
			if i < 0 {
				continue
			}
			s.destruction.keys++
			s.destruction.entries += keys[i].count + used[i] - keys[i].expired
			s.destruction.old = append(s.destruction.old, rec.Keys[i].Key)
			rec.Keys = append(rec.Keys[:i:i], rec.Keys[i+1:]...)
			keys = append(keys[:i:i], keys[i+1:]...)
			used = append(used[:i:i], used[i+1:]...)
			newest = append(newest[:i:i], newest[i+1:]...)
		}
	}
	s.slot = id.Slot
	s.pending.answer.Member = l.refs.ref(id.Slot, rec.Nonce)
	if p.Ended {
		id = l.end(s, id, rec)
	} else if changed {
		s.record = rec
	}
	if d := s.destruction; d != nil {
		s.pending.answer.DestroyedKeys, s.pending.answer.DestroyedEntries = d.keys, int(d.entries)
	}
	s.pending.answer.Kept, s.pending.answer.Notify = p.Kept, p.Notify
	m.id, m.rec, m.keys = id, rec, keys
	for i, n := range used {
		keys[i].count += n
		if n > 0 && newest[i] > keys[i].newest {
			keys[i].newest = newest[i]
		}
	}
	return s, nil
}

// end takes a membership away: the id leads nowhere, or to what is kept.
func (l *Ledger) end(s *submission, id keyring.IDRecord, rec *keyring.Member) keyring.IDRecord {
	after := keyring.IDRecord{Kept: id.Kept}
	if len(rec.Keys) == 0 {
		s.deleteRec = true
	} else {
		rec.Ended = true
		s.record = rec
		after.Kept = append(append([]uint64(nil), id.Kept...), id.Slot)
	}
	if len(after.Kept) == 0 {
		s.deleteID = true
	} else {
		s.putID = &after
	}
	return after
}

func indexOfKey(keys []*memberKey, name consent.KeyName) int {
	for i, k := range keys {
		if k.name == name {
			return i
		}
	}
	return -1
}

func (l *Ledger) randomUint64() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(l.o.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("draw a nonce: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// newKey draws the key of a class, or of one reference in it.
func (l *Ledger) newKey(reg *consent.Register, name consent.KeyName, now time.Time) (keyring.MemberKey, error) {
	rule, ok := reg.Rule(name.Class)
	if !ok {
		return keyring.MemberKey{}, fmt.Errorf("%w: no policy has the class %s", ErrCorrupt, name.Class.Name())
	}
	k := keyring.MemberKey{Class: string(name.Class), Reference: name.Reference}
	var err error
	if k.Key, err = seal.NewKey(l.o.Rand); err != nil {
		return k, err
	}
	if rule.Ratchet() {
		if k.TagKey, err = seal.NewKey(l.o.Rand); err != nil {
			return k, err
		}
		k.Ratchet = true
		today := reg.Day(now)
		k.Day = int32(today)
		k.Due = reg.DayStart(reg.DiesOn(rule, today)).Unix()
	}
	return k, nil
}

// sealEvent makes one entry of a member, complete but for its header.
func (l *Ledger) sealEvent(mk *memberKey, k *keyring.MemberKey, counter uint64, today consent.Day, e *consent.Event) ([]byte, error) {
	body, err := e.Encode()
	if err != nil {
		return nil, err
	}
	size, err := seal.PaddedSize(len(body))
	if err != nil {
		return nil, err
	}
	entry := chain.AppendHeader(make([]byte, 0, chain.HeaderSize+seal.Overhead+size))
	entry, err = l.box.Seal(entry, l.o.Rand, chain.Version, mk.keyOf(k, today), mk.tagger.Tag(counter), body)
	if err != nil {
		return nil, fmt.Errorf("seal an entry: %w", err)
	}
	return entry, nil
}
