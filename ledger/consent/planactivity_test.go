package consent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

func TestASignalIsRecordedAndChangesNoDecision(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("visitor", grant("cookies_analytics"), refusal("cookies_marketing")), noon))
	for i, value := range []bool{true, false} {
		at := noon.Add(time.Duration(i) * time.Hour)
		p := ok(t)(b.signal(&consent.Signal{Signal: "gpc", Value: value, OccurredAt: at}, at))
		if p.Entries[0].Key.Class != "haim/visitor" {
			t.Errorf("recorded in %s", p.Entries[0].Key.Class)
		}
		if v := p.Entries[0].Event.View().(consent.EventView); v.Kind != "signal" || v.Signal != "gpc" || v.Value == nil || *v.Value != value {
			t.Errorf("shown as %+v", v)
		}
		if s := b.f.View(b.r, at).Signals; len(s) != 1 || s[0].Signal != "gpc" || s[0].Value != value || !s[0].RecordedAt.Equal(at) {
			t.Errorf("the state shows %+v", s)
		}
		if a := b.ask("cookies_analytics", at); !a.Allowed {
			t.Errorf("a yes: %+v", a)
		}
		if a := b.ask("cookies_marketing", at); a.Allowed || a.Reason != consent.ReasonRefused {
			t.Errorf("a no: %+v", a)
		}
	}
	for _, c := range []struct {
		code, field string
		s           consent.Signal
	}{
		{"invalid_signal", "signal", consent.Signal{Signal: "dnt", OccurredAt: noon}},
		{"invalid_signal", "signal", consent.Signal{OccurredAt: noon}},
		{"occurred_at_required", "occurred_at", consent.Signal{Signal: "gpc"}},
		{"occurred_at_in_future", "occurred_at", consent.Signal{Signal: "gpc", OccurredAt: noon.Add(6 * time.Minute)}},
	} {
		_, err := b.signal(&c.s, noon)
		wantRefusal(t, err, consent.Invalid, c.code, c.field)
	}
	_, err := newBook(t, haim(t)).signal(&consent.Signal{Signal: "gpc", OccurredAt: noon}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

func TestCookiesCanBeAskedForEachTime(t *testing.T) {
	ask := func(purpose string) consent.Decision { return consent.Decision{Purpose: purpose, Ask: true} }
	b := newBook(t, haim(t))
	p := ok(t)(b.consent(haimConsent("visitor", ask("cookies_analytics"), grant("cookies_marketing")), noon))
	if v := p.Entries[0].Event.View().(consent.EventView); v.Decisions[0].Decision != "ask" || v.Decisions[1].Decision != "granted" {
		t.Errorf("shown as %+v", v.Decisions)
	}
	if a := b.ask("cookies_analytics", noon); a.Allowed || a.Reason != consent.ReasonAskEachTime || a.Index == nil {
		t.Errorf("%+v", a)
	}
	if v := b.f.View(b.r, noon); v.Purposes[0].Decision != "ask" {
		t.Errorf("the state shows %+v", v.Purposes[0])
	}
	_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{"cookies_analytics"}}, noon)
	wantRefusal(t, err, consent.Conflict, "nothing_to_withdraw", "")

	// It takes a yes back like any no, wherever that is kept.
	ok(t)(b.consent(haimConsent("member", ask("cookies_marketing")), noon))
	if err := b.commit(&consent.Plan{Destroy: []consent.KeyName{{Class: "haim/cookies"}}}, nil, noon); err != nil {
		t.Fatal(err)
	}
	if a := b.ask("cookies_marketing", noon); a.Allowed || a.Reason != consent.ReasonAskEachTime {
		t.Errorf("after the class has ended: %+v", a)
	}
	ok(t)(b.consent(haimConsent("", grant("cookies_analytics")), noon))
	if a := b.ask("cookies_analytics", noon); !a.Allowed {
		t.Errorf("decided at last: %+v", a)
	}
	_, err = b.consent(haimConsent("", ask("marketing")), noon)
	wantRefusal(t, err, consent.Invalid, "not_cookies", "decisions[0].decision")
	both := ask("cookies_personalisation")
	both.Granted = true
	ok(t)(b.consent(haimConsent("", both), noon))
	if a := b.ask("cookies_personalisation", noon); a.Allowed {
		t.Errorf("ask and granted at once is a yes: %+v", a)
	}
}

func TestAnEventEndsWhatWaitsForIt(t *testing.T) {
	made := func(t *testing.T) *book {
		b := newBook(t, haim(t))
		for _, ref := range []string{"7", "8"} {
			c := haimConsent("purchasing_member", grant("membership"), grant("order"), grant("delivery"), grant("promotion"))
			c.Reference = ref
			ok(t)(b.consent(c, noon))
		}
		return b
	}
	shipping, promotion := consent.KeyName{Class: "haim/shipping", Reference: "7"}, consent.KeyName{Class: "haim/promotion", Reference: "7"}
	for kind, want := range map[string]consent.KeyName{consent.EventDelivered: shipping, consent.EventEnded: promotion} {
		b := made(t)
		p := ok(t)(b.event(kind, "7", noon))
		if d := cmp.Diff([]consent.KeyName{want}, p.Destroy); d != "" || len(p.Entries) != 0 {
			t.Errorf("%s: %d entries, destroys %s", kind, len(p.Entries), d)
		}
		_, err := b.event(kind, "7", noon)
		wantRefusal(t, err, consent.Conflict, "reference_unknown", "reference")
		ok(t)(b.event(kind, "8", noon))
	}
	// What a delivery decides on after the member has left, too.
	b := made(t)
	left := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if i := slices.IndexFunc(left.Kept, func(k consent.Kept) bool { return k.Event == "delivery" }); i < 0 {
		t.Fatalf("control: kept %v", left.Kept)
	}
	p := ok(t)(b.event(consent.EventDelivered, "7", noon))
	if d := cmp.Diff([]consent.KeyName{shipping}, p.Destroy); d != "" || len(p.Entries) != 0 {
		t.Errorf("after leaving: %d entries, destroys %s", len(p.Entries), d)
	}

	b = made(t)
	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		change      func(e *consent.EventEnd)
	}{
		{"invalid_event_type", "type", consent.Invalid, func(e *consent.EventEnd) { e.Type = "returned" }},
		{"reference_required", "reference", consent.Invalid, func(e *consent.EventEnd) { e.Reference = "" }},
		{"invalid_reference", "reference", consent.Invalid, func(e *consent.EventEnd) { e.Reference = strings.Repeat("x", 257) }},
		{"occurred_at_required", "occurred_at", consent.Invalid, func(e *consent.EventEnd) { e.OccurredAt = time.Time{} }},
		{"occurred_at_in_future", "occurred_at", consent.Invalid, func(e *consent.EventEnd) { e.OccurredAt = noon.Add(6 * time.Minute) }},
		{"reference_unknown", "reference", consent.Conflict, func(e *consent.EventEnd) { e.Reference = "9" }},
	} {
		e := &consent.EventEnd{Type: consent.EventDelivered, Reference: "7", OccurredAt: noon}
		c.change(e)
		_, err := b.r.PlanEventEnd(b.f, b.keys, e, noon)
		wantRefusal(t, err, c.kind, c.code, c.field)
	}
	_, err := newBook(t, haim(t)).event(consent.EventDelivered, "7", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}
