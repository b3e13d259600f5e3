package page

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// shout are names that can be told from what they stand for.
type shout struct{}

func (shout) Purpose(_, _, name, lang string) string   { return lang + ":PURPOSE:" + name }
func (shout) Item(_, _, name, lang string) string      { return lang + ":ITEM:" + name }
func (shout) Recipient(_, _, name, lang string) string { return lang + ":RECIPIENT:" + name }

// opened is a receipt of package receipt's vectors.
func opened(t testing.TB, name string) (*receipt.Receipt, []byte, receipt.Keys) {
	t.Helper()
	dir := filepath.Join("..", "..", "ledger", "receipt", "testdata")
	b, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Key string }
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	k := receipt.Keys{Log: verifier}
	r, _, err := receipt.Open(file, k)
	if err != nil {
		t.Fatal(err)
	}
	return r, file, k
}

var (
	saved = regexp.MustCompile(`download="receipt-\d+\.txt" href="data:text/plain;base64,([^"]+)"`)
	paths = regexp.MustCompile(`viewBox="0 0 (\d+) \d+"[^>]*>.*<path d="([^"]+)"`)
	moves = regexp.MustCompile(`M(\d+) (\d+)h1v1h-1z`)
)

func TestAPageHasTheFileAndItsDigestAsACodeThatOthersRead(t *testing.T) {
	for _, name := range []string{"good-0", "good-1", "good-2", "good-3"} {
		r, file, k := opened(t, name)
		page, err := Receipt(r, file, shout{}, English)
		if err != nil {
			t.Fatal(err)
		}
		m := saved.FindSubmatch(page)
		if m == nil {
			t.Fatalf("%s: there is no file to save", name)
		}
		b, err := base64.StdEncoding.DecodeString(html.UnescapeString(string(m[1])))
		if err != nil || !bytes.Equal(b, file) {
			t.Fatalf("%s: what is saved is not the file: %v", name, err)
		}
		if _, _, err := receipt.Open(b, k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sum := receipt.Digest(file)
		want := "sha256:" + hex.EncodeToString(sum[:])
		if got := scanned(t, page); got != want || !strings.Contains(string(page), want) {
			t.Errorf("%s: the code reads %q, and the digest is %s", name, got, want)
		}
	}
}

// scanned reads the QR code of a page with a library that did not write it.
func scanned(t *testing.T, page []byte) string {
	t.Helper()
	m := paths.FindSubmatch(page)
	if m == nil {
		t.Fatal("there is no code on the page")
	}
	var side int
	fmt.Sscan(string(m[1]), &side)
	const scale = 4
	img := image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, p := range moves.FindAllSubmatch(m[2], -1) {
		var x, y int
		fmt.Sscan(string(p[1]), &x)
		fmt.Sscan(string(p[2]), &y)
		for dx := range scale {
			for dy := range scale {
				img.SetGray(x*scale+dx, y*scale+dy, color.Gray{})
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	return read.GetText()
}

func TestAPageSaysInWordsOfItsLanguageWhatTheEntrySays(t *testing.T) {
	r, file, _ := opened(t, "good-0")
	for lang, says := range map[string][]string{
		English: {`<html lang="en">`, "Receipt of an entry", "en:PURPOSE:membership · agreed · Items: en:ITEM:email, en:ITEM:name", "en:PURPOSE:newsletter · refused", "2024-12-31 23:59:59 UTC", "ledger.example/consent", "confirmed to be old enough"},
		Korean:  {`<html lang="ko">`, "영수증", "ko:PURPOSE:membership · 동의함 · 항목: ko:ITEM:email, ko:ITEM:name", "동의하지 않음", "2024-12-31 23:59:59 UTC", "ledger.example/consent"},
	} {
		page, err := Receipt(r, file, shout{}, lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range says {
			if !strings.Contains(string(page), s) {
				t.Errorf("%s: the page does not say %q", lang, s)
			}
		}
	}
	page, err := Receipt(r, file, shout{}, Korean)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "Receipt of") || strings.Contains(string(page), "agreed") {
		t.Error("the Korean page has English on it")
	}
}

func TestNothingThatStandsInAnEntryIsMarkupOnThePage(t *testing.T) {
	r, file, _ := opened(t, "good-1")
	if r.Event.Method != "전화 <b>&" {
		t.Fatal("the vector has nothing hostile in it")
	}
	hostile := *r
	hostile.Event.Reason = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	hostile.Member = `"><script>`
	page, err := Receipt(&hostile, file, shout{}, English)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "<b>", "onerror=alert(1)>"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("the page has %s in it", bad)
		}
	}
	if !strings.Contains(string(page), "전화 &lt;b&gt;&amp;") {
		t.Error("control: what was hostile is not on the page at all")
	}
}

func TestNoValueMakesALineOrTurnsLettersRoundOnThePage(t *testing.T) {
	r, file, _ := opened(t, "good-0")
	old, plain := "a\nItem: phone · New: b", "it was asked for\nin writing"
	r.Event.Changes = []consent.ChangeView{{Item: "email", Old: &old}}
	r.Event.Reason = plain
	r.Event.Method = "by \u202eliam\u202c and \u2067mail"
	page, err := Receipt(r, file, shout{}, English)
	if err != nil {
		t.Fatal(err)
	}
	s := string(page)
	if !strings.Contains(s, plain) || !strings.Contains(s, "a ↵ Item: phone") {
		t.Error("control: what was put in is not on the page")
	}
	if strings.Contains(s, "a\nItem: phone") || strings.ContainsAny(s, "\u202e\u202c\u2067") || !strings.Contains(s, `by \u202eliam`) {
		t.Error("a value of an entry made a line of its own, or turned what stands after it")
	}
}

func TestEveryFieldOfAnEventHasAHeadingInBothLanguages(t *testing.T) {
	seen := 0
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() == "time" {
			return
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if w, ok := fields[name]; !ok || w.en == "" || w.ko == "" {
				t.Errorf("the field %s has no heading", name)
			}
			seen++
			walk(typ.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[consent.EventView]())
	if seen < 50 {
		t.Errorf("only %d fields were looked at", seen)
	}
	for k := consent.KindConsent; k.String() != "unknown"; k++ {
		if k == consent.KindOperator || k == consent.KindSignIn {
			continue // no member's
		}
		if _, ok := values["kind="+k.String()]; !ok {
			t.Errorf("the kind %s has no words", k)
		}
	}
}
