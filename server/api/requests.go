// Package api holds the JSON of every call and answer, as server/API.md shows
// it. A field without omitempty must be there in a request.
package api

// Consent is the body of POST /v1/consents.
type Consent struct {
	MemberID            string     `json:"member_id"`
	Enrol               bool       `json:"enrol,omitempty"`
	MemberKind          string     `json:"member_kind,omitempty"`
	Policy              string     `json:"policy"`
	PolicyVersion       string     `json:"policy_version"`
	Decisions           []Decision `json:"decisions"`
	Method              string     `json:"method"`
	Locale              string     `json:"locale"`
	OccurredAt          string     `json:"occurred_at"`
	ShownDigest         string     `json:"shown_digest,omitempty"`
	BirthDate           string     `json:"birth_date,omitempty"`
	MinimumAgeConfirmed bool       `json:"minimum_age_confirmed,omitempty"`
	Guardian            *Guardian  `json:"guardian,omitempty"`
	Reference           string     `json:"reference,omitempty"`
}

// Decision is what a member decided on one purpose.
type Decision struct {
	Purpose    string   `json:"purpose"`
	Decision   string   `json:"decision"` // granted, refused, or of cookies also ask (each time)
	Items      []string `json:"items,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
}

// Guardian says that a minor's guardian consented, and how that was verified.
type Guardian struct {
	Reference  string `json:"reference"`
	Method     string `json:"method"`
	VerifiedAt string `json:"verified_at"`
}

// Withdrawal is the body of POST /v1/withdrawals: purposes, or the scope membership.
type Withdrawal struct {
	MemberID   string   `json:"member_id"`
	Purposes   []string `json:"purposes,omitempty"`
	Items      []string `json:"items,omitempty"`
	Scope      string   `json:"scope,omitempty"`
	Method     string   `json:"method,omitempty"`
	OccurredAt string   `json:"occurred_at,omitempty"`
}

// ControlWithdrawal is the body of POST /control/members/{ref}/withdrawals: a
// Withdrawal of whom the ref stands for.
type ControlWithdrawal struct {
	Purposes   []string `json:"purposes,omitempty"`
	Items      []string `json:"items,omitempty"`
	Scope      string   `json:"scope,omitempty"`
	Method     string   `json:"method,omitempty"`
	OccurredAt string   `json:"occurred_at,omitempty"`
}

// Correction is the body of POST /v1/corrections.
type Correction struct {
	MemberID string   `json:"member_id"`
	Changes  []Change `json:"changes"`
}

// Change is one item of a correction.
type Change struct {
	Item string  `json:"item"`
	Old  *string `json:"old,omitempty"`
	New  *string `json:"new,omitempty"`
}

// CorrectionOutcome is the body of POST /v1/corrections/{id}/outcome.
type CorrectionOutcome struct {
	MemberID string `json:"member_id"`
	Outcome  string `json:"outcome"` // corrected or rejected
	Reason   string `json:"reason,omitempty"`
}

// Disclosure is the body of POST /v1/disclosures. Without member_id it must be anonymised.
type Disclosure struct {
	MemberID   string   `json:"member_id,omitempty"`
	Recipient  string   `json:"recipient"`
	Purpose    string   `json:"purpose"`
	Items      []string `json:"items"`
	Basis      string   `json:"basis,omitempty"`
	Form       string   `json:"form,omitempty"` // identified (the default), pseudonymised, anonymised
	OccurredAt string   `json:"occurred_at"`
	Reference  string   `json:"reference,omitempty"`
}

// Question is the body of POST /v1/decisions.
type Question struct {
	MemberID  string   `json:"member_id"`
	Purpose   string   `json:"purpose"`
	Items     []string `json:"items,omitempty"`
	Recipient string   `json:"recipient,omitempty"`
	Reference string   `json:"reference,omitempty"`
	At        string   `json:"at,omitempty"`
}

// Lookup is the body of POST /v1/lookups.
type Lookup struct {
	MemberID string `json:"member_id"`
}

// Activity is the body of POST /v1/activity: the member used the service.
type Activity struct {
	MemberID   string `json:"member_id"`
	OccurredAt string `json:"occurred_at"`
}

// Reactivation is the body of POST /v1/reactivations: a dormant member came back.
type Reactivation struct {
	MemberID string `json:"member_id"`
	Method   string `json:"method"`
}

// Signal is the body of POST /v1/signals: what a browser said by itself.
type Signal struct {
	MemberID   string `json:"member_id"`
	Signal     string `json:"signal"` // gpc
	Value      bool   `json:"value"`
	OccurredAt string `json:"occurred_at"`
}

// EventEnd is the body of POST /v1/events. Without member_id it is meant for everybody.
type EventEnd struct {
	Type       string `json:"type"` // delivered or event_ended
	MemberID   string `json:"member_id,omitempty"`
	Reference  string `json:"reference"`
	OccurredAt string `json:"occurred_at"`
}

// NewKey is the body of POST /v1/keys.
type NewKey struct {
	Role        string   `json:"role"`
	Name        string   `json:"name"`
	Policies    []string `json:"policies,omitempty"`    // the only ones that it may touch
	Certificate string   `json:"certificate,omitempty"` // the name in a client certificate that stands for it
}

// Line is what a line of POST /v1/batch has beside the fields of its call.
type Line struct {
	Type           string  `json:"type"` // consent, withdrawal, correction, disclosure, activity or signal
	IdempotencyKey *string `json:"idempotency_key,omitempty"`
}

// The lines of a batch.
type (
	// ConsentLine is a line of type consent.
	ConsentLine struct {
		Line
		Consent
	}
	// WithdrawalLine is a line of type withdrawal.
	WithdrawalLine struct {
		Line
		Withdrawal
	}
	// CorrectionLine is a line of type correction.
	CorrectionLine struct {
		Line
		Correction
	}
	// DisclosureLine is a line of type disclosure.
	DisclosureLine struct {
		Line
		Disclosure
	}
	// ActivityLine is a line of type activity.
	ActivityLine struct {
		Line
		Activity
	}
	// SignalLine is a line of type signal.
	SignalLine struct {
		Line
		Signal
	}
	// EventLine is a line of type delivered or event_ended, which is the call's
	// own type. It is of one member.
	EventLine struct {
		EventEnd
		IdempotencyKey *string `json:"idempotency_key,omitempty"`
	}
)

// NewWitness is the body of POST /v1/witnesses: a witness, or how many must sign, or both.
type NewWitness struct {
	URL      string  `json:"url,omitempty"`      // where it takes checkpoints; with key
	Key      string  `json:"key,omitempty"`      // its verifier key for cosignatures; with url
	Required *uint64 `json:"required,omitempty"` // how many must sign before a receipt is handed out; absent: as it is
}
