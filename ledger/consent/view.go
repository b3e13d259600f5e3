package consent

import "time"

// States of a member.
const (
	StateActive    = "active"
	StateWithdrawn = "withdrawn"
)

// A MemberView is what GET /v1/members/{ref} shows.
type MemberView struct {
	State          string           `json:"state"`
	MemberKind     string           `json:"member_kind,omitempty"`
	Purposes       []PurposeView    `json:"purposes"`
	SuspendedItems []SuspendedView  `json:"suspended_items"`
	Disclosures    []DisclosureView `json:"disclosures"`
}

// A PurposeView is a member's newest decision on a purpose.
type PurposeView struct {
	Policy        string    `json:"policy"`
	Purpose       string    `json:"purpose"`
	Decision      string    `json:"decision"` // granted, refused, withdrawn
	Items         []string  `json:"items,omitempty"`
	Recipients    []string  `json:"recipients,omitempty"`
	PolicyVersion string    `json:"policy_version"`
	RecordedAt    time.Time `json:"recorded_at"`
	Index         uint64    `json:"index"`
	InForce       bool      `json:"in_force"`         // what a decision on it would say now
	Reason        string    `json:"reason,omitempty"` // and why
}

// A SuspendedView is an item under correction.
type SuspendedView struct {
	Item       string    `json:"item"`
	Correction string    `json:"correction"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// A DisclosureView is a disclosure that was made.
type DisclosureView struct {
	Recipient  string    `json:"recipient"`
	Purpose    string    `json:"purpose"`
	Items      []string  `json:"items"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}
