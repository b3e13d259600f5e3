package consent_test

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestAVersionIsPostedOnlyInTime(t *testing.T) {
	posted := time.Date(2026, 3, 10, 9, 0, 0, 0, seoul)
	head := func(version, announced string) string {
		return strings.NewReplacer(`version: "2025-01-01"`, `version: "`+version+`"`, `announced: "2024-12-01"`, `announced: "`+announced+`"`).Replace(string(policies.Haim()))
	}
	for _, c := range []struct {
		what, code, field string
		kind              consent.RefusalKind
		src               string
	}{
		{"thirty days from posting", "", "", 0, head("2026-04-09", "2026-03-01")},
		{"a day less", "notice_too_short", "version", consent.Invalid, head("2026-04-08", "2026-03-01")},
		{"thirty days from posting, announced later", "notice_too_short", "version", consent.Invalid, head("2026-04-09", "2026-03-11")},
		{"thirty days from announcement", "", "", 0, head("2026-04-10", "2026-03-11")},
		{"the same version", "policy_version_exists", "version", consent.Conflict, head("2025-01-01", "2024-12-01")},
		{"an older one", "policy_version_not_newer", "version", consent.Conflict, head("2024-01-01", "2023-12-01")},
		{"no announcement", "missing_field", "announced", consent.Invalid, strings.Replace(head("2026-06-01", "x"), "announced: \"x\"\n", "", 1)},
		{"no reason", "missing_field", "reason", consent.Invalid, strings.Replace(head("2026-06-01", "2026-03-10"), "reason: first version\n", "", 1)},
		{"a shorter notice of its own", "notice_too_short", "version", consent.Invalid, strings.Replace(head("2026-03-20", "2026-03-10"), "notice_days: 30", "notice_days: 1", 1)},
		{"another controller", "other_controller", "controller.name", consent.Conflict, strings.Replace(head("2026-06-01", "2026-03-10"), "name: Haim Aesthetics", "name: Somebody", 1)},
		{"another calendar", "other_time_zone", "controller.time_zone", consent.Conflict, strings.Replace(head("2026-06-01", "2026-03-10"), "Asia/Seoul", "Asia/Tokyo", 1)},
		{"a class with another period", "class_rule_changed", "retention.complaint", consent.Conflict, strings.Replace(head("2026-06-01", "2026-03-10"), "complaint: {keep: 3y", "complaint: {keep: 2y", 1)},
		{"a class with better words", "", "", 0, strings.Replace(head("2026-06-01", "2026-03-10"), "consumer complaints and disputes\"", "complaints\"", 1)},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := haim(t)
			n, err := r.With(must(consent.ParsePolicy([]byte(c.src))), posted)
			if c.code != "" {
				wantRefusal(t, err, c.kind, c.code, c.field)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Policies()) != 1 || len(n.Policies()) != 2 {
				t.Error("a register changed")
			}
		})
	}
}

func TestAVersionThatWaitsShortensNoNoticeThatIsPromisedToday(t *testing.T) {
	posted := time.Date(2026, 3, 10, 9, 0, 0, 0, seoul)
	head := func(version string) *consent.Policy {
		return must(consent.ParsePolicy([]byte(strings.NewReplacer(`version: "2025-01-01"`, `version: "`+version+`"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`, "notice_days: 30", "notice_days: 0").Replace(string(policies.Haim())))))
	}
	r := must(haim(t).With(head("2026-04-09"), posted))
	later := posted.AddDate(0, 0, 2)
	_, err := r.With(head("2026-04-10"), later)
	wantRefusal(t, err, consent.Invalid, "notice_too_short", "version")
	if _, err := r.With(head("2026-04-11"), later); err != nil {
		t.Error(err)
	}
}

func TestAFirstVersionIsInForceFromItsDate(t *testing.T) {
	r := haim(t)
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, seoul)
	if _, ok := r.InForce("haim", start.Add(-time.Nanosecond)); ok {
		t.Error("in force the day before")
	}
	if p, ok := r.InForce("haim", start); !ok || p.Version() != "2025-01-01" {
		t.Error("not in force on the day")
	}
	if _, ok := r.InForce("other", start); ok {
		t.Error("another policy is in force")
	}
}

// A version without a notice period that is posted at noon of its own day must
// not reach back over the consents of the morning.
func TestAVersionDoesNotReachBackBeforeItsPosting(t *testing.T) {
	r := dermatech(t)
	src := strings.NewReplacer(`version: "2011-12-01"`, "version: \"2026-03-10\"\nannounced: \"2026-03-10\"\nreason: r").Replace(string(policies.Dermatech()))
	r, err := r.With(must(consent.ParsePolicy([]byte(src))), noon)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{noon.Add(-time.Second): "2011-12-01", noon: "2026-03-10"} {
		if p, _ := r.InForce("dermatech", at); p.Version() != want {
			t.Errorf("%v: %s", at, p.Version())
		}
	}
}

func TestRulesAreFoundByClass(t *testing.T) {
	r := haim(t)
	for c, want := range map[consent.ClassID]consent.Rule{
		"haim/membership":       {Until: "withdrawal"},
		"haim/shipping":         {Until: "delivery"},
		consent.CorrectionClass: {Until: "correction_outcome"},
	} {
		if got, ok := r.Rule(c); !ok || got != want {
			t.Errorf("%s: %+v", c, got)
		}
	}
	for c, want := range map[consent.ClassID][2]bool{
		"haim/membership": {false, false}, "haim/contract": {true, false}, "haim/purchasing_member": {false, false},
		"haim/shipping": {false, true}, "haim/promotion": {false, true}, consent.AccessClass: {true, false}, consent.CorrectionClass: {false, true},
	} {
		rule, _ := r.Rule(c)
		if got := [2]bool{rule.Ratchet(), rule.ByReference()}; got != want {
			t.Errorf("%s: ratchet and by reference %v", c, got)
		}
	}
	if _, ok := r.Rule("haim/other"); ok {
		t.Error("a class that nobody stated has a rule")
	}
}
