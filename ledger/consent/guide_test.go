package consent_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The guide promises to list every code that a shop can meet. The codes are
// read out of the source, so that a new one is missed here and not by a shop.
func TestTheGuideListsEveryCode(t *testing.T) {
	guide, err := os.ReadFile("GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?:invalid\(|forbid\(|refuse\(\w+, |\.fail\(|\.failAt\([^"]*, |Code: )"([a-z_]+)"`)
	seen := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(src), -1) {
			seen[m[1]] = true
			if !strings.Contains(string(guide), "`"+m[1]+"`") {
				t.Errorf("GUIDE.md does not list %s", m[1])
			}
		}
	}
	for _, control := range []string{"no_effective_consent", "under_age", "duplicate_field", "purpose_not_stated", "nothing_to_withdraw"} {
		if !seen[control] {
			t.Errorf("the search does not find %s, so it proves nothing", control)
		}
	}
}
