package receipt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// certificateVectors are what testdata/certificates.py made from the format page.
type certificateVectors struct {
	Files []struct {
		Name    string  `json:"name"`
		Error   string  `json:"error"` // empty: good
		Key     string  `json:"key"`
		Witness bool    `json:"witness"`
		Subject *string `json:"subject"` // null: nobody is named
	} `json:"files"`
}

func loadCertificates(t testing.TB) (v certificateVectors) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "certificates.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

var certificateErrors = func() map[string]error {
	m := maps.Clone(errorNames)
	m["other_member"] = ErrOtherMember
	return m
}()

func TestEachCertificateVectorIsTakenOrRefusedForTheReasonThatItNames(t *testing.T) {
	v := load(t)
	seen := map[string]int{}
	for _, f := range loadCertificates(t).Files {
		c, _, err := OpenCertificate(v.file(t, f.Name), v.keys(t, f.Key == "other_key", f.Witness))
		if err == nil && f.Subject != nil {
			err = c.IsOf([]byte(*f.Subject))
		}
		seen[f.Error]++
		if f.Error == "" {
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			continue
		}
		for name, is := range certificateErrors {
			if errors.Is(err, is) != (name == f.Error) {
				t.Errorf("%s: should fail for %s, and says: %v", f.Name, f.Error, err)
			}
		}
	}
	for name := range certificateErrors {
		if seen[name] == 0 {
			t.Errorf("no vector fails for %s", name)
		}
	}
	if seen[""] != 5 {
		t.Errorf("%d vectors are good", seen[""])
	}
}

func TestACertificateIsMadeToTheByteAsTheVectorsAre(t *testing.T) {
	v := load(t)
	s := v.signer(t)
	for _, name := range []string{"good-0", "good-1", "good-2", "good-provisional"} {
		file := v.file(t, "certificate-"+name)
		k := v.keys(t, false, false)
		c, _, err := OpenCertificate(file, k)
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := c.check(&c.Logged, k)
		if err != nil {
			t.Fatal(err)
		}
		d, err := readDestruction(body)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := chain.ParseProof([]byte(c.Proof))
		if err != nil {
			t.Fatal(err)
		}
		var kept []consent.Kept
		for _, k := range c.Kept {
			kept = append(kept, consent.Kept{Class: k.Class, Until: k.Until, Event: k.Event, Basis: k.Basis})
		}
		again, err := MakeCertificate(Entry{c.Entry, [32]byte(c.PRK), proof}, CertificateFacts{
			Body: d, Final: c.Status == StatusFinal, IssuedAt: c.IssuedAt.Add(time.Millisecond), Grade: c.Grade, Kept: kept, Of: c.Of, Opening: [32]byte(c.Opening),
		}, s)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(file) {
			t.Errorf("%s is made as\n%s", name, again)
		}
	}
}

func TestNoByteOfACertificateCanBeChangedPutInOrTakenOut(t *testing.T) {
	v := load(t)
	for name, witness := range map[string]bool{"certificate-good-0": true, "certificate-good-provisional": false} {
		k := v.keys(t, false, witness)
		file := v.file(t, name)
		if _, _, err := OpenCertificate(file, k); err != nil {
			t.Fatal(err) // the control: unchanged it is good
		}
		refused := func(b []byte, what string, at int) {
			if _, _, err := OpenCertificate(b, k); err == nil {
				t.Errorf("%s is good with byte %d %s", name, at, what)
			}
		}
		for i, c := range file {
			b := slices.Clone(file)
			for _, to := range []byte{c ^ 1, c ^ 0x20, c ^ 0x80, ' ', '\n', 0} {
				if b[i] = to; to != c {
					refused(b, "changed", i)
				}
			}
			refused(slices.Concat(file[:i], file[i+1:]), "taken out", i)
			refused(slices.Concat(file[:i], []byte{c}, file[i:]), "doubled", i)
		}
		refused(append(slices.Clone(file), '\n'), "put after the end", len(file))
	}
}

func TestAReceiptIsNoCertificateAndTheOtherWayRound(t *testing.T) {
	v := load(t)
	k := v.keys(t, false, false)
	if _, _, err := OpenCertificate(v.file(t, "good-0"), k); !errors.Is(err, ErrFile) {
		t.Errorf("a receipt as a certificate: %v", err)
	}
	if _, _, err := Open(v.file(t, "certificate-good-0"), k); !errors.Is(err, ErrFile) {
		t.Errorf("a certificate as a receipt: %v", err)
	}
}

// Who has the file, and not the person's name, learns no name from it, also not from what it prints.
func TestACertificatePrintsNothingOfItselfAndNamesNobody(t *testing.T) {
	v := load(t)
	file := v.file(t, "certificate-good-0")
	c, _, err := OpenCertificate(file, v.keys(t, false, false))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{*c, c, CertificateFacts{Opening: [32]byte(c.Opening)}} {
			if s := fmt.Sprintf(verb, x); !strings.HasPrefix(s, "[") || len(s) > len("[certificate]") {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
	if strings.Contains(string(file), "kim") || strings.Contains(c.IsOf([]byte("somebody@else.example")).Error(), "somebody") {
		t.Error("a name is said")
	}
}

// FuzzCertificate signs whatever text it is given by the ledger's own key: what a ledger that lies could.
// What is taken then is written as it is made, and is of one subject at most.
func FuzzCertificate(f *testing.F) {
	v := load(f)
	s := v.signer(f)
	k := v.keys(f, false, false)
	for _, one := range loadCertificates(f).Files {
		text, _, _ := strings.Cut(string(v.file(f, one.Name)), "\n\n")
		f.Add(text + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			return
		}
		c, _, err := OpenCertificate(file, k)
		if err != nil {
			for _, is := range certificateErrors {
				if errors.Is(err, is) {
					return
				}
			}
			t.Fatalf("an error of no kind: %v", err)
		}
		again, err := sign(certificateLine, c, s)
		if err != nil || string(again) != string(file) {
			t.Fatalf("a certificate has two ways to be written: %v", err)
		}
		if c.IsOf([]byte("kim@shop.example")) == nil && c.IsOf([]byte("kim@shop.exampl")) == nil {
			t.Fatal("it is of two members")
		}
	})
}
