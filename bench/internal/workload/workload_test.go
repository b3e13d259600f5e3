package workload

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/server/api"
)

func TestAMembersDigitsCanBeReplacedInPlace(t *testing.T) {
	m := Members("prefix")
	b := ConsentBody(m, true, time.Now())
	before := len(b.JSON)
	SetMember(b.JSON, b.Offset(), 9876543210)
	var got api.Consent
	if err := json.Unmarshal(b.JSON, &got); err != nil {
		t.Fatal(err)
	}
	if got.MemberID != "prefix-9876543210" || len(b.JSON) != before {
		t.Errorf("member_id is %q in %d bytes, want prefix-9876543210 in %d", got.MemberID, len(b.JSON), before)
	}
}

func TestAConsentIsAboutFourHundredBytesOfJSON(t *testing.T) {
	for _, enrol := range []bool{false, true} {
		if n := len(ConsentBody("bench", enrol, time.Now()).JSON); n < 360 || n > 460 {
			t.Errorf("enrol %v: the body has %d bytes", enrol, n)
		}
	}
}

func TestAConsentIsOneEntryUnderTheSamplePolicy(t *testing.T) {
	p, err := consent.ParsePolicy(Policy())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	reg, err := consent.NewRegister().With(p, now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := consent.ParseMemberID(Members("bench").ID(1))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := reg.PlanConsent(nil, nil, Consent(id, true, now), now)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Entries) != 1 {
		t.Errorf("a consent is %d entries", len(plan.Entries))
	}
}

func TestALineEndsWithALineFeed(t *testing.T) {
	if b := ConsentLine("bench", false, time.Now()).JSON; bytes.IndexByte(b, '\n') != len(b)-1 {
		t.Errorf("the line feed is at %d of %d", bytes.IndexByte(b, '\n'), len(b))
	}
}
