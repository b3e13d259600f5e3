package consent

import (
	"iter"
	"slices"
	"time"
)

// What a member decided, as the fold holds it.
//
// Each key has a word on each purpose that was decided on under it. The words
// of keys of different classes never disagree in the member's disfavour: a
// decision that says less than an older word elsewhere is written there too
// (Plan.restate). Orders and events of one class have a word each, because a
// no to one is no word on another. So a purpose carries what any one word
// carries, and destroying a key, which takes words away, never turns a no into
// a yes.

// purposeState is a decision on a purpose.
type purposeState struct {
	policy, purpose, version string
	decision                 decisionState
	items, recipients        []string
	key                      KeyName // zero: a withdrawal, which stands for itself
	index                    uint64
	at                       time.Time
}

type decisionState uint8

const (
	stateGranted decisionState = iota + 1
	stateRefused
	stateWithdrawn
	stateAsk // of cookies: ask each time
)

func (s decisionState) String() string {
	return [...]string{"", "granted", "refused", "withdrawn", "ask"}[s]
}

func (d *Decision) state() decisionState {
	switch {
	case d.Granted:
		return stateGranted
	case d.Ask:
		return stateAsk
	}
	return stateRefused
}

func (f *Fold) applyConsent(index uint64, at time.Time, use *keyUse, e *Event) {
	for i := range e.Decisions {
		d := &e.Decisions[i]
		n := slices.Index(use.purposes, d.Purpose)
		if n < 0 {
			n = len(use.purposes)
			use.purposes, use.since, use.once = append(use.purposes, d.Purpose), append(use.since, index), append(use.once, false)
			f.bytes += 25 + len(d.Purpose)
		}
		use.once[n] = use.once[n] || d.Granted
	}
	if e.Copy {
		return // proof of what another entry said; that one rules while it lives
	}
	f.applyAge(index, e)
	f.setKind(e.Policy, e.MemberKind, index)
	for i := range e.Decisions {
		d := &e.Decisions[i]
		now := purposeState{e.Policy, d.Purpose, e.PolicyVersion, d.state(), d.Items, d.Recipients, use.key, index, at}
		if said := use.word(d.Purpose); said != nil {
			*said = now
		} else {
			use.decided = append(use.decided, now)
			f.bytes += 200
		}
		switch s := f.purpose(e.Policy, d.Purpose); {
		case s == nil:
			f.purposes = append(f.purposes, now)
			f.bytes += 200
		case d.Granted || use.key.Reference == "" || !f.grantedBeside(&now):
			*s = now
		default:
			// A no to one order or event does not end a yes to another.
			*s = *f.bestWord(e.Policy, d.Purpose)
		}
		f.bytes += stringsSize(d.Items) + stringsSize(d.Recipients)
	}
}

// grantedBeside reports whether the member said yes to the purpose of a
// decision for another order or event of the same class.
func (f *Fold) grantedBeside(s *purposeState) bool {
	for i := range f.keys {
		if u := &f.keys[i]; u.key.Class == s.key.Class && u.key != s.key {
			if w := u.word(s.purpose); w != nil && w.decision == stateGranted {
				return true
			}
		}
	}
	return false
}

// bestWord returns the newest yes to a purpose, or if there is none the newest
// word on it; nil if nothing was decided.
func (f *Fold) bestWord(policy, purpose string) *purposeState {
	var best *purposeState
	for i := range f.keys {
		w := f.keys[i].word(purpose)
		if w == nil || w.policy != policy {
			continue
		}
		yes := w.decision == stateGranted
		if best == nil || yes && best.decision != stateGranted || yes == (best.decision == stateGranted) && w.index > best.index {
			best = w
		}
	}
	return best
}

// granted reports whether any word on a purpose is a yes.
func (f *Fold) granted(policy, purpose string) bool {
	w := f.bestWord(policy, purpose)
	return w != nil && w.decision == stateGranted
}

// yeses are the words on the purpose of a statement that say yes, but for the
// one that it is about already; of an order or event, those that speak of it or
// of all of them.
func (f *Fold) yeses(s *statement, reference string) iter.Seq[*purposeState] {
	return func(yield func(*purposeState) bool) {
		for i := range f.keys {
			w := f.keys[i].word(s.purpose.ID)
			if w != nil && w.policy == s.posted.id && w.decision == stateGranted && w.speaksOf(reference) &&
				(s.state == nil || w.key != s.state.key) && !yield(w) {
				return
			}
		}
	}
}

// speaksOf reports whether a word is about an order or event, or about all of
// them; without one it is asked of any.
func (s *purposeState) speaksOf(reference string) bool {
	return reference == "" || s.key.Reference == "" || s.key.Reference == reference
}

// about makes a statement that of the newest word on one order or event.
func (f *Fold) about(s *statement, reference string) {
	if s.state != nil && !s.state.speaksOf(reference) {
		s.state = f.wordOn(s, reference)
	}
}

// wordOn returns the newest word on the purpose of a statement for one order or
// event, or for all of them; nil if there is none.
func (f *Fold) wordOn(s *statement, reference string) *purposeState {
	var newest *purposeState
	for i := range f.keys {
		w := f.keys[i].word(s.purpose.ID)
		if w != nil && w.policy == s.posted.id && (w.key.Reference == "" || w.key.Reference == reference) && (newest == nil || w.index > newest.index) {
			newest = w
		}
	}
	return newest
}

// grantsAny reports whether a yes to a purpose names any of the items.
func (f *Fold) grantsAny(policy, purpose string, items []string) bool {
	for i := range f.keys {
		w := f.keys[i].word(purpose)
		if w != nil && w.policy == policy && w.decision == stateGranted &&
			slices.ContainsFunc(w.items, func(it string) bool { return slices.Contains(items, it) }) {
			return true
		}
	}
	return false
}

// grantsBeside reports whether a yes to a purpose names any other item.
func (f *Fold) grantsBeside(policy, purpose string, items []string) bool {
	for i := range f.keys {
		w := f.keys[i].word(purpose)
		if w != nil && w.policy == policy && w.decision == stateGranted && len(without(w.items, items)) > 0 {
			return true
		}
	}
	return false
}

// named reports whether any decision on a purpose that can still be read named the item.
func (f *Fold) named(policy, purpose, item string) bool {
	for i := range f.keys {
		if w := f.keys[i].word(purpose); w != nil && w.policy == policy && slices.Contains(w.items, item) {
			return true
		}
	}
	return false
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
			f.bytes += 200
		case len(e.Items) > 0:
			// The new list is another slice: the old one may belong to an event.
			if s.items = without(s.items, e.Items); len(s.items) > 0 {
				continue
			}
			if w := f.bestWord(e.Policy, name); w != nil && w.decision == stateGranted {
				*s = *w // a yes to another order or event, with items that are left
				continue
			}
			fallthrough
		default:
			s.decision, s.key, s.index, s.at = stateWithdrawn, KeyName{}, index, at
		}
	}
}

// takeBack takes a purpose, or items of it, out of what each key says.
func (f *Fold) takeBack(policy, purpose string, items []string) {
	for i := range f.keys {
		w := f.keys[i].word(purpose)
		if w == nil || w.policy != policy {
			continue
		}
		w.items = without(w.items, items)
		if w.decision == stateGranted && (len(items) == 0 || len(w.items) == 0) {
			w.decision = stateWithdrawn
		}
	}
}

func without(list, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(gone, s) })
}

// forgetWords takes away what a key says, as if its entries were destroyed: the
// order or event that they are about has ended, and only a hold keeps them.
func (f *Fold) forgetWords(use *keyUse) {
	gone := use.decided
	use.decided = nil
	for i := range gone {
		s := f.purpose(gone[i].policy, gone[i].purpose)
		if s == nil || s.key != use.key {
			continue
		}
		if w := f.bestWord(s.policy, s.purpose); w != nil {
			*s = *w
			continue
		}
		f.purposes = slices.DeleteFunc(f.purposes, func(o purposeState) bool { return o.policy == gone[i].policy && o.purpose == gone[i].purpose })
	}
}

func (f *Fold) purpose(policy, purpose string) *purposeState {
	for i := range f.purposes {
		if s := &f.purposes[i]; s.purpose == purpose && s.policy == policy {
			return s
		}
	}
	return nil
}
