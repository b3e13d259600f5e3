package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rowsPage = "../../ledger/consent/ROWS.md"

// later are the rows that have issues of their own.
var later []string

var (
	rowOfPage = regexp.MustCompile(`^\| ([A-D][0-9]+) \| (.*) \| (.*) \| (.*) \|$`)
	rowOfTest = regexp.MustCompile(`^(?:TestRows/|TestRow_)([A-D][0-9]+)_[a-z0-9_]+$`)
)

// ROWS.md names for each promise the test that shows it; here it is held to the
// tests that there are.
func TestEveryRowHasATestOfItsName(t *testing.T) {
	there := rowTests(t)
	if len(there) < 15 {
		t.Fatalf("only %d tests of rows are found: %v", len(there), there)
	}
	page, err := os.ReadFile(rowsPage)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	listed := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		m := rowOfPage.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		id, promise, from, shown := m[1], m[2], m[3], m[4]
		ids = append(ids, id)
		if len(promise) < 20 || from == "" {
			t.Errorf("%s: the promise, or where it is from, is missing", id)
		}
		if slices.Contains(later, id) {
			if shown != "issue to come" {
				t.Errorf("%s has an issue of its own, and %s beside it", id, shown)
			}
			continue
		}
		for name := range strings.SplitSeq(shown, ", ") {
			name = strings.Trim(name, "`")
			of := rowOfTest.FindStringSubmatch(name)
			switch {
			case of == nil || of[1] != id:
				t.Errorf("%s: %q is not the name of a test of this row", id, name)
			case !there[name]:
				t.Errorf("%s: there is no test %s", id, name)
			}
			listed[name] = true
		}
	}
	if want := allRows(); !slices.Equal(ids, want) {
		t.Errorf("the page lists %v, and is to list %v", ids, want)
	}
	for name := range there {
		if !listed[name] {
			t.Errorf("%s stands in no row of the page", name)
		}
	}
}

// allRows are the ids of sections A to D, in the order of the page.
func allRows() []string {
	return strings.Fields("A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 B1 B2 B3 B4 B5 B6 B7 B8 B9 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 D1 D2 D3 D4 D5 D6 D7 D8")
}

// rowTests are the names of the tests of rows: of the transcripts, and of the
// functions in this package.
func rowTests(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	for _, f := range rowScripts(t) {
		there["TestRows/"+strings.TrimSuffix(filepath.Base(f), ".txtar")] = true
	}
	files, err := filepath.Glob("rows_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "TestRow_") {
				there[fn.Name.Name] = true
			}
		}
	}
	return there
}
