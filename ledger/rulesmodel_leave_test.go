package ledger

import (
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// named is one purpose of a withdrawal, found under a policy.
type named struct {
	policy, purpose string
	terms           *purposeTerms // as the version has it that stated it last
}

// means finds what a name of a purpose means to a member: those that they decided on, or else
// every one that a policy in force states.
func (m *model) means(l *life, name string) (out []named) {
	policy, purpose, qualified := strings.Cut(name, "/")
	if !qualified {
		policy, purpose = "", name
	}
	for _, p := range m.order {
		if policy != "" && policy != p {
			continue
		}
		t := m.inForce(p, m.now).purpose(purpose)
		for _, s := range stands(l.facts, p, purpose) {
			if t == nil && s.version.purpose(purpose) != nil {
				t = s.version.purpose(purpose)
			}
		}
		if t != nil {
			out = append(out, named{p, purpose, t})
		}
	}
	decided := slices.DeleteFunc(slices.Clone(out), func(n named) bool { return len(stands(l.facts, n.policy, n.purpose)) == 0 })
	if len(decided) > 0 {
		return decided
	}
	return out
}

// forecastWithdrawal says what a withdrawal leads to.
func (m *model) forecastWithdrawal(p *person, w *consent.Withdrawal) *forecast {
	out := &forecast{due: make(map[place]time.Time)}
	if p.living == nil {
		if w.Membership && len(p.ended) > 0 {
			out.refuse("nothing_to_withdraw")
		} else {
			out.refuse("unknown_member")
		}
		return out
	}
	if !w.OccurredAt.IsZero() && w.OccurredAt.After(m.now.Add(5*time.Minute)) {
		out.refuse("occurred_at_in_future")
	}
	if w.Membership {
		if len(w.Purposes)+len(w.Items) > 0 {
			out.refuse("invalid_scope")
		}
		if len(out.refusals) == 0 {
			m.leave(p.living, out)
		}
		return out
	}
	if len(w.Purposes) == 0 {
		out.refuse("purposes_required")
	}
	if w.Items != nil && len(w.Items) == 0 {
		out.refuse("items_required")
	}
	l := p.living
	var meant []string
	for _, name := range w.Purposes {
		for _, n := range m.means(l, name) {
			meant = append(meant, n.policy+"/"+n.purpose)
		}
	}
	if twice(meant, func(s string) string { return s }) {
		out.refuse("duplicate_purpose")
	}
	m.withdraw(p.living, w, out)
	return out
}

// withdraw takes back purposes, or optional items of them.
func (m *model) withdraw(l *life, w *consent.Withdrawal, out *forecast) {
	var taken, all []named
	some := false // something is taken back
	if !m.haveItems(l, w) {
		out.refuse("unknown_item")
	}
	for _, name := range w.Purposes {
		all = append(all, m.means(l, name)...)
	}
	for _, name := range w.Purposes {
		meant := m.means(l, name)
		if len(meant) == 0 {
			out.refuse("unknown_purpose")
			continue
		}
		for _, n := range meant {
			standing := slices.DeleteFunc(stands(l.facts, n.policy, n.purpose), func(s *stand) bool {
				return !s.yes()
			})
			if overlap(w.Items, n.terms.must) {
				out.refuse("mandatory_item")
			}
			if len(standing) == 0 {
				if len(w.Items) == 0 && n.terms.basis != "consent" {
					out.refuse("not_a_choice")
				}
				if len(w.Items) == 0 && leftOpen(l, all, n) {
					taken, some = append(taken, n), true
				}
				continue
			}
			if len(w.Items) == 0 && n.terms.basis != "consent" && !slices.ContainsFunc(standing, func(s *stand) bool { return s.basis == "consent" }) {
				out.refuse("not_a_choice")
			}
			taken = append(taken, n)
			some = some || len(w.Items) == 0 || slices.ContainsFunc(standing, func(s *stand) bool { return overlap(s.items, w.Items) })
		}
	}
	if !some {
		out.refuse("nothing_to_withdraw")
	}
	if len(out.refusals) > 0 {
		return
	}
	// Whoever takes back every item of a purpose takes back the purpose.
	whole := slices.DeleteFunc(slices.Clone(taken), func(n named) bool {
		return len(w.Items) > 0 && slices.ContainsFunc(stands(l.facts, n.policy, n.purpose), func(s *stand) bool {
			return s.yes() && len(without(s.items, w.Items)) > 0
		})
	})
	for _, policy := range m.order {
		var wholly, partly []saying
		for _, n := range taken {
			switch {
			case n.policy != policy:
			case slices.Contains(whole, n):
				wholly = append(wholly, saying{policy: policy, purpose: n.purpose, word: "withdrew"})
			default:
				partly = append(partly, saying{policy: policy, purpose: n.purpose, word: "withdrew items", items: w.Items})
			}
		}
		v := m.inForce(policy, m.now)
		for _, says := range [][]saying{wholly, partly} {
			if len(says) == 0 {
				continue
			}
			out.facts = append(out.facts, &noted{at: m.now, where: m.home(l, policy), kind: "withdrawal", policy: policy, version: v, says: says, asleep: m.dormant(l, m.now)})
			if v.evidence != "" {
				out.facts = append(out.facts, &noted{at: m.now, where: place{class: policy + "/" + v.evidence}, kind: "withdrawal", copy: true, says: says})
			}
		}
	}
	after := append(slices.Clone(l.facts), out.facts...)
	for w := range l.keys {
		r := rules[w.class]
		if r.until != "purpose" && (!byReference(w.class) || r.law != "" || r.until == "outcome") {
			continue
		}
		took, left := false, false
		for _, f := range l.facts {
			if f.where == w {
				took = took || f.concerns(whole)
				left = left || slices.ContainsFunc(f.says, func(s saying) bool { return yesAt(after, s.policy, s.purpose, w) })
			}
		}
		if took && !left {
			out.dies = append(out.dies, w)
		}
	}
	if len(w.Items) > 0 {
		out.notify = holders(l.facts, func(f *noted) bool { return f.concerns(all) }, w.Items)
	} else {
		out.notify = holders(l.facts, func(f *noted) bool { return f.concerns(all) || slices.Contains(out.dies, f.where) }, nil)
	}
	for w := range l.keys {
		about := slices.ContainsFunc(l.facts, func(f *noted) bool { return f.where == w && f.kind != "withdrawal" && f.concerns(whole) })
		if about && !slices.Contains(out.dies, w) {
			out.kept = append(out.kept, m.keptRow(l, w, keptUntil(after, w)))
		}
	}
}

// leftOpen says whether a class until the withdrawal of its purposes is there for nothing but a yes
// that a no has since taken back, and what else is withdrawn: a no is no withdrawal, and left it.
func leftOpen(l *life, all []named, n named) bool {
	said := stands(l.facts, n.policy, n.purpose)
	if len(said) == 0 || said[len(said)-1].word != "refused" {
		return false
	}
	for w := range l.keys {
		if rules[w.class].until != "purpose" {
			continue
		}
		once, needed := false, false
		for _, f := range l.facts {
			if f.where != w || f.kind != "consent" {
				continue
			}
			for _, s := range f.says {
				once = once || s.policy == n.policy && s.purpose == n.purpose && s.word == "granted"
				other := named{policy: s.policy, purpose: s.purpose}
				taken := slices.ContainsFunc(all, func(o named) bool { return o.policy == other.policy && o.purpose == other.purpose })
				needed = needed || !taken && slices.ContainsFunc(stands(l.facts, s.policy, s.purpose), (*stand).yes)
			}
		}
		if once && !needed {
			return true
		}
	}
	return false
}

// holders lists who was given items by some of the disclosures; with items, only who has one of them.
func holders(facts []*noted, which func(*noted) bool, items []string) (out []notifyRow) {
	for _, f := range facts {
		if f.kind != "disclosure" || !which(f) {
			continue
		}
		i := slices.IndexFunc(out, func(r notifyRow) bool { return r.recipient == f.recipient })
		for _, item := range f.items {
			if items != nil && !slices.Contains(items, item) {
				continue
			}
			if i < 0 {
				out, i = append(out, notifyRow{recipient: f.recipient}), len(out)
			}
			if !slices.Contains(out[i].items, item) {
				out[i].items = append(out[i].items, item)
			}
		}
	}
	return out
}

// concerns says whether a fact is about one of some purposes.
func (f *noted) concerns(list []named) bool {
	return slices.ContainsFunc(list, func(n named) bool {
		return f.policy == n.policy && f.purpose == n.purpose ||
			slices.ContainsFunc(f.says, func(s saying) bool { return s.policy == n.policy && s.purpose == n.purpose })
	})
}

// keptUntil is until when what is in a place is kept while the membership lasts: zero where an event decides.
func keptUntil(facts []*noted, w place) time.Time {
	r, until := rules[w.class], time.Time{}
	for _, f := range facts {
		if f.where == w && r.from == "entry" {
			until = late(f.at, r.keep)
		}
	}
	return until
}

// haveItems says whether each item is one of some purpose that is named, by the version in force or
// by the one that was agreed to.
func (m *model) haveItems(l *life, w *consent.Withdrawal) bool {
	for _, i := range w.Items {
		found := false
		for _, name := range w.Purposes {
			for _, n := range m.means(l, name) {
				for _, s := range stands(l.facts, n.policy, n.purpose) {
					found = found || n.terms.has(i) || slices.Contains(s.items, i)
				}
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// yesAt says whether a yes to a purpose that is kept in a place still stands.
func yesAt(facts []*noted, policy, purpose string, w place) bool {
	return slices.ContainsFunc(stands(facts, policy, purpose), func(s *stand) bool { return s.yes() && s.where == w })
}

// home is the membership's class of a member under a policy.
func (m *model) home(l *life, policy string) place {
	return place{class: m.inForce(policy, m.now).membershipClass(kindUnder(l.facts, policy))}
}

// leave ends a membership: each key dies, or is kept for what its class says.
func (m *model) leave(l *life, out *forecast) {
	out.ended = true
	out.notify = holders(l.facts, func(*noted) bool { return true }, nil)
	for _, policy := range m.order {
		v := m.inForce(policy, m.now)
		if v != nil && v.evidence != "" && kindUnder(l.facts, policy) != "" {
			out.facts = append(out.facts, &noted{at: m.now, where: place{class: policy + "/" + v.evidence}, kind: "withdrawal", copy: true})
		}
	}
	after := append(slices.Clone(l.facts), out.facts...)
	for w := range l.keys {
		stays, until := m.atLeaving(after, w)
		if byReference(w.class) && !l.keys[w].due.IsZero() {
			stays = false // it has ended, and only a hold keeps it
		}
		if !stays {
			out.dies = append(out.dies, w)
			continue
		}
		out.kept = append(out.kept, m.keptRow(l, w, until))
		if rules[w.class].from != "entry" {
			out.due[w] = until
		}
	}
}

// keptRow says until when a class is kept, which a hold may make longer.
func (m *model) keptRow(l *life, w place, until time.Time) keptRow {
	if held := l.heldUntil(w, m.now); !until.IsZero() && held.After(until) {
		until = held
	}
	return keptRow{className(w.class), until}
}

// atLeaving says whether a key outlives the membership, and until when.
func (m *model) atLeaving(facts []*noted, w place) (stays bool, until time.Time) {
	mine := slices.DeleteFunc(slices.Clone(facts), func(f *noted) bool { return f.where != w })
	r := rules[w.class]
	switch {
	case len(mine) == 0:
		return false, time.Time{}
	case r.from == "entry":
		until = late(mine[len(mine)-1].at, r.keep)
		return until.After(m.now), until
	case r.from == "withdrawal":
		return true, late(m.now, r.keep)
	case r.until == "withdrawal":
		// What a purchasing member was before belongs to what has to be kept of them.
		if k := buyers(facts, w.class); k != nil {
			return true, late(m.now, k.keep)
		}
		return false, time.Time{}
	case r.until == "delivery" || r.until == "event":
		owed := slices.ContainsFunc(mine, func(f *noted) bool {
			return f.kind == "consent" && slices.ContainsFunc(f.says, func(s saying) bool { return s.basis != "consent" })
		})
		return owed || r.law != "", time.Time{}
	}
	return false, time.Time{}
}

// buyers is the rule by which a class until withdrawal is kept all the same, because the member came
// to be of a kind whose membership is kept for a time from the withdrawal. What is recorded once they
// are of another kind again has no such duty.
func buyers(facts []*noted, class string) *rule {
	if class != "shop/membership" {
		return nil
	}
	before := false
	for _, f := range facts {
		before = before || f.where.class == class && slices.ContainsFunc(f.says, func(s saying) bool { return s.purpose == "membership" || s.purpose == "profile" })
		if before && f.policy == "shop" && f.member == "buyer" {
			r := rules["shop/buyers"]
			return &r
		}
	}
	return nil
}
