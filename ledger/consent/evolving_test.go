package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"consentledger/ledger/consent"
)

// A shop that changes its mind: random policies that state purposes of the same
// names, random versions of them and random changes of recipients, among the
// calls of one member.
type shop struct {
	*life
	posted []func(*consent.Register) (*consent.Register, error) // to be posted again at a start
}

var (
	shopItems    = []string{"a", "b", "c"}
	shopPurposes = []string{"join", "news", "partners", "buy"}
	shopClasses  = []string{"until-end", "until-news", "until-sent", "until-raffle", "by-entry", "by-end"}
	shopRules    = []string{"{until: withdrawal}", "{until: purpose_withdrawal}", "{until: delivery}", "{until: event_end}", "{keep: 1y, basis: law}", "{keep: 2y, from: withdrawal, basis: tax}"}
)

func (s *shop) some(list []string, what string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(string) bool { return !s.flip(what) })
}

func (s *shop) policy(id, version, announced string) string {
	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("policy: %s\nversion: %q\nannounced: %q\nreason: because\ncontroller: {name: Shop, time_zone: Asia/Seoul}\ntext: {en: words}", id, version, announced)
	if s.flip("dormancy") {
		f("dormancy: {after: 6mo, notice: 30d, destroy_after: 1y}")
	}
	if s.flip("access") {
		f("access: {retention: %s}", s.pick([]string{"by-entry", "by-end"}, "access class"))
	}
	f("member_kinds: [one, two]\nitems: {a: {}, b: {}, c: {}}\nretention:")
	for i, c := range shopClasses {
		f("  %s: %s", c, shopRules[i])
	}
	if s.flip("evidence") {
		f("evidence: {retention: %s, ground: proof}", s.pick([]string{"by-entry", "by-end"}, "evidence class"))
	}
	f("purposes:")
	type pu struct {
		id    string
		items []string
	}
	var all []pu
	for i, name := range shopPurposes {
		if i > 0 && s.upTo(4, "without "+name) == 0 {
			continue
		}
		kind, basis := "collection", s.pick([]string{"consent", "contract"}, "basis")
		switch name {
		case "news":
			kind, basis = s.pick([]string{"marketing", "cookies"}, "kind"), "consent"
		case "partners":
			kind, basis = "provision", "consent"
		}
		class := "{one: " + s.pick(shopClasses, "class") + ", two: " + s.pick(shopClasses, "class") + "}"
		if i == 0 {
			class = "{one: " + s.pick([]string{"until-end", "by-end"}, "class") + ", two: " + s.pick([]string{"until-end", "by-end"}, "class") + "}"
		}
		mandatory := s.some(shopItems, "mandatory")
		optional := slices.DeleteFunc(s.some(shopItems, "optional"), func(it string) bool { return slices.Contains(mandatory, it) })
		if i == 0 {
			optional = slices.DeleteFunc(slices.Clone(shopItems), func(it string) bool { return slices.Contains(mandatory, it) })
		}
		if len(mandatory)+len(optional) == 0 {
			mandatory = []string{"a"}
		}
		f("  %s: {title: {en: T}, kind: %s, basis: %s, items: {mandatory: [%s], optional: [%s]}, retention: %s, refusal: {en: R}}",
			name, kind, basis, strings.Join(mandatory, ", "), strings.Join(optional, ", "), class)
		all = append(all, pu{name, slices.Concat(mandatory, optional)})
	}
	f("recipients:")
	for i, p := range all {
		who, kind := "vendor-"+p.id, "processor"
		if p.id == "partners" {
			kind = "third_party"
		}
		if i == 0 || kind == "third_party" || s.flip("has a vendor") {
			f("  %s: {name: N, business: %s, kind: %s, purposes: [%s], items: [%s]}", who, s.pick([]string{"x", "y"}, "business"), kind, p.id, strings.Join(p.items[:1+s.upTo(len(p.items)-1, "gets")], ", "))
		}
	}
	f("exemptions:\n  law: {title: {en: L}, basis: law, recipient: authority}\n  claims: {title: {en: C}, basis: law, purposes: [join]}")
	return b.String()
}

// post adds a version, and says whether it was taken.
func (s *shop) post(id string) bool {
	day := s.now.In(seoul).Format(time.DateOnly)
	if s.upTo(3, "ahead") == 0 {
		day = s.now.In(seoul).AddDate(0, 0, 1+s.upTo(3, "days ahead")).Format(time.DateOnly)
	}
	src := s.policy(id, day, s.now.In(seoul).Format(time.DateOnly))
	p, err := consent.ParsePolicy([]byte(src))
	if err != nil {
		s.t.Fatalf("the policy is none: %v\n%s", err, src)
	}
	at := s.now
	return s.add(func(r *consent.Register) (*consent.Register, error) { return r.With(p, at) })
}

// change changes a recipient, and says whether it was taken.
func (s *shop) change() bool {
	if len(s.policies) == 0 {
		return false
	}
	p := rapid.SampledFrom(s.policies).Draw(s.t, "of")
	pu := rapid.SampledFrom(p.Purposes()).Draw(s.t, "for")
	day := s.now.In(seoul).AddDate(0, 0, s.upTo(2, "days ahead")).Format(time.DateOnly)
	c := &consent.RecipientChange{
		Policy: p.ID(), ID: "vendor-" + s.pick(shopPurposes, "id"), Announced: s.now.In(seoul).Format(time.DateOnly), Reason: "because", Ended: s.flip("ended"),
		Recipient: consent.Recipient{
			Name: "N", Business: s.pick([]string{"x", "y"}, "business"), Kind: s.pick([]string{"processor", "third_party", "authority"}, "kind"),
			Purposes: []string{pu.ID}, Items: slices.Concat(pu.Mandatory, pu.Optional), From: day,
		},
	}
	at := s.now
	return s.add(func(r *consent.Register) (*consent.Register, error) { return r.WithRecipient(c, at) })
}

func (s *shop) add(post func(*consent.Register) (*consent.Register, error)) bool {
	r, err := post(s.r)
	if err != nil {
		return false
	}
	s.r = r
	s.posted = append(s.posted, post)
	return true
}

// inForce makes the member deal with the versions that are in force.
func (s *shop) inForce() {
	s.policies = nil
	for _, p := range s.r.Policies() {
		if v, ok := s.r.InForce(p.ID(), s.now); ok && v.Version() == p.Version() {
			s.policies = append(s.policies, v)
		}
	}
}

// entriesLeft are the member's as an auditor reads them.
func (s *shop) entriesLeft() []consent.MemberEntry {
	var all []consent.MemberEntry
	for _, e := range s.entries {
		all = append(all, consent.MemberEntry{Index: e.index, RecordedAt: e.at, Key: e.key, Event: must(consent.DecodeEvent(e.body))})
	}
	return all
}

// audited fails if an honest disclosure is found fault with.
func (s *shop) audited(after string) {
	s.t.Helper()
	left := map[uint64]bool{}
	for _, e := range s.entries {
		left[e.index] = true
	}
	findings, _ := s.r.Audit(s.entriesLeft(), s.ended, func(i uint64) bool { return s.written[i] && !left[i] })
	if len(findings) > 0 {
		s.t.Fatalf("after %s an honest disclosure is found fault with: %+v", after, findings)
	}
}

// within is what the shop itself may do with each item for each purpose.
func (s *shop) within() map[string]consent.Answer {
	all := map[string]consent.Answer{}
	for _, policy := range []string{"first", "second"} {
		for _, purpose := range shopPurposes {
			for _, it := range shopItems {
				q := consent.Question{Purpose: policy + "/" + purpose, Items: []string{it}}
				all[q.Purpose+" "+it] = s.r.Decide(s.f, &q, s.now)
			}
		}
	}
	return all
}

func TestNoChangeOfTheRulesStopsTheLedgerOrAllowsWhatWasRefused(t *testing.T) {
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := &shop{life: newLife(t, consent.NewRegister(), counts)}
		for _, id := range []string{"first", "second"} {
			s.post(id)
		}
		for range rapid.IntRange(5, 40).Draw(t, "calls") {
			s.inForce()
			if len(s.policies) > 0 && s.upTo(5, "the shop changes") > 0 {
				s.step()
				s.inForce()
				s.audited("a call")
				continue
			}
			s.now = s.now.Add(time.Hour)
			before := s.within()
			what := "a version"
			if s.flip("a recipient") {
				what = "a recipient"
				if s.change() {
					counts[what]++
				}
			} else if s.post(s.pick([]string{"first", "second"}, "policy")) {
				counts[what]++
			}
			for q, a := range s.within() {
				// A contract that began goes on, and a version without dormancy lets nobody be dormant.
				if b := before[q]; a.Allowed && !b.Allowed && a.Reason != consent.ReasonBasisInForce && b.Reason != consent.ReasonDormant {
					s.t.Fatalf("after %s %s is allowed (%+v), and was not (%+v)", what, q, a, b)
				}
			}
			s.audited(what)
			again := consent.NewRegister()
			for _, post := range s.posted {
				var err error
				if again, err = post(again); err != nil {
					s.t.Fatalf("the ledger does not start any more: %v", err)
				}
			}
			if d := cmp.Diff(s.r.Recipients(), again.Recipients()); d != "" {
				s.t.Fatal(d)
			}
			s.r.Processing(s.now)
			for _, p := range s.r.Policies() {
				s.r.Changes(p.ID(), p.Version())
				s.r.Reconsent(p.ID(), p.Version())
			}
			s.r.NewExport("o", "ref", s.entriesLeft(), s.f, s.now).JSONLD()
		}
	})
	for _, what := range []string{"a version", "a recipient", "consent", "a yes"} {
		if counts[what] == 0 {
			t.Errorf("%s never happened, so nothing was tested", what)
		}
	}
}
