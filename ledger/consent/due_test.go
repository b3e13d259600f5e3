package consent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

// dues lists what is due by a time, each with its day in Seoul.
func dues(b *book, now, until time.Time) string {
	var rows []string
	for _, d := range b.r.Due(b.f, b.keys, now, until) {
		rows = append(rows, strings.TrimSpace(d.At.In(seoul).Format("2006-01-02T15:04 ")+d.Kind+" "+d.ID))
	}
	return strings.Join(rows, "\n")
}

func TestWhatIsDueIsListedInTheOrderOfItsTime(t *testing.T) {
	b := corrected(t) // cor_2, open since noon
	ok(t)(b.request(consent.RequestErasure, "rqt_1", noon.AddDate(0, 0, -3)))
	ok(t)(b.request(consent.RequestAccess, "rqt_2", noon.AddDate(0, 0, 1)))
	h := holdOn("membership")
	h.Until = start("2026-03-20")
	ok(t)(b.hold(h, "hld_1", noon))
	n := filled(&consent.Notice{Kind: "destruction_request", Member: somebody, Recipient: "it-vendor", DueAt: start("2026-03-25")})
	ok(t)(b.notice(n, "ntc_1", noon))
	all := []string{
		"2026-03-20T00:00 hold hld_1",
		"2026-03-25T00:00 destruction_request ntc_1",
		"2026-04-07T00:00 request rqt_1",
		"2026-04-10T00:00 correction cor_2",
		"2026-04-11T00:00 request rqt_2",
		"2027-02-10T00:00 dormancy_notice",
	}
	if d := cmp.Diff(strings.Join(all, "\n"), dues(b, noon, noon.AddDate(2, 0, 0))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(strings.Join(all[:3], "\n"), dues(b, noon, start("2026-04-07"))); d != "" {
		t.Errorf("within a time: %s", d)
	}
	// What is late stays, but for a hold, which has ended.
	if d := cmp.Diff(strings.Join(all[1:5], "\n"), dues(b, start("2026-06-01"), start("2026-06-02"))); d != "" {
		t.Errorf("what is late: %s", d)
	}
	if task, _ := b.r.Next(b.f, b.keys, noon); !task.Equal(h.Until) {
		t.Errorf("the first is late at %v", task)
	}

	for _, done := range []func(){
		func() { ok(t)(b.release("hld_1", noon)) },
		func() {
			ok(t)(b.answer(&consent.RequestOutcome{Request: "rqt_1", Outcome: consent.RequestGranted}, noon))
		},
		func() {
			n.Outcome = consent.NoticeConfirmed
			ok(t)(b.notice(n, "ntc_2", noon))
		},
		func() {
			ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_2", Outcome: "corrected"}, noon.AddDate(0, 0, 2)))
		},
	} {
		done()
	}
	rest := []string{"2026-04-11T00:00 request rqt_2", "2026-04-12T00:00 correction_notice cor_2", "2027-02-10T00:00 dormancy_notice"}
	if d := cmp.Diff(strings.Join(rest, "\n"), dues(b, noon, noon.AddDate(2, 0, 0))); d != "" {
		t.Errorf("after the others are done: %s", d)
	}
	told := start("2026-03-12")
	for _, recipient := range []string{"it-vendor", "partner-brand"} {
		ok(t)(b.notice(filled(&consent.Notice{Kind: "correction", Member: somebody, Recipient: recipient, Correction: "cor_2"}), "ntc_"+recipient, told))
	}
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, told), "ntc_3", told))
	if d := cmp.Diff(rest[0], dues(b, noon, noon.AddDate(2, 0, 0))); d != "" {
		t.Errorf("after all but one are done: %s", d)
	}
	// Who was told falls dormant on 12 March 2027, and five years later the membership ends.
	if d := cmp.Diff(rest[0]+"\n2032-03-13T00:00 dormancy_end", dues(b, noon, noon.AddDate(9, 0, 0))); d != "" {
		t.Errorf("in nine years: %s", d)
	}
	ok(t)(b.active(told.Add(time.Hour)))
	if got := dues(b, noon, noon.AddDate(9, 0, 0)); strings.Contains(got, "dormancy_end") {
		t.Errorf("active since: %s", got)
	}
	if got := b.r.Due(nil, nil, noon, nextYear); len(got) != 0 {
		t.Errorf("of nobody %v is due", got)
	}
}

func TestOfWhomHasLeftOnlyHoldsAreDue(t *testing.T) {
	b := newsletterReader(t)
	ok(t)(b.request(consent.RequestErasure, "rqt_1", noon))
	ok(t)(b.hold(holdOn("membership"), "hld_1", noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if d := cmp.Diff("2027-03-10T12:00 hold hld_1", dues(b, noon, noon.AddDate(9, 0, 0))); d != "" {
		t.Error(d)
	}
	if task, wake := b.r.Next(b.f, b.keys, noon); !task.Equal(nextYear) || !wake.IsZero() {
		t.Errorf("task %v, wake %v", task, wake)
	}
	if task, wake := b.r.Next(b.f, b.keys, nextYear); !task.IsZero() || !wake.IsZero() {
		t.Errorf("task %v, wake %v after the hold", task, wake)
	}
}

func TestAFailedRequestToDestroyStaysOpenAndTheNewestOutcomeCounts(t *testing.T) {
	n := func(outcome, due string) *consent.Notice {
		n := filled(&consent.Notice{Kind: "destruction_request", Member: somebody, Recipient: "it-vendor", Outcome: outcome, Reason: "because"})
		if due != "" {
			n.DueAt = start(due)
		}
		return n
	}
	b := newsletterReader(t)
	for i, c := range []struct{ outcome, due, want string }{
		{"sent", "2026-04-01", "2026-04-01T00:00 destruction_request ntc_0"},
		{"failed", "2026-04-08", "2026-04-08T00:00 destruction_request ntc_1"},
		{"delivered", "2026-04-15", "2026-04-15T00:00 destruction_request ntc_2"},
		{"impossible", "", ""},
		{"sent", "2026-05-01", "2026-05-01T00:00 destruction_request ntc_4"},
		{"confirmed", "", ""},
	} {
		ok(t)(b.notice(n(c.outcome, c.due), "ntc_"+string(rune('0'+i)), noon))
		if d := cmp.Diff(c.want, dues(b, noon, start("2026-06-01"))); d != "" {
			t.Errorf("%s: %s", c.outcome, d)
		}
	}
}

// The last day on which a notice is in time, worked out by hand; the day after
// is late.
func TestAMemberIsToBeToldInTimeForTheirDormancy(t *testing.T) {
	for _, c := range []struct{ what, rule, active, late string }{
		{"thirty days", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10", "2027-02-09"},
		{"thirty days over a leap day", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2027-03-10", "2028-02-10"},
		{"a month", "{after: 12mo, notice: 1mo, destroy_after: 5y}", "2026-03-10", "2027-02-11"},
		{"a month before a month's end", "{after: 12mo, notice: 1mo, destroy_after: 5y}", "2026-03-31", "2027-03-01"},
		{"a month before the end of February", "{after: 12mo, notice: 1mo, destroy_after: 5y}", "2026-02-28", "2027-02-01"},
		{"a year", "{after: 2y, notice: 1y, destroy_after: 5y}", "2028-02-29", "2029-03-01"},
		{"longer than the idle time", "{after: 1mo, notice: 1y, destroy_after: 5y}", "2026-03-10", "2026-03-10"},
	} {
		b := newBook(t, withDormancy(t, "Asia/Seoul", c.rule))
		active := start(c.active)
		call := haimConsent("member", grant("membership"))
		call.OccurredAt = active
		ok(t)(b.consent(call, active))
		list := b.r.Due(b.f, b.keys, active, active.AddDate(3, 0, 0))
		if len(list) != 1 || list[0].Kind != consent.DueDormancyNotice || !list[0].At.Equal(start(c.late)) {
			t.Errorf("%s: %v, want %s", c.what, list, c.late)
			continue
		}
		if list[0].At.Equal(active) {
			continue // late at once
		}
		// Told a moment before, they fall dormant when they have been idle for the period; told then, later.
		dormant := func(told time.Time) time.Time {
			f := b.f.Clone()
			p, err := b.r.PlanNotice(b.f, b.keys, dormancyNotice(consent.NoticeSent, told), "ntc_1", told)
			f.Apply(200, told, ok(t)(p, err).Entries[0].Key, p.Entries[0].Event)
			since, _ := b.r.DormantSince(f, told.AddDate(3, 0, 0))
			return since
		}
		if inTime, late := dormant(list[0].At.Add(-time.Millisecond)), dormant(list[0].At); !inTime.Before(late) {
			t.Errorf("%s: dormant on %v if told in time, on %v if late", c.what, inTime, late)
		}
	}
	b := newsletterReader(t)
	ok(t)(b.notice(dormancyNotice(consent.NoticeImpossible, noon.Add(time.Hour)), "ntc_1", noon.Add(time.Hour)))
	if got := dues(b, noon, noon.AddDate(2, 0, 0)); got != "" {
		t.Errorf("it was found that nobody can be told, and %s", got)
	}
	if p := ok(t)(b.active(noon.Add(2 * time.Hour))); !p.Recheck || dues(b, noon, noon.AddDate(2, 0, 0)) == "" {
		t.Error("active since, and never to be told again")
	}
}

func TestEverybodyIsLookedAtOnceAYear(t *testing.T) {
	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("marketing"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	p := ok(t)(b.consent(c, noon))
	if !p.Recheck {
		t.Error("nobody asks when to look at a new member")
	}
	task, wake := b.r.Next(b.f, b.keys, noon)
	if !task.IsZero() || !wake.After(noon) || wake.After(noon.AddDate(1, 0, 0)) {
		t.Errorf("task %v, wake %v", task, wake)
	}
	if p := ok(t)(b.consent(c, noon)); p.Recheck {
		t.Error("an ordinary consent asks again")
	}
	if task, wake := b.r.Next(consent.NewFold(), nil, noon); !task.IsZero() || !wake.IsZero() {
		t.Errorf("of nobody: task %v, wake %v", task, wake)
	}
}
