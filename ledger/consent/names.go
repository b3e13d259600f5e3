package consent

import (
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// maxNameBytes bounds the names of purposes, items, classes and the like.
const maxNameBytes = 64

// isName reports whether s is a name: [a-z0-9_-]{1,64}.
func isName(s string) bool {
	if len(s) == 0 || len(s) > maxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// isPolicyName reports whether s is a policy's name: [a-z0-9-]{1,64}.
func isPolicyName(s string) bool {
	for i := range len(s) {
		if s[i] == '_' {
			return false
		}
	}
	return isName(s)
}

// isLanguage reports whether s is a well-formed BCP 47 tag in its usual form.
func isLanguage(s string) bool {
	if len(s) > maxNameBytes {
		return false
	}
	t, err := language.Parse(s)
	return err == nil && t.String() == s && t != language.Und
}

// isFreeText reports whether s is short enough and holds nothing but text.
func isFreeText(s string, maxBytes int) bool {
	return len(s) <= maxBytes && utf8.ValidString(s) && !hasControl(s)
}

func hasControl(s string) bool {
	for _, c := range s {
		if c < 0x20 && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 {
			return true
		}
	}
	return false
}

// isReference reports whether s can name an order, an event or the like. Two spellings of one
// character, or one with a space after it, would be two orders, and the end of one would not end the other.
func isReference(s string) bool {
	return len(s) >= 1 && len(s) <= 256 && utf8.ValidString(s) && !invisible(s) && !spaced(s) && norm.NFC.IsNormalString(s)
}
