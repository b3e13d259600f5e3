package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// A raw request is written to a connection byte by byte as it stands; the
// client then ends its half, so that a server which waits for more hears that
// nothing comes.
type rawAnswer struct {
	status int
	code   string // of the problem
	header http.Header
	body   []byte
	closed bool // the server says that the connection ends
}

// raws sends bytes over one connection and reads every answer that comes, until the server ends it.
func raws(t testing.TB, address, sent string) (out []rawAnswer) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		_, _ = io.WriteString(conn, sent) // it may be refused before it is all there
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(conn)
	for {
		if _, err := r.Peek(1); err != nil {
			return out
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%q is answered with what is no HTTP: %v", sent, err)
		}
		a := rawAnswer{status: res.StatusCode, header: res.Header, closed: res.Close}
		if a.body, err = io.ReadAll(res.Body); err != nil {
			t.Fatalf("%q: the answer breaks off: %v", sent, err)
		}
		if a.status >= 400 {
			var p api.Problem
			d := json.NewDecoder(bytes.NewReader(a.body))
			d.DisallowUnknownFields()
			if err := d.Decode(&p); err != nil || p.Status != a.status || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") || a.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%q: %d is no problem document (%v): %v %s", sent, a.status, err, a.header, a.body)
			}
			a.code = p.Code
		}
		out = append(out, a)
	}
}

// onWire serves a double on a real address.
func onWire(t *testing.T, d *double) (address string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ln, ended := serve(t, ctx, newDouble(t, d))
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

const lookupHead = "Host: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\n"

// lookup is a good call, with head lines of the test's before the body's length.
func lookup(more string) string {
	b := bodies["/v1/lookups"]
	return fmt.Sprintf("POST /v1/lookups HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s", lookupHead, more, len(b), b)
}

func chunked(version, more, body string) string {
	return fmt.Sprintf("POST /v1/lookups HTTP/%s\r\n%s%sTransfer-Encoding: chunked\r\n\r\n%s", version, lookupHead, more, body)
}

func chunks(b string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b), b) }

// TestBytesThatAreNoRequestAreToldSoInAProblem has what RFC 9112 has refused, or
// lets a server refuse: sections 2.2 (lines), 3 (request line), 3.2 (Host), 5
// (fields), 6 and 7 (lengths and chunks).
func TestBytesThatAreNoRequestAreToldSoInAProblem(t *testing.T) {
	d := &double{}
	address := onWire(t, d)
	get := func(target, more string) string { return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n" }
	for name, c := range map[string]struct {
		sent   string
		status int
		code   string
	}{
		"no HTTP at all":                       {"hello\r\n\r\n", 400, "malformed_request"},
		"a TLS hello":                          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"},
		"a head that breaks off":               {"GET /livez HTTP/1.1\r\nHos", 400, "malformed_request"},
		"a version that is none":               {"GET /livez HTTP/one\r\nHost: x\r\n\r\n", 400, "malformed_request"},
		"HTTP/3.0":                             {"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", 400, "malformed_request"},
		"HTTP/0.9":                             {"GET /livez\r\n\r\n", 400, "malformed_request"},
		"a method that is no token":            {"G{T /livez HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"},
		"no Host":                              {"GET /livez HTTP/1.1\r\n\r\n", 400, "malformed_request"},
		"two Hosts":                            {get("/livez", "Host: y\r\n"), 400, "malformed_request"},
		"a Host that is none":                  {"GET /livez HTTP/1.1\r\nHost: a/b\x01\r\n\r\n", 400, "malformed_request"},
		"a null byte in the target":            {get("/livez\x00", ""), 400, "malformed_request"},
		"a null byte in a header":              {get("/livez", "X: a\x00b\r\n"), 400, "malformed_request"},
		"a control character in a header":      {get("/livez", "X: a\x01b\r\n"), 400, "malformed_request"},
		"a bare CR in a header":                {get("/livez", "X: a\rY: b\r\n"), 400, "malformed_request"},
		"a space before the colon":             {get("/livez", "Content-Length : 3\r\n"), 400, "malformed_request"},
		"a header without a name":              {get("/livez", ": x\r\n"), 400, "malformed_request"},
		"a header without a colon":             {get("/livez", "nothing\r\n"), 400, "malformed_request"},
		"a folded first header":                {"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n", 400, "malformed_request"},
		"a percent sign that is no escape":     {get("/v1/%zz", ""), 400, "malformed_request"},
		"two lengths that differ":              {get("/livez", "Content-Length: 3\r\nContent-Length: 4\r\n"), 400, "malformed_request"},
		"a list of lengths":                    {get("/livez", "Content-Length: 3, 4\r\n"), 400, "malformed_request"},
		"a negative length":                    {get("/livez", "Content-Length: -1\r\n"), 400, "malformed_request"},
		"a length with a plus":                 {get("/livez", "Content-Length: +3\r\n"), 400, "malformed_request"},
		"a hexadecimal length":                 {get("/livez", "Content-Length: 0x3\r\n"), 400, "malformed_request"},
		"a length beyond 2^64":                 {get("/livez", "Content-Length: 18446744073709551617\r\n"), 400, "malformed_request"},
		"another transfer coding":              {get("/livez", "Transfer-Encoding: gzip\r\n"), 400, "malformed_request"},
		"chunked and another coding":           {get("/livez", "Transfer-Encoding: gzip, chunked\r\n"), 400, "malformed_request"},
		"chunked twice":                        {get("/livez", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, "malformed_request"},
		"a transfer coding that only looks so": {get("/livez", "Transfer-Encoding: \x0bchunked\r\n"), 400, "malformed_request"},
		"an unknown expectation":               {get("/livez", "Expect: a miracle\r\n"), 400, "malformed_request"},
		"a head of 40 KiB":                     {get("/livez", "X: "+strings.Repeat("x", 40<<10)+"\r\n"), 431, "headers_too_large"},
		"a target of 40 KiB":                   {get("/"+strings.Repeat("x", 40<<10), ""), 431, "headers_too_large"},
		"101 header lines":                     {get("/livez", strings.Repeat("X: y\r\n", maxHeaders+1)), 431, "headers_too_large"},
		"a body where none belongs":            {get("/v1/keys", "Authorization: Bearer admin\r\nContent-Length: 2\r\n") + "{}", 400, "unexpected_body"},
		"a body in chunks where none belongs":  {get("/livez", "Transfer-Encoding: chunked\r\n") + chunks("{}"), 400, "unexpected_body"},

		"a chunk whose length is none":      {chunked("1.1", "", "xyz\r\n{}\r\n0\r\n\r\n"), 400, "incomplete_body"},
		"a chunk that is longer than said":  {chunked("1.1", "", "1\r\n{}\r\n0\r\n\r\n"), 400, "incomplete_body"},
		"a chunk's length after a plus":     {chunked("1.1", "", "+2\r\n{}\r\n0\r\n\r\n"), 400, "incomplete_body"},
		"a chunk's length beyond 2^64":      {chunked("1.1", "", "10000000000000002\r\n{}\r\n0\r\n\r\n"), 400, "incomplete_body"},
		"a chunk line that ends in LF only": {chunked("1.1", "", "2;\n{}\r\n0\r\n\r\n"), 400, "incomplete_body"},
		"chunks that break off":             {chunked("1.1", "", "20\r\n{"), 400, "incomplete_body"},
		"a body that breaks off":            {strings.TrimSuffix(lookup(""), "}"), 400, "incomplete_body"},
		"a chunk of 64 KiB and one byte":    {chunked("1.1", "", chunks(strings.Repeat(" ", maxBodyBytes+1))), 413, "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			got := raws(t, address, c.sent)
			if len(got) != 1 || got[0].status != c.status || got[0].code != c.code {
				t.Fatalf("%d answers: %+v; want one %d %s", len(got), got, c.status, c.code)
			}
			if strings.HasPrefix(c.code, "malformed") && !got[0].closed {
				t.Error("the connection goes on")
			}
		})
	}
	if d.reached != 0 {
		t.Fatalf("the ledger was asked %d times", d.reached)
	}
	for name, sent := range map[string]string{ // the controls
		"a lookup": lookup(""), "in chunks": chunked("1.1", "", chunks(bodies["/v1/lookups"])),
		"100 header lines": lookup(strings.Repeat("X: y\r\n", maxHeaders-4)), "an expectation that is known": lookup("Expect: 100-continue\r\n"),
		"a chunk extension and a trailer": chunked("1.1", "Trailer: X\r\n", fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n", len(bodies["/v1/lookups"]), bodies["/v1/lookups"])),
	} {
		if got := raws(t, address, sent); got[len(got)-1].status != 200 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// smuggled stands where a request of its own would be read if the one before it ended earlier than its sender says.
const smuggled = "DELETE /v1/keys/cor_1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n"

func TestNothingIsSmuggledBehindARequestThatEndsTwoWays(t *testing.T) {
	b := bodies["/v1/lookups"]
	for name, c := range map[string]struct {
		sent  string
		first int // the status of the one answer
	}{
		"chunks and a longer Content-Length": {chunked("1.1", fmt.Sprintf("Content-Length: %d\r\n", len(chunks(b)+smuggled)), chunks(b)) + smuggled, 200},
		"chunks and a shorter one":           {chunked("1.1", "Content-Length: 3\r\n", chunks(b)) + smuggled, 200},
		"chunks alone":                       {chunked("1.1", "", chunks(b)) + smuggled, 200},
		"chunks in HTTP/1.0":                 {chunked("1.0", "Connection: keep-alive\r\n", chunks(b)) + smuggled, 400},
		"a body in HTTP/1.0":                 {strings.Replace(lookup("Connection: keep-alive\r\n"), "HTTP/1.1", "HTTP/1.0", 1) + smuggled, 200},
		"a GET in HTTP/1.0":                  {"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 200},
		"a body on a call that has none":     {fmt.Sprintf("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(smuggled)) + smuggled, 400},
		"in a trailer":                       {chunked("1.1", "", strings.TrimSuffix(chunks(b), "\r\n")+"X: y\r\n\r\n") + smuggled, 200},
		"in a chunk extension":               {chunked("1.1", "", fmt.Sprintf("%x;\r\n%s\r\n0;\r\n\r\n", len(b), b)) + smuggled, 200},
	} {
		d := &double{}
		got := raws(t, onWire(t, d), c.sent)
		if len(got) != 1 || got[0].status != c.first || len(d.calls) > 0 || d.reached > 1 {
			t.Errorf("%s: %d answers, %d calls: %+v", name, len(got), d.reached, got)
		}
	}
	// The control: behind a request that ends in one way the next one is a request.
	d := &double{}
	if got := raws(t, onWire(t, d), lookup("")+smuggled); len(got) != 2 || got[1].status != 200 || d.reached != 2 {
		t.Fatalf("%d calls: %+v", d.reached, got)
	}
}

func TestAHeaderThatCountsIsThereOnceOrTheCallIsRefused(t *testing.T) {
	for header, c := range map[string]struct {
		first, second string
		status        int
		code          string
	}{
		"Authorization": {"Bearer dpo", "Bearer dpo", 401, "unauthorized"},
		"Access-Reason": {"a member asked", "a member asked", 400, "access_reason_invalid"},
		"Access-Ground": {"contract", "contract", 400, "access_ground_invalid"},
	} {
		for _, more := range []string{"", header + ": " + c.second + "\r\n", strings.ToUpper(header) + ": " + c.second + "\r\n"} {
			d := &double{}
			sent := "GET " + pathOf("/v1/members/:ref/kept") + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dpo\r\nAccess-Reason: a member asked\r\nAccess-Ground: contract\r\n" + more + "\r\n"
			got := raws(t, onWire(t, d), sent)
			switch {
			case len(got) != 1:
				t.Errorf("%s: %+v", header, got)
			case more == "" && got[0].status != 200: // the control
				t.Errorf("%s once: %+v", header, got)
			case more != "" && (got[0].status != c.status || got[0].code != c.code || d.reached > 0):
				t.Errorf("%s twice: %+v", header, got)
			}
		}
	}
	const write = "POST /v1/withdrawals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\n"
	for more, status := range map[string]int{"Idempotency-Key: one\r\n": 201, "Idempotency-Key: one\r\nidempotency-key: one\r\n": 400} {
		d := &double{}
		b := bodies["/v1/withdrawals"]
		got := raws(t, onWire(t, d), fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", write, more, len(b), b))
		if len(got) != 1 || got[0].status != status || status == 400 && (got[0].code != "idempotency_key_invalid" || d.reached > 0) {
			t.Errorf("%q: %+v", more, got)
		}
	}
	for more, code := range map[string]string{
		"Content-Type: application/json\r\n":                            "unsupported_media_type",
		"Content-Type: text/plain\r\n":                                  "unsupported_media_type",
		"Content-Encoding: identity\r\n":                                "unsupported_encoding",
		"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n":      "unsupported_encoding",
		"Authorization: Basic d3JpdGVyOg==\r\n":                         "unauthorized",
		"authorization: Bearer nobody\r\nAUTHORIZATION: Bearer dpo\r\n": "unauthorized",
	} {
		d := &double{}
		if got := raws(t, onWire(t, d), lookup(more)); len(got) != 1 || got[0].code != code || d.reached > 0 {
			t.Errorf("%q: %+v", more, got)
		}
	}
}

// TestOnlyTheRequestLineSaysWhatIsCalled: no header, no host and no other spelling of the target leads to another route.
func TestOnlyTheRequestLineSaysWhatIsCalled(t *testing.T) {
	for name, c := range map[string]struct {
		sent   string
		status int
		code   string
	}{
		"a method in a header":              {"GET /v1/keys/cor_1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nX-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n\r\n", 405, "method_not_allowed"},
		"a method in the query":             {"GET /v1/keys/cor_1?_method=DELETE HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 405, "method_not_allowed"},
		"a method in lower case":            {"delete /v1/keys/cor_1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 405, "method_not_allowed"},
		"a path in a header":                {"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nX-Original-URL: /v1/keys\r\nX-Rewrite-URL: /v1/keys\r\nX-Forwarded-Path: /v1/keys\r\nX-Forwarded-Prefix: /v1\r\n\r\n", 404, "no_such_route"},
		"the control socket's path":         {"GET /control/info HTTP/1.1\r\nHost: control\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", 404, "no_such_route"},
		"an absolute form, encoded":         {"GET http://x/v1%2Fkeys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"an absolute form with a user":      {"GET http://admin:admin@x/v1/keys HTTP/1.1\r\nHost: x\r\n\r\n", 401, "unauthorized"},
		"an absolute form without a path":   {"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 404, "no_such_route"},
		"an authority":                      {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "no_such_route"},
		"an authority as a path":            {"CONNECT /v1/keys HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"},
		"an asterisk":                       {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"},
		"the preface of HTTP/2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, "method_not_allowed"},
		"a trace":                           {"TRACE /v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 405, "method_not_allowed"},
		"a backslash":                       {"GET /v1\\keys HTTP/1.1\r\nHost: x\r\n\r\n", 404, "no_such_route"},
		"a semicolon":                       {"GET /v1/keys;a=b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"a fragment":                        {"GET /v1/keys#x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"two slashes":                       {"GET //v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"dots":                              {"GET /v1/policies/../keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"encoded dots":                      {"GET /v1/policies/%2e%2e/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"an encoded null byte":              {"GET /v1/keys%00 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", 404, "no_such_route"},
		"a slash in a ref":                  {"GET /v1/members/" + ledger.Ref{1}.String() + "%2Fexport HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dpo\r\n\r\n", 404, "no_such_route"},
		"a form that says what JSON should": {"POST /v1/lookups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\nmember_id=kim", 415, "unsupported_media_type"},
		"a key in the query":                {"GET /v1/keys?access_token=admin HTTP/1.1\r\nHost: x\r\n\r\n", 401, "unauthorized"},
		"a key in a cookie":                 {"GET /v1/keys HTTP/1.1\r\nHost: x\r\nCookie: Authorization=Bearer admin\r\n\r\n", 401, "unauthorized"},
		"an upgrade":                        {"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 404, "no_such_route"},
	} {
		d := &double{}
		got := raws(t, onWire(t, d), c.sent)
		if len(got) == 0 || got[0].status != c.status || got[0].code != c.code || d.reached > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, sent := range []string{ // the controls, with a Host that is not ours: it is nowhere repeated
		"GET /v1/keys HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nAuthorization: Bearer admin\r\n\r\n",
		"GET http://evil.example/v1/keys HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer admin\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n",
	} {
		got := raws(t, onWire(t, &double{}), sent)
		if len(got) != 1 || got[0].status/100 != 2 || got[0].header.Get("X-Request-Id") == "" {
			t.Fatalf("%+v", got)
		}
		if strings.Contains(fmt.Sprint(got[0].header, string(got[0].body)), "evil") || got[0].header.Get("Location") != "" || got[0].header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("the answer names the host: %+v", got[0])
		}
	}
}
