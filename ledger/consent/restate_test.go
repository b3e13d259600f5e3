package consent_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// A visitor's yes to cookies lives in another class than a member's no, and
// the member's class ends with the last purpose in it that was granted.
func TestARefusalOutlivesItsClass(t *testing.T) {
	for what, call := range map[string]consent.Withdrawal{
		"another purpose":             {Purposes: []string{"cookies_marketing"}},
		"the refused one named along": {Purposes: []string{"cookies_marketing", "cookies_analytics"}},
	} {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("visitor", grant("cookies_analytics")), noon))
		if a := b.ask("cookies_analytics", noon); !a.Allowed {
			t.Fatalf("control: %+v", a)
		}
		ok(t)(b.consent(haimConsent("member", refusal("cookies_analytics"), grant("cookies_marketing"), grant("membership")), noon))
		p := ok(t)(b.withdraw(&call, noon))
		if d := cmp.Diff([]consent.KeyName{{Class: "haim/cookies"}}, p.Destroy); d != "" {
			t.Fatalf("%s: control: %s", what, d)
		}
		if a := b.ask("cookies_analytics", noon); a.Allowed || a.Reason != consent.ReasonRefused {
			t.Errorf("withdrawing %s: %+v", what, a)
		}
	}
}

func TestAGrantOfFewerItemsOutlivesItsClass(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("visitor", grant("cookies_marketing", "cookie_id", "preferences")), noon))
	ok(t)(b.consent(haimConsent("member", grant("cookies_marketing", "cookie_id"), grant("cookies_analytics")), noon))
	for _, gone := range [][]consent.KeyName{{{Class: "haim/cookies"}}, nil} {
		for item, want := range map[string]bool{"cookie_id": true, "preferences": false} {
			if a := b.ask("cookies_marketing", noon, item); a.Allowed != want {
				t.Errorf("%s: %+v", item, a)
			}
		}
		if err := b.commit(&consent.Plan{Destroy: gone}, nil, noon); err != nil {
			t.Fatal(err)
		}
	}
}

// The clock destroys a class as well as a withdrawal does.
func TestARefusalOutlivesAClassThatRunsOut(t *testing.T) {
	src := strings.Replace(small, "    items: {mandatory: [email]}\n    retention: membership", "    items: {mandatory: [email]}\n    retention: {member: records, buyer: bought}", 1)
	b := newBook(t, register(t, []byte(src)))
	c := haimConsent("buyer", grant("membership"), grant("marketing"))
	c.Policy = "shop"
	ok(t)(b.consent(c, noon))
	c.MemberKind, c.Decisions = "member", []consent.Decision{refusal("marketing")}
	ok(t)(b.consent(c, noon))
	if err := b.commit(&consent.Plan{Destroy: []consent.KeyName{{Class: "shop/records"}}}, nil, noon); err != nil {
		t.Fatal(err)
	}
	if a := b.ask("marketing", noon); a.Allowed || a.Reason != consent.ReasonRefused {
		t.Errorf("%+v", a)
	}
}

// classesOf lists where a plan writes, in order.
func classesOf(p *consent.Plan) string {
	var names []string
	for _, d := range p.Entries {
		names = append(names, d.Key.Class.Name()+d.Key.Reference)
	}
	return strings.Join(names, " ")
}

func TestADecisionIsWrittenTwiceOnlyWhereAnOlderYesToMoreIsKept(t *testing.T) {
	b := newBook(t, haim(t))
	raffle := func(reference string, d consent.Decision) *consent.Plan {
		c := haimConsent("", d)
		c.Reference = reference
		return ok(t)(b.consent(c, noon))
	}
	for _, step := range []struct {
		what, want string
		plan       *consent.Plan
	}{
		{"a first yes", "visitor", ok(t)(b.consent(haimConsent("visitor", grant("cookies_analytics")), noon))},
		{"the same yes in another class", "cookies membership", ok(t)(b.consent(haimConsent("member", grant("cookies_analytics")), noon))},
		{"a no", "cookies visitor", ok(t)(b.consent(haimConsent("member", refusal("cookies_analytics")), noon))},
		{"the same no", "cookies", ok(t)(b.consent(haimConsent("member", refusal("cookies_analytics")), noon))},
		{"yes to an event", "promotion1", raffle("1", grant("promotion"))},
		{"no to another event", "promotion2", raffle("2", refusal("promotion"))},
	} {
		if got := classesOf(step.plan); got != step.want {
			t.Errorf("%s is written in %q, want %q", step.what, got, step.want)
		}
	}
}

func TestADecisionThatIsWrittenTwiceIsProvenOnce(t *testing.T) {
	src := strings.Replace(string(policies.Haim()), "purposes:\n", "evidence: {retention: complaint, ground: GDPR 17(3)(e)}\npurposes:\n", 1)
	b := newBook(t, register(t, []byte(src)))
	ok(t)(b.consent(haimConsent("visitor", grant("cookies_analytics")), noon))
	p := ok(t)(b.consent(haimConsent("member", refusal("cookies_analytics")), noon))
	if i := slices.IndexFunc(p.Entries, func(d consent.Draft) bool { return d.Event.Copy }); i < 0 || len(p.Entries[i].Event.Decisions) != 1 {
		t.Errorf("entries in %s, copy %d", classesOf(p), i)
	}
	if got := classesOf(p); got != "cookies visitor membership complaint" {
		t.Errorf("entries in %s", got)
	}
}
