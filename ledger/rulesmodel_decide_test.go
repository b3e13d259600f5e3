package ledger

import (
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// A question, with what the model looks at to answer it.
type query struct {
	m         *model
	at        time.Time
	facts     []*noted // of the living membership, recorded by then
	v         *version
	purpose   *purposeTerms
	stand     *stand // nil: nothing was said
	items     []string
	whole     bool // the question names no items
	recipient string

	l *life

	// Of a disclosure.
	basis *ground // the exemption
	named bool    // an exemption is named
	ref   string
	where place // where it is recorded
}

// A check is one reason for a no. Checks stand in the order in which they are made.
type check struct {
	reason string
	fails  func(*query) bool
}

// decisionChecks are the reasons of a decision, once a policy in force is found that states the
// purpose.
var decisionChecks = append(append([]check{
	{"recipient_not_registered", func(a *query) bool { return a.recipient != "" && !registered(a) }},
	{"item_suspended", func(a *query) bool { return suspended(a.facts, a.items) }},
	{"processing_suspended", func(a *query) bool { return suspension(a.facts) }},
	{"dormant", func(a *query) bool { return a.m.dormant(a.l, a.at) }},
}, wordChecks...), []check{
	{"item_not_consented", func(a *query) bool { return !within(a.items, a.stand.items) || !statedItems(a) }},
	{"recipient_not_consented", func(a *query) bool { return a.recipient != "" && !consentedParty(a) }},
	{"item_suspended", func(a *query) bool {
		return a.whole && suspended(a.facts, slices.Concat(a.purpose.must, a.purpose.may))
	}},
}...)

// wordChecks are the reasons that lie in what the member said.
var wordChecks = []check{
	{"no_consent", func(a *query) bool { return a.stand == nil }},
	{"refused", func(a *query) bool { return a.stand.word == "refused" }},
	{"withdrawn", func(a *query) bool { return a.stand.word == "withdrew" }},
	{"reconsent_required", func(a *query) bool {
		never := a.purpose.basis != "consent" && a.stand.basis != "consent" // asked for
		return !never && a.stand.yes() && a.m.changedSince(a.stand.version, a.v, a.purpose.name)
	}},
	{"ask_each_time", func(a *query) bool { return a.stand.word == "ask" }},
}

// changedSince says whether a version after the one that was agreed to, up to the one in force, has
// other points of law for a purpose, or left it out.
func (m *model) changedSince(agreed, now *version, purpose string) bool {
	points, after := agreed.purpose(purpose).points, false
	for _, v := range m.versions[agreed.policy] {
		after = after || v == agreed
		if t := v.purpose(purpose); after && (t == nil || t.points != points) {
			return true
		}
		if v == now {
			return false
		}
	}
	return false
}

func statedItems(a *query) bool {
	return !slices.ContainsFunc(a.items, func(i string) bool { return !a.purpose.has(i) })
}

// registered says whether the register in force gives the recipient these items for this purpose.
func registered(a *query) bool {
	p := a.m.partyOf(a.v, a.recipient, a.at)
	return p != nil && slices.Contains(p.purposes, a.purpose.name) && within(a.items, p.items)
}

// consentedParty says whether the recipient needs no consent of its own, or has it.
func consentedParty(a *query) bool {
	p := a.m.partyOf(a.v, a.recipient, a.at)
	return p.kind == "processor" || a.stand.basis != "consent" || slices.Contains(a.stand.parties, a.recipient)
}

// A verdict is the answer to a question.
type verdict struct {
	allowed bool
	reason  string
	carried []uint64 // entries that a yes rests on, each by itself: the ledger names one of them

	// A no may have another reason: the newest word has reached the end of its time and is not
	// destroyed yet; or it was withdrawn for every order, and then given for another.
	loose bool
}

// decide answers a question about a person.
func (m *model) decide(p *person, q *consent.Question, at time.Time) verdict {
	if p.living == nil {
		if len(p.ended) > 0 {
			return verdict{reason: "withdrawn"}
		}
		return verdict{reason: "unknown_member"}
	}
	stating, purpose := m.stating(q.Purpose, at)
	if len(stating) == 0 {
		return verdict{reason: "purpose_not_stated"}
	}
	facts := p.living.asOf(at)
	var said []*version
	for _, v := range stating {
		if kindUnder(facts, v.policy) != "" {
			said = append(said, v)
		}
	}
	if len(said) == 0 {
		said = stating[:1]
	}
	var out verdict
	for _, v := range said {
		carried := out.carried
		out = m.decideUnder(p.living, v, purpose, q, at)
		out.carried = append(out.carried, carried...)
		out.loose = out.loose || len(stands(p.living.facts, v.policy, purpose)) > 0 && newest(stands(p.living.facts, v.policy, purpose)) != newest(stands(facts, v.policy, purpose))
		if !out.allowed {
			return out
		}
	}
	return out
}

func newest(list []*stand) (index uint64) {
	for _, s := range list {
		index = max(index, s.index)
	}
	return index
}

// decideUnder answers by one policy. Of a purpose that was decided on for several orders or events,
// a yes to any of them will do.
func (m *model) decideUnder(l *life, v *version, purpose string, q *consent.Question, at time.Time) verdict {
	facts := l.asOf(at)
	a := &query{m: m, at: at, facts: facts, l: l, v: v, purpose: v.purpose(purpose), items: q.Items, whole: len(q.Items) == 0, recipient: q.Recipient}
	all := slices.DeleteFunc(stands(facts, v.policy, purpose), func(s *stand) bool {
		return s.ref != "" && q.Reference != "" && s.ref != q.Reference
	})
	if len(all) == 0 {
		return a.answer()
	}
	bySpeaking(all)
	var first verdict
	for _, s := range all {
		a.stand, a.items = s, q.Items
		if len(q.Items) == 0 {
			a.items = s.items
		}
		out := a.answer()
		out.loose = q.Reference != "" && out.reason == "withdrawn"
		switch {
		case first.reason == "", out.allowed && !first.allowed:
			first = out
		case out.allowed:
			first.carried = append(first.carried, out.carried...)
		}
	}
	return first
}

// bySpeaking puts words in the order in which they are heard: a yes before a no, and of these the newest.
func bySpeaking(list []*stand) {
	slices.SortFunc(list, func(x, y *stand) int {
		if x.yes() != y.yes() {
			return map[bool]int{true: -1, false: 1}[x.yes()]
		}
		return int(y.index) - int(x.index)
	})
}

func (a *query) answer() verdict {
	for _, c := range a.m.tables.decision {
		if c.fails(a) {
			return verdict{reason: c.reason}
		}
	}
	out := verdict{allowed: true, reason: "consent_in_force", carried: []uint64{a.stand.index}}
	if a.stand.basis != "consent" {
		out.reason = "basis_in_force"
	}
	return out
}
