package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"testing"
)

// vectors.json comes from vectors.py, which shares no code with this package.
type vectorFile struct {
	Records     []vector
	Key         hexBytes
	Derive      map[string]hexBytes
	Ratchet     []hexBytes
	MAC         map[string]hexBytes
	Tags        map[string]hexBytes
	PaddedSizes map[string]int `json:"padded_sizes"`
}

type vector struct {
	Name, Outcome, Origin string
	Version               byte
	Key                   hexBytes
	Sealed                hexBytes
	SealedSHA256          hexBytes `json:"sealed_sha256"`
	BodySize              int      `json:"body_size"`
	BodySHA256            hexBytes `json:"body_sha256"`
	Randomness            hexBytes // salt | nonce; absent where there is nothing to seal
	Tag                   hexBytes
	PRK                   hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	*h = b
	return err
}

var outcomes = map[string]error{"ok": nil, "wrong key": ErrWrongKey, "altered": ErrAltered, "padding": ErrPadding}

func loadVectors(t testing.TB) *vectorFile {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range v.Records {
		if _, known := outcomes[r.Outcome]; !known {
			t.Fatalf("%s: unknown outcome %q", r.Name, r.Outcome)
		}
		seen[r.Outcome]++
	}
	for o := range outcomes {
		if seen[o] == 0 {
			t.Fatalf("no vector has outcome %q", o)
		}
	}
	return &v
}

func mustKey(t testing.TB, b []byte) Key {
	t.Helper()
	k, err := KeyFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stream is vectors.py's.
func stream(label string, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(label), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func digestOf(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }

func TestSealGivesTheBytesOfAnIndependentImplementation(t *testing.T) {
	checked := 0
	for _, v := range loadVectors(t).Records {
		if v.Randomness == nil {
			continue
		}
		checked++
		t.Run(v.Name, func(t *testing.T) {
			key, box := mustKey(t, v.Key), NewBox(v.Origin)
			body := stream(v.Name, v.BodySize)
			if !bytes.Equal(digestOf(body), v.BodySHA256) {
				t.Fatal("the test makes another body than vectors.py")
			}
			sealed, err := box.Seal([]byte("before"), bytes.NewReader(v.Randomness), v.Version, key, Tag(v.Tag), body)
			if err != nil {
				t.Fatal(err)
			}
			sealed, ok := bytes.CutPrefix(sealed, []byte("before"))
			if !ok {
				t.Fatal("Seal changed what dst held")
			}
			if v.Sealed != nil && !bytes.Equal(sealed, v.Sealed) {
				t.Fatalf("sealed\n%x\nwant\n%x", sealed, []byte(v.Sealed))
			}
			if !bytes.Equal(digestOf(sealed), v.SealedSHA256) {
				t.Fatalf("digest of the sealed record %x, want %x", digestOf(sealed), []byte(v.SealedSHA256))
			}
			prk, err := PRK(key, sealed)
			if err != nil || !bytes.Equal(prk[:], v.PRK) {
				t.Fatalf("PRK = %x, %v, want %x", prk, err, []byte(v.PRK))
			}
			for how, open := range map[string]func([]byte) ([]byte, error){
				"Open":    func(dst []byte) ([]byte, error) { return box.Open(dst, v.Version, key, sealed) },
				"OpenPRK": func(dst []byte) ([]byte, error) { return box.OpenPRK(dst, v.Version, prk, sealed) },
			} {
				got, err := open([]byte("before"))
				if err != nil || !bytes.Equal(got, append([]byte("before"), body...)) {
					t.Errorf("%s: error %v, or not the body", how, err)
				}
			}
		})
	}
	if checked < 15 {
		t.Errorf("only %d records were sealed", checked)
	}
}

func TestOpenAnswersEachVectorAsItSays(t *testing.T) {
	checked := 0
	for _, v := range loadVectors(t).Records {
		if v.Sealed == nil && v.Randomness != nil {
			continue // a long one: sealed and opened above
		}
		checked++
		t.Run(v.Name, func(t *testing.T) {
			if !bytes.Equal(digestOf(v.Sealed), v.SealedSHA256) {
				t.Fatal("vectors.json was changed by hand")
			}
			dst := make([]byte, 3, 1<<17)
			got, err := NewBox(v.Origin).Open(dst, v.Version, mustKey(t, v.Key), v.Sealed)
			if !errors.Is(err, outcomes[v.Outcome]) {
				t.Fatalf("error %v, want %v", err, outcomes[v.Outcome])
			}
			if v.Outcome != "ok" {
				if got != nil {
					t.Error("a refused record gave a body")
				}
				if !isZero(dst[:cap(dst)]) {
					t.Error("a refused record left bytes in dst's spare capacity")
				}
				return
			}
			if got = got[3:]; len(got) != v.BodySize || !bytes.Equal(digestOf(got), v.BodySHA256) {
				t.Errorf("another body: %x", got)
			}
		})
	}
	if checked < 30 {
		t.Errorf("only %d records were opened", checked)
	}
}

// The record was made so that its GCM tag holds under two keys. Without the
// commitment each of them would open it, to two texts.
func TestARecordThatGCMAcceptsUnderTwoKeysOpensUnderOne(t *testing.T) {
	checked := 0
	for _, v := range loadVectors(t).Records {
		if v.Name != "two-faced record, its own key" && v.Name != "two-faced record, the other key" {
			continue
		}
		checked++
		prk, err := hkdf.Extract(sha256.New, v.Key, v.Sealed[saltAt:commitmentAt])
		if err != nil {
			t.Fatal(err)
		}
		okm, err := hkdf.Expand(sha256.New, prk, "consentledger/entry/v1"+v.Origin, 64)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(okm[:32])
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		aad := append([]byte{v.Version}, v.Sealed[:nonceAt]...)
		if _, err := gcm.Open(nil, v.Sealed[nonceAt:ciphertextAt], v.Sealed[ciphertextAt:], aad); err != nil {
			t.Errorf("%s: GCM by itself refuses it, so the vector proves nothing", v.Name)
		}
		if _, err := NewBox(v.Origin).Open(nil, v.Version, mustKey(t, v.Key), v.Sealed); !errors.Is(err, outcomes[v.Outcome]) {
			t.Errorf("%s: error %v, want %v", v.Name, err, outcomes[v.Outcome])
		}
	}
	if checked != 2 {
		t.Fatalf("%d of 2 vectors were there", checked)
	}
}

func TestDerivedKeysTagsAndMACsAreThoseOfAnIndependentImplementation(t *testing.T) {
	v := loadVectors(t)
	key := mustKey(t, v.Key)
	for info, want := range v.Derive {
		if got := key.Derive(info).AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("Derive(%q) = %x, want %x", info, got, []byte(want))
		}
	}
	k := key
	for i, want := range v.Ratchet {
		k = k.Next()
		if got := k.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("step %d of the ratchet = %x, want %x", i+1, got, []byte(want))
		}
	}
	for text, want := range v.MAC {
		half := len(text) / 2
		for _, parts := range [][][]byte{{[]byte(text)}, {[]byte(text[:half]), []byte(text[half:])}} {
			if got := key.MAC(parts...); !bytes.Equal(got[:], want) {
				t.Errorf("MAC of %d parts of %q = %x, want %x", len(parts), text, got, []byte(want))
			}
		}
	}
	tagger := NewTagger(key)
	for range 2 { // its state must not carry over
		for index, want := range v.Tags {
			i, err := strconv.ParseUint(index, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := tagger.Tag(i); !bytes.Equal(got[:], want) {
				t.Errorf("Tag(%d) = %x, want %x", i, got, []byte(want))
			}
		}
	}
	if len(v.Derive) == 0 || len(v.Ratchet) == 0 || len(v.MAC) == 0 || len(v.Tags) == 0 {
		t.Error("vectors.json lacks a section")
	}
}

func TestPaddedSizesAreThoseOfAnIndependentImplementation(t *testing.T) {
	v := loadVectors(t)
	for size, want := range v.PaddedSizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := PaddedSize(n); got != want || err != nil {
			t.Errorf("PaddedSize(%d) = %d, %v, want %d", n, got, err, want)
		}
	}
	if len(v.PaddedSizes) < 20 {
		t.Errorf("only %d sizes", len(v.PaddedSizes))
	}
}
