package consent_test

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestARequestIsRefusedByName(t *testing.T) {
	b := newsletterReader(t)
	for _, c := range []struct {
		code, field string
		change      func(q *consent.Request)
	}{
		{"invalid_request_type", "type", func(q *consent.Request) { q.Type = "" }},
		{"invalid_request_type", "type", func(q *consent.Request) { q.Type = "objection" }},
		{"received_at_required", "received_at", func(q *consent.Request) { q.ReceivedAt = time.Time{} }},
		{"received_at_in_future", "received_at", func(q *consent.Request) { q.ReceivedAt = noon.Add(5*time.Minute + 1) }},
		{"channel_required", "channel", func(q *consent.Request) { q.Channel = "" }},
		{"invalid_channel", "channel", func(q *consent.Request) { q.Channel = "by phone" }},
	} {
		q := &consent.Request{Type: consent.RequestErasure, Channel: "phone", ReceivedAt: noon.Add(5 * time.Minute)}
		if _, _, err := b.r.PlanRequest(b.f, b.keys, q, "rqt_1", noon); err != nil {
			t.Fatal("control:", err)
		}
		c.change(q)
		_, _, err := b.r.PlanRequest(b.f, b.keys, q, "rqt_1", noon)
		wantRefusal(t, err, consent.Invalid, c.code, c.field)
	}
	_, err := newBook(t, haim(t)).request(consent.RequestAccess, "rqt_1", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
	ok(t)(b.hold(holdOn("membership"), "hld_1", noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	_, err = b.request(consent.RequestAccess, "rqt_1", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

// The first day does not count, and the day after the last is late.
func TestARequestIsDueByTheControllersCalendar(t *testing.T) {
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics", "prohibited:", "answer_days: 10\nprohibited:").Replace(small)
	for _, c := range []struct {
		what          string
		days          string
		received, now string // in Seoul
		due           string
	}{
		{"thirty days", "30", "2026-03-10 00:00:00", "2026-03-10 12:00:00", "2026-04-10 00:00:00"},
		{"the last second of a day", "30", "2026-03-09 23:59:59", "2026-03-10 12:00:00", "2026-04-09 00:00:00"},
		{"ten days over a month's end", "10", "2026-02-20 10:00:00", "2026-02-20 12:00:00", "2026-03-03 00:00:00"},
		{"ten days over a leap day", "10", "2028-02-20 10:00:00", "2028-02-20 12:00:00", "2028-03-02 00:00:00"},
		{"the same day", "0", "2026-03-10 00:00:00", "2026-03-10 12:00:00", "2026-03-11 00:00:00"},
		{"long ago", "30", "2025-01-01 12:00:00", "2026-03-10 12:00:00", "2025-02-01 00:00:00"},
		{"a sender's clock that is ahead", "30", "2026-03-11 00:00:01", "2026-03-10 23:59:59", "2026-04-10 00:00:00"},
	} {
		at := func(s string) time.Time { return must(time.ParseInLocation(time.DateTime, s, seoul)) }
		b := newBook(t, register(t, []byte(strings.Replace(string(policies.Haim()), "answer_days: 30", "answer_days: "+c.days, 1)), []byte(second)))
		call := haimConsent("member", grant("membership"))
		call.OccurredAt = at(c.now).AddDate(0, -1, 0)
		ok(t)(b.consent(call, call.OccurredAt))
		q := &consent.Request{Type: consent.RequestAccess, Channel: "post", ReceivedAt: at(c.received)}
		p, due, err := b.r.PlanRequest(b.f, b.keys, q, "rqt_1", at(c.now))
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if !due.Equal(at(c.due)) || p.Entries[0].Event.DueAtMs != due.UnixMilli() || p.Entries[0].Key.Class != "haim/membership" || !p.Recheck {
			t.Errorf("%s: due %v, want %v", c.what, due.In(seoul), c.due)
		}
		// Under a second policy the shorter promise counts.
		call.Policy = "second"
		ok(t)(b.consent(call, call.OccurredAt))
		_, due, err = b.r.PlanRequest(b.f, b.keys, q, "rqt_1", at(c.now))
		tenth := b.r.DayStart(b.r.Day(min2(at(c.received), at(c.now))) + 11)
		if err != nil || !due.Equal(min2(tenth, at(c.due))) {
			t.Errorf("%s: by two policies due %v", c.what, due.In(seoul))
		}
	}
}

func min2(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func TestARequestHasOneOutcomeAndASuspensionCanBeLifted(t *testing.T) {
	const (
		granted, refused, withdrawn, lifted = consent.RequestGranted, consent.RequestRefused, consent.RequestWithdrawn, consent.RequestLifted
	)
	for _, c := range []struct {
		kind string
		said []string
		want string // of the last
	}{
		{"erasure", []string{granted}, ""},
		{"erasure", []string{refused}, ""},
		{"erasure", []string{withdrawn}, ""},
		{"erasure", []string{"done"}, "invalid_outcome"},
		{"erasure", []string{lifted}, "invalid_outcome"},
		{"erasure", []string{granted, granted}, "request_finished"},
		{"erasure", []string{granted, "done"}, "request_finished"},
		{"erasure", []string{granted, lifted}, "invalid_outcome"},
		{"suspension", []string{granted, lifted}, ""},
		{"suspension", []string{lifted}, "invalid_outcome"},
		{"suspension", []string{refused, lifted}, "invalid_outcome"},
		{"suspension", []string{granted, refused}, "request_finished"},
		{"suspension", []string{granted, lifted, granted}, "request_finished"},
		{"suspension", []string{granted, lifted, lifted}, "invalid_outcome"},
	} {
		b := newsletterReader(t)
		ok(t)(b.request(c.kind, "rqt_1", noon))
		for i, said := range c.said {
			p, err := b.answer(&consent.RequestOutcome{Request: "rqt_1", Outcome: said, Reason: "because"}, noon)
			switch last := i == len(c.said)-1; {
			case last && c.want == "invalid_outcome":
				wantRefusal(t, err, consent.Invalid, c.want, "outcome")
			case last && c.want != "":
				wantRefusal(t, err, consent.Conflict, c.want, "id")
			case err != nil:
				t.Errorf("%s %v: %v", c.kind, c.said, err)
			case !p.Recheck:
				t.Errorf("%s %v: what is due is not asked for again", c.kind, c.said)
			}
		}
	}
	b := newsletterReader(t)
	ok(t)(b.request("erasure", "rqt_1", noon))
	for code, o := range map[string]consent.RequestOutcome{
		"reason_required": {Request: "rqt_1", Outcome: refused, Reason: " "},
		"invalid_reason":  {Request: "rqt_1", Outcome: granted, Reason: strings.Repeat("x", 2049)},
	} {
		_, err := b.answer(&o, noon)
		wantRefusal(t, err, consent.Invalid, code, "reason")
	}
	_, err := b.answer(&consent.RequestOutcome{Request: "rqt_2", Outcome: granted}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_request", "id")
	_, err = newBook(t, haim(t)).answer(&consent.RequestOutcome{Request: "rqt_1", Outcome: granted}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

func TestProcessingIsSuspendedFromTheRequestUntilItsEnd(t *testing.T) {
	b := buyer(t) // with the telephone under correction
	suspended := func() bool {
		t.Helper()
		a := b.ask("membership", noon, "email")
		d := &consent.Disclosure{Recipient: "it-vendor", Purpose: "membership", Items: []string{"email"}, OccurredAt: noon}
		_, err := b.r.PlanDisclosure(b.f, b.keys, d, noon)
		if (err == nil) != a.Allowed {
			t.Fatalf("decision %+v, disclosure %v", a, err)
		}
		if a.Allowed {
			return false
		}
		wantRefusal(t, err, consent.Forbidden, "processing_suspended", "member_id")
		if a.Reason != consent.ReasonProcessingSuspended || a.Index == nil {
			t.Errorf("%+v", a)
		}
		d.Recipient, d.Basis = "court", "legal_process"
		if _, err := b.r.PlanDisclosure(b.f, b.keys, d, noon); err != nil {
			t.Errorf("an exemption that passes despite a suspension: %v", err)
		}
		d.Basis = "safety"
		_, err = b.r.PlanDisclosure(b.f, b.keys, d, noon)
		wantRefusal(t, err, consent.Forbidden, "processing_suspended", "member_id")
		return true
	}
	for _, c := range []struct {
		outcome string
		want    bool
	}{{"granted", true}, {"refused", false}, {"withdrawn", false}} {
		ok(t)(b.request(consent.RequestAccess, "rqt_a"+c.outcome, noon))
		if suspended() {
			t.Fatal("control: a request for access suspends")
		}
		ok(t)(b.request(consent.RequestSuspension, "rqt_"+c.outcome, noon))
		if !suspended() {
			t.Errorf("not suspended by the request")
		}
		ok(t)(b.answer(&consent.RequestOutcome{Request: "rqt_" + c.outcome, Outcome: c.outcome, Reason: "because"}, noon))
		if suspended() != c.want {
			t.Errorf("%s: suspended %t", c.outcome, !c.want)
		}
		if c.outcome == "granted" {
			ok(t)(b.answer(&consent.RequestOutcome{Request: "rqt_granted", Outcome: "lifted"}, noon))
			if suspended() {
				t.Error("suspended after it was lifted")
			}
		}
	}
	ok(t)(b.request(consent.RequestSuspension, "rqt_order", noon))
	if a := b.ask("membership", noon, "telephone"); a.Reason != consent.ReasonItemSuspended {
		t.Errorf("what is wrong first decides: %+v", a)
	}
}

func TestTheStateShowsWhatAMemberAskedFor(t *testing.T) {
	b := newsletterReader(t)
	ok(t)(b.request(consent.RequestSuspension, "rqt_1", noon))
	v := b.f.View(b.r, noon)
	if len(v.Requests) != 1 || !v.Suspended || v.Requests[0].Outcome != "" || v.Requests[0].DecidedAt != nil || v.Requests[0].Type != "suspension" {
		t.Errorf("%+v", v)
	}
	ok(t)(b.answer(&consent.RequestOutcome{Request: "rqt_1", Outcome: consent.RequestRefused, Reason: "a contract"}, noon.Add(time.Hour)))
	v = b.f.View(b.r, noon)
	if q := v.Requests[0]; v.Suspended || q.Outcome != "refused" || !q.DecidedAt.Equal(noon.Add(time.Hour)) || !q.Due.Equal(noon.Truncate(24*time.Hour).Add(31*24*time.Hour-9*time.Hour)) {
		t.Errorf("%+v", v.Requests)
	}
}
