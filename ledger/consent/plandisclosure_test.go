package consent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// buyer is a purchasing member with one open order and one open correction.
func buyer(t *testing.T) *book {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member",
		grant("membership", "user_id", "email", "name", "telephone"), grant("delivery"), grant("payment"), grant("partner_offers"), refusal("marketing"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "telephone"}}}, "cor_1", noon))
	return b
}

func TestADisclosureIsRefusedInTheContractsOrder(t *testing.T) {
	type call = consent.Disclosure
	items := func(s ...string) []string { return s }
	for _, c := range []struct {
		code, field, reason string
		kind                consent.RefusalKind
		call                call
	}{
		{"items_required", "items", "", consent.Invalid, call{Recipient: "it-vendor", Purpose: "membership"}},
		{"purpose_required", "purpose", "", consent.Invalid, call{Recipient: "it-vendor", Items: items("name")}},
		{"invalid_recipient", "recipient", "", consent.Invalid, call{Recipient: "The Vendor", Purpose: "membership", Items: items("name")}},
		{"member_id_not_allowed", "member_id", "", consent.Invalid, call{Recipient: "it-vendor", Purpose: "membership", Items: items("name"), Form: "anonymised"}},
		{"invalid_form", "form", "", consent.Invalid, call{Recipient: "it-vendor", Purpose: "membership", Items: items("name"), Form: "rot13"}},
		{"duplicate_item", "items[1]", "", consent.Invalid, call{Recipient: "it-vendor", Purpose: "membership", Items: items("name", "name")}},

		{"purpose_not_stated", "purpose", "", consent.Forbidden, call{Recipient: "nobody", Purpose: "resale", Items: items("name"), Basis: "none"}},
		{"basis_not_allowed", "basis", "", consent.Forbidden, call{Recipient: "nobody", Purpose: "membership", Items: items("name"), Basis: "none"}},
		{"basis_not_allowed", "basis", "", consent.Forbidden, call{Recipient: "it-vendor", Purpose: "membership", Items: items("name"), Basis: "statistics"}},
		{"basis_not_allowed", "basis", "", consent.Forbidden, call{Recipient: "partner-brand", Purpose: "partner_offers", Items: items("email"), Basis: "legal_process"}},
		{"recipient_not_registered", "recipient", "", consent.Forbidden, call{Recipient: "nobody", Purpose: "membership", Items: items("telephone")}},
		{"recipient_not_allowed", "recipient", "", consent.Forbidden, call{Recipient: "parcel-co", Purpose: "membership", Items: items("name")}},
		{"recipient_not_allowed", "recipient", "", consent.Forbidden, call{Recipient: "payment-co", Purpose: "payment", Items: items("telephone")}},
		{"item_suspended", "items", "", consent.Forbidden, call{Recipient: "it-vendor", Purpose: "membership", Items: items("telephone")}},
		{"item_suspended", "items", "", consent.Forbidden, call{Recipient: "court", Purpose: "membership", Items: items("telephone"), Basis: "safety"}},
		{"no_effective_consent", "purpose", "no_consent", consent.Forbidden, call{Recipient: "parcel-co", Purpose: "promotion", Items: items("name")}},
		{"item_not_consented", "items", "", consent.Forbidden, call{Recipient: "it-vendor", Purpose: "membership", Items: items("address")}},
		{"unknown_item", "items[0]", "", consent.Invalid, call{Recipient: "court", Purpose: "membership", Items: items("shoe_size"), Basis: "legal_process"}},
		{"prohibited_item", "items[0]", "", consent.Invalid, call{Recipient: "court", Purpose: "membership", Items: items("religion"), Basis: "legal_process"}},
		{"reference_required", "reference", "", consent.Invalid, call{Recipient: "parcel-co", Purpose: "delivery", Items: items("name")}},
		{"reference_unknown", "reference", "", consent.Conflict, call{Recipient: "parcel-co", Purpose: "delivery", Items: items("name"), Reference: "order-9"}},
		{"class_not_open", "purpose", "", consent.Conflict, call{Recipient: "court", Purpose: "health_consultation", Items: items("skin_condition"), Basis: "legal_process"}},
	} {
		t.Run(c.code, func(t *testing.T) {
			b := buyer(t)
			before := len(b.entries)
			c.call.OccurredAt = noon
			_, err := b.disclose(&c.call, noon)
			wantRefusal(t, err, c.kind, c.code, c.field)
			if got := err.(*consent.Refusal).Reason; got != c.reason {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
			if len(b.entries) != before {
				t.Error("a refused disclosure left an entry")
			}
		})
	}
	_, err := newBook(t, haim(t)).disclose(&call{Recipient: "it-vendor", Purpose: "membership", Items: items("name"), OccurredAt: noon}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
}

func TestThirdPartiesNeedTheMembersConsentByName(t *testing.T) {
	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("communication"), grant("marketing"), refusal("partner_offers"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	ok(t)(b.consent(c, noon))
	d := &consent.Disclosure{Recipient: "partner-brand", Purpose: "partner_offers", Items: []string{"email"}, OccurredAt: noon}
	_, err := b.disclose(d, noon)
	wantRefusal(t, err, consent.Forbidden, "no_effective_consent", "purpose")
	if r := err.(*consent.Refusal); r.Reason != consent.ReasonRefused {
		t.Errorf("reason %s", r.Reason)
	}
	c.Decisions = []consent.Decision{grant("partner_offers")}
	ok(t)(b.consent(c, noon))
	ok(t)(b.disclose(d, noon))
}

func TestADisclosureRecordsWhoWhatWhyAndOnWhatItRests(t *testing.T) {
	b := buyer(t)
	p := ok(t)(b.disclose(&consent.Disclosure{Recipient: "parcel-co", Purpose: "delivery", Items: []string{"name", "address"}, Reference: "order-7", OccurredAt: noon}, noon))
	index := uint64(101)
	want := consent.EventView{
		Kind: "disclosure", Policy: "haim", PolicyVersion: "2025-01-01", Purpose: "delivery", Items: []string{"name", "address"},
		Recipient: "parcel-co", Business: "delivery", Basis: "contract", RestsOn: &index, Form: "identified", Reference: "order-7",
	}
	got := p.Entries[0].Event.View().(consent.EventView)
	got.OccurredAt = nil
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if k := p.Entries[0].Key; k != (consent.KeyName{Class: "haim/shipping", Reference: "order-7"}) {
		t.Errorf("recorded under %v", k)
	}
}

func TestAnExemptionStandsInForTheConsentAndWhereThePolicySaysSoForASuspension(t *testing.T) {
	b := buyer(t)
	p := ok(t)(b.disclose(&consent.Disclosure{Recipient: "seoul-court", Purpose: "membership", Items: []string{"telephone", "address"}, Basis: "legal_process", OccurredAt: noon}, noon))
	if e := p.Entries[0].Event; e.Basis != "legal_process" || e.RestsOn != nil {
		t.Errorf("basis %q, rests on %v", e.Basis, e.RestsOn)
	}
}

func TestARecordOfALookIsKeptInTheAccessClass(t *testing.T) {
	b := buyer(t)
	p := ok(t)(b.look(&consent.Access{Who: "op_1", From: "192.0.2.7", What: "GET /v1/members/{ref}", Reason: "a call by the member"}, noon))
	if k := p.Entries[0].Key.Class; k != "haim/access" {
		t.Errorf("recorded in %s", k)
	}
	_, err := b.look(&consent.Access{Who: "op_1"}, noon)
	wantRefusal(t, err, consent.Invalid, "access_reason_required", "Access-Reason")
	_, err = newBook(t, haim(t)).look(&consent.Access{Who: "op_1", Reason: "a call"}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")

	d := newBook(t, dermatech(t)) // has no class for looks: the ledger's own
	c := haimConsent("standard_member", grant("marketing"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	ok(t)(d.consent(c, noon))
	p = ok(t)(d.look(&consent.Access{Who: "op_1", Reason: "a call"}, noon))
	if k := p.Entries[0].Key.Class; k != consent.AccessClass {
		t.Errorf("recorded in %s", k)
	}
}

// The key for looks is destroyed empty with the membership, and still nobody
// reads what is kept without a record.
func TestALookAtWhatIsKeptIsRecordedToo(t *testing.T) {
	b := buyer(t)
	end := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if len(end.Kept) == 0 || b.key(consent.KeyName{Class: "haim/access"}) >= 0 {
		t.Fatalf("kept %v", end.Kept)
	}
	p := ok(t)(b.look(&consent.Access{Who: "op_1", Reason: "a tax audit"}, noon))
	if k := p.Entries[0].Key.Class; k != "haim/access" {
		t.Errorf("recorded in %s", k)
	}
}

func TestAnExemptionCoversItsPurposesAndTheirItemsOnly(t *testing.T) {
	type call = consent.Disclosure
	for _, c := range []struct {
		what, code, field string
		kind              consent.RefusalKind
		call              call
	}{
		{"its purpose", "", "", 0, call{Recipient: "settlement-co", Purpose: "payment", Items: []string{"payment_record"}, Basis: "settlement"}},
		{"a purpose that was refused", "basis_not_allowed", "basis", consent.Forbidden, call{Recipient: "partner-brand", Purpose: "partner_offers", Items: []string{"email"}, Basis: "settlement"}},
		{"an authority", "", "", 0, call{Recipient: "seoul-court", Purpose: "identification", Items: []string{"birth_date"}, Basis: "law"}},
		{"a secret item of its purpose", "secret_item", "items[0]", consent.Invalid, call{Recipient: "seoul-court", Purpose: "identification", Items: []string{"password"}, Basis: "law"}},
		{"an item of another purpose", "unknown_item", "items[1]", consent.Invalid, call{Recipient: "seoul-court", Purpose: "identification", Items: []string{"birth_date", "skin_issues"}, Basis: "law"}},
	} {
		b := newBook(t, dermatech(t))
		m := haimConsent("standard_member", grant("identification"), grant("payment"), refusal("partner_offers"))
		m.Policy, m.PolicyVersion = "dermatech", "2011-12-01"
		ok(t)(b.consent(m, noon))
		c.call.OccurredAt = noon
		_, err := b.disclose(&c.call, noon)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		wantRefusal(t, err, c.kind, c.code, c.field)
	}
}

func TestARecipientFromNextYearIsNoAuthorityToday(t *testing.T) {
	src := strings.Replace(string(policies.Haim()), "items: [email, name]\n    from: \"2025-01-01\"", "items: [email, name]\n    from: \"2027-01-01\"", 1)
	b := newBook(t, register(t, []byte(src)))
	ok(t)(b.consent(haimConsent("member", grant("membership"), refusal("partner_offers")), noon))
	d := &consent.Disclosure{Recipient: "partner-brand", Purpose: "partner_offers", Items: []string{"email"}, Basis: "legal_process", OccurredAt: noon}
	_, err := b.disclose(d, noon)
	wantRefusal(t, err, consent.Forbidden, "basis_not_allowed", "basis")
	d.Recipient = "seoul-court"
	ok(t)(b.disclose(d, noon))
}

func TestADisclosureForAnEventRestsOnWhatWasSaidOfIt(t *testing.T) {
	b := newBook(t, haim(t))
	decide := func(reference string, d ...consent.Decision) {
		c := haimConsent("member", d...)
		c.Reference = reference
		ok(t)(b.consent(c, noon))
	}
	give := func(reference string) error {
		_, err := b.disclose(&consent.Disclosure{Recipient: "parcel-co", Purpose: "promotion", Items: []string{"name", "address"}, Reference: reference, OccurredAt: noon}, noon)
		return err
	}
	decide("event-1", grant("membership"), refusal("promotion"))
	decide("event-2", grant("promotion", "name", "email", "address"))
	err := give("event-1")
	wantRefusal(t, err, consent.Forbidden, "no_effective_consent", "purpose")
	if no := err.(*consent.Refusal); no.Reason != consent.ReasonRefused {
		t.Errorf("because of %s", no.Reason)
	}
	if err := give("event-2"); err != nil {
		t.Errorf("control: %v", err)
	}
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"promotion"}, Items: []string{"address"}}, noon))
	decide("event-3", grant("promotion", "name", "email", "address"))
	wantRefusal(t, give("event-2"), consent.Forbidden, "item_not_consented", "items") // not given back by a yes to another event
}

// Nobody who may write can make the ledger work for long on one call.
func TestADisclosureOfThousandsOfItemsIsRefusedAtOnce(t *testing.T) {
	b := buyer(t)
	d := &consent.Disclosure{Recipient: "parcel-co", Purpose: "delivery", Reference: "order-7", OccurredAt: noon}
	for i := range 200_000 {
		d.Items = append(d.Items, fmt.Sprint("item-", i))
	}
	done := make(chan error, 1)
	go func() { _, err := b.r.PlanDisclosure(b.f, b.keys, d, noon); done <- err }()
	select {
	case err := <-done:
		wantRefusal(t, err, consent.Forbidden, "recipient_not_allowed", "recipient")
	case <-time.After(20 * time.Second):
		t.Fatal("it takes longer than twenty seconds")
	}
	d.Items = append(d.Items[:3], "item-1")
	_, err := b.r.PlanDisclosure(b.f, b.keys, d, noon)
	wantRefusal(t, err, consent.Invalid, "duplicate_item", "items[3]")
}
