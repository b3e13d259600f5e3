package consent

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// rowsWithoutRefusal are the rows whose promise is kept otherwise than by
// saying no.
var rowsWithoutRefusal = map[string]string{
	"B5": "a reason of no_effective_consent and of decisions, not a code",
	"B9": "shares item_not_consented with B2",
	"C4": "the sweep destroys; nobody is told no",
	"C7": "the keyring",
	"C8": "certificates",
	"C9": "the log",
	"D1": "export",
	"D2": "receipts",
	"D4": "a query answers with what is found, or nothing",
}

func TestEachCodeOfTheRulesBelongsToARowAndEachRowIsUsed(t *testing.T) {
	used := map[string]bool{}
	codes := codesInSource(t)
	for _, code := range codes {
		row := RuleOf(code)
		if row == "" {
			t.Errorf("%s belongs to no row; add it to ruleOfCode", code)
		}
		used[row] = true
	}
	for code, row := range ruleOfCode {
		if !slices.Contains(codes, code) {
			t.Errorf("%s is in the table, and no rule refuses with it", code)
		}
		if RuleWords(row, "en") == "" {
			t.Errorf("%s belongs to %s, which is no row", code, row)
		}
	}
	for _, r := range rules {
		if _, listed := rowsWithoutRefusal[r.row]; listed == used[r.row] {
			t.Errorf("row %s: a code uses it %v, listed as without %v", r.row, used[r.row], listed)
		}
	}
	if RuleOf("no_such_code") != "" || RuleWords("Z9", "en") != "" {
		t.Error("what is not there has a row or words")
	}
}

func TestEachRowIsSaidOnceInWordsInEnglishAndKorean(t *testing.T) {
	rows := map[string]bool{}
	for section, n := range map[string]int{"A": 12, "B": 9, "C": 10, "D": 8} {
		for i := 1; i <= n; i++ {
			rows[index(section, i)] = true
		}
	}
	for _, r := range rules {
		key := index(r.row[:1], atoi(r.row[1:]))
		if !rows[key] {
			t.Errorf("%s is no row, or is there twice", r.row)
		}
		delete(rows, key)
		if len(r.en) < 20 || strings.HasSuffix(r.en, ".") || unicode.IsUpper(rune(r.en[0])) {
			t.Errorf("%s in English: %q", r.row, r.en)
		}
		if !hangul(r.ko) || !strings.HasSuffix(r.ko, "니다") || RuleWords(r.row, "ko") != r.ko || RuleWords(r.row, "fr") != r.en {
			t.Errorf("%s in Korean: %q", r.row, r.ko)
		}
	}
	for key := range rows {
		t.Errorf("row %s has no words", key)
	}
}

func TestARefusalNamesItsRule(t *testing.T) {
	if got := forbid("item_suspended", "", "").Rule(); got != "B4" {
		t.Errorf("item_suspended belongs to %q", got)
	}
	if got := RuleWords("B4", "en"); got != "while a correction is open, the item may be neither used nor disclosed" {
		t.Errorf("B4: %q", got)
	}
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

func hangul(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return unicode.Is(unicode.Hangul, c) })
}
