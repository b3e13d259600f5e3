package consent_test

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// opened returns the member's entries as the ledger hands them out.
func (b *book) opened() []consent.MemberEntry {
	var list []consent.MemberEntry
	for _, l := range b.entries {
		list = append(list, consent.MemberEntry{
			Index: l.index, LeafHash: sha256.Sum256(strconv.AppendUint(nil, l.index, 10)), RecordedAt: l.at, Key: l.key,
			Event: must(consent.DecodeEvent(l.body)),
		})
	}
	return list
}

func (b *book) newest() uint64 { return b.entries[len(b.entries)-1].index }

// leak fails the test unless the query finds exactly these items and entries.
func (b *book) leak(t *testing.T, q consent.BreachQuery, items []string, indexes ...uint64) {
	t.Helper()
	gotItems, gotIndexes := consent.Breach(b.opened(), &q)
	if !slices.Equal(gotItems, items) || !slices.Equal(gotIndexes, indexes) {
		t.Fatalf("the breach touches %v by entries %v, want %v by %v", gotItems, gotIndexes, items, indexes)
	}
}

// shared is a member who lets a partner have things, and refused health advice.
func shared(t *testing.T) *book {
	t.Helper()
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member",
		grant("membership", "user_id", "email", "name", "telephone"), grant("partner_offers", "email", "name"), refusal("health_consultation"),
	), noon))
	return b
}

func given(recipient, purpose string, at time.Time, items ...string) *consent.Disclosure {
	return &consent.Disclosure{Recipient: recipient, Purpose: purpose, Items: items, OccurredAt: at}
}

func looked() *consent.Access {
	return &consent.Access{Who: "key_1", From: "127.0.0.1", What: "state", Reason: "support call"}
}

func TestTheWindowOfABreachHoldsBothItsEnds(t *testing.T) {
	at := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		from, to time.Time
		in       bool
	}{
		"that is the instant":             {at, at, true},
		"that begins with it":             {at, at.Add(time.Hour), true},
		"that ends with it":               {at.Add(-time.Hour), at, true},
		"that ends a millisecond before":  {at.Add(-time.Hour), at.Add(-time.Millisecond), false},
		"that begins a millisecond after": {at.Add(time.Millisecond), at.Add(time.Hour), false},
		"without a beginning":             {time.Time{}, at, true},
		"without an end":                  {at, time.Time{}, true},
		"in another time zone":            {at.UTC(), at.UTC(), true},
		"without either":                  {time.Time{}, time.Time{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := shared(t)
			ok(t)(b.disclose(given("partner-brand", "partner_offers", at, "email"), at))
			q := consent.BreachQuery{Recipient: "partner-brand", From: c.from, To: c.to}
			if c.in {
				b.leak(t, q, []string{"email"}, b.newest())
			} else {
				b.leak(t, q, nil)
			}
			b = shared(t)
			ok(t)(b.look(looked(), at))
			q.Recipient = ""
			if c.in {
				b.leak(t, q, []string{"email", "name", "telephone", "user_id"}, b.newest())
			} else {
				b.leak(t, q, nil)
			}
		})
	}
}

func TestADisclosureThatWasRecordedLateLeakedWhenItWasMade(t *testing.T) {
	b := shared(t)
	made, recorded := noon.Add(time.Hour), noon.Add(26*time.Hour)
	ok(t)(b.disclose(given("partner-brand", "partner_offers", made, "email"), recorded))
	for _, at := range []time.Time{made, recorded} {
		b.leak(t, consent.BreachQuery{From: at, To: at}, []string{"email"}, b.newest())
	}
	b.leak(t, consent.BreachQuery{From: made.Add(time.Second), To: recorded.Add(-time.Second)}, nil)
}

func TestALeakingRecipientAnswersForWhatItWasGivenAndForNothingElse(t *testing.T) {
	b := shared(t)
	ok(t)(b.disclose(given("partner-brand", "partner_offers", noon, "email"), noon.Add(time.Minute)))
	partner := b.newest()
	ok(t)(b.disclose(given("it-vendor", "membership", noon, "telephone"), noon.Add(2*time.Minute)))
	vendor := b.newest()
	ok(t)(b.disclose(given("partner-brand", "partner_offers", noon, "name", "email"), noon.Add(3*time.Minute)))
	again := b.newest()
	ok(t)(b.look(looked(), noon.Add(4*time.Minute)))
	look := b.newest()

	b.leak(t, consent.BreachQuery{Recipient: "partner-brand"}, []string{"email", "name"}, partner, again)
	b.leak(t, consent.BreachQuery{Recipient: "it-vendor"}, []string{"telephone"}, vendor)
	b.leak(t, consent.BreachQuery{Recipient: "parcel-co"}, nil)
	b.leak(t, consent.BreachQuery{}, []string{"email", "name", "telephone", "user_id"}, partner, vendor, again, look)
}

func TestOnlyTheItemsThatLeakedCount(t *testing.T) {
	b := shared(t)
	ok(t)(b.disclose(given("partner-brand", "partner_offers", noon, "email", "name"), noon.Add(time.Minute)))
	partner := b.newest()
	ok(t)(b.disclose(given("it-vendor", "membership", noon, "telephone"), noon.Add(2*time.Minute)))
	ok(t)(b.look(looked(), noon.Add(3*time.Minute)))
	look := b.newest()

	b.leak(t, consent.BreachQuery{Items: []string{"name"}}, []string{"name"}, partner, look)
	b.leak(t, consent.BreachQuery{Items: []string{"name", "address"}, Recipient: "partner-brand"}, []string{"name"}, partner)
	b.leak(t, consent.BreachQuery{Items: []string{"address"}}, nil)
}

func TestALeakedLookShowsWhatWasGrantedWhenItWasTaken(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name"), refusal("health_consultation"), refusal("cookies_marketing")), noon))
	ok(t)(b.look(looked(), noon.Add(1*time.Hour)))
	first := b.newest()
	ok(t)(b.consent(haimConsent("member", grant("health_consultation", "skin_condition"), grant("membership", "user_id", "email", "name", "telephone")), noon.Add(2*time.Hour)))
	ok(t)(b.look(looked(), noon.Add(3*time.Hour)))
	second := b.newest()
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"telephone"}}, noon.Add(4*time.Hour)))
	ok(t)(b.look(looked(), noon.Add(5*time.Hour)))
	third := b.newest()

	hour := func(h time.Duration) consent.BreachQuery {
		return consent.BreachQuery{From: noon.Add(h * time.Hour), To: noon.Add(h * time.Hour)}
	}
	b.leak(t, hour(1), []string{"email", "name", "user_id"}, first)
	b.leak(t, hour(3), []string{"email", "name", "skin_condition", "telephone", "user_id"}, second)
	b.leak(t, hour(5), []string{"email", "name", "skin_condition", "user_id"}, third)
}

func TestWhatWasRefusedIsNotHeldAndCannotLeak(t *testing.T) {
	b := newBook(t, haim(t))
	named := consent.Decision{Purpose: "cookies_marketing", Items: []string{"cookie_id", "preferences"}}
	ok(t)(b.consent(haimConsent("visitor", refusal("cookies_analytics"), named), noon))
	ok(t)(b.look(looked(), noon.Add(time.Hour)))
	b.leak(t, consent.BreachQuery{}, nil)

	// The control: one yes, and the same look shows it.
	ok(t)(b.consent(haimConsent("visitor", grant("cookies_marketing")), noon.Add(2*time.Hour)))
	ok(t)(b.look(looked(), noon.Add(3*time.Hour)))
	b.leak(t, consent.BreachQuery{}, []string{"cookie_id"}, b.newest())
}

func TestALeakedLookSeesTheItemsOfEveryOrder(t *testing.T) {
	b := newBook(t, haim(t))
	order := func(reference string, items ...string) {
		c := haimConsent("purchasing_member", grant("delivery", items...))
		c.Reference = reference
		ok(t)(b.consent(c, noon))
	}
	order("order-1", "name", "address", "telephone")
	order("order-2", "name", "address")
	ok(t)(b.look(looked(), noon.Add(time.Hour)))
	b.leak(t, consent.BreachQuery{}, []string{"address", "name", "telephone"}, b.newest())
}

func TestALeakedLookAtWhatIsKeptApartSawOneClass(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership"), grant("order"), grant("payment")), noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon.Add(time.Hour)))
	for _, ground := range []string{"payment", "haim/payment"} {
		look := looked()
		look.What = consent.LookKept + ground
		ok(t)(b.look(look, noon.Add(2*time.Hour)))
	}
	seen := b.newest()
	b.leak(t, consent.BreachQuery{}, []string{"name", "payment_record"}, seen-1, seen)

	// The control: an ordinary look would have shown everything.
	ok(t)(b.look(looked(), noon.Add(3*time.Hour)))
	b.leak(t, consent.BreachQuery{From: noon.Add(3 * time.Hour)}, []string{"email", "name", "order_record", "payment_record", "user_id"}, b.newest())
}

func TestAPseudonymisedDisclosureCountsAndAnAnonymisedOneIsAboutNobody(t *testing.T) {
	b := shared(t)
	d := given("partner-brand", "partner_offers", noon, "email")
	d.Form = consent.FormPseudonymised
	ok(t)(b.disclose(d, noon.Add(time.Minute)))
	b.leak(t, consent.BreachQuery{Recipient: "partner-brand"}, []string{"email"}, b.newest())

	// No member has an anonymised one; if an entry said so all the same, it would name nobody.
	entries := b.opened()
	entries[len(entries)-1].Event.Form = consent.FormAnonymised
	if items, indexes := consent.Breach(entries, &consent.BreachQuery{}); items != nil || indexes != nil {
		t.Fatalf("an anonymised disclosure touches %v by %v", items, indexes)
	}
}

func TestTheOrderInWhichABreachQueryMeetsEntriesDoesNotMatterAndTheyStayAsTheyWere(t *testing.T) {
	b := shared(t)
	for i := range 5 {
		at := noon.Add(time.Duration(i) * time.Minute)
		ok(t)(b.disclose(given("partner-brand", "partner_offers", at, "email", "name"), at))
		ok(t)(b.look(looked(), at))
	}
	q := consent.BreachQuery{Items: []string{"name"}}
	wantItems, wantIndexes := consent.Breach(b.opened(), &q)
	entries := b.opened()
	slices.Reverse(entries)
	gotItems, gotIndexes := consent.Breach(entries, &q)
	if len(wantIndexes) != 10 || !slices.Equal(gotItems, wantItems) || !slices.Equal(gotIndexes, wantIndexes) {
		t.Fatalf("newest first it touches %v by %v, oldest first %v by %v", gotItems, gotIndexes, wantItems, wantIndexes)
	}
	if entries[0].Index != b.newest() || !slices.Equal(entries[1].Event.Items, []string{"email", "name"}) {
		t.Fatal("the query changed the entries it was given")
	}
}
