package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func keys() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		b := rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key")
		b[rapid.IntRange(0, KeySize-1).Draw(t, "which byte is not zero")] |= 1
		k, err := KeyFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		return k
	})
}

// leaks says whether text shows the bytes of k in one of the ways fmt and the
// encoders have.
func leaks(text string, k Key) bool {
	raw := string(k.b[:])
	spaced := strings.Trim(fmt.Sprint(k.b), "[]")
	comma := strings.ReplaceAll(spaced, " ", ",")
	for _, form := range []string{
		raw, hex.EncodeToString(k.b[:]), strings.ToUpper(hex.EncodeToString(k.b[:])), spaced, comma,
		strings.Trim(fmt.Sprintf("%x", k.b[:4]), "[]"),
		fmt.Sprintf("%#v", k.b[:])[len("[]byte{"):][:20],
		strings.Trim(fmt.Sprintf("%q", raw), `"`),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestAKeyPrintsAsKeyUnderEveryVerb(t *testing.T) {
	k := mustKey(t, stream("printed", KeySize))
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %b %o %O %c %U %e %E %f %F %g %G %t %z %32v %-5s %.3s %+q %#x") {
		if got := fmt.Sprintf(verb, k); got != "[key]" {
			t.Errorf("%s gives %q", verb, got)
		}
		if got := fmt.Sprintf(verb, &k); got != "[key]" {
			t.Errorf("%s of a pointer gives %q", verb, got)
		}
	}
	noVerb := t.Name()[:0] // vet and staticcheck would see through a constant
	for what, got := range map[string]string{
		"Sprint": fmt.Sprint(k), "Sprintln": strings.TrimSpace(fmt.Sprintln(k)), "String": k.String(), "GoString": k.GoString(),
		"Errorf": fmt.Errorf("%v", k).Error(), "an argument too many": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf(noVerb, k), "%!(EXTRA seal.Key="), ")"),
	} {
		if got != "[key]" {
			t.Errorf("%s gives %q", what, got)
		}
	}
}

func TestAKeyInsideOtherValuesPrintsAsKey(t *testing.T) {
	k := mustKey(t, stream("printed", KeySize))
	type holder struct {
		Name string
		Key  Key
		Next *holder
	}
	type embedding struct{ Key }
	h := holder{"h", k, nil}
	for _, v := range []any{h, &h, []Key{k}, [1]Key{k}, map[string]Key{"a": k}, map[Key]string{k: "a"}, []any{k}, struct{ K *Key }{&k}, embedding{k}, []holder{h}} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d") {
			if got := fmt.Sprintf(verb, v); leaks(got, k) {
				t.Errorf("%s of %T shows the key: %s", verb, v, got)
			}
		}
	}
	for _, verb := range strings.Fields("%v %+v %#v") {
		if got := fmt.Sprintf(verb, holder{"h", k, &h}); leaks(got, k) {
			t.Errorf("%s of a struct that points to another shows the key: %s", verb, got)
		}
	}
	if got := fmt.Sprintf("%v", h.Key); got != "[key]" {
		t.Errorf("a field gives %q", got)
	}
	if got, want := fmt.Sprintf("%+v", struct{ K Key }{k}), "{K:[key]}"; got != want {
		t.Errorf("a struct gives %q, want %q", got, want)
	}
}

// The control of the tests around it, and the limits that Key's documentation
// states: if fmt ever asks here too, the documentation can promise more.
func TestWhereFmtDoesNotAskAKeyHowItWantsToBePrinted(t *testing.T) {
	k := mustKey(t, stream("printed", KeySize))
	type holder struct {
		Key  Key
		Next *holder
	}
	for verb, v := range map[string]any{
		"%v": struct{ k Key }{k}, "%+v": struct{ k Key }{k}, "%#v": struct{ k Key }{k}, "%d": struct{ k Key }{k}, "%x": struct{ k Key }{k},
		"%p": k, "%w": k, "%s": holder{k, &holder{k, nil}},
	} {
		if got := fmt.Sprintf(verb, v); !leaks(got, k) {
			t.Errorf("%s: the search for a key's bytes does not find them in %s", verb, got)
		}
	}
}

func TestAKeyIsNotInALog(t *testing.T) {
	k := mustKey(t, stream("logged", KeySize))
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var log strings.Builder
		slog.New(handler(&log)).Info("message", "key", k, "pointer", &k, "struct", struct{ Key Key }{k}, slog.Group("group", "key", k))
		if leaks(log.String(), k) {
			t.Errorf("%s: the log shows the key: %s", name, &log)
		}
		if n := strings.Count(log.String(), "[key]"); n < 3 {
			t.Errorf("%s: [key] stands %d times in %s", name, n, &log)
		}
		log.Reset()
		slog.New(handler(&log)).Info("message", "key", hex.EncodeToString(k.b[:]))
		if !leaks(log.String(), k) {
			t.Errorf("%s: the search for a key's bytes does not find them in %s", name, &log)
		}
	}
}

func TestAKeyRefusesToBeMarshalled(t *testing.T) {
	k := mustKey(t, stream("marshalled", KeySize))
	for name, marshal := range map[string]func() ([]byte, error){
		"json":          func() ([]byte, error) { return json.Marshal(k) },
		"json pointer":  func() ([]byte, error) { return json.Marshal(&k) },
		"json field":    func() ([]byte, error) { return json.Marshal(struct{ K Key }{k}) },
		"json map key":  func() ([]byte, error) { return json.Marshal(map[Key]int{k: 1}) },
		"MarshalJSON":   k.MarshalJSON,
		"MarshalText":   k.MarshalText,
		"MarshalBinary": k.MarshalBinary,
		"gob":           func() ([]byte, error) { var b bytes.Buffer; return b.Bytes(), gob.NewEncoder(&b).Encode(k) },
		"gob in a struct": func() ([]byte, error) {
			var b bytes.Buffer
			return b.Bytes(), gob.NewEncoder(&b).Encode(struct{ K Key }{k})
		},
	} {
		b, err := marshal()
		if err == nil || leaks(string(b), k) || leaks(err.Error(), k) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for name, target := range map[string]any{"a key": new(Key), "a field": new(struct{ K Key })} {
		text := map[string]string{"a key": `"AAAA"`, "a field": `{"K":"AAAA"}`}[name]
		if err := json.Unmarshal([]byte(text), target); err == nil {
			t.Errorf("%s was unmarshalled from JSON", name)
		}
	}
}

func TestAKeyIsExactly32BytesAndNotAllZero(t *testing.T) {
	for _, n := range []int{0, 1, 16, 31, 33, 64} {
		if _, err := KeyFromBytes(stream("key", n)); err == nil {
			t.Errorf("%d bytes made a key", n)
		}
	}
	if _, err := KeyFromBytes(make([]byte, KeySize)); err == nil {
		t.Error("32 zero bytes made a key")
	}
	for i := range KeySize {
		b := make([]byte, KeySize)
		b[i] = 0x80
		k, err := KeyFromBytes(b)
		if err != nil || !bytes.Equal(k.AppendTo([]byte{7}), append([]byte{7}, b...)) {
			t.Errorf("a key with only byte %d set: %v", i, err)
		}
	}
}

func TestNewKeyTakesItsBytesFromTheGivenSource(t *testing.T) {
	want := stream("random", KeySize)
	k, err := NewKey(iotest.OneByteReader(bytes.NewReader(want)))
	if err != nil || !bytes.Equal(k.AppendTo(nil), want) {
		t.Errorf("%v, or other bytes", err)
	}
	broken := errors.New("no entropy")
	if k, err := NewKey(iotest.ErrReader(broken)); !errors.Is(err, broken) || !k.IsZero() {
		t.Errorf("a failing source: %v", err)
	}
	if _, err := NewKey(bytes.NewReader(want[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends: %v", err)
	}
	if _, err := NewKey(bytes.NewReader(make([]byte, KeySize))); !errors.Is(err, errRandomness) {
		t.Errorf("a source of zero bytes: %v", err)
	}
}

func TestClearWipesOneCopyOfAKey(t *testing.T) {
	k := mustKey(t, stream("cleared", KeySize))
	other := k
	k.Clear()
	if !k.IsZero() || k.b != [KeySize]byte{} {
		t.Error("the cleared key is not zero")
	}
	if other.IsZero() {
		t.Error("clearing one copy cleared another")
	}
}

func TestKeysAreEqualIfTheirBytesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "k")
		same, other := k, k
		other.b[rapid.IntRange(0, KeySize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if !k.Equal(same) || k.Equal(other) || k.IsZero() || !(Key{}).IsZero() {
			t.Fatal("Equal or IsZero is wrong")
		}
	})
}

// RFC 5869, appendix A, test cases 1 and 3, checks the tests' oracle; the property
// checks the package against it.
func TestDeriveAndNextAreHKDF(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ikm := bytes.Repeat([]byte{0x0b}, 22)
	for _, v := range []struct{ salt, info, okm string }{
		{"000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{"", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
	} {
		okm, err := hkdf.Key(sha256.New, ikm, unhex(v.salt), string(unhex(v.info)), 42)
		if err != nil || hex.EncodeToString(okm) != v.okm {
			t.Fatalf("the oracle is wrong: %x, %v", okm, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		k, info := keys().Draw(t, "k"), rapid.String().Draw(t, "info")
		want, err := hkdf.Key(sha256.New, k.b[:], nil, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Derive(info); !bytes.Equal(got.b[:], want) {
			t.Fatalf("Derive = %x, want %x", got.b, want)
		}
		want, err = hkdf.Expand(sha256.New, k.b[:], "consentledger/ratchet/v1", 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Next(); !bytes.Equal(got.b[:], want) {
			t.Fatalf("Next = %x, want %x", got.b, want)
		}
	})
}

func TestDerivingFromTheZeroKeyPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"Derive": func() { Key{}.Derive("x") }, "Next": func() { Key{}.Next() },
		"MAC": func() { Key{}.MAC([]byte("x")) }, "NewTagger": func() { NewTagger(Key{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of the zero Key gave a result", name)
				}
			}()
			f()
		}()
	}
}

func TestTagDoesNotAllocate(t *testing.T) {
	tagger := NewTagger(mustKey(t, stream("key", KeySize)))
	tagger.Tag(0) // the first one saves HMAC's state
	i := uint64(0)
	if n := testing.AllocsPerRun(100, func() { tagger.Tag(i); i++ }); n != 0 {
		t.Errorf("%v allocations a tag, want 0", n)
	}
}

func BenchmarkDerive(b *testing.B) {
	k, err := NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		k.Derive(tagInfo)
	}
}

func BenchmarkNext(b *testing.B) {
	k, err := NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		k = k.Next()
	}
}

func BenchmarkNewTagger(b *testing.B) {
	k, err := NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		NewTagger(k)
	}
}

func BenchmarkTag(b *testing.B) {
	k, err := NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	tagger, i := NewTagger(k), uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		tagger.Tag(i)
		i++
	}
}
