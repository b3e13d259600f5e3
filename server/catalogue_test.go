package server

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// A catalogueRow is a row of ERRORS.md or of ERRORS.ko.md.
type catalogueRow struct{ code, status, cause, remedy string }

var anyRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| ([0-9]{3}) \\| ([^|]*) \\| ([^|]*) \\|$")

func catalogue(text string) (rows []catalogueRow) {
	for _, m := range anyRow.FindAllStringSubmatch(text, -1) {
		rows = append(rows, catalogueRow{m[1], m[2], strings.TrimSpace(m[3]), strings.TrimSpace(m[4])})
	}
	return rows
}

// untranslated says what the Korean catalogue lacks of the English one. That the
// English one is what the server can send is tested beside the codes.
func untranslated(en, ko string) (lacks []string) {
	lack := func(format string, args ...any) { lacks = append(lacks, fmt.Sprintf(format, args...)) }
	rows, have := catalogue(en), catalogue(ko)
	times := map[string]int{}
	for i, row := range rows {
		name := row.code + " (" + row.status + ")"
		times[name]++ // the same code may have a row in both parts of the document
		at, left := -1, times[name]
		for j, k := range have {
			if k.code == row.code && k.status == row.status {
				if left--; left == 0 {
					at = j
					break
				}
			}
		}
		if at < 0 {
			lack("%s has no row: add one to ERRORS.ko.md, in the order of ERRORS.md", name)
			continue
		}
		if at != i && len(have) == len(rows) {
			lack("%s stands in another place", name)
		}
		k := have[at]
		for _, words := range []string{k.cause, k.remedy} {
			if strings.IndexFunc(words, func(r rune) bool { return unicode.Is(unicode.Hangul, r) }) < 0 {
				lack("%s says %q, which is not Korean", name, words)
			}
		}
		// What is sent as it stands is the same in every language.
		for _, sent := range backticked.FindAllString(row.cause+row.remedy, -1) {
			if !strings.Contains(k.cause+k.remedy, sent) {
				lack("%s does not name %s", name, sent)
			}
		}
	}
	for _, k := range have {
		if name := k.code + " (" + k.status + ")"; times[name] == 0 {
			lack("%s is a row of ERRORS.ko.md, and of ERRORS.md none", name)
		}
	}
	if len(have) != len(rows) {
		lack("ERRORS.md has %d rows, and ERRORS.ko.md %d", len(rows), len(have))
	}
	return lacks
}

var backticked = regexp.MustCompile("`[^`]+`")

func TestTheCatalogueOfErrorsIsCompleteInKorean(t *testing.T) {
	en, ko := readDocument(t, "ERRORS.md"), readDocument(t, "ERRORS.ko.md")
	for _, lack := range untranslated(en, ko) {
		t.Error(lack)
	}
	if n := len(catalogue(en)); n < 180 || strings.Count(en, "\n| `") != n || strings.Count(ko, "\n| `") != len(catalogue(ko)) {
		t.Errorf("%d rows of ERRORS.md and %d of ERRORS.ko.md are read: not all of them", n, len(catalogue(ko)))
	}
	// The control: one thing that is wrong after the other.
	row := regexp.MustCompile("(?m)^\\| `low_disk`.*\\n").FindString(ko)
	for what, bad := range map[string]string{
		"a row that is missing":       strings.Replace(ko, row, "", 1),
		"a row too many":              strings.Replace(ko, row, row+strings.Replace(row, "low_disk", "no_disk", 1), 1),
		"another status":              strings.Replace(ko, row, strings.Replace(row, "503", "500", 1), 1),
		"a cause in English":          strings.Replace(ko, row, strings.Replace(row, catalogue(row)[0].cause, "no room", 1), 1),
		"no remedy":                   strings.Replace(ko, row, strings.Replace(row, catalogue(row)[0].remedy, "", 1), 1),
		"a name that is not repeated": strings.Replace(ko, "--min-free-bytes", "--min-free", 1),
		"rows in another order":       strings.Replace(strings.Replace(ko, row, "", 1), "| `busy`", row+"| `busy`", 1),
	} {
		if bad == ko || len(untranslated(en, bad)) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
}
