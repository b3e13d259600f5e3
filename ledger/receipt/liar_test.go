package receipt

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/consent"
)

// resigned is a file in which a ledger that lies has put other words, under its own key.
func resigned(t *testing.T, v vectors, file []byte, from, to string) []byte {
	t.Helper()
	text, _, _ := strings.Cut(string(file), "\n\n")
	if strings.Count(text, from) == 0 {
		t.Fatalf("the file does not have %s", from)
	}
	out, err := note.Sign(&note.Note{Text: strings.Replace(text, from, to, 1) + "\n"}, v.signer(t))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lies are other ways to write what a receipt says, which both verifiers must refuse alike.
var lies = []struct{ name, from, to, kind string }{
	{"nothing changed", `"member": "mbr_`, `"member": "mbr_`, ""}, // the control
	{"recorded in another zone", `"recorded_at": "2025-01-02T00:00:00.001Z"`, `"recorded_at": "2025-01-02T09:00:00.001+09:00"`, "file"},
	{"issued in another zone", `"issued_at": "2025-01-02T00:00:00Z"`, `"issued_at": "2025-01-02T09:00:00+09:00"`, "file"},
	{"issued within a second", `"issued_at": "2025-01-02T00:00:00Z"`, `"issued_at": "2025-01-02T00:00:00.5Z"`, "file"},
	{"issued at no time", `"issued_at": "2025-01-02T00:00:00Z"`, `"issued_at": null`, "file"},
	{"issued after all years", `"issued_at": "2025-01-02T00:00:00Z"`, `"issued_at": "+010000-01-01T00:00:00Z"`, "file"},
	{"a large number", `"index": 2`, `"index": 9007199254740993`, "file"},
	{"a member that is a number", `"member": "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa"`, `"member": 7`, "file"},
	{"half a character", `"class": "membership"`, `"class": "\ud800"`, "file"},
	{"half a character after a backslash", `"class": "membership"`, `"class": "\\\ud800"`, "file"},
	{"no half a character", `"class": "membership"`, `"class": "\\ud800"`, ""},
	{"NUL and line separator", `"class": "membership"`, `"class": "\u0000\u2028` + "\x7f" + `"`, ""},
	{"a member twice", `"class": "membership"`, "\"class\": \"x\",\n  \"class\": \"membership\"", "file"},
	{"a name in capitals", `"class":`, `"Class":`, "file"},
	{"no record where one is said to be", `  "entry":`, "  \"record\": null,\n  \"entry\":", "file"},
	{"a record of a negative number", `  "entry":`, "  \"record\": -0.5,\n  \"entry\":", ""},
	{"a record of less than nothing", `  "entry":`, "  \"record\": -0,\n  \"entry\":", "file"},
	{"a record of a number with a zero", `  "entry":`, "  \"record\": 1.0,\n  \"entry\":", "file"},
	{"a record of too exact a number", `  "entry":`, "  \"record\": 9007199254740993,\n  \"entry\":", "file"},
	{"a record of huge and tiny numbers", `  "entry":`, "  \"record\": [\n    1e+21,\n    100000000000000000000,\n    1e-7,\n    0.000001\n  ],\n  \"entry\":", ""},
	{"a record of text", `  "entry":`, "  \"record\": \"x\",\n  \"entry\":", ""},
	{"an event in another order", "\"kind\": \"disclosure\",\n    \"policy\": \"shop\",", "\"policy\": \"shop\",\n    \"kind\": \"disclosure\",", "file"},
}

// without takes the record out of a receipt, so that each lie can put in its own.
func without(t *testing.T, v vectors, file []byte) []byte {
	t.Helper()
	at := strings.Index(string(file), "  \"record\": ")
	if at < 0 {
		return file
	}
	end := strings.Index(string(file), "  \"entry\": ")
	return resigned(t, v, file, string(file[at:end]), "")
}

func TestALedgerHasOneWayToWriteAReceiptWhicheverVerifierReadsIt(t *testing.T) {
	v := load(t)
	needNode(t)
	good := without(t, v, v.file(t, "good-2"))
	for _, lie := range lies {
		file := resigned(t, v, good, lie.from, lie.to)
		agree(t, v, lie.name, file, lie.kind)
	}
	// What is no text is not another way to write what is.
	odd := resigned(t, v, good, `"class": "membership"`, `"class": "`+"\uFFFD"+`"`)
	broken := []byte(strings.Replace(string(odd), "\uFFFD", "\xff", 1))
	for _, c := range []struct {
		file []byte
		bad  bool
	}{{odd, false}, {broken, true}} {
		if _, _, err := Open(c.file, v.keys(t, false, false)); (err != nil) != c.bad {
			t.Errorf("bytes that are no text: %v", err)
		}
		if got := foreign(t, c.file, v.Key); (got != "") != c.bad {
			t.Errorf("bytes that are no text: the other verifier says %q", got)
		}
	}
}

func TestWhatIsNoMembersEventHasNoReceipt(t *testing.T) {
	v := load(t)
	for _, e := range []consent.Event{
		{Kind: consent.KindOperator}, {Kind: consent.KindSignIn}, {Kind: consent.KindActivity, Name: "x"}, {Kind: consent.KindActivity, SignIn: []byte{1}},
	} {
		if _, _, err := Open(single(t, v, e), v.keys(t, false, false)); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %v", e.Kind, err)
		}
	}
	if _, _, err := Open(single(t, v, consent.Event{Kind: consent.KindActivity}), v.keys(t, false, false)); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestNumbersAreThoseThatEveryReaderTakesAsTheyAre(t *testing.T) {
	for s, want := range map[string]bool{"0": true, "2.5": true, "9007199254740992": true, "9007199254740993": false, "-0": false, "-1": true, "1.0": false, "1e3": false, "1e+21": true, "1e21": false, "1e-7": true, "1e-07": false, "1e999": false} {
		if isNumber(json.Number(s)) != want {
			t.Errorf("%s", s)
		}
	}
}

// What a ledger that lies could have sealed: that an event has one encoding is for both verifiers to see.
func TestAnEntryHasOneEncodingWhicheverVerifierReadsIt(t *testing.T) {
	v := load(t)
	needNode(t)
	said := consent.Event{Kind: consent.KindActivity, Policy: "shop"}
	for name, c := range map[string]struct{ body, kind string }{
		"the one encoding":           {"a2010d026473686f70", ""}, // the control
		"a byte after it":            {"a2010d026473686f7000", "content"},
		"a long number":              {"a201180d026473686f70", "content"},
		"a long length":              {"a2010d02780473686f70", "content"},
		"keys out of order":          {"a2026473686f70010d", "content"},
		"a key twice":                {"a3010d026473686f70026473686f70", "content"},
		"another key":                {"a3010d026473686f70182f01", "content"},
		"an operator's name":         {"a3010d026473686f70182d6178", "content"},
		"a text that is empty":       {"a3010d026473686f700360", "content"},
		"a list that is empty":       {"a3010d026473686f700e80", "content"},
		"false":                      {"a3010d026473686f7006f4", "content"},
		"null":                       {"a3010d026473686f700df6", "content"},
		"no UTF-8":                   {"a2010d026473686fff", "content"},
		"bytes as text":              {"a2010d024473686f70", "content"},
		"no length":                  {"bf010d026473686f70ff", "content"},
		"a tag":                      {"a2010dc0026473686f70", "content"},
		"a list of a great many":     {"a3010d026473686f700e9affffffff", "content"},
		"a list":                     {"82010d", "content"},
		"another kind of entry":      {"a20112026473686f70", "content"},
		"a reference past all names": {"a3010d026473686f7018181b0020000000000001", "content"},
		"cut":                        {"a2010d026473686f", "content"},
		"nothing":                    {"", "content"},
	} {
		body, err := hex.DecodeString(c.body)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, v, name, singleOf(t, v, body, said, "%s\n1\n%s\n"), c.kind)
	}
	body, err := said.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]string{
		"a line more": "%s\n1\n%s\nmore\n", "a line after an empty one": "%s\n1\n%s\n\nmore\n", "a zero before the size": "%s\n01\n%s\n",
		"a size in hex": "%s\n0x1\n%s\n", "a space before the size": "%s\n 1\n%s\n",
	} {
		agree(t, v, name, singleOf(t, v, body, said, form), "proof")
	}
}

// agree has both verifiers say the same of a file.
func agree(t *testing.T, v vectors, name string, file []byte, kind string) {
	t.Helper()
	_, _, err := Open(file, v.keys(t, false, false))
	if kind == "" && err != nil || kind != "" && !errors.Is(err, errorNames[kind]) {
		t.Errorf("%s: should fail for %q, and says: %v", name, kind, err)
	}
	got := foreign(t, file, v.Key)
	if is, _, _ := strings.Cut(got, " "); is != kind {
		t.Errorf("%s: the other verifier says %q instead of %q", name, got, kind)
	}
}

func TestACertificateHasOneWayToWriteATime(t *testing.T) {
	v := load(t)
	seen := 0
	for _, name := range []string{"certificate-good-0", "certificate-good-1", "certificate-good-2"} {
		file := v.file(t, name)
		for _, m := range regexp.MustCompile(`"(?:issued_at|until)": "[^"]*Z"`).FindAllString(string(file), -1) {
			for to, bad := range map[string]bool{m: false, strings.Replace(m, `Z"`, `+09:00"`, 1): true, strings.Replace(m, `Z"`, `.0005Z"`, 1): true} {
				_, _, err := OpenCertificate(resigned(t, v, file, m, to), v.keys(t, false, false))
				if errors.Is(err, ErrFile) != bad || !bad && err != nil {
					t.Errorf("%s: %s: %v", name, to, err)
				}
			}
			seen++
		}
	}
	if seen < 4 {
		t.Errorf("only %d times were tried", seen)
	}
}
