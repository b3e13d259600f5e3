package consent_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// Values that a member might give where none belongs. Each holds the mark.
const mark = "zq7"

var plantedValues = []string{
	"planted-" + mark, // could be a name
	"Planted " + mark + " 홍길동, 010-1234-5678", // could not
	"planted/" + mark,                         // policy/purpose
	"planted " + mark + "\u200b",              // invisible
	"planted " + mark + "\xff",                // not UTF-8
	strings.Repeat("planted "+mark+" ", 400),  // too long
	strings.Repeat("planted "+mark+" ", 9000), // more than an entry holds
}

// A planner under test: a call that nothing is wrong with, and how to plan it.
type planner struct {
	call any // a pointer to a struct
	plan func(call any) error
}

// planners returns every planner of a Register by its method's name, each with
// the calls that reach its rules.
func planners(t *testing.T) map[string][]planner {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership"), grant("marketing", "email", "name"), grant("order"), grant("payment")), noon))
	delivery := haimConsent("purchasing_member", grant("delivery", "name", "address", "telephone"))
	delivery.Reference = "planted-" + mark
	ok(t)(b.consent(delivery, noon))
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email"}}}, "cor_1", noon))

	text := func(s string) *string { return &s }
	child := func() *consent.Consent {
		c := haimConsent("member", grant("membership"))
		c.BirthDate = &consent.Date{Year: 2020, Month: 1, Day: 1}
		c.Guardian = &consent.Guardian{Reference: "file 7", Method: "passport", VerifiedAt: noon}
		return c
	}
	guarded := register(t, []byte(strings.Replace(string(policies.Haim()), "minors: refuse", "minors: guardian", 1)))
	whole := func() *consent.Consent {
		c := delivery
		c.Decisions = []consent.Decision{
			{Purpose: "partner_offers", Granted: true, Items: []string{"email", "name"}, Recipients: []string{"partner-brand"}},
			{Purpose: "delivery", Granted: true, Items: []string{"name", "address"}},
		}
		return c
	}
	consents := func(r *consent.Register) func(any) error {
		return func(call any) error {
			if _, err := r.PlanConsent(b.f, b.keys, call.(*consent.Consent), noon); err != nil {
				return err
			}
			_, err := r.PlanConsent(nil, nil, call.(*consent.Consent), noon)
			return err
		}
	}
	withdrawal := func(call any) error {
		_, err := b.r.PlanWithdrawal(b.f, b.keys, call.(*consent.Withdrawal), noon)
		return err
	}
	disclosure := func(call any) error {
		_, err := b.r.PlanDisclosure(b.f, b.keys, call.(*consent.Disclosure), noon)
		return err
	}
	return map[string][]planner{
		"PlanConsent": {{whole(), consents(b.r)}, {child(), consents(b.r)}, {child(), consents(guarded)}},
		"PlanWithdrawal": {
			{&consent.Withdrawal{Purposes: []string{"marketing"}, Items: []string{"name"}, Method: "button"}, withdrawal},
			{&consent.Withdrawal{Purposes: []string{"haim/marketing", "order"}}, withdrawal},
			{&consent.Withdrawal{Membership: true}, withdrawal},
		},
		"PlanCorrection": {{
			&consent.Correction{Changes: []consent.Change{{Item: "name", Old: text("a"), New: text("b")}, {Item: "user_id", New: text("c")}}},
			func(call any) error {
				_, err := b.r.PlanCorrection(b.f, b.keys, call.(*consent.Correction), "cor_2", noon)
				return err
			},
		}},
		"PlanOutcome": {{
			&consent.CorrectionOutcome{Correction: "cor_1", Outcome: consent.OutcomeCorrected, Reason: "checked"},
			func(call any) error {
				_, err := b.r.PlanOutcome(b.f, b.keys, call.(*consent.CorrectionOutcome), noon)
				return err
			},
		}},
		"PlanDisclosure": {
			{&consent.Disclosure{Recipient: "parcel-co", Purpose: "delivery", Items: []string{"name", "address"}, Reference: "planted-" + mark, OccurredAt: noon}, disclosure},
			{&consent.Disclosure{Recipient: "payment-co", Purpose: "payment", Items: []string{"name"}, Form: consent.FormPseudonymised, OccurredAt: noon}, disclosure},
			{&consent.Disclosure{Recipient: "police", Purpose: "membership", Items: []string{"name", "email"}, Basis: "legal_process", OccurredAt: noon}, disclosure},
		},
		"PlanAnonymised": {{statistics(), func(call any) error {
			_, err := b.r.PlanAnonymised(call.(*consent.Disclosure), noon)
			return err
		}}},
		"PlanAccess": {{
			&consent.Access{Who: "key_1", From: "192.0.2.1", What: "state", Reason: "the member asked"},
			func(call any) error {
				_, err := b.r.PlanAccess(b.f, b.keys, call.(*consent.Access), noon)
				return err
			},
		}},
	}
}

// officePlanners are the planners of the calls of every day and of the office.
func officePlanners(t *testing.T) map[string][]planner {
	b := newBook(t, haim(t))
	member := must(consent.ParseMemberID("planted " + mark))
	raffle := haimConsent("member", grant("membership"), grant("promotion"), grant("partner_offers"))
	raffle.Reference = "planted-" + mark
	ok(t)(b.consent(raffle, noon))
	now := noon
	run := func(p *consent.Plan, err error) {
		t.Helper()
		if err := b.commit(p, err, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	run(b.r.PlanHold(b.f, b.keys, &consent.Hold{Classes: []string{"membership"}, Ground: "planted " + mark, Until: noon.AddDate(1, 0, 0)}, "hld_1", now))
	p, _, err := b.r.PlanRequest(b.f, b.keys, &consent.Request{Type: consent.RequestAccess, Channel: "email", ReceivedAt: noon}, "rqt_1", now)
	run(p, err)
	run(b.r.PlanDisclosure(b.f, b.keys, &consent.Disclosure{Recipient: "partner-brand", Purpose: "partner_offers", Items: []string{"email"}, OccurredAt: noon}, now))
	run(b.r.PlanCorrection(b.f, b.keys, &consent.Correction{Changes: []consent.Change{{Item: "email"}}}, "cor_1", now))
	run(b.r.PlanOutcome(b.f, b.keys, &consent.CorrectionOutcome{Correction: "cor_1", Outcome: consent.OutcomeCorrected}, now))
	run(b.r.PlanNotice(b.f, b.keys, &consent.Notice{Kind: consent.NoticeDormancy, Member: member, Channel: "email", SentAt: noon, Outcome: consent.NoticeSent}, "ntc_1", now))
	asleep := noon.AddDate(2, 0, 0)
	notice := func(call any) error {
		_, err := b.r.PlanNotice(b.f, b.keys, call.(*consent.Notice), "ntc_2", noon)
		return err
	}
	destruction := uint64(7)
	checked := func(call any) error { return consent.CheckNotice(call.(*consent.Notice), noon) }
	return map[string][]planner{
		"PlanActivity": {
			{&consent.Activity{OccurredAt: noon}, func(call any) error {
				_, err := b.r.PlanActivity(b.f, b.keys, call.(*consent.Activity), noon)
				return err
			}},
		},
		"PlanReactivation": {
			{&consent.Reactivation{Method: "sign_in"}, func(call any) error {
				_, err := b.r.PlanReactivation(b.f, b.keys, call.(*consent.Reactivation), asleep)
				return err
			}},
		},
		"PlanSignal": {
			{&consent.Signal{Signal: consent.SignalGPC, Value: true, OccurredAt: noon}, func(call any) error {
				_, err := b.r.PlanSignal(b.f, b.keys, call.(*consent.Signal), noon)
				return err
			}},
		},
		"PlanEventEnd": {
			{&consent.EventEnd{Type: consent.EventEnded, Reference: "planted-" + mark, OccurredAt: noon}, func(call any) error {
				_, err := b.r.PlanEventEnd(b.f, b.keys, call.(*consent.EventEnd), noon)
				return err
			}},
			{&consent.EventEnd{Type: consent.EventEnded, Reference: "raffle", OccurredAt: noon}, func(call any) error {
				return consent.CheckEventEnd(call.(*consent.EventEnd), noon)
			}},
		},
		"WithRecipient": {
			{&consent.RecipientChange{
				Policy: "haim", ID: "call-centre", Announced: "2026-03-10", Reason: "members are to be called back",
				Recipient: consent.Recipient{
					Name: "Call centre", Business: "calls", Kind: consent.RecipientProcessor, Country: "PH",
					Purposes: []string{"marketing"}, Items: []string{"telephone"}, From: "2026-05-01",
				},
			}, func(call any) error {
				_, err := b.r.WithRecipient(call.(*consent.RecipientChange), noon)
				return err
			}},
		},
		"PlanHold": {
			{&consent.Hold{Classes: []string{"membership", "haim/promotion"}, Ground: "court", Until: noon.AddDate(1, 0, 0)}, func(call any) error {
				_, err := b.r.PlanHold(b.f, b.keys, call.(*consent.Hold), "hld_2", noon)
				return err
			}},
		},
		"PlanRelease": {
			{&struct{ ID string }{"hld_1"}, func(call any) error {
				_, err := b.r.PlanRelease(b.f, b.keys, call.(*struct{ ID string }).ID, noon)
				return err
			}},
		},
		"PlanRequest": {
			{&consent.Request{Type: consent.RequestErasure, Channel: "phone", ReceivedAt: noon}, func(call any) error {
				_, _, err := b.r.PlanRequest(b.f, b.keys, call.(*consent.Request), "rqt_2", noon)
				return err
			}},
		},
		"PlanOperator": {
			{&consent.NewOperator{Name: "Kim Min-ji", Role: "dpo"}, func(call any) error {
				_, err := b.r.PlanOperator(call.(*consent.NewOperator))
				return err
			}},
		},
		"PlanRequestOutcome": {
			{&consent.RequestOutcome{Request: "rqt_1", Outcome: consent.RequestRefused, Reason: "the law asks for the record"}, func(call any) error {
				_, err := b.r.PlanRequestOutcome(b.f, b.keys, call.(*consent.RequestOutcome), noon)
				return err
			}},
		},
		"PlanNotice": {
			{&consent.Notice{Kind: consent.NoticeCorrection, Member: member, Correction: "cor_1", Recipient: "partner-brand", Channel: "email", SentAt: noon, Outcome: consent.NoticeFailed, Reason: "no answer"}, notice},
			{&consent.Notice{Kind: consent.NoticeBreach, Member: member, Channel: "phone", SentAt: noon, Outcome: consent.NoticeDelivered, Reason: "a lost parcel"}, notice},
			{&consent.Notice{Kind: consent.NoticePartnerAudit, Recipient: "it-vendor", Channel: "visit", SentAt: noon, Outcome: consent.NoticePassed}, checked},
			{&consent.Notice{Kind: consent.NoticeDestructionDone, Destruction: &destruction, Channel: "post", SentAt: noon, Outcome: consent.NoticeImpossible, Reason: "no_address"}, checked},
		},
	}
}

// plannersWithoutCall plan what the clock does: nobody sends them anything.
var plannersWithoutCall = []string{"PlanDormancyEnd", "PlanExpiry", "PlanOperatorEnd", "PlanSignIn"}

func TestNoMessageHoldsAValueThatACallerGave(t *testing.T) {
	all := planners(t)
	maps.Copy(all, officePlanners(t))
	for i := range reflect.TypeFor[*consent.Register]().NumMethod() {
		name := reflect.TypeFor[*consent.Register]().Method(i).Name
		if strings.HasPrefix(name, "Plan") && all[name] == nil && !slices.Contains(plannersWithoutCall, name) {
			t.Errorf("%s is not under test; add it to planners", name)
		}
	}
	for name, cases := range all {
		codes := map[string]bool{}
		for i, c := range cases {
			if err := c.plan(c.call); err != nil && i == 0 {
				t.Errorf("%s: the call that nothing is wrong with: %v", name, err)
			}
			slots := texts(reflect.ValueOf(c.call))
			for _, slot := range slots {
				was := slot.String()
				for _, planted := range plantedValues {
					slot.SetString(planted)
					err := c.plan(c.call)
					if err == nil {
						continue
					}
					var r *consent.Refusal
					if !errors.As(err, &r) {
						t.Fatalf("%s: not a refusal: %v", name, err)
					}
					codes[r.Code] = true
					if where := repeats(r); where != "" {
						t.Errorf("%s: %s repeats in its %s what was sent", name, r.Code, where)
					}
				}
				slot.SetString(was)
			}
		}
		if len(codes) == 0 && name != "PlanActivity" { // which has no text
			t.Errorf("%s: no planted value is refused, so it proves nothing", name)
		}
	}
	for _, control := range []*consent.Refusal{{Message: "no " + mark}, {Field: "items." + mark}, {Reason: mark}} {
		if repeats(control) == "" {
			t.Errorf("%+v passes, so the search proves nothing", control)
		}
	}
}

// repeats says which part of a refusal holds the mark.
func repeats(r *consent.Refusal) string {
	for _, part := range []struct{ name, text string }{
		{"code", r.Code},
		{"field", r.Field},
		{"reason", r.Reason},
		{"message", r.Message},
		{"error", r.Error()},
		{"Korean", r.In("ko")},
	} {
		if strings.Contains(strings.ToLower(part.text), mark) {
			return part.name
		}
	}
	return ""
}

// texts returns every text inside a call, those that are empty too.
func texts(v reflect.Value) []reflect.Value {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[consent.MemberID]():
		return nil
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return texts(v.Elem())
	case v.Kind() == reflect.String:
		return []reflect.Value{v}
	}
	var all []reflect.Value
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			all = append(all, texts(v.Field(i))...)
		}
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			all = append(all, texts(v.Index(i))...)
		}
	}
	return all
}
