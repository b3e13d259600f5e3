package consent

import (
	"fmt"
	"strings"
)

// korean says every message of a refusal in Korean, by the English one. The
// messages of each part stand beside it: a message without one fails a test.
var korean = []map[string]string{koreanPolicy, koreanCalls, koreanRegister, koreanOffice, koreanOperators}

// In returns the message in a language, "en" or "ko"; any other is English.
func (r *Refusal) In(lang string) string {
	if lang != "ko" {
		return r.Message
	}
	place, message := r.place()
	for _, m := range korean {
		if s, ok := m[message]; ok {
			return place + s
		}
		if s, ok := m[r.format]; ok && r.format != "" {
			return place + fmt.Sprintf(s, r.args...)
		}
	}
	return r.Message
}

// place splits "line 3, column 5: " off a policy file's message, in Korean.
func (r *Refusal) place() (place, message string) {
	var line, column int
	if n, _ := fmt.Sscanf(r.Message, "line %d, column %d:", &line, &column); n != 2 {
		return "", r.Message
	}
	_, message, _ = strings.Cut(r.Message, ": ")
	return fmt.Sprintf("%d행 %d열: ", line, column), message
}

// invalidf is invalid with a message that holds numbers, dates or names of the policy; never what a caller sent.
func invalidf(code, field, format string, args ...any) *Refusal {
	r := invalid(code, field, fmt.Sprintf(format, args...))
	r.format, r.args = format, args
	return r
}
