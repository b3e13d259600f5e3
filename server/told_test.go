package server

import (
	"strings"
	"testing"
)

// A value of the wrong form is told what is wrong with it where that can be seen, so that nobody has to guess.
func TestWhatIsWrongWithAValueIsTold(t *testing.T) {
	for sent, want := range map[string]string{
		" c-77":                    "begins or ends with space",
		"c-77\u3000":               "begins or ends with space",
		"cafe\u0301":               "NFD",
		"c\u200b77":                "holds such a character",
		strings.Repeat("7", 257):   "is longer",
		"\u00a0cafe\u0301 \u200b ": "holds such a character",
	} {
		_, p := memberID(sent)
		if p == nil || p.code != "invalid_member_id" || p.field != "member_id" {
			t.Errorf("%+q: %v", sent, p)
			continue
		}
		tells(t, p, want)
	}
	for _, good := range []string{"c-77", "c 77", "caf\u00e9"} {
		if _, p := memberID(good); p != nil {
			t.Errorf("control: %+q: %s", good, p.detailIn(english))
		}
	}
	for sent, want := range map[string]string{
		"0001-01-01T00:00:00Z":      "never set",
		"0001-01-01T09:00:00+09:00": "never set",
		"0000-12-31T15:27:52-08:32": "never set",
		"0002-01-01T00:00:00Z":      "1900 to 2999",
		"3000-01-01T00:00:00Z":      "1900 to 2999",
		"2025-01-02 03:04:05Z":      "2025-01-31T09:30:00+09:00.",
	} {
		_, p := timestamp("at", sent, true)
		if p == nil || p.code != "invalid_time" || p.field != "at" {
			t.Errorf("%s: %v", sent, p)
			continue
		}
		tells(t, p, want)
		if said := strings.Contains(p.detailIn(english), "What was sent"); said != !strings.Contains(want, "+09:00") {
			t.Errorf("%s: %s", sent, p.detailIn(english))
		}
	}
	if _, p := timestamp("at", "1900-01-01T00:00:00Z", true); p != nil {
		t.Errorf("control: %s", p.detailIn(english))
	}
}

func tells(t *testing.T, p *problem, want string) {
	t.Helper()
	if !strings.Contains(p.detailIn(english), want) {
		t.Errorf("%q is not told in %q", want, p.detailIn(english))
	}
	if p.detailIn(korean) == p.detailIn(english) {
		t.Errorf("%q has no Korean", p.detailIn(english))
	}
}
