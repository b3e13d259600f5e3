package consent

import (
	"fmt"
	"io"
	"time"
)

// A Consent is POST /v1/consents: what a member decided.
type Consent struct {
	Member              MemberID
	Enrol               bool
	MemberKind          string
	Policy              string
	PolicyVersion       string
	Decisions           []Decision
	Method              string    // how: button, checkbox, paper, phone …
	Locale              string    // BCP 47: the language of what was shown
	OccurredAt          time.Time // the caller's clock; only recorded
	ShownDigest         []byte    // SHA-256 of exactly what was shown; absent: that of the policy's text in the locale
	BirthDate           *Date     // looked at and never recorded
	MinimumAgeConfirmed bool
	Guardian            *Guardian
	Reference           string // order, raffle …: of classes that end by an event
}

// Format prints no field.
func (Consent) Format(s fmt.State, _ rune) { io.WriteString(s, "[consent]") }

// A Decision is one purpose's answer inside a consent.
type Decision struct {
	Purpose    string   `cbor:"1,keyasint"`
	Granted    bool     `cbor:"2,keyasint,omitempty"`
	Ask        bool     `cbor:"5,keyasint,omitempty"` // of cookies: the member is to be asked each time. Not granted
	Items      []string `cbor:"3,keyasint,omitempty"` // absent on a grant: the mandatory items
	Recipients []string `cbor:"4,keyasint,omitempty"` // absent on a grant of a provision purpose: all that the policy names for it
}

// A Guardian says that a minor's legal representative consented and how that
// was verified (PIPA 22-2). It holds no name: Reference points to where the
// shop keeps the proof.
type Guardian struct {
	Reference  string
	Method     string
	VerifiedAt time.Time
}

// Format prints no field.
func (Guardian) Format(s fmt.State, _ rune) { io.WriteString(s, "[guardian]") }

// A Withdrawal is POST /v1/withdrawals: of purposes, of optional items of
// purposes, or of the whole membership.
type Withdrawal struct {
	Member     MemberID
	Purposes   []string // "marketing", or "haim/marketing" where two policies state it
	Items      []string
	Membership bool      // scope: "membership"
	Method     string    // optional
	OccurredAt time.Time // optional
}

// A Correction is POST /v1/corrections: a member says that items are wrong.
type Correction struct {
	Member  MemberID
	Changes []Change
}

// Format prints no field.
func (Correction) Format(s fmt.State, _ rune) { io.WriteString(s, "[correction]") }

// A Change is one item of a correction. Old and New are the member's own data.
type Change struct {
	Item string
	Old  *string
	New  *string
}

// Format prints no value.
func (Change) Format(s fmt.State, _ rune) { io.WriteString(s, "[change]") }

// A CorrectionOutcome is POST /v1/corrections/{id}/outcome.
type CorrectionOutcome struct {
	Member     MemberID
	Correction string // cor_…
	Outcome    string // OutcomeCorrected or OutcomeRejected
	Reason     string // optional
}

// Format prints no field.
func (CorrectionOutcome) Format(s fmt.State, _ rune) { io.WriteString(s, "[correction outcome]") }

// The outcomes of a correction.
const (
	OutcomeCorrected = "corrected"
	OutcomeRejected  = "rejected"
)

// A Disclosure is POST /v1/disclosures: a member's items given to a recipient.
type Disclosure struct {
	Member     MemberID
	Recipient  string
	Purpose    string
	Items      []string
	Basis      string // an exemption of the policy; empty: the purpose's own basis
	Form       string // FormIdentified (also if empty), FormPseudonymised or FormAnonymised
	OccurredAt time.Time
	Reference  string // of classes that end by an event
}

// The forms of a disclosure.
const (
	FormIdentified    = "identified"
	FormPseudonymised = "pseudonymised"
	FormAnonymised    = "anonymised"
)

// An Access is a look that an operator takes at a member's data.
type Access struct {
	Who    string // the operator's or key's id
	From   string // where from
	What   string // which call
	Reason string // why, from the Access-Reason header
}

// Format prints no field.
func (Access) Format(s fmt.State, _ rune) { io.WriteString(s, "[access]") }

// A Question is POST /v1/decisions: may this be done?
type Question struct {
	Member    MemberID
	Purpose   string
	Items     []string  // absent: all items of a yes to the purpose, none of the purpose's under correction
	Recipient string    // optional
	Reference string    // optional: for which order or event, where the purpose's class ends by one
	At        time.Time // for the ledger: which entries to ask; Decide goes by its now
}

// CheckAt refuses a question about a time to come: what a member will have decided
// by then is not known, and a yes would be read as one. Clocks may differ a little.
func (q *Question) CheckAt(now time.Time) error {
	if q.At.After(now.Add(maxAhead)) {
		return invalid("at_in_future", "at", "a decision is about now or a time that is past; leave at out")
	}
	return nil
}

// An Answer is the answer to a Question.
type Answer struct {
	Allowed       bool    `json:"allowed"`
	Reason        string  `json:"reason"`
	Index         *uint64 `json:"index,omitempty"` // of the entry it rests on
	PolicyVersion string  `json:"policy_version,omitempty"`
}

// The reasons of an Answer.
const (
	ReasonConsentInForce         = "consent_in_force"
	ReasonBasisInForce           = "basis_in_force"
	ReasonNoConsent              = "no_consent"
	ReasonRefused                = "refused"
	ReasonWithdrawn              = "withdrawn"
	ReasonReconsentRequired      = "reconsent_required"
	ReasonItemSuspended          = "item_suspended"
	ReasonPurposeNotStated       = "purpose_not_stated"
	ReasonItemNotConsented       = "item_not_consented"
	ReasonRecipientNotRegistered = "recipient_not_registered"
	ReasonRecipientNotConsented  = "recipient_not_consented"
	ReasonUnknownMember          = "unknown_member"
	ReasonDormant                = "dormant"
	ReasonProcessingSuspended    = "processing_suspended"
	ReasonAskEachTime            = "ask_each_time"
)
