package ledger

import (
	"slices"
	"time"
)

// How the model reads idleness, requests to suspend and holds out of its lists.

// idleTerms are the terms of dormancy of a member: those of the first policy of the register that
// they are under and that has any.
func (m *model) idleTerms(facts []*noted, at time.Time) *dormancyTerms {
	for _, p := range m.order {
		if v := m.inForce(p, at); v != nil && kindUnder(facts, p) != "" && v.dormancy != nil {
			return v.dormancy
		}
	}
	return nil
}

// activeKinds are the facts that show a member active. What who sleeps withdraws or asks for does not
// wake them.
var activeKinds = map[string]bool{
	"consent": true, "withdrawal": true, "correction": true, "request": true, "signal": true, "activity": true, "reactivation": true,
}

// lastSeen is when a member was last active, and the notices of dormancy that came after it.
func lastSeen(facts []*noted) (last time.Time, told []time.Time) {
	for _, f := range facts {
		if f.kind == "notice" && f.about == "dormancy" && reached(f.outcome) && f.at.After(last) {
			told = append(told, f.at)
		}
		if !activeKinds[f.kind] || f.asleep || f.copy {
			continue
		}
		shown := f.at
		if !f.activeAt.IsZero() {
			shown = f.activeAt
		}
		if shown.After(last) {
			last = shown
			told = slices.DeleteFunc(told, func(t time.Time) bool { return !t.After(last) })
		}
	}
	return last, told
}

// sleepsFrom is when a member fell or falls dormant if nothing happens: zero for never. Whoever was
// not told never does.
func (m *model) sleepsFrom(facts []*noted, at time.Time) time.Time {
	last, told := lastSeen(facts)
	terms := m.idleTerms(facts, at)
	if terms == nil || len(told) == 0 {
		return time.Time{}
	}
	idle, notice := late(last, terms.after), late(told[0], terms.notice)
	if idle.After(notice) {
		return idle
	}
	return notice
}

func reached(outcome string) bool {
	return outcome == "sent" || outcome == "delivered" || outcome == "confirmed"
}

// dormant says whether a member sleeps at a time. What was recorded shows it until it is destroyed.
func (m *model) dormant(l *life, at time.Time) bool {
	facts := slices.DeleteFunc(slices.Clone(l.facts), func(f *noted) bool { return f.at.After(at) })
	since := m.sleepsFrom(facts, at)
	return !since.IsZero() && !since.After(at)
}

// suspension is whether a request of the member keeps everything from being used.
func suspension(facts []*noted) bool {
	open := make(map[string]bool)
	for _, f := range facts {
		switch {
		case f.kind == "request" && f.about == "suspension":
			open[f.id] = true
		case f.kind == "request_outcome" && f.outcome != "granted":
			delete(open, f.id)
		}
	}
	return len(open) > 0
}

// holds lists the legal holds that are neither released nor over.
func (l *life) holds(at time.Time) (out []*noted) {
	released := make(map[string]bool)
	for _, f := range l.facts {
		if f.kind == "hold_release" {
			released[f.id] = true
		}
	}
	for _, f := range l.facts {
		if f.kind == "hold" && !released[f.id] && f.until.After(at) {
			out = append(out, f)
		}
	}
	return out
}

// heldUntil is until when a key must not be destroyed, zero if nothing holds it.
func (l *life) heldUntil(w place, at time.Time) (until time.Time) {
	for _, h := range l.holds(at) {
		for _, c := range h.classes {
			if c == w.class && h.until.After(until) {
				until = h.until
			}
		}
	}
	return until
}
