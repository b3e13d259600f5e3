package ledger

import (
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// homeOf is where what concerns the member and no purpose is kept: the membership's class of the
// first policy of the register that they are under.
func (m *model) homeOf(l *life) place { return m.home(l, m.first(l).policy) }

// first is the version in force of the first policy of the register under which anything of a member
// is recorded.
func (m *model) first(l *life) *version {
	for _, p := range m.order {
		for w := range l.keys {
			if strings.HasPrefix(w.class, p+"/") {
				return m.inForce(p, m.now)
			}
		}
	}
	return nil
}

// living is the start of a forecast about a living member, and false if there is none.
func (m *model) living(p *person) (*forecast, bool) {
	if p.living == nil {
		return &forecast{refusals: []string{"unknown_member"}}, false
	}
	return &forecast{life: p.living}, true
}

// awake refuses what a dormant member has to be reactivated for.
func (m *model) awake(p *person, out *forecast) {
	if m.dormant(p.living, m.now) {
		out.refuse("dormant")
	}
}

func (m *model) forecastActivity(p *person) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	m.awake(p, out)
	// One a day is enough, unless the member was told of dormancy since they were active.
	_, told := lastSeen(p.living.facts)
	today := len(told) == 0 && slices.ContainsFunc(p.living.facts, func(f *noted) bool {
		return f.kind == "activity" && f.activeAt.IsZero() && dayStart(f.at).Equal(dayStart(m.now))
	})
	if !today && len(out.refusals) == 0 {
		out.facts = []*noted{{at: m.now, where: m.homeOf(p.living), kind: "activity"}}
	}
	return out
}

func (m *model) forecastReactivation(p *person) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	if !m.dormant(p.living, m.now) {
		out.refuse("not_dormant")
		return out
	}
	out.facts = []*noted{{at: m.now, where: m.homeOf(p.living), kind: "reactivation"}}
	return out
}

func (m *model) forecastSignal(p *person, s *consent.Signal) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	m.awake(p, out)
	if s.Signal != consent.SignalGPC {
		out.refuse("invalid_signal")
	}
	if len(out.refusals) == 0 {
		out.facts = []*noted{{at: m.now, where: m.homeOf(p.living), kind: "signal"}}
	}
	return out
}

// forecastRequest also says when the answer is late.
func (m *model) forecastRequest(p *person, q *consent.Request) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	if q.ReceivedAt.After(m.now.Add(5 * time.Minute)) {
		out.refuse("received_at_in_future")
		return out
	}
	from := q.ReceivedAt
	if from.After(m.now) {
		from = m.now
	}
	days := 0
	for _, name := range m.order {
		v := m.inForce(name, m.now)
		if kindUnder(p.living.facts, name) != "" && (days == 0 || v.answer < days) {
			days = v.answer
		}
	}
	out.late = late(from, span{days: days})
	out.facts = []*noted{{at: m.now, where: m.homeOf(p.living), kind: "request", about: q.Type, until: out.late, asleep: m.dormant(p.living, m.now)}}
	return out
}

// requestNow says how a request stands: open, or its newest outcome. After granted a suspension can be lifted.
func requestNow(l *life, id string) (asked *noted, outcome string) {
	for _, f := range l.facts {
		if f.id == id && f.kind == "request" {
			asked = f
		}
		if f.id == id && f.kind == "request_outcome" {
			outcome = f.outcome
		}
	}
	return asked, outcome
}

func (m *model) forecastRequestOutcome(p *person, o *consent.RequestOutcome) *forecast {
	if p.living == nil {
		return &forecast{refusals: []string{"unknown_request"}}
	}
	out := &forecast{life: p.living}
	asked, was := requestNow(p.living, o.Request)
	switch {
	case asked == nil:
		out.refuse("unknown_request")
	case o.Outcome == consent.RequestLifted:
		if asked.about != consent.RequestSuspension || was != consent.RequestGranted {
			out.refuse("invalid_outcome")
		}
		if was != "" && was != consent.RequestGranted {
			out.refuse("request_finished")
		}
	case was != "":
		out.refuse("request_finished")
	}
	if o.Outcome == consent.RequestRefused && o.Reason == "" {
		out.refuse("reason_required")
	}
	if len(out.refusals) == 0 {
		out.facts = []*noted{{at: m.now, where: m.homeOf(p.living), kind: "request_outcome", id: o.Request, outcome: o.Outcome}}
	}
	return out
}

func (m *model) forecastCorrection(p *person, c *consent.Correction) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	m.awake(p, out)
	if len(c.Changes) == 0 {
		out.refuse("changes_required")
	}
	if twice(c.Changes, func(c consent.Change) string { return c.Item }) {
		out.refuse("duplicate_item")
	}
	var items []string
	values, policy := false, "" // of the first item
	for _, ch := range c.Changes {
		items = append(items, ch.Item)
		values = values || ch.Old != nil || ch.New != nil
		known, theirs := false, false
		for _, name := range m.order {
			v, kind := m.inForce(name, m.now), kindUnder(p.living.facts, name)
			for i := range v.purposes {
				if v.purposes[i].has(ch.Item) && kind != "" {
					known = true
					theirs = theirs || v.purposes[i].forKind(kind)
					if policy == "" && v.purposes[i].forKind(kind) {
						policy = name
					}
				}
			}
		}
		switch {
		case ch.Item == "religion":
			out.refuse("prohibited_item")
			out.refuse("unknown_item")
		case !known:
			out.refuse("unknown_item")
		case !theirs:
			out.refuse("item_not_for_member_kind")
		}
		if ch.Item == "password" && (ch.Old != nil || ch.New != nil) {
			out.refuse("secret_value")
		}
	}
	if suspended(p.living.facts, items) {
		out.refuse("correction_open")
	}
	if len(out.refusals) > 0 {
		return out
	}
	out.facts = []*noted{{at: m.now, where: m.home(p.living, policy), kind: "correction", policy: policy, version: m.inForce(policy, m.now), items: items}}
	if values {
		out.facts = append(out.facts, &noted{at: m.now, where: place{class: "*/correction"}, kind: "correction_values"})
	}
	return out
}

// wronged lists who got items, and which. That an item was corrected before
// takes nobody off: they were told what is wrong now.
func wronged(l *life, items []string) map[string][]string {
	out := make(map[string][]string)
	for _, f := range slices.Backward(l.facts) {
		if f.kind != "disclosure" {
			continue
		}
		for _, i := range f.items {
			if slices.Contains(items, i) && !slices.Contains(out[f.recipient], i) {
				out[f.recipient] = append(out[f.recipient], i)
			}
		}
	}
	return out
}

func (m *model) forecastOutcome(p *person, o *consent.CorrectionOutcome) *forecast {
	out, ok := m.living(p)
	if !ok {
		return out
	}
	var about *noted
	done := false
	for _, f := range p.living.facts {
		if f.id == o.Correction {
			if f.kind == "correction" {
				about = f
			}
			done = done || f.kind == "correction_outcome"
		}
	}
	switch {
	case about == nil:
		out.refuse("unknown_correction")
	case done:
		out.refuse("correction_finished")
	}
	if o.Outcome != "corrected" && o.Outcome != "rejected" {
		out.refuse("invalid_outcome")
	}
	if len(out.refusals) > 0 {
		return out
	}
	fact := &noted{at: m.now, where: m.home(p.living, about.policy), kind: "correction_outcome", version: about.version, id: o.Correction, outcome: o.Outcome}
	if o.Outcome == "corrected" {
		for to, items := range wronged(p.living, about.items) {
			out.notify = append(out.notify, notifyRow{to, items})
			fact.tell = append(fact.tell, to)
		}
	}
	out.facts = []*noted{fact}
	if len(fact.tell) == 0 {
		out.dies = valuesOf(p.living, o.Correction)
	}
	return out
}

func valuesOf(l *life, correction string) []place {
	if w := (place{"*/correction", correction}); l.keys[w] != nil {
		return []place{w}
	}
	return nil
}

// untold lists the recipients of a correction who are still to be told.
func untold(facts []*noted, id string) []string {
	var left []string
	for _, f := range facts {
		switch {
		case f.kind == "correction_outcome" && f.id == id:
			left = slices.Clone(f.tell)
		case f.kind == "notice" && f.about == "correction" && f.correction == id && (reached(f.outcome) || f.outcome == "impossible"):
			left = without(left, []string{f.recipient})
		}
	}
	return left
}

// forecastNotice is of a notice about a member.
func (m *model) forecastNotice(p *person, n *consent.Notice) *forecast {
	out, ok := m.living(p)
	if (n.Outcome == "failed" || n.Outcome == "impossible") && n.Reason == "" {
		out.refuse("reason_required")
	}
	if n.Kind == consent.NoticeDestructionRequest && !n.DueAt.After(n.SentAt) {
		out.refuse("invalid_due_at")
	}
	if !ok {
		return out
	}
	fact := &noted{at: m.now, where: m.homeOf(p.living), kind: "notice", about: n.Kind, correction: n.Correction, recipient: n.Recipient, outcome: n.Outcome, until: n.DueAt}
	if n.Kind == consent.NoticeCorrection {
		known, finished, told := false, false, []string(nil)
		for _, f := range p.living.facts {
			if f.id == n.Correction {
				known = known || f.kind == "correction"
				if f.kind == "correction_outcome" {
					finished, told = true, f.tell
				}
			}
		}
		switch {
		case !known:
			out.refuse("unknown_correction")
		case !finished || !slices.Contains(told, n.Recipient):
			out.refuse("recipient_not_to_be_told")
		}
	}
	if len(out.refusals) > 0 {
		return out
	}
	out.facts = []*noted{fact}
	if n.Kind == consent.NoticeCorrection && len(untold(p.living.facts, n.Correction)) > 0 && len(untold(append(slices.Clone(p.living.facts), fact), n.Correction)) == 0 {
		out.dies = valuesOf(p.living, n.Correction)
	}
	return out
}
