package consent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestAConsentIsRefusedByNameAndNothingIsPlanned(t *testing.T) {
	with := func(change func(*consent.Consent)) *consent.Consent {
		c := haimConsent("member", grant("membership"))
		change(c)
		return c
	}
	decide := func(kind string, d ...consent.Decision) *consent.Consent { return haimConsent(kind, d...) }
	date := func(s string) *consent.Date { d := must(consent.ParseDate(s)); return &d }

	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		call        *consent.Consent
	}{
		{"unknown_member", "member_id", consent.NotFound, with(func(c *consent.Consent) { c.Enrol = false })},
		{"unknown_policy", "policy", consent.Invalid, with(func(c *consent.Consent) { c.Policy = "other" })},
		{"unknown_policy_version", "policy_version", consent.Invalid, with(func(c *consent.Consent) { c.PolicyVersion = "2020-01-01" })},
		{"unknown_member_kind", "member_kind", consent.Invalid, with(func(c *consent.Consent) { c.MemberKind = "clinic" })},
		{"member_kind_required", "member_kind", consent.Invalid, with(func(c *consent.Consent) { c.MemberKind = "" })},
		{"method_required", "method", consent.Invalid, with(func(c *consent.Consent) { c.Method = "" })},
		{"invalid_method", "method", consent.Invalid, with(func(c *consent.Consent) { c.Method = "By Phone" })},
		{"not_a_consent", "method", consent.Invalid, with(func(c *consent.Consent) { c.Method = "continued_use" })},
		{"invalid_method", "method", consent.Invalid, with(func(c *consent.Consent) { c.Method = "-" })},
		{"invalid_method", "method", consent.Invalid, with(func(c *consent.Consent) { c.Method = "2_1" })},
		{"occurred_at_required", "occurred_at", consent.Invalid, with(func(c *consent.Consent) { c.OccurredAt = time.Time{} })},
		{"occurred_at_in_future", "occurred_at", consent.Invalid, with(func(c *consent.Consent) { c.OccurredAt = noon.Add(5*time.Minute + time.Millisecond) })},
		{"locale_required", "locale", consent.Invalid, with(func(c *consent.Consent) { c.Locale = "" })},
		{"locale_not_in_policy", "locale", consent.Invalid, with(func(c *consent.Consent) { c.Locale = "fr" })},
		{"invalid_locale", "locale", consent.Invalid, with(func(c *consent.Consent) { c.Locale = "f_r"; c.ShownDigest = make([]byte, 32) })},
		{"invalid_locale", "locale", consent.Invalid, with(func(c *consent.Consent) { c.Locale = "ko_KR" })},
		{"invalid_locale", "locale", consent.Invalid, with(func(c *consent.Consent) { c.Locale = "ko-kr" })},
		{"invalid_shown_digest", "shown_digest", consent.Invalid, with(func(c *consent.Consent) { c.ShownDigest = make([]byte, 31) })},
		{"invalid_reference", "reference", consent.Invalid, with(func(c *consent.Consent) { c.Reference = "order\u200b1" })},
		{"invalid_reference", "reference", consent.Invalid, with(func(c *consent.Consent) { c.Reference = "cafe\u0301" })},
		{"invalid_reference", "reference", consent.Invalid, with(func(c *consent.Consent) { c.Reference = "order-1 " })},
		{"invalid_reference", "reference", consent.Invalid, with(func(c *consent.Consent) { c.Reference = "\u00a0order-1" })},
		{"decisions_required", "decisions", consent.Invalid, decide("member")},
		{"age_not_stated", "birth_date", consent.Invalid, with(func(c *consent.Consent) { c.MinimumAgeConfirmed = false })},
		{"under_age", "birth_date", consent.Invalid, with(func(c *consent.Consent) { c.BirthDate = date("2012-03-11") })},
		{"under_age", "birth_date", consent.Invalid, with(func(c *consent.Consent) { c.MinimumAgeConfirmed = false; c.BirthDate = date("2020-02-29") })},
		{"invalid_birth_date", "birth_date", consent.Invalid, with(func(c *consent.Consent) { c.BirthDate = date("2026-03-11") })},
		{"guardian_not_accepted", "guardian", consent.Invalid, with(func(c *consent.Consent) { c.Guardian = &consent.Guardian{} })},
		{"unknown_purpose", "decisions[1].purpose", consent.Invalid, decide("member", grant("membership"), grant("tracking"))},
		{"duplicate_purpose", "decisions[2].purpose", consent.Invalid, decide("member", grant("membership"), grant("marketing"), refusal("marketing"))},
		{"purpose_not_for_member_kind", "decisions[0].purpose", consent.Invalid, decide("member", grant("order"))},
		{"not_a_choice", "decisions[0].decision", consent.Invalid, decide("purchasing_member", refusal("order"))},
		{"prohibited_item", "decisions[0].items[3]", consent.Invalid, decide("member", grant("membership", "user_id", "email", "name", "religion"))},
		{"prohibited_item", "decisions[0].items[0]", consent.Invalid, decide("member", consent.Decision{Purpose: "marketing", Items: []string{"belief"}})},
		{"unknown_item", "decisions[0].items[3]", consent.Invalid, decide("member", grant("membership", "user_id", "email", "name", "shoe_size"))},
		{"unknown_item", "decisions[0].items[3]", consent.Invalid, decide("member", grant("membership", "user_id", "email", "name", "payment_record"))},
		{"sensitive_item", "decisions[0].items[1]", consent.Invalid, decide("member", grant("marketing", "email", "skin_condition"))},
		{"duplicate_item", "decisions[0].items[1]", consent.Invalid, decide("member", grant("marketing", "email", "email"))},
		{"mandatory_item_missing", "decisions[0].items", consent.Invalid, decide("member", grant("membership", "user_id", "email"))},
		{"unknown_recipient", "decisions[0].recipients[0]", consent.Invalid, decide("member", consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{"nobody"}})},
		{"recipient_not_for_purpose", "decisions[0].recipients[0]", consent.Invalid, decide("member", consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{"parcel-co"}})},
		{"duplicate_recipient", "decisions[0].recipients[1]", consent.Invalid, decide("member", consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{"partner-brand", "partner-brand"}})},
		{"reference_required", "reference", consent.Invalid, decide("purchasing_member", grant("delivery"))},
		{"items_not_refused_alone", "decisions[0].items", consent.Invalid, decide("member", consent.Decision{Purpose: "membership", Items: []string{"telephone"}})},
		{"items_not_refused_alone", "decisions[0].items", consent.Invalid, decide("purchasing_member", consent.Decision{Purpose: "order", Items: []string{"telephone"}})},
		{"not_a_choice", "decisions[0].decision", consent.Invalid, decide("purchasing_member", consent.Decision{Purpose: "payment", Items: []string{"name", "payment_record"}})},
	} {
		t.Run(c.code, func(t *testing.T) {
			b := newBook(t, haim(t))
			_, err := b.consent(c.call, noon)
			wantRefusal(t, err, c.kind, c.code, c.field)
			if len(b.keys) != 0 {
				t.Error("a refused enrolment left keys")
			}
		})
	}

	t.Run("control", func(t *testing.T) {
		ok(t)(newBook(t, haim(t)).consent(with(func(*consent.Consent) {}), noon))
	})
}

func TestDoingNothingIsNoConsentHoweverItIsSpelt(t *testing.T) {
	for method, fine := range map[string]bool{
		"implied": false, "implicit": false, "continued_use": false, "continued-use": false, "continueduse": false,
		"pre-ticked": false, "pre_checked": false, "opt_out": false, "opt-out": false, "browsing": false, "scroll": false,
		"deemed": false, "assumed": false, "passive": false, "none": false, "silence": false, "gpc": false,
		"gpc_signal": false, "global-privacy-control": false,
		"button": true, "checkbox": true, "opt-in": true, "phone": true, "double_opt_in": true, "signalled-by-hand": true,
	} {
		c := haimConsent("member", grant("membership"))
		c.Method = method
		if _, err := newBook(t, haim(t)).consent(c, noon); fine {
			if err != nil {
				t.Errorf("%s: %v", method, err)
			}
		} else {
			wantRefusal(t, err, consent.Invalid, "not_a_consent", "method")
		}
	}
}

func TestAGrantOfOnlyOptionalItemsMustNameThem(t *testing.T) {
	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("customised_service"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	_, err := b.consent(c, noon)
	wantRefusal(t, err, consent.Invalid, "items_required", "decisions[0].items")
	c.Decisions[0].Items = []string{"skin_type"}
	ok(t)(b.consent(c, noon))
}

func TestAnItemOfAnotherKindOfMemberIsRefused(t *testing.T) {
	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("communication", "email", "home_address", "home_phone", "mobile_phone", "clinic_phone"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	_, err := b.consent(c, noon)
	wantRefusal(t, err, consent.Invalid, "unknown_item", "decisions[0].items[4]")
	c.Decisions = []consent.Decision{grant("clinic_identification")}
	_, err = b.consent(c, noon)
	wantRefusal(t, err, consent.Invalid, "purpose_not_for_member_kind", "decisions[0].purpose")
	c.MemberKind = "clinic_member"
	ok(t)(b.consent(c, noon))
}

func TestRefusingAnOptionalPurposeBlocksNothing(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), refusal("marketing"), refusal("partner_offers"), refusal("health_consultation")), noon))
	if a := b.ask("membership", noon, "email"); !a.Allowed || a.Reason != consent.ReasonConsentInForce {
		t.Errorf("membership: %+v", a)
	}
	if a := b.ask("marketing", noon); a.Allowed || a.Reason != consent.ReasonRefused || a.Index == nil {
		t.Errorf("marketing: %+v", a)
	}
}

func TestEachClassHasItsOwnEntryWithItsOwnDecisions(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership"), grant("marketing"), grant("terms_of_use"), grant("delivery"), grant("order"))
	c.Reference = "order-7"
	p := ok(t)(b.consent(c, noon))
	type row struct{ Class, Reference, Purposes string }
	var got []row
	for _, d := range p.Entries {
		var names []string
		for _, x := range d.Event.Decisions {
			names = append(names, x.Purpose)
		}
		got = append(got, row{d.Key.Class.Name(), d.Key.Reference, strings.Join(names, " ")})
	}
	want := []row{
		{"purchasing_member", "", "membership terms_of_use"},
		{"newsletter", "", "marketing"},
		{"shipping", "order-7", "delivery"},
		{"contract", "", "order"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if p.MemberKind != "purchasing_member" {
		t.Errorf("member kind %q", p.MemberKind)
	}
	var created []string
	for _, k := range p.Create {
		created = append(created, string(k.Class))
	}
	if d := cmp.Diff([]string{"haim/purchasing_member", "haim/newsletter", "haim/shipping", "haim/contract", "haim/access"}, created); d != "" {
		t.Error(d)
	}
}

// Without this, a member who became a purchasing member with a delivery would
// be a plain one again as soon as the parcel is there.
func TestAKindOutlivesTheClassOfTheCallThatGaveIt(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	c := haimConsent("purchasing_member", grant("delivery"))
	c.Reference = "order-7"
	p := ok(t)(b.consent(c, noon))
	if len(p.Entries) != 2 || p.Entries[1].Key.Class != "haim/purchasing_member" || len(p.Entries[1].Event.Decisions) != 0 {
		t.Fatalf("entries: %d", len(p.Entries))
	}
	shipping := consent.KeyName{Class: "haim/shipping", Reference: "order-7"}
	if err := b.commit(&consent.Plan{Destroy: []consent.KeyName{shipping}}, nil, noon); err != nil {
		t.Fatal(err)
	}
	if got := b.f.View(b.r, noon).MemberKind; got != "purchasing_member" {
		t.Errorf("after the delivery the member is a %s", got)
	}
	end := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if len(end.Kept) == 0 {
		t.Error("nothing is kept of a purchasing member")
	}
}

func TestItemsLeftOutAreTheMandatoryOnes(t *testing.T) {
	b := newBook(t, haim(t))
	p := ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	if d := cmp.Diff([]string{"user_id", "email", "name"}, p.Entries[0].Event.Decisions[0].Items); d != "" {
		t.Error(d)
	}
}

func TestRecipientsLeftOutAreThoseThatThePolicyNames(t *testing.T) {
	b := newBook(t, haim(t))
	p := ok(t)(b.consent(haimConsent("member", grant("partner_offers")), noon))
	if d := cmp.Diff([]string{"partner-brand"}, p.Entries[0].Event.Decisions[0].Recipients); d != "" {
		t.Error(d)
	}
}

func TestWhatWasShownIsRecordedAsADigest(t *testing.T) {
	r := haim(t)
	p, _ := r.InForce("haim", noon)
	en, _ := p.TextDigest("en")
	for locale, want := range map[string][]byte{"en": en[:], "en-GB": en[:], "ko-KR": func() []byte { d, _ := p.TextDigest("ko"); return d[:] }()} {
		c := haimConsent("member", grant("membership"))
		c.Locale = locale
		plan := ok(t)(newBook(t, r).consent(c, noon))
		if d := cmp.Diff(want, plan.Entries[0].Event.ShownDigest); d != "" {
			t.Errorf("%s: %s", locale, d)
		}
	}
	c := haimConsent("member", grant("membership"))
	c.Locale, c.ShownDigest = "fr", []byte(strings.Repeat("x", 32))
	plan := ok(t)(newBook(t, r).consent(c, noon))
	if d := cmp.Diff(c.ShownDigest, plan.Entries[0].Event.ShownDigest); d != "" {
		t.Error(d)
	}
}

func TestABirthDateIsLookedAtAndNotRecorded(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("member", grant("membership"))
	d := must(consent.ParseDate("2012-03-10")) // fourteen that day
	c.BirthDate, c.MinimumAgeConfirmed = &d, false
	p := ok(t)(b.consent(c, noon))
	if got := p.Entries[0].Event.Age; got != consent.AgeByBirthDate {
		t.Errorf("age check %q", got)
	}
	for _, l := range b.entries {
		if strings.Contains(string(l.body), "2012") {
			t.Error("the birth date is in an entry")
		}
	}
}

func TestAGuardianMayConsentWhereThePolicySaysSo(t *testing.T) {
	r := register(t, []byte(strings.Replace(string(policies.Haim()), "minors: refuse", "minors: guardian", 1)))
	b := newBook(t, r)
	c := haimConsent("member", grant("membership"))
	d := must(consent.ParseDate("2016-01-01"))
	c.BirthDate = &d
	_, err := b.consent(c, noon)
	wantRefusal(t, err, consent.Invalid, "guardian_required", "guardian")
	for field, g := range map[string]consent.Guardian{
		"guardian.reference":   {Method: "phone", VerifiedAt: noon},
		"guardian.method":      {Reference: "case-1", VerifiedAt: noon},
		"guardian.verified_at": {Reference: "case-1", Method: "phone"},
	} {
		c.Guardian = &g
		_, err := b.consent(c, noon)
		wantRefusal(t, err, consent.Invalid, "invalid_guardian", field)
	}
	c.Guardian = &consent.Guardian{Reference: "case-1", Method: "phone", VerifiedAt: noon.Add(-time.Hour)}
	p := ok(t)(b.consent(c, noon))
	if e := p.Entries[0].Event; e.Age != consent.AgeByGuardian || e.Guardian == nil {
		t.Errorf("age check %q", e.Age)
	}
	later := haimConsent("member", grant("marketing"))
	later.MinimumAgeConfirmed = false
	_, err = b.consent(later, noon)
	wantRefusal(t, err, consent.Invalid, "guardian_required", "guardian")
	later.MinimumAgeConfirmed = true // says a child
	_, err = b.consent(later, noon)
	wantRefusal(t, err, consent.Invalid, "guardian_required", "guardian")
	grown := must(consent.ParseDate("2012-03-10"))
	later.BirthDate = &grown
	later.Guardian = c.Guardian // who still sends one is no younger for it
	if e := ok(t)(b.consent(later, noon)).Entries[0].Event; e.Age != consent.AgeByBirthDate {
		t.Errorf("age check %q", e.Age)
	}
	later.BirthDate, later.MinimumAgeConfirmed, later.Guardian = nil, false, nil
	ok(t)(b.consent(later, noon))
}

func TestTheAgeIsStatedToEachPolicyThatAsks(t *testing.T) {
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics").Replace(small)
	b := newBook(t, register(t, policies.Haim(), []byte(second)))
	c := haimConsent("member", grant("membership"))
	c.Policy, c.MinimumAgeConfirmed = "second", false // it has no minimum age
	ok(t)(b.consent(c, noon))
	c.Policy = "haim"
	_, err := b.consent(c, noon)
	wantRefusal(t, err, consent.Invalid, "age_not_stated", "birth_date")
}

func TestTheAgeIsStatedOnceAVersionAsksForIt(t *testing.T) {
	src := strings.Replace(string(policies.Haim()), "minimum_age: 14\n", "", 1)
	b := newBook(t, register(t, []byte(src)))
	c := haimConsent("member", grant("membership"))
	c.MinimumAgeConfirmed = false
	ok(t)(b.consent(c, noon))
	next := strings.NewReplacer(`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`).Replace(string(policies.Haim()))
	var err error
	if b.r, err = b.r.With(must(consent.ParsePolicy([]byte(next))), noon); err != nil {
		t.Fatal(err)
	}
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
	c.PolicyVersion, c.Decisions = "2026-06-01", []consent.Decision{grant("marketing")}
	_, err = b.consent(c, june)
	wantRefusal(t, err, consent.Invalid, "age_not_stated", "birth_date")
	c.MinimumAgeConfirmed = true
	ok(t)(b.consent(c, june))
	c.MinimumAgeConfirmed = false
	ok(t)(b.consent(c, june))
}

func TestAGrantToAnEmptyListOfRecipientsIsToNobody(t *testing.T) {
	for _, c := range []struct {
		recipients []string
		want       string
	}{{nil, consent.ReasonConsentInForce}, {[]string{}, consent.ReasonRecipientNotConsented}} {
		b := newBook(t, haim(t))
		d := grant("partner_offers")
		d.Recipients = c.recipients
		ok(t)(b.consent(haimConsent("member", grant("membership"), d), noon))
		if a := b.r.Decide(b.f, &consent.Question{Purpose: "partner_offers", Recipient: "partner-brand"}, noon); a.Reason != c.want {
			t.Errorf("%#v: %+v", c.recipients, a)
		}
	}
}

func TestAConsentNamesTheVersionInForce(t *testing.T) {
	r := haim(t)
	next := strings.NewReplacer(`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`, "reason: first version", "reason: new partner").Replace(string(policies.Haim()))
	r, err := r.With(must(consent.ParsePolicy([]byte(next))), noon)
	if err != nil {
		t.Fatal(err)
	}
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
	for _, c := range []struct {
		version string
		now     time.Time
		fine    bool
	}{
		{"2025-01-01", june.Add(-time.Millisecond), true},
		{"2026-06-01", june.Add(-time.Millisecond), false},
		{"2025-01-01", june, false},
		{"2026-06-01", june, true},
	} {
		call := haimConsent("member", grant("membership"))
		call.PolicyVersion = c.version
		_, err := newBook(t, r).consent(call, c.now)
		if c.fine && err != nil {
			t.Error(err)
		}
		if !c.fine {
			wantRefusal(t, err, consent.Invalid, "policy_version_not_in_force", "policy_version")
		}
	}
}

// withEvidence is the sample policy with consents kept as proof.
func withEvidence(t fataler) *consent.Register {
	return register(t, []byte(strings.Replace(string(policies.Haim()), "purposes:\n", "evidence: {retention: complaint, ground: GDPR 17(3)(e)}\npurposes:\n", 1)))
}

func TestTheEvidenceClassHoldsACopyOfConsentsAndWithdrawals(t *testing.T) {
	b := newBook(t, withEvidence(t))
	p := ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing"), grant("complaints")), noon))
	last := p.Entries[len(p.Entries)-1]
	if last.Key.Class != "haim/complaint" || !last.Event.Copy || len(last.Event.Decisions) != 2 {
		t.Errorf("copy in %s with %d decisions", last.Key.Class, len(last.Event.Decisions))
	}
	first := b.ask("membership", noon)
	if first.Index == nil || *first.Index != 100 {
		t.Errorf("the copy rules instead of the entry: %+v", first)
	}
	p = ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if len(p.Entries) != 2 || !p.Entries[1].Event.Copy {
		t.Errorf("a withdrawal of a purpose has %d entries", len(p.Entries))
	}
	p = ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if len(p.Entries) != 1 || p.Entries[0].Key.Class != "haim/complaint" {
		t.Errorf("the end of the membership has %d entries", len(p.Entries))
	}
}
