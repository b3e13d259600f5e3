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
	withdrawn   bool // the membership
	ages        []ageState
	kinds       []kindState
	purposes    []purposeState
	suspended   []suspension
	corrections []correctionState
	disclosures []disclosureState
	requests    []requestState
	holds       []holdState
	asked       []askedState
	signals     []signalState
	keys        []keyUse
	idle        idleState
	bytes       int
}

type kindState struct {
	policy, kind string
	had          []formerKind // kinds before this one
}

// formerKind is a kind that the member had, and the entry that ended it.
type formerKind struct {
	kind  string
	until uint64
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
	newest   time.Time
	active   time.Time      // when the member was last active, by its entries
	purposes []string       // that decisions in it were about, copies too
	since    []uint64       // for each of them the first entry in it
	once     []bool         // and whether any said yes
	decided  []purposeState // its word on each purpose: the newest decision, copies apart, less what was withdrawn
}

// word returns what the key says on a purpose, or nil. Of no key it is nil.
func (u *keyUse) word(purpose string) *purposeState {
	if u == nil {
		return nil
	}
	for i := range u.decided {
		if u.decided[i].purpose == purpose {
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
	use.newest = at
	if t, ok := activeAt(&e, at); ok {
		f.touch(use, t)
	}
	switch e.Kind {
	case KindConsent:
		f.applyConsent(index, at, use, &e)
	case KindWithdrawal:
		f.applyWithdrawal(index, at, &e)
	case KindCorrection:
		f.applyCorrection(index, at, &e)
	case KindCorrectionOutcome:
		f.applyOutcome(at, &e)
	case KindDisclosure:
		purpose := ""
		if len(e.Purposes) > 0 {
			purpose = e.Purposes[0]
		}
		f.disclosures = append(f.disclosures, disclosureState{e.Recipient, e.Policy, purpose, e.Items, index, at})
		f.bytes += 128 + len(e.Recipient) + len(purpose) + stringsSize(e.Items)
	case KindNotice:
		f.applyNotice(at, &e)
	case KindRequest:
		f.requests = append(f.requests, requestState{
			id: e.Request, kind: e.RequestType, channel: e.Channel, index: index, at: at,
			received: time.UnixMilli(e.ReceivedAtMs), due: time.UnixMilli(e.DueAtMs),
		})
		f.bytes += 192 + len(e.Request) + len(e.RequestType) + len(e.Channel)
	case KindRequestOutcome:
		f.applyRequestOutcome(at, &e)
	case KindHold:
		f.applyHold(index, at, key, &e)
	case KindHoldRelease:
		f.releaseHold(e.Hold)
	case KindActivity:
		if e.ActiveAtMs == 0 {
			f.idle.activity = at
		}
	case KindSignal:
		f.applySignal(index, at, &e)
	case KindEventEnd:
		f.forgetWords(use)
	}
}

func (f *Fold) use(key KeyName) *keyUse {
	if u := f.used(key); u != nil {
		return u
	}
	f.keys = append(f.keys, keyUse{key: key})
	f.bytes += 120 + len(key.Class) + len(key.Reference)
	return &f.keys[len(f.keys)-1]
}

// used returns what is known of a key's entries, nil if there are none.
func (f *Fold) used(key KeyName) *keyUse {
	for i := range f.keys {
		if f.keys[i].key == key {
			return &f.keys[i]
		}
	}
	return nil
}

func (f *Fold) setKind(policy, kind string, index uint64) {
	for i := range f.kinds {
		if f.kinds[i].policy == policy {
			if was := f.kinds[i].kind; was != kind {
				f.kinds[i].had = append(f.kinds[i].had, formerKind{was, index})
				f.bytes += 40 + len(was)
			}
			f.kinds[i].kind = kind
			return
		}
	}
	f.kinds = append(f.kinds, kindState{policy: policy, kind: kind})
	f.bytes += 32 + len(policy) + len(kind)
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

// kindsHad returns the member's kind, and those that the member had when an
// entry was written and later.
func (f *Fold) kindsHad(policy string, index uint64) []string {
	for i := range f.kinds {
		if k := &f.kinds[i]; k.policy == policy {
			list := []string{k.kind}
			for _, had := range k.had {
				if index < had.until {
					list = append(list, had.kind)
				}
			}
			return list
		}
	}
	return nil
}

// SizeBytes estimates the memory that the fold holds, for a cache's limit.
func (f *Fold) SizeBytes() int { return 512 + f.bytes }

func stringsSize(list []string) int {
	n := 16 * len(list)
	for _, s := range list {
		n += len(s)
	}
	return n
}

// Clone returns a copy that Apply can change without changing the original.
// Lists that Apply only replaces, never writes to, are shared.
func (f *Fold) Clone() *Fold {
	c := *f
	c.ages = slices.Clone(f.ages)
	c.kinds = slices.Clone(f.kinds)
	for i := range c.kinds {
		c.kinds[i].had = slices.Clone(f.kinds[i].had)
	}
	c.purposes = slices.Clone(f.purposes)
	c.suspended = slices.Clone(f.suspended)
	c.corrections = slices.Clone(f.corrections)
	for i := range c.corrections {
		c.corrections[i].tell = slices.Clone(f.corrections[i].tell)
	}
	c.disclosures = slices.Clone(f.disclosures)
	c.requests = slices.Clone(f.requests)
	c.holds = slices.Clone(f.holds)
	c.asked = slices.Clone(f.asked)
	c.signals = slices.Clone(f.signals)
	c.keys = slices.Clone(f.keys)
	for i := range c.keys {
		c.keys[i].purposes = slices.Clone(f.keys[i].purposes)
		c.keys[i].since = slices.Clone(f.keys[i].since)
		c.keys[i].once = slices.Clone(f.keys[i].once)
		c.keys[i].decided = slices.Clone(f.keys[i].decided)
	}
	c.idle.told = slices.Clone(f.idle.told)
	return &c
}
