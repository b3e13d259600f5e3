package consent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// An edit is one difference that a version of the sample policy can have, or
// not: for which purposes it asks members again where it comes, and where it
// goes; and at which path it is shown.
type edit struct {
	what, old, new string
	comes, goes    string
	path           string
}

// edits touch different places, so that a version can have any of them.
var edits = []edit{
	// The four points of the law.
	{"a title", "{en: News and offers,", "{en: Surveys,", "marketing", "marketing", "purposes.marketing.title.en"},
	{"a kind", "    kind: marketing\n", "    kind: collection\n", "marketing", "marketing", "purposes.marketing.kind"},
	{"a basis", "맞춤형 서비스}\n    kind: collection\n    basis: consent", "맞춤형 서비스}\n    kind: collection\n    basis: contract", "personalisation", "personalisation", "purposes.personalisation.basis"},
	{"an optional item", "optional: [name, telephone]}", "optional: [name]}", "marketing", "marketing", "purposes.marketing.items.optional"},
	{"an item that is mandatory now", "items: {mandatory: [skin_condition], optional: [treatment_history]}", "items: {mandatory: [skin_condition, treatment_history]}", "health_consultation", "health_consultation", "purposes.health_consultation.items.mandatory"},
	{"a period", "    retention: health\n", "    retention: {member: complaint, purchasing_member: complaint}\n", "health_consultation", "health_consultation", "purposes.health_consultation.retention.member"},
	{"a period for one kind of member", "retention: promotion", "retention: {member: promotion, purchasing_member: complaint}", "promotion", "promotion", "purposes.promotion.retention.purchasing_member"},
	{"what refusing costs", "You only get no news and offers.", "You then pay for delivery.", "marketing", "marketing", "purposes.marketing.refusal.en"},

	// Who gets what, of a provision purpose.
	{"the name of a third party", "name: Partner brand (placeholder)", "name: Another brand", "partner_offers", "partner_offers", "recipients.partner-brand"},
	{"the business of a third party", "    business: cosmetics\n", "    business: insurance\n", "partner_offers", "partner_offers", "recipients.partner-brand"},
	{"fewer items for a third party", "    items: [email, name]\n    from", "    items: [email]\n    from", "", "partner_offers", "recipients.partner-brand"},
	{"another third party", "exemptions:\n", "  second-brand: {name: Second, business: cosmetics, kind: third_party, purposes: [partner_offers], items: [email]}\n\nexemptions:\n", "", "", "recipients.second-brand"},

	// Everything else.
	{"the order of items", "optional: [birth_date, telephone, address]", "optional: [address, telephone, birth_date]", "", "", ""},
	{"words in another language", "title: {en: Personalised", "title: {ja: お勧め, en: Personalised", "", "", "purposes.personalisation.title.ja"},
	{"a class of another name with the same period", "    retention: newsletter\n", "    retention: cookies\n", "", "", "purposes.marketing.retention.member"},
	{"the law of a class", "disputes\"}", "all disputes\"}", "", "", "retention.complaint"},
	{"a new class", "  cookies: {until: purpose_withdrawal}\n", "  cookies: {until: purpose_withdrawal}\n  surveys: {until: purpose_withdrawal}\n", "", "", "retention.surveys"},
	{"the items of a contract", "order_record], optional: [email, telephone]", "order_record], optional: [email]", "", "", "purposes.order.items.optional"},
	{"a processor", "name: IT vendor (placeholder)", "name: Another vendor", "", "", "recipients.it-vendor"},
	{"what a processor gets", "items: [name, address, telephone]\n    from", "items: [name, address]\n    from", "", "", "recipients.parcel-co"},
	{"a contact", "dpo@haim.example", "officer@haim.example", "", "", "controller.officer.contact"},
	{"a label", "label: {en: E-mail address", "label: {en: E-mail", "", "", "items.email"},
	{"the least age", "minimum_age: 14", "minimum_age: 16", "", "", "minimum_age"},
	{"minors", "minors: refuse", "minors: guardian", "", "", "minors"},
	{"the days to answer", "answer_days: 30", "answer_days: 10", "", "", "answer_days"},
	{"dormancy", "after: 12mo", "after: 24mo", "", "", "dormancy.after"},
	{"a jurisdiction", "[KR, EU, US-CA]", "[KR, EU]", "", "", "jurisdictions"},
	{"a prohibited item", "religion, military", "religion, politics, military", "", "", "prohibited"},
	{"the law of an exemption", "GDPR 6(1)(d) and (f)", "GDPR 6(1)(d)", "", "", "exemptions.safety"},
	{"kinds of members of a purpose", "기록입니다.}\n    member_kinds: [member, purchasing_member]", "기록입니다.}\n    member_kinds: [purchasing_member]", "", "", "purposes.complaints.member_kinds"},
	{"the order of kinds", "member_kinds: [member, purchasing_member, visitor]\n\nitems", "member_kinds: [visitor, member, purchasing_member]\n\nitems", "", "", ""},
}

// edited returns the sample policy with some edits as the version of a date.
func edited(t fataler, date string, with func(int) bool) *consent.Policy {
	t.Helper()
	src := string(policies.Haim())
	for i, e := range edits {
		if !strings.Contains(src, e.old) {
			t.Fatalf("%s: the policy has no %q", e.what, e.old)
		}
		if with(i) {
			src = strings.Replace(src, e.old, e.new, 1)
		}
	}
	src = strings.NewReplacer(`version: "2025-01-01"`, `version: "`+date+`"`, `announced: "2024-12-01"`, `announced: "2026-04-01"`).Replace(src)
	p, err := consent.ParsePolicy([]byte(src))
	if err != nil {
		t.Fatalf("parsing: %v", err)
	}
	return p
}

func april(day int) time.Time { return time.Date(2026, 4, day, 9, 0, 0, 0, seoul) }

func TestAVersionShowsWhatItChangedAndForWhatItAsksAgain(t *testing.T) {
	for i, e := range edits {
		t.Run(e.what, func(t *testing.T) {
			r := must(haim(t).With(edited(t, "2026-06-01", func(j int) bool { return j == i }), april(1)))
			r = must(r.With(edited(t, "2026-08-01", func(int) bool { return false }), april(2)))
			for version, asks := range map[string]string{"2026-06-01": e.comes, "2026-08-01": e.goes} {
				changes := r.Changes("haim", version)
				if e.path == "" && len(changes) != 0 {
					t.Errorf("%s: %+v, which is no change", version, changes)
				}
				if e.path != "" && !slices.ContainsFunc(changes, func(c consent.PolicyChange) bool {
					return c.Path == e.path && c.Was != c.Is && c.Reconsent == (asks != "")
				}) {
					t.Errorf("%s: %+v, want a change of %s that asks %q again", version, changes, e.path, asks)
				}
				if got := strings.Join(r.Reconsent("haim", version), " "); got != asks {
					t.Errorf("%s asks %q again, want %q", version, got, asks)
				}
			}
		})
	}
	if c := haim(t).Changes("haim", "2025-01-01"); c != nil {
		t.Errorf("a first version changed %+v", c)
	}
}

// Whoever consented under one version is asked again under a later one exactly
// where a version in between says so, by the table above and by Changes.
func TestDecisionsAskAgainExactlyWhereAVersionSaysThatItChanged(t *testing.T) {
	dates := []string{"2026-06-01", "2026-08-01", "2026-10-01", "2026-12-01"}
	again, kept := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := haim(t)
		has := make([]bool, len(edits))
		asked := make([]map[string]bool, len(dates)) // by each version
		for i, date := range dates {
			asked[i] = map[string]bool{}
			for j, e := range edits {
				was := has[j]
				if has[j] = rapid.IntRange(0, 5).Draw(t, e.what) == 0; has[j] == was {
					continue
				}
				asks := e.goes
				if has[j] {
					asks = e.comes
				}
				if asks != "" {
					asked[i][asks] = true
				}
			}
			n, err := r.With(edited(t, date, func(j int) bool { return has[j] }), april(1+i))
			if err != nil {
				t.Fatalf("posting: %v", err)
			}
			r = n
		}
		at := func(i int) time.Time {
			if i < 0 {
				return noon
			}
			return must(time.ParseInLocation(time.DateOnly, dates[i], seoul))
		}
		for from := -1; from < len(dates); from++ {
			b := newBook(t, r)
			p, _ := r.InForce("haim", at(from))
			c := haimConsent("purchasing_member")
			c.PolicyVersion, c.Reference, c.MinimumAgeConfirmed = p.Version(), "ref-1", true
			for _, pu := range p.Purposes() {
				if len(pu.MemberKinds) > 0 {
					c.Decisions = append(c.Decisions, grant(pu.ID, slices.Concat(pu.Mandatory, pu.Optional)...))
				}
			}
			if _, err := b.consent(c, at(from)); err != nil {
				t.Fatalf("consent: %v", err)
			}
			for to := from; to < len(dates); to++ {
				for _, d := range c.Decisions {
					want := false
					for i := from + 1; i <= to; i++ {
						want = want || asked[i][d.Purpose]
						if said := slices.Contains(r.Reconsent("haim", dates[i]), d.Purpose); said != asked[i][d.Purpose] {
							t.Fatalf("%s asks again for %s: %v, want %v", dates[i], d.Purpose, said, asked[i][d.Purpose])
						}
					}
					then, now := purposeOf(r, d.Purpose, at(from)), purposeOf(r, d.Purpose, at(to))
					want = want && (then.AsksConsent() || now.AsksConsent()) // a contract is no choice, whatever it was in between
					a := b.ask(d.Purpose, at(to), then.Mandatory[0])
					if got := a.Reason == consent.ReasonReconsentRequired; got != want {
						t.Fatalf("%s, consented to under %s, under %v: %+v, want asked again %v", d.Purpose, p.Version(), at(to), a, want)
					}
					if want {
						again++
					} else {
						kept++
					}
				}
			}
		}
	})
	if again < 100 || kept < 100 {
		t.Fatalf("asked again %d times and kept %d: too few for a test", again, kept)
	}
}

func purposeOf(r *consent.Register, id string, at time.Time) *consent.Purpose {
	p, _ := r.InForce("haim", at)
	all := p.Purposes()
	return &all[slices.IndexFunc(all, func(pu consent.Purpose) bool { return pu.ID == id })]
}

func TestTheTextOfAVersionIsComparedByItsDigest(t *testing.T) {
	src := strings.Replace(small, "What we do with your data.", "What we do with all of your data.", 1)
	src = strings.Replace(src, `version: "2025-01-01"`, "version: \"2026-06-01\"\nannounced: \"2026-04-01\"\nreason: r", 1)
	r := must(register(t, []byte(small)).With(must(consent.ParsePolicy([]byte(src))), april(1)))
	c := r.Changes("shop", "2026-06-01")
	if len(c) != 1 || c[0].Path != "text.en" || !strings.HasPrefix(c[0].Was, "SHA-256 ") || c[0].Was == c[0].Is || c[0].Reconsent || c[0].Point != "" {
		t.Errorf("%+v", c)
	}
}

// The known ways round: an id that leaves the file and comes back as somebody
// else, by a version or between versions.
func TestAnIDThatComesBackAsAnotherCompanyIsAnother(t *testing.T) {
	june, august := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul), time.Date(2026, 8, 1, 0, 0, 0, 0, seoul)
	all := string(policies.Haim())
	without := amend(t, all, "  partner-brand:\n", "  first-brand:\n")
	version := func(r *consent.Register, src, date string, at time.Time) *consent.Register {
		t.Helper()
		p := must(consent.ParsePolicy([]byte(amend(t, src, `version: "2025-01-01"`, `version: "`+date+`"`, `announced: "2024-12-01"`, `announced: "2026-04-01"`))))
		return must(r.With(p, at))
	}
	for name, want := range map[string]string{"Partner brand (placeholder)": "consent_in_force", "Data broker": "reconsent_required"} {
		back := strings.Replace(all, "name: Partner brand (placeholder)", "name: "+name, 1)
		r := version(haim(t), without, "2026-06-01", april(1))
		b := newBook(t, version(r, back, "2026-08-01", april(2)))
		ok(t)(b.consent(haimConsent("member", grant("membership"), grant("partner_offers")), noon))
		q := &consent.Question{Purpose: "partner_offers", Recipient: "partner-brand"}
		if a := b.r.Decide(b.f, q, june); a.Reason != consent.ReasonRecipientNotRegistered {
			t.Errorf("while it is away: %+v", a)
		}
		if a := b.r.Decide(b.f, q, august); a.Reason != want {
			t.Errorf("back as %s: %+v, want %s", name, a, want)
		}
	}

	r := version(haim(t), without, "2026-06-01", april(1))
	c := &consent.RecipientChange{
		Policy: "haim", ID: "partner-brand", Announced: "2026-06-02", Reason: "r",
		Recipient: consent.Recipient{Name: "Data broker", Business: "cosmetics", Kind: "third_party", Country: "KR", Purposes: []string{"partner_offers"}, Items: []string{"email", "name"}, From: "2026-07-10"},
	}
	_, err := r.WithRecipient(c, june.AddDate(0, 0, 1))
	wantRefusal(t, err, consent.Conflict, "recipient_id_taken", "id")
	c.Recipient.Name = "Partner brand (placeholder)"
	if _, err := r.WithRecipient(c, june.AddDate(0, 0, 1)); err != nil {
		t.Errorf("control: %v", err)
	}
}

// A change that was announced and replaced before it began told nobody less.
func TestWhatWasAnnouncedAndNeverBeganIsNoChange(t *testing.T) {
	brand := consent.Recipient{
		Name: "Partner brand (placeholder)", Business: "cosmetics", Kind: "third_party", Country: "KR",
		Purposes: []string{"partner_offers"}, Items: []string{"email"}, From: "2026-04-09",
	}
	less := must(haim(t).WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "partner-brand", Announced: "2026-03-10", Reason: "r", Recipient: brand}, noon))
	for end, asks := range map[string]string{"2026-03-11": "", "2026-05-01": "partner_offers"} {
		r := must(less.WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "partner-brand", Ended: true, Announced: "2026-03-11", Reason: "r", Recipient: consent.Recipient{From: end}}, noon.AddDate(0, 0, 1)))
		r = must(r.With(edited(t, "2026-06-01", func(int) bool { return false }), april(1)))
		if got := strings.Join(r.Reconsent("haim", "2026-06-01"), " "); got != asks {
			t.Errorf("ended on %s: asks again for %q, want %q", end, got, asks)
		}
	}
}
