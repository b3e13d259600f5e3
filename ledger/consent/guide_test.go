package consent

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table in RULES.md anew")

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The page promises to list every code that a shop can meet. Its table is made
// from the source's own, which another test holds to the source.
func TestRulesMDListsEachRuleWithItsCodes(t *testing.T) {
	var want bytes.Buffer
	want.WriteString("| rule | in words | 한국어 | codes |\n|---|---|---|---|\n")
	for _, r := range rules {
		var codes []string
		for _, code := range slices.Sorted(maps.Keys(ruleOfCode)) {
			if ruleOfCode[code] == r.row {
				codes = append(codes, "`"+code+"`")
			}
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", r.row, r.en, r.ko, strings.Join(codes, ", "))
	}
	page := read(t, "RULES.md")
	head, table, _ := strings.Cut(page, "| rule |")
	if *update {
		if err := os.WriteFile("RULES.md", []byte(head+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, need := strings.Split("| rule |"+table, "\n"), strings.Split(want.String(), "\n")
	for _, row := range need {
		if !slices.Contains(have, row) {
			t.Errorf("RULES.md lacks this row; go test -run RulesMD ./ledger/consent -update writes it:\n%s", row)
		}
	}
	if len(have) != len(need) {
		t.Errorf("RULES.md has %d rows, want %d", len(have), len(need))
	}
}

// fileKeys returns every key that the decoder of policy files takes.
func fileKeys(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "policyfile.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && calleeOf(call) == "object" {
			for _, a := range call.Args[2:] {
				keys[literal(a)] = true
			}
		}
		return true
	})
	for _, control := range []string{"minors", "despite_suspension", "time_zone", "mandatory"} {
		if !keys[control] {
			t.Fatalf("the search does not find the key %s, so it proves nothing", control)
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

func TestPolicyfileMDListsEveryKeyAndNoOther(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.*]+)` \\|").FindAllStringSubmatch(read(t, "POLICYFILE.md"), -1) {
		parts := strings.Split(row[1], ".")
		listed[parts[len(parts)-1]] = true
	}
	keys := fileKeys(t)
	for _, key := range keys {
		if !listed[key] {
			t.Errorf("POLICYFILE.md does not list %s", key)
		}
		delete(listed, key)
	}
	for key := range listed {
		t.Errorf("POLICYFILE.md lists %s, which no policy file has", key)
	}
}

// Codes that a page names must be codes, or a reader looks for what is not there.
func TestThePagesNameOnlyCodesThatAre(t *testing.T) {
	codes := codesInSource(t)
	code := regexp.MustCompile("`([a-z]+_[a-z_]+)`")
	known := func(page string) (unknown []string) {
		for _, m := range code.FindAllStringSubmatch(page, -1) {
			if !slices.Contains(codes, m[1]) && !slices.Contains(otherNames(t), m[1]) {
				unknown = append(unknown, m[1])
			}
		}
		return unknown
	}
	for _, page := range []string{"POLICYFILE.md", "RULES.md"} {
		if unknown := known(read(t, page)); len(unknown) > 0 {
			t.Errorf("%s names %v, which are neither codes nor keys", page, unknown)
		}
	}
	if len(known("`no_such_code`")) == 0 {
		t.Error("a code that is none passes, so the search proves nothing")
	}
}

// otherNames are the words that are written like codes: keys, their values,
// and the reasons of decisions.
func otherNames(t *testing.T) []string {
	return append(fileKeys(t), UntilPurposeWithdrawal, UntilEventEnd, RecipientThirdParty, BasisLegalObligation, PurposeUniqueID,
		ReasonProcessingSuspended, ReasonReconsentRequired)
}
