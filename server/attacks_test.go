package server

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"consentledger/ledger"
)

// attackFiles are the files of tests that are there to attack: ATTACKS.md names each of their tests.
var attackFiles = []string{"wire_test.go", "others_test.go", "mutated_test.go", "connections_test.go", "revoked_test.go", "planted_test.go", "../cmd/consentledger/load_test.go"}

var (
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w+)\(`)
)

// amiss says what is wrong with the page of attacks, beside tests that are there and tests that attack.
func amiss(page string, there map[string]bool, attacking []string) (out []string) {
	named := map[string]bool{}
	for _, name := range testName.FindAllString(page, -1) {
		named[name] = true
	}
	for name := range named {
		if !there[name] {
			out = append(out, fmt.Sprintf("%s is named, and there is no such test", name))
		}
	}
	for _, name := range attacking {
		if !named[name] {
			out = append(out, fmt.Sprintf("%s attacks, and no row names it", name))
		}
	}
	for row := range strings.Lines(page) {
		cells := strings.Split(row, "|")
		if regexp.MustCompile(`^\| (API)?[0-9]`).MatchString(row) && (len(cells) != 6 || !testName.MatchString(cells[4])) {
			out = append(out, "this row names no test: "+strings.TrimSpace(row))
		}
	}
	for i := 1; i <= 10; i++ {
		if !strings.Contains(page, fmt.Sprintf("\n| API%d |", i)) {
			out = append(out, fmt.Sprintf("API%d has no row", i))
		}
	}
	return out
}

func TestEveryAttackIsTriedByATestThatExists(t *testing.T) {
	page := readDocument(t, "ATTACKS.md")
	there := map[string]bool{}
	for _, dir := range []string{"../server", "../ledger", "../crypto", "../cmd"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range testFunction.FindAllSubmatch(b, -1) {
				there[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var attacking []string
	for _, file := range attackFiles {
		for _, m := range testFunction.FindAllStringSubmatch(readDocument(t, file), -1) {
			attacking = append(attacking, m[1])
		}
	}
	if len(there) < 400 || len(attacking) < 15 {
		t.Fatalf("only %d tests were found, of which %d attack", len(there), len(attacking))
	}
	for _, wrong := range amiss(page, there, attacking) {
		t.Error(wrong)
	}
	// The controls: a test that is gone, one that no row names, a row without one, a number without a row.
	for what, wrong := range map[string][]string{
		"a test that is gone":      amiss(page+"`TestThatIsGone`", there, attacking),
		"a test that no row names": amiss(page, there, append(attacking, "TestThatNoRowNames")),
		"a row without a test":     amiss(page+"\n| 1.2.3 | a | b | none |\n", there, attacking),
		"a number without its row": amiss(strings.ReplaceAll(page, "| API7 |", "| x |"), there, attacking),
	} {
		if len(wrong) == 0 {
			t.Errorf("control: %s was not found", what)
		}
	}
}

// TestEveryAnswerToAKeyForbidsCaches goes through every route, when it is answered and when it is refused.
func TestEveryAnswerToAKeyForbidsCaches(t *testing.T) {
	s := newDouble(t, &double{})
	seen := 0
	for _, rt := range s.routes() {
		role := roleFor(rt.method + " " + rt.label)
		for _, r := range []ledger.Role{role, "nobody"} {
			w := do(s.Handler(), request(rt, r))
			if rt.public && w.Code < 300 {
				continue
			}
			seen++
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s %s, %d: Cache-Control is %q", rt.method, rt.label, w.Code, got)
			}
		}
	}
	if seen < 60 {
		t.Fatalf("only %d answers were seen", seen)
	}
}
