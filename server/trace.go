package server

import (
	"net/http"
	"strings"
)

// traceID is the trace-id of a traceparent header (W3C Trace Context, level 1):
// the caller's name for what this request belongs to, so that a line of this log
// is found from the caller's. It is empty where there is no header, more than
// one, or one that is not as the recommendation has it: such a header is none.
//
// Only the trace-id is taken, 16 random bytes in hex. tracestate, baggage and
// whatever else may hold a person's data are not read.
func traceID(h http.Header) string {
	values := h["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	// version "-" trace-id "-" parent-id "-" trace-flags; a later version may go on behind another "-".
	v := values[0]
	const whole, id = 55, 32
	if len(v) < whole || v[2] != '-' || v[35] != '-' || v[52] != '-' ||
		len(v) > whole && (v[:2] == "00" || v[whole] != '-') {
		return ""
	}
	version, trace, parent, flags := v[:2], v[3:3+id], v[36:52], v[53:whole]
	if version == "ff" || !lowerHex(version) || !lowerHex(trace) || !lowerHex(parent) || !lowerHex(flags) ||
		strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return trace
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ids are the attributes by which a line of the log is found.
func (x *exchange) ids(more ...any) []any {
	ids := []any{"request_id", x.id}
	if t := traceID(x.r.Header); t != "" {
		ids = append(ids, "trace_id", t)
	}
	return append(append(ids, "route", x.rt.label), more...)
}
