package server

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Here are the headers that say how and why something is read.

const maxReasonBytes = 1000

// accessReason reads why personal data is looked at: UTF-8 text, as it is, in one header.
func (x *exchange) accessReason() *problem {
	const name = "Access-Reason"
	values := x.r.Header[name]
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		return newProblem("access_reason_missing", name, "Say in the header Access-Reason why you look at this member's data; it is recorded.")
	}
	if len(values) != 1 || len(values[0]) > maxReasonBytes || !isText(values[0]) || hides(values[0]) {
		return newProblem("access_reason_invalid", name, "Send one Access-Reason of 1 to %d bytes of UTF-8 without control or invisible characters.", maxReasonBytes)
	}
	x.look.Reason = values[0]
	return nil
}

const maxGroundBytes = 64 + len("/") + 64

// accessGround reads on which ground what is kept apart is read: the name of a retention class, after
// that of its policy where a member has such a class under several.
func (x *exchange) accessGround() *problem {
	const name = "Access-Ground"
	values := x.r.Header[name]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return newProblem("access_ground_missing", name, "Name in the header Access-Ground the retention class whose law keeps what you read, such as contract; it is recorded.")
	}
	if len(values) != 1 || len(values[0]) > maxGroundBytes || strings.Trim(values[0], "abcdefghijklmnopqrstuvwxyz0123456789_-/") != "" {
		return newProblem("access_ground_invalid", name, "Send one Access-Ground: the name of a retention class, of a to z, 0 to 9, - and _, or policy/class.")
	}
	x.ground = values[0]
	return nil
}

// isText says whether s is UTF-8 that holds no control characters.
func isText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// pick returns the offer that Accept prefers (RFC 9110 section 12.5.1),
// the first of equals; nil if it takes none. The most specific range that fits
// an offer gives its weight.
func pick(accept []string, offers [][]string) []string {
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return offers[0]
	}
	var best []string
	weight := 0
	for _, offer := range offers {
		media, _, _ := strings.Cut(offer[0], ";")
		kind, _, _ := strings.Cut(media, "/")
		q, specific := 0, -1
		for one := range strings.SplitSeq(all, ",") {
			s := -1
			value, w := weighted(one)
			switch {
			case strings.EqualFold(value, media):
				s = 2
			case strings.EqualFold(value, kind+"/*"):
				s = 1
			case value == "*/*":
				s = 0
			}
			if s > specific {
				q, specific = w, s
			}
		}
		if q > weight {
			best, weight = offer, q
		}
	}
	return best
}

// names are the media types of offers.
func names(offers [][]string) string {
	list := make([]string, len(offers))
	for i, o := range offers {
		list[i], _, _ = strings.Cut(o[0], ";")
	}
	return strings.Join(list, ", ")
}
