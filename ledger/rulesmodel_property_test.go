package ledger

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// Two properties that need no model: they are judged by the calls that were accepted, as they were
// made, and by the ledger's own earlier answers.

// A judge watches a run.
type judge struct {
	calls  [][]accepted // by member, since they last joined
	refs   []Ref
	past   []consent.Question // about a time, answered with no
	yeses  int                // that were judged
	shrunk int                // answers that a destruction turned into a no

	// Of a judge that must find fault.
	deaf     bool   // hears of no consent
	suspects string // takes these steps for destructions, too
}

// accepted is a call that the ledger took.
type accepted struct {
	call    any
	edition *edition // of a consent
}

func newJudge() *judge { return &judge{calls: make([][]accepted, members), refs: make([]Ref, members)} }

func (j *judge) took(r *run, who int, call any, answer *Answer) {
	if _, ok := call.(*consent.Consent); j == nil || ok && j.deaf {
		return
	}
	if _, ok := call.(*consent.Consent); ok && answer.Member != j.refs[who] {
		j.calls[who], j.refs[who] = nil, answer.Member // they have joined, perhaps anew
	}
	if w, ok := call.(*consent.Withdrawal); ok && w.Membership {
		j.calls[who] = nil
		return
	}
	a := accepted{call: call}
	if c, ok := call.(*consent.Consent); ok {
		a.edition = r.m.version(c.Policy, c.PolicyVersion).edition
	}
	j.calls[who] = append(j.calls[who], a)
	if d, ok := call.(*consent.Disclosure); ok && d.Basis == "" {
		j.yeses++
		if !j.carried(r, who, d.Purpose, d.Items, d.Recipient, d.Reference) {
			r.disagree("a disclosure was recorded that no accepted call carries: %v to %s for %s", d.Items, d.Recipient, d.Purpose)
		}
	}
}

// carried says whether the accepted calls carry a use: a yes to each of the items, which no later call
// took back. A purpose of which several policies speak needs the yes to each that was agreed to.
func (j *judge) carried(r *run, who int, name string, items []string, recipient, reference string) bool {
	some := false
	for policy := range r.m.versions {
		purpose := name
		if p, rest, ok := strings.Cut(name, "/"); ok {
			if purpose = rest; p != policy {
				continue
			}
		}
		v := r.m.inForce(policy, r.m.now)
		if v == nil || v.purpose(purpose) == nil || !j.under(who, policy) {
			continue
		}
		if some = true; !j.carriedUnder(r, v, who, purpose, items, recipient, reference) {
			return false
		}
	}
	return some
}

// under says whether a member agreed or disagreed to anything under a policy.
func (j *judge) under(who int, policy string) bool {
	return slices.ContainsFunc(j.calls[who], func(a accepted) bool {
		c, ok := a.call.(*consent.Consent)
		return ok && c.Policy == policy
	})
}

func (j *judge) carriedUnder(r *run, v *version, who int, purpose string, items []string, recipient, reference string) bool {
	for i, a := range j.calls[who] {
		c, ok := a.call.(*consent.Consent)
		if !ok || c.Policy != v.policy {
			continue
		}
		for _, d := range c.Decisions {
			given := d.Items
			if d.Purpose != purpose || !grants(d) {
				continue
			}
			if len(given) == 0 {
				given = a.edition.purpose(purpose).must
			}
			if within(items, given) && j.mayHave(r, v, a.edition, d, purpose, recipient) && !j.takenBack(who, i, c, purpose, items) &&
				(reference == "" || !ofOneEvent(purpose) || c.Reference == reference) {
				return true
			}
		}
	}
	return false
}

// ofOneEvent says whether a purpose is decided on for each order or event.
func ofOneEvent(purpose string) bool {
	return purpose == "delivery" || purpose == "raffle" || purpose == "trial"
}

// mayHave says whether whoever is on the register as a third party was agreed to by name: by the call,
// or by the text of the version that it agreed to.
func (j *judge) mayHave(r *run, v *version, agreed *edition, d consent.Decision, purpose, recipient string) bool {
	if recipient == "" {
		return true
	}
	p := r.m.partyOf(v, recipient, r.m.now)
	if p == nil || !slices.Contains(p.purposes, purpose) {
		return false
	}
	return p.kind == "processor" || v.purpose(purpose).basis != "consent" || d.Recipients == nil && agreed.party(recipient) != nil || slices.Contains(d.Recipients, recipient)
}

// takenBack says whether a later call took back the yes of the i-th one, or one of the items.
func (j *judge) takenBack(who, i int, yes *consent.Consent, purpose string, items []string) bool {
	for _, a := range j.calls[who][i+1:] {
		switch c := a.call.(type) {
		case *consent.Withdrawal:
			named := slices.Contains(c.Purposes, purpose) || slices.Contains(c.Purposes, yes.Policy+"/"+purpose)
			if named && (len(c.Items) == 0 || overlap(c.Items, items)) {
				return true
			}
		case *consent.Consent:
			for _, d := range c.Decisions {
				if c.Policy != yes.Policy || d.Purpose != purpose || ofOneEvent(purpose) && c.Reference != yes.Reference {
					continue
				}
				given := d.Items
				if len(given) == 0 {
					given = a.edition.purpose(purpose).must
				}
				if !grants(d) || !within(items, given) {
					return true
				}
			}
		}
	}
	return false
}

// answered judges a yes.
func (j *judge) answered(r *run, who int, q *consent.Question, a consent.Answer) {
	if j == nil || !q.At.IsZero() {
		return
	}
	if !a.Allowed {
		return
	}
	j.yeses++
	if !j.carried(r, who, q.Purpose, q.Items, q.Recipient, q.Reference) {
		r.disagree("a decision said yes that no accepted call carries: %s of %v for %q", q.Purpose, q.Items, q.Recipient)
	}
}

// questionsOf are asked before and after each destruction.
func (r *run) questionsOf() (out []consent.Question) {
	for who := range members {
		for _, p := range purposeNames {
			for _, q := range []consent.Question{{}, {Recipient: "host"}, {Recipient: "label", Items: []string{"email"}}, {Items: []string{"name"}}, {Items: []string{"phone"}}, {Reference: r.refs[0]}} {
				q.Member, q.Purpose = r.ids[who], p
				out = append(out, q)
			}
		}
	}
	return out
}

func (r *run) answers(list []consent.Question) (out []consent.Answer) {
	for i := range list {
		a, err := r.l.Decide(r.t.Context(), writer, &list[i])
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// Steps that destroy, and steps that change no answer.
var (
	destroys       = []string{"sweep", "release", "end of an event", "end for all", "withdrawal", "leave"}
	changesNothing = []string{"reopen", "hold", "look", "look at what is kept", "due"}
)

// around makes a step and compares the answers before it and after it.
func (j *judge) around(r *run, name string, step func()) {
	if j == nil || !slices.Contains(destroys, name) && !slices.Contains(changesNothing, name) && name != j.suspects {
		step()
		return
	}
	list := r.questionsOf()
	before := r.answers(list)
	for i := range list {
		j.answered(r, i*members/len(list), &list[i], before[i])
	}
	// Of a moment ago, because more may come to be recorded now.
	q := list[r.rand.IntN(len(list))]
	q.At = r.m.now.Add(-time.Millisecond)
	if a := r.answers([]consent.Question{q}); !a[0].Allowed && len(j.past) < 100 {
		j.past = append(j.past, q)
	}
	step()
	for i, after := range r.answers(list) {
		what := fmt.Sprintf("%s (%s) of %v for %q: %v, and after %q %v", list[i].Purpose, list[i].Reference, list[i].Items, list[i].Recipient, before[i].Reason, name, after.Reason)
		switch {
		case !before[i].Allowed && after.Allowed:
			r.disagree("a no became a yes: %s", what)
		case slices.Contains(changesNothing, name) && before[i].Reason != after.Reason:
			r.disagree("an answer changed: %s", what)
		case before[i].Allowed && !after.Allowed:
			j.shrunk++
		}
	}
	// What was a no is one for ever, whatever was destroyed since.
	for i, a := range r.answers(j.past) {
		if q := &j.past[i]; a.Allowed {
			r.disagree("a no became a yes in hindsight: %s of %v for %q: %v", q.Purpose, q.Items, q.Recipient, a.Reason)
		}
	}
}

func TestNothingIsAllowedThatWasNotGivenAndForgettingAllowsNothing(t *testing.T) {
	rounds, yeses, shrunk := 6, 0, 0
	if os.Getenv("CONSENTLEDGER_LONG") == "1" {
		rounds = 250
	}
	for seed := range uint64(rounds) {
		start := func() *run { r := newRun(t); r.judge = newJudge(); return r }
		r := start()
		steps := makeSteps(1000+seed, runSteps)
		n := r.play(steps)
		r.close()
		if r.bad != "" {
			full := r.bad
			fewer, short := shrink(t, start, steps)
			t.Fatalf("seed %d, step %d: %s\n\nThe shortest run found, of %d steps:\n%s\n%s", 1000+seed, n, full, len(fewer), strings.Join(short.log, "\n"), short.bad)
		}
		yeses += r.judge.yeses
		shrunk += r.judge.shrunk
	}
	if yeses < 500*rounds || shrunk < 10*rounds {
		t.Fatalf("%d yeses, and %d that a destruction ended: too few for a test", yeses, shrunk)
	}
	t.Logf("%d steps: %d yeses judged, %d that a destruction ended, and no no that became a yes", rounds*runSteps, yeses, shrunk)
}

func TestAJudgeWhoIsDeafOrSuspectsConsentsFindsFault(t *testing.T) {
	for what, change := range map[string]func(*judge){
		"hears of no consent":          func(j *judge) { j.deaf = true },
		"takes consents for the clock": func(j *judge) { j.suspects = "consent" },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRun(t)
			defer r.close()
			r.judge = newJudge()
			change(r.judge)
			r.play(makeSteps(1000, runSteps))
			if r.bad == "" {
				t.Error("no fault is found")
			}
			t.Log(r.bad)
		})
	}
}
