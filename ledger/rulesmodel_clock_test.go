package ledger

import (
	"slices"
	"time"
)

// sweep destroys what is due, and ends who has slept for too long.
func (m *model) sweep() {
	for _, p := range m.people {
		lives := slices.Clone(p.ended)
		if p.living != nil {
			lives = append(lives, p.living)
		}
		for _, l := range lives {
			m.tidy(p, l)
		}
	}
}

// tidy does for one membership what a sweep does.
func (m *model) tidy(p *person, l *life) {
	m.endSleep(p, l)
	m.expire(l)
	p.forget()
}

// endSleep ends the membership of who has slept for too long.
func (m *model) endSleep(p *person, l *life) bool {
	end := m.sleepEnds(l)
	if end.IsZero() || end.After(m.now) {
		return false
	}
	f := &forecast{life: l, due: make(map[place]time.Time)}
	m.leave(l, f)
	m.putOff(l, f)
	p.apply(l, f)
	return true
}

// sleepEnds is when the membership of a dormant member ends: zero for never.
func (m *model) sleepEnds(l *life) time.Time {
	if l.ended {
		return time.Time{}
	}
	since := m.sleepsFrom(l.facts, m.now)
	terms := m.idleTerms(l.facts, m.now)
	if terms == nil || since.IsZero() {
		return time.Time{}
	}
	return late(since, terms.destroy)
}

// expire destroys what of a life has reached its end and is not held.
func (m *model) expire(l *life) {
	f := &forecast{life: l}
	for _, w := range l.places() {
		if l.heldUntil(w, m.now).IsZero() && m.overdue(l, w) {
			f.dies = append(f.dies, w)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(l.facts), func(x *noted) bool {
		r := rules[x.where.class]
		return r.from == "entry" && !late(x.at, r.keep).After(m.now) && l.heldUntil(x.where, m.now).IsZero() || slices.Contains(f.dies, x.where)
	})
	if !l.ended {
		before, _ := lastSeen(l.facts)
		after, _ := lastSeen(rest)
		if after.Before(before) {
			rest = append(rest, &noted{at: m.now, where: m.homeOf(l), kind: "activity", activeAt: before})
		}
	}
	l.facts = rest
	for _, w := range f.dies {
		delete(l.keys, w)
	}
}

// apply takes over what a forecast says.
func (p *person) apply(l *life, f *forecast) {
	for _, x := range f.facts {
		if l.keys[x.where] == nil {
			l.keys[x.where] = &keyFacts{}
		}
		if x.kind == "consent" && !x.copy && slices.ContainsFunc(x.says, func(s saying) bool { return s.word == "granted" }) {
			l.keys[x.where].due = time.Time{} // it has a use again
		}
		l.facts = append(l.facts, x)
	}
	for _, w := range f.opens {
		if l.keys[w] == nil {
			l.keys[w] = &keyFacts{}
		}
	}
	l.sort()
	for _, w := range f.dies {
		delete(l.keys, w)
		l.facts = slices.DeleteFunc(l.facts, func(x *noted) bool { return x.where == w })
	}
	for w, at := range f.due {
		l.keys[w].due = at
	}
	if f.ended {
		l.ended = true
		p.living = nil
		if len(l.keys) > 0 {
			p.ended = append(p.ended, l)
		}
	}
	p.forget()
}

func (l *life) sort() {
	slices.SortStableFunc(l.facts, func(x, y *noted) int { return int(x.index) - int(y.index) })
}

// forget drops the memberships of which nothing is left.
func (p *person) forget() {
	p.ended = slices.DeleteFunc(p.ended, func(l *life) bool { return len(l.keys) == 0 })
}
