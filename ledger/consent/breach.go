package consent

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Breach says which items of a member a leak touches, sorted, and which of the
// member's entries show it, in the order of the log. Nothing of both: the
// member is not affected, as far as the entries that can still be read say.
//
// With a recipient it is what that recipient was given in the window; without
// one, what anybody was given in it and what anybody looked at in it. A look
// counts for every item that the member had granted when it was taken: which
// of them the screen showed is not on record, and who might be affected is to
// be told. What was refused or taken back by then was not there to be seen.
//
// Both ends of the window belong to it, and a zero end is open. A disclosure
// is in it if it was recorded in it or, by the sender's clock, made in it: one
// that was recorded a day late leaked when it was made. A pseudonymised one
// counts, because whoever holds the key to it knows the member; an anonymised
// one is about nobody.
func Breach(entries []MemberEntry, q *BreachQuery) (items []string, indexes []uint64) {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b MemberEntry) int { return cmp.Compare(a.Index, b.Index) })
	f := NewFold()
	for i := range sorted {
		m := &sorted[i]
		leaked := q.leaked(f, m)
		f.Apply(m.Index, m.RecordedAt, m.Key, m.Event)
		if len(q.Items) > 0 {
			leaked = slices.DeleteFunc(leaked, func(it string) bool { return !slices.Contains(q.Items, it) })
		}
		if len(leaked) > 0 {
			items = append(items, leaked...)
			indexes = append(indexes, m.Index)
		}
	}
	slices.Sort(items)
	return slices.Compact(items), slices.Compact(indexes)
}

// CheckBreach refuses items that no version of any policy has: nobody would seem
// to be affected.
func (r *Register) CheckBreach(q *BreachQuery) error {
	for i, it := range q.Items {
		if !slices.ContainsFunc(r.Policies(), func(v Posted) bool { return v.byItem[it] != nil }) {
			return invalid("unknown_item", index("items", i), "no version of any policy has the item; see the policies' items")
		}
	}
	return nil
}

// CheckNoBreach refuses, where nobody was found to be affected, a recipient who
// was on no register: an authority need not be, but then an entry names it.
func (r *Register) CheckNoBreach(q *BreachQuery) error {
	if q.Recipient == "" || slices.ContainsFunc(r.Recipients(), func(s RecipientState) bool { return s.ID == q.Recipient }) {
		return nil
	}
	return invalid("unknown_recipient", "recipient", "the recipient was never on a register, and no entry of that time names it; see GET /v1/recipients")
}

// leaked returns the items that one entry lets out, in a slice of its own. f
// is the state before the entry.
func (q *BreachQuery) leaked(f *Fold, m *MemberEntry) []string {
	e := &m.Event
	switch e.Kind {
	case KindDisclosure:
		if e.Form == FormAnonymised || q.Recipient != "" && q.Recipient != e.Recipient {
			return nil
		}
		if q.in(m.RecordedAt) || e.OccurredAtMs != 0 && q.in(time.UnixMilli(e.OccurredAtMs)) {
			return slices.Clone(e.Items)
		}
	case KindAccess:
		if q.Recipient == "" && q.in(m.RecordedAt) {
			if strings.HasPrefix(e.What, LookCertificate) {
				return nil // it names classes that are kept, and nothing in them
			}
			if class, apart := strings.CutPrefix(e.What, LookKept); apart {
				return f.grantedItems(func(c ClassID) bool { return c.Name() == class || string(c) == class })
			}
			return f.grantedItems(func(ClassID) bool { return true })
		}
	}
	return nil
}

func (q *BreachQuery) in(t time.Time) bool {
	return (q.From.IsZero() || !t.Before(q.From)) && (q.To.IsZero() || !t.After(q.To))
}

// LookKept begins what was looked at where it was what one class keeps apart; the
// class's name follows.
const LookKept = "kept:"

// LookReceipt begins what was looked at where it was one entry, of which a
// receipt was made; the entry's index follows.
const LookReceipt = "receipt:"

// LookCertificate begins what was looked at where it was whose a destruction is;
// its index follows.
const LookCertificate = "certificate:"

// grantedItems returns the items of every yes that stands in some classes, for
// each order or event by itself: a later yes to less about another order takes
// nothing back.
func (f *Fold) grantedItems(in func(ClassID) bool) []string {
	var items []string
	for i := range f.keys {
		if !in(f.keys[i].key.Class) {
			continue
		}
		for j := range f.keys[i].decided {
			if w := &f.keys[i].decided[j]; w.decision == stateGranted {
				items = append(items, w.items...)
			}
		}
	}
	return items
}
