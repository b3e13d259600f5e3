package api

// The bodies of the officer's calls.

// Notice is the body of POST /v1/notices: somebody was told something, or it was tried.
type Notice struct {
	Kind        string  `json:"kind"`
	MemberID    string  `json:"member_id,omitempty"`
	Destruction *uint64 `json:"destruction,omitempty"` // index of the destruction entry that it is about
	Recipient   string  `json:"recipient,omitempty"`
	Correction  string  `json:"correction,omitempty"` // cor_…
	Channel     string  `json:"channel"`
	SentAt      string  `json:"sent_at"`
	DueAt       string  `json:"due_at,omitempty"` // of a destruction request: until when
	Outcome     string  `json:"outcome"`
	Reason      string  `json:"reason,omitempty"`
}

// Request is the body of POST /v1/requests: a member asks for a right.
type Request struct {
	MemberID   string `json:"member_id"`
	Type       string `json:"type"` // access, correction, erasure, suspension, complaint
	Channel    string `json:"channel"`
	ReceivedAt string `json:"received_at"`
}

// RequestOutcome is the body of POST /v1/requests/{id}/outcome.
type RequestOutcome struct {
	Outcome string `json:"outcome"` // granted, refused, withdrawn; of a suspension that was granted: lifted
	Reason  string `json:"reason,omitempty"`
}

// Hold is the body of POST /v1/members/{ref}/holds.
type Hold struct {
	Classes []string `json:"classes"`
	Ground  string   `json:"ground"`
	Until   string   `json:"until"`
}

// BreachQuery is the body of POST /v1/breaches/query: what leaked.
type BreachQuery struct {
	Members   []string `json:"members,omitempty"` // mbr_…; absent: all
	Items     []string `json:"items,omitempty"`
	Recipient string   `json:"recipient,omitempty"`
	From      string   `json:"from"`
	To        string   `json:"to"`
}

// RecipientChange is the body of POST /v1/recipients: who gets data, between two versions of a policy.
type RecipientChange struct {
	Policy    string    `json:"policy"`
	ID        string    `json:"id"`
	Recipient Recipient `json:"recipient"`
	Announced string    `json:"announced"`
	Reason    string    `json:"reason"`
}

// Recipient is what a recipient is from a day on. Of one that has ended only
// from is needed.
type Recipient struct {
	Name     string   `json:"name,omitempty"`
	Business string   `json:"business,omitempty"`
	Kind     string   `json:"kind,omitempty"` // processor, third_party or authority
	Country  string   `json:"country,omitempty"`
	Purposes []string `json:"purposes,omitempty"`
	Items    []string `json:"items,omitempty"`
	From     string   `json:"from"` // YYYY-MM-DD
	Ended    bool     `json:"ended,omitempty"`
}
