package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// twoPolicies are the sample policy with proof of consents, and another policy
// of the same shop that states purposes of the same names, and keeps what is
// agreed to for one of them in one class or another, both of which die alone.
func twoPolicies(t *testing.T) *consent.Register {
	t.Helper()
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics", "items: {mandatory: [email]}\n    retention: membership\n", "items: {mandatory: [email], optional: [name]}\n    retention: {member: records, buyer: papers}\n",
		"records: {keep: 3y, basis: consumer law}\n", "records: {keep: 3y, basis: consumer law}\n  papers: {keep: 1y, basis: consumer law}\n").Replace(small)
	haim := strings.Replace(string(policies.Haim()), "purposes:\n", "evidence: {retention: complaint, ground: GDPR 17(3)(e)}\npurposes:\n", 1)
	return register(t, []byte(haim), []byte(second))
}

// A life is a book to which random calls happen.
type life struct {
	*book
	t        *rapid.T
	now      time.Time
	policies []*consent.Policy
	counts   map[string]int
	ids      int
	open     map[string][]string // corrections, requests and holds that may be open
}

func newLife(t *rapid.T, r *consent.Register, counts map[string]int) *life {
	l := &life{book: newBook(t, r), t: t, now: noon, counts: counts, open: map[string][]string{}}
	for _, p := range r.Policies() {
		l.policies = append(l.policies, p.Policy)
	}
	return l
}

func (l *life) flip(what string) bool            { return rapid.Bool().Draw(l.t, what) }
func (l *life) upTo(n int, what string) int      { return rapid.IntRange(0, n).Draw(l.t, what) }
func (l *life) pick(s []string, w string) string { return rapid.SampledFrom(s).Draw(l.t, w) }

func (l *life) id(prefix string) string {
	l.ids++
	id := fmt.Sprintf("%s_%d", prefix, l.ids)
	l.open[prefix] = append(l.open[prefix], id)
	return id
}

// step makes one call. What the rules refuse leaves no trace.
func (l *life) step() {
	l.now = l.now.Add(time.Duration(l.upTo(10, "hours")) * time.Hour)
	if l.upTo(9, "time passes") == 0 {
		l.now = l.now.AddDate(0, l.upTo(14, "months"), l.upTo(31, "days"))
	}
	calls := []struct {
		name string
		make func() (*consent.Plan, error)
	}{
		{"consent", l.decide},
		{"consent", l.decide},
		{"consent", l.decide},
		{"withdrawal", l.takeBack},
		{"correction", func() (*consent.Plan, error) {
			v := "value"
			return l.correct(&consent.Correction{Changes: []consent.Change{{Item: l.pick(l.itemNames(), "item"), New: &v}}}, l.id("cor"), l.now)
		}},
		{"outcome", func() (*consent.Plan, error) {
			return l.outcome(&consent.CorrectionOutcome{Correction: l.known("cor"), Outcome: l.pick([]string{"corrected", "rejected"}, "outcome")}, l.now)
		}},
		{"request", func() (*consent.Plan, error) {
			return l.request(l.pick([]string{"suspension", "access"}, "right"), l.id("rqt"), l.now)
		}},
		{"answer", func() (*consent.Plan, error) {
			return l.answer(&consent.RequestOutcome{Request: l.known("rqt"), Outcome: l.pick([]string{"granted", "refused", "lifted"}, "answer"), Reason: "because"}, l.now)
		}},
		{"notice", func() (*consent.Plan, error) {
			n := dormancyNotice(consent.NoticeSent, l.now)
			if l.flip("of a correction") {
				n = &consent.Notice{Kind: "correction", Member: somebody, Recipient: l.pick([]string{"it-vendor", "partner-brand", "parcel-co"}, "told"), Correction: l.known("cor"), Channel: "email", SentAt: l.now, Outcome: "sent"}
			}
			return l.notice(n, l.id("ntc"), l.now)
		}},
		{"hold", func() (*consent.Plan, error) {
			class := "newsletter"
			if len(l.keys) > 0 {
				class = string(rapid.SampledFrom(l.keys).Draw(l.t, "held").Class)
			}
			h := &consent.Hold{Classes: []string{class}, Ground: "a case", Until: l.now.AddDate(0, 1+l.upTo(20, "held for"), 0)}
			return l.hold(h, l.id("hld"), l.now)
		}},
		{"release", func() (*consent.Plan, error) { return l.release(l.known("hld"), l.now) }},
		{"event", func() (*consent.Plan, error) {
			return l.event(l.pick([]string{consent.EventDelivered, consent.EventEnded}, "ends"), l.reference(), l.now)
		}},
		{"activity", func() (*consent.Plan, error) { return l.active(l.now) }},
		{"signal", func() (*consent.Plan, error) {
			return l.signal(&consent.Signal{Signal: "gpc", Value: true, OccurredAt: l.now}, l.now)
		}},
		{"reactivation", func() (*consent.Plan, error) { return l.reactivate("sign_in", l.now) }},
		{"disclosure", func() (*consent.Plan, error) {
			d := l.disclosures()[l.upTo(len(l.disclosures())-1, "disclosure")]
			return l.disclose(&d, l.now)
		}},
		{"look", func() (*consent.Plan, error) { return l.look(&consent.Access{Who: "op", Reason: "because"}, l.now) }},
		{"sweep", func() (*consent.Plan, error) { l.sweep(l.now); return nil, nil }},
	}
	call := calls[l.upTo(len(calls)-1, "call")]
	before := l.answers()
	if _, err := call.make(); err != nil {
		return
	}
	l.counts[call.name]++
	switch call.name {
	case "withdrawal", "release", "event", "sweep", "hold", "notice", "activity", "signal", "look":
		// None of them gives anybody a right to anything.
		l.noMore(before, call.name)
	}
	l.onlyWhatWasConsentedTo(call.name)
}

// onlyWhatWasConsentedTo fails if something is allowed that the member did not
// say yes to, or no longer does, and that no exemption covers.
func (l *life) onlyWhatWasConsentedTo(after string) {
	l.t.Helper()
	for _, q := range l.questions() {
		policy, purpose, full := strings.Cut(q.Purpose, "/")
		if full && len(q.Items) > 0 && l.r.Decide(l.f, &q, l.now).Allowed {
			l.counts["a yes"]++
			if l.ended || !l.consented(policy, purpose, q.Items) {
				l.t.Fatalf("after %s %s may use %v, which was not consented to", after, q.Purpose, q.Items)
			}
		}
	}
	for _, d := range l.disclosures() {
		if _, err := l.r.PlanDisclosure(l.f, l.keys, &d, l.now); d.Basis != "" || err != nil {
			continue
		}
		l.counts["a disclosure that may be made"]++
		if !slices.ContainsFunc(l.policies, func(p *consent.Policy) bool { return l.consented(p.ID(), d.Purpose, d.Items) }) {
			l.t.Fatalf("after %s %s may be given %v for %s, which was not consented to", after, d.Recipient, d.Items, d.Purpose)
		}
	}
}

func (l *life) known(prefix string) string {
	ids := l.open[prefix]
	switch {
	case len(ids) == 0:
		return prefix + "_0"
	case l.flip("the last " + prefix):
		return ids[len(ids)-1]
	}
	return l.pick(ids, "which")
}

func (l *life) reference() string { return l.pick([]string{"1", "2", "3"}, "reference") }

func (l *life) decide() (*consent.Plan, error) {
	p := l.policies[l.upTo(len(l.policies)-1, "policy")]
	kind := l.pick(p.MemberKinds(), "kind")
	c := haimConsent(kind)
	c.Policy, c.PolicyVersion, c.Reference, c.OccurredAt = p.ID(), p.Version(), l.reference(), l.now
	for _, pu := range p.Purposes() {
		if len(pu.MemberKinds) > 0 && !slices.Contains(pu.MemberKinds, kind) || l.upTo(3, "decides on "+pu.ID) > 0 {
			continue
		}
		d := consent.Decision{Purpose: pu.ID, Granted: !pu.AsksConsent() || l.upTo(2, "grants") > 0}
		if d.Granted {
			d.Items = slices.Clone(pu.Mandatory)
			for _, it := range pu.Optional {
				if l.flip("optional " + it) {
					d.Items = append(d.Items, it)
				}
			}
		} else {
			d.Ask = pu.Kind == consent.PurposeCookies && l.flip("ask")
		}
		c.Decisions = append(c.Decisions, d)
	}
	return l.consent(c, l.now)
}

func (l *life) takeBack() (*consent.Plan, error) {
	p := l.policies[l.upTo(len(l.policies)-1, "policy")]
	pu := rapid.SampledFrom(p.Purposes()).Draw(l.t, "purpose")
	w := &consent.Withdrawal{Purposes: []string{pu.ID}}
	if l.flip("of one policy") {
		w.Purposes[0] = p.ID() + "/" + pu.ID
	}
	if len(pu.Optional) > 0 && l.flip("only an item") {
		w.Items = []string{l.pick(pu.Optional, "item")}
	}
	return l.withdraw(w, l.now)
}

// questions ask about every purpose by its plain and its full name, about all
// its items and each of them, of one order or event and of each recipient.
func (l *life) questions() []consent.Question {
	var all []consent.Question
	for _, p := range l.policies {
		for _, pu := range p.Purposes() {
			for _, name := range []string{pu.ID, p.ID() + "/" + pu.ID} {
				all = append(all, consent.Question{Purpose: name}, consent.Question{Purpose: name, Reference: "1"})
				for _, it := range slices.Concat(pu.Mandatory, pu.Optional) {
					all = append(all, consent.Question{Purpose: name, Items: []string{it}})
				}
				for _, rec := range p.Recipients() {
					if slices.Contains(rec.Purposes, pu.ID) {
						all = append(all, consent.Question{Purpose: name, Items: rec.Items[:1], Recipient: rec.ID})
					}
				}
			}
		}
	}
	return all
}

func (l *life) disclosures() []consent.Disclosure {
	var all []consent.Disclosure
	for _, p := range l.policies {
		for _, rec := range p.Recipients() {
			for _, purpose := range rec.Purposes {
				for _, reference := range []string{"", "1", "2"} {
					all = append(all, consent.Disclosure{Recipient: rec.ID, Purpose: purpose, Items: rec.Items[:1], Reference: reference, OccurredAt: l.now})
				}
			}
		}
	}
	for _, basis := range []string{"legal_process", "safety"} {
		for _, purpose := range []string{"haim/membership", "haim/marketing", "haim/promotion", "haim/order"} {
			all = append(all, consent.Disclosure{Recipient: "court", Purpose: purpose, Items: []string{"name"}, Basis: basis, Reference: "1", OccurredAt: l.now})
		}
	}
	return all
}

// answers are what the rules say to each question and of each disclosure, and
// what each was.
func (l *life) answers() map[string]bool {
	return ask(l, l.f, l.keys)
}

func ask(l *life, f *consent.Fold, keys []consent.KeyState) map[string]bool {
	all := map[string]bool{}
	for _, q := range l.questions() {
		all[fmt.Sprintf("%s %v to %s for %s", q.Purpose, q.Items, q.Recipient, q.Reference)] = l.r.Decide(f, &q, l.now).Allowed
	}
	for _, d := range l.disclosures() {
		_, err := l.r.PlanDisclosure(f, keys, &d, l.now)
		all[fmt.Sprintf("giving %s %v to %s for %s by %s", d.Purpose, d.Items, d.Recipient, d.Reference, d.Basis)] = err == nil
	}
	return all
}

// noMore fails if something is allowed that was not.
func (l *life) noMore(before map[string]bool, after string) {
	l.t.Helper()
	for what, yes := range l.answers() {
		if yes && !before[what] {
			l.t.Fatalf("after %s %s is allowed, and was not", after, what)
		}
	}
}

// without returns the state of the member when some keys are destroyed, and of
// ratchets what is older than a day.
func (l *life) without(gone func(k consent.KeyName, day consent.Day) bool) (*consent.Fold, []consent.KeyState) {
	left := slices.DeleteFunc(slices.Clone(l.entries), func(e line) bool { return gone(e.key, l.r.Day(e.at)) })
	keys := slices.DeleteFunc(slices.Clone(l.keys), func(k consent.KeyState) bool {
		return !slices.ContainsFunc(left, func(e line) bool { return e.key == k.KeyName })
	})
	f := fold(left)
	if l.ended {
		f.MarkWithdrawn()
	}
	return f, keys
}

// diesAlone reports whether a key can be destroyed while the membership lives.
func diesAlone(r *consent.Register, k consent.KeyName) bool {
	rule, _ := r.Rule(k.Class)
	return rule.Until != consent.UntilWithdrawal && rule.From != consent.FromWithdrawal
}

// endsIt reports whether entry j ends what entry i said yes to.
func (l *life) endsIt(i, j int, e consent.Event, policy, purpose string, items []string, grants func(consent.Decision) bool) bool {
	one, other := l.entries[i].key, l.entries[j].key
	switch {
	case e.Kind == consent.KindEventEnd:
		return one == other
	case e.Policy != policy || e.Copy:
		return false
	case e.Kind == consent.KindWithdrawal:
		return slices.Contains(e.Purposes, purpose) && (len(e.Items) == 0 || slices.ContainsFunc(items, func(it string) bool { return slices.Contains(e.Items, it) }))
	}
	if one.Class == other.Class && one != other {
		return false // another order or event
	}
	if l.saidOfAnother(i, j, purpose, grants) {
		return false
	}
	return slices.ContainsFunc(e.Decisions, func(d consent.Decision) bool { return d.Purpose == purpose && !grants(d) })
}

// saidOfAnother reports whether entry j only writes down again, under a key for
// all orders or events, what was said of another one than that of entry i.
func (l *life) saidOfAnother(i, j int, purpose string, grants func(consent.Decision) bool) bool {
	return slices.ContainsFunc(l.entries, func(e line) bool {
		return e.key.Class == l.entries[i].key.Class && e.key != l.entries[i].key && e.at.Equal(l.entries[j].at) &&
			slices.ContainsFunc(must(consent.DecodeEvent(e.body)).Decisions, func(d consent.Decision) bool { return d.Purpose == purpose && !grants(d) })
	})
}

// contested reports whether an item is under correction or all processing is
// suspended.
func contested(events []consent.Event, items []string) bool {
	open := map[string]bool{}
	for _, e := range events {
		switch {
		case e.Kind == consent.KindCorrection && slices.ContainsFunc(items, func(it string) bool { return slices.Contains(e.Items, it) }):
			open[e.Correction] = true
		case e.Kind == consent.KindRequest && e.RequestType == "suspension":
			open[e.Request] = true
		case e.Kind == consent.KindCorrectionOutcome:
			delete(open, e.Correction)
		case e.Kind == consent.KindRequestOutcome && e.Outcome != "granted":
			delete(open, e.Request)
		}
	}
	return len(open) > 0
}

func (l *life) hasRunOut(i int) bool {
	rule, _ := l.r.Rule(l.entries[i].key.Class)
	return rule.Ratchet() && l.r.DiesOn(rule, l.r.Day(l.entries[i].at)) <= l.r.Day(l.now)
}

// consented goes by the entries alone: it reports whether the member said yes
// to the items for a purpose and nothing that came later takes it back.
func (l *life) consented(policy, purpose string, items []string) bool {
	events := make([]consent.Event, len(l.entries))
	for i, e := range l.entries {
		events[i] = must(consent.DecodeEvent(e.body))
	}
	grants := func(d consent.Decision) bool {
		return d.Granted && !slices.ContainsFunc(items, func(it string) bool { return !slices.Contains(d.Items, it) })
	}
	for i := range events {
		if events[i].Policy != policy || events[i].Copy || l.hasRunOut(i) {
			continue
		}
		if !slices.ContainsFunc(events[i].Decisions, func(d consent.Decision) bool { return d.Purpose == purpose && grants(d) }) {
			continue
		}
		stands := true
		for j := i + 1; j < len(events); j++ {
			stands = stands && !l.endsIt(i, j, events[j], policy, purpose, items, grants)
		}
		if stands {
			return !contested(events, items)
		}
	}
	return false
}

// Random calls over years, and after each of them: what is allowed was
// consented to, and nothing that only takes away has given anybody a right. At
// the end any key that can die alone does.
func TestDestroyingAnythingNeverTurnsANoIntoAYes(t *testing.T) {
	r := twoPolicies(t)
	counts := map[string]int{}
	lost, kept := 0, 0
	run := func(t *rapid.T) {
		l := newLife(t, r, counts)
		for range rapid.IntRange(5, 40).Draw(t, "calls") {
			l.step()
		}
		before := l.answers()
		held := func(what string, gone func(k consent.KeyName, day consent.Day) bool) {
			f, keys := l.without(gone)
			for q, yes := range ask(l, f, keys) {
				switch {
				case yes && !before[q]:
					t.Fatalf("without %s %s is allowed, and was not", what, q)
				case before[q] && !yes:
					lost++
				case yes:
					kept++
				}
			}
		}
		var mortal []consent.KeyName
		for _, k := range l.keys {
			if diesAlone(r, k.KeyName) {
				mortal = append(mortal, k.KeyName)
			}
		}
		for _, k := range mortal {
			held(fmt.Sprint("the key ", k.Class, " ", k.Reference), func(o consent.KeyName, _ consent.Day) bool { return o == k })
			if rule, _ := r.Rule(k.Class); rule.Ratchet() {
				i := slices.IndexFunc(l.entries, func(e line) bool { return e.key == k })
				if i >= 0 {
					first := r.Day(l.entries[i].at)
					held(fmt.Sprint("the first day of ", k.Class), func(o consent.KeyName, d consent.Day) bool { return o == k && d == first })
				}
			}
		}
		some := map[consent.KeyName]bool{}
		for _, k := range mortal {
			some[k] = l.flip("also " + string(k.Class))
		}
		held("several keys", func(o consent.KeyName, _ consent.Day) bool { return some[o] })
		held("all that can die alone", func(o consent.KeyName, _ consent.Day) bool { return slices.Contains(mortal, o) })
	}
	never := func() []string {
		var list []string
		for _, call := range []string{"consent", "withdrawal", "correction", "outcome", "request", "answer", "notice", "hold", "release", "event", "activity", "a yes", "a disclosure that may be made"} {
			if counts[call] == 0 {
				list = append(list, call)
			}
		}
		return list
	}
	// A hundred random lives make every call nearly always, but not always.
	for tries := 0; tries == 0 || tries < 20 && len(never()) > 0; tries++ {
		rapid.Check(t, run)
	}
	if list := never(); len(list) > 0 {
		t.Errorf("%v never happened, so nothing was tested", list)
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d answers turned into a no and %d stayed a yes, so nothing was tested", lost, kept)
	}
	t.Logf("calls made: %v; yes to no %d, yes %d", counts, lost, kept)
}

// itemNames are those of every policy.
func (l *life) itemNames() []string {
	var names []string
	for _, p := range l.policies {
		for _, it := range p.Items() {
			names = append(names, it.ID)
		}
	}
	return names
}
