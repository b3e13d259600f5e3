package server

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

func TestTheLanguageIsTheOneThatIsPreferred(t *testing.T) {
	for in, want := range map[string]string{
		"":                              english,
		"ko":                            korean,
		"KO":                            korean,
		"ko-KR":                         korean,
		"en":                            english,
		"en-GB, ko;q=0.9":               english,
		"ko-KR,ko;q=0.9,en;q=0.8":       korean,
		"en;q=0.3, ko;q=0.5":            korean,
		"en;q=0.5, ko;q=0.5":            english,
		"ko;q=0.5, en;q=0.5":            korean,
		"fr, de;q=0.9":                  english,
		"fr, ko;q=0.1":                  korean,
		"*":                             english,
		"*, ko;q=0.5":                   english,
		"ko, *;q=0.5":                   korean,
		"ko;q=0":                        english,
		"ko;q=0, en;q=0":                english,
		"kok":                           english,
		"ko;q=2":                        english,
		"ko;q=x":                        english,
		"ko;q=0.00001":                  english,
		";;,,=;q,ko":                    korean,
		"ko ; q=0.4 , en;q=0.3":         korean,
		"ko;level=1;q=0.2, en;q=0.1001": korean,
	} {
		if got := languageOf([]string{in}); got != want {
			t.Errorf("%q: %s; want %s", in, got, want)
		}
	}
	if got := languageOf([]string{"fr", "ko"}); got != korean {
		t.Errorf("two headers: %s", got)
	}
}

func isHangul(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
}

func TestAProblemIsToldInTheLanguageOfTheCaller(t *testing.T) {
	rule := &consent.Refusal{Kind: consent.Invalid, Code: "unknown_purpose", Message: "no Korean yet"}
	for name, c := range map[string]struct {
		d    *double
		make func() (path, body, key string)
		code string
	}{
		"no route":    {&double{}, func() (string, string, string) { return "/v1/nothing", "", "" }, "no_such_route"},
		"no key":      {&double{}, func() (string, string, string) { return "/v1/lookups", "", "" }, "unauthorized"},
		"a body":      {&double{}, func() (string, string, string) { return "/v1/lookups", `{"member_id":1}`, "writer" }, "wrong_type"},
		"the ledger":  {&double{err: ledger.ErrUnknownMember}, func() (string, string, string) { return "/v1/lookups", bodies["/v1/lookups"], "writer" }, "unknown_member"},
		"a rule":      {&double{submitErr: rule}, func() (string, string, string) { return "/v1/withdrawals", bodies["/v1/withdrawals"], "writer" }, "unknown_purpose"},
		"a batchline": {&double{submitErr: rule}, func() (string, string, string) { return "/v1/batch", bodies["/v1/batch"] + "{", "writer" }, ""},
	} {
		for header, lang := range map[string]string{"": english, "ko-KR,ko;q=0.9,en;q=0.8": korean, "en,ko;q=0.5": english} {
			path, body, key := c.make()
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", mediaJSON)
			if path == "/v1/batch" {
				r.Header.Set("Content-Type", mediaNDJSON)
			}
			if key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
			if header != "" {
				r.Header.Set("Accept-Language", header)
			}
			w := do(newDouble(t, c.d).Handler(), r)
			if got := w.Header().Get("Content-Language"); got != lang {
				t.Errorf("%s, %q: Content-Language %q", name, header, got)
			}
			for line := range strings.Lines(w.Body.String()) {
				var p api.Problem
				if err := json.Unmarshal([]byte(line), &p); err != nil || c.code != "" && p.Code != c.code {
					t.Fatalf("%s: %v: %s", name, err, line)
				}
				if p.Code == "unknown_purpose" && (p.Rule != "B3" || !strings.Contains(p.Title, "B3") || !strings.Contains(p.Title, consent.RuleWords("B3", lang))) {
					t.Errorf("%s, %q: the rule is %q, the title %q", name, header, p.Rule, p.Title)
				}
				if isHangul(p.Title) != (lang == korean) {
					t.Errorf("%s, %q: the title is %q", name, header, p.Title)
				}
				if p.Code != "unknown_purpose" && isHangul(p.Detail) != (lang == korean) {
					t.Errorf("%s, %q: the detail is %q", name, header, p.Detail)
				}
			}
		}
	}
}

// sentences reads from the source what problems say: the words, and the words
// that are put into them.
func sentences(t *testing.T) []string {
	t.Helper()
	place := map[string]int{"newProblem": 2, "say": 0, "also": 0, "syntax": 0, "refuse": 1} // which argument holds them
	constants, out := map[string]string{}, []string{}
	var files []*ast.File
	for name, text := range sources(t, ".") {
		f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, s := range g.Specs {
					if v := s.(*ast.ValueSpec); len(v.Values) == 1 {
						if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
							constants[v.Names[0].Name], _ = strconv.Unquote(lit.Value)
						}
					}
				}
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			callee := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				callee = f.Name
			case *ast.SelectorExpr:
				callee = f.Sel.Name
			}
			i, says := place[callee]
			if !says || len(call.Args) <= i {
				return true
			}
			switch a := call.Args[i].(type) {
			case *ast.BasicLit:
				s, _ := strconv.Unquote(a.Value)
				out = append(out, s)
			case *ast.Ident:
				if s, ok := constants[a.Name]; ok {
					out = append(out, s)
				} else if a.Name != "detail" && a.Name != "words" {
					t.Errorf("%s: what it says, %s, is no constant", callee, a.Name)
				}
			case *ast.CallExpr: // of the kinds of JSON values
			default:
				t.Errorf("%s: what it says is put together: give it a format and arguments", callee)
			}
			return true
		})
	}
	for k := kindObject; k <= kindUint; k++ {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool { return s == "" })
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestEverythingThatAProblemSaysIsSaidInKoreanToo(t *testing.T) {
	all := sentences(t)
	if len(all) < 60 {
		t.Fatalf("only %d sentences were found in the source: the test sees nothing", len(all))
	}
	for _, s := range all {
		k, ok := inKorean[s]
		if !ok {
			t.Errorf("not said in Korean: %q", s)
			continue
		}
		if !isHangul(k) || !slices.Equal(verb.FindAllString(s, -1), verb.FindAllString(k, -1)) {
			t.Errorf("%q is said as %q", s, k)
		}
	}
	for s := range inKorean {
		if !slices.Contains(all, s) {
			t.Errorf("said in Korean, and never in English: %q", s)
		}
	}
	for code, k := range codes {
		if !isHangul(k.korean) {
			t.Errorf("%s has no Korean title", code)
		}
		if k.rule != "" && consent.RuleWords(k.rule, english) == "" {
			t.Errorf("%s comes from %s, which is no rule", code, k.rule)
		}
	}
}
