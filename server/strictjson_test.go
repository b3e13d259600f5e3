package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"consentledger/server/api"
)

// sample has every kind of value that bodies are made of.
type sample struct {
	Text  string   `json:"text"`
	Maybe *string  `json:"maybe,omitempty"`
	Flag  bool     `json:"flag,omitempty"`
	Int   int64    `json:"int,omitempty"`
	Uint  uint64   `json:"uint,omitempty"`
	List  []string `json:"list,omitempty"`
	Inner *inner   `json:"inner,omitempty"`
	Rows  []inner  `json:"rows,omitempty"`
	embedded
}

type inner struct {
	Name string  `json:"name"`
	Down []inner `json:"down,omitempty"`
}

type embedded struct {
	Extra string `json:"extra,omitempty"`
}

// inner holds itself, which shapeOf would follow for ever: tie the knot by hand.
var shapeSample = func() *shape {
	inside := &shape{kind: kindObject, required: 1}
	name := &shape{kind: kindString, filled: true}
	inside.fields = []field{{"name", name, []int{0}}, {"down", &shape{kind: kindArray, elem: inside}, []int{1}}}
	pointed := *inside
	pointed.pointer = true
	s := &shape{kind: kindObject}
	for i := range reflect.TypeFor[sample]().NumField() {
		f := reflect.TypeFor[sample]().Field(i)
		tag := strings.TrimSuffix(f.Tag.Get("json"), ",omitempty")
		switch tag {
		case "inner":
			s.fields = append(s.fields, field{tag, &pointed, []int{i}})
		case "rows":
			s.fields = append(s.fields, field{tag, &shape{kind: kindArray, elem: inside}, []int{i}})
		case "":
			s.fields = append(s.fields, field{"extra", &shape{kind: kindString, filled: true}, []int{i, 0}})
		default:
			one := shapeOfType(f.Type)
			one.filled = f.Type.Kind() == reflect.String
			s.fields = append(s.fields, field{tag, one, []int{i}})
		}
	}
	s.required = 1
	return s
}()

// The expectations are RFC 8259 (sections 2 to 8) and RFC 7493 (sections 2.1
// to 2.3), which are also what encoding/json/v2 does; the last column is ours.
var strictCases = []struct {
	name, in, code, path string
}{
	{"the least", `{"text":"a"}`, "", ""},
	{"everything", `{"text":"a","maybe":"","flag":true,"int":-5,"uint":5,"list":["x","y"],"inner":{"name":"n"},"rows":[{"name":"r"}],"extra":"e"}`, "", ""},
	{"white space everywhere", " \t\r\n{ \"text\" : \"a\" , \"list\" : [ \"x\" , \"y\" ] , \"inner\" : { \"name\" : \"n\" } } \n", "", ""},
	{"escapes", `{"text":"\"\\\/\n\r\t\u0041\uD83D\ude00"}`, "", ""},
	{"joiners", "{\"text\":\"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f52c\"}", "", ""},
	{"a mark of direction", "{\"text\":\"a\u200f\"}", "", ""},
	{"an escaped field name", `{"te\u0078t":"a"}`, "", ""},
	{"a replacement character that was sent", "{\"text\":\"\ufffd\\uFFFD\"}", "", ""},
	{"an empty list", `{"text":"a","list":[ ]}`, "empty_value", "list"},
	{"an empty list of objects", `{"text":"a","rows":[]}`, "empty_value", "rows"},
	{"an empty text in a list", `{"text":"a","list":["x",""]}`, "empty_value", "list[1]"},
	{"the largest integer", `{"text":"a","int":9007199254740991,"uint":9007199254740991}`, "", ""},
	{"minus zero", `{"text":"a","int":-0}`, "", ""},

	{"nothing", ``, "empty_body", ""},
	{"white space only", " \n", "empty_body", ""},
	{"a byte order mark", "\ufeff{\"text\":\"a\"}", "malformed_json", ""},
	{"another value", `[]`, "wrong_type", ""},
	{"null", `null`, "null_value", ""},
	{"no end", `{"text":"a"`, "malformed_json", ""},
	{"no end of a string", `{"text":"a`, "malformed_json", "text"},
	{"a comma at the end", `{"text":"a",}`, "malformed_json", ""},
	{"a comma at the end of a list", `{"text":"a","list":["x",]}`, "malformed_json", "list[1]"},
	{"two commas", `{"text":"a",,"flag":true}`, "malformed_json", ""},
	{"no colon", `{"text" "a"}`, "malformed_json", "text"},
	{"single quotes", `{'text':'a'}`, "malformed_json", ""},
	{"a bare word", `{"text":a}`, "malformed_json", "text"},
	{"a comment", `{"text":"a"/**/}`, "malformed_json", ""},
	{"a control character", "{\"text\":\"a\nb\"}", "malformed_json", "text"},
	{"an unknown escape", `{"text":"\x41"}`, "malformed_json", "text"},
	{"a short escape", `{"text":"\u004"}`, "malformed_json", "text"},
	{"another white space", "{\"text\":\v\"a\"}", "malformed_json", "text"},
	{"truth in another case", `{"text":"a","flag":True}`, "malformed_json", "flag"},
	{"two values", `{"text":"a"}{"text":"b"}`, "trailing_data", ""},
	{"a zero byte at the end", "{\"text\":\"a\"}\x00", "trailing_data", ""},

	{"the same name twice", `{"text":"a","text":"a"}`, "duplicate_field", "text"},
	{"the same name once escaped", `{"text":"a","\u0074ext":"b"}`, "duplicate_field", "text"},
	{"the same name twice further in", `{"text":"a","rows":[{"name":"r"},{"name":"r","name":"s"}]}`, "duplicate_field", "rows[1].name"},
	{"a name in another case", `{"Text":"a"}`, "wrong_case_field", "text"},
	{"a name that folds to it", "{\"text\":\"a\",\"li\u017ft\":[]}", "wrong_case_field", "list"},
	{"an unknown name", `{"text":"a","kim@example.com":1}`, "unknown_field", ""},
	{"an unknown name further in", `{"text":"a","inner":{"name":"n","other":1}}`, "unknown_field", "inner"},
	{"a name that is missing", `{"flag":true}`, "missing_field", "text"},
	{"a name that is missing further in", `{"text":"a","rows":[{}]}`, "missing_field", "rows[0].name"},
	{"an empty text", `{"text":""}`, "empty_value", "text"},
	{"null for a list", `{"text":"a","list":null}`, "null_value", "list"},
	{"null in a list", `{"text":"a","list":[null]}`, "null_value", "list[0]"},
	{"a number for a text", `{"text":1}`, "wrong_type", "text"},
	{"a text for a number", `{"text":"a","int":"1"}`, "wrong_type", "int"},
	{"an object for a list", `{"text":"a","list":{}}`, "wrong_type", "list"},

	{"a byte that is no UTF-8", "{\"text\":\"a\xff\"}", "invalid_utf8", "text"},
	{"an overlong slash", "{\"text\":\"\xc0\xaf\"}", "invalid_utf8", "text"},
	{"a surrogate as UTF-8", "{\"text\":\"\xed\xa0\x80\"}", "invalid_utf8", "text"},
	{"a cut character", "{\"text\":\"\xe2\x82\"}", "invalid_utf8", "text"},
	{"a name that is no UTF-8", "{\"te\xffxt\":\"a\"}", "invalid_utf8", ""},
	{"half a pair", `{"text":"\ud83d"}`, "lone_surrogate", "text"},
	{"half a pair and a letter", `{"text":"\ud83d\u0041"}`, "lone_surrogate", "text"},
	{"the second half alone", `{"text":"\ude00"}`, "lone_surrogate", "text"},
	{"a pair the wrong way round", `{"text":"\ude00\ud83d"}`, "lone_surrogate", "text"},

	{"a null character", `{"text":"a\u0000b"}`, "hidden_character", "text"},
	{"a backspace", `{"text":"a\b"}`, "hidden_character", "text"},
	{"a form feed", `{"text":"\f"}`, "hidden_character", "text"},
	{"a delete character", "{\"text\":\"a\x7f\"}", "hidden_character", "text"},
	{"a control character of the second block", "{\"text\":\"a\u0085\"}", "hidden_character", "text"},
	{"a text that runs backwards", "{\"text\":\"a\u202eb\"}", "hidden_character", "text"},
	{"an escape that runs backwards", `{"text":"a\u202Eb"}`, "hidden_character", "text"},
	{"an isolate", "{\"text\":\"a\",\"list\":[\"x\",\"\u2066y\"]}", "hidden_character", "list[1]"},
	{"a zero width space", "{\"text\":\"a\u200bb\"}", "hidden_character", "text"},
	{"a byte order mark in a text", "{\"text\":\"\ufeffa\"}", "hidden_character", "text"},
	{"a noncharacter", `{"text":"\uffff"}`, "hidden_character", "text"},
	{"a noncharacter of the last plane", "{\"text\":\"\U0010fffe\"}", "hidden_character", "text"},
	{"a tag", "{\"text\":\"a\U000e0041\"}", "hidden_character", "text"},

	{"beyond 2^53", `{"text":"a","int":9007199254740992}`, "number_out_of_range", "int"},
	{"beyond 2^64", `{"text":"a","uint":18446744073709551616}`, "number_out_of_range", "uint"},
	{"far beyond", `{"text":"a","uint":` + strings.Repeat("9", 400) + `}`, "number_out_of_range", "uint"},
	{"negative where it cannot be", `{"text":"a","uint":-1}`, "number_out_of_range", "uint"},
	{"a fraction", `{"text":"a","int":1.0}`, "not_an_integer", "int"},
	{"an exponent", `{"text":"a","int":1e3}`, "not_an_integer", "int"},
	{"a leading zero", `{"text":"a","int":01}`, "malformed_json", "int"},
	{"a plus", `{"text":"a","int":+1}`, "malformed_json", "int"},
	{"a minus alone", `{"text":"a","int":-}`, "malformed_json", "int"},

	{"32 deep", deep(32), "", ""},
	{"33 deep", deep(33), "nesting_too_deep", ""},
	{"34 deep", deep(34), "nesting_too_deep", ""},
	{"far too deep where a text belongs", `{"text":` + strings.Repeat("[", 100_000), "nesting_too_deep", "text"},
	{"far too deep behind names", `{"text":` + strings.Repeat(`{"a":[`, 40), "nesting_too_deep", "text"},
}

// deep is levels deep: the body is one, and then lists and objects by turns.
func deep(levels int) string {
	in := `{"name":"n"}`
	for range (levels - 2 - levels%2) / 2 {
		in = `{"name":"n","down":[` + in + `]}`
	}
	if levels%2 == 0 {
		return `{"text":"a","inner":` + in + `}`
	}
	return `{"text":"a","rows":[` + in + `]}`
}

func TestStrictJSONIsWhatTheRFCsSay(t *testing.T) {
	for _, c := range strictCases {
		t.Run(c.name, func(t *testing.T) {
			var got sample
			f := shapeSample.decode([]byte(c.in), &got)
			if c.code == "" {
				if f != nil {
					t.Fatalf("refused with %s at %q, byte %d", f.code, f.path, f.offset)
				}
				return
			}
			if f == nil {
				t.Fatal("was accepted")
			}
			if f.code != c.code || c.path != "" && f.path != c.path || f.offset > len(c.in) {
				t.Fatalf("%s at %q, byte %d; want %s at %q", f.code, f.path, f.offset, c.code, c.path)
			}
			if _, known := codes[f.code]; !known {
				t.Fatalf("%s has no status", f.code)
			}
		})
	}
}

func TestAFaultNamesNothingThatWasSent(t *testing.T) {
	for _, in := range []string{
		`{"text":"a","kim@example.com":1}`, `{"kim@example.com":"text"}`, `{"text":"kim@example.com`,
		`{"text":{"kim@example.com":1}}`, `{"text":"a","list":["kim@example.com",1]}`, `{"text":"kim@example.com"}kim@example.com`,
	} {
		f := shapeSample.decode([]byte(in), new(sample))
		if f == nil {
			t.Fatalf("%s was accepted", in)
		}
		if p := string(f.problem().appendTo(nil, "req", english)); strings.Contains(p, "kim") || strings.Contains(p, "example") {
			t.Errorf("the problem repeats what was sent: %s", p)
		}
	}
}

// acceptable says what should be accepted, the slow way: encoding/json and its
// tokens for the grammar, then every rule by itself.
func acceptable(b []byte) bool {
	if !utf8.Valid(b) || !json.Valid(b) || loneSurrogates(b) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var top any
	ok := walk(d, reflect.TypeFor[sample](), 0, false, &top)
	_, err := d.Token()
	return ok && err == io.EOF
}

var escapes = regexp.MustCompile(`\\(u[fF][fF][fF][dD]|.)`)

// loneSurrogates compares how many replacement characters encoding/json makes with how many were sent.
func loneSurrogates(b []byte) bool {
	made, sent := 0, strings.Count(string(b), "\ufffd")
	for _, m := range escapes.FindAll(b, -1) {
		if len(m) == 6 {
			sent++
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if err != nil {
			return made != sent
		}
		if s, ok := t.(string); ok {
			made += strings.Count(s, "\ufffd")
		}
	}
}

// unseen is written down a second time, by code points and not by the tables that the server has.
var unseen = regexp.MustCompile("[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F-\\x{9F}\\x{200B}\\x{2028}-\\x{202E}\\x{2060}-\\x{2069}\\x{FDD0}-\\x{FDEF}\\x{FEFF}\\x{FFF9}-\\x{FFFB}" +
	"\\x{E0000}-\\x{E007F}" + func() (planes string) {
	for p := range 17 {
		planes += fmt.Sprintf("\\x{%X}\\x{%X}", p<<16|0xFFFE, p<<16|0xFFFF)
	}
	return planes
}() + "]")

func walk(d *json.Decoder, t reflect.Type, depth int, mayBeEmpty bool, _ *any) bool {
	if t.Kind() == reflect.Pointer {
		return walk(d, t.Elem(), depth, true, nil)
	}
	token, err := d.Token()
	if err != nil {
		return false
	}
	switch v := token.(type) {
	case string:
		return t.Kind() == reflect.String && (v != "" || mayBeEmpty) && !unseen.MatchString(v)
	case bool:
		return t.Kind() == reflect.Bool
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return false
		}
		digits := strings.TrimPrefix(v.String(), "-")
		small := len(digits) < 16 || len(digits) == 16 && digits <= "9007199254740991"
		return small && (t.Kind() == reflect.Int64 || t.Kind() == reflect.Uint64 && digits == v.String())
	case json.Delim:
		if depth++; depth > 32 {
			return false
		}
		switch {
		case v == '[' && t.Kind() == reflect.Slice:
			if !d.More() {
				return false
			}
			for d.More() {
				if !walk(d, t.Elem(), depth, false, nil) {
					return false
				}
			}
		case v == '{' && t.Kind() == reflect.Struct:
			seen := map[string]bool{}
			for d.More() {
				name, err := d.Token()
				if err != nil || seen[name.(string)] {
					return false
				}
				seen[name.(string)] = true
				var of reflect.Type
				for _, f := range reflect.VisibleFields(t) {
					if strings.TrimSuffix(f.Tag.Get("json"), ",omitempty") == name && !f.Anonymous {
						of = f.Type
					}
				}
				if of == nil || !walk(d, of, depth, false, nil) {
					return false
				}
			}
			for _, f := range reflect.VisibleFields(t) {
				if tag := f.Tag.Get("json"); tag != "" && !strings.HasSuffix(tag, ",omitempty") && len(f.Index) == 1 && !seen[tag] {
					return false
				}
			}
		default:
			return false
		}
		_, err := d.Token()
		return err == nil
	}
	return false
}

// FuzzStrictJSON: it accepts exactly what it should, and means by it what encoding/json means.
func FuzzStrictJSON(f *testing.F) {
	for _, c := range strictCases {
		if len(c.in) < 5000 {
			f.Add([]byte(c.in))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var got, want sample
		fault := shapeSample.decode(in, &got)
		if (fault == nil) != acceptable(in) {
			t.Fatalf("fault %+v, and it should be accepted: %v", fault, acceptable(in))
		}
		if fault != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(in))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
			t.Fatalf("encoding/json means something else:\n%s", diff)
		}
	})
}

func FuzzBodies(f *testing.F) {
	for _, b := range bodies {
		f.Add([]byte(b))
	}
	f.Add([]byte(consentLine()))
	f.Add([]byte(`{"member_id":"m","purposes":["p"],"items":["i"],"method":"button","occurred_at":"2025-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"recipient":"r","purpose":"p","items":["i"],"form":"anonymised","basis":"b","reference":"o","occurred_at":"2025-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"member_id":"m","policy":"p","policy_version":"v","decisions":[{"purpose":"p","decision":"granted"}],"method":"m","locale":"ko","occurred_at":"2025-01-01T00:00:00Z","birth_date":"2000-02-29","guardian":{"reference":"r","method":"m","verified_at":"2025-01-01T00:00:00Z"},"shown_digest":"` + strings.Repeat("ab", 32) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, shapeConsent, func(b []byte) *problem { _, p := decodeConsent(b); return p }, new(api.Consent))
		same(t, b, shapeWithdrawal, func(b []byte) *problem { _, p := decodeWithdrawal(b); return p }, new(api.Withdrawal))
		same(t, b, shapeCorrection, func(b []byte) *problem { _, p := decodeCorrection(b); return p }, new(api.Correction))
		same(t, b, shapeOutcome, func(b []byte) *problem { _, p := decodeOutcome(b, "cor_1"); return p }, new(api.CorrectionOutcome))
		same(t, b, shapeDisclosure, func(b []byte) *problem { _, p := decodeDisclosure(b); return p }, new(api.Disclosure))
		same(t, b, shapeQuestion, func(b []byte) *problem { _, p := decodeQuestion(b); return p }, new(api.Question))
		same(t, b, shapeLookup, func(b []byte) *problem { _, p := decodeLookup(b); return p }, new(api.Lookup))
		same(t, b, shapeNewKey, func(b []byte) *problem { _, p := decodeNewKey(b); return p }, new(api.NewKey))

		k, member := peek(b)
		if _, _, p := decodeLine(k, b); p == nil {
			var head struct {
				Type   string `json:"type"`
				Member string `json:"member_id"`
			}
			if err := json.Unmarshal(b, &head); err != nil || lineKindOf([]byte(head.Type)) != k || head.Member != "" && fnv1a([]byte(head.Member)) != member {
				t.Fatalf("the line was taken for type %d of member %d", k, member)
			}
		}
	})
}

// same checks that a decoder takes only what encoding/json takes, that both
// read the same, and that every problem has a code with a status.
func same[T any](t *testing.T, b []byte, s *shape, decode func([]byte) *problem, in *T) {
	t.Helper()
	if p := decode(b); p != nil {
		if _, known := codes[p.code]; !known || p.status != 400 || p.detailIn(english) == "" {
			t.Fatalf("%T: problem %+v", in, p)
		}
		return
	}
	var want T
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%T: encoding/json refuses what was accepted: %v", in, err)
	}
	if f := s.decode(b, in); f != nil || !reflect.DeepEqual(*in, want) {
		t.Fatalf("%T: encoding/json means something else", in)
	}
}
