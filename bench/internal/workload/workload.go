// Package workload is what the benchmarks say to a ledger: members, consents
// of about 400 bytes of JSON, decisions and withdrawals under the sample policy
// of Haim, which the server's first start creates too.
//
// Every consent here decides on three purposes of one retention class, so that
// one call is one entry, for a member who is enrolled and for a new one.
package workload

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"consentledger/ledger/consent"
	"consentledger/server/api"
	"consentledger/testdata/policies"
)

// Digits is how many a member's number has, always, so that it can be written
// over another one in place.
const Digits = 10

// Members are numbered members of one prefix. Their ids are made up.
type Members string

// ID is the id of a member, such as "bench-0000000042".
func (m Members) ID(n uint64) string {
	s := strconv.FormatUint(n, 10)
	return string(m) + "-" + strings.Repeat("0", max(0, Digits-len(s))) + s
}

// Policy is the policy file of the ledgers under test, texts inline.
func Policy() []byte { return policies.Haim() }

const (
	policyID      = "haim"
	policyVersion = "2025-01-01"
	memberKind    = "member"
	locale        = "en"
	method        = "checkbox"
	asked         = "terms_of_use" // the purpose of decisions
)

// Consent is what every member says. Nobody writes to what it holds.
func Consent(id consent.MemberID, enrol bool, at time.Time) *consent.Consent {
	return &consent.Consent{
		Member: id, Enrol: enrol, MemberKind: memberKind, Policy: policyID, PolicyVersion: policyVersion,
		Decisions: decisions, Method: method, Locale: locale, OccurredAt: at, MinimumAgeConfirmed: true,
	}
}

var decisions = []consent.Decision{
	{Purpose: "membership", Granted: true, Items: []string{"user_id", "email", "name"}},
	{Purpose: "terms_of_use", Granted: true, Items: []string{"user_id"}},
	{Purpose: "personalisation"},
}

// Withdrawal ends a membership.
func Withdrawal(id consent.MemberID) *consent.Withdrawal {
	return &consent.Withdrawal{Member: id, Membership: true}
}

// Question asks for a decision.
func Question(id consent.MemberID) *consent.Question {
	return &consent.Question{Member: id, Purpose: asked}
}

// A Body is a JSON body in which the member can be replaced by another of the
// same prefix without making the body anew.
type Body struct {
	JSON   []byte
	offset int // of the member's digits
}

func newBody(m Members, v any) Body {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above marshal
	}
	first := m.ID(0)
	return Body{JSON: b, offset: bytes.Index(b, []byte(first)) + len(first) - Digits}
}

// Offset says where in the body SetMember writes.
func (b Body) Offset() int { return b.offset }

// SetMember writes a member's digits into a copy of a body, which begins at
// dst[0]. It makes nothing on the heap.
func SetMember(dst []byte, offset int, n uint64) {
	for i := offset + Digits - 1; i >= offset; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

func consentBody(m Members, enrol bool, at time.Time) api.Consent {
	c := api.Consent{
		MemberID: m.ID(0), Enrol: enrol, MemberKind: memberKind, Policy: policyID, PolicyVersion: policyVersion,
		Method: method, Locale: locale, OccurredAt: at.Format(time.RFC3339), MinimumAgeConfirmed: true,
	}
	for _, d := range decisions {
		word := "refused"
		if d.Granted {
			word = "granted"
		}
		c.Decisions = append(c.Decisions, api.Decision{Purpose: d.Purpose, Decision: word, Items: d.Items})
	}
	return c
}

// ConsentBody is the body of POST /v1/consents.
func ConsentBody(m Members, enrol bool, at time.Time) Body {
	return newBody(m, consentBody(m, enrol, at))
}

// ConsentLine is the same as a line of POST /v1/batch, with its line feed.
func ConsentLine(m Members, enrol bool, at time.Time) Body {
	b := newBody(m, api.ConsentLine{Line: api.Line{Type: "consent"}, Consent: consentBody(m, enrol, at)})
	b.JSON = append(b.JSON, '\n')
	return b
}

// WithdrawalBody ends a membership: POST /v1/withdrawals.
func WithdrawalBody(m Members) Body {
	return newBody(m, api.Withdrawal{MemberID: m.ID(0), Scope: "membership"})
}

// DecisionBody asks for a decision: POST /v1/decisions.
func DecisionBody(m Members) Body {
	return newBody(m, api.Question{MemberID: m.ID(0), Purpose: asked})
}
