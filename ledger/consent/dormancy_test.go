package consent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

var somebody = must(consent.ParseMemberID("kim@shop.example"))

func start(s string) time.Time {
	return must(time.ParseInLocation(time.DateTime, s+" 00:00:00", seoul))
}

func dormancyNotice(outcome string, at time.Time) *consent.Notice {
	n := &consent.Notice{Kind: consent.NoticeDormancy, Member: somebody, Channel: "email", SentAt: at, Outcome: outcome}
	if outcome == consent.NoticeFailed || outcome == consent.NoticeImpossible {
		n.Reason = "there is no address"
	}
	return n
}

// sleeper was last active at noon on 2026-03-10 and told of it on 2027-01-15,
// so falls dormant with the start of 2027-03-11.
func sleeper(t *testing.T) *book {
	t.Helper()
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership"), grant("marketing"), grant("order"), grant("delivery"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	told := start("2027-01-15")
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, told), "ntc_1", told))
	return b
}

var asleep = start("2027-03-11")

func withDormancy(t *testing.T, zone, rule string) *consent.Register {
	t.Helper()
	src := strings.Replace(string(policies.Haim()), "{after: 12mo, notice: 30d, destroy_after: 5y}", rule, 1)
	src = strings.Replace(src, "time_zone: Asia/Seoul", "time_zone: "+zone, 1)
	return register(t, []byte(src))
}

// The dates were worked out by hand with a calendar: a period ends with the
// same day of the month or the month's last, and what follows begins with the
// day after.
func TestAMemberFallsDormantByTheCalendar(t *testing.T) {
	at := func(zone, s string) time.Time {
		if strings.HasSuffix(s, "Z") {
			return must(time.Parse(time.RFC3339, s))
		}
		return must(time.ParseInLocation(time.DateTime, s, must(time.LoadLocation(zone))))
	}
	for _, c := range []struct{ what, zone, rule, active, told, dormant, gone string }{
		{"a year", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 12:00:00", "2027-01-15 09:00:00", "2027-03-11 00:00:00", "2032-03-12 00:00:00"},
		{"a notice on the last day for it", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 12:00:00", "2027-02-08 23:59:59", "2027-03-11 00:00:00", "2032-03-12 00:00:00"},
		{"a notice a day later", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 12:00:00", "2027-02-09 00:00:00", "2027-03-12 00:00:00", "2032-03-13 00:00:00"},
		{"a notice long after", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 12:00:00", "2029-01-31 00:00:00", "2029-03-03 00:00:00", "2034-03-04 00:00:00"},
		{"the last second of a day", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 23:59:59", "2027-01-15 09:00:00", "2027-03-11 00:00:00", "2032-03-12 00:00:00"},
		{"the last day of a month", "Asia/Seoul", "{after: 1mo, notice: 1d, destroy_after: 1mo}", "2027-01-31 12:00:00", "2027-02-01 12:00:00", "2027-03-01 00:00:00", "2027-04-02 00:00:00"},
		{"29 February", "Asia/Seoul", "{after: 1y, notice: 1mo, destroy_after: 4y}", "2028-02-29 12:00:00", "2029-01-29 12:00:00", "2029-03-01 00:00:00", "2033-03-02 00:00:00"},
		{"into a leap year", "Asia/Seoul", "{after: 12mo, notice: 30d, destroy_after: 1y}", "2027-02-28 12:00:00", "2027-12-31 12:00:00", "2028-02-29 00:00:00", "2029-03-01 00:00:00"},
		{"in UTC the day is another", "UTC", "{after: 12mo, notice: 30d, destroy_after: 5y}", "2026-03-10 23:59:59", "2027-01-15 09:00:00", "2027-03-11 00:00:00", "2032-03-12 00:00:00"},
		{"clocks put forward that night", "Europe/Berlin", "{after: 12mo, notice: 30d, destroy_after: 1y}", "2026-03-27 12:00:00", "2027-01-15 09:00:00", "2027-03-28 00:00:00", "2028-03-29 00:00:00"},
		{"clocks put forward at midnight", "America/Havana", "{after: 12mo, notice: 30d, destroy_after: 1y}", "2026-03-13 12:00:00", "2027-01-15 09:00:00", "2027-03-14 01:00:00", "2028-03-15 00:00:00"},
		{"clocks put back at midnight", "America/Havana", "{after: 12mo, notice: 30d, destroy_after: 1y}", "2025-10-31 12:00:00", "2026-09-15 09:00:00", "2026-11-01T04:00:00Z", "2027-11-02 00:00:00"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBook(t, withDormancy(t, c.zone, c.rule))
			call := haimConsent("member", grant("membership"))
			active, told := at(c.zone, c.active), at(c.zone, c.told)
			call.OccurredAt = active
			ok(t)(b.consent(call, active))
			ok(t)(b.notice(dormancyNotice(consent.NoticeSent, told), "ntc_1", told))
			from := at(c.zone, c.dormant)
			if since, yes := b.r.DormantSince(b.f, from.Add(-time.Millisecond)); yes {
				t.Errorf("dormant since %v already", since)
			}
			if since, yes := b.r.DormantSince(b.f, from); !yes || !since.Equal(from) {
				t.Errorf("dormant %t since %v, want %v", yes, since, from)
			}
			gone := at(c.zone, c.gone)
			if _, wake := b.r.Next(b.f, b.keys, gone.AddDate(0, -6, 0)); !wake.Equal(gone) {
				t.Errorf("the sweep looks at %v, want %v", wake, gone)
			}
			if p := b.r.PlanDormancyEnd(b.f, b.keys, gone.Add(-time.Millisecond)); p != nil {
				t.Error("ended too early")
			}
			if p := b.r.PlanDormancyEnd(b.f, b.keys, gone); p == nil || !p.Ended {
				t.Error("not ended in time")
			}
		})
	}
}

func TestWhoWasNotToldNeverFallsDormant(t *testing.T) {
	for outcome, counts := range map[string]bool{
		consent.NoticeSent: true, consent.NoticeDelivered: true, consent.NoticeConfirmed: true,
		consent.NoticeFailed: false, consent.NoticeImpossible: false, "": false,
	} {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
		if outcome != "" {
			ok(t)(b.notice(dormancyNotice(outcome, start("2027-01-15")), "ntc_1", start("2027-01-15")))
		}
		if _, yes := b.r.DormantSince(b.f, noon.AddDate(9, 0, 0)); yes != counts {
			t.Errorf("a notice that was %q: dormant %t", outcome, yes)
		}
	}
	b := newBook(t, haim(t))
	c := haimConsent("member", grant("membership"))
	ok(t)(b.consent(c, noon))
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, noon.Add(time.Hour)), "ntc_1", noon.Add(time.Hour)))
	ok(t)(b.active(noon.Add(2 * time.Hour)))
	if _, yes := b.r.DormantSince(b.f, noon.AddDate(9, 0, 0)); yes {
		t.Error("told before they were last active, and dormant")
	}
	d := newBook(t, dermatech(t)) // has no such rule
	c = haimConsent("standard_member", grant("marketing"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	ok(t)(d.consent(c, noon))
	ok(t)(d.notice(dormancyNotice(consent.NoticeSent, start("2027-01-15")), "ntc_1", start("2027-01-15")))
	if _, yes := d.r.DormantSince(d.f, noon.AddDate(9, 0, 0)); yes {
		t.Error("dormant under a policy that knows no dormancy")
	}
}

func TestTheFirstNoticeCountsAndALaterOneDoesNotPutItOff(t *testing.T) {
	b := sleeper(t)
	again := start("2027-03-01")
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, again), "ntc_2", again))
	if since, yes := b.r.DormantSince(b.f, asleep); !yes || !since.Equal(asleep) {
		t.Errorf("dormant %t since %v", yes, since)
	}
}

func TestWhateverTheMemberDoesPutsDormancyOff(t *testing.T) {
	at := start("2027-03-01")
	for what, do := range map[string]func(b *book) error{
		"a consent": func(b *book) error { _, err := b.consent(haimConsent("", refusal("partner_offers")), at); return err },
		"a withdrawal": func(b *book) error {
			_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, at)
			return err
		},
		"a correction": func(b *book) error {
			_, err := b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email"}}}, "cor_1", at)
			return err
		},
		"a request": func(b *book) error { _, err := b.request(consent.RequestAccess, "rqt_1", at); return err },
		"a signal": func(b *book) error {
			_, err := b.signal(&consent.Signal{Signal: "gpc", OccurredAt: at}, at)
			return err
		},
		"activity": func(b *book) error { _, err := b.active(at); return err },
		"CONTROL a look": func(b *book) error {
			_, err := b.look(&consent.Access{Who: "op", Reason: "a call"}, at)
			return err
		},
		"CONTROL a disclosure": func(b *book) error {
			_, err := b.disclose(&consent.Disclosure{Recipient: "it-vendor", Purpose: "membership", Items: []string{"name"}, OccurredAt: at}, at)
			return err
		},
	} {
		b := sleeper(t)
		if err := do(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_, yes := b.r.DormantSince(b.f, asleep)
		if control := strings.HasPrefix(what, "CONTROL"); yes != control {
			t.Errorf("after %s: dormant %t", what, yes)
		}
		// And the member has to be told anew.
		if _, yes := b.r.DormantSince(b.f, at.AddDate(3, 0, 0)); !yes == strings.HasPrefix(what, "CONTROL") {
			t.Errorf("after %s, three years on: dormant %t", what, yes)
		}
	}
}

func TestOfADormantMemberNothingIsUsedOrShown(t *testing.T) {
	b := sleeper(t)
	for _, now := range []time.Time{asleep.Add(-time.Second), asleep} {
		dormant := !now.Before(asleep)
		a := b.ask("order", now)
		if a.Allowed == dormant || (a.Reason == consent.ReasonDormant) != dormant {
			t.Errorf("%v: %+v", now, a)
		}
		d := &consent.Disclosure{Recipient: "it-vendor", Purpose: "membership", Items: []string{"name"}, OccurredAt: now}
		if _, err := b.r.PlanDisclosure(b.f, b.keys, d, now); dormant {
			wantRefusal(t, err, consent.Forbidden, "dormant", "member_id")
		} else if err != nil {
			t.Errorf("control: %v", err)
		}
		d = &consent.Disclosure{Recipient: "court", Purpose: "membership", Items: []string{"name"}, Basis: "safety", OccurredAt: now}
		if _, err := b.r.PlanDisclosure(b.f, b.keys, d, now); dormant {
			wantRefusal(t, err, consent.Forbidden, "dormant", "member_id")
		}
		d.Basis = "legal_process" // which the policy lets pass despite a suspension
		if _, err := b.r.PlanDisclosure(b.f, b.keys, d, now); err != nil {
			t.Errorf("%v: %v", now, err)
		}
		v := b.f.View(b.r, now)
		if shows := v.MemberKind != "" || len(v.Purposes) > 0; shows == dormant || (v.State == consent.StateDormant) != dormant {
			t.Errorf("%v: shows %+v", now, v)
		}
	}
	if a := b.ask("resale", asleep); a.Reason != consent.ReasonPurposeNotStated {
		t.Errorf("what is wrong first decides: %+v", a)
	}
}

func TestADormantMemberIsWokenOnlyByAReactivation(t *testing.T) {
	b := sleeper(t)
	_, err := b.reactivate("sign_in", asleep.Add(-time.Second))
	wantRefusal(t, err, consent.Conflict, "not_dormant", "member_id")
	now := asleep.Add(time.Hour)

	_, err = b.consent(haimConsent("", grant("partner_offers")), now)
	wantRefusal(t, err, consent.Conflict, "dormant", "member_id")
	_, err = b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email"}}}, "cor_1", now)
	wantRefusal(t, err, consent.Conflict, "dormant", "member_id")
	_, err = b.active(now)
	wantRefusal(t, err, consent.Conflict, "dormant", "member_id")
	_, err = b.signal(&consent.Signal{Signal: "gpc", OccurredAt: now}, now)
	wantRefusal(t, err, consent.Conflict, "dormant", "member_id")

	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, now))
	ok(t)(b.request(consent.RequestAccess, "rqt_1", now))
	ok(t)(b.answer(&consent.RequestOutcome{Request: "rqt_1", Outcome: consent.RequestGranted}, now))
	ok(t)(b.hold(holdOn("purchasing_member"), "hld_1", now.AddDate(-1, 0, 0)))
	ok(t)(b.event(consent.EventDelivered, "order-7", now))
	if since, yes := b.r.DormantSince(b.f, now); !yes || !since.Equal(asleep) {
		t.Errorf("dormant %t since %v", yes, since)
	}

	_, err = b.reactivate("", now)
	wantRefusal(t, err, consent.Invalid, "method_required", "method")
	_, err = b.reactivate("by phone", now)
	wantRefusal(t, err, consent.Invalid, "invalid_method", "method")
	if p := ok(t)(b.reactivate("sign_in", now)); !p.Recheck {
		t.Error("what is due is not asked for again")
	}
	if a := b.ask("order", now); !a.Allowed {
		t.Errorf("%+v", a)
	}
	if a := b.ask("marketing", now); a.Reason != consent.ReasonWithdrawn {
		t.Errorf("withdrawn while dormant: %+v", a)
	}
	ok(t)(b.active(now))
}

func TestADormantMembersDataIsDestroyedAsIfTheyHadLeft(t *testing.T) {
	b := sleeper(t)
	end := start("2032-03-12")
	p := b.r.PlanDormancyEnd(b.f, b.keys, end)
	left := ok(t)(b.r.PlanWithdrawal(b.f, b.keys, &consent.Withdrawal{Membership: true}, end))
	if got, want := fmt.Sprint(p.Destroy, p.SetDue, keptRows(p.Kept), p.Notify, p.Ended, p.Recheck), fmt.Sprint(left.Destroy, left.SetDue, keptRows(left.Kept), left.Notify, true, true); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Proof that somebody left says how.
	e := newBook(t, withEvidence(t))
	ok(t)(e.consent(haimConsent("member", grant("membership")), noon))
	told := start("2027-01-15")
	ok(t)(e.notice(dormancyNotice(consent.NoticeSent, told), "ntc_1", told))
	p = e.r.PlanDormancyEnd(e.f, e.keys, end)
	if len(p.Entries) != 1 || !p.Entries[0].Event.Membership || p.Entries[0].Event.Reason != "dormancy" {
		t.Errorf("%+v", p.Entries)
	}
}

func TestWhatADormantMembersHoldKeepsIsKept(t *testing.T) {
	b := sleeper(t)
	h := holdOn("newsletter")
	h.Until = start("2040-01-01")
	ok(t)(b.hold(h, "hld_1", start("2030-01-01")))
	b.sweep(start("2032-03-12"))
	if !b.f.Withdrawn() || b.key(consent.KeyName{Class: "haim/newsletter"}) < 0 || b.key(consent.KeyName{Class: "haim/shipping", Reference: "order-7"}) < 0 {
		t.Errorf("ended %t, keys %v", b.f.Withdrawn(), b.keys)
	}
	b.sweep(start("2040-01-01"))
	if b.key(consent.KeyName{Class: "haim/newsletter"}) >= 0 {
		t.Error("the hold has ended, and it is kept")
	}
}

// The day of the last activity outlives the entry that showed it.
func TestNobodyFallsDormantEarlyBecauseSomethingWasForgotten(t *testing.T) {
	later := noon.AddDate(0, 6, 0)
	last := func() *book {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
		c := haimConsent("", grant("delivery"))
		c.Reference = "order-7"
		ok(t)(b.consent(c, later))
		return b
	}
	told := func(b *book) *book {
		ok(t)(b.notice(dormancyNotice(consent.NoticeSent, start("2027-01-15")), "ntc_1", start("2027-01-15")))
		return b
	}
	want := start("2027-09-11")

	b := last()
	p := ok(t)(b.event(consent.EventDelivered, "order-7", later.AddDate(0, 1, 0)))
	if len(p.Destroy) != 1 || len(p.Entries) != 1 || p.Entries[0].Event.ActiveAtMs != later.UnixMilli() || p.Entries[0].Key.Class != "haim/purchasing_member" {
		t.Fatalf("%+v", p)
	}
	if from, yes := b.r.DormantSince(told(b).f, want); !yes || !from.Equal(want) {
		t.Errorf("dormant %t from %v", yes, from)
	}
	if v := p.Entries[0].Event.View().(consent.EventView); v.Kind != "activity" || !v.ActiveAt.Equal(later) {
		t.Errorf("shown as %+v", v)
	}

	// Control: an entry that is as new stays, so nothing needs to be restated.
	b = last()
	ok(t)(b.active(later))
	if p := ok(t)(b.event(consent.EventDelivered, "order-7", later)); len(p.Entries) != 0 {
		t.Errorf("restated: %+v", p.Entries)
	}
	// Control: without it, it would be early.
	b = last()
	if err := b.commit(&consent.Plan{Destroy: []consent.KeyName{{Class: "haim/shipping", Reference: "order-7"}}}, nil, later); err != nil {
		t.Fatal(err)
	}
	if from, yes := b.r.DormantSince(told(b).f, want); !yes || !from.Before(want) {
		t.Errorf("control: dormant %t from %v", yes, from)
	}
}

func TestTheClockForgetsNoActivityEither(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
	b2 := haimConsent("", grant("complaints"))
	last := noon.AddDate(0, 1, 0)
	b2.OccurredAt = last
	ok(t)(b.consent(b2, last))
	gone := []consent.KeyName{{Class: "haim/complaint"}}
	if p := b.r.PlanExpiry(b.f, b.keys, gone, last.AddDate(3, 0, 0)); p != nil {
		t.Errorf("the entry may still be read, and is restated: %+v", p)
	}
	at := last.AddDate(3, 0, 1)
	p := b.r.PlanExpiry(b.f, b.keys, gone, at)
	if p == nil || len(p.Entries) != 1 || p.Entries[0].Event.ActiveAtMs != last.UnixMilli() {
		t.Fatalf("%+v", p)
	}
	b.sweep(at)
	told := noon.AddDate(4, 0, 0)
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, told), "ntc_1", told))
	if since, yes := b.r.DormantSince(b.f, told.AddDate(0, 1, 1)); !yes || since.Before(told) {
		t.Errorf("dormant %t since %v", yes, since)
	}
	if p := b.r.PlanExpiry(b.f, b.keys, nil, at); p != nil {
		t.Errorf("nothing goes, and %+v is restated", p)
	}
	if p := b.r.PlanExpiry(nil, nil, gone, at); p != nil {
		t.Errorf("nobody: %+v", p)
	}
}

func TestADayOfActivityIsRecordedOnce(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	for _, c := range []struct {
		at   string
		want int
	}{
		{"2026-03-10 12:00:01", 1}, {"2026-03-10 23:59:59", 0}, {"2026-03-11 00:00:00", 1}, {"2026-03-11 00:00:01", 0},
	} {
		at := must(time.ParseInLocation(time.DateTime, c.at, seoul))
		if p := ok(t)(b.active(at)); len(p.Entries) != c.want {
			t.Errorf("%s: %d entries, want %d", c.at, len(p.Entries), c.want)
		}
	}
	at := start("2026-03-11").Add(time.Hour)
	ok(t)(b.notice(dormancyNotice(consent.NoticeSent, at), "ntc_1", at))
	if p := ok(t)(b.active(at.Add(time.Hour))); len(p.Entries) != 1 || !p.Recheck {
		t.Errorf("after a notice on the same day: %d entries, recheck %t", len(p.Entries), p.Recheck)
	}

	_, err := b.r.PlanActivity(b.f, b.keys, &consent.Activity{}, noon)
	wantRefusal(t, err, consent.Invalid, "occurred_at_required", "occurred_at")
	_, err = b.r.PlanActivity(b.f, b.keys, &consent.Activity{OccurredAt: noon.Add(6 * time.Minute)}, noon)
	wantRefusal(t, err, consent.Invalid, "occurred_at_in_future", "occurred_at")
	_, err = newBook(t, haim(t)).active(noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}
