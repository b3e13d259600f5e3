package server

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

func TestABodyBecomesItsCallOrNamesTheFieldAtFault(t *testing.T) {
	decoders := map[string]func(string) *problem{
		"consent":    func(s string) *problem { _, p := decodeConsent([]byte(s)); return p },
		"withdrawal": func(s string) *problem { _, p := decodeWithdrawal([]byte(s)); return p },
		"correction": func(s string) *problem { _, p := decodeCorrection([]byte(s)); return p },
		"outcome":    func(s string) *problem { _, p := decodeOutcome([]byte(s), "cor_1"); return p },
		"disclosure": func(s string) *problem { _, p := decodeDisclosure([]byte(s)); return p },
		"question":   func(s string) *problem { _, p := decodeQuestion([]byte(s)); return p },
		"event":      func(s string) *problem { _, p := decodeEventEnd([]byte(s)); return p },
		"activity":   func(s string) *problem { _, p := decodeActivity([]byte(s)); return p },
		"signal":     func(s string) *problem { _, p := decodeSignal([]byte(s)); return p },
		"back":       func(s string) *problem { _, p := decodeReactivation([]byte(s)); return p },
		"notice":     func(s string) *problem { _, p := decodeNotice([]byte(s)); return p },
		"request":    func(s string) *problem { _, p := decodeRequest([]byte(s)); return p },
		"answer":     func(s string) *problem { _, p := decodeRequestOutcome([]byte(s), "rqt_1"); return p },
		"hold":       func(s string) *problem { _, p := decodeHold([]byte(s)); return p },
		"breach":     func(s string) *problem { _, p := decodeBreachQuery([]byte(s)); return p },
		"recipient":  func(s string) *problem { _, p := decodeRecipientChange([]byte(s)); return p },
	}
	consentWith := func(from, to string) string {
		s := strings.Replace(bodies["/v1/consents"], from, to, 1)
		if s == bodies["/v1/consents"] && from != to {
			t.Fatalf("%s is not in the body", from)
		}
		return s
	}
	const at = `"occurred_at":"2025-01-02T03:04:05+09:00"`
	digest := strings.Repeat("ab", 32)
	for _, c := range []struct{ kind, in, code, field string }{
		{"consent", consentWith("", ""), "", ""},
		{"consent", consentWith(`"granted"`, `"yes"`), "invalid_value", "decisions[0].decision"},
		{"consent", consentWith(`"decision":"refused"`, `"decision":"Refused"`), "invalid_value", "decisions[1].decision"},
		{"consent", consentWith(bodies["/v1/consents"][strings.Index(bodies["/v1/consents"], `"decisions"`):strings.Index(bodies["/v1/consents"], `"method"`)], `"decisions":[],`), "empty_value", "decisions"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T03:04:05"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02 03:04:05Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-02-30T03:04:05Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T3:04:05Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T03:04:05,5Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T03:04:05+24:00"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T03:04:05+09:60"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"2025-01-02T03:04:05.123456789-09:30"`), "", ""},
		{"consent", consentWith(at, `"occurred_at":"0001-01-01T00:00:00Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, `"occurred_at":"3000-01-01T00:00:00Z"`), "invalid_time", "occurred_at"},
		{"consent", consentWith(at, at+`,"shown_digest":"`+digest+`"`), "", ""},
		{"consent", consentWith(at, at+`,"shown_digest":"`+strings.ToUpper(digest)+`"`), "invalid_digest", "shown_digest"},
		{"consent", consentWith(at, at+`,"shown_digest":"`+digest[2:]+`"`), "invalid_digest", "shown_digest"},
		{"consent", consentWith(at, at+`,"birth_date":"2000-02-29"`), "", ""},
		{"consent", consentWith(at, at+`,"birth_date":"2001-02-29"`), "invalid_date", "birth_date"},
		{"consent", consentWith(at, at+`,"guardian":{"reference":"r","method":"m","verified_at":"now"}`), "invalid_time", "guardian.verified_at"},
		{"consent", consentWith(memberInTests, strings.Repeat("x", 257)), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, `a\u0000`), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, `a\u200d`), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, `a\u202e`), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, `e\u0301`), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, "é"), "", ""},
		{"consent", consentWith(memberInTests, " a"), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, "a\u00a0"), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, "a\u3000"), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, " "), "invalid_member_id", "member_id"},
		{"consent", consentWith(memberInTests, "a b"), "", ""},
		{"withdrawal", `{"member_id":"m"}`, "missing_field", "purposes"},
		{"withdrawal", `{"member_id":"m","scope":"all"}`, "invalid_value", "scope"},
		{"withdrawal", `{"member_id":"m","scope":"membership","purposes":["p"]}`, "invalid_value", "scope"},
		{"withdrawal", `{"member_id":"m","purposes":["p"],"occurred_at":"x"}`, "invalid_time", "occurred_at"},
		{"correction", `{"member_id":"m","changes":[]}`, "empty_value", "changes"},
		{"correction", `{"member_id":"m","changes":[{"item":"i","old":"","new":""}]}`, "", ""},
		{"outcome", `{"member_id":"m","outcome":"done"}`, "invalid_value", "outcome"},
		{"disclosure", `{"recipient":"r","purpose":"p","items":["i"],` + at + `}`, "missing_field", "member_id"},
		{"disclosure", `{"recipient":"r","purpose":"p","items":["i"],"form":"anonymised",` + at + `}`, "", ""},
		{"disclosure", `{"member_id":"m","recipient":"r","purpose":"p","items":["i"],"form":"anonymised",` + at + `}`, "invalid_value", "member_id"},
		{"disclosure", `{"member_id":"m","recipient":"r","purpose":"p","items":["i"],"form":"secret",` + at + `}`, "invalid_value", "form"},
		{"disclosure", `{"member_id":"m","recipient":"r","purpose":"p","items":[],` + at + `}`, "empty_value", "items"},
		{"withdrawal", `{"member_id":"m","purposes":[]}`, "empty_value", "purposes"},
		{"consent", strings.Replace(bodies["/v1/consents"], `"items":["user_id","email","name"]`, `"items":[]`, 1), "empty_value", "decisions[0].items"},
		{"consent", strings.Replace(bodies["/v1/consents"], `"items":["user_id","email","name"]`, `"recipients":[]`, 1), "empty_value", "decisions[0].recipients"},
		{"question", `{"member_id":"m","purpose":"p","at":"yesterday"}`, "invalid_time", "at"},
		{"consent", consentWith(`"decision":"refused"`, `"decision":"ask"`), "", ""},
		{"event", `{"type":"delivered","reference":"o",` + at + `}`, "", ""},
		{"event", `{"type":"delivered","member_id":"m","reference":"o",` + at + `}`, "", ""},
		{"event", `{"type":"delivered","member_id":"","reference":"o",` + at + `}`, "empty_value", "member_id"}, // and not for everybody
		{"event", `{"type":"delivered","member_id":"a\u0000","reference":"o",` + at + `}`, "invalid_member_id", "member_id"},
		{"event", `{"type":"delivered","reference":"o"}`, "missing_field", "occurred_at"},
		{"event", `{"type":"delivered",` + at + `}`, "missing_field", "reference"},
		{"activity", `{"member_id":"m","occurred_at":"x"}`, "invalid_time", "occurred_at"},
		{"signal", `{"member_id":"m","signal":"gpc","value":false,` + at + `}`, "", ""},
		{"signal", `{"member_id":"m","signal":"gpc",` + at + `}`, "missing_field", "value"},
		{"signal", `{"member_id":"m","signal":"gpc","value":"1",` + at + `}`, "wrong_type", "value"},
		{"back", `{"member_id":"m"}`, "missing_field", "method"},
		{"notice", `{"kind":"k","destruction":0,"channel":"c","sent_at":"2025-01-02T03:04:05Z","due_at":"2025-02-02T03:04:05Z","outcome":"o"}`, "", ""},
		{"notice", `{"kind":"k","destruction":-1,"channel":"c","sent_at":"2025-01-02T03:04:05Z","outcome":"o"}`, "number_out_of_range", "destruction"},
		{"notice", `{"kind":"k","member_id":"e\u0301","channel":"c","sent_at":"2025-01-02T03:04:05Z","outcome":"o"}`, "invalid_member_id", "member_id"},
		{"notice", `{"kind":"k","channel":"c","sent_at":"2025-01-02","outcome":"o"}`, "invalid_time", "sent_at"},
		{"notice", `{"kind":"k","channel":"c","sent_at":"2025-01-02T03:04:05Z","due_at":"soon","outcome":"o"}`, "invalid_time", "due_at"},
		{"request", `{"type":"access","channel":"c","received_at":"2025-01-02T03:04:05Z"}`, "missing_field", "member_id"},
		{"request", `{"member_id":"m","type":"access","channel":"c","received_at":"x"}`, "invalid_time", "received_at"},
		{"answer", `{"outcome":"granted","reason":""}`, "empty_value", "reason"},
		{"hold", `{"classes":[],"ground":"g","until":"2030-01-02T03:04:05Z"}`, "empty_value", "classes"},
		{"hold", `{"classes":["c"],"ground":"g","until":"2030-01-02"}`, "invalid_time", "until"},
		{"breach", `{"from":"2025-01-02T03:04:05Z","to":"2025-01-02T03:04:04Z"}`, "invalid_value", "to"},
		{"breach", `{"from":"2025-01-02T03:04:05Z","to":"2025-01-02T03:04:05Z","members":["` + ledger.Ref{1}.String() + `"]}`, "", ""},
		{"breach", `{"from":"2025-01-02T03:04:05Z","to":"2025-01-02T03:04:05Z","members":["` + ledger.Ref{1}.String() + `","kim"]}`, "invalid_value", "members[1]"},
		{"breach", `{"from":"x","to":"2025-01-02T03:04:05Z"}`, "invalid_time", "from"},
		{"recipient", `{"policy":"p","id":"r","recipient":{"ended":true},"announced":"2025-01-01","reason":"r"}`, "missing_field", "recipient.from"},
		{"recipient", `{"policy":"p","id":"r","recipient":{"from":"2025-01-01","items":[""]},"announced":"2025-01-01","reason":"r"}`, "empty_value", "recipient.items[0]"},
	} {
		p := decoders[c.kind](c.in)
		switch {
		case c.code == "" && p != nil:
			t.Errorf("%s %s: %s at %s", c.kind, c.in, p.code, p.field)
		case c.code != "" && (p == nil || p.code != c.code || p.field != c.field || p.status != 400):
			t.Errorf("%s %s: %+v; want %s at %s", c.kind, c.in, p, c.code, c.field)
		}
	}
}

func TestAnAnswerIsTheJSONOfItsType(t *testing.T) {
	at := time.Date(2025, 3, 1, 21, 0, 0, 123_456_789, time.FixedZone("", 9*3600))
	entries := []ledger.EntryRef{{Index: 1 << 40, LeafHash: [32]byte{0xab}, Class: `a"b\c` + "\n\u2028é"}, {Index: 2}}
	a := &ledger.Answer{
		Member: ledger.Ref{1}, Entries: entries, RecordedAt: at, Correction: "cor_1", Notice: "ntc_1", Request: "rqt_1", DueAt: at, DestroyedKeys: 3, DestroyedEntries: 4,
		Kept:   []consent.Kept{{Class: "c", Until: &at, Basis: "law"}, {Class: "d", Event: "delivery"}},
		Notify: []consent.Notify{{Recipient: "r", Items: []string{"i", "j"}, DisclosedAt: at, Index: 9}, {Recipient: "s", Items: []string{}}},
	}
	rows := apiEntries(entries)
	ms := at.UTC().Truncate(time.Millisecond)
	for _, c := range []struct {
		call ledger.Call
		want any
		got  any
	}{
		{&consent.Consent{}, &api.ConsentAnswer{Member: a.Member.String(), Entries: rows, RecordedAt: ms}, new(api.ConsentAnswer)},
		{&consent.Withdrawal{}, &api.WithdrawalAnswer{
			Entries: rows, RecordedAt: ms, Destroyed: api.Destroyed{Keys: 3, Entries: 4},
			Kept:   []api.Kept{{Class: "c", Until: &ms, Basis: "law"}, {Class: "d", Event: "delivery"}},
			Notify: []api.Holder{{Recipient: "r", Items: []string{"i", "j"}}, {Recipient: "s", Items: []string{}}},
		}, new(api.WithdrawalAnswer)},
		{&consent.Correction{}, &api.CorrectionAnswer{Correction: "cor_1", Entries: rows, RecordedAt: ms}, new(api.CorrectionAnswer)},
		{&consent.CorrectionOutcome{}, &api.OutcomeAnswer{Entries: rows, RecordedAt: ms, Notify: []api.Told{
			{Recipient: "r", Items: []string{"i", "j"}, DisclosedAt: ms, Index: 9}, {Recipient: "s", Items: []string{}},
		}}, new(api.OutcomeAnswer)},
		{&consent.Disclosure{}, &api.DisclosureAnswer{Entries: rows, RecordedAt: ms}, new(api.DisclosureAnswer)},
		{&consent.Activity{}, &api.Recorded{Entries: rows, RecordedAt: ms}, new(api.Recorded)},
		{&consent.Notice{}, &api.NoticeAnswer{Notice: "ntc_1", Entries: rows, RecordedAt: ms}, new(api.NoticeAnswer)},
		{&consent.Request{}, &api.RequestAnswer{Request: "rqt_1", Due: ms, Entries: rows, RecordedAt: ms}, new(api.RequestAnswer)},
		{&consent.EventEnd{}, &api.EventAnswer{
			Entries: rows, RecordedAt: ms, Destroyed: api.Destroyed{Keys: 3, Entries: 4},
			Kept: []api.Kept{{Class: "c", Until: &ms, Basis: "law"}, {Class: "d", Event: "delivery"}},
		}, new(api.EventAnswer)},
	} {
		b := append(appendAnswer([]byte{'{'}, c.call, a), '}')
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		if err := d.Decode(c.got); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%T:\n%s", c.call, diff)
		}
	}
	var line api.Affected
	if err := json.Unmarshal(appendAffected(nil, ledger.BreachRow{Member: a.Member, Items: []string{"i", `"`}, Entries: []uint64{1 << 40, 2}}), &line); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(api.Affected{Member: a.Member.String(), Items: []string{"i", `"`}, Entries: []uint64{1 << 40, 2}}, line); diff != "" {
		t.Error(diff)
	}
	index := uint64(7)
	for _, q := range []consent.Answer{{Allowed: true, Reason: "r", Index: &index, PolicyVersion: "v"}, {Reason: "unknown_member"}} {
		want, err := json.Marshal(q)
		if err != nil || string(appendDecision(nil, q)) != string(want) {
			t.Errorf("%s; want %s", appendDecision(nil, q), want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "\x00\x1f\x7f", "é\u2028😀", "\xff", "a\xe2\x82"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := appendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil || !utf8.Valid(b) {
			t.Fatalf("%v: %s", err, b)
		}
		if want := string([]rune(s)); got != want {
			t.Fatalf("%q; want %q", got, want)
		}
	})
}
