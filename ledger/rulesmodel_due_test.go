package ledger

import (
	"fmt"
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// A task is something that somebody has to do about a membership, by when it is late.
type task struct {
	kind, id string
	at       time.Time
}

// dueKinds is the table of what is due: what opens it, and when it is late.
var dueKinds = []struct {
	kind string
	find func(*model, *life) []task
}{
	{consent.DueHold, func(m *model, l *life) (out []task) {
		for _, h := range l.holds(m.now) {
			out = append(out, task{id: h.id, at: h.until})
		}
		return out
	}},
	{consent.DueRequest, func(m *model, l *life) (out []task) {
		for _, f := range l.facts {
			if _, outcome := requestNow(l, f.id); f.kind == "request" && outcome == "" {
				out = append(out, task{id: f.id, at: f.until})
			}
		}
		return out
	}},
	{consent.DueCorrection, func(m *model, l *life) (out []task) {
		for id, f := range open(l.facts) {
			out = append(out, task{id: id, at: late(f.at, span{days: f.version.answer})})
		}
		return out
	}},
	{consent.DueCorrectionNotice, func(m *model, l *life) (out []task) {
		for _, f := range l.facts {
			if f.kind == "correction_outcome" && len(untold(l.facts, f.id)) > 0 {
				out = append(out, task{id: f.id, at: late(f.at, span{days: f.version.answer})})
			}
		}
		return out
	}},
	{consent.DueDestructionRequest, func(m *model, l *life) (out []task) {
		newest := make(map[string]*noted) // by who was asked
		for _, f := range l.facts {
			if f.kind == "notice" && f.about == "destruction_request" {
				newest[f.recipient] = f
			}
		}
		for _, f := range newest {
			if f.outcome != "confirmed" && f.outcome != "impossible" {
				out = append(out, task{id: f.id, at: f.until})
			}
		}
		return out
	}},
	{consent.DueDormancyNotice, func(m *model, l *life) []task {
		terms := m.idleTerms(l.facts, m.now)
		last, told := lastSeen(l.facts)
		if terms == nil || len(told) > 0 || slices.ContainsFunc(l.facts, func(f *noted) bool {
			return f.kind == "notice" && f.about == "dormancy" && f.outcome == "impossible" && f.at.After(last)
		}) {
			return nil
		}
		// The last day whose notice is over when the idle time is.
		day, end := dayStart(last), late(last, terms.after)
		for !late(day.AddDate(0, 0, 1), terms.notice).After(end) {
			day = day.AddDate(0, 0, 1)
		}
		return []task{{at: day.AddDate(0, 0, 1)}}
	}},
	{consent.DueDormancyEnd, func(m *model, l *life) []task {
		since := m.sleepsFrom(l.facts, m.now)
		if since.IsZero() {
			return nil
		}
		return []task{{at: late(since, m.idleTerms(l.facts, m.now).destroy)}}
	}},
}

// due lists what is due of a membership. Of one that ended only the holds are anybody's affair.
func (m *model) due(l *life) (out []task) {
	for i, k := range dueKinds {
		if l.ended && i > 0 {
			break
		}
		for _, t := range k.find(m, l) {
			t.kind = k.kind
			out = append(out, t)
		}
	}
	return out
}

// dueList asks for the officer's list. Whoever is on it was looked at.
func (r *run) dueList() {
	within := time.Duration(r.rand.IntN(400)) * 24 * time.Hour
	rows, more, err := r.l.Due(r.t.Context(), dpo, Look{Reason: "the day's work"}, within)
	r.say("due within %d days: %d rows, %v", within/(24*time.Hour), len(rows), err)
	if err != nil || more {
		r.disagree("a due list: %v, more %v", err, more)
		return
	}
	until := dayStart(r.m.now.Add(within)).AddDate(0, 0, 1)
	var got, want []string
	for _, row := range rows {
		got = append(got, fmt.Sprint(row.Member, row.Kind, row.ID, row.At.In(seoul).Format(time.DateTime)))
	}
	for who, p := range r.m.people {
		lives := slices.Clone(p.ended)
		if p.living != nil {
			lives = append(lives, p.living)
		}
		for _, l := range lives {
			ref := r.refOf(who, l)
			listed := slices.ContainsFunc(rows, func(row DueRow) bool { return row.Member == ref })
			for _, t := range r.m.due(l) {
				// A version that brings dormancy may take a year to reach who is idle.
				if !t.at.After(until) && (t.kind != consent.DueDormancyNotice && t.kind != consent.DueDormancyEnd || listed) {
					want = append(want, fmt.Sprint(ref, t.kind, t.id, t.at.In(seoul).Format(time.DateTime)))
				}
			}
			if listed {
				r.m.looked(p, l)
			}
		}
		r.adopt(who)
		r.compareKept(who)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.disagree("due are %v, the model says %v", minus(got, want), minus(want, got))
	}
}

// looked records a look at a membership.
func (m *model) looked(p *person, l *life) {
	where := place{class: "*/access"}
	if v := m.first(l); v != nil {
		where = v.looks()
	}
	p.apply(l, &forecast{facts: []*noted{{at: m.now, where: where, kind: "access"}}})
}

// lookApart reads what one class keeps of who has withdrawn or sleeps.
func (r *run) lookApart() {
	who := r.member()
	p := r.m.people[who]
	lives := slices.Clone(p.ended)
	if p.living != nil {
		lives = append(lives, p.living)
	}
	if len(lives) == 0 {
		return
	}
	l := lives[r.rand.IntN(len(lives))]
	all := l.places()
	class := all[r.rand.IntN(len(all))].class
	if r.chance(10) {
		class = "shop/health"
	}
	kept, err := r.l.Kept(r.t.Context(), dpo, r.refOf(who, l), Look{Reason: "an audit"}, className(class))
	r.say("member %d: look at the %s that is kept: %s", who, className(class), codeOf(err))
	state, want := "withdrawn", []string(nil)
	if !l.ended {
		state = "dormant"
		if !r.m.dormant(l, r.m.now) {
			want = []string{"not_kept_apart"}
		}
	}
	if !slices.ContainsFunc(l.facts, func(f *noted) bool { return f.where.class == class }) {
		want = append(want, "error "+ErrUnknownGround.Error())
	}
	if !r.agreeOn("look at what is kept", err, want) || err != nil {
		return
	}
	r.m.looked(p, l)
	r.adopt(who)
	r.compareKept(who)
	shown := 0
	for _, f := range l.facts {
		if f.where.class == class {
			shown++
		}
	}
	if string(kept.State) != state || len(kept.Entries) != shown {
		r.disagree("kept: %q and %d entries, the model says %q and %d", kept.State, len(kept.Entries), state, shown)
	}
}
