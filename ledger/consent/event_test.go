package consent_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"consentledger/ledger/consent"
)

// events are one of each kind, as full as they get.
func events() []consent.Event {
	i, old, new := uint64(7), "old", "new"
	return []consent.Event{
		{
			Kind: consent.KindConsent, Policy: "haim", PolicyVersion: "2025-01-01", MemberKind: "member", OccurredAtMs: 1773111600000,
			Decisions: []consent.Decision{{Purpose: "membership", Granted: true, Items: []string{"email", "name"}}, {Purpose: "marketing"}, {Purpose: "partner_offers", Granted: true, Items: []string{"email"}, Recipients: []string{"partner-brand"}}},
			Method:    "checkbox", Locale: "en", ShownDigest: bytes.Repeat([]byte{1}, 32), Age: consent.AgeConfirmed,
			Guardian: &consent.GuardianProof{Reference: "case-1", Method: "phone", VerifiedAtMs: 1}, Reference: "order-7", Copy: true,
		},
		{Kind: consent.KindWithdrawal, Policy: "haim", PolicyVersion: "2025-01-01", Purposes: []string{"marketing"}, Items: []string{"name"}, Method: "button"},
		{Kind: consent.KindWithdrawal, Membership: true},
		{Kind: consent.KindCorrection, Policy: "haim", Items: []string{"email"}, Correction: "cor_1"},
		{Kind: consent.KindCorrectionValues, Correction: "cor_1", Changes: []consent.ChangeValue{{Item: "email", Old: &old, New: &new}, {Item: "name"}}},
		{Kind: consent.KindCorrectionOutcome, Correction: "cor_1", Items: []string{"email"}, Outcome: "corrected", Reason: "checked"},
		{Kind: consent.KindDisclosure, Purposes: []string{"delivery"}, Items: []string{"name"}, Recipient: "parcel-co", Business: "delivery", Basis: "contract", RestsOn: &i, Form: "pseudonymised", Reference: "order-7"},
		{Kind: consent.KindAccess, Who: "op_1", From: "192.0.2.7", What: "GET", Reason: "a call"},
		{Kind: consent.KindConsent, Decisions: []consent.Decision{{Purpose: "cookies_analytics", Ask: true}}},
		{Kind: consent.KindWithdrawal, Policy: "haim", Purposes: []string{"marketing"}, Dormant: true},
		{Kind: consent.KindCorrectionOutcome, Correction: "cor_1", Items: []string{"email"}, Outcome: "corrected", Recipients: []string{"parcel-co", "it-vendor"}},
		{Kind: consent.KindNotice, Notice: "ntc_1", NoticeKind: "destruction_request", Recipient: "parcel-co", Correction: "cor_1", Destruction: &i, Channel: "email", SentAtMs: 1, DueAtMs: 2, Outcome: "failed", Reason: "no answer"},
		{Kind: consent.KindNotice, Notice: "ntc_2", NoticeKind: "dormancy", Channel: "email", SentAtMs: 1, Outcome: "sent"},
		{Kind: consent.KindRequest, Request: "rqt_1", RequestType: "suspension", Channel: "phone", ReceivedAtMs: 1, DueAtMs: 2, Dormant: true},
		{Kind: consent.KindRequestOutcome, Request: "rqt_1", Outcome: "refused", Reason: "a duty"},
		{Kind: consent.KindHold, Hold: "hld_1", Classes: []string{"haim/contract", "*/correction"}, DueAtMs: 1 << 42, Reason: "a case"},
		{Kind: consent.KindHoldRelease, Hold: "hld_1"},
		{Kind: consent.KindActivity, OccurredAtMs: 1, ActiveAtMs: 2},
		{Kind: consent.KindReactivation, Method: "sign_in"},
		{Kind: consent.KindSignal, Signal: "gpc", Value: true, OccurredAtMs: 1},
		{Kind: consent.KindEventEnd, Policy: "haim", Reference: "order-7", OccurredAtMs: 1},
		{Kind: consent.KindOperator, Name: "Kim Min-ji"},
		{Kind: consent.KindSignIn, SignIn: []byte{0xa0}},
	}
}

func TestAnEventIsWhatWasEncoded(t *testing.T) {
	seen := map[consent.EventKind]bool{}
	defer func() {
		for k := consent.EventKind(1); k.String() != "unknown"; k++ {
			if !seen[k] {
				t.Errorf("no event of kind %v is tried", k)
			}
		}
	}()
	for _, e := range events() {
		seen[e.Kind] = true
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := consent.DecodeEvent(b)
		if err != nil {
			t.Fatalf("%v: %v", e.Kind, err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Errorf("%v: %s", e.Kind, d)
		}
	}
}

// The bytes were written by hand by RFC 8949: a map of three, keys 1, 16 and 8
// in the order of their encodings, which is by length and then by value.
func TestTheEncodingIsDeterministicCBOR(t *testing.T) {
	e := consent.Event{Kind: consent.KindWithdrawal, Membership: true, Method: "button"}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = "a3" + "0102" + "0866627574746f6e" + "10f5"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnythingButTheOnlyEncodingIsRefused(t *testing.T) {
	for what, s := range map[string]string{
		"nothing":                  "",
		"no event":                 "f6",
		"an empty map":             "a0",
		"an unknown kind":          "a10118ff",
		"kind 0":                   "a10100",
		"a trailing byte":          "a2010210f500",
		"a longer integer":         "a201180210f5",
		"keys out of order":        "a210f50102",
		"a key twice":              "a2010201" + "02",
		"a false that is left out": "a2010210f4",
		"an empty list":            "a201020e80",
		"an unknown key":           "a20102183201",
		"a text key":               "a1616102",
		"an indefinite map":        "bf0102ff",
		"a tag":                    "c0a10102",
		"invalid UTF-8":            "a2010208" + "61ff",
		"cut short":                "a20102",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := consent.DecodeEvent(b); !errors.Is(err, consent.ErrEvent) {
			t.Errorf("%s: %v, %v", what, e.Kind, err)
		}
	}
	if _, err := consent.DecodeEvent(must(hex.DecodeString("a2010210f5"))); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := (consent.Event{}).Encode(); !errors.Is(err, consent.ErrEvent) {
		t.Errorf("an event without a kind: %v", err)
	}
	big := consent.Event{Kind: consent.KindAccess, Reason: strings.Repeat("x", consent.MaxEventBytes)}
	if _, err := big.Encode(); !errors.Is(err, consent.ErrEventTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := consent.DecodeEvent(make([]byte, consent.MaxEventBytes+1)); !errors.Is(err, consent.ErrEventTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// An entry pads its body to 256 bytes, of which four are its length.
func TestAUsualConsentFitsTheSmallestEntry(t *testing.T) {
	b := newBook(t, haim(t))
	ok(t)(b.consent(haimConsent("purchasing_member", grant("membership", "user_id", "email", "name", "birth_date", "telephone", "address"), grant("terms_of_use"), grant("marketing")), noon))
	for _, l := range b.entries {
		if len(l.body) > 252 {
			t.Errorf("the entry in %s takes %d bytes", l.key.Class, len(l.body))
		}
	}
}

func genEvent() *rapid.Generator[consent.Event] {
	name := rapid.StringMatching(`[a-z0-9_-]{1,12}`)
	names := rapid.SliceOfN(name, 0, 4)
	nilIfEmpty := func(s []string) []string {
		if len(s) == 0 {
			return nil
		}
		return s
	}
	return rapid.Custom(func(t *rapid.T) consent.Event {
		e := consent.Event{
			Kind: consent.EventKind(rapid.IntRange(1, 16).Draw(t, "kind")), Policy: name.Draw(t, "policy"), MemberKind: rapid.String().Draw(t, "member kind"),
			OccurredAtMs: rapid.Int64().Draw(t, "at"), Copy: rapid.Bool().Draw(t, "copy"), Items: nilIfEmpty(names.Draw(t, "items")),
			Dormant: rapid.Bool().Draw(t, "dormant"), DueAtMs: rapid.Int64().Draw(t, "due"), ActiveAtMs: rapid.Int64().Draw(t, "active"),
			Recipients: nilIfEmpty(names.Draw(t, "to be told")), Classes: nilIfEmpty(names.Draw(t, "classes")), Hold: name.Draw(t, "hold"),
			NoticeKind: name.Draw(t, "notice kind"), Request: name.Draw(t, "request"), Value: rapid.Bool().Draw(t, "value"),
			Reason: rapid.String().Draw(t, "reason"), Membership: rapid.Bool().Draw(t, "membership"), Age: consent.AgeCheck(rapid.IntRange(0, 3).Draw(t, "age")),
		}
		if rapid.Bool().Draw(t, "rests") {
			i := rapid.Uint64().Draw(t, "index")
			e.RestsOn = &i
		}
		for range rapid.IntRange(0, 3).Draw(t, "decisions") {
			e.Decisions = append(e.Decisions, consent.Decision{
				Purpose: name.Draw(t, "purpose"), Granted: rapid.Bool().Draw(t, "granted"),
				Items: nilIfEmpty(names.Draw(t, "decided items")), Recipients: nilIfEmpty(names.Draw(t, "recipients")),
			})
		}
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			c := consent.ChangeValue{Item: name.Draw(t, "item")}
			if rapid.Bool().Draw(t, "new") {
				v := rapid.String().Draw(t, "value")
				c.New = &v
			}
			e.Changes = append(e.Changes, c)
		}
		return e
	})
}

func TestEveryEventComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := consent.DecodeEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	for _, e := range events() {
		f.Add(must(e.Encode()))
	}
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 1, 2, 0xff})
	r := haim(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := consent.DecodeEvent(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decodes and encodes to something else: %v", err)
		}
		// Whatever can be read can be applied and shown.
		fold := consent.NewFold()
		fold.Apply(1, noon, consent.KeyName{Class: "haim/membership"}, e)
		fold.View(consent.NewRegister(), noon)
		e.View()
		key := []consent.KeyState{{KeyName: consent.KeyName{Class: "haim/membership"}, Entries: 1}}
		fold.View(r, noon)
		r.Decide(fold, &consent.Question{Purpose: "membership"}, noon)
		r.Due(fold, key, noon, nextYear)
		r.Next(fold, key, noon)
		r.PlanWithdrawal(fold, key, &consent.Withdrawal{Membership: true}, noon)
		r.PlanExpiry(fold, key, []consent.KeyName{{Class: "haim/membership"}}, noon)
		r.PlanDormancyEnd(fold, key, noon)
		// And audited and exported, beside others: a ledger may hold what an operator forged.
		all := []consent.MemberEntry{{Index: 1, RecordedAt: noon, Key: consent.KeyName{Class: "haim/membership"}, Event: e}}
		for i, other := range events() {
			all = append(all, consent.MemberEntry{Index: uint64(i + 2), RecordedAt: noon, Key: consent.KeyName{Class: "haim/shipping", Reference: "1"}, Event: other})
		}
		all = append(all, consent.MemberEntry{Index: 1000, RecordedAt: noon, Key: consent.KeyName{Class: "*/access"}, Event: e})
		r.Audit(all, true, func(uint64) bool { return true })
		r.Audit(all, false, func(uint64) bool { return false })
		r.AuditAnonymised(1, noon, &e)
		consent.Breach(all, &consent.BreachQuery{})
		if _, err := r.NewExport("o", "mbr_", all, fold, noon).JSONLD(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNothingOfAMemberCanBePrinted(t *testing.T) {
	id := must(consent.ParseMemberID("kim@shop.example"))
	secret := "kim@shop.example"
	date := must(consent.ParseDate("1999-12-31"))
	type holder struct{ id consent.MemberID }
	decimal := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
	c := &consent.Consent{Member: id, BirthDate: &date, Reference: secret, Guardian: &consent.Guardian{Reference: secret}}
	for _, v := range []any{
		id, &id,
		holder{id},
		&holder{id},
		[]holder{{id}},
		c, *c, date,
		consent.Guardian{Reference: secret},
		consent.Withdrawal{Member: id},
		consent.Question{Member: id},
		consent.Correction{Member: id, Changes: []consent.Change{{Old: &secret}}},
		consent.Change{New: &secret},
		consent.CorrectionOutcome{Member: id},
		consent.Disclosure{Member: id},
		consent.Event{Kind: consent.KindAccess, Reason: secret},
		consent.ChangeValue{New: &secret},
		consent.Hold{Ground: secret},
		consent.Notice{Member: id, Reason: secret},
		consent.RequestOutcome{Reason: secret},
		consent.Activity{Member: id},
		consent.Signal{Member: id},
		consent.EventEnd{Member: id},
		consent.GuardianProof{Reference: secret},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			s := fmt.Sprintf(verb, v)
			if strings.Contains(s, secret) || strings.Contains(s, hex.EncodeToString([]byte(secret))) || strings.Contains(s, decimal) || strings.Contains(s, "1999") {
				t.Errorf("%s of %T shows it", verb, v)
			}
		}
	}
	if b, err := id.MarshalText(); err != nil || string(b) != "[member id]" {
		t.Errorf("marshals to %q", b)
	}
	if string(id.Bytes()) != secret {
		t.Error("control: the id itself is lost")
	}
}
