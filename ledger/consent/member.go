package consent

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxMemberIDBytes is the longest member id, in bytes of UTF-8.
const MaxMemberIDBytes = 256

// A MemberID is the shop's own identifier of a member. It is personal data:
// it prints as "[member id]" under every verb, and nothing marshals it.
//
// The bytes sit behind two pointers because fmt calls no method of a value in
// an unexported field: a struct that holds a MemberID would otherwise print it,
// and for a verb that does not fit a pointer fmt follows the first of them.
type MemberID struct{ p *idPointer }

type idPointer struct{ b *[]byte }

// What is wrong with a member id. None of them repeats it.
var (
	ErrMemberIDLength    = errors.New("member_id must have 1 to 256 bytes")
	ErrMemberIDUTF8      = errors.New("member_id must be valid UTF-8")
	ErrMemberIDNFC       = errors.New("member_id must be in Unicode normalization form C")
	ErrMemberIDSpace     = errors.New("member_id must not begin or end with space")
	ErrMemberIDCharacter = errors.New("member_id must not hold control, bidirectional, zero-width or other invisible characters")
)

// ParseMemberID takes 1 to 256 bytes of UTF-8 in Unicode normalization form C
// without control, format (bidirectional and zero-width among them), line or
// paragraph separator characters, and without those that Unicode calls
// ignorable by default, such as Hangul fillers, and without space at either end: two ids
// that look the same must not be two members.
func ParseMemberID(s string) (MemberID, error) {
	switch {
	case len(s) == 0 || len(s) > MaxMemberIDBytes:
		return MemberID{}, ErrMemberIDLength
	case !utf8.ValidString(s):
		return MemberID{}, ErrMemberIDUTF8
	case invisible(s):
		return MemberID{}, ErrMemberIDCharacter
	case !norm.NFC.IsNormalString(s):
		return MemberID{}, ErrMemberIDNFC
	case spaced(s):
		return MemberID{}, ErrMemberIDSpace
	}
	b := []byte(s)
	return MemberID{&idPointer{&b}}, nil
}

// invisible reports whether s holds a character that nobody sees.
func invisible(s string) bool {
	for _, c := range s {
		if c < 0x20 || c == 0x7f {
			return true
		}
		if c < 0x80 {
			continue
		}
		if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return true
		}
	}
	return false
}

// spaced reports whether s begins or ends with space of any kind.
func spaced(s string) bool { return strings.TrimSpace(s) != s }

// Bytes returns the id itself. The caller must not change it.
func (m MemberID) Bytes() []byte {
	if m.p == nil {
		return nil
	}
	return *m.p.b
}

// IsZero reports whether m is no id at all.
func (m MemberID) IsZero() bool { return m.p == nil }

const memberIDPlaceholder = "[member id]"

// Format prints the placeholder, whatever the verb.
func (m MemberID) Format(s fmt.State, _ rune) { io.WriteString(s, memberIDPlaceholder) }

// String returns the placeholder.
func (m MemberID) String() string { return memberIDPlaceholder }

// LogValue returns the placeholder.
func (m MemberID) LogValue() slog.Value { return slog.StringValue(memberIDPlaceholder) }

// MarshalText returns the placeholder, so that no encoder reaches the id.
func (m MemberID) MarshalText() ([]byte, error) { return []byte(memberIDPlaceholder), nil }
