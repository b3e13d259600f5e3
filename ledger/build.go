package ledger

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// maxMemberKeys bounds the keys of one member, because their record is rewritten as a whole.
const maxMemberKeys = 4096

// change is what the ledger adds to what the rules plan.
type change struct {
	fresh  bool   // a new membership
	cause  string // of a destruction
	moves  []ratchetMove
	clocks bool // when the member is to be looked at again is worked out anew

	// Of a destruction's certificate. Of is the member's id where the call brought it.
	of      consent.MemberID
	unasked bool // no call is answered, or not one that says whose it is: the certificate waits for the officer
}

// ratchetMove takes a ratchet on to a later day, and gives it its next due.
type ratchetMove struct {
	name consent.KeyName
	day  consent.Day
	due  int64
	dead uint64 // entries that the move leaves behind
}

// build turns a plan into a submission, and the member into what they are once it is durable.
// It changes nothing unless it succeeds.
func (l *Ledger) build(m *member, p *consent.Plan, ch change, now time.Time) (*submission, error) {
	reg := l.register.Load()
	s := &submission{member: m, pending: newPending(), path: m.path, at: now}
	id, rec, keys := m.id, m.rec, m.keys
	slot := id.Slot
	if m.apart != 0 {
		slot = m.apart
	}
	if ch.fresh {
		nonce, err := l.randomUint64()
		if err != nil {
			return nil, err
		}
		id = keyring.IDRecord{Slot: l.nextSlot.Add(1) - 1, Kept: m.id.Kept}
		slot = id.Slot
		rec = &keyring.Member{Nonce: nonce, Path: m.path}
		s.putID = &id
	}
	changed := ch.fresh
	edit := func() *keyring.Member {
		if !changed || (rec == m.rec && rec != nil) {
			rec = rec.Clone()
		}
		changed = true
		return rec
	}
	if p.MemberKind != "" && p.MemberKind != rec.Kind {
		edit().Kind = p.MemberKind
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
		r := edit()
		r.Keys = append(r.Keys, k)
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
		if !p.Ended && !slices.Contains(p.Destroy, d.Key) {
			s.under(keys[i].keyOf(&rec.Keys[i], today))
		}
		s.entries = append(s.entries, e)
	}
	s.drafts = p.Entries
	l.setClocks(p, keys, edit)
	if len(p.Destroy) > 0 || p.Ended {
		s.destruction = &destruction{cause: ch.cause}
		edit()
		for _, name := range p.Destroy {
			i := indexOfKey(keys, name)
			if i < 0 {
				continue
			}
			s.destruction.keys++
			s.destruction.entries += keys[i].count + used[i] - keys[i].expired
			s.destruction.old = append(s.destruction.old, rec.Keys[i].Key)
			rec.Keys = slices.Delete(slices.Clone(rec.Keys), i, i+1)
			keys = slices.Delete(slices.Clone(keys), i, i+1)
			used = slices.Delete(used, i, i+1)
			newest = slices.Delete(newest, i, i+1)
		}
	}
	for _, mv := range ch.moves {
		i := indexOfKey(keys, mv.name)
		if i < 0 {
			continue
		}
		k := &edit().Keys[i]
		if mv.dead > 0 {
			if s.destruction == nil {
				s.destruction = &destruction{cause: ch.cause}
			}
			s.destruction.keys++
			s.destruction.entries += mv.dead
			s.destruction.old = append(s.destruction.old, k.Key)
		}
		if mv.day > consent.Day(k.Day) {
			k.Key = newMemberKey(k).keyOf(k, mv.day)
			k.Day = int32(mv.day)
		}
		k.Due = mv.due
	}
	ended := p.Ended || rec != nil && rec.Ended
	if p.Recheck || ch.clocks || ch.fresh || p.Ended {
		task, wake := l.nextLooks(m, p, rec, keys, ended, now)
		if task != rec.Task || wake != rec.Wake {
			r := edit()
			r.Task, r.Wake = task, wake
		}
	}
	if len(s.sealedUnder) == 0 && !ended && len(keys) > 0 {
		s.under(keys[0].keyOf(&rec.Keys[0], today)) // that the answer dies with the member, if with no entry
	}
	s.slot = slot
	s.pending.answer.Member = l.refs.ref(slot, rec.Nonce)
	switch {
	case p.Ended:
		id = l.end(s, id, rec)
	case ended && len(rec.Keys) == 0:
		id = l.forget(s, id, slot)
	case changed:
		s.record = rec
	}
	if d := s.destruction; d != nil {
		left := statesOf(rec, keys)
		for i := range left {
			left[i].Entries += used[i]
		}
		for _, mv := range ch.moves {
			if i := indexOfKey(keys, mv.name); i >= 0 {
				left[i].Entries -= mv.dead
			}
		}
		if err := l.commitTo(s, ch, rec.Kind, func() []consent.Kept { return l.keptOf(m, left, now) }, now); err != nil {
			return nil, err
		}
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

// setClocks gives keys the dues and the holds that a plan says.
func (l *Ledger) setClocks(p *consent.Plan, keys []*memberKey, edit func() *keyring.Member) {
	for _, d := range p.SetDue {
		if i := indexOfKey(keys, d.KeyName); i >= 0 {
			edit().Keys[i].Due = d.Due.Unix()
		}
	}
	for _, name := range p.ClearDue {
		if i := indexOfKey(keys, name); i >= 0 {
			edit().Keys[i].Due = 0
		}
	}
	for _, h := range p.SetHold {
		if i := indexOfKey(keys, h.KeyName); i >= 0 {
			edit().Keys[i].NotBefore = unixSeconds(h.Until)
		}
	}
}

// nextLooks says when the officer and when the sweep are to look at the member next, by the state
// that the plan leads to. The indexes of entries that are not written yet do not matter for that.
func (l *Ledger) nextLooks(m *member, p *consent.Plan, rec *keyring.Member, keys []*memberKey, ended bool, now time.Time) (task, wake int64) {
	f := m.fold.Clone()
	for _, d := range p.Entries {
		f.Apply(l.size.Load(), now, d.Key, d.Event)
	}
	if ended {
		f.MarkWithdrawn()
	}
	t, w := l.register.Load().Next(f, statesOf(rec, keys), now)
	return unixSeconds(t), unixSeconds(w)
}

func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
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

// forget takes away what was kept of a membership that ended, and its way from the id.
func (l *Ledger) forget(s *submission, id keyring.IDRecord, slot uint64) keyring.IDRecord {
	s.deleteRec = true
	after := keyring.IDRecord{Slot: id.Slot}
	for _, kept := range id.Kept {
		if kept != slot {
			after.Kept = append(after.Kept, kept)
		}
	}
	if after.Slot == 0 && len(after.Kept) == 0 {
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
