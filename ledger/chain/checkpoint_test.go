package chain

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

func TestOriginsThatCannotNameALogAreRefused(t *testing.T) {
	for _, s := range []string{"ledger.example/consent", "a", "원장.example/동의", "ledger.example:8787/x-y_z~1", strings.Repeat("a", 255)} {
		if got, err := ParseOrigin(s); err != nil || got != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", " ", "a b", "a\tb", "a\nb", "a\u00a0b", "a\u2028b", "a+b", "a\x00b", "a\x7fb", "a\u0085b", "a\u200bb", "a\u202eb",
		"a\xffb", "https://ledger.example/consent", strings.Repeat("a", 256),
	} {
		if got, err := ParseOrigin(s); !errors.Is(err, ErrOrigin) || got != "" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func TestASignerIsThatOfTheNotePackage(t *testing.T) {
	for b := byte(1); b < 20; b++ {
		seed := testSeed(b)
		ours, vkey, err := NewSigner(testOrigin, seed)
		if err != nil {
			t.Fatal(err)
		}
		skey := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", testOrigin, ours.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...)))
		theirs, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err) // another key hash is an error too
		}
		n := &note.Note{Text: "some text\n"}
		a, errA := note.Sign(n, ours)
		c, errC := note.Sign(n, theirs)
		if errA != nil || errC != nil || !bytes.Equal(a, c) {
			t.Errorf("signed %s (%v), want %s (%v)", a, errA, c, errC)
		}
		if _, err := note.NewVerifier(vkey); err != nil {
			t.Error(err)
		}
	}
}

func TestASignerPrintsNoKey(t *testing.T) {
	s, _, err := NewSigner(testOrigin, testSeed(7))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		if got := fmt.Sprintf(verb, s); got != "[key]" && verb != "%T" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestASignerWithoutSeedOrOriginIsRefused(t *testing.T) {
	if _, _, err := NewSigner(testOrigin, [32]byte{}); err == nil {
		t.Error("a seed of zeroes was taken")
	}
	if _, _, err := NewSigner("a b", testSeed(1)); !errors.Is(err, ErrOrigin) {
		t.Errorf("a bad origin: %v", err)
	}
}

func TestACheckpointOpensAsItWasSigned(t *testing.T) {
	s, v := testSigner(t)
	rapid.Check(t, func(t *rapid.T) {
		c := Checkpoint{testOrigin, rapid.Uint64Range(1, maxSize).Draw(t, "size"), Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))}
		msg, err := c.Sign(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenCheckpoint(msg, note.VerifierList(v), testOrigin)
		if err != nil || got != c {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestACheckpointThatCannotBeIsNotSigned(t *testing.T) {
	s, _ := testSigner(t)
	for name, c := range map[string]Checkpoint{
		"another origin than the key's": {"other.example", 1, Hash{}},
		"no origin":                     {"", 1, Hash{}},
		"two lines of origin":           {"a\nb", 1, Hash{}},
		"a size that no tree has":       {testOrigin, 1 << 63, Hash{}},
		"an empty log with a root":      {testOrigin, 0, Hash{1}},
	} {
		if msg, err := c.Sign(s); err == nil || msg != nil {
			t.Errorf("%s: signed %q", name, msg)
		}
	}
}

// badTexts are bodies of checkpoints that are not written in the one way.
func badTexts() []string {
	root := "LvodQLTHdskkq2kQWJ5ltnHVc1jx6YUwA3Yk6tY91Us="
	return []string{
		testOrigin + "\n0300\n" + root + "\n",
		testOrigin + "\n+300\n" + root + "\n",
		testOrigin + "\n-300\n" + root + "\n",
		testOrigin + "\n 300\n" + root + "\n",
		testOrigin + "\n300 \n" + root + "\n",
		testOrigin + "\n3_0\n" + root + "\n",
		testOrigin + "\n0x12c\n" + root + "\n",
		testOrigin + "\n\n" + root + "\n",
		testOrigin + "\n9223372036854775808\n" + root + "\n",
		testOrigin + "\n300\n" + root + "\nextension\n",
		testOrigin + "\n300\n" + root[:43] + "\n",
		testOrigin + "\n300\n" + root[:42] + "t=\n", // stray bits at the end
		testOrigin + "\n300\n" + root + "=\n",
		testOrigin + "\n300\n" + strings.ReplaceAll(root, "=", "") + "\n",
		testOrigin + "\n300\nAAAA\n",
		testOrigin + "\n300\n",
		testOrigin + "\n0\n" + root + "\n",
		"a+b\n300\n" + root + "\n",
		"\n300\n" + root + "\n",
		"300\n" + root + "\n",
		"go.sum database tree\n300\n" + root + "\n",
	}
}

func TestACheckpointWrittenAnotherWayIsRefusedThoughItIsSigned(t *testing.T) {
	s, v := testSigner(t)
	for _, text := range badTexts() {
		msg, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := OpenCheckpoint(msg, note.VerifierList(v), testOrigin); !errors.Is(err, ErrCheckpoint) || c != (Checkpoint{}) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	for _, tc := range []struct{ name, old, new string }{
		{"stray bits in the signature", "zgc=", "zgd="},
		{"a line end in the signature", "JDibk", "JDib\rk"},
		{"no empty line", "\n\n", "\n"},
		{"nothing after the last line", "zgc=\n", "zgc="},
		{"text after the signatures", "zgc=\n", "zgc=\nmore\n"},
		{"a hyphen for the dash", "— ", "- "},
	} {
		msg := strings.Replace(interopCheckpoint, tc.old, tc.new, 1)
		if msg == interopCheckpoint {
			t.Fatalf("%s: changes nothing", tc.name)
		}
		if c, err := OpenCheckpoint([]byte(msg), note.VerifierList(v), testOrigin); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %+v, %v", tc.name, c, err)
		}
	}
}

func TestACheckpointThatTheLogDidNotSignIsRefused(t *testing.T) {
	s, v := testSigner(t)
	witness, w := signerOf(t, "witness.example/w1", 2)
	stranger, _ := signerOf(t, testOrigin, 3)
	text := Checkpoint{testOrigin, 300, Hash{1}}.text()
	sign := func(signers ...note.Signer) []byte {
		msg, err := note.Sign(&note.Note{Text: text}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	known := note.VerifierList(v, w)
	for name, msg := range map[string][]byte{
		"only the witness": sign(witness),
		"another key":      sign(stranger),
		"a bad signature":  bytes.Replace(sign(s), []byte("\n300\n"), []byte("\n301\n"), 1),
	} {
		if _, err := OpenCheckpoint(msg, known, testOrigin); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenCheckpoint(sign(s), known, "other.example"); !errors.Is(err, ErrOtherOrigin) {
		t.Errorf("another origin: %v", err)
	}
	if _, err := OpenCheckpoint(sign(s), nil, testOrigin); !errors.Is(err, ErrSignature) {
		t.Errorf("no verifiers: %v", err)
	}
	if _, err := OpenCheckpoint(sign(s, witness, stranger), known, testOrigin); err != nil {
		t.Errorf("control: %v", err)
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	s, v := testSigner(f)
	f.Add([]byte(interopCheckpoint))
	f.Add([]byte(interopCheckpoint + interopCosignature))
	for _, text := range badTexts() {
		msg, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := readCheckpoint(msg)
		if err == nil && !bytes.HasPrefix(msg, []byte(c.text()+"\n— ")) {
			t.Fatalf("%q reads as %+v", msg, c)
		}
		opened, openErr := OpenCheckpoint(msg, note.VerifierList(v), testOrigin)
		switch {
		case openErr == nil && (err != nil || opened != c || c.Origin != testOrigin):
			t.Fatalf("%q opens as %+v", msg, opened)
		case openErr != nil && !errors.Is(openErr, ErrCheckpoint) && !errors.Is(openErr, ErrSignature) && !errors.Is(openErr, ErrOtherOrigin):
			t.Fatalf("%q: %v", msg, openErr)
		}
	})
}
