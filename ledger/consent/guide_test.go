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
	"path/filepath"
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

// Whatever a page writes like a code must be one, or a key, a field, a value or
// a name of the sample policies: a reader would look for it in vain.
func TestThePagesNameOnlyWhatThereIs(t *testing.T) {
	known := map[string]bool{}
	for _, pattern := range []string{"*.go", "../*.go", "../../server/*.go", "../../server/api/*.go", "../../testdata/policies/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, name := range files {
			if !strings.HasSuffix(name, "_test.go") {
				for _, m := range codeLike.FindAllString(read(t, name), -1) {
					known[m] = true
				}
			}
		}
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n.*?```").FindAllString(read(t, "GUIDE.md"), -1) {
		for _, m := range codeLike.FindAllString(block, -1) {
			known[m] = true // of an example
		}
	}
	unknown := func(page string) (names []string) {
		for _, m := range codeSpan.FindAllStringSubmatch(page, -1) {
			for _, word := range codeLike.FindAllString(m[1], -1) {
				if !known[word] {
					names = append(names, word)
				}
			}
		}
		return names
	}
	for _, page := range []string{"GUIDE.md", "POLICYFILE.md", "RULES.md", "SHOPDAY.md"} {
		if names := unknown(read(t, page)); len(names) > 0 {
			t.Errorf("%s names %v, and nothing is called so", page, names)
		}
	}
	if len(unknown("`no_such_code`")) == 0 {
		t.Error("a code that is none passes, so the search proves nothing")
	}
}

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	codeLike = regexp.MustCompile("[a-z]+_[a-z_]+")
)

// A link to a file that is not there leads nowhere.
func TestTheLinksOfThePagesLeadSomewhere(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	n := 0
	for _, page := range []string{"GUIDE.md", "POLICYFILE.md", "RULES.md", "SHOPDAY.md"} {
		for _, m := range links.FindAllStringSubmatch(read(t, page), -1) {
			n++
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d links were found", n)
	}
}
