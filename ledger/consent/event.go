package consent

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// An EventKind says what an entry records.
type EventKind uint8

// The kinds of events. The numbers stand in entries and never change.
const (
	KindConsent           EventKind = 1
	KindWithdrawal        EventKind = 2
	KindCorrection        EventKind = 3
	KindCorrectionValues  EventKind = 4
	KindCorrectionOutcome EventKind = 5
	KindDisclosure        EventKind = 6
	KindAccess            EventKind = 7
	KindNotice            EventKind = 8
	KindRequest           EventKind = 9
	KindRequestOutcome    EventKind = 10
	KindHold              EventKind = 11
	KindHoldRelease       EventKind = 12
	KindActivity          EventKind = 13
	KindReactivation      EventKind = 14
	KindSignal            EventKind = 15
	KindEventEnd          EventKind = 16
	KindOperator          EventKind = 17
	KindSignIn            EventKind = 18
)

var kindNames = [...]string{
	KindConsent:           "consent",
	KindWithdrawal:        "withdrawal",
	KindCorrection:        "correction",
	KindCorrectionValues:  "correction_values",
	KindCorrectionOutcome: "correction_outcome",
	KindDisclosure:        "disclosure",
	KindAccess:            "access",
	KindNotice:            "notice",
	KindRequest:           "request",
	KindRequestOutcome:    "request_outcome",
	KindHold:              "hold",
	KindHoldRelease:       "hold_release",
	KindActivity:          "activity",
	KindReactivation:      "reactivation",
	KindSignal:            "signal",
	KindEventEnd:          "event_end",
	KindOperator:          "operator",
	KindSignIn:            "sign_in",
}

// String returns the kind's name in the API.
func (k EventKind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// MaxEventBytes is the largest encoded event. It leaves room in an entry of at
// most 65,535 bytes for the header, the seal and the padding.
const MaxEventBytes = 60_000

// An Event is what one entry's body means. Which fields are set depends on the
// kind. It prints as "[event]" under every verb.
type Event struct {
	Kind          EventKind `cbor:"1,keyasint"`
	Policy        string    `cbor:"2,keyasint,omitempty"`
	PolicyVersion string    `cbor:"3,keyasint,omitempty"`
	MemberKind    string    `cbor:"4,keyasint,omitempty"`
	OccurredAtMs  int64     `cbor:"5,keyasint,omitempty"` // Unix milliseconds by the caller's clock; 0: not stated
	Copy          bool      `cbor:"6,keyasint,omitempty"` // proof kept in the evidence class; another entry rules

	// Of a consent.
	Decisions   []Decision     `cbor:"7,keyasint,omitempty"`
	Method      string         `cbor:"8,keyasint,omitempty"` // also of a withdrawal
	Locale      string         `cbor:"9,keyasint,omitempty"`
	ShownDigest []byte         `cbor:"10,keyasint,omitempty"`
	Age         AgeCheck       `cbor:"11,keyasint,omitempty"`
	Guardian    *GuardianProof `cbor:"12,keyasint,omitempty"`
	Reference   string         `cbor:"13,keyasint,omitempty"` // also of a disclosure

	// Of a withdrawal, and of a disclosure (which has one purpose).
	Purposes   []string `cbor:"14,keyasint,omitempty"`
	Items      []string `cbor:"15,keyasint,omitempty"` // also of a correction
	Membership bool     `cbor:"16,keyasint,omitempty"`

	// Of a correction, its values and its outcome.
	Correction string        `cbor:"17,keyasint,omitempty"`
	Changes    []ChangeValue `cbor:"18,keyasint,omitempty"`
	Outcome    string        `cbor:"19,keyasint,omitempty"`
	Reason     string        `cbor:"20,keyasint,omitempty"` // also of an access

	// Of a disclosure.
	Recipient string  `cbor:"21,keyasint,omitempty"`
	Business  string  `cbor:"22,keyasint,omitempty"`
	Basis     string  `cbor:"23,keyasint,omitempty"` // consent, contract, legal_obligation, or an exemption
	RestsOn   *uint64 `cbor:"24,keyasint,omitempty"` // index of the entry that justifies it
	Form      string  `cbor:"25,keyasint,omitempty"` // empty: identified

	// Of an access.
	Who  string `cbor:"26,keyasint,omitempty"`
	From string `cbor:"27,keyasint,omitempty"`
	What string `cbor:"28,keyasint,omitempty"`

	// Of a notice. Recipient, Correction, Outcome and Reason are those above.
	Notice      string  `cbor:"29,keyasint,omitempty"` // ntc_…
	NoticeKind  string  `cbor:"30,keyasint,omitempty"`
	Channel     string  `cbor:"31,keyasint,omitempty"` // also of a request
	SentAtMs    int64   `cbor:"32,keyasint,omitempty"`
	DueAtMs     int64   `cbor:"33,keyasint,omitempty"` // also a request's deadline and a hold's end
	Destruction *uint64 `cbor:"34,keyasint,omitempty"` // index of the destruction entry that it is about

	// Of a request and its outcome.
	Request      string `cbor:"35,keyasint,omitempty"` // rqt_…
	RequestType  string `cbor:"36,keyasint,omitempty"`
	ReceivedAtMs int64  `cbor:"37,keyasint,omitempty"`

	// Of a hold and its release. Reason is the ground.
	Hold    string   `cbor:"38,keyasint,omitempty"` // hld_…
	Classes []string `cbor:"39,keyasint,omitempty"` // ClassIDs

	// Of a signal.
	Signal string `cbor:"40,keyasint,omitempty"`
	Value  bool   `cbor:"41,keyasint,omitempty"`

	// Of an activity that is restated because the entry that showed it is destroyed: when it was
	// recorded. 0: the entry's own time.
	ActiveAtMs int64 `cbor:"42,keyasint,omitempty"`

	// Of a correction's outcome: who got a wrong value and is to be told. It is recorded because the
	// disclosures may be destroyed before the last of them is.
	Recipients []string `cbor:"43,keyasint,omitempty"`

	// Of a withdrawal or a request that the member made while dormant: it does not end the dormancy.
	Dormant bool `cbor:"44,keyasint,omitempty"`

	// Of an operator: their name. Of a sign-in: what they sign in with, as it is from then on.
	Name   string `cbor:"45,keyasint,omitempty"`
	SignIn []byte `cbor:"46,keyasint,omitempty"`
}

// An AgeCheck says how a member's age was stated at enrolment. The birth date
// itself is never recorded.
type AgeCheck uint8

// The ways in which an age is stated.
const (
	AgeByBirthDate AgeCheck = 1
	AgeConfirmed   AgeCheck = 2
	AgeByGuardian  AgeCheck = 3 // below the minimum, with a guardian's consent
)

// String returns the check's name in the API.
func (a AgeCheck) String() string {
	switch a {
	case AgeByBirthDate:
		return "birth_date"
	case AgeConfirmed:
		return "minimum_age_confirmed"
	case AgeByGuardian:
		return "guardian"
	}
	return ""
}

// A GuardianProof is a Guardian as it is recorded.
type GuardianProof struct {
	Reference    string `cbor:"1,keyasint"`
	Method       string `cbor:"2,keyasint"`
	VerifiedAtMs int64  `cbor:"3,keyasint"`
}

// A ChangeValue is a Change as it is recorded.
type ChangeValue struct {
	Item string  `cbor:"1,keyasint"`
	Old  *string `cbor:"2,keyasint,omitempty"`
	New  *string `cbor:"3,keyasint,omitempty"`
}

// Format prints no field: an event is a member's own affair.
func (Event) Format(s fmt.State, _ rune) { io.WriteString(s, "[event]") }

// Format prints no value.
func (ChangeValue) Format(s fmt.State, _ rune) { io.WriteString(s, "[change]") }

// Format prints no field.
func (GuardianProof) Format(s fmt.State, _ rune) { io.WriteString(s, "[guardian]") }

// What is wrong with an event or its encoding.
var (
	ErrEventTooLarge = errors.New("event is larger than an entry can hold")
	ErrEvent         = errors.New("not an event of this format")
)

// The encoding is CBOR with core deterministic encoding (RFC 8949 4.2.1) and
// integer keys. Nothing of the options depends on input, so a failure here is
// a mistake in the source.
var (
	eventEncoder = must(cbor.CoreDetEncOptions().EncMode())
	eventDecoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		MaxNestedLevels:   8,
		MaxArrayElements:  4096,
		MaxMapPairs:       64,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Encode returns the event's only encoding.
func (e Event) Encode() ([]byte, error) {
	if e.Kind.String() == "unknown" {
		return nil, ErrEvent
	}
	b, err := eventEncoder.Marshal(&e)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", ErrEvent)
	}
	if len(b) > MaxEventBytes {
		return nil, ErrEventTooLarge
	}
	return b, nil
}

// DecodeEvent reads what Encode wrote and nothing else: whatever it accepts
// encodes to the same bytes. The error repeats nothing of the body.
func DecodeEvent(b []byte) (Event, error) {
	if len(b) > MaxEventBytes {
		return Event{}, ErrEventTooLarge
	}
	var e Event
	if err := eventDecoder.Unmarshal(b, &e); err != nil {
		return Event{}, ErrEvent
	}
	again, err := e.Encode()
	if err != nil || !bytes.Equal(again, b) {
		return Event{}, ErrEvent
	}
	return e, nil
}

// sizeBound returns no less than the length of the encoding, cheaply: nine
// bytes for the head of each string, list and number, and the strings.
func (e *Event) sizeBound() int {
	n := 46*(2+9) + len(e.Name) + len(e.SignIn) + len(e.Notice) + len(e.NoticeKind) + len(e.Channel) + len(e.Request) + len(e.RequestType) + len(e.Hold) + len(e.Signal) +
		stringsSize(e.Classes) + stringsSize(e.Recipients) + len(e.Policy) + len(e.PolicyVersion) + len(e.MemberKind) + len(e.Method) + len(e.Locale) + len(e.ShownDigest) +
		len(e.Reference) + len(e.Correction) + len(e.Outcome) + len(e.Reason) + len(e.Recipient) + len(e.Business) + len(e.Basis) +
		len(e.Form) + len(e.Who) + len(e.From) + len(e.What) + stringsSize(e.Purposes) + stringsSize(e.Items)
	if e.Guardian != nil {
		n += 64 + len(e.Guardian.Reference) + len(e.Guardian.Method)
	}
	for i := range e.Decisions {
		d := &e.Decisions[i]
		n += 64 + len(d.Purpose) + stringsSize(d.Items) + stringsSize(d.Recipients)
	}
	for i := range e.Changes {
		c := &e.Changes[i]
		n += 64 + len(c.Item)
		if c.Old != nil {
			n += len(*c.Old)
		}
		if c.New != nil {
			n += len(*c.New)
		}
	}
	return n
}
