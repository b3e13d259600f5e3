package consent

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// An AuditFinding is a disclosure on record that the rules did not allow. Code
// is that of the refusal that it should have met.
type AuditFinding struct {
	Index      uint64
	Code, What string
}

// AuditSlack is how much earlier than its entry's time a call may have been
// checked, which waits for its commit; the ledger records none that waited
// longer. What took effect in between does not count against it.
const AuditSlack = 5 * time.Minute

// Audit holds every disclosure among the entries of one member, in the order of
// their indexes, to what the rules said when it was recorded. ended says that
// the membership has ended, and destroyed, of an index that is not among the
// entries, whether nobody can read it any more.
//
// What was destroyed can have been what allowed a disclosure: the consent that
// it names, the outcome of a correction, a sign that the member was not idle.
// Where that may be so the disclosure is not found fault with but counted as
// unchecked. Three things must still be there if the disclosure is: what it
// names under its own key, or under that key in part if the key's entries die
// by the day; what was recorded under the membership while that lives; and what
// was never destroyed, which then is somebody else's.
func (r *Register) Audit(entries []MemberEntry, ended bool, destroyed func(index uint64) bool) (findings []AuditFinding, unchecked int) {
	a := auditor{r: r, f: NewFold(), entries: entries, ended: ended, destroyed: destroyed}
	for i := range entries {
		m := &entries[i]
		if m.Event.Kind == KindDisclosure {
			switch no, doubt := a.disclosure(m); {
			case no != nil:
				findings = append(findings, *no.of(m.Index))
			case doubt:
				unchecked++
			}
		}
		a.f.Apply(m.Index, m.RecordedAt, m.Key, m.Event)
	}
	return findings, unchecked
}

// AuditAnonymised holds a disclosure of data that identifies nobody to what the
// rules said when it was recorded; nil if they allowed it. Nothing that it rests
// on is ever destroyed.
func (r *Register) AuditAnonymised(index uint64, at time.Time, e *Event) *AuditFinding {
	var no *AuditFinding
	for _, now := range append(r.justBefore(at), at) {
		d := &Disclosure{Recipient: e.Recipient, Items: e.Items, Basis: e.Basis, Form: e.Form, Reference: e.Reference, OccurredAt: now}
		if len(e.Purposes) == 1 {
			d.Purpose = e.Policy + "/" + e.Purposes[0]
		}
		is, err := r.PlanAnonymised(d, now)
		switch {
		case err != nil:
			no = refused(err)
		case is.PolicyVersion != e.PolicyVersion:
			no = fault("policy_version_not_in_force", "it names another version of the policy than the one in force")
		default:
			return nil
		}
	}
	return no.of(index)
}

// of says which entry a finding is about.
func (no *AuditFinding) of(index uint64) *AuditFinding {
	no.Index, no.What = index, fmt.Sprintf("entry %d is a disclosure that the rules did not allow when it was recorded: %s", index, no.What)
	return no
}

// An auditor goes through one member's entries; f is their state before the
// one that it looks at.
type auditor struct {
	r         *Register
	f         *Fold
	entries   []MemberEntry
	ended     bool
	destroyed func(uint64) bool
}

// disclosure returns what is wrong with a disclosure, and whether it is in
// doubt because something is destroyed. It may have been checked at any of the
// instants.
func (a *auditor) disclosure(m *MemberEntry) (no *AuditFinding, doubt bool) {
	no, doubt = a.check(m, m.RecordedAt)
	if no == nil && !doubt {
		return nil, false
	}
	for _, at := range a.r.justBefore(m.RecordedAt) {
		no2, doubt2 := a.check(m, at)
		if no2 == nil && !doubt2 {
			return nil, false
		}
		if no2 == nil {
			no, doubt = nil, true
		}
	}
	return no, doubt
}

// justBefore returns the last instants before each change of the rules that
// took effect shortly before a time.
func (r *Register) justBefore(at time.Time) []time.Time {
	var list []time.Time
	add := func(t time.Time) {
		if before := t.Add(-time.Millisecond); !t.After(at) && t.After(at.Add(-AuditSlack)) && !slices.Contains(list, before) {
			list = append(list, before)
		}
	}
	add(r.DayStart(r.Day(at)))
	for _, id := range r.ids {
		for i := range r.policies[id] {
			add(r.policies[id][i].EffectiveAt)
			add(r.policies[id][i].PostedAt)
		}
		for i := range r.changes[id] {
			add(r.changes[id][i].effectiveAt)
			add(r.changes[id][i].postedAt)
		}
	}
	return list
}

// check asks what PlanDisclosure asked.
func (a *auditor) check(m *MemberEntry, now time.Time) (no *AuditFinding, doubt bool) {
	e := &m.Event
	d := &Disclosure{Recipient: e.Recipient, Items: e.Items, Form: e.Form, Reference: e.Reference, OccurredAt: now}
	if e.Basis != BasisConsent && e.Basis != BasisContract && e.Basis != BasisLegalObligation {
		d.Basis = e.Basis
	}
	if len(e.Purposes) == 1 {
		d.Purpose = e.Policy + "/" + e.Purposes[0]
	}
	if err := disclosureForm(d, now); err != nil {
		return refused(err), false
	}
	s, rec, ex, err := a.r.disclosable(a.f, d, now)
	if err != nil {
		if no := refused(err); !a.mayBeForgotten(no, m, s, now) {
			return no, false
		}
		doubt = true
	}
	if a.f.withdrawn && (ex == nil || !ex.Authority) {
		return fault("unknown_member", "the membership had ended, and what is kept goes to authorities alone"), false
	}
	if s.posted.version != e.PolicyVersion {
		return fault("policy_version_not_in_force", "it names another version of the policy than the one in force"), false
	}
	if !a.r.recordsIn(m.Key.Class, s) {
		return fault("class_not_open", "it is not recorded in a class of its purpose"), false
	}
	if m.Key.Reference != "" && e.Reference != m.Key.Reference {
		return fault("reference_unknown", "it is recorded under another order or event than it names"), false
	}
	if ex != nil {
		return nil, doubt
	}
	if e.Basis != s.purpose.Basis {
		return fault("basis_not_allowed", "it names another basis than the purpose has, and no exemption of the policy"), false
	}
	if no, forgotten := a.restsOn(m, s, rec, d, now); no != nil || forgotten {
		return no, forgotten
	}
	return nil, doubt
}

func fault(code, what string) *AuditFinding { return &AuditFinding{Code: code, What: what} }

// refused makes a finding of a refusal.
func refused(err error) *AuditFinding {
	no, _ := err.(*Refusal)
	return fault(no.Code, no.Message)
}

// restsOn looks for the member's word that a disclosure names.
func (a *auditor) restsOn(m *MemberEntry, s *statement, rec *Recipient, d *Disclosure, now time.Time) (no *AuditFinding, forgotten bool) {
	none := fault("no_effective_consent", "it does not rest on an entry of the member that grants it")
	if m.Event.RestsOn == nil || *m.Event.RestsOn >= m.Index {
		return none, false
	}
	index := *m.Event.RestsOn
	for i := range a.f.keys {
		u := &a.f.keys[i]
		w := u.word(s.purpose.ID)
		if w == nil || w.policy != s.posted.id || w.index != index || m.Key.Reference != "" && u.key != m.Key || !w.speaksOf(d.Reference) {
			continue
		}
		s.state = w
		if err := a.r.carriesDisclosure(s, rec, d, now); err != nil {
			return refused(err), false
		}
		return nil, false
	}
	if a.readable(index) || !a.destroyed(index) || a.mustLive(index, m, s) {
		return none, false
	}
	return nil, true
}

func (a *auditor) readable(index uint64) bool {
	_, found := slices.BinarySearchFunc(a.entries, index, func(m MemberEntry, i uint64) int { return cmp.Compare(m.Index, i) })
	return found
}

// mustLive reports whether the entry that a disclosure rests on is under the
// disclosure's own key, and so can be read as long as the disclosure can. Under
// a key whose entries die by the day it can if an older one can.
func (a *auditor) mustLive(index uint64, m *MemberEntry, s *statement) bool {
	if m.Key.Reference == "" && !a.r.onlyIn(m.Key.Class, s) {
		return false
	}
	if rule, ok := a.r.rules[m.Key.Class]; !ok || !rule.Ratchet() {
		return ok
	}
	return slices.ContainsFunc(a.entries, func(o MemberEntry) bool { return o.Key == m.Key && o.Index < index })
}

// recordsIn reports whether a class is one that a purpose was ever recorded in.
func (r *Register) recordsIn(class ClassID, s *statement) bool {
	return slices.Contains(r.classesOf(s), class)
}

// onlyIn reports whether it is the only one.
func (r *Register) onlyIn(class ClassID, s *statement) bool {
	return !slices.ContainsFunc(r.classesOf(s), func(c ClassID) bool { return c != class })
}

// classesOf returns the classes of a purpose under every version and for every
// kind of member.
func (r *Register) classesOf(s *statement) []ClassID {
	var list []ClassID
	for _, v := range r.policies[s.posted.id] {
		pu := v.byPurpose[s.purpose.ID]
		if pu == nil {
			continue
		}
		for _, class := range pu.class {
			list = append(list, v.classIDs[class])
		}
	}
	return list
}

// mayBeForgotten reports whether a refusal may only follow from what has been
// destroyed since. s is nil where it came before the purpose was found.
func (a *auditor) mayBeForgotten(no *AuditFinding, m *MemberEntry, s *statement, now time.Time) bool {
	switch no.Code {
	case "unknown_item":
		// An exemption covers what a decision named, as long as that can be read.
		return s != nil && a.r.everHad(s, m.Event.Items, m.RecordedAt)
	case "item_suspended":
		return a.ended && a.lostBetween(*a.f.suspendedBy(m.Event.Items), m.Index)
	case "processing_suspended":
		return a.ended && a.lostBetween(a.f.processingSuspended().index, m.Index)
	case "dormant":
		// That the member was active may have been shown by anything, and who has left is not dormant.
		return a.ended || a.lostBetween(a.entries[0].Index, m.Index)
	}
	return false
}

// everHad reports whether each item is one of the policy and belonged to the
// purpose in some version up to a time.
func (r *Register) everHad(s *statement, items []string, at time.Time) bool {
	for _, it := range items {
		if s.posted.byItem[it] == nil || !slices.ContainsFunc(r.policies[s.posted.id], func(v Posted) bool {
			pu := v.byPurpose[s.purpose.ID]
			return pu != nil && pu.has(it) && !v.EffectiveAt.After(at)
		}) {
			return false
		}
	}
	return true
}

// lostBetween reports whether an entry between two, of whomever, can no more be
// read: it may have been this member's.
func (a *auditor) lostBetween(from, to uint64) bool {
	for i := from + 1; i < to; i++ {
		if !a.readable(i) && a.destroyed(i) {
			return true
		}
	}
	return false
}
