package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"consentledger/server/api"
)

// judge holds an answer of a double against what was sent: who is refused gets a
// problem that the catalogue knows, and the ledger was not asked; nobody gets a
// 5xx, and nothing else is an answer.
func judge(t *testing.T, d *double, w *httptest.ResponseRecorder) (accepted bool) {
	t.Helper()
	if w.Code < 300 {
		return true
	}
	var p api.Problem
	r := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	r.DisallowUnknownFields()
	if err := r.Decode(&p); err != nil || p.Status != w.Code || p.Detail == "" {
		t.Fatalf("%d is no problem: %v: %s", w.Code, err, w.Body)
	}
	if k, known := codes[p.Code]; !known || k.status != w.Code || w.Code >= 500 {
		t.Fatalf("%d %s", w.Code, p.Code)
	}
	if d.reached > 0 && w.Code != http.StatusNotFound { // an entry or a member that is not there is the ledger's to say
		t.Fatalf("%s, and the ledger was asked", p.Code)
	}
	return false
}

// strictly is an independent reading of what JSON may be taken: one value, no name twice, no null, nothing hidden, no number but integers of 53 bits.
func strictly(b []byte) bool {
	if !utf8.Valid(b) || !json.Valid(b) || loneSurrogates(b) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var value func(name string) bool
	value = func(name string) bool {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case nil:
			return false
		case string:
			return name == "member_id" || !unseen.MatchString(v)
		case json.Number:
			digits := strings.TrimPrefix(v.String(), "-")
			return !strings.ContainsAny(digits, ".eE") && (len(digits) < 16 || len(digits) == 16 && digits <= "9007199254740991")
		case json.Delim:
			seen := map[string]bool{}
			for d.More() {
				name := ""
				if v == '{' {
					t, err := d.Token()
					if err != nil || seen[t.(string)] {
						return false
					}
					name = t.(string)
					seen[name] = true
				}
				if !value(name) {
					return false
				}
			}
			_, err := d.Token()
			return err == nil
		}
		return true
	}
	if !value("") {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

// FuzzEveryBody sends a body to a route that takes one. What is taken is JSON that
// can be read in one way only; whatever route is added is fuzzed with the others.
func FuzzEveryBody(f *testing.F) {
	var routes []route
	for _, rt := range newServer(&double{}, Options{}).routes() {
		if rt.media == mediaJSON {
			routes = append(routes, rt)
			f.Add(uint8(len(routes)-1), []byte(bodies[rt.label]))
		}
	}
	f.Add(uint8(0), []byte(consentLine()))
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		rt := routes[int(n)%len(routes)]
		d := &double{}
		r := request(rt, roleFor(rt.method+" "+rt.label))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if judge(t, d, do(newServer(d, Options{}).Handler(), r)) && !strictly(body) {
			t.Fatalf("%s takes %q", rt.label, body)
		}
	})
}

func TestEveryBodyThatIsFuzzedIsTakenAsItStandsInThePage(t *testing.T) {
	n := 0
	for _, rt := range newServer(&double{}, Options{}).routes() {
		if rt.media != mediaJSON {
			continue
		}
		n++
		d := &double{}
		if !judge(t, d, do(newDouble(t, d).Handler(), request(rt, roleFor(rt.method+" "+rt.label)))) || !strictly([]byte(bodies[rt.label])) {
			t.Errorf("%s does not take its own body: what is fuzzed ends at the door", rt.label)
		}
	}
	if n < 20 {
		t.Fatalf("only %d bodies are fuzzed", n)
	}
	// The controls of the independent reading.
	for _, b := range []string{`{"a":1,"a":2}`, `{"a":null}`, `{"a":"` + "\u202e" + `"}`, `{"a":1.5}`, `{"a":9007199254740993}`, `{}{}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}"} {
		if strictly([]byte(b)) {
			t.Errorf("%q is read", b)
		}
	}
}

// FuzzRequest sends a whole request of HTTP/1.1: target, query and headers such as
// Access-Reason, Access-Ground, Accept, Accept-Language, Idempotency-Key and Authorization.
func FuzzRequest(f *testing.F) {
	s := newServer(&double{}, Options{})
	for _, rt := range s.routes() {
		r := request(rt, roleFor(rt.method+" "+rt.label))
		for h, v := range map[string]string{"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8", "Accept": "application/json, */*;q=0.1", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
			r.Header.Set(h, v)
		}
		if rt.writes && rt.method == http.MethodPost && !rt.stream {
			r.Header.Set("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324")
		}
		if len(rt.query) > 0 {
			q := r.URL.Query()
			for _, name := range rt.query {
				q.Set(name, map[string]string{"within": "30d", "limit": "10"}[name])
				if q.Get(name) == "" {
					q.Set(name, "5")
				}
			}
			r.URL.RawQuery = q.Encode()
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http's to refuse; wire_test.go sees to how that is told
		}
		r.RemoteAddr = "192.0.2.1:1234"
		d := &double{}
		w := do(newServer(d, Options{}).Handler(), r)
		if w.Header().Get("X-Request-Id") == "" {
			t.Fatal("there is no request id")
		}
		if r.Method == http.MethodHead || !judge(t, d, w) {
			return
		}
		if strings.Contains(r.RequestURI, "%2") && strings.Contains(strings.SplitN(r.RequestURI, "?", 2)[0], "%") {
			t.Fatalf("%q is routed", r.RequestURI)
		}
		for _, look := range d.looks {
			if reasons := r.Header["Access-Reason"]; len(reasons) != 1 || look.Reason != reasons[0] || !utf8.ValidString(look.Reason) || unseen.MatchString(look.Reason) {
				t.Fatalf("a look for the reason %q", reasons)
			}
		}
		for _, who := range d.callers {
			if tokens := r.Header["Authorization"]; len(tokens) != 1 || !strings.HasSuffix(tokens[0], string(who.Role)) {
				t.Fatalf("%q is taken for a %s", tokens, who.Role)
			}
			if who.Role == "" || who.From != "192.0.2.1" {
				t.Fatalf("a caller without a role or from elsewhere: %+v", who)
			}
		}
	})
}
