package server

import (
	"encoding/json"
	"strings"
	"testing"

	"consentledger/ledger"
)

func TestAcceptPicksTheFormThatIsPreferred(t *testing.T) {
	both := [][]string{{"application/json"}, {"application/ld+json"}}
	for in, want := range map[string]string{
		"":                                  "application/json",
		"*/*":                               "application/json",
		"application/*":                     "application/json",
		"application/json":                  "application/json",
		"application/ld+json":               "application/ld+json",
		"Application/LD+JSON":               "application/ld+json",
		"application/ld+json, */*;q=0.1":    "application/ld+json",
		"application/json;q=0.5, */*;q=0.9": "application/ld+json",
		"application/json;q=0, */*":         "application/ld+json",
		"application/ld+json;q=0.2, application/json;q=0.3": "application/json",
		"application/ld+json;q=0.3, application/json;q=0.3": "application/json",
		"text/html, application/xhtml+xml, */*;q=0.8":       "application/json",
		`application/ld+json;profile="x"`:                   "application/ld+json",
		"text/html":                                         "",
		"application/json;q=0":                              "",
		"*/*;q=0":                                           "",
		"application/json;q=2":                              "",
		"json":                                              "",
		"text/*, image/png":                                 "",
	} {
		got := pick([]string{in}, both)
		if want == "" && got != nil || want != "" && (got == nil || got[0] != want) {
			t.Errorf("%q: %v; want %q", in, got, want)
		}
	}
	if got := pick(nil, both); got[0] != "application/json" {
		t.Errorf("without the header: %v", got)
	}
	if got := pick([]string{"text/html", "application/ld+json"}, both); got[0] != "application/ld+json" {
		t.Errorf("two headers: %v", got)
	}
	if got := pick([]string{"text/csv"}, [][]string{{"application/json"}, {"text/csv; charset=utf-8"}}); got[0] != "text/csv; charset=utf-8" {
		t.Errorf("an offer with a parameter: %v", got)
	}
}

func TestAnExportComesInTheFormThatIsAcceptedOrNotAtAll(t *testing.T) {
	d := &double{}
	h := newDouble(t, d).Handler()
	export := func(accept, query string) (status int, media, body string, code string) {
		r := request(route{method: "GET", label: "/v1/members/:ref/export", look: true}, ledger.RoleReader)
		r.URL.RawQuery = query
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := do(h, r)
		var any struct{ Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &any); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		return w.Code, w.Header().Get("Content-Type"), w.Body.String(), any.Code
	}
	if status, media, body, _ := export("", ""); status != 200 || media != "application/json" || !strings.Contains(body, `"made_at"`) {
		t.Fatalf("%d %s %s", status, media, body)
	}
	if status, media, body, _ := export("application/ld+json", ""); status != 200 || media != "application/ld+json" || !strings.Contains(body, `"@context"`) {
		t.Fatalf("%d %s %s", status, media, body)
	}
	looks := len(d.looks)
	if status, _, _, code := export("text/html", "x=1"); status != 406 || code != "not_acceptable" { // before the query is looked at
		t.Fatalf("%d %s", status, code)
	}
	if len(d.looks) != looks {
		t.Fatal("a look was recorded for an answer that was not given")
	}
}

func TestWhatIsKeptApartIsReadOnAGround(t *testing.T) {
	d := &double{}
	h := newDouble(t, d).Handler()
	for ground, code := range map[string]string{
		"": "access_ground_missing", "Contract": "access_ground_invalid", "a b": "access_ground_invalid", "계약": "access_ground_invalid",
		strings.Repeat("x", 130): "access_ground_invalid",
	} {
		r := request(route{method: "GET", label: "/v1/members/:ref/kept", look: true}, ledger.RoleDPO)
		if ground != "" {
			r.Header.Set("Access-Ground", ground)
		}
		if p := wantProblem(t, do(h, r), 400, code); p.Field != "Access-Ground" || p.Rule != "C3" {
			t.Errorf("%q: %+v", ground, p)
		}
	}
	r := request(route{method: "GET", label: "/v1/members/:ref/kept", look: true, ground: true}, ledger.RoleDPO)
	r.Header.Add("Access-Ground", "payment")
	wantProblem(t, do(h, r), 400, "access_ground_invalid")
	if d.reached != 0 {
		t.Fatal("the ledger was asked")
	}
	r = request(route{method: "GET", label: "/v1/members/:ref/kept", look: true, ground: true}, ledger.RoleDPO)
	if w := do(h, r); w.Code != 200 || !strings.Contains(w.Body.String(), `"class":"contract"`) { // the control
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}
