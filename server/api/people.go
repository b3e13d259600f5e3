package api

import "time"

// NewOperator is the body of POST /v1/operators.
type NewOperator struct {
	Name        string `json:"name"`
	Role        string `json:"role"` // dpo, reader, admin, auditor
	Responsible bool   `json:"responsible"`
}

// CreatedOperator answers POST /v1/operators with 201.
type CreatedOperator struct {
	ID          string    `json:"id"`
	Role        string    `json:"role"`
	Responsible bool      `json:"responsible"`
	Entries     []Entry   `json:"entries"`
	RecordedAt  time.Time `json:"recorded_at"`
}

// HandoverOf is the body of POST /v1/operators/{id}/handover.
type HandoverOf struct {
	To string `json:"to"` // opr_…
	At string `json:"at"`
}

// Operators answers GET /v1/operators.
type Operators struct {
	Operators []Operator `json:"operators"`
	Handovers []Handover `json:"handovers"`
}

// Operator is one person of the register.
type Operator struct {
	ID          string     `json:"id"`
	Name        string     `json:"name,omitempty"` // absent for an auditor, and once it is destroyed
	Role        string     `json:"role"`
	Responsible bool       `json:"responsible"`
	AddedAt     time.Time  `json:"added_at"`
	EndedAt     *time.Time `json:"ended_at,omitempty"`
}

// Handover says that the responsibility for customer information passed on.
type Handover struct {
	From       string    `json:"from"`
	To         string    `json:"to"`
	At         time.Time `json:"at"`
	RecordedAt time.Time `json:"recorded_at"`
}

// Invitation answers POST /v1/operators/{id}/invitations with 201. It is shown this once.
type Invitation struct {
	Operator   string    `json:"operator"`
	Invitation string    `json:"invitation"`
	ExpiresAt  time.Time `json:"expires_at"`
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// NewEnrolment is the body of POST /v1/enrolments: an invited person begins.
type NewEnrolment struct {
	Operator   string `json:"operator"`
	Invitation string `json:"invitation"`
}

// Enrolment answers POST /v1/enrolments with 201: what goes into an authenticator app.
type Enrolment struct {
	Secret string `json:"secret"`
	URI    string `json:"uri"` // for a QR code
}

// Confirmation is the body of POST /v1/enrolments/confirm.
type Confirmation struct {
	Operator   string `json:"operator"`
	Invitation string `json:"invitation"`
	Password   string `json:"password"`
	Code       string `json:"code"`
}

// Enrolled answers POST /v1/enrolments/confirm with 201. The codes are shown this once.
type Enrolled struct {
	Operator      string    `json:"operator"`
	RecoveryCodes []string  `json:"recovery_codes"`
	Entries       []Entry   `json:"entries"`
	RecordedAt    time.Time `json:"recorded_at"`
}

// SignIn is the body of POST /v1/sessions.
type SignIn struct {
	Operator     string `json:"operator"`
	Password     string `json:"password"`
	Code         string `json:"code,omitempty"`
	RecoveryCode string `json:"recovery_code,omitempty"`
}

// Session answers POST /v1/sessions with 201. The token is shown this once.
type Session struct {
	Session     string    `json:"session"`
	Operator    string    `json:"operator"`
	Role        string    `json:"role"`
	IdleSeconds int       `json:"idle_seconds"`
	ExpiresAt   time.Time `json:"expires_at"`
	Entries     []Entry   `json:"entries"`
	RecordedAt  time.Time `json:"recorded_at"`
}

// SignedOut answers DELETE /v1/sessions with 200.
type SignedOut struct {
	SignedOut bool `json:"signed_out"`
}
