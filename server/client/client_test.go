package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"consentledger/ledger"
	"consentledger/server/client"
)

func TestAnAddressThatWouldShowTheKeyIsRefused(t *testing.T) {
	for _, c := range []struct {
		address string
		o       client.Options
		taken   bool
	}{
		{"https://ledger.example", client.Options{}, true},
		{"https://ledger.example:8443/", client.Options{}, true},
		{"http://127.0.0.1:8787", client.Options{}, true},
		{"http://[::1]:8787", client.Options{}, true},
		{"http://localhost:8787", client.Options{}, true},
		{"http://ledger:8787", client.Options{}, false},
		{"http://ledger:8787", client.Options{PlainHTTP: true}, true},
		{"http://127.0.0.1.example", client.Options{}, false},
		{"ledger.example", client.Options{}, false},
		{"ftp://ledger.example", client.Options{PlainHTTP: true}, false},
		{"https://user:word@ledger.example", client.Options{}, false},
		{"https://ledger.example/v1", client.Options{}, false},
		{"https://ledger.example?x", client.Options{}, false},
		{"", client.Options{}, false},
		{"https://ledger.example", client.Options{Key: client.NewSecret("cl_live_x\n")}, false},
		{"https://ledger.example", client.Options{Attempts: -1}, false},
	} {
		if _, err := client.New(c.address, c.o); (err == nil) != c.taken || err != nil && strings.Contains(err.Error(), "cl_live") {
			t.Errorf("%q, PlainHTTP %v: %v", c.address, c.o.PlainHTTP, err)
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	const text = "cl_live_abc_secret"
	s := client.NewSecret(text)
	c, err := client.New("https://ledger.example", client.Options{Key: s})
	if err != nil {
		t.Fatal(err)
	}
	answer := &client.CreatedKey{}
	if err := json.Unmarshal([]byte(`{"id":"key_a","key":"`+text+`"}`), answer); err != nil || answer.Key.Reveal() != text {
		t.Fatalf("%v, %v", answer, err)
	}
	printed := ""
	for _, v := range []any{s, &s, c, *c, client.Options{Key: s}, answer, *answer, map[string]any{"k": s}, struct{ hidden client.Secret }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			printed += fmt.Sprintf(verb, v)
		}
	}
	b, err := json.Marshal([]any{s, answer, client.Options{}.Key})
	if err != nil {
		t.Fatal(err)
	}
	printed += string(b)
	for _, form := range []string{"cl_live", fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
		if strings.Contains(printed, form) {
			t.Errorf("the key is printed, as %q", form)
		}
	}
	if !strings.Contains(printed, "[key]") || !client.NewSecret("").IsZero() || s.IsZero() || (client.Secret{}).Reveal() != "" {
		t.Error("control")
	}
	// The control: a text that is no Secret is found by the same search.
	if !strings.Contains(fmt.Sprintf("%+v", struct{ hidden string }{text}), "cl_live") {
		t.Error("control: a key is not found where it is printed")
	}
}

func TestARedirectionIsNotFollowed(t *testing.T) {
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	ts := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer ts.Close()
	c, err := client.New(ts.URL, client.Options{Key: client.NewSecret("cl_live_x"), HTTP: ts.Client()})
	if err != nil {
		t.Fatal(err)
	}
	var p *client.Problem
	if _, err := c.Consent(t.Context(), enrolment("kim")); !errors.As(err, &p) || p.Status != 307 || asked != 0 {
		t.Errorf("%v, %d requests elsewhere", err, asked)
	}
	if ts.Client().CheckRedirect != nil {
		t.Error("the caller's own http.Client was changed")
	}
}

func TestAnAnswerOfSomethingElseIsAnError(t *testing.T) {
	for name, answer := range map[string][2]string{
		"a page":            {"text/html", "<html>sign in</html>"},
		"a page as JSON":    {"application/json", "<html>sign in</html>"},
		"JSON as something": {"text/plain", `{"member":"mbr_a","entries":[],"recorded_at":"2025-03-01T12:00:00Z"}`},
		"the ledger's own":  {"application/json", `{"member":"mbr_a","entries":[],"recorded_at":"2025-03-01T12:00:00Z"}`},
	} {
		ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", answer[0])
			w.WriteHeader(201)
			_, _ = w.Write([]byte(answer[1]))
		}))
		c, err := client.New(ts.URL, client.Options{HTTP: ts.Client()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Consent(t.Context(), enrolment("kim"))
		var u *client.Unknown
		if whole := name == "the ledger's own"; (err == nil) != whole || !whole && (!errors.As(err, &u) || u.IdempotencyKey == "") || whole && got.Member != "mbr_a" {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		ts.Close()
	}
}

// A member's own id never stands in a path, also where it was put in a ref's place by mistake.
func TestAMembersOwnIDIsNotSentInAPath(t *testing.T) {
	s := newShop(t)
	asked := 0
	url := s.behind(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++; next.ServeHTTP(w, r) })
	})
	c := s.to(url, client.Options{Key: s.keys[ledger.RoleDPO], Attempts: 1})
	for _, id := range []string{"u-1001", "kim", "key_kim", "", "mbr"} {
		if _, err := c.Export(t.Context(), id, "a request"); err == nil || strings.Contains(err.Error(), "u-1001") {
			t.Errorf("an export: %v", err)
		}
		if _, err := c.PlaceHold(t.Context(), id, client.Hold{}); err == nil {
			t.Error("a hold")
		}
	}
	if asked != 0 {
		t.Errorf("%d calls were sent", asked)
	}
	if _, err := c.Export(t.Context(), "mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "a request"); !client.HasCode(err, "unknown_member") || asked != 1 {
		t.Errorf("control: %v after %d calls", err, asked)
	}
}
