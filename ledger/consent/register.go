package consent

import (
	"slices"
	"time"
)

// A Register is every version of every policy of one controller. It never
// changes: With returns another one.
type Register struct {
	loc        *time.Location
	controller string
	ids        []string // in the order of first posting
	policies   map[string][]Posted
	rules      map[ClassID]Rule
	changes    map[string][]postedChange // of recipients, by policy, in the order of posting
}

// A Posted is a policy version as it was posted.
type Posted struct {
	*Policy
	PostedAt    time.Time
	EffectiveAt time.Time // from then it is in force, until the next one's

	place   int             // among the versions of the policy
	changes []PolicyChange  // from the version before
	changed map[string]bool // purposes for which those ask again
}

// The ledger's own classes.
var (
	accessRule = Rule{
		Keep: Period{Months: 24}, From: FromEntry,
		Basis: "PIPA 29 and the safety standard for personal information, article 8 (records of access)",
	}
	correctionRule = Rule{Until: untilOutcome}
)

// NewRegister returns a register without policies. Its calendar is UTC until
// the first policy says another time zone.
func NewRegister() *Register {
	return &Register{
		loc: time.UTC, policies: map[string][]Posted{}, changes: map[string][]postedChange{},
		rules: map[ClassID]Rule{AccessClass: accessRule, CorrectionClass: correctionRule, OperatorClass: operatorRule, SignInClass: signInRule},
	}
}

// With returns the register with one more policy version, posted at the time
// given. It refuses, with a *Refusal: another controller or time zone; a
// version that is there already or is not newer than every other of its
// policy; a later version without announced or reason, or one that would take
// effect before the notice period of the version before it is over, counted
// from the later of announcement and posting; and a class whose period
// changed, because what was collected under the old period stays under it: a
// new period needs a new class.
//
// A first version is in force from the start of its date. A later one is in
// force from the start of its date or from its posting, whichever is later.
func (r *Register) With(p *Policy, postedAt time.Time) (*Register, error) {
	before := r.policies[p.id]
	v := Posted{Policy: p, PostedAt: postedAt, EffectiveAt: dayStart(p.effective, p.loc), place: len(before)}
	if len(r.ids) > 0 {
		switch {
		case r.controller != p.controller.Name:
			return nil, refuse(Conflict, "other_controller", "controller.name", "a ledger has one controller; use the name that its other policies have, or another ledger")
		case r.loc.String() != p.loc.String():
			return nil, refuse(Conflict, "other_time_zone", "controller.time_zone", "a ledger has one calendar; use the time zone that its other policies have")
		}
	}
	if len(before) > 0 {
		last := before[len(before)-1]
		if err := r.mayFollow(last, p, postedAt); err != nil {
			return nil, err
		}
		if postedAt.After(v.EffectiveAt) {
			v.EffectiveAt = postedAt
		}
		v.changes = r.diff(p, v.EffectiveAt)
		v.changed = reconsented(v.changes)
	}
	n := r.clone()
	n.loc, n.controller = p.loc, p.controller.Name
	for _, c := range p.classes {
		id := classID(p.id, c.Name)
		if old, ok := r.rules[id]; ok && !old.same(c.Rule) {
			return nil, refuse(Conflict, "class_rule_changed", "retention."+c.Name, "a class keeps its period; give the new period to a class with a new name and let purposes name that")
		}
		n.rules[id] = c.Rule
	}
	if len(before) == 0 {
		n.ids = append(slices.Clone(r.ids), p.id)
	}
	n.policies[p.id] = append(slices.Clone(before), v)
	return n, nil
}

func (r *Register) mayFollow(last Posted, p *Policy, postedAt time.Time) error {
	for _, v := range r.policies[p.id] {
		if v.version == p.version {
			return refuse(Conflict, "policy_version_exists", "version", "the version is in the register and never changes; give a change a new version")
		}
	}
	if p.version < last.version {
		return refuse(Conflict, "policy_version_not_newer", "version", "a version must take effect after every version that is in the register; give it a later date")
	}
	if p.announced == "" {
		return invalid("missing_field", "announced", "missing; add the date on which members were or will be told of the change")
	}
	if p.reason == "" {
		return invalid("missing_field", "reason", "missing; add why the policy changes")
	}
	// What is in force today promises a notice, and so does what will be in force by then.
	notice := last.noticeDays
	if v, _ := r.posted(p.id, postedAt); v != nil {
		notice = max(notice, v.noticeDays)
	}
	announced, _ := ParseDate(p.announced)
	return noticeOver("version", max(announced.day(), dayAt(postedAt, r.loc)), notice, p.effective)
}

// posted returns the version that is in force and its place among the others.
func (r *Register) posted(policy string, at time.Time) (*Posted, int) {
	vs := r.policies[policy]
	for i := len(vs) - 1; i >= 0; i-- {
		if !at.Before(vs[i].EffectiveAt) {
			return &vs[i], i
		}
	}
	return nil, -1
}

// InForce returns the version of a policy that is in force.
func (r *Register) InForce(policy string, at time.Time) (*Policy, bool) {
	if v, _ := r.posted(policy, at); v != nil {
		return v.Policy, true
	}
	return nil, false
}

// Version returns one version of a policy.
func (r *Register) Version(policy, version string) (*Policy, bool) {
	for _, v := range r.policies[policy] {
		if v.version == version {
			return v.Policy, true
		}
	}
	return nil, false
}

// Policies returns every version, policies in the order of first posting,
// versions in the order of taking effect.
func (r *Register) Policies() []Posted {
	var all []Posted
	for _, id := range r.ids {
		all = append(all, r.policies[id]...)
	}
	return all
}

// reconsent reports whether a purpose changed in a point of the law between
// the version consented to and the one in force.
func (r *Register) reconsent(policy, version, purpose string, inForce int) bool {
	vs := r.policies[policy]
	for i := inForce; i >= 0 && vs[i].version != version; i-- {
		if vs[i].changed[purpose] {
			return true
		}
	}
	return false
}

// Rule returns a class's rule. It is the same in every version of the policy.
func (r *Register) Rule(c ClassID) (Rule, bool) {
	rule, ok := r.rules[c]
	return rule, ok
}

// Day returns the day of a time in the controller's calendar.
func (r *Register) Day(t time.Time) Day { return dayAt(t, r.loc) }

// DayStart returns when a day begins in the controller's time zone.
func (r *Register) DayStart(d Day) time.Time { return dayStart(d, r.loc) }

// DiesOn returns the first day on which a key of day d may no longer exist:
// the day after the last one of the period that starts with d. The period ends
// on the same day of the month, or on the month's last day if it has none: of
// 5y from 2024-02-29 the last day is 2029-02-28, and the key dies on
// 2029-03-01 (Korean Civil Act 160; Regulation 1182/71 article 3). For a rule
// without a period the answer is d.
func (r *Register) DiesOn(rule Rule, d Day) Day {
	if rule.Keep.IsZero() {
		return d
	}
	return rule.Keep.after(d) + 1
}
