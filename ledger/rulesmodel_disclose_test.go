package ledger

import (
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// forecastDisclosure says what a disclosure leads to. What is malformed, or in conflict, comes
// before the codes of its refusal, which have a fixed order.
func (m *model) forecastDisclosure(p *person, d *consent.Disclosure) *forecast {
	var lives []*life
	if p.living != nil {
		lives = append(lives, p.living)
	}
	if d.Basis != "" {
		// Of who has withdrawn only an authority may have a right to what is kept.
		for _, l := range slices.Backward(p.ended) {
			lives = append(lives, l)
		}
	}
	if len(lives) == 0 {
		return &forecast{refusals: []string{"unknown_member"}}
	}
	first := m.forecastDisclosureOf(lives[0], d)
	nothingThere := []string{"class_not_open", "reference_unknown"}
	if len(first.refusals) == 0 || lives[0] == p.living && !within(first.refusals, nothingThere) {
		return first
	}
	for _, l := range lives[1:] {
		if next := m.forecastDisclosureOf(l, d); len(next.refusals) == 0 {
			return next
		}
	}
	return first
}

// forecastDisclosureOf is about one membership.
func (m *model) forecastDisclosureOf(l *life, d *consent.Disclosure) *forecast {
	out := &forecast{life: l}
	malformed(m, d, out)
	stating, purpose := m.stating(d.Purpose, m.now)
	facts := l.asOf(m.now)
	if len(stating) > 1 {
		theirs := slices.DeleteFunc(slices.Clone(stating), func(v *version) bool { return kindUnder(l.facts, v.policy) == "" })
		switch len(theirs) {
		case 0:
			stating = stating[:1]
		case 1:
			stating = theirs
		default:
			out.refuse("purpose_ambiguous")
			return out
		}
	}
	if len(stating) == 0 {
		out.refuse("purpose_not_stated")
		return out
	}
	v := stating[0]
	q := &query{m: m, at: m.now, facts: facts, l: l, v: v, purpose: v.purpose(purpose), items: d.Items, recipient: d.Recipient, basis: v.ground(d.Basis), ref: d.Reference, named: d.Basis != ""}
	if l.ended && !q.toAuthority() {
		out.refuse("unknown_member") // by any other ground there is nobody
	}
	all := stands(facts, v.policy, purpose)
	if code := q.bestOf(all); code != "" {
		out.refuse(code)
		return out
	}
	// What was said of another order or event does not carry this one.
	if class := v.classFor(q.purpose, kindUnder(facts, v.policy)); d.Reference != "" && byReference(class) {
		if l.keys[place{class, d.Reference}] == nil {
			out.refuse("reference_unknown")
			return out
		}
		all = slices.DeleteFunc(all, func(s *stand) bool { return s.ref != "" && s.ref != d.Reference })
		if code := q.bestOf(all); code != "" {
			out.refuse(code)
			return out
		}
	}
	if m.whereToRecord(q, out); len(out.refusals) > 0 {
		return out
	}
	out.facts = []*noted{{at: m.now, where: q.where, kind: "disclosure", policy: v.policy, version: v, purpose: purpose, recipient: d.Recipient, items: d.Items}}
	return out
}

func malformed(m *model, d *consent.Disclosure, out *forecast) {
	if d.OccurredAt.IsZero() {
		out.refuse("occurred_at_required")
	}
	if d.OccurredAt.After(m.now.Add(5 * time.Minute)) {
		out.refuse("occurred_at_in_future")
	}
	if slices.Contains(d.Items, "religion") {
		out.refuse("prohibited_item")
	}
	if slices.Contains(d.Items, "password") {
		out.refuse("secret_item")
	}
	if len(d.Items) == 0 {
		out.refuse("items_required")
	}
	if twice(d.Items, func(s string) string { return s }) {
		out.refuse("duplicate_item")
	}
}

func (v *version) ground(id string) *ground {
	for i := range v.grounds {
		if v.grounds[i].id == id {
			return &v.grounds[i]
		}
	}
	return nil
}

// disclosureChecks are the codes of a disclosure that is refused, in the contract's order.
var disclosureChecks = []check{
	{"basis_not_allowed", func(q *query) bool {
		return q.named && (q.toAuthority() && q.noAuthority() || q.basis == nil || q.basis.anonymous || q.basis.purposes != nil && !slices.Contains(q.basis.purposes, q.purpose.name))
	}},
	{"recipient_not_registered", func(q *query) bool { return !q.toAuthority() && q.m.partyOf(q.v, q.recipient, q.at) == nil }},
	{"recipient_not_allowed", func(q *query) bool { return !q.toAuthority() && !registered(q) }},
	{"unknown_item", func(q *query) bool { return q.basis != nil && !q.heldFor() }},
	{"item_suspended", func(q *query) bool { return !q.despite() && suspended(q.facts, q.items) }},
	{"processing_suspended", func(q *query) bool { return !q.despite() && suspension(q.facts) }},
	{"dormant", func(q *query) bool { return !q.despite() && !q.l.ended && q.m.dormant(q.l, q.at) }},
	{"no_effective_consent", func(q *query) bool { return q.basis == nil && q.noConsent() != "" }},
	{"item_not_consented", func(q *query) bool { return q.basis == nil && !within(q.items, q.stand.items) }},
	{"recipient_not_consented", func(q *query) bool { return q.basis == nil && !consentedParty(q) }},
}

// bestOf tries each word of the member, and leaves the one that carries the disclosure in the query.
func (q *query) bestOf(all []*stand) (first string) {
	bySpeaking(all)
	if len(all) == 0 {
		all = []*stand{nil}
	}
	for i, s := range all {
		q.stand = s
		code := q.refusal()
		if code == "" {
			return ""
		}
		if i == 0 {
			first = code
		}
	}
	return first
}

// refusal is the first code by which a disclosure is refused, going by one word of the member.
func (q *query) refusal() string {
	for _, c := range q.m.tables.disclose {
		if !c.fails(q) {
			continue
		}
		if c.reason == "no_effective_consent" {
			return c.reason + " because " + q.noConsent()
		}
		return c.reason
	}
	return ""
}

// heldFor says whether the items are held for the purpose: by the version in force, or by what the
// member was once asked.
func (q *query) heldFor() bool {
	return !slices.ContainsFunc(q.items, func(item string) bool {
		return !q.purpose.has(item) && !slices.ContainsFunc(q.facts, func(f *noted) bool {
			return !f.copy && slices.ContainsFunc(f.says, func(s saying) bool {
				return s.policy == q.v.policy && s.purpose == q.purpose.name && slices.Contains(s.items, item)
			})
		})
	})
}

// noAuthority says whether some policy knows the recipient as somebody else.
func (q *query) noAuthority() bool {
	return slices.ContainsFunc(q.m.order, func(p string) bool {
		to := q.m.lastWord(p, q.recipient)
		return to != nil && to.kind != "authority"
	})
}

func (q *query) toAuthority() bool { return q.basis != nil && q.basis.authority }
func (q *query) despite() bool     { return q.basis != nil && q.basis.despite }

// noConsent is the first reason of a decision that speaks against what the member said.
func (q *query) noConsent() string {
	for _, c := range wordChecks {
		if c.fails(q) {
			return c.reason
		}
	}
	return ""
}

// whereToRecord finds the key that a disclosure falls under: that of the purpose's class, or, if the
// member has none, that of their word on the purpose.
func (m *model) whereToRecord(q *query, out *forecast) {
	class := q.v.classFor(q.purpose, kindUnder(q.l.facts, q.v.policy))
	q.where = place{class: class}
	if byReference(class) {
		if q.ref == "" {
			out.refuse("reference_required")
			return
		}
		q.where.ref = q.ref
	}
	switch {
	case q.l.keys[q.where] != nil:
	case q.stand != nil && q.stand.word != "withdrew" && (q.stand.ref == "" || q.stand.ref == q.ref):
		q.where = q.stand.where
	case q.where.ref != "":
		out.refuse("reference_unknown")
	default:
		out.refuse("class_not_open")
	}
}
