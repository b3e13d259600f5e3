package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Problem is the server's answer to a call that it did not do (RFC 9457). Code is stable; server/ERRORS.md
// lists every code with its cause and remedy.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"` // empty where something between here and the server answered
	Detail    string `json:"detail"`
	Field     string `json:"field"`  // the field at fault, as decisions[0].purpose, or a header or parameter
	Reason    string `json:"reason"` // of a refused disclosure: that of the decision
	Rule      string `json:"rule"`   // the requirement that a refusal comes from
	RequestID string `json:"request_id"`

	RetryAfter time.Duration `json:"-"` // what the server asked to wait; 0: nothing
}

func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "consentledger: %d", p.Status)
	for _, s := range []string{p.Code, p.Field} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	if p.RequestID != "" {
		b.WriteString(" (" + p.RequestID + ")")
	}
	return b.String()
}

// HasCode says whether err is a problem of one of these codes.
func HasCode(err error, codes ...string) bool {
	var p *Problem
	return errors.As(err, &p) && slices.Contains(codes, p.Code)
}

// Unknown means that nobody knows whether a call was recorded: no answer that says so came. It may not have been
// sent at all, where the server could not be reached.
// Made again with the same arguments and IdempotencyKey, it is recorded once at most.
type Unknown struct {
	IdempotencyKey string // empty for a DELETE, which needs none: made again, it finds nothing to delete
	Attempts       int
	Err            error // what the last attempt met: a *Problem, or why there was no answer
}

func (u *Unknown) Error() string {
	return fmt.Sprintf("consentledger: after %d attempts it is not known whether this was recorded; make the same call again with the same idempotency key: %v", u.Attempts, u.Err)
}

func (u *Unknown) Unwrap() error { return u.Err }
