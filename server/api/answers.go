package api

import (
	"time"

	"consentledger/ledger/consent"
)

// Entry names one entry that a call wrote.
type Entry struct {
	Index    uint64 `json:"index"`
	LeafHash string `json:"leaf_hash"` // lower-case hex
	Class    string `json:"class"`
}

// ConsentAnswer answers POST /v1/consents with 201.
type ConsentAnswer struct {
	Member     string    `json:"member"` // mbr_…
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// WithdrawalAnswer answers POST /v1/withdrawals with 201.
type WithdrawalAnswer struct {
	Entries    []Entry   `json:"entries"`
	Destroyed  Destroyed `json:"destroyed"`
	Kept       []Kept    `json:"kept"`
	Notify     []Holder  `json:"notify"`
	RecordedAt time.Time `json:"recorded_at"`

	Certificate      string `json:"certificate,omitempty"`       // of destruction: a signed note; ledger/FORMAT.md
	CertificateLater bool   `json:"certificate_later,omitempty"` // too few witnesses have signed: send the call again
}

// Destroyed counts what a destruction made irrecoverable.
type Destroyed struct {
	Keys    int `json:"keys"`
	Entries int `json:"entries"`
}

// Kept is what outlives a withdrawal, one row a class.
type Kept struct {
	Class string     `json:"class"`
	Until *time.Time `json:"until"` // null where an event decides
	Event string     `json:"event,omitempty"`
	Basis string     `json:"basis"`
}

// Holder is a recipient who holds data of the member and is to be told.
type Holder struct {
	Recipient string   `json:"recipient"`
	Items     []string `json:"items"`
}

// CorrectionAnswer answers POST /v1/corrections with 201.
type CorrectionAnswer struct {
	Correction string    `json:"correction"` // cor_…
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// OutcomeAnswer answers POST /v1/corrections/{id}/outcome with 201.
type OutcomeAnswer struct {
	Entries    []Entry   `json:"entries"`
	Notify     []Told    `json:"notify"`
	RecordedAt time.Time `json:"recorded_at"`

	Certificate      string `json:"certificate,omitempty"`       // of destruction: a signed note; ledger/FORMAT.md
	CertificateLater bool   `json:"certificate_later,omitempty"` // too few witnesses have signed: send the call again
}

// Told is a recipient who got an item that was wrong, and when.
type Told struct {
	Recipient   string    `json:"recipient"`
	Items       []string  `json:"items"`
	DisclosedAt time.Time `json:"disclosed_at"`
	Index       uint64    `json:"index"`
}

// DisclosureAnswer answers POST /v1/disclosures with 201.
type DisclosureAnswer struct {
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// EventAnswer answers POST /v1/events of one member with 201.
type EventAnswer struct {
	Entries    []Entry   `json:"entries"`
	Destroyed  Destroyed `json:"destroyed"`
	Kept       []Kept    `json:"kept"` // what a hold keeps
	RecordedAt time.Time `json:"recorded_at"`

	Certificate      string `json:"certificate,omitempty"`       // of destruction: a signed note; ledger/FORMAT.md
	CertificateLater bool   `json:"certificate_later,omitempty"` // too few witnesses have signed: send the call again
}

// Recorded answers what has nothing else to say: the events of everybody (with
// 202, because what they end is destroyed soon after), activity, reactivations,
// signals, the outcomes of requests.
type Recorded struct {
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// RequestAnswer answers POST /v1/requests with 201.
type RequestAnswer struct {
	Request    string    `json:"request"` // rqt_…
	Due        time.Time `json:"due"`     // the first instant at which the answer is late
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// NoticeAnswer answers POST /v1/notices with 201.
type NoticeAnswer struct {
	Notice     string    `json:"notice"` // ntc_…
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`

	Certificate      string `json:"certificate,omitempty"`       // of destruction: a signed note; ledger/FORMAT.md
	CertificateLater bool   `json:"certificate_later,omitempty"` // too few witnesses have signed: send the call again
}

// HoldAnswer answers POST /v1/members/{ref}/holds with 201.
type HoldAnswer struct {
	Hold       string    `json:"hold"` // hld_…
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// ReleaseAnswer answers DELETE /v1/members/{ref}/holds/{id} with 200.
type ReleaseAnswer struct {
	Entries    []Entry   `json:"entries"`
	Destroyed  Destroyed `json:"destroyed"` // what the hold had put off
	RecordedAt time.Time `json:"recorded_at"`
}

// KeptApart answers GET /v1/members/{ref}/kept: what one class holds.
type KeptApart struct {
	State   string         `json:"state"` // withdrawn or dormant
	Class   string         `json:"class"` // the ground
	Basis   string         `json:"basis"` // the law
	Until   *time.Time     `json:"until"` // null where an event decides
	Entries []HistoryEntry `json:"entries"`

	Holds []consent.HoldView `json:"holds"` // legal holds that keep the class, with their ground
}

// DueList answers GET /v1/due, the most pressing first.
type DueList struct {
	Due  []Due `json:"due"`
	More bool  `json:"more,omitempty"` // there is more than was looked through
}

// Due is something that somebody has to do by a time.
type Due struct {
	Kind   string    `json:"kind"`         // request, correction, correction_notice, dormancy_notice, dormancy_end, hold, destruction_request
	ID     string    `json:"id,omitempty"` // rqt_…, cor_…, hld_…, ntc_…; absent of a dormancy notice
	Member string    `json:"member,omitempty"`
	At     time.Time `json:"at"` // the first instant at which it is late
}

// Affected is a line of the answer to POST /v1/breaches/query.
type Affected struct {
	Member  string   `json:"member"`
	Items   []string `json:"items"`
	Entries []uint64 `json:"entries"` // that show it
}

// Decided answers POST /v1/decisions with 200.
type Decided struct {
	Allowed       bool    `json:"allowed"`
	Reason        string  `json:"reason"`
	Index         *uint64 `json:"index,omitempty"`
	PolicyVersion string  `json:"policy_version,omitempty"`
}

// LookupAnswer answers POST /v1/lookups with 200.
type LookupAnswer struct {
	Member string `json:"member"`
	State  string `json:"state"` // active, dormant or withdrawn
}

// History answers GET /v1/members/{ref}/history, newest first.
type History struct {
	Entries []HistoryEntry `json:"entries"`
	Next    string         `json:"next,omitempty"` // the cursor of the next page; absent on the last
}

// HistoryEntry is one entry of a member, opened.
type HistoryEntry struct {
	Index      uint64    `json:"index"`
	LeafHash   string    `json:"leaf_hash"`
	Class      string    `json:"class"`
	RecordedAt time.Time `json:"recorded_at"`
	Event      any       `json:"event"`
}

// EntryProof answers GET /v1/entries/{index}.
type EntryProof struct {
	Index      uint64   `json:"index"`
	Entry      []byte   `json:"entry"` // standard base64: the opaque bytes
	LeafHash   string   `json:"leaf_hash"`
	Proof      []string `json:"proof"`      // lower-case hex, RFC 6962 order
	Checkpoint string   `json:"checkpoint"` // a signed note
}

// Destruction answers GET /v1/destructions/{index}.
type Destruction struct {
	Index       uint64      `json:"index"`
	LeafHash    string      `json:"leaf_hash"`
	RecordedAt  time.Time   `json:"recorded_at"`
	Status      string      `json:"status"`  // final; provisional until the root key before is overwritten
	Keys        uint64      `json:"keys"`    // that died
	Entries     uint64      `json:"entries"` // that nobody can read any more
	Generations Generations `json:"generations"`
	Grade       string      `json:"grade"` // how surely the root key's keeper forgets
}

// Awaiting answers GET /v1/destructions, the oldest first.
type Awaiting struct {
	Destructions []AwaitingDestruction `json:"destructions"`
	Next         string                `json:"next,omitempty"` // the cursor of the next page; absent on the last
}

// AwaitingDestruction is a destruction whose certificate waits for the officer.
type AwaitingDestruction struct {
	Index      uint64    `json:"index"`
	LeafHash   string    `json:"leaf_hash"`
	RecordedAt time.Time `json:"recorded_at"`
	Cause      string    `json:"cause"`
	Keys       uint64    `json:"keys"`
	Entries    uint64    `json:"entries"`
	Until      time.Time `json:"until"` // the first instant at which the certificate can no longer be had
}

// WaitingCertificate answers GET /v1/destructions/{index}/certificate.
type WaitingCertificate struct {
	Member      string `json:"member"`      // mbr_…: whom it is to be sent to
	Certificate string `json:"certificate"` // a signed note; ledger/FORMAT.md
}

// Generations are those of the root key, before and after a destruction.
type Generations struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Policies answers GET /v1/policies.
type Policies struct {
	Policies []Policy `json:"policies"`
}

// Policy is one version of one policy, with the file that it was posted as.
type Policy struct {
	Policy      string            `json:"policy"`
	Version     string            `json:"version"` // also the date on which it takes effect
	Announced   string            `json:"announced,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	PostedAt    time.Time         `json:"posted_at"`
	EffectiveAt time.Time         `json:"effective_at"` // in force from then until the next version's
	Purposes    []string          `json:"purposes"`
	Texts       map[string]string `json:"text_digests"` // language to SHA-256 of the text, lower-case hex
	Source      string            `json:"source"`

	// What it changed in the version before it; of a first version nothing.
	Changes []consent.PolicyChange `json:"changes"`
	// The purposes of which members who consented to an earlier version are asked again.
	Reconsent []string `json:"reconsent_required"`
}

// Recipients answers GET /v1/recipients: every state of every recipient, with
// from when until when it held.
type Recipients struct {
	Recipients []consent.RecipientState `json:"recipients"`
}

// RecipientAnswer answers POST /v1/recipients with 201.
type RecipientAnswer struct {
	Policy     string    `json:"policy"`
	ID         string    `json:"id"`
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// PolicyAnswer answers POST /v1/policies with 201.
type PolicyAnswer struct {
	Policy     string    `json:"policy"`
	Version    string    `json:"version"`
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// ProcessingRegister answers GET /v1/processing-register: a row a purpose.
type ProcessingRegister struct {
	Processing []consent.ProcessingRow `json:"processing"`
}

// Keys answers GET /v1/keys.
type Keys struct {
	Keys []Key `json:"keys"`
}

// Key is one API key of the register; its secret is not kept.
type Key struct {
	ID        string     `json:"id"`
	Role      string     `json:"role"`
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`

	Policies    []string `json:"policies,omitempty"`
	Certificate string   `json:"certificate,omitempty"`
	LastUsed    string   `json:"last_used,omitempty"` // a date (UTC); absent: never, as far as is known
}

// CreatedKey answers POST /v1/keys with 201. The key is shown this once.
type CreatedKey struct {
	ID   string `json:"id"`
	Key  string `json:"key,omitempty"` // absent where a certificate stands for it
	Role string `json:"role"`
	Name string `json:"name"`

	Policies    []string `json:"policies,omitempty"`
	Certificate string   `json:"certificate,omitempty"`

	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// RevokedKey answers DELETE /v1/keys/{id} with 200.
type RevokedKey struct {
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// Health answers GET /livez and /readyz.
type Health struct {
	Status string `json:"status"`
}

// Info answers GET /control/info, on the control socket only.
type Info struct {
	Origin     string `json:"origin"`
	PublicKey  string `json:"public_key"`
	Size       uint64 `json:"size"`
	Checkpoint string `json:"checkpoint"`
}

// Problem is RFC 9457, with a stable code and the field at fault.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Field     string `json:"field,omitempty"`
	Reason    string `json:"reason,omitempty"` // of a refused disclosure: that of the decision
	Rule      string `json:"rule,omitempty"`   // of a refusal by the rules: the requirement that it comes from
	RequestID string `json:"request_id"`
}

// Witnesses answers GET /v1/witnesses.
type Witnesses struct {
	Witnesses []Witness `json:"witnesses"`
	Required  uint64    `json:"required"` // how many must sign before a receipt is handed out
}

// Witness is one witness of the register.
type Witness struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	URL       string     `json:"url"`
	Key       string     `json:"key"` // its verifier key for cosignatures
	AddedAt   time.Time  `json:"added_at"`
	Size      *uint64    `json:"size,omitempty"`       // of the newest head that it has signed since the server's start
	SignedAt  *time.Time `json:"signed_at,omitempty"`  // when
	AwaySince *time.Time `json:"away_since,omitempty"` // absent while it answers
}

// WitnessAnswer answers POST /v1/witnesses with 201.
type WitnessAnswer struct {
	ID         string    `json:"id,omitempty"` // of the witness that was added
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}

// RemovedWitness answers DELETE /v1/witnesses/{id} with 200.
type RemovedWitness struct {
	Entries    []Entry   `json:"entries"`
	RecordedAt time.Time `json:"recorded_at"`
}
