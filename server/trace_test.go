package server

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"consentledger/ledger"
)

// The valid one, and what is wrong with several others, are those of the W3C's
// recommendation (section 3.2.2, and the list of cases of its test suite).
const tracedAs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var traceparents = map[string]string{
	tracedAs: "0af7651916cd43dd8448eb211c80319c",
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":            "4bf92f3577b34da6a3ce929d0e0e4736",
	"cc-12345678901234567890123456789012-1234567890123456-01":            "12345678901234567890123456789012",
	"cc-12345678901234567890123456789012-1234567890123456-01-what-comes": "12345678901234567890123456789012",
	"00-12345678901234567890123456789012-1234567890123456-01-what-comes": "",
	"cc-12345678901234567890123456789012-1234567890123456-01.what-comes": "",
	"ff-12345678901234567890123456789012-1234567890123456-01":            "",
	"00-00000000000000000000000000000000-1234567890123456-01":            "",
	"00-12345678901234567890123456789012-0000000000000000-01":            "",
	"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01":            "",
	"0-12345678901234567890123456789012-1234567890123456-01":             "",
	"00-1234567890123456789012345678901-1234567890123456-01":             "",
	"00-123456789012345678901234567890123-1234567890123456-01":           "",
	"00-12345678901234567890123456789012-123456789012345-01":             "",
	"00-12345678901234567890123456789012-1234567890123456-1":             "",
	"00-12345678901234567890123456789012-1234567890123456-0x":            "",
	"00-12345678901234567890123456789.12-1234567890123456-01":            "",
	"00_12345678901234567890123456789012_1234567890123456_01":            "",
	"00-kim@shop.example0000000000000000-1234567890123456-01":            "",
	"": "",
}

func TestATraceparentIsReadAsTheRecommendationHasIt(t *testing.T) {
	for header, want := range traceparents {
		if got := traceID(http.Header{"Traceparent": {header}}); got != want {
			t.Errorf("%q: trace id %q, want %q", header, got, want)
		}
	}
	if got := traceID(http.Header{"Traceparent": {tracedAs, tracedAs}}); got != "" {
		t.Errorf("two headers: %q", got)
	}
	if got := traceID(http.Header{}); got != "" {
		t.Errorf("none: %q", got)
	}
}

func TestARequestOfATraceIsFoundInTheLogByIt(t *testing.T) {
	for header, want := range traceparents {
		var l logTo
		s := newServer(&double{submitErr: errors.New("the disk is on fire")}, Options{Log: slog.New(slog.NewTextHandler(&l, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		r := request(route{method: "POST", label: "/v1/consents", media: mediaJSON}, ledger.RoleWriter)
		r.Header["Traceparent"] = []string{header}
		r.Header["Tracestate"] = []string{"vendor=kim@shop.example"}
		r.Header["Baggage"] = []string{"userId=kim@shop.example"}
		w := do(s.Handler(), r)
		wantProblem(t, w, 500, "internal_error") // a header that is malformed is no reason to refuse
		lines := strings.Split(strings.TrimSpace(l.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%q: %d lines in the log: %s", header, len(lines), l.String())
		}
		for _, line := range lines {
			if !strings.Contains(line, "request_id="+w.Header().Get("X-Request-Id")) {
				t.Errorf("%q: no request id: %s", header, line)
			}
			if got := strings.Contains(line, "trace_id="); got != (want != "") || !strings.Contains(line, want) {
				t.Errorf("%q: want trace id %q: %s", header, want, line)
			}
			if strings.Contains(line, "shop.example") || strings.Contains(line, "what-comes") {
				t.Errorf("%q: more than the trace id is in the log: %s", header, line)
			}
		}
		for name := range w.Header() {
			if strings.HasPrefix(strings.ToLower(name), "trace") || name == "Baggage" {
				t.Errorf("%q: the answer has %s", header, name)
			}
		}
	}
}
