package consent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
)

// notices are one of each kind that nothing is wrong with.
func notices() map[string]*consent.Notice {
	i := uint64(7)
	return map[string]*consent.Notice{
		"policy_change":                    {Kind: "policy_change"},
		"policy_change to a member":        {Kind: "policy_change", Member: somebody},
		"processor_change":                 {Kind: "processor_change", Recipient: "parcel-co"},
		"processor_change to a member":     {Kind: "processor_change", Member: somebody},
		"dormancy":                         {Kind: "dormancy", Member: somebody},
		"withdrawal_done":                  {Kind: "withdrawal_done", Destruction: &i},
		"withdrawal_done to a member":      {Kind: "withdrawal_done", Member: somebody},
		"destruction_done":                 {Kind: "destruction_done", Destruction: &i},
		"destruction_done to a member":     {Kind: "destruction_done", Member: somebody},
		"breach":                           {Kind: "breach", Recipient: "authority"},
		"breach to a member":               {Kind: "breach", Member: somebody},
		"breach to who has left":           {Kind: "breach", Destruction: &i},
		"correction":                       {Kind: "correction", Member: somebody, Recipient: "partner-brand", Correction: "cor_2"},
		"destruction_request":              {Kind: "destruction_request", Destruction: &i, Recipient: "shredder", DueAt: nextYear},
		"destruction_request for a member": {Kind: "destruction_request", Member: somebody, Recipient: "parcel-co", DueAt: nextYear},
		"partner_audit":                    {Kind: "partner_audit", Recipient: "it-vendor", Outcome: "findings"},
	}
}

func filled(n *consent.Notice) *consent.Notice {
	c := *n
	c.Channel, c.SentAt = "email", noon
	if c.Outcome == "" {
		c.Outcome = consent.NoticeSent
	}
	return &c
}

func TestANoticeIsRefusedByName(t *testing.T) {
	i := uint64(7)
	all := notices()
	for what, n := range all {
		if err := consent.CheckNotice(filled(n), noon); err != nil {
			t.Errorf("control: %s: %v", what, err)
		}
	}
	long := strings.Repeat("x", 2049)
	for _, c := range []struct {
		code, field, of string
		change          func(n *consent.Notice)
	}{
		{"invalid_notice_kind", "kind", "dormancy", func(n *consent.Notice) { n.Kind = "" }},
		{"invalid_notice_kind", "kind", "dormancy", func(n *consent.Notice) { n.Kind = "greeting" }},
		{"member_id_required", "member_id", "dormancy", func(n *consent.Notice) { n.Member = consent.MemberID{} }},
		{"member_id_required", "member_id", "correction", func(n *consent.Notice) { n.Member = consent.MemberID{} }},
		{"member_id_not_allowed", "member_id", "partner_audit", func(n *consent.Notice) { n.Member = somebody }},
		{"member_or_destruction_required", "member_id", "withdrawal_done", func(n *consent.Notice) { n.Member = somebody }},
		{"member_or_destruction_required", "member_id", "destruction_done", func(n *consent.Notice) { n.Destruction = nil }},
		{"member_or_destruction_required", "member_id", "destruction_request", func(n *consent.Notice) { n.Destruction = nil }},
		{"member_or_destruction_required", "member_id", "breach to a member", func(n *consent.Notice) { n.Destruction = &i }},
		{"destruction_not_allowed", "destruction", "policy_change", func(n *consent.Notice) { n.Destruction = &i }},
		{"destruction_not_allowed", "destruction", "dormancy", func(n *consent.Notice) { n.Destruction = &i }},
		{"destruction_not_allowed", "destruction", "partner_audit", func(n *consent.Notice) { n.Destruction = &i }},
		{"recipient_required", "recipient", "partner_audit", func(n *consent.Notice) { n.Recipient = "" }},
		{"recipient_required", "recipient", "correction", func(n *consent.Notice) { n.Recipient = "" }},
		{"recipient_required", "recipient", "destruction_request", func(n *consent.Notice) { n.Recipient = "" }},
		{"invalid_recipient", "recipient", "dormancy", func(n *consent.Notice) { n.Recipient = "parcel-co" }},
		{"invalid_recipient", "recipient", "partner_audit", func(n *consent.Notice) { n.Recipient = "The Vendor" }},
		{"correction_required", "correction", "correction", func(n *consent.Notice) { n.Correction = "" }},
		{"correction_not_allowed", "correction", "breach to a member", func(n *consent.Notice) { n.Correction = "cor_2" }},
		{"channel_required", "channel", "breach", func(n *consent.Notice) { n.Channel = "" }},
		{"invalid_channel", "channel", "breach", func(n *consent.Notice) { n.Channel = "By Post" }},
		{"sent_at_required", "sent_at", "breach", func(n *consent.Notice) { n.SentAt = time.Time{} }},
		{"sent_at_in_future", "sent_at", "breach", func(n *consent.Notice) { n.SentAt = noon.Add(6 * time.Minute) }},
		{"due_at_required", "due_at", "destruction_request", func(n *consent.Notice) { n.DueAt = time.Time{} }},
		{"invalid_due_at", "due_at", "destruction_request", func(n *consent.Notice) { n.DueAt = noon.Add(-1) }},
		{"invalid_due_at", "due_at", "destruction_request", func(n *consent.Notice) { n.DueAt = noon.AddDate(30, 0, 1) }},
		{"invalid_due_at", "due_at", "dormancy", func(n *consent.Notice) { n.DueAt = nextYear }},
		{"invalid_outcome", "outcome", "dormancy", func(n *consent.Notice) { n.Outcome = "" }},
		{"invalid_outcome", "outcome", "dormancy", func(n *consent.Notice) { n.Outcome = "passed" }},
		{"invalid_outcome", "outcome", "partner_audit", func(n *consent.Notice) { n.Outcome = "sent" }},
		{"reason_required", "reason", "dormancy", func(n *consent.Notice) { n.Outcome = "failed" }},
		{"reason_required", "reason", "partner_audit", func(n *consent.Notice) { n.Outcome, n.Reason = "impossible", " " }},
		{"invalid_reason", "reason", "dormancy", func(n *consent.Notice) { n.Reason = long }},
		{"invalid_reason", "reason", "withdrawal_done", func(n *consent.Notice) { n.Reason = "Ms Kim has moved" }},
	} {
		n := filled(all[c.of])
		c.change(n)
		wantRefusal(t, consent.CheckNotice(n, noon), consent.Invalid, c.code, c.field)
	}
	for what, reason := range map[string]string{"withdrawal_done": "no_address", "withdrawal_done to a member": "Ms Kim has moved", "breach": "Found by a customer"} {
		n := filled(all[what])
		n.Outcome, n.Reason = "impossible", reason
		if err := consent.CheckNotice(n, noon); err != nil {
			t.Errorf("control: %s: %v", what, err)
		}
	}
	closed := filled(all["destruction_request"])
	closed.Outcome, closed.DueAt = "confirmed", time.Time{}
	if err := consent.CheckNotice(closed, noon); err != nil {
		t.Errorf("what is confirmed needs no date: %v", err)
	}
}

func TestANoticeIsRecordedInTheMembership(t *testing.T) {
	b := newsletterReader(t)
	for what, n := range notices() {
		if n.Member.IsZero() || n.Kind == consent.NoticeCorrection {
			continue
		}
		p := ok(t)(b.notice(filled(n), "ntc_1", noon))
		if k := p.Entries[0].Key.Class; k != "haim/membership" || !p.Recheck {
			t.Errorf("%s is recorded in %s, recheck %t", what, k, p.Recheck)
		}
	}
	n := filled(notices()["destruction_request for a member"])
	n.Reason = "moved house"
	p := ok(t)(b.notice(n, "ntc_9", noon))
	v := p.Entries[0].Event.View().(consent.EventView)
	v.SentAt, v.DueAt = nil, nil
	if d := cmp.Diff(consent.EventView{
		Kind: "notice", Policy: "haim", PolicyVersion: "2025-01-01", Notice: "ntc_9", NoticeKind: "destruction_request",
		Recipient: "parcel-co", Channel: "email", Outcome: "sent", Reason: "moved house",
	}, v); d != "" {
		t.Error(d)
	}
	_, err := newBook(t, haim(t)).notice(n, "ntc_1", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_member", "member_id")
	n.Outcome = ""
	_, err = b.notice(n, "ntc_1", noon)
	wantRefusal(t, err, consent.Invalid, "invalid_outcome", "outcome")
}

// corrected is a member whose e-mail address was given to two recipients and
// then corrected.
func corrected(t *testing.T) *book {
	t.Helper()
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("member", grant("membership"), grant("partner_offers")), noon))
	for recipient, purpose := range map[string]string{"it-vendor": "membership", "partner-brand": "partner_offers"} {
		ok(t)(b.disclose(&consent.Disclosure{Recipient: recipient, Purpose: purpose, Items: []string{"email"}, OccurredAt: noon}, noon))
	}
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "email", New: text("new@shop.example")}}}, "cor_2", noon))
	return b
}

var valuesOfCor2 = consent.KeyName{Class: consent.CorrectionClass, Reference: "cor_2"}

func TestTheValuesOfACorrectionStayUntilTheLastRecipientIsTold(t *testing.T) {
	tell := func(b *book, recipient, outcome string) *consent.Plan {
		t.Helper()
		n := filled(&consent.Notice{Kind: "correction", Member: somebody, Recipient: recipient, Correction: "cor_2", Outcome: outcome, Reason: "because"})
		return ok(t)(b.notice(n, "ntc_"+recipient, noon))
	}
	type step struct{ recipient, outcome string }
	for _, c := range []struct {
		what  string
		steps []step
		gone  bool
	}{
		{"one told", []step{{"it-vendor", "sent"}}, false},
		{"both told", []step{{"it-vendor", "sent"}, {"partner-brand", "confirmed"}}, true},
		{"one twice", []step{{"it-vendor", "sent"}, {"it-vendor", "delivered"}}, false},
		{"one impossible", []step{{"it-vendor", "impossible"}, {"partner-brand", "delivered"}}, true},
		{"one failed", []step{{"it-vendor", "failed"}, {"partner-brand", "delivered"}}, false},
		{"failed and tried again", []step{{"it-vendor", "failed"}, {"partner-brand", "delivered"}, {"it-vendor", "sent"}}, true},
		{"sent and came back", []step{{"it-vendor", "sent"}, {"it-vendor", "failed"}, {"partner-brand", "sent"}}, false},
	} {
		b := corrected(t)
		p := ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_2", Outcome: "corrected"}, noon))
		if got := p.Entries[0].Event.Recipients; len(p.Notify) != 2 || len(got) != 2 || len(p.Destroy) != 0 {
			t.Fatalf("to be told: %v, recorded %v, destroyed %v", p.Notify, got, p.Destroy)
		}
		for i, s := range c.steps {
			p = tell(b, s.recipient, s.outcome)
			if last := i == len(c.steps)-1; slices.Contains(p.Destroy, valuesOfCor2) != (last && c.gone) {
				t.Errorf("%s: step %d destroys %v", c.what, i, p.Destroy)
			}
		}
		if open := len(b.f.View(b.r, noon).Corrections) == 1; open == c.gone {
			t.Errorf("%s: shown as open: %t", c.what, open)
		}
	}
}

// Who is to be told stands in the outcome itself: the disclosures may go first.
func TestWhoIsToBeToldOutlivesTheDisclosures(t *testing.T) {
	b := corrected(t)
	ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_2", Outcome: "corrected"}, noon))
	ok(t)(b.withdraw(&consent.Withdrawal{Purposes: []string{"partner_offers"}}, noon))
	if v := b.f.View(b.r, noon); len(v.Disclosures) != 1 || len(v.Corrections) != 1 || len(v.Corrections[0].ToBeTold) != 2 {
		t.Fatalf("%+v", v)
	}
	for _, recipient := range []string{"it-vendor", "partner-brand"} {
		ok(t)(b.notice(filled(&consent.Notice{Kind: "correction", Member: somebody, Recipient: recipient, Correction: "cor_2"}), "ntc_"+recipient, noon))
	}
	if b.key(valuesOfCor2) >= 0 {
		t.Error("the values are still there")
	}
}

func TestTheValuesOfACorrectionAreHeldLikeAnythingElse(t *testing.T) {
	b := corrected(t)
	h := holdOn("correction")
	ok(t)(b.hold(h, "hld_1", noon))
	p := ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_2", Outcome: "rejected"}, noon))
	if len(p.Destroy) != 0 || len(p.SetDue) != 1 || len(p.Kept) != 1 {
		t.Errorf("%+v", p)
	}
	p = ok(t)(b.release("hld_1", noon))
	if d := cmp.Diff([]consent.KeyName{valuesOfCor2}, p.Destroy); d != "" {
		t.Error(d)
	}
}

func TestANoticeOfACorrectionIsOfOneThatHasAnOutcomeAndToWhoIsListed(t *testing.T) {
	b := corrected(t)
	n := filled(notices()["correction"])
	_, err := b.notice(n, "ntc_1", noon)
	wantRefusal(t, err, consent.Conflict, "correction_open", "correction")
	ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_2", Outcome: "corrected"}, noon))
	n.Recipient = "parcel-co"
	_, err = b.notice(n, "ntc_1", noon)
	wantRefusal(t, err, consent.Invalid, "recipient_not_to_be_told", "recipient")
	n.Correction = "cor_9"
	_, err = b.notice(n, "ntc_1", noon)
	wantRefusal(t, err, consent.NotFound, "unknown_correction", "correction")
}
