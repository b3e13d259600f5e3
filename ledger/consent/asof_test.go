package consent_test

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// What was allowed on a day is answered by the version and the recipients of
// that day, however many came since: the same question, asked of registers that
// know more and more, has the same answer.
func TestWhatCameLaterChangesNoAnswerAboutThePast(t *testing.T) {
	registers := []*consent.Register{haim(t)}
	add := func(r *consent.Register, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		registers = append(registers, r)
	}
	newest := func() *consent.Register { return registers[len(registers)-1] }
	version := func(date string, at time.Time, pairs ...string) {
		t.Helper()
		src := amend(t, string(policies.Haim()), append([]string{`version: "2025-01-01"`, `version: "` + date + `"`, `announced: "2024-12-01"`, `announced: "2026-03-01"`}, pairs...)...)
		add(newest().With(must(consent.ParsePolicy([]byte(src))), at))
	}
	moments := []time.Time{noon}
	day := func(m time.Month, d int) time.Time { return time.Date(2026, m, d, 12, 0, 0, 0, seoul) }
	add(newest().WithRecipient(vendorAbroad("2026-04-15"), noon))
	version("2026-05-01", day(3, 20), "News and offers", "Surveys")
	add(newest().WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "it-vendor", Ended: true, Announced: "2026-05-10", Reason: "r", Recipient: consent.Recipient{From: "2026-05-10"}}, day(5, 10)))
	version("2026-07-01", day(5, 20), "optional: [birth_date, telephone, address]", "optional: [birth_date]", "items: [user_id, email, name, birth_date, telephone, address, order_record]", "items: [user_id, email]")
	for m := range 6 {
		moments = append(moments, day(time.Month(3+m), 14), day(time.Month(3+m), 16))
	}
	b := newBook(t, newest())
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name", "telephone"), grant("marketing"), grant("partner_offers")), noon))
	answers := map[string]bool{}
	for _, at := range moments {
		for _, q := range []consent.Question{
			{Purpose: "marketing"},
			{Purpose: "membership"},
			{Purpose: "membership", Items: []string{"telephone"}},
			{Purpose: "partner_offers", Recipient: "partner-brand"},
			{Purpose: "membership", Recipient: "it-vendor", Items: []string{"email"}},
			{Purpose: "membership", Recipient: "cloud-abroad", Items: []string{"email"}},
		} {
			want := newest().Decide(b.f, &q, at)
			answers[want.Reason] = true
			for i, r := range registers {
				// A register knows what was in force while it was the newest, and before.
				if i+1 < len(registers) && at.After(postedLast(registers[i+1])) {
					continue
				}
				if got := r.Decide(b.f, &q, at); got.Reason != want.Reason || got.PolicyVersion != want.PolicyVersion {
					t.Errorf("%+v at %v: register %d says %s, and the newest %s", q, at, i, got.Reason, want.Reason)
				}
			}
		}
	}
	if len(answers) < 3 {
		t.Errorf("the questions have only the answers %v", answers)
	}
}

// postedLast returns when the newest word of a register was posted.
func postedLast(r *consent.Register) time.Time {
	var last time.Time
	for _, v := range r.Policies() {
		if v.PostedAt.After(last) {
			last = v.PostedAt
		}
	}
	for _, s := range r.Recipients() {
		if s.PostedAt.After(last) {
			last = s.PostedAt
		}
	}
	return last
}

// Dates are the controller's: a version or a recipient begins with the first
// instant of its day there, also where clocks are put forward at midnight, and
// notice is counted from the day of posting there.
func TestDatesBeginAtTheControllersMidnight(t *testing.T) {
	for _, c := range []struct{ zone, date, begins string }{
		{"Asia/Seoul", "2026-06-01", "2026-05-31T15:00:00Z"},
		{"UTC", "2026-06-01", "2026-06-01T00:00:00Z"},
		{"America/New_York", "2026-11-01", "2026-11-01T04:00:00Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"}, // there is no midnight: it is one o'clock at once
		{"Pacific/Kiritimati", "2026-06-01", "2026-05-31T10:00:00Z"},
	} {
		src := strings.Replace(small, "Asia/Seoul", c.zone, 1)
		posted := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
		r, err := consent.NewRegister().With(must(consent.ParsePolicy([]byte(src))), posted)
		if err != nil {
			t.Fatal(err)
		}
		later := amend(t, src, `version: "2025-01-01"`, "version: \""+c.date+"\"\nannounced: \"2026-03-10\"\nreason: r", "{en: News}", "{en: Surveys}")
		r = must(r.With(must(consent.ParsePolicy([]byte(later))), posted))
		r = must(r.WithRecipient(&consent.RecipientChange{Policy: "shop", ID: "host", Announced: "2026-03-10", Reason: "r", Recipient: consent.Recipient{
			Name: "Host", Business: "hosting", Kind: "processor", Purposes: []string{"membership"}, Items: []string{"email"}, From: c.date,
		}}, posted))
		begins := must(time.Parse(time.RFC3339, c.begins))
		b := newBook(t, r)
		for at, want := range map[time.Time][2]string{
			begins.Add(-time.Millisecond): {"2025-01-01", "recipient_not_registered"},
			begins:                        {c.date, "no_consent"},
		} {
			p, _ := r.InForce("shop", at)
			a := r.Decide(b.f, &consent.Question{Purpose: "membership", Recipient: "host", Items: []string{"email"}}, at)
			if p.Version() != want[0] || a.Reason != want[1] {
				t.Errorf("%s, %v: version %s, %s; want %v", c.zone, at.UTC(), p.Version(), a.Reason, want)
			}
		}
	}
	late := time.Date(2026, 3, 10, 23, 30, 0, 0, time.UTC) // the 11th in Seoul
	_, err := haim(t).WithRecipient(vendorAbroad("2026-04-09"), late)
	wantRefusal(t, err, consent.Invalid, "notice_too_short", "recipient.from")
	if _, err := haim(t).WithRecipient(vendorAbroad("2026-04-10"), late); err != nil {
		t.Errorf("control: %v", err)
	}
}
