package consent_test

import (
	"errors"
	"strings"
	"testing"

	"consentledger/ledger/consent"
)

func TestIDsThatCouldPassForOthersAreRefused(t *testing.T) {
	for id, want := range map[string]error{
		"":                       consent.ErrMemberIDLength,
		strings.Repeat("a", 257): consent.ErrMemberIDLength,
		"a\xff":                  consent.ErrMemberIDUTF8,
		"\xed\xa0\x80":           consent.ErrMemberIDUTF8, // a surrogate
		"a\x00":                  consent.ErrMemberIDCharacter,
		"a\n":                    consent.ErrMemberIDCharacter,
		"a\x7f":                  consent.ErrMemberIDCharacter,
		"a\u0085":                consent.ErrMemberIDCharacter, // next line
		"a\u200b":                consent.ErrMemberIDCharacter, // zero width space
		"a\u200d":                consent.ErrMemberIDCharacter, // zero width joiner
		"a\ufeff":                consent.ErrMemberIDCharacter, // byte order mark
		"a\u202e":                consent.ErrMemberIDCharacter, // right-to-left override
		"a\u2066":                consent.ErrMemberIDCharacter, // left-to-right isolate
		"a\u061c":                consent.ErrMemberIDCharacter, // Arabic letter mark
		"a\u2028":                consent.ErrMemberIDCharacter, // line separator
		"a\u00ad":                consent.ErrMemberIDCharacter, // soft hyphen
		"a\u3164":                consent.ErrMemberIDCharacter, // Hangul filler
		"a\ufe0f":                consent.ErrMemberIDCharacter, // variation selector
		"a\U000e0041":            consent.ErrMemberIDCharacter, // tag
		"e\u0301":                consent.ErrMemberIDNFC,
		"\u1112\u1161\u11ab":     consent.ErrMemberIDNFC, // Hangul in pieces
	} {
		if _, err := consent.ParseMemberID(id); !errors.Is(err, want) {
			t.Errorf("%+q: %v, want %v", id, err, want)
		}
	}
	for _, id := range []string{"a", strings.Repeat("a", 256), "kim@shop.example", "é", "한글", "42", "a b", "😀"} {
		m, err := consent.ParseMemberID(id)
		if err != nil || string(m.Bytes()) != id || m.IsZero() {
			t.Errorf("%+q: %v", id, err)
		}
	}
	if (consent.MemberID{}).Bytes() != nil || !(consent.MemberID{}).IsZero() {
		t.Error("no id has bytes")
	}
}
