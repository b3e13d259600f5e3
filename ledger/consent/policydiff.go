package consent

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A PolicyChange is one difference between a version and the one before it.
// Point says which point of the law it touches: the purpose, the items, the
// period, the right to refuse and its cost (PIPA 15(2)), or who gets the items
// (17(2)). Reconsent says that members who decided before are asked again.
type PolicyChange struct {
	Path      string `json:"path"`
	Purpose   string `json:"purpose,omitempty"`
	Point     string `json:"point,omitempty"`
	Was       string `json:"was,omitempty"` // empty: there was none
	Is        string `json:"is,omitempty"`  // empty: there is none now
	Reconsent bool   `json:"reconsent"`
}

// The points of the law.
const (
	PointPurpose    = "purpose"
	PointItems      = "items"
	PointRetention  = "retention"
	PointRefusal    = "refusal"
	PointRecipients = "recipients"
)

// Changes returns what a version changed; nothing for a first version and for
// one that is not there.
func (r *Register) Changes(policy, version string) []PolicyChange {
	for _, v := range r.policies[policy] {
		if v.version == version {
			return slices.Clone(v.changes)
		}
	}
	return nil
}

// Reconsent returns the purposes for which a version asks members again who
// decided under an earlier one, in the file's order.
func (r *Register) Reconsent(policy, version string) []string {
	var list []string
	for _, v := range r.policies[policy] {
		if v.version != version {
			continue
		}
		for i := range v.purposes {
			if id := v.purposes[i].ID; v.changed[id] {
				list = append(list, id)
			}
		}
	}
	return list
}

// diff compares a version to be posted, in force from a time on, with what
// there is: purposes first, then recipients, then all the rest.
func (r *Register) diff(p *Policy, effectiveAt time.Time) []PolicyChange {
	vs := r.policies[p.id]
	last := &vs[len(vs)-1]
	var rows []PolicyChange
	for i := range p.purposes {
		rows = append(rows, purposeChanges(vs, p, &p.purposes[i])...)
	}
	for i := range last.purposes {
		if o := &last.purposes[i]; p.byPurpose[o.ID] == nil {
			rows = append(rows, PolicyChange{Path: "purposes." + o.ID, Purpose: o.ID, Point: PointPurpose, Was: o.Kind})
		}
	}
	rows = append(rows, r.recipientChanges(last, p, effectiveAt)...)
	return append(rows, factChanges(last.Policy, p)...)
}

// reconsented returns the purposes that a list of changes asks again for.
func reconsented(changes []PolicyChange) map[string]bool {
	m := map[string]bool{}
	for i := range changes {
		if changes[i].Reconsent {
			m[changes[i].Purpose] = true
		}
	}
	return m
}

// purposeChanges compares a purpose with the version before. One that was
// taken out and comes back is asked again, whatever it says: the promise was
// broken off. Where neither version asked for consent, nobody is asked again.
//
// A language that only one of the versions has asks nobody, unless they have
// none in common; words that differ in a language of both do, because a machine
// cannot tell a better word from another meaning.
func purposeChanges(vs []Posted, p *Policy, n *Purpose) []PolicyChange {
	path := "purposes." + n.ID
	o := vs[len(vs)-1].byPurpose[n.ID]
	if o == nil {
		row := PolicyChange{Path: path, Purpose: n.ID, Point: PointPurpose, Is: n.Kind}
		for i := range vs {
			if was := vs[i].byPurpose[n.ID]; was != nil {
				row.Reconsent = was.AsksConsent() || n.AsksConsent()
			}
		}
		return []PolicyChange{row}
	}
	var rows []PolicyChange
	asked := o.AsksConsent() || n.AsksConsent()
	differ := func(below, point, was, is string, asks bool) {
		if was != is {
			rows = append(rows, PolicyChange{join(path, below), n.ID, point, was, is, asks && asked})
		}
	}
	texts := func(below, point string, was, is Text) {
		apart := !slices.ContainsFunc(slices.Collect(maps.Keys(was)), func(lang string) bool { _, ok := is[lang]; return ok })
		for _, lang := range languagesOf(was, is) {
			_, before := was[lang]
			_, after := is[lang]
			differ(join(below, lang), point, was[lang], is[lang], apart || before && after)
		}
	}
	texts("title", PointPurpose, o.Title, n.Title)
	differ("kind", PointPurpose, o.Kind, n.Kind, true)
	differ("basis", PointPurpose, o.Basis, n.Basis, true)
	differ("items.mandatory", PointItems, setOf(o.Mandatory), setOf(n.Mandatory), true)
	differ("items.optional", PointItems, setOf(o.Optional), setOf(n.Optional), true)
	oldP := vs[len(vs)-1].Policy
	for _, kind := range p.memberKinds {
		if !o.forKind(kind) || !n.forKind(kind) || !slices.Contains(oldP.memberKinds, kind) {
			continue
		}
		was, is := oldP.byClass[o.Class(kind)], p.byClass[n.Class(kind)]
		differ(join("retention", kind), PointRetention, o.Class(kind)+": "+was.words(), n.Class(kind)+": "+is.words(), !was.same(is))
	}
	texts("refusal", PointRefusal, o.Refusal, n.Refusal)
	differ("member_kinds", "", setOf(o.MemberKinds), setOf(n.MemberKinds), false)
	return rows
}

// recipientChanges compares recipients. For a provision purpose, and for any
// other where only those get something whom the consent names, members are
// asked again where an id means another company or business than when it was
// last in force for the purpose, or a third party or authority gets more items.
// One that is new asks nobody: no consent names it.
func (r *Register) recipientChanges(last *Posted, p *Policy, effectiveAt time.Time) []PolicyChange {
	var rows []PolicyChange
	history := r.recipientHistory(p.id)
	for i := range p.recipients {
		n := &p.recipients[i]
		o := r.wordOn(last, n.ID, effectiveAt)
		asked := false
		for _, id := range n.Purposes {
			pu := p.byPurpose[id]
			was := wasInForce(history, n.ID, id, effectiveAt)
			named := pu.Kind == PurposeProvision || pu.AsksConsent() && n.Kind != RecipientProcessor
			if named && was != nil && !was.means(n, pu) {
				rows = append(rows, PolicyChange{"recipients." + n.ID, id, PointRecipients, was.words(), n.words(), true})
				asked = true
			}
		}
		was := ""
		if o != nil {
			was = o.words()
		}
		if is := n.words(); was != is && !asked {
			rows = append(rows, PolicyChange{Path: "recipients." + n.ID, Was: was, Is: is})
		}
	}
	for _, id := range r.recipientIDs(last) {
		if o := r.wordOn(last, id, effectiveAt); o != nil && p.byRec[id] == nil {
			rows = append(rows, PolicyChange{Path: "recipients." + id, Was: o.words()})
		}
	}
	return rows
}

// wordOn returns what a version, and the changes over it that will have taken
// effect by a time, say of an id; nil for nothing.
func (r *Register) wordOn(v *Posted, id string, at time.Time) *Recipient {
	changes := r.changes[v.id]
	for i := len(changes) - 1; i >= 0; i-- {
		if c := &changes[i]; c.rec.ID == id && v.place < c.versions && at.After(c.effectiveAt) {
			if c.ended {
				return nil
			}
			return &c.rec
		}
	}
	return v.byRec[id]
}

// wasInForce returns what an id was when it was last in force for a purpose
// before a time, nil if it never was.
func wasInForce(history []RecipientState, id, purpose string, before time.Time) *Recipient {
	var found *RecipientState
	for i := range history {
		s := &history[i]
		if s.ID == id && !s.Ended && !s.Never() && s.From.Before(before) && slices.Contains(s.Purposes, purpose) &&
			(found == nil || !s.From.Before(found.From)) {
			found = s
		}
	}
	if found == nil {
		return nil
	}
	return &Recipient{
		ID: id, Name: found.Name, Business: found.Business, Kind: found.Kind, Country: found.Country,
		Purposes: found.Purposes, Items: found.Items,
	}
}

// means reports whether a consent that names o for a purpose covers what n is
// and gets.
func (o *Recipient) means(n *Recipient, pu *Purpose) bool {
	if o.Name != n.Name || o.Business != n.Business || o.Kind != n.Kind || o.Country != n.Country {
		return false
	}
	return n.Kind == RecipientProcessor || !slices.ContainsFunc(n.Items, func(it string) bool { return pu.has(it) && !slices.Contains(o.Items, it) })
}

// A fact is one thing that a policy says, apart from its purposes and recipients.
type fact struct{ path, value string }

// facts returns what a policy says, each under its path in the file.
func (p *Policy) facts() []fact {
	list := []fact{
		{"controller.contact", p.controller.Contact},
		{"controller.officer.name", p.controller.Officer.Name},
		{"controller.officer.contact", p.controller.Officer.Contact},
		{"jurisdictions", setOf(p.jurisdictions)},
		{"notice_days", strconv.Itoa(p.noticeDays)},
		{"answer_days", strconv.Itoa(p.answerDays)},
		{"minimum_age", strconv.Itoa(p.minimumAge)},
		{"minors", map[bool]string{false: "refuse", true: "guardian"}[p.guardian]},
		{"access.retention", p.access},
		{"prohibited", setOf(p.prohibited)},
		{"member_kinds", setOf(p.memberKinds)},
	}
	if d := p.dormancy; d != nil {
		list = append(list, fact{"dormancy.after", d.After.String()}, fact{"dormancy.notice", d.Notice.String()}, fact{"dormancy.destroy_after", d.DestroyAfter.String()})
	}
	if e := p.evidence; e != nil {
		list = append(list, fact{"evidence.retention", e.Class}, fact{"evidence.ground", e.Ground})
	}
	for _, lang := range p.languages {
		digest := p.digests[lang]
		list = append(list, fact{"text." + lang, "SHA-256 " + hex.EncodeToString(digest[:])})
	}
	for i := range p.items {
		it := &p.items[i]
		list = append(list, fact{"items." + it.ID, it.words()})
	}
	for _, c := range p.classes {
		words := c.Rule.words()
		if c.Rule.Basis != "" {
			words += "; " + c.Rule.Basis
		}
		list = append(list, fact{"retention." + c.Name, words})
	}
	for i := range p.exemptions {
		e := &p.exemptions[i]
		list = append(list, fact{"exemptions." + e.ID, e.words()})
	}
	return list
}

// factChanges compares what two policies say, in the order of the new one;
// what is gone comes last.
func factChanges(oldP, newP *Policy) []PolicyChange {
	var rows []PolicyChange
	was, is := oldP.facts(), newP.facts()
	for _, n := range is {
		i := slices.IndexFunc(was, func(o fact) bool { return o.path == n.path })
		switch {
		case i < 0:
			rows = append(rows, PolicyChange{Path: n.path, Is: n.value})
		case was[i].value != n.value:
			rows = append(rows, PolicyChange{Path: n.path, Was: was[i].value, Is: n.value})
		}
	}
	for _, o := range was {
		if !slices.ContainsFunc(is, func(n fact) bool { return n.path == o.path }) {
			rows = append(rows, PolicyChange{Path: o.path, Was: o.value})
		}
	}
	return rows
}

// words says a rule as the policy file does.
func (r Rule) words() string {
	if r.Until != "" {
		return "until " + r.Until
	}
	return r.Keep.String() + " from " + r.From
}

func (rec *Recipient) words() string {
	return strings.Join([]string{rec.Name, rec.Business, rec.Kind, rec.Country, "purposes " + setOf(rec.Purposes), "items " + setOf(rec.Items)}, "; ")
}

func (it *Item) words() string {
	words := []string{textWords(it.Label)}
	for _, m := range []struct {
		is   bool
		word string
	}{{it.Sensitive, "sensitive"}, {it.UniqueID, "unique_id"}, {it.Secret, "secret"}} {
		if m.is {
			words = append(words, m.word)
		}
	}
	if words[0] == "" && len(words) == 1 {
		return it.ID
	}
	return strings.Join(words, "; ")
}

func (e *Exemption) words() string {
	words := []string{textWords(e.Title), e.Basis, "purposes " + setOf(e.Purposes)}
	for _, m := range []struct {
		is   bool
		word string
	}{{e.Anonymised, "anonymised"}, {e.Authority, "recipient authority"}, {e.DespiteSuspension, "despite_suspension"}} {
		if m.is {
			words = append(words, m.word)
		}
	}
	return strings.Join(words, "; ")
}

func textWords(t Text) string {
	var words []string
	for _, lang := range slices.Sorted(maps.Keys(t)) {
		words = append(words, lang+": "+t[lang])
	}
	return strings.Join(words, ", ")
}

func languagesOf(a, b Text) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// setOf writes names whose order means nothing.
func setOf(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
