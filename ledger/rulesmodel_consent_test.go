package ledger

import (
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// A forecast is what the model says that a call will lead to.
type forecast struct {
	life     *life               // of whom; nil: the living membership
	refusals []string            // codes that apply; any of them will do
	facts    []*noted            // that will be recorded
	opens    []place             // keys that will be there, if nothing is under them
	dies     []place             // keys that will be destroyed
	due      map[place]time.Time // of keys that are to die later
	ended    bool
	kept     []keptRow
	notify   []notifyRow
	late     time.Time // of a request: when its answer is
}

type keptRow struct {
	class string
	until time.Time // zero: an event decides
}

type notifyRow struct {
	recipient string
	items     []string
}

func (f *forecast) refuse(code string) { f.refusals = append(f.refusals, code) }

// consentAsked is a consent, with what the model looks at.
type consentAsked struct {
	m     *model
	c     *consent.Consent
	life  *life // nil: an enrolment
	v     *version
	kind  string
	terms []*purposeTerms // of each decision; nil: not stated
}

// consentChecks are the reasons for which a consent is refused.
var consentChecks = []struct {
	code    string
	applies func(*consentAsked) bool
}{
	{"unknown_member_kind", func(a *consentAsked) bool { return a.c.MemberKind != "" && !slices.Contains(a.v.kinds, a.c.MemberKind) }},
	{"member_kind_required", func(a *consentAsked) bool { return a.kind == "" }},
	{"decisions_required", func(a *consentAsked) bool { return len(a.c.Decisions) == 0 }},
	{"method_required", func(a *consentAsked) bool { return a.c.Method == "" }},
	{"not_a_consent", func(a *consentAsked) bool { return a.c.Method == "implied" }},
	{"locale_required", func(a *consentAsked) bool { return a.c.Locale == "" }},
	{"locale_not_in_policy", func(a *consentAsked) bool { return a.c.Locale == "fr" && a.c.ShownDigest == nil }},
	{"occurred_at_required", func(a *consentAsked) bool { return a.c.OccurredAt.IsZero() }},
	{"occurred_at_in_future", func(a *consentAsked) bool { return a.c.OccurredAt.After(a.m.now.Add(5 * time.Minute)) }},
	{"age_not_stated", func(a *consentAsked) bool {
		return a.needsAge() && a.c.BirthDate == nil && !a.c.MinimumAgeConfirmed && a.c.Guardian == nil
	}},
	{"under_age", func(a *consentAsked) bool { return a.minor() && !a.v.guardian }},
	{"guardian_required", func(a *consentAsked) bool {
		return a.c.Guardian == nil && (a.minor() && a.v.guardian || a.guarded() && !a.saysNo() && a.c.BirthDate == nil)
	}},
	{"guardian_not_accepted", func(a *consentAsked) bool { return a.c.Guardian != nil && !a.v.guardian }},
	{"unknown_purpose", func(a *consentAsked) bool { return slices.Contains(a.terms, nil) }},
	{"duplicate_purpose", func(a *consentAsked) bool {
		return twice(a.c.Decisions, func(d consent.Decision) string { return d.Purpose })
	}},
	{"purpose_not_for_member_kind", each(func(a *consentAsked, t *purposeTerms, _ consent.Decision) bool {
		return a.kind != "" && !t.forKind(a.kind)
	})},
	{"not_a_choice", each(func(_ *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return !grants(d) && t.basis != "consent"
	})},
	{"items_not_refused_alone", each(func(_ *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return !grants(d) && len(d.Items) > 0 && !within(t.must, d.Items)
	})},
	{"not_cookies", each(func(_ *consentAsked, t *purposeTerms, d consent.Decision) bool { return d.Ask && t.kind != "cookies" })},
	{"prohibited_item", each(func(_ *consentAsked, _ *purposeTerms, d consent.Decision) bool {
		return slices.Contains(d.Items, "religion")
	})},
	{"unknown_item", each(func(a *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return slices.ContainsFunc(d.Items, func(i string) bool {
			return !t.has(i) && i != "religion" && !slices.Contains(a.v.sensitive, i)
		})
	})},
	{"sensitive_item", each(func(a *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return slices.ContainsFunc(d.Items, func(i string) bool { return !t.has(i) && slices.Contains(a.v.sensitive, i) })
	})},
	{"duplicate_item", each(func(_ *consentAsked, _ *purposeTerms, d consent.Decision) bool {
		return twice(d.Items, func(s string) string { return s })
	})},
	{"mandatory_item_missing", each(func(_ *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return grants(d) && len(d.Items) > 0 && !within(t.must, d.Items)
	})},
	{"items_required", each(func(_ *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return grants(d) && len(d.Items) == 0 && len(t.must) == 0
	})},
	{"unknown_recipient", each(func(a *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return slices.ContainsFunc(d.Recipients, func(r string) bool { return a.m.partyOf(a.v, r, a.m.now) == nil })
	})},
	{"recipient_not_for_purpose", each(func(a *consentAsked, t *purposeTerms, d consent.Decision) bool {
		return slices.ContainsFunc(d.Recipients, func(r string) bool {
			p := a.m.partyOf(a.v, r, a.m.now)
			return p != nil && !slices.Contains(p.purposes, t.name)
		})
	})},
	{"duplicate_recipient", each(func(_ *consentAsked, _ *purposeTerms, d consent.Decision) bool {
		return twice(d.Recipients, func(s string) string { return s })
	})},
	{"reference_required", each(func(a *consentAsked, t *purposeTerms, _ consent.Decision) bool {
		return a.c.Reference == "" && t.forKind(a.kind) && byReference(a.v.classFor(t, a.kind))
	})},
}

func each(f func(*consentAsked, *purposeTerms, consent.Decision) bool) func(*consentAsked) bool {
	return func(a *consentAsked) bool {
		for i, t := range a.terms {
			if t != nil && f(a, t, a.c.Decisions[i]) {
				return true
			}
		}
		return false
	}
}

func twice[T any](list []T, key func(T) string) bool {
	for i, x := range list {
		if slices.ContainsFunc(list[:i], func(y T) bool { return key(x) == key(y) }) {
			return true
		}
	}
	return false
}

// needsAge says whether an age has to be stated: with the first consent under a policy, and each time
// by who came with a guardian and says yes to something.
func (a *consentAsked) needsAge() bool {
	if a.v.minAge == 0 {
		return false
	}
	return a.guarded() && !a.saysNo() || !a.statedAge()
}

func (a *consentAsked) statedAge() bool {
	return slices.ContainsFunc(a.life.list(), func(f *noted) bool {
		return f.aged != "" && !f.copy && f.policy == a.v.policy
	})
}

// saysNo says whether a member who is under the policy already says yes to nothing, which a child may alone.
func (a *consentAsked) saysNo() bool {
	return a.statedAge() && !slices.ContainsFunc(a.c.Decisions, func(d consent.Decision) bool { return d.Granted && !d.Ask })
}

// guarded says whether the member was too young to consent alone when the age was last stated.
func (a *consentAsked) guarded() bool {
	aged := ""
	for _, f := range a.life.list() {
		if f.aged != "" && !f.copy {
			aged = f.aged
		}
	}
	return aged == "guardian"
}

func (a *consentAsked) minor() bool {
	b := a.c.BirthDate
	if b == nil {
		return false
	}
	y, mo, d := a.m.now.In(seoul).Date()
	return time.Date(b.Year+a.v.minAge, b.Month, b.Day, 0, 0, 0, 0, seoul).After(time.Date(y, mo, d, 0, 0, 0, 0, seoul))
}

// kindUnder is the kind of member that somebody is under a policy.
func kindUnder(facts []*noted, policy string) string {
	kind := ""
	for _, f := range facts {
		if f.policy == policy && f.member != "" && !f.copy {
			kind = f.member
		}
	}
	return kind
}

func (l *life) list() []*noted {
	if l == nil {
		return nil
	}
	return l.facts
}

// forecastConsent says what a consent leads to.
func (m *model) forecastConsent(p *person, c *consent.Consent) *forecast {
	out := &forecast{}
	if p.living != nil {
		m.awake(p, out)
	}
	if m.endedForAll[consent.EventDelivered+c.Reference] || m.endedForAll[consent.EventEnded+c.Reference] {
		out.refuse("reference_ended")
	}
	if p.living == nil && !c.Enrol {
		out.refuse("unknown_member")
		return out
	}
	if m.versions[c.Policy] == nil {
		out.refuse("unknown_policy")
		return out
	}
	v := m.version(c.Policy, c.PolicyVersion)
	if v == nil {
		out.refuse("unknown_policy_version")
		return out
	}
	if m.inForce(c.Policy, m.now) != v {
		out.refuse("policy_version_not_in_force")
		return out
	}
	a := &consentAsked{m: m, c: c, life: p.living, v: v, kind: c.MemberKind}
	before := kindUnder(p.living.list(), c.Policy)
	if a.kind == "" {
		a.kind = before
	}
	if a.kind == "" && len(v.kinds) == 1 {
		a.kind = v.kinds[0]
	}
	for _, d := range c.Decisions {
		a.terms = append(a.terms, v.purpose(d.Purpose))
	}
	for _, k := range consentChecks {
		if k.applies(a) {
			out.refuse(k.code)
		}
	}
	if len(out.refusals) > 0 {
		return out
	}
	out.facts = a.record(before)
	out.opens = []place{v.looks()}
	return out
}

// record says which facts a consent becomes: one for each class that its purposes fall in, one in
// the membership's class if the kind of member is new there, what takes something back also where
// an older yes is kept, and proof.
func (a *consentAsked) record(before string) []*noted {
	var out []*noted
	add := func(w place) *noted {
		for _, f := range out {
			if f.where == w {
				return f
			}
		}
		f := &noted{at: a.m.now, where: w, kind: "consent", policy: a.v.policy, version: a.v, member: a.kind, aged: a.aged()}
		out = append(out, f)
		return f
	}
	for i, d := range a.c.Decisions {
		w := place{class: a.v.classFor(a.terms[i], a.kind)}
		if byReference(w.class) {
			w.ref = a.c.Reference
		}
		f := add(w)
		f.says = append(f.says, a.saying(i, d))
	}
	if home := (place{class: a.v.membershipClass(a.kind)}); a.kind != before || a.aged() == "guardian" && !a.guarded() {
		add(home)
	}
	own := len(out)
	for _, f := range out[:own] {
		for _, s := range f.says {
			for _, w := range a.olderYes(f.where, s) {
				g := add(w)
				if !slices.ContainsFunc(g.says, func(t saying) bool { return t.purpose == s.purpose }) {
					g.says = append(g.says, s)
				}
			}
		}
	}
	if a.v.evidence != "" {
		proof := &noted{at: a.m.now, where: place{class: a.v.policy + "/" + a.v.evidence}, kind: "consent", copy: true}
		for _, f := range out {
			proof.says = append(proof.says, f.says...)
		}
		out = append(out, proof)
	}
	return out
}

func (a *consentAsked) aged() string {
	switch {
	case a.v.minAge == 0:
		return ""
	case a.c.Guardian != nil && (a.c.BirthDate == nil || a.minor()):
		return "guardian"
	case a.c.BirthDate != nil:
		return "birth date"
	case a.c.MinimumAgeConfirmed && !(a.guarded() && a.saysNo()):
		return "confirmed"
	}
	return ""
}

func (a *consentAsked) saying(i int, d consent.Decision) saying {
	t := a.terms[i]
	s := saying{policy: a.v.policy, purpose: t.name, word: "refused", items: d.Items, basis: t.basis}
	if d.Ask {
		s.word = "ask"
	}
	if grants(d) {
		s.word, s.items, s.parties = "granted", d.Items, d.Recipients
		if len(s.items) == 0 {
			s.items = t.must
		}
		if d.Recipients == nil && t.kind == "provision" {
			for _, p := range a.m.partiesOf(a.v, a.m.now) {
				// Whoever joined since then is not in the text that was shown.
				if slices.Contains(p.purposes, t.name) && a.v.party(p.id) != nil {
					s.parties = append(s.parties, p.id)
				}
			}
		}
	}
	return s
}

// olderYes lists the other places that keep a yes from which the saying takes something back.
func (a *consentAsked) olderYes(own place, s saying) []place {
	if a.life == nil {
		return nil
	}
	var out []place
	for _, f := range a.life.facts {
		w := f.where
		if f.copy || w == own || slices.Contains(out, w) || own.ref != "" && w.ref != "" && own.ref != w.ref {
			continue
		}
		there := slices.DeleteFunc(slices.Clone(a.life.facts), func(f *noted) bool { return f.where != w && f.kind != "withdrawal" })
		for _, o := range stands(there, s.policy, s.purpose) {
			if o.where == w && o.yes() && (s.word != "granted" || !within(o.items, s.items) || !within(o.parties, s.parties)) {
				out = append(out, w)
			}
		}
	}
	return out
}

// grants says whether a decision is a yes. Who is to be asked each time has not said one.
func grants(d consent.Decision) bool { return d.Granted && !d.Ask }
