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
