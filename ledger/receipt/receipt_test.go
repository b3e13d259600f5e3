package receipt

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// vectors are what testdata/vectors.py made from the format page.
type vectors struct {
	Key        string `json:"key"`
	OtherKey   string `json:"other_key"`
	Witness    string `json:"witness"`
	Seed       string `json:"seed"`
	CosignedAt string `json:"cosigned_at"`
	Files      []struct {
		Name    string `json:"name"`
		Error   string `json:"error"` // empty: good
		Key     string `json:"key"`
		Witness bool   `json:"witness"`
	} `json:"files"`
}

var errorNames = map[string]error{
	"file": ErrFile, "signature": ErrSignature, "other_ledger": ErrOtherLedger, "entry": ErrEntry, "proof": ErrProof,
	"prk": ErrPRK, "content": ErrContent, "cosignature": ErrCosignature,
}

func load(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vectors) file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v *vectors) keys(t testing.TB, other, witness bool) (k Keys) {
	t.Helper()
	key := v.Key
	if other {
		key = v.OtherKey
	}
	var err error
	if k.Log, err = note.NewVerifier(key); err != nil {
		t.Fatal(err)
	}
	if witness {
		w, err := chain.ParseWitnessKey(v.Witness)
		if err != nil {
			t.Fatal(err)
		}
		k.Witnesses = append(k.Witnesses, w)
	}
	return k
}

func (v *vectors) signer(t testing.TB) note.Signer {
	t.Helper()
	seed, err := hex.DecodeString(v.Seed)
	if err != nil {
		t.Fatal(err)
	}
	s, vkey, err := chain.NewSigner("ledger.example/consent", [32]byte(seed))
	if err != nil || vkey != v.Key {
		t.Fatalf("the signer's key is %s: %v", vkey, err)
	}
	return s
}

func TestEachVectorIsTakenOrRefusedForTheReasonThatItNames(t *testing.T) {
	v := load(t)
	seen := map[string]int{}
	for _, f := range v.Files {
		_, _, err := Open(v.file(t, f.Name), v.keys(t, f.Key == "other_key", f.Witness))
		seen[f.Error]++
		if f.Error == "" {
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			continue
		}
		for name, is := range errorNames {
			if errors.Is(err, is) != (name == f.Error) {
				t.Errorf("%s: should fail for %s, and says: %v", f.Name, f.Error, err)
			}
		}
	}
	for name := range errorNames {
		if seen[name] == 0 {
			t.Errorf("no vector fails for %s", name)
		}
	}
	if seen[""] < 5 {
		t.Errorf("only %d vectors are good", seen[""])
	}
}

func TestAReceiptIsMadeToTheByteAsTheVectorsAre(t *testing.T) {
	v := load(t)
	s := v.signer(t)
	for _, name := range []string{"good-0", "good-1", "good-2", "good-3", "good-uncosigned"} {
		file := v.file(t, name)
		k := v.keys(t, false, false)
		r, c, err := Open(file, k)
		if err != nil {
			t.Fatal(err)
		}
		if want := 1; name != "good-uncosigned" && len(c.Unchecked) != want {
			t.Errorf("%s: the witness whose key was not given is not told as unchecked: %+v", name, c)
		}
		body, _, err := r.check(&r.Logged, k)
		if err != nil {
			t.Fatal(err)
		}
		event, err := consent.DecodeEvent(body)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := chain.ParseProof([]byte(r.Proof))
		if err != nil {
			t.Fatal(err)
		}
		_, again, err := Make(Entry{r.Entry, [32]byte(r.PRK), proof}, Facts{r.Member, r.Class, r.IssuedAt.Add(time.Millisecond), event, r.Record}, s)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(file) {
			t.Errorf("%s is made as\n%s", name, again)
		}
	}
}

func TestACosignatureIsToldWithItsTimeOnceItsKeyIsGiven(t *testing.T) {
	v := load(t)
	_, c, err := Open(v.file(t, "good-0"), v.keys(t, false, true))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Cosigned) != 1 || c.Cosigned[0].At.Format(time.RFC3339) != v.CosignedAt || c.Cosigned[0].Name != "witness.example/w1" || len(c.Unchecked) != 0 || c.Size != 4 {
		t.Errorf("what was checked is %+v", c)
	}
}

func TestAWitnessWhoseKeyIsGivenTwiceCountsOnce(t *testing.T) {
	v := load(t)
	k := v.keys(t, false, true)
	k.Witnesses = append(k.Witnesses, v.keys(t, false, true).Witnesses...)
	_, c, err := Open(v.file(t, "good-0"), k)
	if err != nil || len(c.Cosigned) != 1 || len(c.Unchecked) != 0 {
		t.Errorf("%v %+v", err, c)
	}
}

func TestNoByteOfAReceiptCanBeChangedPutInOrTakenOut(t *testing.T) {
	v := load(t)
	for name, witness := range map[string]bool{"good-0": false, "good-1": true} {
		k := v.keys(t, false, witness)
		file := v.file(t, name)
		if _, _, err := Open(file, k); err != nil {
			t.Fatal(err) // the control: unchanged it is good
		}
		refused := func(b []byte, what string, at int) {
			if _, _, err := Open(b, k); err == nil {
				t.Errorf("%s is good with byte %d %s", name, at, what)
			}
		}
		for i, c := range file {
			b := append([]byte(nil), file...)
			for _, to := range []byte{c ^ 1, c ^ 0x20, c ^ 0x80, ' ', '\n', 0} {
				if b[i] = to; to != c {
					refused(b, "changed", i)
				}
			}
			refused(append(append([]byte(nil), file[:i]...), file[i+1:]...), "taken out", i)
			refused(append(append(append([]byte(nil), file[:i]...), c), file[i:]...), "doubled", i)
		}
		refused(append(append([]byte(nil), file...), '\n'), "put after the end", len(file))
	}
}

func TestAReceiptPrintsNothingOfItself(t *testing.T) {
	v := load(t)
	r, _, err := Open(v.file(t, "good-0"), v.keys(t, false, false))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{*r, r.Disclosure, Entry{PRK: [32]byte(r.PRK)}, Facts{Member: r.Member}} {
			if s := strings.ToLower(fmt.Sprintf(verb, x)); !strings.HasPrefix(s, "[") || len(s) > len("[disclosure]") {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}

// FuzzOpen signs whatever text it is given by the ledger's own key: what a ledger that lies could. What
// is taken then is written as it is made, and says what its entry says.
func FuzzOpen(f *testing.F) {
	v := load(f)
	s := v.signer(f)
	k := v.keys(f, false, false)
	for _, one := range v.Files {
		text, _, _ := strings.Cut(string(v.file(f, one.Name)), "\n\n")
		f.Add(text + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			return
		}
		r, _, err := Open(file, k)
		if err != nil {
			known := false
			for _, is := range errorNames {
				known = known || errors.Is(err, is)
			}
			if !known {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := sign(receiptLine, r, s)
		if err != nil || string(again) != string(file) {
			t.Fatalf("a receipt has two ways to be written: %v", err)
		}
	})
}
