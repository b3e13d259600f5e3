package consent

import (
	"fmt"
	"io"
	"time"
)

// The calls beside consents, withdrawals, corrections and disclosures: what a
// member's time runs by, and what the officer records.

// An Activity is POST /v1/activity: the member used the service.
type Activity struct {
	Member     MemberID
	OccurredAt time.Time
}

// A Reactivation is POST /v1/reactivations: a dormant member came back.
type Reactivation struct {
	Member MemberID
	Method string
}

// A Signal is POST /v1/signals: what a browser said by itself. It is no consent.
type Signal struct {
	Member     MemberID
	Signal     string // SignalGPC
	Value      bool
	OccurredAt time.Time
}

// SignalGPC is Global Privacy Control.
const SignalGPC = "gpc"

// An EventEnd is POST /v1/events: what a class until delivery or until
// event_end waits for. Without a member it is meant for everybody.
type EventEnd struct {
	Type       string // EventDelivered or EventEnded
	Member     MemberID
	Reference  string
	OccurredAt time.Time
}

// Format prints no field.
func (EventEnd) Format(s fmt.State, _ rune) { io.WriteString(s, "[event end]") }

// The types of an EventEnd.
const (
	EventDelivered = "delivered"
	EventEnded     = "event_ended"
)

// A Hold is POST /v1/members/{ref}/holds: what its classes hold must not be destroyed before Until.
type Hold struct {
	Classes []string // "contract", or "haim/contract" where two policies have it
	Ground  string   // free text
	Until   time.Time
}

// Format prints no field.
func (Hold) Format(s fmt.State, _ rune) { io.WriteString(s, "[hold]") }

// A Notice is POST /v1/notices: somebody was told something, or it was tried.
type Notice struct {
	Kind        string
	Member      MemberID // zero: not of one member
	Destruction *uint64  // index of a destruction entry, where the member is gone
	Recipient   string   // told, or asked to destroy, or audited
	Correction  string   // cor_…, of NoticeCorrection
	Channel     string
	SentAt      time.Time
	DueAt       time.Time // of NoticeDestructionRequest: until when
	Outcome     string
	Reason      string // free text where the notice has a member or is about a partner, else a short name
}

// Format prints no field.
func (Notice) Format(s fmt.State, _ rune) { io.WriteString(s, "[notice]") }

// The kinds of notices.
const (
	NoticePolicyChange       = "policy_change"
	NoticeProcessorChange    = "processor_change"
	NoticeDormancy           = "dormancy"
	NoticeWithdrawalDone     = "withdrawal_done"
	NoticeDestructionDone    = "destruction_done"
	NoticeBreach             = "breach"
	NoticeCorrection         = "correction"          // to a recipient who got a value that was wrong
	NoticeDestructionRequest = "destruction_request" // to whoever holds a copy outside of the shop's systems
	NoticePartnerAudit       = "partner_audit"
)

// The outcomes of a notice. Passed and Findings are an audit's, Confirmed a
// destruction request's.
const (
	NoticeSent       = "sent"
	NoticeDelivered  = "delivered"
	NoticeConfirmed  = "confirmed"
	NoticeFailed     = "failed"     // to be tried again; needs a reason
	NoticeImpossible = "impossible" // not to be tried again; needs a reason
	NoticePassed     = "passed"
	NoticeFindings   = "findings"
)

// A Request is POST /v1/requests: a member asks for a right.
type Request struct {
	Member     MemberID
	Type       string
	Channel    string
	ReceivedAt time.Time
}

// The types of requests.
const (
	RequestAccess     = "access"
	RequestCorrection = "correction"
	RequestErasure    = "erasure"
	RequestSuspension = "suspension" // processing is suspended from its recording until it is refused or lifted
	RequestComplaint  = "complaint"
)

// A RequestOutcome is POST /v1/requests/{id}/outcome.
type RequestOutcome struct {
	Request string // rqt_…
	Outcome string
	Reason  string
}

// Format prints no field.
func (RequestOutcome) Format(s fmt.State, _ rune) { io.WriteString(s, "[request outcome]") }

// The outcomes of a request. Lifted ends a suspension that was granted.
const (
	RequestGranted   = "granted"
	RequestRefused   = "refused" // needs a reason
	RequestWithdrawn = "withdrawn"
	RequestLifted    = "lifted"
)

// A RecipientChange is POST /v1/recipients: who gets data, between two versions of a policy.
type RecipientChange struct {
	Policy    string
	ID        string
	Recipient Recipient // ID empty; From: the day it takes effect
	Ended     bool      // from Recipient.From on it gets nothing more
	Announced string    // YYYY-MM-DD
	Reason    string
}

// A DueItem is something that somebody has to do by a time.
type DueItem struct {
	Kind string    // DueRequest …
	ID   string    // rqt_…, cor_…, hld_…, ntc_…; empty for what is of the member and of no call
	At   time.Time // when it is late
}

// The kinds of due items.
const (
	DueRequest            = "request"             // to be answered
	DueCorrection         = "correction"          // to be decided
	DueCorrectionNotice   = "correction_notice"   // recipients to be told
	DueDormancyNotice     = "dormancy_notice"     // the member to be told
	DueDormancyEnd        = "dormancy_end"        // of who was told: the membership ends, and nobody is answered with who holds copies
	DueHold               = "hold"                // ends
	DueDestructionRequest = "destruction_request" // a copy outside to be confirmed destroyed
)

// A BreachQuery is POST /v1/breaches/query.
type BreachQuery struct {
	Items     []string // absent: all
	Recipient string   // absent: looks and disclosures to anybody
	From, To  time.Time
}

// A MemberEntry is one entry of a member, opened.
type MemberEntry struct {
	Index      uint64
	LeafHash   [32]byte
	RecordedAt time.Time
	Key        KeyName
	Event      Event
}
