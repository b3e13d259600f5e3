package consent_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

func text(s string) *string { return &s }

func TestACorrectionIsRefusedByName(t *testing.T) {
	type change = consent.Change
	list := func(c ...change) []change { return c }
	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		changes     []change
	}{
		{"changes_required", "changes", consent.Invalid, nil},
		{"duplicate_item", "changes[1].item", consent.Invalid, list(change{Item: "email"}, change{Item: "email"})},
		{"unknown_item", "changes[0].item", consent.Invalid, list(change{Item: "shoe_size"})},
		{"prohibited_item", "changes[0].item", consent.Invalid, list(change{Item: "religion", New: text("none")})},
		{"correction_open", "changes[1].item", consent.Conflict, list(change{Item: "email"}, change{Item: "telephone"})},
		{"invalid_value", "changes[0]", consent.Invalid, list(change{Item: "email", New: text("a\xff")})},
		{"too_large", "", consent.Invalid, list(change{Item: "email", New: text(strings.Repeat("x", 60_000))})},
	} {
		t.Run(c.code, func(t *testing.T) {
			b := buyer(t)
			_, err := b.correct(&consent.Correction{Changes: c.changes}, "cor_2", noon)
			wantRefusal(t, err, c.kind, c.code, c.field)
		})
	}

	b := newBook(t, dermatech(t))
	c := haimConsent("standard_member", grant("identification"))
	c.Policy, c.PolicyVersion = "dermatech", "2011-12-01"
	ok(t)(b.consent(c, noon))
	_, err := b.correct(&consent.Correction{Changes: list(change{Item: "licence_number"})}, "cor_2", noon)
	wantRefusal(t, err, consent.Invalid, "item_not_for_member_kind", "changes[0].item")
	_, err = b.correct(&consent.Correction{Changes: list(change{Item: "password", New: text("hunter2")})}, "cor_2", noon)
	wantRefusal(t, err, consent.Invalid, "secret_value", "changes[0]")
	ok(t)(b.correct(&consent.Correction{Changes: list(change{Item: "password"})}, "cor_2", noon))
}

func TestTheValuesOfACorrectionHaveAKeyOfTheirOwn(t *testing.T) {
	b := buyer(t)
	p := ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email", Old: text("old@shop.example"), New: text("new@shop.example")}}}, "cor_2", noon))
	own := consent.KeyName{Class: consent.CorrectionClass, Reference: "cor_2"}
	if d := cmp.Diff([]consent.KeyName{own}, p.Create); d != "" {
		t.Error(d)
	}
	found := false
	for _, l := range b.entries {
		if bytes.Contains(l.body, []byte("shop.example")) {
			found = true
			if l.key != own {
				t.Errorf("a value stands under %v", l.key)
			}
		}
	}
	if !found {
		t.Error("the values are nowhere")
	}
	if s := fmt.Sprintf("%v %+v %#v", p.Entries, &p.Entries[0], p.Entries[0].Event.Changes); strings.Contains(s, "shop.example") {
		t.Error("a value can be printed")
	}
}

func TestAnItemUnderCorrectionIsNotUsedUntilTheOutcome(t *testing.T) {
	b := buyer(t)
	if a := b.ask("membership", noon, "telephone"); a.Allowed || a.Reason != consent.ReasonItemSuspended {
		t.Errorf("%+v", a)
	}
	if a := b.ask("membership", noon); a.Allowed || a.Reason != consent.ReasonItemSuspended {
		t.Errorf("asked about all items: %+v", a)
	}
	if a := b.ask("membership", noon, "email"); !a.Allowed {
		t.Errorf("another item: %+v", a)
	}
	if v := b.f.View(b.r, noon); len(v.SuspendedItems) != 1 || v.SuspendedItems[0].Item != "telephone" {
		t.Errorf("view: %+v", v.SuspendedItems)
	}
	for _, outcome := range []string{consent.OutcomeCorrected, consent.OutcomeRejected} {
		b := buyer(t)
		ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_1", Outcome: outcome}, noon))
		if a := b.ask("membership", noon, "telephone"); !a.Allowed {
			t.Errorf("%s: %+v", outcome, a)
		}
	}
}

func TestAnOutcomeIsRefusedByName(t *testing.T) {
	b := buyer(t)
	for _, c := range []struct {
		code, field string
		kind        consent.RefusalKind
		o           consent.CorrectionOutcome
	}{
		{"invalid_outcome", "outcome", consent.Invalid, consent.CorrectionOutcome{Correction: "cor_1", Outcome: "done"}},
		{"invalid_reason", "reason", consent.Invalid, consent.CorrectionOutcome{Correction: "cor_1", Outcome: "rejected", Reason: strings.Repeat("x", 2049)}},
		{"unknown_correction", "id", consent.NotFound, consent.CorrectionOutcome{Correction: "cor_9", Outcome: "rejected"}},
	} {
		_, err := b.outcome(&c.o, noon)
		wantRefusal(t, err, c.kind, c.code, c.field)
	}
	ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_1", Outcome: "rejected"}, noon))
	_, err := b.outcome(&consent.CorrectionOutcome{Correction: "cor_1", Outcome: "corrected"}, noon)
	wantRefusal(t, err, consent.Conflict, "correction_finished", "id")
}

func TestWhoGotTheWrongValueIsListedOnce(t *testing.T) {
	b := buyer(t)
	give := func(at time.Time) {
		ok(t)(b.disclose(&consent.Disclosure{Recipient: "partner-brand", Purpose: "partner_offers", Items: []string{"email"}, OccurredAt: at}, at))
	}
	settle := func(id, outcome string) *consent.Plan {
		ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email", New: text("x")}}}, id, noon))
		return ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: id, Outcome: outcome}, noon))
	}
	values := func(id string) consent.KeyName {
		return consent.KeyName{Class: consent.CorrectionClass, Reference: id}
	}

	p := settle("cor_2", "corrected")
	if len(p.Notify) != 0 || len(p.Destroy) != 1 || p.Destroy[0] != values("cor_2") {
		t.Errorf("nobody has it: notify %v, destroy %v", p.Notify, p.Destroy)
	}
	give(noon)
	p = settle("cor_3", "rejected")
	if len(p.Notify) != 0 || len(p.Destroy) != 1 {
		t.Errorf("rejected: notify %v, destroy %v", p.Notify, p.Destroy)
	}
	p = settle("cor_4", "corrected")
	if len(p.Notify) != 1 || p.Notify[0].Recipient != "partner-brand" || len(p.Destroy) != 0 {
		t.Errorf("corrected: notify %v, destroy %v", p.Notify, p.Destroy)
	}
	p = settle("cor_5", "corrected")
	if len(p.Notify) != 1 || p.Notify[0].Recipient != "partner-brand" || len(p.Destroy) != 0 {
		t.Errorf("wrong again, and they have what was put right last time: notify %v, destroy %v", p.Notify, p.Destroy)
	}
}

func TestAnItemThatOnePolicyCallsSecretHasNoValueInAny(t *testing.T) {
	open := strings.NewReplacer("password: {secret: true}", "password: {}", "optional: [name]", "optional: [name, password]").Replace(small)
	b := newBook(t, register(t, []byte(open), []byte(strings.Replace(small, "policy: shop", "policy: store", 1))))
	for _, id := range []string{"shop", "store"} {
		c := haimConsent("member", grant("membership"))
		c.Policy = id
		ok(t)(b.consent(c, noon))
	}
	_, err := b.correct(&consent.Correction{Changes: []consent.Change{{Item: "password", New: text("hunter2")}}}, "cor_1", noon)
	wantRefusal(t, err, consent.Invalid, "secret_value", "changes[0]")
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "password"}}}, "cor_1", noon))
}
