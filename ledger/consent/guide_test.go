package consent

import (
	"os"
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
	listed := func(code string) bool { return strings.Contains(string(guide), "`"+code+"`") }
	for _, m := range refusalsInSource(t) {
		if !strings.HasPrefix(m.file, "../") && m.code != "" && !listed(m.code) {
			t.Errorf("GUIDE.md does not list %s", m.code)
		}
	}
	if listed("no_such_code") {
		t.Error("GUIDE.md lists a code that is none, so the search proves nothing")
	}
}
