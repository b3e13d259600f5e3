package ledger

import (
	"slices"
	"strings"
	"time"
)

// The model test's memory: plain lists of what was said, when, and where it is kept. A question is
// answered by reading the lists from the start; nothing is kept up to date on the way.

// A place is one key of a member: a retention class, and in classes that an event ends also the
// order or event.
type place struct{ class, ref string }

// A noted is one entry of a member, as the model put it down.
type noted struct {
	index   uint64
	at      time.Time
	where   place
	kind    string
	copy    bool // proof in the evidence class: it says nothing
	policy  string
	version *version
	member  string // kind of member
	says    []saying
	aged    string // how the age was stated

	// Of disclosures, corrections, notices, requests, holds, activity.
	id, about, outcome, recipient, purpose, correction string
	tell                                               []string // of a correction: who is to be told
	items                                              []string
	classes                                            []string
	until                                              time.Time
	activeAt                                           time.Time
	asleep                                             bool // said by who was dormant
}

// A saying is what a member said of one purpose.
type saying struct {
	policy, purpose string
	word            string // "granted", "refused", "ask", "withdrew", "withdrew items"
	items           []string
	parties         []string
	basis           string
}

// A life is one membership, from its enrolment to the day on which nothing of it is kept.
type life struct {
	facts []*noted
	keys  map[place]*keyFacts
	ended bool
}

// keyFacts is what is known of a key beside its facts.
type keyFacts struct {
	due time.Time // of a class that counts from the withdrawal, once it runs; and of what a hold keeps
}

// A version is one edition on the register.
type version struct {
	*edition
	id     string // the date
	from   time.Time
	posted time.Time
}

// person is a member id with its memberships.
type person struct {
	living *life
	ended  []*life
}

// model is everything that the model remembers.
type model struct {
	now      time.Time
	versions map[string][]*version // by policy, oldest first
	order    []string              // policies, in the order of the register
	people   []*person

	changes     []partyChange   // of recipients, in the order in which they were posted
	endedForAll map[string]bool // references of orders and events
	tables      *tables
}

// tables are what the model answers by. A control changes one row.
type tables struct {
	decision []check
	disclose []check
}

func newModel(members int) *model {
	m := &model{versions: make(map[string][]*version), endedForAll: make(map[string]bool), tables: &tables{decision: decisionChecks, disclose: disclosureChecks}}
	for range members {
		m.people = append(m.people, &person{})
	}
	return m
}

func newLife() *life { return &life{keys: make(map[place]*keyFacts)} }

// The calendar of the controller, who sits in Seoul. A day is its midnight.
var seoul = time.FixedZone("KST", 9*3600)

func dayStart(t time.Time) time.Time {
	y, m, d := t.In(seoul).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, seoul)
}

// plus is the last day of a span that starts with a day: the same day of a later month, or the last
// one that this month has.
func plus(day time.Time, s span) time.Time {
	y, m, d := day.Date()
	if s.months > 0 {
		last := time.Date(y, m+time.Month(s.months)+1, 0, 0, 0, 0, 0, seoul)
		day = time.Date(last.Year(), last.Month(), min(d, last.Day()), 0, 0, 0, 0, seoul)
	}
	return day.AddDate(0, 0, s.days)
}

// late is the first instant after a span that starts with the day of t.
func late(t time.Time, s span) time.Time { return plus(dayStart(t), s).AddDate(0, 0, 1) }

// inForce is the version of a policy that applies at a time, or nil. The first was the shop's policy
// before the ledger was told of it.
func (m *model) inForce(policy string, at time.Time) *version {
	var v *version
	for i, c := range m.versions[policy] {
		if !c.from.After(at) && (i == 0 || !c.posted.After(at)) {
			v = c
		}
	}
	return v
}

func (m *model) version(policy, id string) *version {
	for _, v := range m.versions[policy] {
		if v.id == id {
			return v
		}
	}
	return nil
}

// stating lists the policies in force at a time that state a purpose, which may be qualified.
func (m *model) stating(name string, at time.Time) (out []*version, purpose string) {
	policy, purpose, qualified := strings.Cut(name, "/")
	if !qualified {
		policy, purpose = "", name
	}
	for _, p := range m.order {
		if v := m.inForce(p, at); v != nil && v.purpose(purpose) != nil && (policy == "" || policy == p) {
			out = append(out, v)
		}
	}
	return out, purpose
}

// asOf is what is still kept of what was recorded by a time. What has reached the end of its time
// carries nothing any more, whether or not a sweep has been by.
func (l *life) asOf(at time.Time) []*noted {
	var out []*noted
	for _, f := range l.facts {
		r := rules[f.where.class]
		if !f.at.After(at) && (r.from != "entry" || late(f.at, r.keep).After(at)) {
			out = append(out, f)
		}
	}
	return out
}

// A stand is where a purpose stands for one reference: the last word on it.
type stand struct {
	word    string
	items   []string
	parties []string
	basis   string
	version *version
	index   uint64
	ref     string
	where   place
}

func (s *stand) yes() bool { return s.word == "granted" }

// stands reads what was said of a purpose, by reference. What is said of one order or event is said
// of that one; a word without a reference that takes back takes back from all. A yes to more, kept in
// another place, leaves the one before it standing: whoever asks of no item in particular is answered
// by either.
func stands(facts []*noted, policy, purpose string) []*stand {
	var out []*stand
	put := func(s *stand) {
		out = slices.DeleteFunc(out, func(o *stand) bool {
			more := s.yes() && o.yes() && o.where != s.where && within(o.items, s.items) && within(o.parties, s.parties)
			return o.ref == s.ref && !more
		})
		out = append(out, s)
	}
	for _, f := range facts {
		if f.copy {
			continue
		}
		if f.kind == "event_end" { // and only a hold keeps what was said of it
			out = slices.DeleteFunc(out, func(o *stand) bool { return o.where == f.where })
		}
		for i := range f.says {
			say := &f.says[i]
			if say.policy != policy || say.purpose != purpose {
				continue
			}
			switch say.word {
			case "withdrew items":
				for _, s := range out {
					if s.items = without(s.items, say.items); len(s.items) == 0 && s.yes() {
						s.word = "withdrew" // nothing of it is left
					}
				}
			case "granted":
				put(&stand{word: say.word, items: say.items, parties: say.parties, basis: say.basis, version: f.version, index: f.index, ref: f.where.ref, where: f.where})
			default:
				s := stand{word: say.word, items: say.items, version: f.version, index: f.index, ref: f.where.ref, where: f.where}
				for _, o := range out {
					if s.word == "withdrew" && o.ref == s.ref {
						s.items = o.items // what was agreed to, until it was withdrawn
					}
					if f.where.ref == "" {
						*o = stand{word: s.word, items: o.items, version: s.version, index: s.index, ref: o.ref, where: o.where}
					}
				}
				put(&s)
			}
		}
	}
	return out
}

// open lists the corrections without an outcome, by id.
func open(facts []*noted) map[string]*noted {
	out := make(map[string]*noted)
	for _, f := range facts {
		switch f.kind {
		case "correction":
			out[f.id] = f
		case "correction_outcome":
			delete(out, f.id)
		}
	}
	return out
}

// suspended says whether one of the items is under correction.
func suspended(facts []*noted, items []string) bool {
	for _, f := range open(facts) {
		if overlap(f.items, items) {
			return true
		}
	}
	return false
}

func without(list, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(gone, s) })
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func within(a, b []string) bool { return len(without(a, b)) == 0 }

func (p *purposeTerms) has(item string) bool {
	return slices.Contains(p.must, item) || slices.Contains(p.may, item)
}

func (p *purposeTerms) forKind(kind string) bool {
	return p.kinds == nil || slices.Contains(p.kinds, kind)
}

// classFor is the retention class for a kind of member, as the ledger names it.
func (v *version) classFor(p *purposeTerms, kind string) string {
	if c, ok := p.class[kind]; ok {
		return v.policy + "/" + c
	}
	return v.policy + "/" + p.class[""]
}

func byReference(class string) bool {
	u := rules[class].until
	return u == "delivery" || u == "event" || u == "outcome"
}

// membershipClass is where what concerns the membership is kept: the class of the first purpose
// that lasts as long as it.
func (v *version) membershipClass(kind string) string {
	for i := range v.purposes {
		p := &v.purposes[i]
		if !p.forKind(kind) {
			continue
		}
		if r := rules[v.classFor(p, kind)]; r.until == "withdrawal" || r.from == "withdrawal" {
			return v.classFor(p, kind)
		}
	}
	return ""
}

// looks is where it is recorded who looked at a member's data.
func (v *version) looks() place {
	if v.access == "" {
		return place{class: "*/access"}
	}
	return place{class: v.policy + "/" + v.access}
}
