package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestAChangeOfARecipientIsAnnouncedHasAReasonAndComesInTime(t *testing.T) {
	type change = consent.RecipientChange
	for _, c := range []struct {
		what, code, field string
		kind              consent.RefusalKind
		change            func(c *change)
	}{
		{"thirty days from posting", "", "", 0, func(c *change) {}},
		{"a day less", "notice_too_short", "recipient.from", consent.Invalid, func(c *change) { c.Recipient.From = "2026-04-08" }},
		{"announced later than posted", "notice_too_short", "recipient.from", consent.Invalid, func(c *change) { c.Announced = "2026-03-11" }},
		{"thirty days from that", "", "", 0, func(c *change) { c.Announced, c.Recipient.From = "2026-03-11", "2026-04-10" }},
		{"not announced", "missing_field", "announced", consent.Invalid, func(c *change) { c.Announced = "" }},
		{"announced on no day", "invalid_value", "announced", consent.Invalid, func(c *change) { c.Announced = "2026-02-30" }},
		{"announced when it has begun", "invalid_value", "announced", consent.Invalid, func(c *change) { c.Announced = "2026-04-10" }},
		{"no reason", "missing_field", "reason", consent.Invalid, func(c *change) { c.Reason = "" }},
		{"a reason without a word", "missing_field", "reason", consent.Invalid, func(c *change) { c.Reason = " \t" }},
		{"a reason that is none", "invalid_reason", "reason", consent.Invalid, func(c *change) { c.Reason = strings.Repeat("r", 3000) }},
		{"no day", "missing_field", "recipient.from", consent.Invalid, func(c *change) { c.Recipient.From = "" }},
		{"a day that there is not", "invalid_value", "recipient.from", consent.Invalid, func(c *change) { c.Recipient.From = "soon" }},
		{"another policy", "unknown_policy", "policy", consent.Invalid, func(c *change) { c.Policy = "other" }},
		{"an id that is no name", "invalid_recipient", "id", consent.Invalid, func(c *change) { c.ID = "Cloud Ltd" }},
		{"no name", "missing_field", "recipient.name", consent.Invalid, func(c *change) { c.Recipient.Name = "" }},
		{"no business", "missing_field", "recipient.business", consent.Invalid, func(c *change) { c.Recipient.Business = "" }},
		{"a blank name", "missing_field", "recipient.name", consent.Invalid, func(c *change) { c.Recipient.Name = " " }},
		{"a blank business", "missing_field", "recipient.business", consent.Invalid, func(c *change) { c.Recipient.Business = " " }},
		{"a long business", "invalid_value", "recipient.business", consent.Invalid, func(c *change) { c.Recipient.Business = strings.Repeat("b", 257) }},
		{"no kind", "invalid_value", "recipient.kind", consent.Invalid, func(c *change) { c.Recipient.Kind = "friend" }},
		{"a country of control characters", "invalid_value", "recipient.country", consent.Invalid, func(c *change) { c.Recipient.Country = "K\x00R" }},
		{"no purposes", "missing_field", "recipient.purposes", consent.Invalid, func(c *change) { c.Recipient.Purposes = nil }},
		{"a purpose that was never stated", "unknown_name", "recipient.purposes[0]", consent.Invalid, func(c *change) { c.Recipient.Purposes = []string{"resale"} }},
		{"a purpose twice", "duplicate_field", "recipient.purposes[1]", consent.Invalid, func(c *change) { c.Recipient.Purposes = []string{"membership", "membership"} }},
		{"no items", "missing_field", "recipient.items", consent.Invalid, func(c *change) { c.Recipient.Items = nil }},
		{"an item of no purpose of its", "unknown_name", "recipient.items[0]", consent.Invalid, func(c *change) { c.Recipient.Items = []string{"payment_record"} }},
		{"a third party for a purpose of consent", "invalid_value", "recipient.purposes[0]", consent.Invalid, func(c *change) { c.Recipient.Kind = "third_party" }},
		{"too many names", "too_large", "recipient", consent.Invalid, func(c *change) {
			for i := range 1000 {
				c.Recipient.Items = append(c.Recipient.Items, fmt.Sprintf("item-%060d", i))
			}
		}},
		{"another company under an id", "recipient_id_taken", "id", consent.Conflict, func(c *change) { c.ID = "it-vendor" }},
		{"the end of nobody", "unknown_recipient", "id", consent.Invalid, func(c *change) { c.Ended = true }},
		{"an end at once", "", "", 0, func(c *change) { c.ID, c.Ended, c.Recipient = "it-vendor", true, consent.Recipient{From: "2026-03-10"} }},
		{"an end in the past", "notice_too_short", "recipient.from", consent.Invalid, func(c *change) {
			c.ID, c.Ended, c.Announced, c.Recipient = "it-vendor", true, "2026-03-01", consent.Recipient{From: "2026-03-09"}
		}},
		{"more items for a processor", "", "", 0, func(c *change) { c.ID, c.Recipient = "parcel-co", parcel("telephone", "email") }},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := haim(t)
			call := vendorAbroad("2026-04-09")
			c.change(call)
			n, err := r.WithRecipient(call, noon)
			if c.code != "" {
				wantRefusal(t, err, c.kind, c.code, c.field)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Recipients()) != 4 || len(n.Recipients()) != 5 {
				t.Error("a register changed")
			}
		})
	}
	c := vendorAbroad("2026-03-10")
	c.Policy, c.Recipient.Purposes, c.Recipient.Items = "dermatech", []string{"identification"}, []string{"user_id"}
	if _, err := dermatech(t).WithRecipient(c, noon); err != nil {
		t.Errorf("a policy without a notice period: %v", err)
	}
}

// parcel is the parcel company of the sample policy with more items.
func parcel(items ...string) consent.Recipient {
	return consent.Recipient{
		Name: "Logistics partner (placeholder)", Business: "delivery", Kind: "processor", Country: "KR",
		Purposes: []string{"delivery", "promotion"}, Items: append([]string{"name", "address"}, items...), From: "2026-04-09",
	}
}

// Members were told who the third party is and what it gets: more of it asks
// them again, which only a version does.
func TestAThirdPartyGetsNoMoreBetweenVersions(t *testing.T) {
	brand := func() *consent.RecipientChange {
		return &consent.RecipientChange{
			Policy: "haim", ID: "partner-brand", Announced: "2026-03-10", Reason: "r",
			Recipient: consent.Recipient{
				Name: "Partner brand (placeholder)", Business: "cosmetics", Kind: "third_party", Country: "KR",
				Purposes: []string{"partner_offers"}, Items: []string{"email"}, From: "2026-04-09",
			},
		}
	}
	r := haim(t)
	fewer, err := r.WithRecipient(brand(), noon)
	if err != nil {
		t.Fatalf("fewer items: %v", err)
	}
	more := brand()
	more.Recipient.Items = []string{"email", "name"}
	if _, err := r.WithRecipient(more, noon); err != nil {
		t.Errorf("the same items: %v", err)
	}
	_, err = fewer.WithRecipient(more, noon)
	wantRefusal(t, err, consent.Invalid, "needs_policy_version", "recipient")
	payment := brand()
	payment.Recipient.Purposes, payment.Recipient.Items = []string{"partner_offers", "payment"}, []string{"email", "name"}
	_, err = r.WithRecipient(payment, noon)
	wantRefusal(t, err, consent.Invalid, "needs_policy_version", "recipient")
	insurer := brand()
	insurer.Recipient.Business = "insurance"
	_, err = r.WithRecipient(insurer, noon)
	wantRefusal(t, err, consent.Invalid, "needs_policy_version", "recipient")
	ended, err := fewer.WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "partner-brand", Ended: true, Announced: "2026-03-10", Reason: "r", Recipient: consent.Recipient{From: "2026-03-10"}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ended.WithRecipient(more, noon)
	wantRefusal(t, err, consent.Invalid, "needs_policy_version", "recipient")
	if _, err := ended.WithRecipient(brand(), noon); err != nil {
		t.Errorf("back with what it had: %v", err)
	}
	second := brand()
	second.ID, second.Recipient.Name = "second-brand", "Second brand"
	if _, err := r.WithRecipient(second, noon); err != nil {
		t.Errorf("one that no consent names: %v", err)
	}
}

// Who is in force counts at every place alike: for consents, for those that a
// grant covers by itself, for decisions and for disclosures, and for the past.
func TestAChangedRecipientIsAnotherFromItsMidnightOnAndNeverBefore(t *testing.T) {
	midnight := time.Date(2026, 4, 9, 0, 0, 0, 0, seoul)
	r := haim(t)
	for _, c := range []*consent.RecipientChange{
		{Policy: "haim", ID: "second-brand", Recipient: consent.Recipient{Name: "Second", Business: "cosmetics", Kind: "third_party", Country: "FR", Purposes: []string{"partner_offers"}, Items: []string{"email"}, From: "2026-04-09"}},
		{Policy: "haim", ID: "partner-brand", Ended: true, Recipient: consent.Recipient{From: "2026-04-09"}},
		{Policy: "haim", ID: "parcel-co", Recipient: parcel("email")},
		vendorAbroad("2026-04-09"),
	} {
		c.Announced, c.Reason = "2026-03-10", "r"
		r = must(r.WithRecipient(c, noon))
	}
	b := newBook(t, r)
	before := midnight.Add(-time.Second)
	named := func(d consent.Decision, at time.Time) ([]string, error) {
		p, err := newBook(t, r).consent(haimConsent("member", d), at)
		if err != nil {
			return nil, err
		}
		return p.Entries[0].Event.Decisions[0].Recipients, nil
	}
	for at, want := range map[time.Time]string{before: "partner-brand", midnight: "second-brand"} {
		// By itself a grant covers whom the version names, and its text with it.
		if got := must(named(grant("partner_offers"), at)); strings.Join(got, " ") != map[string]string{"partner-brand": want}[want] {
			t.Errorf("a grant at %v covers %v", at, got)
		}
		if got := must(named(consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{want}}, at)); strings.Join(got, " ") != want {
			t.Errorf("a grant at %v to %s covers %v", at, want, got)
		}
		other := map[string]string{"partner-brand": "second-brand", "second-brand": "partner-brand"}[want]
		_, err := named(consent.Decision{Purpose: "partner_offers", Granted: true, Recipients: []string{other}}, at)
		wantRefusal(t, err, consent.Invalid, "unknown_recipient", "decisions[0].recipients[0]")
	}
	c := haimConsent("member", grant("membership"), grant("partner_offers", "email", "name"), grant("promotion"))
	c.Reference = "event-1"
	ok(t)(b.consent(c, noon))
	for _, c := range []struct {
		purpose, recipient, item string
		before, after            string
	}{
		{"partner_offers", "partner-brand", "email", "consent_in_force", "recipient_not_registered"},
		{"partner_offers", "second-brand", "email", "recipient_not_registered", "recipient_not_consented"},
		{"membership", "cloud-abroad", "email", "recipient_not_registered", "consent_in_force"},
		{"promotion", "parcel-co", "email", "recipient_not_registered", "consent_in_force"},
	} {
		for at, want := range map[time.Time]string{noon: c.before, before: c.before, midnight: c.after, midnight.AddDate(0, 1, 0): c.after} {
			q := &consent.Question{Purpose: c.purpose, Recipient: c.recipient, Items: []string{c.item}}
			if a := r.Decide(b.f, q, at); a.Reason != want {
				t.Errorf("%s for %s at %v: %s, want %s", c.recipient, c.purpose, at, a.Reason, want)
			}
			d := &consent.Disclosure{Recipient: c.recipient, Purpose: c.purpose, Items: []string{c.item}, Reference: "event-1", OccurredAt: at}
			if _, err := r.PlanDisclosure(b.f, b.keys, d, at); (err == nil) != (want == "consent_in_force") {
				t.Errorf("given to %s for %s at %v: %v, want %s", c.recipient, c.purpose, at, err, want)
			}
		}
	}
	_, err := b.r.PlanDisclosure(b.f, b.keys, &consent.Disclosure{Recipient: "cloud-abroad", Purpose: "membership", Items: []string{"name"}, Basis: "legal_process", OccurredAt: noon}, noon)
	wantRefusal(t, err, consent.Forbidden, "basis_not_allowed", "basis")
}

// Between versions: the change lies over those that are there, and a version
// that is posted later says anew who gets what.
func TestAVersionThatIsPostedLaterStatesItsRecipientsAnew(t *testing.T) {
	src := amend(t, string(policies.Haim()), `announced: "2024-12-01"`, `announced: "2026-03-01"`)
	v := func(r *consent.Register, date string, at time.Time) *consent.Register {
		return must(r.With(must(consent.ParsePolicy([]byte(strings.Replace(src, `version: "2025-01-01"`, `version: "`+date+`"`, 1)))), at))
	}
	r := v(haim(t), "2026-06-01", noon.AddDate(0, 0, -1)) // is pending
	r = must(r.WithRecipient(vendorAbroad("2026-04-09"), noon))
	r = v(r, "2026-08-01", noon.AddDate(0, 0, 1))
	b := newBook(t, r)
	ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	for _, c := range []struct {
		date string
		want bool
	}{{"2026-04-08", false}, {"2026-04-09", true}, {"2026-06-01", true}, {"2026-07-31", true}, {"2026-08-01", false}} {
		at := must(time.ParseInLocation(time.DateOnly, c.date, seoul))
		if a := r.Decide(b.f, &consent.Question{Purpose: "membership", Recipient: "cloud-abroad", Items: []string{"email"}}, at); a.Allowed != c.want {
			t.Errorf("%s: %+v", c.date, a)
		}
	}
	seoulDay := func(m time.Month, d int) time.Time { return time.Date(2026, m, d, 0, 0, 0, 0, seoul) }
	until := seoulDay(8, 1)
	i := slices.IndexFunc(r.Recipients(), func(s consent.RecipientState) bool { return s.ID == "cloud-abroad" })
	want := consent.RecipientState{
		Policy: "haim", ID: "cloud-abroad", Name: "Cloud (placeholder)", Business: "hosting", Kind: "processor", Country: "US",
		Purposes: []string{"membership"}, Items: []string{"user_id", "email"}, From: seoulDay(4, 9), Until: &until,
		Announced: "2026-03-10", Reason: "the shop moves to another host", PostedAt: noon,
	}
	if d := cmp.Diff(want, r.Recipients()[i]); d != "" {
		t.Error(d)
	}
}

// A later word on a recipient takes the place of one that has not begun.
func TestALaterChangeTakesThePlaceOfOneThatHasNotBegun(t *testing.T) {
	r := must(haim(t).WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "parcel-co", Announced: "2026-03-10", Reason: "more", Recipient: parcel("email")}, noon))
	r = must(r.WithRecipient(&consent.RecipientChange{Policy: "haim", ID: "parcel-co", Ended: true, Announced: "2026-03-11", Reason: "a leak", Recipient: consent.Recipient{From: "2026-03-11"}}, noon.AddDate(0, 0, 1)))
	b := newBook(t, r)
	c := haimConsent("member", grant("promotion"))
	c.Reference = "event-1"
	ok(t)(b.consent(c, noon))
	for days, want := range map[int]string{0: "consent_in_force", 1: "recipient_not_registered", 29: "recipient_not_registered", 60: "recipient_not_registered"} {
		if a := r.Decide(b.f, &consent.Question{Purpose: "promotion", Recipient: "parcel-co", Items: []string{"name"}}, noon.AddDate(0, 0, days)); a.Reason != want {
			t.Errorf("after %d days: %+v, want %s", days, a, want)
		}
	}
	var rows []string
	for _, s := range r.Recipients() {
		if s.ID == "parcel-co" {
			rows = append(rows, fmt.Sprintf("%s ended %v never %v open %v: %s", s.From.Format(time.DateTime), s.Ended, s.Never(), s.Until == nil, s.Reason))
		}
	}
	if d := cmp.Diff([]string{
		"2025-01-01 00:00:00 ended false never false open false: first version",
		"2026-04-09 00:00:00 ended false never true open false: more",
		"2026-03-11 12:00:00 ended true never false open true: a leak",
	}, rows); d != "" {
		t.Error(d)
	}
}

// The history that anybody can read is the register that the rules go by.
func TestTheHistoryOfRecipientsIsWhatTheRulesGoBy(t *testing.T) {
	rows, moments := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		r := haim(t)
		instants := []time.Time{noon}
		for i := range rapid.IntRange(1, 14).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 24*40).Draw(t, "hours")) * time.Hour)
			day := func(d int) string { return now.AddDate(0, 0, d).Format(time.DateOnly) }
			next := r
			var err error
			if rapid.IntRange(0, 3).Draw(t, "version") == 0 {
				src := string(policies.Haim())
				for _, id := range []string{"it-vendor", "parcel-co"} {
					if rapid.Bool().Draw(t, id+" goes") {
						src = strings.Replace(src, "  "+id+":\n", fmt.Sprintf("  new-%s-%d:\n", id, i), 1)
					}
				}
				src = strings.NewReplacer(`version: "2025-01-01"`, `version: "`+day(rapid.IntRange(31, 90).Draw(t, "in force"))+`"`, `announced: "2024-12-01"`, `announced: "`+day(0)+`"`,
					`from: "2025-01-01"`, `from: "`+day(rapid.IntRange(20, 100).Draw(t, "from"))+`"`).Replace(src)
				next, err = r.With(must(consent.ParsePolicy([]byte(src))), now)
			} else {
				c := vendorAbroad(day(rapid.IntRange(31, 120).Draw(t, "from")))
				c.Announced = day(0)
				switch id := rapid.SampledFrom([]string{"cloud-abroad", "parcel-co", "it-vendor"}).Draw(t, "id"); id {
				case "parcel-co":
					c.ID, c.Recipient = id, parcel(rapid.SampledFrom([]string{"telephone", "email"}).Draw(t, "item"))
					c.Recipient.From = day(40)
				case "it-vendor":
					c.ID, c.Ended = id, true
				}
				c.Ended = c.Ended || rapid.IntRange(0, 2).Draw(t, "ended") == 0
				if c.Ended {
					c.Recipient.From = day(rapid.IntRange(0, 60).Draw(t, "end"))
				}
				next, err = r.WithRecipient(c, now)
			}
			if err == nil {
				r = next
			}
		}
		history := r.Recipients()
		for _, s := range history {
			instants = append(instants, s.From, s.From.Add(-time.Second), s.From.Add(time.Hour))
			if s.Until != nil && s.Until.Before(s.From) {
				t.Fatalf("a state ends before it begins: %+v", s)
			}
		}
		for _, at := range instants {
			var inForce, shown []string
			for _, s := range history {
				if !s.Ended && !at.Before(s.From) && (s.Until == nil || at.Before(*s.Until)) {
					shown = append(shown, s.ID+" "+strings.Join(s.Items, ","))
				}
			}
			b := newBook(t, r)
			for _, row := range r.Processing(at) {
				for _, rec := range row.Recipients {
					inForce = append(inForce, rec.ID)
				}
			}
			slices.Sort(inForce)
			inForce = slices.Compact(inForce)
			slices.Sort(shown)
			var ids []string
			for _, s := range shown {
				id, items, _ := strings.Cut(s, " ")
				ids = append(ids, id)
				for _, it := range strings.Split(items, ",") {
					purpose := map[string]string{"cloud-abroad": "membership", "partner-brand": "partner_offers", "payment-co": "payment"}[id]
					if strings.Contains(id, "it-vendor") {
						purpose = "membership"
					}
					if strings.Contains(id, "parcel-co") {
						purpose = "delivery"
					}
					if it == "order_record" || it == "email" && purpose == "delivery" {
						continue
					}
					if a := r.Decide(b.f, &consent.Question{Purpose: purpose, Recipient: id, Items: []string{it}}, at); a.Reason != consent.ReasonNoConsent {
						t.Fatalf("%v: the history shows %s with %s, and the rules say %s", at, id, it, a.Reason)
					}
				}
			}
			if !slices.Equal(ids, inForce) {
				t.Fatalf("%v: the history shows %v, and the rules go by %v", at, ids, inForce)
			}
			moments++
		}
		rows += len(history)
	})
	if rows < 1000 || moments < 1000 {
		t.Fatalf("%d rows at %d moments: too few for a test", rows, moments)
	}
}

// What is accepted once is accepted at every start, shows in the history, and
// whatever comes after it is compared with it.
func FuzzWithRecipient(f *testing.F) {
	f.Add("haim", "cloud-abroad", "Cloud", "hosting", "processor", "US", "membership", "email name", "2026-04-09", false, "2026-03-10", "because")
	f.Add("haim", "partner-brand", "Partner brand (placeholder)", "cosmetics", "third_party", "KR", "partner_offers", "email", "2026-04-09", false, "2026-03-10", "because")
	f.Add("haim", "parcel-co", "", "", "", "", "", "", "2026-03-10", true, "2026-03-10", "because")
	f.Add("haim", "city", "City", "taxes", "authority", "", "payment order", "name", "2026-12-31", false, "2026-03-10", "because")
	base := haim(f)
	next := must(consent.ParsePolicy([]byte(amend(f, string(policies.Haim()), `version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`))))
	f.Fuzz(func(t *testing.T, policy, id, name, business, kind, country, purposes, items, from string, ended bool, announced, reason string) {
		c := &consent.RecipientChange{Policy: policy, ID: id, Ended: ended, Announced: announced, Reason: reason, Recipient: consent.Recipient{
			Name: name, Business: business, Kind: kind, Country: country, Purposes: strings.Fields(purposes), Items: strings.Fields(items), From: from,
		}}
		one, err := base.WithRecipient(c, noon)
		if err != nil {
			return
		}
		if d := cmp.Diff(one.Recipients(), must(base.WithRecipient(c, noon)).Recipients()); d != "" {
			t.Fatal(d)
		}
		two := must(one.With(next, noon))
		rows := two.Recipients()
		if len(rows) != len(base.Recipients())+1+len(next.Recipients()) {
			t.Fatalf("%d states", len(rows))
		}
		b := newBook(t, two)
		for _, at := range []time.Time{noon, noon.AddDate(0, 1, 0), noon.AddDate(0, 4, 0)} {
			two.Processing(at)
			d := grant("partner_offers")
			if v, ok := two.InForce("haim", at); ok {
				call := haimConsent("member", grant("membership"), d)
				call.PolicyVersion = v.Version()
				b.consent(call, at)
			}
			for _, pu := range []string{"membership", "partner_offers", "payment"} {
				two.Decide(b.f, &consent.Question{Purpose: pu, Recipient: id}, at)
				two.PlanDisclosure(b.f, b.keys, &consent.Disclosure{Recipient: id, Purpose: pu, Items: []string{"email"}, OccurredAt: at}, at)
			}
		}
		two.Changes("haim", next.Version())
		again, err := two.WithRecipient(c, noon.AddDate(0, 4, 0))
		if err == nil {
			again.Recipients()
		}
	})
}
