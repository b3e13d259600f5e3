package consent_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

func TestTheRegisterOfProcessingSaysOfEachPurposeWhatTheLawAsksFor(t *testing.T) {
	rows := register(t, policies.Haim(), []byte(strings.Replace(small, "name: Shop,", "name: Haim Aesthetics,", 1))).Processing(noon)
	want := consent.ProcessingRow{
		Controller: "Haim Aesthetics", Contact: "privacy@haim.example",
		Officer:       &consent.ProcessingOfficer{Name: "Data Protection Officer", Contact: "dpo@haim.example"},
		Jurisdictions: []string{"KR", "EU", "US-CA"},
		Policy:        "haim", Version: "2025-01-01", EffectiveAt: time.Date(2025, 1, 1, 0, 0, 0, 0, seoul),
		Purpose: "membership", Title: consent.Text{"en": "Registration and sign-in", "ko": "회원 가입 및 로그인"}, Kind: "collection", Basis: "consent",
		MemberKinds: []string{"member", "purchasing_member"},
		Items: []consent.ProcessingItem{
			{ID: "user_id", Label: consent.Text{"en": "User ID", "ko": "아이디"}, Mandatory: true},
			{ID: "email", Label: consent.Text{"en": "E-mail address", "ko": "이메일"}, Mandatory: true},
			{ID: "name", Label: consent.Text{"en": "Full name", "ko": "이름"}, Mandatory: true},
			{ID: "birth_date", Label: consent.Text{"en": "Date of birth", "ko": "생년월일"}},
			{ID: "telephone", Label: consent.Text{"en": "Telephone number", "ko": "전화번호"}},
			{ID: "address", Label: consent.Text{"en": "Address", "ko": "주소"}},
		},
		Retention: []consent.ProcessingRetention{
			{MemberKinds: []string{"member"}, Class: "membership", Until: "withdrawal"},
			{MemberKinds: []string{"purchasing_member"}, Class: "purchasing_member", Keep: "5y", From: "withdrawal", Law: "Tax and accounting duties for purchasing members (Framework Act on National Taxes 85-3)"},
		},
		Recipients: []consent.ProcessingRecipient{{
			ID: "it-vendor", Name: "IT vendor (placeholder)", Business: "hosting of the shop", Kind: "processor", Country: "KR",
			Items: []string{"user_id", "email", "name", "birth_date", "telephone", "address"},
		}},
		Exemptions: []consent.ProcessingDisclosure{
			{ID: "legal_process", Title: consent.Text{"en": "Law, court order or order of an authority", "ko": "법령 또는 법원·기관의 명령"}, Law: "PIPA 18(2); GDPR 6(1)(c)", Authority: true},
			{ID: "safety", Title: consent.Text{"en": "Protection of safety and rights", "ko": "안전과 권리의 보호"}, Law: "PIPA 18(2) no. 3; GDPR 6(1)(d) and (f)", Authority: true},
			{ID: "statistics", Title: consent.Text{"en": "Research and statistics on anonymised data", "ko": "익명 정보에 의한 연구·통계"}, Anonymised: true},
		},
	}
	if d := cmp.Diff(want, rows[0]); d != "" {
		t.Error(d)
	}
	purposes := 0
	for _, p := range [][]byte{policies.Haim(), []byte(small)} {
		purposes += len(must(consent.ParsePolicy(p)).Purposes())
	}
	if len(rows) != purposes || rows[len(rows)-1].Policy != "shop" {
		t.Errorf("%d rows for %d purposes, the last of %s", len(rows), purposes, rows[len(rows)-1].Policy)
	}
	i := slices.IndexFunc(rows, func(r consent.ProcessingRow) bool { return r.Policy == "shop" && r.Purpose == "identity" })
	if it := rows[i].Items; !it[0].UniqueID || !it[1].Secret || it[0].Mandatory {
		t.Errorf("the items of a unique_id purpose: %+v", it)
	}
}

func TestTheRegisterOfProcessingIsThatOfItsDay(t *testing.T) {
	r := haim(t)
	if rows := r.Processing(time.Date(2024, 12, 31, 23, 59, 59, 0, seoul)); len(rows) != 0 {
		t.Errorf("%d rows on the day before the first policy", len(rows))
	}
	r, err := r.WithRecipient(vendorAbroad("2026-04-09"), noon)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{
		time.Date(2026, 4, 8, 23, 59, 59, 0, seoul): "it-vendor",
		time.Date(2026, 4, 9, 0, 0, 0, 0, seoul):    "it-vendor cloud-abroad",
	} {
		var ids []string
		for _, rec := range r.Processing(at)[0].Recipients {
			ids = append(ids, rec.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestTheRegisterOfProcessingIsACSVThatNoSpreadsheetRuns(t *testing.T) {
	src := strings.NewReplacer(
		"name: Shop,", `name: "=cmd|' /C calc'!A0", contact: "@SUM(1)", officer: {name: "+1", contact: "-1"},`,
		"{en: Membership}", `{en: "\tMember, \"ship\"\nand more"}`,
		"name: Brand,", `name: "=HYPERLINK(1)", country: US,`,
		"basis: tax law", `basis: "\n=tax"`, "member_kinds: [member, buyer]\n", "member_kinds: [member, buyer]\njurisdictions: [＝1+1, KR]\n",
	).Replace(small)
	var b bytes.Buffer
	if err := consent.WriteProcessingCSV(&b, register(t, []byte(src)).Processing(noon)); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]string{}
	for i, name := range lines[0] {
		column[name] = lines[1][i]
	}
	for name, want := range map[string]string{
		"controller": "'=cmd|' /C calc'!A0", "contact": "'@SUM(1)", "officer": "'+1, -1", "retention_law": "'\n=tax", "jurisdictions": "'＝1+1; KR",
		"title": "en: \tMember, \"ship\"\nand more", "items_mandatory": "email", "items_optional": "name",
		"retention": "membership (member): until withdrawal; bought (buyer): 5y from withdrawal", "version": "2025-01-01",
		"disclosed_without_consent": "court: PIPA 18",
	} {
		if column[name] != want {
			t.Errorf("%s is %q, want %q", name, column[name], want)
		}
	}
	for _, line := range lines {
		for _, cell := range line {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
				t.Errorf("a spreadsheet may run %q", cell)
			}
		}
	}
	if i := slices.IndexFunc(lines, func(l []string) bool { return slices.Contains(l, "partner_offers") }); i < 0 || !slices.Contains(lines[i], "US") {
		t.Error("the country of a recipient has no cell of its own")
	}
}

func TestARegisterThatCannotBeWrittenIsAnError(t *testing.T) {
	full := errors.New("disk full")
	if err := consent.WriteProcessingCSV(failing{full}, haim(t).Processing(noon)); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// vendorAbroad is a change, to the sample policy, that nothing is wrong with.
func vendorAbroad(from string) *consent.RecipientChange {
	return &consent.RecipientChange{
		Policy: "haim", ID: "cloud-abroad", Announced: "2026-03-10", Reason: "the shop moves to another host",
		Recipient: consent.Recipient{
			Name: "Cloud (placeholder)", Business: "hosting", Kind: "processor", Country: "US",
			Purposes: []string{"membership"}, Items: []string{"user_id", "email"}, From: from,
		},
	}
}
