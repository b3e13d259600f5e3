package consent

// A RefusalKind says how a refusal is to be answered.
type RefusalKind uint8

const (
	Invalid   RefusalKind = iota + 1 // against the policy or not well formed: 422
	Forbidden                        // a disclosure that may not be made: 403
	Conflict                         // at odds with the state: 409
	NotFound                         // no such member or object: 404
)

// Status returns the HTTP status of the kind.
func (k RefusalKind) Status() int {
	switch k {
	case Forbidden:
		return 403
	case Conflict:
		return 409
	case NotFound:
		return 404
	}
	return 422
}

// A Refusal is a rule's "no". Nothing was recorded.
//
// Code is stable and meant for programs. Field is a path such as
// "decisions[1].items[0]", or "purposes.marketing.refusal" in a policy file,
// or empty. Message is English, holds the remedy, and never repeats a value
// that the caller sent. Reason is set for "no_effective_consent" and is one of
// the reasons of a decision.
type Refusal struct {
	Kind    RefusalKind
	Code    string
	Field   string
	Message string
	Reason  string

	format string // of a message that was filled in
	args   []any
}

func (r *Refusal) Error() string {
	if r.Field == "" {
		return r.Code + ": " + r.Message
	}
	return r.Code + ": " + r.Field + ": " + r.Message
}

func refuse(kind RefusalKind, code, field, message string) *Refusal {
	return &Refusal{Kind: kind, Code: code, Field: field, Message: message}
}

func invalid(code, field, message string) *Refusal { return refuse(Invalid, code, field, message) }
