package server

import "testing"

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
