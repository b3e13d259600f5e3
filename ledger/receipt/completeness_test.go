package receipt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAnExportWhoseCountsCannotBeIsNoExport(t *testing.T) {
	key := func(b string, entries, expired uint64) string {
		return fmt.Sprintf(`{"class":"c","policy":"p","tag_key":"%s","entries":%d,"expired":%d}`, strings.Repeat(b, 32), entries, expired)
	}
	for what, c := range map[string]struct {
		keys string
		bad  bool
	}{
		"two keys":             {key("0a", 2, 2) + "," + key("0b", 0, 0), false}, // the control
		"a key twice":          {key("0a", 2, 0) + "," + key("0a", 2, 0), true},
		"more run out than is": {key("0a", 2, 3), true},
		"too many":             {key("0a", 1<<40, 0), true},
		"below nothing":        {key("0a", 1<<64-1, 0), true},
	} {
		file := `{"origin":"o","member":"m","entries":[],"completeness":{"size":0,"keys":[` + c.keys + `]}}`
		_, err := NewExportCheck([]byte(file), "o")
		if errors.Is(err, ErrFile) != c.bad || !c.bad && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAnExportThatOthersReadDifferentlyIsNoExport(t *testing.T) {
	for more, bad := range map[string]bool{``: false, `,"other":1`: false, `,"entries":[]`: true, `,"Entries":[]`: true, `,"entrieſ":[]`: true, `,"member":"x"`: true} {
		file := `{"origin":"o","member":"m","entries":[{"index":1,"leaf_hash":"00"}],"completeness":{"size":0,"keys":[]}` + more + `}`
		if _, err := NewExportCheck([]byte(file), "o"); errors.Is(err, ErrFile) != bad || !bad && err != nil {
			t.Errorf("%s: %v", more, err)
		}
	}
}
