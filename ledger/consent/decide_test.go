package consent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestADecisionSaysWhyAndOnWhatItRests(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member",
		grant("membership", "user_id", "email", "name", "telephone"), grant("order"), grant("partner_offers"), refusal("marketing"), grant("personalisation"), grant("payment"))
	ok(t)(b.consent(c, noon)) // entries 100 purchasing_member, 101 contract, 102 partners, 103 newsletter, 104 payment
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}}, noon))
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "telephone"}}}, "cor_1", noon))

	index := func(i uint64) *uint64 { return &i }
	for _, c := range []struct {
		q       consent.Question
		allowed bool
		reason  string
		index   *uint64
	}{
		{consent.Question{Purpose: "membership", Items: []string{"email"}}, true, "consent_in_force", index(100)},
		{consent.Question{Purpose: "haim/membership", Items: []string{"email"}}, true, "consent_in_force", index(100)},
		{consent.Question{Purpose: "membership", Items: []string{"email"}, Recipient: "it-vendor"}, true, "consent_in_force", index(100)},
		{consent.Question{Purpose: "order", Items: []string{"name"}}, true, "basis_in_force", index(101)},
		{consent.Question{Purpose: "order"}, false, "item_suspended", index(106)},
		{consent.Question{Purpose: "payment"}, true, "basis_in_force", index(104)},
		{consent.Question{Purpose: "partner_offers", Items: []string{"email"}, Recipient: "partner-brand"}, true, "consent_in_force", index(102)},
		{consent.Question{Purpose: "promotion"}, false, "no_consent", nil},
		{consent.Question{Purpose: "complaints"}, false, "no_consent", nil},
		{consent.Question{Purpose: "marketing"}, false, "refused", index(103)},
		{consent.Question{Purpose: "personalisation"}, false, "withdrawn", index(105)},
		{consent.Question{Purpose: "membership", Items: []string{"telephone"}}, false, "item_suspended", index(106)},
		{consent.Question{Purpose: "membership"}, false, "item_suspended", index(106)},
		{consent.Question{Purpose: "resale"}, false, "purpose_not_stated", nil},
		{consent.Question{Purpose: "other/membership"}, false, "purpose_not_stated", nil},
		{consent.Question{Purpose: "membership", Items: []string{"email", "address"}}, false, "item_not_consented", index(100)},
		{consent.Question{Purpose: "membership", Items: []string{"religion"}}, false, "item_not_consented", index(100)},
		{consent.Question{Purpose: "membership", Items: []string{"email"}, Recipient: "nobody"}, false, "recipient_not_registered", nil},
		{consent.Question{Purpose: "membership", Items: []string{"email"}, Recipient: "parcel-co"}, false, "recipient_not_registered", nil},
	} {
		a := b.r.Decide(b.f, &c.q, noon)
		if a.Allowed != c.allowed || a.Reason != c.reason || (a.Index == nil) != (c.index == nil) || a.Index != nil && *a.Index != *c.index {
			t.Errorf("%+v: got %+v, want %v %s", c.q, a, c.allowed, c.reason)
		}
		if a.Allowed && a.PolicyVersion != "2025-01-01" {
			t.Errorf("%+v: version %q", c.q, a.PolicyVersion)
		}
	}
	if a := b.r.Decide(nil, &consent.Question{Purpose: "membership"}, noon); a.Reason != "unknown_member" || a.Allowed {
		t.Errorf("nobody: %+v", a)
	}
}

func TestARecipientWhomTheMemberDidNotNameGetsNothing(t *testing.T) {
	two := strings.Replace(string(policies.Haim()), "exemptions:\n", "  other-brand: {name: Other (placeholder), business: cosmetics, kind: third_party, purposes: [partner_offers], items: [email]}\nexemptions:\n", 1)
	b := newBook(t, register(t, []byte(two)))
	ok(t)(b.consent(haimConsent("member", consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{"partner-brand"}}), noon))
	for rec, want := range map[string]string{"partner-brand": "consent_in_force", "other-brand": "recipient_not_consented"} {
		if a := b.r.Decide(b.f, &consent.Question{Purpose: "partner_offers", Recipient: rec}, noon); a.Reason != want {
			t.Errorf("%s: %+v", rec, a)
		}
	}
	_, err := b.disclose(&consent.Disclosure{Recipient: "other-brand", Purpose: "partner_offers", Items: []string{"email"}, OccurredAt: noon}, noon)
	wantRefusal(t, err, consent.Forbidden, "recipient_not_consented", "recipient")
}

func TestARecipientCountsFromItsDateOn(t *testing.T) {
	late := strings.Replace(string(policies.Haim()), "items: [email, name]\n    from: \"2025-01-01\"", "items: [email, name]\n    from: \"2026-03-11\"", 1)
	b := newBook(t, register(t, []byte(late)))
	p := ok(t)(b.consent(haimConsent("member", grant("partner_offers")), noon))
	if got := p.Entries[0].Event.Decisions[0].Recipients; len(got) != 0 {
		t.Errorf("consent names %v, which is not in force", got)
	}
	q := &consent.Question{Purpose: "partner_offers", Recipient: "partner-brand"}
	if a := b.r.Decide(b.f, q, noon); a.Reason != consent.ReasonRecipientNotRegistered {
		t.Errorf("the day before: %+v", a)
	}
	if a := b.r.Decide(b.f, q, noon.AddDate(0, 0, 1)); a.Reason != consent.ReasonRecipientNotConsented {
		t.Errorf("the day itself: %+v", a)
	}
}

// amended returns the sample policy as a version that takes effect on
// 2026-06-01, announced and posted in time, with one more change.
func amended(t *testing.T, old, new string) *consent.Register {
	t.Helper()
	src := strings.NewReplacer(`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-04-01"`, "reason: first version", "reason: it is time").Replace(string(policies.Haim()))
	changed := strings.Replace(src, old, new, 1)
	if changed == src && old != "" {
		t.Fatal("the test changes nothing")
	}
	r, err := haim(t).With(must(consent.ParsePolicy([]byte(changed))), time.Date(2026, 4, 1, 9, 0, 0, 0, seoul))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAConsentIsAskedAgainOnlyAfterAChangeInAPointOfTheLaw(t *testing.T) {
	may, june := time.Date(2026, 5, 31, 23, 59, 59, 0, seoul), time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
	for _, c := range []struct {
		what, old, new string
		again          bool
	}{
		{"nothing", "", "", false},
		{"an officer", "dpo@haim.example", "officer@haim.example", false},
		{"a label", "label: {en: E-mail address", "label: {en: E-mail", false},
		{"another language", "title: {en: News and offers,", "title: {ja: お知らせ, en: News and offers,", false},
		{"another purpose's items", "optional: [birth_date, preferences]", "optional: [birth_date]", false},
		{"the title", "News and offers", "News, offers and surveys by telephone", true},
		{"the items", "items: {mandatory: [email], optional: [name, telephone]}", "items: {mandatory: [email], optional: [name]}", true},
		{"a mandatory item", "items: {mandatory: [email], optional: [name, telephone]}", "items: {mandatory: [email, name], optional: [telephone]}", true},
		{"the retention", "    retention: newsletter\n", "    retention: membership\n", true},
		{"the cost of refusing", "You only get no news and offers.", "You then pay for delivery.", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.what == "the title" {
				c.old, c.new = "{en: News and offers", "{en: \"News, offers and surveys by telephone\""
			}
			if c.what == "the retention" {
				c.new = "    retention: {member: membership, purchasing_member: membership}\n"
			}
			b := newBook(t, amended(t, c.old, c.new))
			ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
			if a := b.ask("marketing", may); !a.Allowed {
				t.Errorf("the day before: %+v", a)
			}
			a := b.ask("marketing", june)
			if want := map[bool]string{true: consent.ReasonReconsentRequired, false: consent.ReasonConsentInForce}[c.again]; a.Reason != want || a.Allowed == c.again {
				t.Errorf("from the date on: %+v, want %s", a, want)
			}
			if a := b.ask("membership", june); !a.Allowed {
				t.Errorf("a purpose that did not change: %+v", a)
			}
			if !c.again {
				return
			}
			_, err := b.disclose(&consent.Disclosure{Recipient: "it-vendor", Purpose: "membership", Items: []string{"email"}, OccurredAt: june}, june)
			if err != nil {
				t.Error(err)
			}
			call := haimConsent("member", grant("marketing"))
			call.PolicyVersion = "2026-06-01"
			ok(t)(b.consent(call, june))
			if a := b.ask("marketing", june); !a.Allowed {
				t.Errorf("asked again: %+v", a)
			}
		})
	}
}

func TestAPurposeThatSeveralPoliciesStateNeedsEachThatWasDecidedOn(t *testing.T) {
	second := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics").Replace(small)
	b := newBook(t, register(t, policies.Haim(), []byte(second)))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
	if a := b.ask("marketing", noon); !a.Allowed {
		t.Errorf("decided on in one: %+v", a)
	}
	c := haimConsent("buyer", refusal("marketing"))
	c.Policy = "second"
	ok(t)(b.consent(c, noon))
	if a := b.ask("marketing", noon); a.Allowed || a.Reason != consent.ReasonRefused {
		t.Errorf("refused in the other: %+v", a)
	}
	if a := b.ask("haim/marketing", noon); !a.Allowed {
		t.Errorf("asked about one: %+v", a)
	}
	d := &consent.Disclosure{Recipient: "it-vendor", Purpose: "marketing", Items: []string{"email"}, OccurredAt: noon}
	_, err := b.disclose(d, noon)
	wantRefusal(t, err, consent.Invalid, "purpose_ambiguous", "purpose")
	c.Decisions = []consent.Decision{grant("marketing")}
	ok(t)(b.consent(c, noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if len(p.Entries) != 2 {
		t.Errorf("a plain name withdraws in %d policies", len(p.Entries))
	}
	for _, name := range []string{"marketing", "haim/marketing", "second/marketing"} {
		if a := b.ask(name, noon); a.Allowed {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestTheStateOfAMemberIsWhatWasDecided(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), refusal("marketing")), noon))
	v := b.f.View(b.r, noon)
	if v.State != consent.StateActive || v.MemberKind != "member" || len(v.Purposes) != 2 {
		t.Fatalf("%+v", v)
	}
	m := v.Purposes[1]
	if m.Purpose != "marketing" || m.Decision != "refused" || m.Allowed || m.Index != 101 || !m.RecordedAt.Equal(noon) || m.PolicyVersion != "2025-01-01" {
		t.Errorf("%+v", m)
	}
	if v.SuspendedItems == nil || v.Disclosures == nil {
		t.Error("an empty list is nil and would be null in JSON")
	}
	if b.f.SizeBytes() < 400 {
		t.Errorf("the fold of two purposes is said to hold %d bytes", b.f.SizeBytes())
	}
}

func TestAQuestionWithoutItemsIsAnsweredLikeOneThatNamesThemAll(t *testing.T) {
	b := newBook(t, amended(t, "order_record], optional: [email, telephone]}", "order_record], optional: [email]}"))
	c := haimConsent("purchasing_member", grant("order", "user_id", "name", "order_record", "telephone"), grant("promotion", "name", "email", "address"))
	c.Reference = "raffle-1"
	ok(t)(b.consent(c, noon))
	june := time.Date(2026, 6, 2, 0, 0, 0, 0, seoul)
	for _, c := range []struct {
		q    consent.Question
		all  []string
		now  time.Time
		want string
	}{
		{consent.Question{Purpose: "promotion", Recipient: "parcel-co"}, []string{"name", "email", "address"}, noon, "recipient_not_registered"}, // it may not have the e-mail
		{consent.Question{Purpose: "order"}, []string{"user_id", "name", "order_record", "telephone"}, noon, "basis_in_force"},
		{consent.Question{Purpose: "order"}, []string{"user_id", "name", "order_record", "telephone"}, june, "item_not_consented"}, // taken out since
	} {
		for _, items := range [][]string{nil, {}, c.all} {
			c.q.Items = items
			if a := b.r.Decide(b.f, &c.q, c.now); a.Reason != c.want {
				t.Errorf("%s %v: %+v, want %s", c.q.Purpose, items, a, c.want)
			}
		}
	}
	if a := b.r.Decide(b.f, &consent.Question{Purpose: "promotion", Recipient: "parcel-co", Items: []string{"name", "address"}}, noon); !a.Allowed {
		t.Errorf("control: %+v", a)
	}
}

func TestAConsentStaysAChoiceWhenTheBasisChanges(t *testing.T) {
	b := newBook(t, amended(t, "title: {en: Personalised service, ko: 맞춤형 서비스}\n    kind: collection\n    basis: consent", "title: {en: Personalised service, ko: 맞춤형 서비스}\n    kind: collection\n    basis: contract"))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("personalisation")), noon))
	june := time.Date(2026, 6, 2, 0, 0, 0, 0, seoul)
	if a := b.ask("personalisation", noon); !a.Allowed {
		t.Fatalf("control: %+v", a)
	}
	if a := b.ask("personalisation", june); a.Allowed || a.Reason != consent.ReasonReconsentRequired {
		t.Errorf("under a basis that nobody was told of: %+v", a)
	}
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}}, june))
	if a := b.ask("personalisation", june); a.Reason != consent.ReasonWithdrawn {
		t.Errorf("%+v", a)
	}
	c := haimConsent("member", grant("personalisation"))
	c.PolicyVersion = "2026-06-01"
	ok(t)(b.consent(c, june))
	_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}}, june)
	wantRefusal(t, err, consent.Invalid, "not_a_choice", "purposes[0]")
}

func TestAPurposeThatWasTakenOutAndComesBackIsAskedAgain(t *testing.T) {
	all := string(policies.Haim())
	i, j := strings.Index(all, "  personalisation:\n"), strings.Index(all, "  marketing:\n")
	without := all[:i] + all[j:]
	r := haim(t)
	for _, v := range []struct{ src, version, announced string }{{without, "2026-06-01", "2026-04-01"}, {all, "2026-08-01", "2026-04-02"}} {
		src := strings.NewReplacer(`version: "2025-01-01"`, `version: "`+v.version+`"`, `announced: "2024-12-01"`, `announced: "`+v.announced+`"`).Replace(v.src)
		var err error
		if r, err = r.With(must(consent.ParsePolicy([]byte(src))), time.Date(2026, 4, 2, 9, 0, 0, 0, seoul)); err != nil {
			t.Fatal(err)
		}
	}
	b := newBook(t, r)
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("personalisation")), noon))
	for month, want := range map[time.Month]string{5: "consent_in_force", 6: "purpose_not_stated", 8: "reconsent_required"} {
		if a := b.ask("personalisation", time.Date(2026, month, 2, 0, 0, 0, 0, seoul)); a.Reason != want {
			t.Errorf("in month %d: %+v, want %s", month, a, want)
		}
	}
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"personalisation"}}, time.Date(2026, 7, 1, 0, 0, 0, 0, seoul)))
	if len(p.Entries) != 1 {
		t.Error("a purpose that is stated no more cannot be withdrawn")
	}
}

func TestAConsentToAPartnerIsAskedAgainWhenItsIDMeansAnother(t *testing.T) {
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
	for _, c := range []struct{ what, old, new, want string }{
		{"nothing", "", "", "consent_in_force"},
		{"another partner besides", "exemptions:\n", "  other-brand: {name: Other (placeholder), business: cosmetics, kind: third_party, purposes: [partner_offers], items: [email]}\nexemptions:\n", "consent_in_force"},
		{"the recipient of another purpose", "name: IT vendor (placeholder)", "name: Another vendor (placeholder)", "consent_in_force"},
		{"its name", "name: Partner brand (placeholder)", "name: Another brand (placeholder)", "reconsent_required"},
		{"its business", "business: cosmetics", "business: insurance", "reconsent_required"},
		{"its country", "    business: cosmetics\n    kind: third_party\n    country: KR", "    business: cosmetics\n    kind: third_party\n    country: US", "reconsent_required"},
	} {
		b := newBook(t, amended(t, c.old, c.new))
		ok(t)(b.consent(haimConsent("member", grant("membership"), grant("partner_offers")), noon))
		if a := b.r.Decide(b.f, &consent.Question{Purpose: "partner_offers", Recipient: "partner-brand"}, june); a.Reason != c.want {
			t.Errorf("%s: %+v, want %s", c.what, a, c.want)
		}
	}
}

func TestATitleWithoutACommonLanguageIsAnotherTitle(t *testing.T) {
	french := strings.NewReplacer("text: {en:", "text: {fr:", "{en: ", "{fr: ", `version: "2025-01-01"`, "version: \"2026-06-01\"\nannounced: \"2026-04-01\"\nreason: moved").Replace(small)
	r, err := register(t, []byte(small)).With(must(consent.ParsePolicy([]byte(french))), time.Date(2026, 4, 1, 9, 0, 0, 0, seoul))
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t, r)
	c := haimConsent("member", grant("membership"))
	c.Policy = "shop"
	ok(t)(b.consent(c, noon))
	if a := b.ask("membership", noon); !a.Allowed {
		t.Errorf("control: %+v", a)
	}
	if a := b.ask("membership", time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)); a.Reason != consent.ReasonReconsentRequired {
		t.Errorf("%+v", a)
	}
}

func TestNothingIsToldOfATimeToCome(t *testing.T) {
	for ahead, code := range map[time.Duration]string{-time.Hour: "", 0: "", 5 * time.Minute: "", 5*time.Minute + time.Millisecond: "at_in_future", 30 * 24 * time.Hour: "at_in_future"} {
		err := (&consent.Question{Purpose: "marketing", At: noon.Add(ahead)}).CheckAt(noon)
		if code == "" && err != nil {
			t.Errorf("%v: %v", ahead, err)
		}
		if code != "" {
			wantRefusal(t, err, consent.Invalid, code, "at")
		}
	}
	if err := (&consent.Question{Purpose: "marketing"}).CheckAt(noon); err != nil {
		t.Errorf("without a time: %v", err)
	}
}

func TestAQuestionWithoutItemsIsAboutAllThatWasAgreedTo(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name")), noon))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership", "user_id", "email", "name", "address")), noon)) // under another key
	if a := b.ask("membership", noon); !a.Allowed {
		t.Fatalf("before: %+v", a)
	}
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "address"}}}, "cor_1", noon))
	if a := b.ask("membership", noon); a.Allowed || a.Reason != consent.ReasonItemSuspended {
		t.Errorf("with the address under correction: %+v", a)
	}
	if a := b.ask("membership", noon, "email"); !a.Allowed {
		t.Errorf("of the e-mail address alone: %+v", a)
	}
}

// Which yes names the contested item may not matter: the entry may be destroyed.
func TestAnItemUnderCorrectionIsANoWhicheverYesIsDestroyed(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name")), noon))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership", "user_id", "email", "name", "address")), noon))
	without := func(class consent.ClassID) consent.Answer {
		left := slices.DeleteFunc(slices.Clone(b.entries), func(l line) bool {
			return l.key.Class == class && must(consent.DecodeEvent(l.body)).Kind == consent.KindConsent
		})
		if len(left) == len(b.entries) {
			t.Fatalf("nothing lies under %s", class)
		}
		return b.r.Decide(fold(left), &consent.Question{Purpose: "membership"}, noon)
	}
	if a := without("haim/purchasing_member"); !a.Allowed {
		t.Errorf("control: before the correction: %+v", a)
	}
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "address"}}}, "cor_1", noon))
	for _, class := range []consent.ClassID{"haim/purchasing_member", "haim/membership"} {
		if a := without(class); a.Allowed || a.Reason != consent.ReasonItemSuspended {
			t.Errorf("without what lies under %s: %+v", class, a)
		}
	}
}

func TestASweepIsNotWhatMakesAnOlderYesCount(t *testing.T) {
	src := strings.Replace(small, "items: {mandatory: [email]}\n    retention: membership", "items: {mandatory: [email], optional: [name]}\n    retention: {member: membership, buyer: records}", 1)
	b := newBook(t, register(t, []byte(src)))
	say := func(kind string, d consent.Decision) {
		t.Helper()
		c := haimConsent(kind, d)
		c.Policy = "shop"
		ok(t)(b.consent(c, noon))
	}
	say("member", grant("marketing", "email"))
	say("buyer", grant("marketing", "email", "name")) // for three years
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "name"}}}, "cor_1", noon))
	later := noon.AddDate(3, 1, 0)
	before := b.ask("marketing", later)
	b.sweep(later)
	if after := b.ask("marketing", later); after.Allowed && !before.Allowed {
		t.Errorf("before the sweep: %+v, after it: %+v", before, after)
	}
	if a := b.ask("marketing", later, "email"); !a.Allowed {
		t.Errorf("control: the older yes counts for what it names: %+v", a)
	}
}
