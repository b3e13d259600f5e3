package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

func TestAWithdrawalIsRefusedByName(t *testing.T) {
	full := func(t *testing.T) *book {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("purchasing_member", grant("membership", "user_id", "email", "name", "telephone"), grant("marketing"), grant("order"), refusal("partner_offers")), noon))
		return b
	}
	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		call        consent.Withdrawal
	}{
		{"purposes_required", "purposes", consent.Invalid, consent.Withdrawal{}},
		{"invalid_scope", "scope", consent.Invalid, consent.Withdrawal{Membership: true, Purposes: []string{"marketing"}}},
		{"invalid_method", "method", consent.Invalid, consent.Withdrawal{Membership: true, Method: "By Phone"}},
		{"occurred_at_in_future", "occurred_at", consent.Invalid, consent.Withdrawal{Membership: true, OccurredAt: noon.Add(6 * time.Minute)}},
		{"unknown_purpose", "purposes[1]", consent.Invalid, consent.Withdrawal{Purposes: []string{"marketing", "tracking"}}},
		{"duplicate_purpose", "purposes[1]", consent.Invalid, consent.Withdrawal{Purposes: []string{"marketing", "haim/marketing"}}},
		{"not_a_choice", "purposes[0]", consent.Invalid, consent.Withdrawal{Purposes: []string{"order"}}},
		{"mandatory_item", "items[0]", consent.Invalid, consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"email"}}},
		{"unknown_item", "items[0]", consent.Invalid, consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"shoe_size"}}},
		{"duplicate_item", "items[1]", consent.Invalid, consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"telephone", "telephone"}}},
		{"mandatory_item", "items[0]", consent.Invalid, consent.Withdrawal{Purposes: []string{"order"}, Items: []string{"order_record"}}},
		{"items_required", "items", consent.Invalid, consent.Withdrawal{Purposes: []string{"marketing"}, Items: []string{}}},
		{"nothing_to_withdraw", "", consent.Conflict, consent.Withdrawal{Purposes: []string{"partner_offers"}}},
		{"nothing_to_withdraw", "", consent.Conflict, consent.Withdrawal{Purposes: []string{"cookies_marketing"}}},
		{"nothing_to_withdraw", "", consent.Conflict, consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"address"}}},
	} {
		t.Run(c.code, func(t *testing.T) {
			b := full(t)
			before := len(b.entries)
			_, err := b.withdraw(&c.call, noon)
			wantRefusal(t, err, c.kind, c.code, c.field)
			if len(b.entries) != before {
				t.Error("a refused withdrawal left an entry")
			}
		})
	}
	_, err := newBook(t, haim(t)).withdraw(&consent.Withdrawal{Membership: true}, noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")

	b := full(t)
	ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	_, err = b.withdraw(&consent.Withdrawal{Membership: true}, noon)
	wantRefusal(t, err, consent.Conflict, "nothing_to_withdraw", "")
}

func TestWithdrawingTheLastPurposeOfAClassEndsIt(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("cookies_analytics"), grant("cookies_marketing"), refusal("cookies_personalisation")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"cookies_analytics"}}, noon))
	if len(p.Destroy) != 0 {
		t.Errorf("destroys %v while a purpose of the class is in force", p.Destroy)
	}
	if d := cmp.Diff([]consent.Kept{{Class: "cookies", Event: "purpose_withdrawal"}}, p.Kept); d != "" {
		t.Error(d)
	}
	if p.Entries[0].Key.Class != "haim/membership" {
		t.Errorf("the withdrawal is recorded in %s", p.Entries[0].Key.Class)
	}
	p = ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"cookies_marketing"}}, noon))
	if d := cmp.Diff([]consent.KeyName{{Class: "haim/cookies"}}, p.Destroy); d != "" {
		t.Error(d)
	}
	// The consent is gone with its class; the withdrawal is not.
	if a := b.ask("cookies_marketing", noon); a.Allowed || a.Reason != consent.ReasonWithdrawn {
		t.Errorf("%+v", a)
	}
	ok(t)(b.consent(haimConsent("member", grant("cookies_marketing")), noon))
	if a := b.ask("cookies_marketing", noon); !a.Allowed {
		t.Errorf("granted again: %+v", a)
	}
}

func TestWithdrawingItemsLeavesThePurpose(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership", "user_id", "email", "name", "telephone", "address")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"membership"}, Items: []string{"telephone"}}, noon))
	if len(p.Destroy) != 0 {
		t.Errorf("destroys %v", p.Destroy)
	}
	for item, want := range map[string]bool{"telephone": false, "address": true, "email": true} {
		if a := b.ask("membership", noon, item); a.Allowed != want {
			t.Errorf("%s: %+v", item, a)
		}
	}
}

func TestAnOptionalItemOfAContractIsTheMembersToWithdraw(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("delivery", "name", "address", "telephone"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	give := func(item string) error {
		_, err := b.disclose(&consent.Disclosure{Recipient: "parcel-co", Purpose: "delivery", Items: []string{item}, Reference: "order-7", OccurredAt: noon}, noon)
		return err
	}
	if err := give("telephone"); err != nil {
		t.Fatal("control:", err)
	}
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"delivery"}, Items: []string{"telephone"}}, noon))
	if len(p.Notify) != 1 || p.Notify[0].Recipient != "parcel-co" {
		t.Errorf("notify %v", p.Notify)
	}
	wantRefusal(t, give("telephone"), consent.Forbidden, "item_not_consented", "items")
	if err := give("address"); err != nil {
		t.Error("the contract itself:", err)
	}
}

func TestWithdrawingEveryItemOfAPurposeWithdrawsIt(t *testing.T) {
	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("identification"), grant("customised_service", "gender", "skin_type"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	ok(t)(b.consent(c, noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"customised_service"}, Items: []string{"gender", "skin_type"}}, noon))
	if a := b.ask("customised_service", noon); a.Allowed || a.Reason != consent.ReasonWithdrawn {
		t.Errorf("%+v", a)
	}
}

func keptRows(rows []consent.Kept) string {
	var s []string
	for _, k := range rows {
		until := "null"
		if k.Until != nil {
			until = k.Until.In(seoul).Format(time.RFC3339)
		}
		s = append(s, fmt.Sprintf("%s %s %s %t", k.Class, until, k.Event, k.Basis != ""))
	}
	slices.Sort(s)
	return strings.Join(s, "\n")
}

func TestAMemberWhoLeavesTakesEverythingAlong(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing"), grant("health_consultation")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if !p.Ended || len(p.Entries) != 0 || len(p.Kept) != 0 || len(p.Destroy) != 4 || len(b.keys) != 0 {
		t.Errorf("ended %t, %d entries, kept %v, destroyed %v", p.Ended, len(p.Entries), p.Kept, p.Destroy)
	}
	if a := b.ask("membership", noon); a.Reason != consent.ReasonWithdrawn || a.Allowed {
		t.Errorf("%+v", a)
	}
	if v := b.f.View(b.r, noon); v.State != consent.StateWithdrawn || len(v.Purposes) != 0 || v.MemberKind != "" {
		t.Errorf("a member who left shows %+v", v)
	}
}

// The periods are those of the two shops: five years from the withdrawal for a
// purchasing member, from the entry for contracts and payments, three for
// complaints, and no date for what ends with a delivery or an event.
func TestAPurchasingMemberWhoLeavesLeavesWhatTheLawKeeps(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("marketing")), noon))
	c := haimConsent("purchasing_member", grant("order"), grant("payment"), grant("complaints"), grant("delivery"), grant("promotion"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	c.Reference, c.Decisions = "order-8", []consent.Decision{grant("delivery")}
	ok(t)(b.consent(c, noon.AddDate(0, 0, 3)))
	ok(t)(b.look(&consent.Access{Who: "op_1", What: "GET /v1/members", Reason: "a call by the member"}, noon))

	left := time.Date(2026, 4, 1, 9, 0, 0, 0, seoul)
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true, OccurredAt: left}, left))
	want := strings.Join([]string{
		"access 2028-03-11T00:00:00+09:00  true",
		"complaint 2029-03-11T00:00:00+09:00  true",
		"contract 2031-03-11T00:00:00+09:00  true",
		"membership 2031-04-02T00:00:00+09:00  true", // the current kind governs what was recorded before
		"payment 2031-03-11T00:00:00+09:00  true",
		"purchasing_member 2031-04-02T00:00:00+09:00  true",
		"shipping null delivery false",
	}, "\n")
	if d := cmp.Diff(want, keptRows(p.Kept)); d != "" {
		t.Error(d)
	}
	// The event rested on consent alone, the deliveries on contracts.
	if d := cmp.Diff([]consent.KeyName{{Class: "haim/newsletter"}, {Class: "haim/promotion", Reference: "order-7"}}, p.Destroy); d != "" {
		t.Error(d)
	}
	due := time.Date(2031, 4, 2, 0, 0, 0, 0, seoul)
	for _, k := range p.SetDue {
		if !k.Due.Equal(due) {
			t.Errorf("%s is due %v", k.Class, k.Due)
		}
	}
	if len(p.SetDue) != 2 {
		t.Errorf("%d keys are due", len(p.SetDue))
	}
}

func TestAMemberWhoBuysNoMoreIsStillOneWhoBought(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
	ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if got := keptRows(p.Kept); !strings.HasPrefix(got, "purchasing_member 2031-03-11") {
		t.Errorf("kept: %s", got)
	}
	if d := cmp.Diff([]consent.KeyName{{Class: "haim/access"}, {Class: "haim/membership"}}, p.Destroy); d != "" {
		t.Error(d)
	}
}

func TestWhatIsRecordedAfterBuyingNoMoreGoesWithTheMembership(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("marketing")), noon)) // opens the membership's class, and decides on nothing in it
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership")), noon))
	ok(t)(b.consent(haimConsent("member", grant("personalisation")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if !slices.Contains(p.Destroy, consent.KeyName{Class: "haim/membership"}) {
		t.Errorf("kept: %s", keptRows(p.Kept))
	}
}

func TestWhatHasRunOutGoesWithTheMembership(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("complaints")), noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon.AddDate(3, 0, 1)))
	if !slices.Contains(p.Destroy, consent.KeyName{Class: "haim/complaint"}) {
		t.Errorf("destroys %v", p.Destroy)
	}
}

func TestAWithdrawalNamesWhoHoldsData(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership"), grant("delivery"), grant("partner_offers"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	give := func(recipient, purpose, reference string, at time.Time, items ...string) {
		ok(t)(b.disclose(&consent.Disclosure{Recipient: recipient, Purpose: purpose, Items: items, Reference: reference, OccurredAt: at}, at))
	}
	give("parcel-co", "delivery", "order-7", noon, "name")
	give("partner-brand", "partner_offers", "", noon, "email")
	give("parcel-co", "delivery", "order-7", noon.Add(time.Hour), "address")
	parcel := consent.Notify{Recipient: "parcel-co", Items: []string{"name", "address"}, DisclosedAt: noon.Add(time.Hour), Index: 105}
	brand := consent.Notify{Recipient: "partner-brand", Items: []string{"email"}, DisclosedAt: noon, Index: 104}

	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"partner_offers"}}, noon))
	if d := cmp.Diff([]consent.Notify{brand}, p.Notify); d != "" {
		t.Error(d)
	}
	p = ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon))
	if d := cmp.Diff([]consent.Notify{parcel}, p.Notify); d != "" {
		t.Error(d) // the record of the other went with its class, and its holder was named then
	}
}

func TestAMemberWhoBoughtAndBuysNoMoreLeavesWhatTheLawKeeps(t *testing.T) {
	for _, back := range []bool{false, true} {
		b := newBook(t, haim(t))
		ok(t)(b.consent(haimConsent("member", grant("membership")), noon))
		ok(t)(b.consent(haimConsent("purchasing_member", grant("order")), noon.Add(time.Hour)))
		if back {
			ok(t)(b.consent(haimConsent("member", refusal("marketing")), noon.Add(2*time.Hour)))
		}
		p := ok(t)(b.withdraw(&consent.Withdrawal{Membership: true}, noon.Add(3*time.Hour)))
		if got := keptRows(p.Kept); !strings.Contains(got, "membership 2031-03-11") {
			t.Errorf("back %t, kept: %s", back, got)
		}
	}
}

func TestAnEventsDataGoesWithItsConsent(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership"), grant("promotion"), grant("delivery"))
	c.Reference = "order-7"
	ok(t)(b.consent(c, noon))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"promotion"}}, noon))
	if d := cmp.Diff([]consent.KeyName{{Class: "haim/promotion", Reference: "order-7"}}, p.Destroy); d != "" {
		t.Error(d)
	}
	if b.key(consent.KeyName{Class: "haim/shipping", Reference: "order-7"}) < 0 {
		t.Error("the delivery went along")
	}
}

func TestTheAnswerToAWithdrawalCountsItsOwnCopy(t *testing.T) {
	b := newBook(t, withEvidence(t))
	c := haimConsent("member", grant("membership"), grant("marketing"))
	c.OccurredAt = noon.AddDate(-1, 0, 0)
	ok(t)(b.consent(c, c.OccurredAt))
	p := ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"marketing"}}, noon))
	if got := keptRows(p.Kept); got != "complaint 2029-03-11T00:00:00+09:00  true" {
		t.Errorf("kept: %s", got)
	}
}
