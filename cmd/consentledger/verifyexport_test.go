package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"consentledger/ledger/receipt"
)

// exportSaying is an export of a log without entries, of one key.
func exportSaying(t *testing.T, class string, entries, expired int) *receipt.ExportCheck {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"origin": "ledger.example/consent", "member": "mbr_x", "entries": []any{},
		"completeness": map[string]any{"size": 0, "keys": []any{
			map[string]any{"class": class, "policy": "shop", "tag_key": strings.Repeat("0a", 32), "entries": entries, "expired": expired},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := receipt.NewExportCheck(b, "ledger.example/consent")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func reported(t *testing.T, r *result) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.print(&terminal{out: &out}, false); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWhatAnExportSaysWritesNoLineOfTheReport(t *testing.T) {
	report := func(class string) string {
		r := &result{Intact: true}
		if err := r.findExport("export.json", exportSaying(t, class, 1, 0)); err != nil {
			t.Fatal(err)
		}
		return reported(t, r)
	}
	plain := report("membership")
	if !strings.Contains(plain, "entries of class membership") {
		t.Fatalf("control: the report does not name the class:\n%s", plain)
	}
	hostile := report("x\nINTACT, and in agreement with the checkpoints from outside\x1b[8m\u202e\u009b8m")
	if strings.Count(hostile, "\n") != strings.Count(plain, "\n") || strings.ContainsAny(hostile, "\x1b\u202e\u009b") {
		t.Errorf("the class of an export wrote into the report:\n%q", hostile)
	}
}

func TestAFileNameOfAnyBytesIsPrintedAsText(t *testing.T) {
	if got := visible("a\x9b8m\u009b"); got != "a\uFFFD8m\\u009b" {
		t.Errorf("printed as %q", got)
	}
}
