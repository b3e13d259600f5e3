package consent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

const (
	origin = "ledger.example/consent"
	ref    = "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func (b *book) export(now time.Time) *consent.Export {
	return b.r.NewExport(origin, ref, b.opened(), b.f, now)
}

// also adds an entry that no planner made, for what calls of the office record.
func also(entries []consent.MemberEntry, class consent.ClassID, at time.Time, e consent.Event) []consent.MemberEntry {
	var index uint64
	for _, m := range entries {
		index = max(index, m.Index+1)
	}
	body := must(e.Encode())
	return append(entries, consent.MemberEntry{
		Index: index, LeafHash: sha256.Sum256(body), RecordedAt: at, Key: consent.KeyName{Class: class}, Event: must(consent.DecodeEvent(body)),
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnExportHoldsEveryEntryWithItsLeafHashInTheOrderOfTheLog(t *testing.T) {
	b := shared(t)
	ok(t)(b.look(looked(), noon.Add(time.Hour)))
	entries := b.opened()
	entries[0], entries[len(entries)-1] = entries[len(entries)-1], entries[0]
	x := b.r.NewExport(origin, ref, entries, b.f, noon.Add(2*time.Hour))
	if x.Origin != origin || x.Member != ref || !x.MadeAt.Equal(noon.Add(2*time.Hour)) || x.State.State != consent.StateActive {
		t.Fatalf("the head says %s, %s, %s, %s", x.Origin, x.Member, x.MadeAt, x.State.State)
	}
	opened := b.opened()
	if len(x.Entries) != len(opened) || len(opened) < 4 {
		t.Fatalf("%d of %d entries are in the export", len(x.Entries), len(opened))
	}
	for i, row := range x.Entries {
		m := opened[i]
		if row.Index != m.Index || row.LeafHash != hex.EncodeToString(m.LeafHash[:]) || !row.RecordedAt.Equal(m.RecordedAt) || row.Class != m.Key.Class.Name() {
			t.Fatalf("row %d is %+v, want entry %d", i, row, m.Index)
		}
		if diff := cmp.Diff(m.Event.View(), row.Event); diff != "" {
			t.Fatalf("row %d shows another event (-entry +export):\n%s", i, diff)
		}
	}
}

func TestAnExportShowsTheTextThatWasAgreedToAndWhetherItWasWhatWasShown(t *testing.T) {
	b := newBook(t, haim(t))
	p, _ := b.r.Version("haim", "2025-01-01")
	ko, _ := p.Text("ko")
	koDigest := sha256.Sum256([]byte(ko))
	short := sha256.Sum256([]byte("the short form of the app"))

	say := func(locale string, shown []byte) {
		c := haimConsent("member", grant("membership", "user_id", "email", "name"))
		c.Locale, c.ShownDigest = locale, shown
		ok(t)(b.consent(c, noon))
	}
	say("ko-KR", nil)
	say("ko", short[:])
	say("fr", short[:])

	x := b.export(noon)
	if len(x.Consents) != 3 {
		t.Fatalf("%d consents, want 3", len(x.Consents))
	}
	type shown struct {
		Locale, Language, Shown, Text string
		Equal                         bool
	}
	var got []shown
	for _, c := range x.Consents {
		got = append(got, shown{c.Locale, c.Language, c.ShownDigest, c.TextSHA256, c.ShownIsText})
	}
	want := []shown{
		{"ko-KR", "ko", hex.EncodeToString(koDigest[:]), hex.EncodeToString(koDigest[:]), true},
		{"ko", "ko", hex.EncodeToString(short[:]), hex.EncodeToString(koDigest[:]), false},
		{"fr", "", hex.EncodeToString(short[:]), "", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("what was shown (-want +got):\n%s", diff)
	}
	text := []consent.ExportText{{Policy: "haim", PolicyVersion: "2025-01-01", Language: "ko", SHA256: hex.EncodeToString(koDigest[:]), Text: ko}}
	if diff := cmp.Diff(text, x.Texts); diff != "" {
		t.Fatalf("the texts (-want +got):\n%s", diff)
	}
}

func TestAnExportNamesWhoGotWhatAndWhy(t *testing.T) {
	b := shared(t)
	ok(t)(b.disclose(given("partner-brand", "partner_offers", noon, "email"), noon.Add(time.Minute)))
	rests := b.entries[1].index // class partners
	court := given("district-court", "membership", noon, "name")
	court.Basis = "legal_process"
	ok(t)(b.disclose(court, noon.Add(2*time.Minute)))

	// The same id means another company by the time of the export.
	later := strings.NewReplacer(
		`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-11"`, "reason: first version", "reason: another partner",
		"Partner brand (placeholder)", "Another brand", "country: KR", "country: JP",
	).Replace(string(policies.Haim()))
	var err error
	if b.r, err = b.r.With(must(consent.ParsePolicy([]byte(later))), noon); err != nil {
		t.Fatal(err)
	}
	at := noon.UTC()
	got := b.export(noon.AddDate(0, 3, 0)).Disclosures
	want := []consent.ExportDisclosure{{
		Index: b.entries[len(b.entries)-2].index, RecordedAt: noon.Add(time.Minute).UTC(), OccurredAt: &at,
		Recipient: "partner-brand", Name: "Partner brand (placeholder)", Business: "cosmetics", Kind: "third_party", Country: "KR",
		Policy: "haim", Purpose: "partner_offers", Items: []string{"email"}, Form: "identified", Basis: "consent", RestsOn: &rests,
	}, {
		Index: b.newest(), RecordedAt: noon.Add(2 * time.Minute).UTC(), OccurredAt: &at, Recipient: "district-court",
		Policy: "haim", Purpose: "membership", Items: []string{"name"}, Form: "identified", Basis: "legal_process",
		BasisTitle: consent.Text{"en": "Law, court order or order of an authority", "ko": "법령 또는 법원·기관의 명령"}, Law: "PIPA 18(2); GDPR 6(1)(c)",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the disclosures (-want +got):\n%s", diff)
	}
}

func TestAnExportTellsACorrectionToItsEnd(t *testing.T) {
	b := shared(t)
	was, is := "010-0000-0000", "010-1111-1111"
	ok(t)(b.disclose(given("it-vendor", "membership", noon, "telephone"), noon))
	ok(t)(b.correct(&consent.Correction{Changes: []consent.Change{{Item: "telephone", Old: &was, New: &is}}}, "cor_1", noon.Add(time.Minute)))
	asked := b.export(noon).Corrections
	if len(asked) != 1 || asked[0].Outcome != "" || asked[0].DecidedAt != nil || len(asked[0].Items) != 1 ||
		len(asked[0].Values) != 1 || *asked[0].Values[0].Old != was || *asked[0].Values[0].New != is {
		t.Fatalf("the open correction reads %s", asJSON(t, asked))
	}
	ok(t)(b.outcome(&consent.CorrectionOutcome{Correction: "cor_1", Outcome: consent.OutcomeCorrected, Reason: "checked"}, noon.Add(time.Hour)))
	done := b.export(noon).Corrections
	if len(done) != 1 || done[0].Outcome != "corrected" || done[0].Reason != "checked" || !done[0].DecidedAt.Equal(noon.Add(time.Hour)) || *done[0].DecidedBy <= done[0].Index || !slices.Equal(done[0].Tell, []string{"it-vendor"}) {
		t.Fatalf("the correction that is done reads %s", asJSON(t, done))
	}
}

// office is a member of whom the office has recorded one of everything.
func office(t *testing.T) (*book, []consent.MemberEntry) {
	t.Helper()
	b := shared(t)
	ms := noon.UnixMilli()
	entries := b.opened()
	for _, e := range []consent.Event{
		{Kind: consent.KindRequest, Request: "rqt_1", RequestType: "suspension", Channel: "email", ReceivedAtMs: ms, DueAtMs: noon.AddDate(0, 0, 30).UnixMilli()},
		{Kind: consent.KindRequestOutcome, Request: "rqt_1", Outcome: "granted"},
		{Kind: consent.KindRequestOutcome, Request: "rqt_1", Outcome: "lifted", Reason: "asked for by telephone"},
		{Kind: consent.KindNotice, Notice: "ntc_1", NoticeKind: "dormancy", Channel: "sms", SentAtMs: ms, Outcome: "delivered"},
		{Kind: consent.KindHold, Hold: "hld_1", Classes: []string{"haim/membership"}, DueAtMs: noon.AddDate(9, 0, 0).UnixMilli(), Reason: "police file 42"},
		{Kind: consent.KindHold, Hold: "hld_2", Classes: []string{"haim/membership"}, DueAtMs: noon.AddDate(1, 0, 0).UnixMilli(), Reason: "police file 43"},
		{Kind: consent.KindHoldRelease, Hold: "hld_1"},
		{Kind: consent.KindSignal, Signal: "gpc", Value: true, OccurredAtMs: ms},
	} {
		entries = also(entries, "haim/membership", noon.Add(time.Hour), e)
	}
	return b, also(entries, "haim/access", noon.Add(2*time.Hour), consent.Event{Kind: consent.KindAccess, Who: "key_7", From: "10.0.0.1", What: "state", Reason: "support call"})
}

func TestAnExportListsRequestsNoticesHoldsSignalsAndLooks(t *testing.T) {
	b, entries := office(t)
	x := b.r.NewExport(origin, ref, entries, b.f, noon)
	hour, at, due := noon.Add(time.Hour).UTC(), noon.UTC(), noon.AddDate(0, 0, 30).UTC()
	first := entries[len(b.entries)].Index
	nine, one := noon.AddDate(9, 0, 0).UTC(), noon.AddDate(1, 0, 0).UTC()
	for _, c := range []struct {
		what      string
		want, got any
	}{
		{"requests", []consent.ExportRequest{{
			Request: "rqt_1", Index: first, RecordedAt: hour, Type: "suspension", Channel: "email", ReceivedAt: &at, DueAt: &due,
			Answers: []consent.ExportAnswer{{Index: first + 1, RecordedAt: hour, Outcome: "granted"}, {Index: first + 2, RecordedAt: hour, Outcome: "lifted", Reason: "asked for by telephone"}},
		}}, x.Requests},
		{"notices", []consent.ExportNotice{{Notice: "ntc_1", Index: first + 3, RecordedAt: hour, Kind: "dormancy", Channel: "sms", SentAt: &at, Outcome: "delivered"}}, x.Notices},
		{"holds", []consent.ExportHold{
			{Hold: "hld_1", Index: first + 4, RecordedAt: hour, Classes: []string{"membership"}, Until: &nine, ReleasedAt: &hour, GroundWithheld: true},
			{Hold: "hld_2", Index: first + 5, RecordedAt: hour, Classes: []string{"membership"}, Until: &one, GroundWithheld: true},
		}, x.Holds},
		{"signals", []consent.ExportSignal{{Index: first + 7, RecordedAt: hour, OccurredAt: &at, Signal: "gpc", Value: true}}, x.Signals},
		{"looks", []consent.ExportLook{{Index: first + 8, RecordedAt: noon.Add(2 * time.Hour).UTC(), Who: "key_7", From: "10.0.0.1", What: "state", Reason: "support call"}}, x.Looks},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("the %s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestTheGroundOfAHoldIsNowhereInAnExport(t *testing.T) {
	b, entries := office(t)
	text := asJSON(t, b.r.NewExport(origin, ref, entries, b.f, noon))
	if strings.Contains(text, "police") {
		t.Error("the export tells what the hold is for")
	}
	if !strings.Contains(text, "support call") {
		t.Error("the export tells no reason at all, so the search proves nothing")
	}
}

func TestAnExportSaysHowLongAndByWhichLawEachClassIsKept(t *testing.T) {
	b := newBook(t, haim(t))
	c := haimConsent("purchasing_member", grant("membership", "user_id", "email", "name"), grant("payment"), grant("delivery"), grant("marketing"))
	c.Reference = "order-1"
	ok(t)(b.consent(c, noon))
	ok(t)(b.look(looked(), noon))
	x := b.export(noon)
	want := []consent.ExportClass{
		{Class: "purchasing_member", Policy: "haim", Keep: "5y", From: "withdrawal", Law: "Tax and accounting duties for purchasing members (Framework Act on National Taxes 85-3)"},
		{Class: "payment", Policy: "haim", Keep: "5y", From: "entry", Law: "E-Commerce Act, Enforcement Decree 6(1): payment and supply of goods"},
		{Class: "shipping", Policy: "haim", Until: "delivery"},
		{Class: "newsletter", Policy: "haim", Until: "purpose_withdrawal"},
		{Class: "access", Policy: "haim", Keep: "2y", From: "entry", Law: "PIPA 29; safety standard for personal information 8: records of access"},
	}
	if diff := cmp.Diff(want, x.Retention); diff != "" {
		t.Fatalf("the classes (-want +got):\n%s", diff)
	}
	// Five years from 10 March 2026 end with 10 March 2031 in Seoul.
	dies := time.Date(2031, 3, 11, 0, 0, 0, 0, seoul)
	if got := x.Entries[1].KeptUntil; got == nil || !got.Equal(dies) {
		t.Fatalf("the payment is kept until %v, want %v", got, dies)
	}
	if x.Entries[0].KeptUntil != nil || x.Entries[2].KeptUntil != nil {
		t.Fatal("what an event ends has a date")
	}

	hold := consent.Event{Kind: consent.KindHold, Hold: "hld_1", Classes: []string{"haim/payment"}, DueAtMs: noon.AddDate(8, 0, 0).UnixMilli()}
	held := also(b.opened(), "haim/purchasing_member", noon, hold)
	if got := b.r.NewExport(origin, ref, held, b.f, noon).Entries[1].KeptUntil; !got.Equal(noon.AddDate(8, 0, 0)) {
		t.Fatalf("on hold the payment is kept until %v", got)
	}
	released := also(held, "haim/purchasing_member", noon, consent.Event{Kind: consent.KindHoldRelease, Hold: "hld_1"})
	if got := b.r.NewExport(origin, ref, released, b.f, noon).Entries[1].KeptUntil; !got.Equal(dies) {
		t.Fatalf("after the hold the payment is kept until %v", got)
	}
}

func TestAnExportExplainsTheNamesThatItUsesAndNoOthers(t *testing.T) {
	b := newBook(t, register(t, policies.Haim(), []byte(strings.Replace(string(policies.Haim()), "policy: haim", "policy: haim-clinic", 1))))
	ok(t)(b.consent(haimConsent("member", grant("health_consultation", "skin_condition")), noon))
	x := b.export(noon)
	if len(x.Policies) != 1 {
		t.Fatalf("%d policies are explained, want the one that the member has to do with", len(x.Policies))
	}
	p := x.Policies[0]
	if p.Policy != "haim" || p.Version != "2025-01-01" || !p.InForce || p.AnswerDays != 30 ||
		p.Controller != (consent.ExportParty{Name: "Haim Aesthetics", Contact: "privacy@haim.example"}) ||
		p.Officer != (consent.ExportParty{Name: "Data Protection Officer", Contact: "dpo@haim.example"}) {
		t.Fatalf("the policy reads %s", asJSON(t, p))
	}
	if len(p.Purposes) != 1 || p.Purposes[0].Purpose != "health_consultation" || p.Purposes[0].Title["ko"] != "피부 상태에 따른 시술 상담" || p.Purposes[0].Basis != "consent" {
		t.Fatalf("the purposes read %s", asJSON(t, p.Purposes))
	}
	if len(p.Items) != 1 || p.Items[0].Item != "skin_condition" || p.Items[0].Label["en"] != "Skin condition" || !p.Items[0].Sensitive {
		t.Fatalf("the items read %s", asJSON(t, p.Items))
	}
}

// To whom data will be given is told as well as to whom it was (GDPR 15(1)(c)).
func TestAnExportNamesWhoMayGetWhatTheMemberDecidedOn(t *testing.T) {
	r := haim(t)
	b := newBook(t, r)
	c := haimConsent("purchasing_member", grant("membership"), grant("delivery"), refusal("partner_offers"))
	c.Reference = "order-1"
	ok(t)(b.consent(c, noon))
	want := []consent.ExportRecipient{
		{
			Recipient: "it-vendor", Name: "IT vendor (placeholder)", Business: "hosting of the shop", Kind: "processor", Country: "KR",
			Purposes: []string{"membership"}, Items: []string{"user_id", "email", "name", "birth_date", "telephone", "address"},
		},
		{
			Recipient: "parcel-co", Name: "Logistics partner (placeholder)", Business: "delivery", Kind: "processor", Country: "KR",
			Purposes: []string{"delivery"}, Items: []string{"name", "address", "telephone"},
		},
		{
			Recipient: "partner-brand", Name: "Partner brand (placeholder)", Business: "cosmetics", Kind: "third_party", Country: "KR",
			Purposes: []string{"partner_offers"}, Items: []string{"email", "name"},
		},
	}
	x := b.export(noon)
	if diff := cmp.Diff(want, x.Policies[0].Recipients); diff != "" {
		t.Error(diff)
	}
	if len(x.Rights) != 6 || x.Rights[0].Right != "withdrawal" || x.Rights[0].Title["ko"] == "" {
		t.Errorf("the rights read %s", asJSON(t, x.Rights))
	}

	// One that has ended is no more among them.
	b.r = must(r.WithRecipient(&consent.RecipientChange{
		Policy: "haim", ID: "parcel-co", Recipient: consent.Recipient{From: "2026-03-10"}, Ended: true, Announced: "2026-03-10", Reason: "another carrier",
	}, noon))
	if got := b.export(noon.Add(time.Hour)).Policies[0].Recipients; len(got) != 2 || got[1].Recipient != "partner-brand" {
		t.Errorf("after the end: %s", asJSON(t, got))
	}
}

func TestAnExportExplainsTheVersionAgreedToAndTheOneInForce(t *testing.T) {
	r := haim(t)
	later := strings.NewReplacer(
		`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-11"`, "reason: first version", "reason: new officer",
		"dpo@haim.example", "new@haim.example",
	).Replace(string(policies.Haim()))
	r, err := r.With(must(consent.ParsePolicy([]byte(later))), noon)
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t, r)
	ok(t)(b.consent(haimConsent("member", grant("marketing", "email")), noon))
	for at, want := range map[time.Time][]string{
		noon:                  {"2025-01-01 true dpo@haim.example"},
		noon.AddDate(0, 4, 0): {"2025-01-01 false dpo@haim.example", "2026-06-01 true new@haim.example"},
	} {
		var got []string
		for _, p := range b.export(at).Policies {
			inForce := " false "
			if p.InForce {
				inForce = " true "
			}
			got = append(got, p.Version+inForce+p.Officer.Contact)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("on %s (-want +got):\n%s", at, diff)
		}
	}
}

func TestAnExportHasNoListThatIsNull(t *testing.T) {
	b, entries := office(t)
	for name, x := range map[string]*consent.Export{
		"of nobody":         haim(t).NewExport(origin, ref, nil, nil, noon),
		"of much":           b.r.NewExport(origin, ref, entries, b.f, noon),
		"with an odd event": haim(t).NewExport(origin, ref, also(nil, "haim/partners", noon, consent.Event{Kind: consent.KindDisclosure, Policy: "none", Recipient: "x"}), nil, noon),
	} {
		if text := asJSON(t, x); strings.Contains(text, "null") {
			t.Errorf("the export %s holds null:\n%s", name, text)
		}
	}
}
