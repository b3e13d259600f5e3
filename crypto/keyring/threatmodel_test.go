package keyring

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestThatTheThreatModelNamesExists(t *testing.T) {
	const root = "../.."
	doc, err := os.ReadFile(filepath.Join(root, "crypto", "THREATMODEL.md"))
	must(t, err)
	missing := make(map[string]bool)
	for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(doc), -1) {
		missing[name] = true
	}
	if len(missing) < 20 {
		t.Fatalf("the threat model names only %d tests", len(missing))
	}
	missing["TestThatDoesNotExist"] = true // control
	for _, dir := range []string{"crypto", "ledger"} {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(src, -1) {
				delete(missing, string(m[1]))
			}
			return err
		}))
	}
	if !missing["TestThatDoesNotExist"] {
		t.Error("a test that does not exist was found")
	}
	delete(missing, "TestThatDoesNotExist")
	for name := range missing {
		t.Errorf("the threat model names %s, and there is no such test", name)
	}
}
