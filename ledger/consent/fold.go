package consent

import (
	"slices"
	"time"
)

// A Fold is a member's state: what the entries that can still be read add up
// to, applied in the order of their indexes. After a destruction it is built
// anew from what is left.
//
// Members have few purposes, so everything is a slice and looked through.
type Fold struct {
	withdrawn   bool     // the membership
	aged        []string // policies under which an age was stated
	guarded     bool     // too young to consent alone when the age was last stated
	kinds       []kindState
	purposes    []purposeState
	suspended   []suspension
	corrections []correctionState
	corrected   []correctedItem
	disclosures []disclosureState
	keys        []keyUse
	bytes       int
}

type kindState struct {
	policy, kind string
	had          []formerKind // kinds before this one
}

type purposeState struct {
	policy, purpose, version string
	decision                 decisionState
	items, recipients        []string
	index                    uint64
	at                       time.Time
}

// formerKind is a kind that the member had, and when it ended.
type formerKind struct {
	kind  string
	until time.Time
}

type decisionState uint8

const (
	stateGranted decisionState = iota + 1
	stateRefused
	stateWithdrawn
)

func (s decisionState) String() string {
	return [...]string{"", "granted", "refused", "withdrawn"}[s]
}

type suspension struct {
	item, correction string
	index            uint64
	at               time.Time
}

type correctionState struct {
	id, policy string
	items      []string
	done       bool
}

type correctedItem struct {
	item  string
	index uint64
}

type disclosureState struct {
	recipient, policy, purpose string
	items                      []string
	index                      uint64
	at                         time.Time
}

// keyUse is what is known of a key's entries.
type keyUse struct {
	key      KeyName
	first    time.Time
	newest   time.Time
	purposes []string   // that decisions in it were about, copies too
	decided  []Decision // the newest on each purpose, copies apart, less what was withdrawn
}

// decision returns what the key says on a purpose, or nil.
func (u *keyUse) decision(purpose string) *Decision {
	for i := range u.decided {
		if u.decided[i].Purpose == purpose {
			return &u.decided[i]
		}
	}
	return nil
}

// NewFold returns the state of a member of whom there is no entry.
func NewFold() *Fold { return &Fold{} }

// Empty reports whether nothing was ever applied or marked.
func (f *Fold) Empty() bool { return f == nil || len(f.keys) == 0 && !f.withdrawn }

// MarkWithdrawn says that the membership has ended. The ledger calls it on the
// fold of a member of whom only kept keys are left: unless the policy has an
// evidence class, no entry that is left says so.
func (f *Fold) MarkWithdrawn() { f.withdrawn = true }

// Withdrawn reports whether the membership has ended.
func (f *Fold) Withdrawn() bool { return f != nil && f.withdrawn }

// Apply adds an entry: its index, its time, the key that opened it, and what
// it says. Entries are applied in the order of their indexes.
func (f *Fold) Apply(index uint64, at time.Time, key KeyName, e Event) {
	use := f.use(key)
	if use.newest.IsZero() {
		use.first = at
	}
	use.newest = at
	switch e.Kind {
	case KindConsent:
		f.applyConsent(index, at, use, &e)
	case KindWithdrawal:
		f.applyWithdrawal(index, at, &e)
	case KindCorrection:
		f.corrections = append(f.corrections, correctionState{id: e.Correction, policy: e.Policy, items: e.Items})
		for _, it := range e.Items {
			f.suspended = append(f.suspended, suspension{it, e.Correction, index, at})
			f.bytes += 64 + len(it)
		}
		f.bytes += 96 + len(e.Correction)
	case KindCorrectionOutcome:
		f.applyOutcome(index, &e)
	case KindDisclosure:
		purpose := ""
		if len(e.Purposes) > 0 {
			purpose = e.Purposes[0]
		}
		f.disclosures = append(f.disclosures, disclosureState{e.Recipient, e.Policy, purpose, e.Items, index, at})
		f.bytes += 128 + len(e.Recipient) + len(purpose) + stringsSize(e.Items)
	}
}

func (f *Fold) use(key KeyName) *keyUse {
	for i := range f.keys {
		if f.keys[i].key == key {
			return &f.keys[i]
		}
	}
	f.keys = append(f.keys, keyUse{key: key})
	f.bytes += 96 + len(key.Class) + len(key.Reference)
	return &f.keys[len(f.keys)-1]
}

func (f *Fold) applyConsent(index uint64, at time.Time, use *keyUse, e *Event) {
	for i := range e.Decisions {
		if p := e.Decisions[i].Purpose; !slices.Contains(use.purposes, p) {
			use.purposes = append(use.purposes, p)
			f.bytes += 16 + len(p)
		}
	}
	if e.Copy {
		return // proof of what another entry said; that one rules while it lives
	}
	switch {
	case e.Guardian != nil:
		f.guarded = true
	case e.Age == AgeByBirthDate || e.Age == AgeConfirmed:
		f.guarded = false // old enough by now
	}
	if e.Age != 0 && !slices.Contains(f.aged, e.Policy) {
		f.aged = append(f.aged, e.Policy)
	}
	f.setKind(e.Policy, e.MemberKind, at)
	for i := range e.Decisions {
		d := &e.Decisions[i]
		if said := use.decision(d.Purpose); said != nil {
			*said = *d
		} else {
			use.decided = append(use.decided, *d)
			f.bytes += 80
		}
		s := f.purpose(e.Policy, d.Purpose)
		if s == nil {
			f.purposes = append(f.purposes, purposeState{policy: e.Policy, purpose: d.Purpose})
			s = &f.purposes[len(f.purposes)-1]
			f.bytes += 160
		}
		s.version, s.items, s.recipients, s.index, s.at = e.PolicyVersion, d.Items, d.Recipients, index, at
		s.decision = stateRefused
		if d.Granted {
			s.decision = stateGranted
		}
		f.bytes += stringsSize(d.Items) + stringsSize(d.Recipients)
	}
}

func (f *Fold) setKind(policy, kind string, at time.Time) {
	for i := range f.kinds {
		if f.kinds[i].policy == policy {
			if was := f.kinds[i].kind; was != kind {
				f.kinds[i].had = append(f.kinds[i].had, formerKind{was, at})
				f.bytes += 40 + len(was)
			}
			f.kinds[i].kind = kind
			return
		}
	}
	f.kinds = append(f.kinds, kindState{policy: policy, kind: kind})
	f.bytes += 32 + len(policy) + len(kind)
}

func (f *Fold) applyWithdrawal(index uint64, at time.Time, e *Event) {
	if e.Membership {
		f.withdrawn = true
		return
	}
	if e.Copy {
		return
	}
	for _, name := range e.Purposes {
		f.takeBack(e.Policy, name, e.Items)
		s := f.purpose(e.Policy, name)
		switch {
		case s == nil && len(e.Items) > 0: // the consent died with its class; no items are left to take away
		case s == nil:
			// What it withdraws died with its own class. The withdrawal stays.
			f.purposes = append(f.purposes, purposeState{
				policy: e.Policy, purpose: name, version: e.PolicyVersion, decision: stateWithdrawn, index: index, at: at,
			})
			f.bytes += 160
		case len(e.Items) > 0:
			// The new list is another slice: the old one may belong to an event.
			s.items = without(s.items, e.Items)
			if len(s.items) == 0 {
				s.decision, s.index, s.at = stateWithdrawn, index, at
			}
		default:
			s.decision, s.index, s.at = stateWithdrawn, index, at
		}
	}
}

// takeBack takes a purpose, or items of it, out of what each key says.
func (f *Fold) takeBack(policy, purpose string, items []string) {
	for i := range f.keys {
		if f.keys[i].key.Class.Policy() != policy {
			continue
		}
		if d := f.keys[i].decision(purpose); d != nil {
			d.Items = without(d.Items, items)
			d.Granted = d.Granted && len(items) > 0 && len(d.Items) > 0
		}
	}
}

func without(list, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(gone, s) })
}

func (f *Fold) applyOutcome(index uint64, e *Event) {
	for i := range f.corrections {
		c := &f.corrections[i]
		if c.id != e.Correction {
			continue
		}
		c.done = true
		if e.Outcome == OutcomeCorrected {
			for _, it := range c.items {
				f.setCorrected(it, index)
			}
		}
	}
	f.suspended = slices.DeleteFunc(f.suspended, func(s suspension) bool { return s.correction == e.Correction })
}

func (f *Fold) setCorrected(item string, index uint64) {
	for i := range f.corrected {
		if f.corrected[i].item == item {
			f.corrected[i].index = index
			return
		}
	}
	f.corrected = append(f.corrected, correctedItem{item, index})
	f.bytes += 24 + len(item)
}

// correctedAt returns the index of the entry that last corrected an item.
func (f *Fold) correctedAt(item string) (uint64, bool) {
	for _, c := range f.corrected {
		if c.item == item {
			return c.index, true
		}
	}
	return 0, false
}

func (f *Fold) purpose(policy, purpose string) *purposeState {
	for i := range f.purposes {
		if s := &f.purposes[i]; s.purpose == purpose && s.policy == policy {
			return s
		}
	}
	return nil
}

// kind returns the member's kind under a policy, "" if it has none.
func (f *Fold) kind(policy string) string {
	for i := range f.kinds {
		if f.kinds[i].policy == policy {
			return f.kinds[i].kind
		}
	}
	return ""
}

// kindsHad returns the member's kind, and those that the member had after t.
func (f *Fold) kindsHad(policy string, t time.Time) []string {
	for i := range f.kinds {
		if k := &f.kinds[i]; k.policy == policy {
			list := []string{k.kind}
			for _, had := range k.had {
				if t.Before(had.until) {
					list = append(list, had.kind)
				}
			}
			return list
		}
	}
	return nil
}

func (f *Fold) isSuspended(item string) bool {
	for i := range f.suspended {
		if f.suspended[i].item == item {
			return true
		}
	}
	return false
}

func (f *Fold) anySuspended(items []string) bool {
	return len(f.suspended) > 0 && slices.ContainsFunc(items, f.isSuspended)
}

// SizeBytes estimates the memory that the fold holds, for a cache's limit.
func (f *Fold) SizeBytes() int { return 256 + f.bytes }

func stringsSize(list []string) int {
	n := 16 * len(list)
	for _, s := range list {
		n += len(s)
	}
	return n
}
