package server

import (
	"encoding/json"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// A lineKind is the type of a batch's line.
type lineKind uint8

const (
	lineUnknown lineKind = iota
	lineConsent
	lineWithdrawal
	lineCorrection
	lineDisclosure
	lineActivity
	lineSignal
	lineEvent
)

func lineKindOf(s []byte) lineKind {
	switch string(s) {
	case "consent":
		return lineConsent
	case "withdrawal":
		return lineWithdrawal
	case "correction":
		return lineCorrection
	case "disclosure":
		return lineDisclosure
	case "activity":
		return lineActivity
	case "signal":
		return lineSignal
	case consent.EventDelivered, consent.EventEnded:
		return lineEvent
	}
	return lineUnknown
}

// peek reads a line's type and a hash of its member id, and stops when it has
// both. It is right for every line that the strict scan accepts; of the others
// it says anything, and they are refused wherever they go.
func peek(line []byte) (k lineKind, member uint32) {
	found := 0
	c := scan{b: line}
	c.space()
	if c.next() != '{' {
		return lineUnknown, 0
	}
	for {
		c.i++ // the brace, or the comma
		c.space()
		name, ok := c.peekString()
		if !ok {
			return k, member
		}
		if hasEscape(name) {
			name = unescape(nil, name)
		}
		c.space()
		if c.next() != ':' {
			return k, member
		}
		c.i++
		c.space()
		switch wanted := string(name); {
		case wanted != "type" && wanted != "member_id", c.next() != '"':
			if !c.peekPast() {
				return k, member
			}
		default:
			text, ok := c.peekString()
			if !ok {
				return k, member
			}
			if hasEscape(text) {
				text = unescape(nil, text)
			}
			if wanted == "type" {
				k = lineKindOf(text)
			} else {
				member = fnv1a(text)
			}
			if found++; found == 2 {
				return k, member
			}
		}
		c.space()
		if c.next() != ',' {
			return k, member
		}
	}
}

func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, d := range b {
		h = (h ^ uint32(d)) * 16777619
	}
	return h
}

// peekString returns what stands between the quotes here, escaped as it is.
func (c *scan) peekString() ([]byte, bool) {
	if c.next() != '"' {
		return nil, false
	}
	for i := c.i + 1; i < len(c.b); i++ {
		switch c.b[i] {
		case '\\':
			i++
		case '"':
			inside := c.b[c.i+1 : i]
			c.i = i + 1
			return inside, true
		}
	}
	return nil, false
}

// peekPast steps over a value.
func (c *scan) peekPast() bool {
	for depth := 0; c.i < len(c.b); {
		switch c.b[c.i] {
		case '"':
			if _, ok := c.peekString(); !ok {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		c.i++
	}
	return false
}

// decodeLine makes a call of a batch's line of a kind, and reads its idempotency key.
func decodeLine(k lineKind, b []byte) (call ledger.Call, key *string, p *problem) {
	switch k {
	case lineConsent:
		var in api.ConsentLine
		if p := decodeInto(shapeConsentLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(consentOf(&in.Consent))
		return call, in.IdempotencyKey, p
	case lineWithdrawal:
		var in api.WithdrawalLine
		if p := decodeInto(shapeWithdrawalLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(withdrawalOf(&in.Withdrawal))
		return call, in.IdempotencyKey, p
	case lineCorrection:
		var in api.CorrectionLine
		if p := decodeInto(shapeCorrectionLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(correctionOf(&in.Correction))
		return call, in.IdempotencyKey, p
	case lineDisclosure:
		var in api.DisclosureLine
		if p := decodeInto(shapeDisclosureLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(disclosureOf(&in.Disclosure))
		return call, in.IdempotencyKey, p
	case lineActivity:
		var in api.ActivityLine
		if p := decodeInto(shapeActivityLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(activityOf(&in.Activity))
		return call, in.IdempotencyKey, p
	case lineSignal:
		var in api.SignalLine
		if p := decodeInto(shapeSignalLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = callOf(signalOf(&in.Signal))
		return call, in.IdempotencyKey, p
	case lineEvent:
		var in api.EventLine
		if p := decodeInto(shapeEventLine, b, &in); p != nil {
			return nil, nil, p
		}
		call, p = eventLine(&in)
		return call, in.IdempotencyKey, p
	}
	// Which fields the line may have depends on its type; without one, say what is wrong with the JSON first.
	var anything any
	if len(b) == 0 {
		return nil, nil, newProblem("empty_body", "", "The line is empty; send a JSON object, and nothing after the last line's end.")
	}
	if json.Unmarshal(b, &anything) != nil {
		return nil, nil, newProblem("malformed_json", "", "The line is not JSON (RFC 8259).")
	}
	return nil, nil, newProblem("invalid_value", "type", "Send the line's type: consent, withdrawal, correction, disclosure, activity, signal, delivered or event_ended.")
}

// eventLine takes the end of an event for one member only: for everybody it is
// answered before it is done, which no line of a batch is.
func eventLine(in *api.EventLine) (ledger.Call, *problem) {
	if in.MemberID == "" {
		return nil, newProblem("missing_field", "member_id", "A line ends an event of one member; name them, or send the end for everybody to POST /v1/events.")
	}
	return callOf(eventEndOf(&in.EventEnd))
}

// callOf keeps a nil pointer from becoming a call.
func callOf[T any](c *T, p *problem) (ledger.Call, *problem) {
	if p != nil {
		return nil, p
	}
	return c, nil
}

// CheckLine says what is wrong with the form of a batch's line, nil if nothing
// is. What the rules say of it is not asked.
func CheckLine(line []byte) *api.Problem {
	p := (*problem)(nil)
	if len(line) > maxLineBytes {
		p = lineTooLarge()
	} else {
		k, _ := peek(line)
		_, _, p = decodeLine(k, line)
	}
	if p == nil {
		return nil
	}
	return &api.Problem{
		Type: "urn:consentledger:problem:" + p.code, Title: p.titleIn(english), Status: p.status, Code: p.code, Detail: p.detailIn(english), Field: p.field,
	}
}

func lineTooLarge() *problem {
	return newProblem("line_too_large", "", "Send at most %d bytes a line.", maxLineBytes)
}
