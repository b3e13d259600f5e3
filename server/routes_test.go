package server

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
)

var roles = []ledger.Role{"", ledger.RoleWriter, ledger.RoleReader, ledger.RoleDPO, ledger.RoleAuditor, ledger.RoleAdmin}

// matrix says who may make which call, from the contract's list of roles: the
// letters of writer, reader, dpo, auditor and admin (m), or everybody.
var matrix = map[string]string{
	"POST /v1/consents":                  "wd",
	"POST /v1/withdrawals":               "wd",
	"POST /v1/corrections":               "wd",
	"POST /v1/corrections/:id/outcome":   "wd",
	"POST /v1/disclosures":               "wd",
	"POST /v1/batch":                     "wd",
	"POST /v1/decisions":                 "wrd",
	"POST /v1/lookups":                   "wrd",
	"GET /v1/members/:ref":               "rd",
	"GET /v1/members/:ref/history":       "rd",
	"GET /v1/members/:ref/export":        "rd",
	"GET /v1/members/:ref/kept":          "d",
	"POST /v1/members/:ref/holds":        "d",
	"DELETE /v1/members/:ref/holds/:id":  "d",
	"POST /v1/events":                    "wd",
	"POST /v1/activity":                  "wd",
	"POST /v1/reactivations":             "wd",
	"POST /v1/signals":                   "wd",
	"GET /v1/notices":                    "d",
	"GET /v1/disclosures":                "d",
	"POST /v1/notices":                   "d",
	"POST /v1/requests":                  "d",
	"POST /v1/requests/:id/outcome":      "d",
	"GET /v1/due":                        "d",
	"POST /v1/breaches/query":            "d",
	"GET /v1/processing-register":        "wrdam",
	"GET /v1/recipients":                 "everybody",
	"POST /v1/recipients":                "m",
	"GET /v1/entries/:index":             "wrdam",
	"GET /v1/destructions/:index":        "everybody",
	"GET /v1/destructions":               "d",
	"GET /v1/policies":                   "everybody",
	"POST /v1/policies":                  "m",
	"GET /v1/keys":                       "m",
	"POST /v1/keys":                      "m",
	"DELETE /v1/keys/:id":                "m",
	"GET /v1/witnesses":                  "everybody",
	"POST /v1/witnesses":                 "m",
	"DELETE /v1/witnesses/:id":           "m",
	"GET /v1/operators":                  "dam",
	"POST /v1/operators":                 "m",
	"POST /v1/operators/:id/handover":    "m",
	"DELETE /v1/operators/:id":           "m",
	"POST /v1/operators/:id/invitations": "m",
	"POST /v1/enrolments":                "everybody",
	"POST /v1/enrolments/confirm":        "everybody",
	"POST /v1/sessions":                  "everybody",
	"DELETE /v1/sessions":                "wrdam",
	"GET /checkpoint":                    "everybody",
	"GET /tile/*path":                    "everybody",
	"GET /metrics":                       "wrdam",
	"GET /openapi.yaml":                  "everybody",
	"GET /livez":                         "everybody",
	"GET /readyz":                        "everybody",

	"GET /v1/members/:ref/entries/:index/receipt": "rd",
	"GET /v1/destructions/:index/certificate":     "d",
}

var letters = map[ledger.Role]string{ledger.RoleWriter: "w", ledger.RoleReader: "r", ledger.RoleDPO: "d", ledger.RoleAuditor: "a", ledger.RoleAdmin: "m"}

// ofTheLog are the calls that need a key, of any role, if the log is private.
var ofTheLog = []string{"GET /checkpoint", "GET /tile/*path", "GET /v1/policies", "GET /v1/recipients", "GET /v1/destructions/:index", "GET /v1/witnesses"}

func TestEveryRouteIsOpenToItsRolesAndToNobodyElse(t *testing.T) {
	t.Run("public log", func(t *testing.T) { testMatrix(t, matrix, Options{}) })
	t.Run("private log", func(t *testing.T) {
		private := maps.Clone(matrix)
		for _, route := range ofTheLog {
			if private[route] != "everybody" {
				t.Errorf("%s: is no route that is public otherwise", route)
			}
			private[route] = "wrdam"
		}
		testMatrix(t, private, Options{PrivateLog: true})
	})
}

func testMatrix(t *testing.T, matrix map[string]string, o Options) {
	matrix = maps.Clone(matrix)
	s := newDoubleWith(t, &double{}, o)
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.label
		allowed, listed := matrix[name]
		if !listed {
			t.Errorf("%s has no row in the matrix", name)
		}
		for _, role := range roles {
			d := &double{}
			w := do(newDoubleWith(t, d, o).Handler(), request(rt, role))
			switch {
			case allowed == "everybody" || role != "" && strings.Contains(allowed, letters[role]):
				if w.Code < 200 || w.Code > 299 {
					t.Errorf("%s as %q: %d %s", name, role, w.Code, w.Body)
				}
			case role == "":
				wantProblem(t, w, 401, "unauthorized")
				if w.Header().Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s: 401 without WWW-Authenticate", name)
				}
			default:
				said, _, _ := strings.Cut(w.Body.String(), `"request_id"`) // in which a role may stand by chance
				wantProblem(t, w, 403, "role_not_allowed")
				for other, letter := range letters {
					if named := strings.Contains(said, string(other)); named != strings.Contains(allowed, letter) {
						t.Errorf("%s as %q: whether %s may is told as %v", name, role, other, named)
					}
				}
			}
			if w.Code > 299 && d.reached > 0 {
				t.Errorf("%s as %q: answered %d, and the ledger was asked", name, role, w.Code)
			}
		}
		delete(matrix, name)
	}
	for name := range matrix {
		t.Errorf("the matrix has a row for %s, which is no route", name)
	}
}

// A private log is asked for by HEAD as by GET, and no cache keeps what a key has read.
func TestAPrivateLogIsForNobodyWithoutAKeyAndForNoCache(t *testing.T) {
	private := map[string]bool{}
	for _, route := range ofTheLog {
		private[route] = true
	}
	for _, isPrivate := range []bool{false, true} {
		s := newDoubleWith(t, &double{}, Options{PrivateLog: isPrivate})
		for _, rt := range s.routes() {
			if !private[rt.method+" "+rt.label] {
				continue
			}
			head := func(role ledger.Role) *httptest.ResponseRecorder {
				r := request(rt, role)
				r.Method = http.MethodHead
				return do(s.Handler(), r)
			}
			nobody, auditor := head(""), head(ledger.RoleAuditor)
			if want := map[bool]int{false: 200, true: 401}[isPrivate]; nobody.Code != want || auditor.Code != 200 {
				t.Errorf("HEAD %s, private %v: %d without a key, %d with one", rt.label, isPrivate, nobody.Code, auditor.Code)
			}
			kept := auditor.Header().Get("Cache-Control")
			if isPrivate && kept != "no-store" || !isPrivate && strings.HasPrefix(kept, "private") {
				t.Errorf("%s, private %v: Cache-Control is %q", rt.label, isPrivate, kept)
			}
		}
	}
}

func TestTheAPIIsDocumentedCallByCall(t *testing.T) {
	b, err := os.ReadFile("API.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newDouble(t, &double{})
	for _, rt := range append(s.routes(), s.controlRoutes()...) {
		if path := regexp.MustCompile(`[:*]([a-z]+)`).ReplaceAllString(rt.label, "{$1}"); !regexp.MustCompile("[` ]" + regexp.QuoteMeta(path) + "[`?]").Match(b) {
			t.Errorf("API.md does not list %s %s", rt.method, path)
		}
	}
}

func TestTheControlSocketMayMakeEveryCall(t *testing.T) {
	s := newDouble(t, &double{size: 3})
	for _, rt := range append(s.routes(), s.controlRoutes()...) {
		s.people.show(operatorInTests, aPerson().invitation, shownSecret, time.Now())
		w := do(s.ControlHandler(), request(rt, ""))
		if w.Code < 200 || w.Code > 299 {
			t.Errorf("%s %s: %d %s", rt.method, rt.label, w.Code, w.Body)
		}
	}
	for _, rt := range s.controlRoutes() {
		wantProblem(t, do(s.Handler(), request(rt, ledger.RoleAdmin)), 404, "no_such_route")
	}
}

// TestTheFirstThingWrongDecides goes through the order of the contract: a
// request that has everything wrong is mended from the front, one thing a step.
func TestTheFirstThingWrongDecides(t *testing.T) {
	d := &double{submitErr: ledger.ErrUnknownMember}
	h := newDouble(t, d).Handler()
	r := func() *http.Request {
		return httptest.NewRequest("PUT", "/v1/consent", strings.NewReader(strings.Repeat("x", maxBodyBytes+1)))
	}
	bad := r()
	step := func(status int, code string, mend func(*http.Request)) {
		t.Helper()
		next := r()
		next.Method, next.URL, next.RequestURI, next.Header = bad.Method, bad.URL, bad.RequestURI, bad.Header.Clone()
		if bad.ContentLength <= maxBodyBytes {
			next.Body, next.ContentLength = http.NoBody, 0
		}
		wantProblem(t, do(h, next), status, code)
		mend(bad)
	}
	bad.Header.Set("Authorization", "Bearer nobody")
	bad.Header.Set("Idempotency-Key", "")
	bad.Header.Set("Content-Type", "text/plain")
	bad.Header.Set("Content-Encoding", "gzip")
	step(404, "no_such_route", func(r *http.Request) { r.URL.Path, r.RequestURI = "/v1/consents", "/v1/consents?member=x" })
	bad.URL.RawQuery = "member=x"
	step(405, "method_not_allowed", func(r *http.Request) { r.Method = "POST" })
	step(401, "unauthorized", func(r *http.Request) { r.Header.Set("Authorization", "Bearer reader") })
	step(403, "role_not_allowed", func(r *http.Request) { r.Header.Set("Authorization", "bearer  writer") })
	step(415, "unsupported_encoding", func(r *http.Request) { r.Header.Del("Content-Encoding") })
	step(415, "unsupported_media_type", func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON ; charset=UTF-8") })
	step(413, "body_too_large", func(r *http.Request) { r.ContentLength = 0 })
	step(400, "unknown_parameter", func(r *http.Request) { r.URL.RawQuery = "" })
	step(400, "idempotency_key_invalid", func(r *http.Request) { r.Header.Del("Idempotency-Key") })
	step(400, "empty_body", func(*http.Request) {})
	if d.reached != 0 {
		t.Fatal("the ledger was asked")
	}
	rt := route{method: "POST", label: "/v1/consents", media: mediaJSON}
	wantProblem(t, do(h, request(rt, ledger.RoleWriter)), 404, "unknown_member")
}

func TestABodyOfUnknownLengthIsRefusedWhenItIsTooLarge(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for _, size := range []int{maxBodyBytes, maxBodyBytes + 1} {
		body := bodies["/v1/lookups"]
		r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(body+strings.Repeat(" ", size-len(body))))
		r.ContentLength = -1
		r.Header.Set("Content-Type", mediaJSON)
		r.Header.Set("Authorization", "Bearer writer")
		if w := do(h, r); size > maxBodyBytes {
			wantProblem(t, w, 413, "body_too_large")
		} else if w.Code != 200 {
			t.Errorf("a body of %d bytes: %d", size, w.Code)
		}
	}
}

func TestOnlyTheExactPathIsARoute(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for _, path := range []string{
		"/", "/v1/consents/", "/V1/consents", "//v1/consents", "/v1//consents", "/v1/./consents", "/v1/x/../consents",
		"/v1/%63onsents", "/v1/members/a%2Fhistory", "/v1%2Fconsents", "/v1/members/mbr_%61", "/v1/members/", "/v1/members/a/b/c",
		"/v1/members/mbr_a/exports", "/v1/members/export/kept/x", "/metrics/", "/openapi.yml", "/control/info",
	} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Authorization", "Bearer dpo")
			wantProblem(t, do(h, r), 404, "no_such_route")
		}
	}
}

func TestAnotherMethodNamesTheRightOnes(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for path, allow := range map[string]string{
		"/v1/consents": "OPTIONS, POST", "/v1/keys": "GET, OPTIONS, POST", "/v1/keys/key_1": "DELETE, OPTIONS", "/livez": "GET, HEAD, OPTIONS",
	} {
		w := do(h, httptest.NewRequest("PATCH", path, nil))
		wantProblem(t, w, 405, "method_not_allowed")
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow: %s; want %s", path, got, allow)
		}
		if w := do(h, httptest.NewRequest("OPTIONS", path, nil)); w.Code != 204 || w.Header().Get("Allow") == "" {
			t.Errorf("OPTIONS %s: %d %v", path, w.Code, w.Header())
		}
	}
	if w := do(h, httptest.NewRequest("HEAD", "/checkpoint", nil)); w.Code != 200 {
		t.Errorf("HEAD /checkpoint: %d", w.Code)
	}
	wantProblem(t, do(h, httptest.NewRequest("HEAD", "/v1/keys", nil)), 405, "method_not_allowed")
}

func TestMediaTypesAreTakenAsTheyAreMeant(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for media, ok := range map[string]bool{
		"application/json": true, "application/json;charset=utf-8": true, `application/json; charset="UTF-8"`: true,
		"": false, "application/json; charset=latin1": false, "application/jsonx": false, "application/ld+json": false,
		"text/json": false, "application/json, text/plain": false, "application/json; charset=utf-8; x=y": false,
	} {
		r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
		r.Header.Set("Authorization", "Bearer writer")
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		if w := do(h, r); ok && w.Code != 200 {
			t.Errorf("%q: %d", media, w.Code)
		} else if !ok {
			wantProblem(t, w, 415, "unsupported_media_type")
		}
	}
}

func TestALookWithoutAReasonIsRefusedBeforeItHappens(t *testing.T) {
	d := &double{}
	h := newDouble(t, d).Handler()
	for _, path := range []string{"/v1/members/:ref", "/v1/members/:ref/history", "/v1/members/:ref/export", "/v1/members/:ref/kept", "/v1/members/:ref/entries/:index/receipt", "/v1/destructions/:index/certificate", "/v1/due"} {
		for reason, code := range map[string]string{
			"": "access_reason_missing", "   ": "access_reason_missing", "a\x01b": "access_reason_invalid", "a\xff": "access_reason_invalid",
			strings.Repeat("x", 1001): "access_reason_invalid", "a\u0085b": "access_reason_invalid",
		} {
			r := request(route{method: "GET", label: path}, ledger.RoleDPO)
			if reason != "" {
				r.Header.Set("Access-Reason", reason)
			}
			if p := wantProblem(t, do(h, r), 400, code); p.Field != "Access-Reason" {
				t.Errorf("the field is %q", p.Field)
			}
		}
	}
	if d.reached != 0 {
		t.Fatal("the ledger was asked")
	}
	for _, reason := range []string{"x", "회원 요청", strings.Repeat("x", 1000)} {
		r := request(route{method: "GET", label: "/v1/members/:ref/history"}, ledger.RoleDPO)
		r.Header.Set("Access-Reason", reason)
		if w := do(h, r); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if last := d.looks[len(d.looks)-1]; last.Reason != reason || last.What != "history" {
			t.Fatalf("the look was handed on as %+v", last)
		}
	}
	if from := d.callers[0].From; from != "192.0.2.1" { // httptest's client
		t.Fatalf("the caller comes from %q", from)
	}
}

func TestWhatIsNoRefOrIndexIsNotFound(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for _, ref := range []string{"mbr_", "kim", "mbr_UPPER", ledger.Ref{1}.String() + "a"} {
		r := request(route{method: "GET", label: "/v1/members/" + ref, look: true}, ledger.RoleDPO)
		wantProblem(t, do(h, r), 404, "unknown_member")
	}
	for _, index := range []string{"-1", "+1", "01", "x", "10", "18446744073709551616", "1.0"} {
		wantProblem(t, do(h, request(route{method: "GET", label: "/v1/entries/" + index}, ledger.RoleDPO)), 404, "unknown_entry")
	}
}

func TestErrorsOfTheLedgerAreToldForWhatTheyAre(t *testing.T) {
	rt := route{method: "POST", label: "/v1/consents", media: mediaJSON}
	for _, c := range []struct {
		d      *double
		status int
		code   string
	}{
		{&double{submitErr: ledger.ErrBusy}, 503, "busy"},
		{&double{submitErr: ledger.ErrReadOnly}, 503, "read_only"},
		{&double{submitErr: ledger.ErrClosed}, 503, "shutting_down"},
		{&double{submitErr: ledger.ErrForbidden}, 403, "role_not_allowed"},
		{&double{submitErr: http.ErrBodyNotAllowed}, 500, "internal_error"},
		{&double{waitErr: ledger.ErrUncertain}, 500, "outcome_unknown"},
		{&double{waitErr: ledger.ErrReadOnly}, 503, "read_only"},
		{&double{waitErr: ledger.ErrBusy}, 503, "busy"},
		{&double{waitErr: http.ErrBodyNotAllowed}, 500, "outcome_unknown"},
		{&double{panics: true}, 500, "outcome_unknown"},
	} {
		w := do(newDouble(t, c.d).Handler(), request(rt, ledger.RoleWriter))
		wantProblem(t, w, c.status, c.code)
		if (c.status == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After is %q", c.code, w.Header().Get("Retry-After"))
		}
	}
	w := do(newDouble(t, &double{panics: true}).Handler(), request(route{method: "POST", label: "/v1/lookups", media: mediaJSON}, ledger.RoleWriter))
	wantProblem(t, w, 500, "internal_error")
	for code, c := range map[string]struct {
		err    error
		status int
		rule   string
	}{
		"unknown_member":   {ledger.ErrUnknownMember, 404, ""},
		"member_withdrawn": {ledger.ErrWithdrawn, 409, "C3"},
		"member_dormant":   {ledger.ErrDormant, 409, "C6"},
		"ground_not_kept":  {ledger.ErrUnknownGround, 404, "C3"},
	} {
		w := do(newDouble(t, &double{err: c.err}).Handler(), request(route{method: "GET", label: "/v1/members/:ref", look: true}, ledger.RoleDPO))
		if p := wantProblem(t, w, c.status, code); p.Rule != c.rule {
			t.Errorf("%s comes from rule %q", code, p.Rule)
		}
	}
}

func TestNothingThatWasSentIsLogged(t *testing.T) {
	for _, d := range []*double{{}, {panics: true}, {submitErr: ledger.ErrUnknownMember}, {waitErr: ledger.ErrUncertain}, {err: http.ErrBodyNotAllowed}} {
		var out logTo
		s := newServer(d, Options{Log: out.logger(), SlowAfter: 1})
		for _, rt := range s.routes() {
			r := request(rt, ledger.RoleDPO)
			r.URL.RawQuery = "q=" + memberInTests
			do(s.Handler(), r)
			do(s.Handler(), request(rt, ledger.RoleDPO))
			r = request(rt, "secret-"+memberInTests)
			do(s.Handler(), r)
		}
		got := out.String()
		if !strings.Contains(got, "request_id=req_") || !strings.Contains(got, "route=/v1/members/:ref") {
			t.Fatalf("the log names no request: %s", got)
		}
		for _, never := range []string{memberInTests, "haim", "a member asked", "mbr_", "192.0.2.1", "email", "Bearer"} {
			if strings.Contains(got, never) {
				t.Errorf("the log holds %q:\n%s", never, got)
			}
		}
	}
}

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| ([0-9]{3}) \\| [^|]+ \\| [^|]+ \\|$")

func TestErrorsMDListsEveryCodeOfTheServerAndNoOther(t *testing.T) {
	b, err := os.ReadFile("ERRORS.md")
	if err != nil {
		t.Fatal(err)
	}
	own, _, found := strings.Cut(string(b), "\n## Refusals by the rules\n")
	if !found {
		t.Fatal("ERRORS.md has no part on the rules")
	}
	listed := map[string]string{}
	for _, row := range codeRow.FindAllStringSubmatch(own, -1) {
		listed[row[1]] = row[2]
	}
	for code, k := range codes {
		if listed[code] != itoa(k.status) {
			t.Errorf("%s (%d) is listed with status %q", code, k.status, listed[code])
		}
		delete(listed, code)
	}
	for code := range listed {
		t.Errorf("%s is listed, and the server has no such code", code)
	}
	// And every code that the source names is in the table, and the other way round.
	used := map[string]bool{}
	for _, text := range sources(t, ".") {
		for _, m := range regexp.MustCompile(`(?:newProblem\(|code: )"([a-z_0-9]+)"|, "(malformed_json|lone_surrogate)"|refuse\("([a-z_]+)"`).FindAllStringSubmatch(text, -1) {
			used[m[1]+m[2]+m[3]] = true
		}
	}
	for code := range codes {
		if !used[code] {
			t.Errorf("%s has a status, and nothing answers with it", code)
		}
		delete(used, code)
	}
	for code := range used {
		t.Errorf("the source answers with %s, which has no status", code)
	}
}

func sources(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
			b, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			out[f.Name()] = string(b)
		}
	}
	return out
}
