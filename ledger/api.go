package ledger

import (
	"errors"
	"fmt"
	"io"
	"time"

	"consentledger/ledger/consent"
)

// Role is what a caller may do. The roles are those of API keys.
type Role string

// The roles, from server/API.md.
const (
	RoleWriter  Role = "writer"  // writes, outcomes, batch, decisions, lookups
	RoleReader  Role = "reader"  // members, decisions, lookups
	RoleDPO     Role = "dpo"     // what writer and reader may, and the officer's calls
	RoleAuditor Role = "auditor" // log, proofs, registers; opens nothing
	RoleAdmin   Role = "admin"   // registers and keys; opens nothing
)

// Action is one thing that a caller may or may not do.
type Action uint8

// The actions that the roles are made of.
const (
	ActWrite    Action = iota // consents, withdrawals, corrections, outcomes, disclosures
	ActDecide                 // decisions and lookups
	ActLook                   // a member's data
	ActLog                    // entries with proofs
	ActRegister               // API keys and operators: change, and list the keys
	ActOffice                 // holds, notices, requests, what is kept apart, what is due, breaches
	ActPeople                 // the register of operators: read
	ActPolicies               // policies and recipients: change
)

// Caller is who asks. No method of a ledger works without one.
type Caller struct {
	KeyID string // key_…, opr_… of an operator, or "local" for the command line beside the ledger
	Role  Role
	From  string // network address, or "control.sock"
	Once  *Once  // the idempotency key of a write; nil: none

	Policies []string // the only ones that the caller may touch; nil: all
}

// May says whether the caller's role allows an action. Who may touch only some policies has only the
// actions named here, each of which asks which policy a call touches; what is of the whole member, or of
// no policy, is not for them.
func (c Caller) May(a Action) bool {
	if c.Policies != nil && a != ActWrite && a != ActDecide && a != ActLog && a != ActPolicies {
		return false
	}
	switch c.Role {
	case RoleWriter:
		return a == ActWrite || a == ActDecide || a == ActLog
	case RoleReader:
		return a == ActLook || a == ActDecide || a == ActLog
	case RoleDPO:
		return a == ActWrite || a == ActDecide || a == ActLook || a == ActLog || a == ActOffice || a == ActPeople
	case RoleAuditor:
		return a == ActLog || a == ActPeople
	case RoleAdmin:
		return a == ActRegister || a == ActPolicies || a == ActLog || a == ActPeople
	}
	return false
}

// must is nil if the caller may do something, and else says what they lack: the role, or every policy.
func (c Caller) must(a Action) error {
	switch {
	case c.May(a):
		return nil
	case c.Policies != nil && (Caller{Role: c.Role}).May(a):
		return ErrPolicyNotAllowed
	}
	return ErrForbidden
}

// Call is a request to write: a consent, a withdrawal, a correction or its outcome, a disclosure, an
// activity, a reactivation, a signal, the end of an event of one member, a request or a notice: pointers
// to the types of ledger/consent.
type Call any

// EntryRef names one entry that a call wrote.
type EntryRef struct {
	Index    uint64
	LeafHash [32]byte
	Class    string // name of the retention class
}

// Answer is what a durable write led to. Fields that do not belong to the kind of call are zero.
type Answer struct {
	Member           Ref
	Entries          []EntryRef
	RecordedAt       time.Time
	Correction       string // cor_…
	DestroyedKeys    int
	DestroyedEntries int
	Kept             []consent.Kept
	Notify           []consent.Notify
	Request          string    // rqt_…
	DueAt            time.Time // of a request
	Notice           string    // ntc_…
	Hold             string    // hld_…
	Replayed         bool      // it is the answer to an earlier call with the same idempotency key

	extra []byte // of an answer told again

	opening opening // of a destruction's commitment; zero: there is none to hand out
}

// Look says why a caller reads a member's data; it becomes the access entry.
type Look struct {
	Reason string // not empty, at most 1,000 bytes
	What   string // "state" or "history"
}

// Format prints no field.
func (Look) Format(s fmt.State, _ rune) { io.WriteString(s, "[look]") }

// State is what a lookup tells.
type State string

// The states of a member who is on record.
const (
	StateActive    State = "active"
	StateDormant   State = "dormant"   // idle for longer than the policy says; kept apart
	StateWithdrawn State = "withdrawn" // gone, and something is kept until its time is up
)

// HistoryRow is one entry of a member, opened.
type HistoryRow struct {
	Index      uint64
	LeafHash   [32]byte
	Class      string
	RecordedAt time.Time
	Event      consent.Event
}

// EntryProof is an entry as it is stored, with its proof of inclusion in a published checkpoint.
type EntryProof struct {
	Index      uint64
	Entry      []byte
	LeafHash   [32]byte
	Proof      [][32]byte
	Checkpoint []byte
}

// Written names the entries of a change to a register.
type Written struct {
	Entries    []EntryRef
	RecordedAt time.Time
	Replayed   bool // as in Answer

	extra []byte
}

// APIKey is one row of the register of keys; the secret is not kept.
type APIKey struct {
	ID        string // key_…
	Role      Role
	Name      string
	CreatedAt time.Time
	RevokedAt time.Time // zero while it is live

	Policies    []string  // the only ones that it may touch; nil: all
	Certificate string    // the name in the client's certificate that stands for it; empty: a token does
	LastUsed    time.Time // the day (UTC) on which it was last used; zero: never. A crash may lose a day
}

// Errors of a ledger. Refusals by the rules are *consent.Refusal.
var (
	ErrUnknownMember    = errors.New("unknown member")
	ErrUnknownEntry     = errors.New("no such entry")
	ErrUnknownKey       = errors.New("no such API key")
	ErrBusy             = errors.New("too many writes are waiting")
	ErrReadOnly         = errors.New("the ledger has stopped writing because the state of its disk is in doubt")
	ErrUncertain        = errors.New("it is not known whether this was recorded")
	ErrForbidden        = errors.New("the caller's role does not allow this")
	ErrUnauthorized     = errors.New("no such API key, or it was revoked")
	ErrClosed           = errors.New("the ledger is closed")
	ErrPolicyNotAllowed = errors.New("the caller's key is for other policies")
	ErrDormant          = errors.New("the member is dormant")
	ErrUnknownGround    = errors.New("nothing of the member is kept on that ground")
)
