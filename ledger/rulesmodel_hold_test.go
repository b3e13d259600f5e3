package ledger

import (
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// forecastHold is of a hold on classes of one membership, living or ended.
func (m *model) forecastHold(l *life, h *consent.Hold) *forecast {
	out := &forecast{life: l}
	var classes []string
	var first place
	for _, name := range h.Classes {
		var found []string
		for class := range rules {
			if class == name || className(class) == name {
				found = append(found, class)
			}
		}
		if len(found) == 0 {
			out.refuse("unknown_class")
			continue
		}
		open := slices.DeleteFunc(l.places(), func(w place) bool { return w.class != found[0] })
		if len(open) == 0 {
			out.refuse("class_not_open")
			continue
		}
		if first.class == "" {
			first = open[0]
		}
		classes = append(classes, found[0])
	}
	if len(h.Classes) == 0 {
		out.refuse("classes_required")
	}
	if twice(h.Classes, func(s string) string { return s }) {
		out.refuse("duplicate_class")
	}
	if h.Ground == "" {
		out.refuse("ground_required")
	}
	if !h.Until.After(m.now) || h.Until.After(m.now.AddDate(30, 0, 1)) {
		out.refuse("invalid_until")
	}
	if len(out.refusals) == 0 {
		out.facts = []*noted{{at: m.now, where: first, kind: "hold", classes: classes, until: h.Until}}
	}
	return out
}

// places lists the keys of a life in an order.
func (l *life) places() []place {
	var out []place
	for w := range l.keys {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b place) int { return strings.Compare(a.class+" "+a.ref, b.class+" "+b.ref) })
	return out
}

// forecastRelease is of the release of a hold: what was put off dies now.
func (m *model) forecastRelease(l *life, id string) *forecast {
	out := &forecast{life: l}
	var hold *noted
	for _, f := range l.facts {
		if f.kind == "hold" && f.id == id {
			hold = f
		}
	}
	if hold == nil {
		out.refuse("unknown_hold")
		return out
	}
	if !slices.Contains(l.holds(m.now), hold) {
		out.refuse("hold_finished")
		return out
	}
	release := &noted{at: m.now, where: hold.where, kind: "hold_release", id: id}
	out.facts = []*noted{release}
	after := &life{facts: append(slices.Clone(l.facts), release), keys: l.keys, ended: l.ended}
	for w := range l.keys {
		if slices.Contains(hold.classes, w.class) && after.heldUntil(w, m.now).IsZero() && m.overdue(after, w) {
			out.dies = append(out.dies, w)
		}
	}
	return out
}

// overdue says whether a key should have been destroyed by now, as a whole.
func (m *model) overdue(l *life, w place) bool {
	r := rules[w.class]
	if r.from != "entry" {
		due := l.keys[w].due
		return !due.IsZero() && !due.After(m.now)
	}
	empty := !slices.ContainsFunc(l.facts, func(f *noted) bool { return f.where == w })
	return l.ended && (empty || m.ranOut(l, w))
}

// ranOut says whether there is something in a place whose facts each have their time, and whether all
// of it has had it.
func (m *model) ranOut(l *life, w place) bool {
	some := false
	for _, f := range l.facts {
		if f.where == w {
			some = true
			if r := rules[w.class]; r.from != "entry" || late(f.at, r.keep).After(m.now) {
				return false
			}
		}
	}
	return some
}

// forecastEventEnd is of the end of an order or event of one member: of the living membership, or
// else of one that ended.
func (m *model) forecastEventEnd(p *person, e *consent.EventEnd) *forecast {
	lives := slices.Clone(p.ended)
	if p.living != nil {
		lives = append([]*life{p.living}, lives...)
	}
	if len(lives) == 0 {
		return &forecast{refusals: []string{"unknown_member"}}
	}
	for _, l := range lives {
		if f := m.endingOf(l, e); len(f.dies) > 0 {
			return f
		}
	}
	return &forecast{refusals: []string{"reference_unknown"}}
}

// endingOf says what the end of an order or event ends of a membership. Of what a hold keeps it is
// recorded that it has ended.
func (m *model) endingOf(l *life, e *consent.EventEnd) *forecast {
	f := &forecast{life: l, dies: l.endedBy(e.Type, e.Reference)}
	for _, w := range f.dies {
		if !l.heldUntil(w, m.now).IsZero() {
			f.facts = append(f.facts, &noted{at: m.now, where: w, kind: "event_end"})
		}
	}
	return f
}

// endedBy lists the keys that the end of an order or event ends.
func (l *life) endedBy(kind, ref string) (out []place) {
	until := map[string]string{consent.EventDelivered: "delivery", consent.EventEnded: "event"}[kind]
	for _, w := range l.places() {
		if rules[w.class].until == until && w.ref == ref && l.keys[w].due.IsZero() {
			out = append(out, w)
		}
	}
	return out
}

// putOff takes out of a forecast what a hold keeps: it is overdue from now on, and the answer says
// until when it is kept.
func (m *model) putOff(l *life, f *forecast) {
	for _, w := range slices.Clone(f.dies) {
		held := l.heldUntil(w, m.now)
		if held.IsZero() {
			continue
		}
		f.dies = slices.DeleteFunc(f.dies, func(d place) bool { return d == w })
		if f.due == nil {
			f.due = make(map[place]time.Time)
		}
		f.due[w] = m.now
		f.kept = append(f.kept, keptRow{className(w.class), held})
	}
}

// restate keeps what shows when a member was last active, if what is destroyed would take it away.
func (m *model) restate(l *life, f *forecast) *noted {
	if f.ended || l.ended || len(f.dies) == 0 {
		return nil
	}
	all := append(slices.Clone(l.facts), f.facts...)
	rest := slices.DeleteFunc(slices.Clone(all), func(x *noted) bool { return slices.Contains(f.dies, x.where) })
	before, _ := lastSeen(all)
	after, _ := lastSeen(rest)
	if !after.Before(before) {
		return nil
	}
	return &noted{at: m.now, where: m.homeOf(l), kind: "activity", activeAt: before}
}
