package server

import (
	"net/http"
	"strconv"

	"consentledger/ledger/consent"
)

// A problem is an answer that is not a success: RFC 9457 with a stable code.
// It names fields by our own names and never repeats what was sent.
// server/ERRORS.md lists every code.
type problem struct {
	status     int
	code       string
	detail     []said           // what is wrong, and what to do
	refusal    *consent.Refusal // of the rules: it says itself what is wrong
	field      string           // the field at fault, as decisions[0].purpose, or the header's name
	retryAfter int              // seconds; 0: none
}

func (p *problem) Error() string { return p.code }

// newProblem makes a problem of a code in the table of codes. The detail is a
// format of package fmt if there are args.
func newProblem(code, field, detail string, args ...any) *problem {
	k, ok := codes[code]
	if !ok {
		k = codes["internal_error"]
	}
	return &problem{status: k.status, code: code, detail: say(detail, args...), field: field, retryAfter: k.retryAfter}
}

// also adds a sentence to the detail.
func (p *problem) also(detail string, args ...any) *problem {
	p.detail = append(p.detail, say(detail, args...)...)
	return p
}

// refusedBy is the problem that a rule's refusal is.
func refusedBy(r *consent.Refusal) *problem {
	return &problem{status: r.Kind.Status(), code: r.Code, field: r.Field, refusal: r}
}

// rule is the row of the requirements that the problem comes from, if any.
func (p *problem) rule() string {
	if p.refusal != nil {
		return p.refusal.Rule()
	}
	return codes[p.code].rule
}

func (p *problem) titleIn(lang string) string {
	k := codes[p.code]
	if p.refusal != nil {
		k = codeKind{title: "Refused by the rules", korean: "규칙에 따라 거부됨"}
		if row := p.rule(); row != "" {
			k.title = "Refused by rule " + row + ": " + consent.RuleWords(row, english)
			k.korean = "규칙 " + row + "에 따라 거부됨: " + consent.RuleWords(row, korean)
		}
	}
	if lang == korean {
		return k.korean
	}
	return k.title
}

func (p *problem) detailIn(lang string) string {
	if p.refusal != nil {
		return p.refusal.In(lang)
	}
	return sayAll(p.detail, lang)
}

func (f *fault) problem() *problem {
	p := newProblem(f.code, f.path, "")
	p.detail = f.detail
	return p.also("(At byte %d.)", f.offset)
}

// appendTo appends the members of the problem without braces, so that a line of a batch can hold them too.
func (p *problem) appendTo(b []byte, requestID, lang string) []byte {
	b = append(b, `"type":"urn:consentledger:problem:`...)
	b = append(b, p.code...)
	b = append(b, `","title":`...)
	b = appendString(b, p.titleIn(lang))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"code":`...)
	b = appendString(b, p.code)
	b = append(b, `,"detail":`...)
	b = appendString(b, p.detailIn(lang))
	if p.field != "" {
		b = append(b, `,"field":`...)
		b = appendString(b, p.field)
	}
	if p.refusal != nil && p.refusal.Reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, p.refusal.Reason)
	}
	if rule := p.rule(); rule != "" {
		b = append(b, `,"rule":`...)
		b = appendString(b, rule)
	}
	b = append(b, `,"request_id":`...)
	return appendString(b, requestID)
}

func (p *problem) write(w http.ResponseWriter, requestID, lang string) {
	h := w.Header()
	h["Content-Type"] = problemType
	h["Content-Language"] = []string{lang}
	h["Cache-Control"] = noStore
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	b := append(make([]byte, 0, 512), '{')
	b = append(p.appendTo(b, requestID, lang), '}', '\n')
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
