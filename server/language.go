package server

import (
	"fmt"
	"strconv"
	"strings"
)

// The languages in which problems are told.
const (
	english = "en"
	korean  = "ko"
)

// A said is a sentence of a problem: English, with a format's args if it has any.
type said struct {
	words string
	args  []any
}

func say(words string, args ...any) []said { return []said{{words, args}} }

// in says it in a language. What has no Korean is said in English.
func (s said) in(lang string) string {
	words, args := s.words, s.args
	if lang == korean {
		if k, ok := inKorean[words]; ok {
			words = k
		}
	}
	if len(args) == 0 {
		return words
	}
	if lang == korean {
		args = make([]any, len(s.args))
		for i, a := range s.args {
			args[i] = a
			if text, ok := a.(string); ok {
				if k, ok := inKorean[text]; ok {
					args[i] = k
				}
			}
		}
	}
	return fmt.Sprintf(words, args...)
}

func sayAll(all []said, lang string) string {
	if len(all) == 1 {
		return all[0].in(lang)
	}
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = s.in(lang)
	}
	return strings.Join(parts, " ")
}

// languageOf picks the language of problems from Accept-Language (RFC 9110
// section 12.5.4, with the lookup of RFC 4647 for two languages): the one of
// the greater weight, the first of equals, English if neither is named.
func languageOf(values []string) string {
	best, weight := english, 0
	for _, v := range values {
		for len(v) > 0 {
			var one string
			one, v, _ = strings.Cut(v, ",")
			tag, q := weighted(one)
			if q <= weight {
				continue
			}
			primary, _, _ := strings.Cut(tag, "-")
			switch {
			case strings.EqualFold(primary, korean):
				best, weight = korean, q
			case strings.EqualFold(primary, english), primary == "*":
				best, weight = english, q
			}
		}
	}
	return best
}

// weighted reads one element of a list with weights: its value and its weight
// in thousandths. A weight that is none counts as 0.
func weighted(element string) (value string, q int) {
	value, rest, _ := strings.Cut(element, ";")
	q = 1000
	for rest != "" {
		var parameter string
		parameter, rest, _ = strings.Cut(rest, ";")
		name, number, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "q") {
			f, err := strconv.ParseFloat(number, 64)
			if err != nil || len(number) > 5 || !(f >= 0 && f <= 1) {
				return strings.TrimSpace(value), 0
			}
			q = int(f*1000 + 0.5)
		}
	}
	return strings.TrimSpace(value), q
}
