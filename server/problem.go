package server

import (
	"net/http"
	"strconv"
)

// A problem is an answer that is not a success: RFC 9457 with a stable code.
// It names fields by our own names and never repeats what was sent.
// server/ERRORS.md lists every code.
type problem struct {
	status     int
	code       string
	title      string
	detail     string // what is wrong, and what to do
	field      string // the field at fault, as decisions[0].purpose, or the header's name
	reason     string // for a refused disclosure: the reason of the decision
	retryAfter int    // seconds; 0: none
}

func (p *problem) Error() string { return p.code }

// newProblem makes a problem of a code in the table of codes.
func newProblem(code, field, detail string) *problem {
	k, ok := codes[code]
	if !ok {
		k = codes["internal_error"]
	}
	return &problem{status: k.status, code: code, title: k.title, detail: detail, field: field, retryAfter: k.retryAfter}
}

type codeKind struct {
	status     int
	title      string
	retryAfter int
}

// codes are the server's own. The rules' codes come with the refusals of ledger/consent.
var codes = map[string]codeKind{
	"no_such_route":      {status: http.StatusNotFound, title: "No such route"},
	"method_not_allowed": {status: http.StatusMethodNotAllowed, title: "Method not allowed"},
	"unauthorized":       {status: http.StatusUnauthorized, title: "A valid API key is needed"},
	"role_not_allowed":   {status: http.StatusForbidden, title: "The key's role does not allow this"},

	"idempotency_not_available": {status: http.StatusNotImplemented, title: "Idempotency keys are not available"},
	"unsupported_media_type":    {status: http.StatusUnsupportedMediaType, title: "Unsupported media type"},
	"unsupported_encoding":      {status: http.StatusUnsupportedMediaType, title: "Unsupported content encoding"},
	"body_too_large":            {status: http.StatusRequestEntityTooLarge, title: "The body is too large"},
	"line_too_large":            {status: http.StatusRequestEntityTooLarge, title: "The line is too large"},

	"empty_body":            {status: http.StatusBadRequest, title: "The body is empty"},
	"incomplete_body":       {status: http.StatusBadRequest, title: "The body did not arrive whole"},
	"malformed_json":        {status: http.StatusBadRequest, title: "Malformed JSON"},
	"trailing_data":         {status: http.StatusBadRequest, title: "Data after the JSON value"},
	"invalid_utf8":          {status: http.StatusBadRequest, title: "Invalid UTF-8"},
	"lone_surrogate":        {status: http.StatusBadRequest, title: "Half of a surrogate pair"},
	"duplicate_field":       {status: http.StatusBadRequest, title: "Duplicate field"},
	"unknown_field":         {status: http.StatusBadRequest, title: "Unknown field"},
	"wrong_case_field":      {status: http.StatusBadRequest, title: "Field name in the wrong case"},
	"missing_field":         {status: http.StatusBadRequest, title: "Missing field"},
	"wrong_type":            {status: http.StatusBadRequest, title: "Value of the wrong type"},
	"null_value":            {status: http.StatusBadRequest, title: "null where a value belongs"},
	"empty_value":           {status: http.StatusBadRequest, title: "Empty where a value belongs"},
	"nesting_too_deep":      {status: http.StatusBadRequest, title: "Nested too deep"},
	"not_an_integer":        {status: http.StatusBadRequest, title: "Not an integer"},
	"number_out_of_range":   {status: http.StatusBadRequest, title: "Number out of range"},
	"invalid_value":         {status: http.StatusBadRequest, title: "Invalid value"},
	"invalid_member_id":     {status: http.StatusBadRequest, title: "Invalid member id"},
	"invalid_time":          {status: http.StatusBadRequest, title: "Invalid time"},
	"invalid_date":          {status: http.StatusBadRequest, title: "Invalid date"},
	"invalid_digest":        {status: http.StatusBadRequest, title: "Invalid digest"},
	"unknown_parameter":     {status: http.StatusBadRequest, title: "Unknown query parameter"},
	"invalid_parameter":     {status: http.StatusBadRequest, title: "Invalid query parameter"},
	"access_reason_missing": {status: http.StatusBadRequest, title: "Access-Reason is missing"},
	"access_reason_invalid": {status: http.StatusBadRequest, title: "Access-Reason is invalid"},

	"unknown_member": {status: http.StatusNotFound, title: "Unknown member"},
	"unknown_entry":  {status: http.StatusNotFound, title: "No such entry"},
	"unknown_key":    {status: http.StatusNotFound, title: "No such API key"},
	"unknown_tile":   {status: http.StatusNotFound, title: "No such tile"},
	"no_checkpoint":  {status: http.StatusNotFound, title: "No checkpoint yet"},

	"request_timeout":  {status: http.StatusRequestTimeout, title: "The request came too slowly"},
	"busy":             {status: http.StatusServiceUnavailable, title: "Too many writes are waiting", retryAfter: 1},
	"too_many_batches": {status: http.StatusServiceUnavailable, title: "Too many batches are running", retryAfter: 5},
	"read_only":        {status: http.StatusServiceUnavailable, title: "The ledger has stopped writing", retryAfter: 60},
	"shutting_down":    {status: http.StatusServiceUnavailable, title: "The server is shutting down", retryAfter: 5},
	"outcome_unknown":  {status: http.StatusInternalServerError, title: "It is not known whether this was recorded"},
	"internal_error":   {status: http.StatusInternalServerError, title: "Something went wrong inside the server"},
}

func (f *fault) problem() *problem {
	return newProblem(f.code, f.path, f.detail+" (At byte "+strconv.Itoa(f.offset)+".)")
}

// appendTo appends the members of the problem without braces, so that a line of a batch can hold them too.
func (p *problem) appendTo(b []byte, requestID string) []byte {
	b = append(b, `"type":"urn:consentledger:problem:`...)
	b = append(b, p.code...)
	b = append(b, `","title":`...)
	b = appendString(b, p.title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"code":`...)
	b = appendString(b, p.code)
	b = append(b, `,"detail":`...)
	b = appendString(b, p.detail)
	if p.field != "" {
		b = append(b, `,"field":`...)
		b = appendString(b, p.field)
	}
	if p.reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, p.reason)
	}
	b = append(b, `,"request_id":`...)
	return appendString(b, requestID)
}

func (p *problem) write(w http.ResponseWriter, requestID string) {
	h := w.Header()
	h["Content-Type"] = problemType
	h["Cache-Control"] = noStore
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	b := append(make([]byte, 0, 512), '{')
	b = append(p.appendTo(b, requestID), '}', '\n')
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(p.status)
	_, _ = w.Write(b)
}

// Header values that every answer shares; net/http does not change them.
var (
	problemType = []string{"application/problem+json"}
	jsonType    = []string{"application/json"}
	ndjsonType  = []string{"application/x-ndjson"}
	noStore     = []string{"no-store"}
)
