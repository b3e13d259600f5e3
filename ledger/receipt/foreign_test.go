package receipt

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

const foreignVerifier = "../../testdata/verifier/verify-receipt.mjs"

// foreign runs the verifier that was written from the format page in another language, and returns the
// kind of what it says does not fit, empty if nothing.
func foreign(t *testing.T, file []byte, keys ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "receipt.txt")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("node", append([]string{foreignVerifier, name}, keys...)...).CombinedOutput()
	if err == nil && strings.HasSuffix(string(out), "GENUINE\n") {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	kind, _, _ := strings.Cut(lines[len(lines)-1], ":")
	return kind + " (it said: " + string(out) + ")"
}

// needNode is for where Node is not: a newcomer goes on without, CI does not.
func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is needed to run the verifier in another language")
		}
		t.Skip("there is no node to run the verifier in another language with: install nodejs")
	}
}

func TestAVerifierInAnotherLanguageSaysOfEveryVectorWhatThisOneDoes(t *testing.T) {
	needNode(t)
	src, err := os.ReadFile(foreignVerifier)
	if err != nil || strings.Count(string(src), "\n") > 205 {
		t.Errorf("the other verifier is to be one that can be read at a sitting: %v", err)
	}
	v := load(t)
	for _, f := range v.Files {
		keys := []string{v.Key}
		if f.Key == "other_key" {
			keys[0] = v.OtherKey
		}
		if f.Witness {
			keys = append(keys, v.Witness)
		}
		got := foreign(t, v.file(t, f.Name), keys...)
		if kind, _, _ := strings.Cut(got, " "); kind != f.Error {
			t.Errorf("%s: %q instead of %q", f.Name, got, f.Error)
		}
	}
}

// fill sets every field of an event, so that none is forgotten by who reads it in another language.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("shop/ü<&>\u2028x")
	case reflect.Int64:
		v.SetInt(1735689600120)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Uint8:
		v.SetUint(2)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		n := 2
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n = 32
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func TestAVerifierInAnotherLanguageReadsEveryKindOfEventWithEveryField(t *testing.T) {
	needNode(t)
	v := load(t)
	kinds := 0
	for kind := consent.KindConsent; kind.String() != "unknown"; kind++ {
		if kind == consent.KindOperator || kind == consent.KindSignIn {
			continue // no member's
		}
		kinds++
		var full consent.Event
		fill(reflect.ValueOf(&full).Elem())
		full.Kind, full.Name, full.SignIn = kind, "", nil
		refused := full
		refused.Decisions = []consent.Decision{{Purpose: "p"}, {Purpose: "q", Ask: true}}
		refused.Value, refused.Form, refused.Guardian = false, "", nil
		for _, event := range []consent.Event{full, refused} {
			file := single(t, v, event)
			if _, _, err := Open(file, v.keys(t, false, false)); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if got := foreign(t, file, v.Key); got != "" {
				t.Errorf("%s: %s", kind, got)
			}
		}
	}
	if kinds != 16 {
		t.Errorf("%d kinds were tried: a new one must be in the other verifier, too", kinds)
	}
}

// single is the receipt of the only entry of a log.
func single(t *testing.T, v vectors, event consent.Event) []byte {
	t.Helper()
	body, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return singleOf(t, v, body, event, "%s\n1\n%s\n")
}

// singleOf is the same of any body, under a checkpoint of any form.
func singleOf(t *testing.T, v vectors, body []byte, event consent.Event, checkpoint string) []byte {
	t.Helper()
	s := v.signer(t)
	key, err := seal.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	entry := chain.AppendHeader(nil)
	if entry, err = seal.NewBox(s.Name()).Seal(entry, rand.Reader, chain.Version, key, seal.Tag{}, body); err != nil {
		t.Fatal(err)
	}
	chain.Complete(entry, 1735689600120, chain.Hash{})
	prk, err := seal.PRK(key, entry[chain.HeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain.LeafHash(entry)
	root, err := tlog.TreeHash(1, tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) { return []tlog.Hash{tlog.Hash(leaf)}, nil }))
	if err != nil {
		t.Fatal(err)
	}
	head, err := note.Sign(&note.Note{Text: fmt.Sprintf(checkpoint, s.Name(), root)}, s)
	if err != nil {
		t.Fatal(err)
	}
	_, file, err := Make(Entry{entry, prk, chain.Proof{Checkpoint: head}}, Facts{Member: "mbr_x", Class: "c", IssuedAt: time.Unix(1735689601, 0), Event: event}, s)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
