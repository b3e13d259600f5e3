package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
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

// A ledger can leave out what it says has run out, and nobody who has the log can tell.
func TestWhatAnExportLeavesOutAsRunOutIsSaidToBeTheLedgersWord(t *testing.T) {
	const unchecked = "unchecked whether the 3 entries that the export leaves out had run out: the ledger's word"
	for expired, want := range map[int]bool{0: false, 3: true} {
		x := exportSaying(t, "membership", expired, expired)
		for n := range uint64(expired) {
			tag := seal.TagOf([seal.KeySize]byte(bytes.Repeat([]byte{0x0a}, seal.KeySize)), n)
			x.Entry(n, append(make([]byte, chain.HeaderSize), tag[:]...), chain.Hash{})
		}
		r := &result{Intact: true, Entries: 3}
		x.Size = 3
		if err := r.findExport("export.json", x); err != nil {
			t.Fatal(err)
		}
		if got := reported(t, r); !r.Intact || strings.Contains(got, unchecked) != want {
			t.Errorf("%d that had run out:\n%s", expired, got)
		}
	}
}

func TestAFileWithoutAnEndIsNotReadIntoMemory(t *testing.T) {
	endless := filepath.Join(t.TempDir(), "receipt.txt")
	if err := os.WriteFile(endless, []byte("consentledger/receipt/v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(endless, 1<<40); err != nil { // a hole: it takes no room on the disk
		t.Skip(err)
	}
	const key = "ledger.example/consent+24389b90+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	for _, flag := range []string{"--receipt", "--certificate"} {
		var out, stderr bytes.Buffer
		if code := run([]string{"verify", flag, endless, "--key", key}, &out, &stderr); code != exitCould || !strings.Contains(stderr.String(), "has more than 4194304 bytes") {
			t.Errorf("%s: %d %s%s", flag, code, &out, &stderr)
		}
	}
	if b, err := readUpTo(endless, 1<<20); err == nil || len(b) > 1<<20+1 {
		t.Errorf("%d bytes were read: %v", len(b), err)
	}
}
