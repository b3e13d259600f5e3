package consent_test

import (
	"slices"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// A scene is a purchasing member with an open order and one disclosure for it,
// and one of the membership's.
func scene(t *testing.T) *book {
	b := newBook(t, auditedRegister(t))
	c := haimConsent("purchasing_member", grant("membership", "user_id", "email", "name", "telephone"), grant("delivery"), grant("order"), grant("partner_offers"), grant("promotion"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	c.Reference, c.Decisions = "order-8", []consent.Decision{grant("delivery")}
	ok(t)(b.consent(c, noon))
	ok(t)(b.disclose(&consent.Disclosure{Recipient: "parcel-co", Purpose: "haim/delivery", Items: []string{"name", "address"}, Reference: "order-7", OccurredAt: noon}, noon))
	ok(t)(b.disclose(&consent.Disclosure{Recipient: "it-vendor", Purpose: "haim/membership", Items: []string{"email"}, OccurredAt: noon}, noon))
	ok(t)(b.disclose(&consent.Disclosure{Recipient: "it-vendor", Purpose: "haim/order", Items: []string{"name"}, OccurredAt: noon}, noon))
	ok(t)(b.disclose(&consent.Disclosure{Recipient: "partner-brand", Purpose: "haim/partner_offers", Items: []string{"email"}, OccurredAt: noon}, noon))
	if findings, doubt := b.audit(); len(findings)+doubt != 0 {
		t.Fatalf("control: %+v, %d in doubt", findings, doubt)
	}
	return b
}

// rewrite changes the recorded disclosure for a purpose, as somebody could who
// has the ledger and all its keys.
func (b *book) rewrite(purpose string, change func(*line, *consent.Event)) uint64 {
	b.t.Helper()
	for i := range b.entries {
		l := &b.entries[i]
		if e := must(consent.DecodeEvent(l.body)); e.Kind == consent.KindDisclosure && e.Purposes[0] == purpose {
			change(l, &e)
			l.body = must(e.Encode())
			return l.index
		}
	}
	b.t.Fatalf("no disclosure for %s", purpose)
	return 0
}

func (b *book) entryOf(key consent.KeyName) uint64 {
	return b.entries[slices.IndexFunc(b.entries, func(l line) bool { return l.key == key })].index
}

func TestTheAuditNamesADisclosureThatWasForged(t *testing.T) {
	type event = consent.Event
	on := func(index uint64) *uint64 { return &index }
	for _, c := range []struct {
		what, purpose, code string
		change              func(b *book, l *line, e *event)
	}{
		{"another item", "membership", "item_not_consented", func(_ *book, _ *line, e *event) { e.Items = []string{"address"} }},
		{"another recipient", "membership", "recipient_not_allowed", func(_ *book, _ *line, e *event) { e.Recipient = "parcel-co" }},
		{"nobody", "membership", "recipient_not_registered", func(_ *book, _ *line, e *event) { e.Recipient = "data-broker" }},
		{"a purpose that was never stated", "membership", "purpose_not_stated", func(_ *book, _ *line, e *event) { e.Purposes = []string{"resale"} }},
		{"a policy that there is not", "membership", "purpose_not_stated", func(_ *book, _ *line, e *event) { e.Policy = "other" }},
		{"a version that is not in force", "membership", "policy_version_not_in_force", func(_ *book, _ *line, e *event) { e.PolicyVersion = "2026-06-01" }},
		{"an exemption that the policy does not list", "membership", "basis_not_allowed", func(_ *book, _ *line, e *event) { e.Basis, e.RestsOn = "old_friends", nil }},
		{"no basis", "membership", "no_effective_consent", func(_ *book, _ *line, e *event) { e.RestsOn = nil }},
		{"another basis than the purpose's", "membership", "basis_not_allowed", func(_ *book, _ *line, e *event) { e.Basis = "contract" }},
		{"resting on itself", "membership", "no_effective_consent", func(_ *book, l *line, e *event) { e.RestsOn = on(l.index) }},
		{"resting on a later entry", "membership", "no_effective_consent", func(b *book, l *line, e *event) { e.RestsOn = on(b.newest() + 5) }},
		{"resting on a look of another member", "membership", "no_effective_consent", func(b *book, _ *line, e *event) { e.RestsOn = on(7) }},
		{"resting on the consent to something else", "membership", "no_effective_consent", func(b *book, _ *line, e *event) { e.RestsOn = on(b.entryOf(consent.KeyName{Class: "haim/contract"})) }},
		{"resting on the yes to another order", "delivery", "no_effective_consent", func(b *book, _ *line, e *event) {
			e.RestsOn = on(b.entryOf(consent.KeyName{Class: "haim/shipping", Reference: "order-8"}))
		}},
		{"for another order than it is filed under", "delivery", "reference_unknown", func(_ *book, _ *line, e *event) { e.Reference = "order-8" }},
		{"for no order, filed under one", "delivery", "reference_unknown", func(_ *book, _ *line, e *event) { e.Reference = "" }},
		{"by an exemption, filed under another order", "delivery", "reference_unknown", func(_ *book, _ *line, e *event) {
			e.Recipient, e.Business, e.Basis, e.RestsOn, e.Reference = "court", "", "legal_process", nil, "order-8"
		}},
		{"filed under another class", "delivery", "class_not_open", func(_ *book, l *line, _ *event) { l.key = consent.KeyName{Class: "haim/contract"} }},
		{"filed as anonymised", "membership", "member_id_not_allowed", func(_ *book, _ *line, e *event) { e.Form = "anonymised" }},
		{"without items", "membership", "items_required", func(_ *book, _ *line, e *event) { e.Items = nil }},
		{"a time before the consent's version was in force", "partner_offers", "purpose_not_stated", func(_ *book, l *line, _ *event) { l.at = time.Date(2024, 12, 31, 12, 0, 0, 0, seoul) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := scene(t)
			index := b.rewrite(c.purpose, func(l *line, e *event) { c.change(b, l, e) })
			findings, doubt := b.audit()
			if len(findings) != 1 || findings[0].Index != index || findings[0].Code != c.code || doubt != 0 {
				t.Errorf("entry %d: found %+v, %d in doubt; want %s", index, findings, doubt, c.code)
			}
		})
	}
}

// lose takes one entry away, as a destruction does.
func (b *book) lose(index uint64) {
	b.entries = slices.DeleteFunc(b.entries, func(l line) bool { return l.index == index })
}

func TestWhatIsDestroyedIsInDoubtOnlyWhereItMayHaveBeenTheGround(t *testing.T) {
	for _, c := range []struct {
		what            string
		doubt, findings int
		lose            func(b *book)
	}{
		{"another order's key", 0, 0, func(b *book) { b.lose(b.entryOf(consent.KeyName{Class: "haim/shipping", Reference: "order-8"})) }},
		{"the consent under the disclosure's own key", 0, 1, func(b *book) {
			b.lose(b.entryOf(consent.KeyName{Class: "haim/shipping", Reference: "order-7"}))
		}},
		{"the oldest day of a class whose entries die by the day", 1, 0, func(b *book) {
			b.lose(b.entryOf(consent.KeyName{Class: "haim/contract"}))
		}},
		{"one entry in the middle of such a class", 0, 1, func(b *book) {
			older := line{index: 1, at: noon.AddDate(0, 0, -1), key: consent.KeyName{Class: "haim/contract"}, body: must(consent.Event{Kind: consent.KindActivity}.Encode())}
			b.lose(b.entryOf(consent.KeyName{Class: "haim/contract"}))
			b.entries = slices.Insert(b.entries, 0, older)
		}},
		{"a consent in a class that some versions had and others have not", 1, 0, func(b *book) {
			b.lose(b.entryOf(consent.KeyName{Class: "haim/partners"}))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := scene(t)
			c.lose(b)
			findings, doubt := b.audit()
			if len(findings) != c.findings || doubt != c.doubt {
				t.Errorf("found %+v and %d in doubt, want %d and %d", findings, doubt, c.findings, c.doubt)
			}
		})
	}
}

// A call is checked when it comes and recorded when its group is written.
func TestACallThatWasCheckedJustBeforeAChangeOfTheRulesIsNotFoundFaultWith(t *testing.T) {
	midnight := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul) // the second version
	for late, want := range map[time.Duration]int{0: 0, time.Second: 0, 4 * time.Minute: 0, 6 * time.Minute: 1} {
		b := scene(t)
		b.rewrite("partner_offers", func(l *line, _ *consent.Event) { l.at = midnight.Add(late) })
		if findings, _ := b.audit(); len(findings) != want {
			t.Errorf("%v after the change: %+v", late, findings)
		}
	}
}

func TestASuspensionCountsAsLongAsItsOutcomeMustStillBeThere(t *testing.T) {
	for _, c := range []struct {
		what            string
		ended, outcome  bool
		findings, doubt int
	}{
		{"an open correction", false, false, 1, 0},
		{"an open correction of who has left, with nothing destroyed since", true, false, 1, 0},
		{"a correction of who has left whose outcome may be gone", true, true, 0, 1},
		{"the same of a living membership", false, true, 1, 0},
	} {
		b := scene(t)
		ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "telephone"}}}, "cor_1", noon))
		if c.outcome {
			ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_1", Outcome: consent.OutcomeCorrected}, noon))
			b.lose(b.newest())
		}
		index := b.entryOf(consent.KeyName{Class: "haim/purchasing_member"})
		b.entries = append(b.entries, line{b.next, noon, consent.KeyName{Class: "haim/purchasing_member"}, must(consent.Event{
			Kind: consent.KindDisclosure, Policy: "haim", PolicyVersion: "2025-01-01", OccurredAtMs: noon.UnixMilli(), Purposes: []string{"membership"},
			Items: []string{"telephone"}, Recipient: "it-vendor", Basis: "consent", RestsOn: &index,
		}.Encode())})
		b.ended = c.ended
		if findings, doubt := b.audit(); len(findings) != c.findings || doubt != c.doubt {
			t.Errorf("%s: %+v, %d in doubt", c.what, findings, doubt)
		}
	}
}

// That somebody was not idle may be shown by what is gone; that they were, by
// what is left of a ledger of which nothing is gone.
func TestThatAMemberWasDormantIsFoundWhereNothingElseCanHaveBeen(t *testing.T) {
	give := func(b *book, basis string, at time.Time) {
		t.Helper()
		index := b.entryOf(consent.KeyName{Class: "haim/purchasing_member"})
		e := consent.Event{
			Kind: consent.KindDisclosure, Policy: "haim", PolicyVersion: "2025-01-01", OccurredAtMs: at.UnixMilli(), Purposes: []string{"membership"},
			Items: []string{"email"}, Recipient: "it-vendor", Basis: "consent", RestsOn: &index,
		}
		if basis != "" {
			e.Recipient, e.Basis, e.RestsOn = "tax-office", basis, nil
		}
		b.commit(&consent.Plan{Entries: []consent.Draft{{Key: consent.KeyName{Class: "haim/purchasing_member"}, Event: e}}}, nil, at)
	}
	told := func() *book {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
		ok(t)(b.notice(&consent.Notice{Kind: consent.NoticeDormancy, Member: must(consent.ParseMemberID("u-1")), Channel: "email", SentAt: noon, Outcome: consent.NoticeSent}, "ntc_1", noon.AddDate(0, 10, 0)))
		return b
	}
	for _, c := range []struct {
		what            string
		findings, doubt int
		play            func(b *book)
	}{
		{"while dormant", 1, 0, func(b *book) { give(b, "", noon.AddDate(0, 13, 0)) }},
		{"the day before", 0, 0, func(b *book) { give(b, "", noon.AddDate(0, 11, 0)) }},
		{"by an exemption for dormant members, too", 0, 0, func(b *book) { give(b, "legal_process", noon.AddDate(0, 13, 0)) }},
		{"after a consent that is gone", 0, 1, func(b *book) {
			at := noon.AddDate(0, 11, 0)
			ok(t)(b.consent(haimConsent("", grant("marketing")), at))
			give(b, "", noon.AddDate(0, 13, 0))
			ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon.AddDate(0, 13, 0)))
			if b.key(consent.KeyName{Class: "haim/newsletter"}) >= 0 {
				t.Fatal("the consent is not gone")
			}
		}},
		{"of who has left, to an authority", 0, 1, func(b *book) {
			b.sweep(noon.AddDate(7, 0, 0))
			if !b.ended {
				t.Fatal("the membership has not ended")
			}
			give(b, "safety", noon.AddDate(7, 0, 1))
		}},
	} {
		b := told()
		c.play(b)
		if findings, doubt := b.audit(); len(findings) != c.findings || doubt != c.doubt {
			t.Errorf("%s: %+v, %d in doubt; want %d and %d", c.what, findings, doubt, c.findings, c.doubt)
		}
	}
}

// An exemption covers an item that a purpose has lost for as long as a decision
// that named it can be read.
func TestAnItemThatAPurposeOnceHadMayHaveBeenNamed(t *testing.T) {
	src := amend(t, string(policies.Haim()), `version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-01"`,
		"items: {mandatory: [name, email], optional: [telephone, address]}", "items: {mandatory: [name, email], optional: [address]}")
	june := time.Date(2026, 6, 1, 12, 0, 0, 0, seoul)
	b := newBook(t, must(haim(t).With(must(consent.ParsePolicy([]byte(src))), noon)))
	c := haimConsent("member", grant("promotion", "name", "email", "telephone"))
	c.Reference = "event-1"
	ok(t)(b.consent(c, noon))
	c = haimConsent("member", grant("promotion"))
	c.Reference, c.PolicyVersion = "event-2", "2026-06-01"
	ok(t)(b.consent(c, june))
	ok(t)(b.disclose(&consent.Disclosure{Recipient: "seoul-court", Purpose: "promotion", Items: []string{"telephone"}, Basis: "legal_process", Reference: "event-2", OccurredAt: june}, june))
	if findings, doubt := b.audit(); len(findings) != 0 || doubt != 0 {
		t.Errorf("while the decision is there: %+v, %d in doubt", findings, doubt)
	}
	ok(t)(b.event("event_ended", "event-1", june))
	if findings, doubt := b.audit(); len(findings) != 0 || doubt != 1 {
		t.Errorf("when it is gone: %+v, %d in doubt", findings, doubt)
	}
	b.rewrite("promotion", func(_ *line, e *consent.Event) { e.Items = []string{"skin_condition"} })
	if findings, _ := b.audit(); len(findings) != 1 || findings[0].Code != "unknown_item" {
		t.Errorf("an item that the purpose never had: %+v", findings)
	}
}
