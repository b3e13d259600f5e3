package consent

import (
	"fmt"
	"io"
	"time"
)

// An Export is everything that a ledger holds of one member, in words that the
// member can read and other programs too (GDPR 15 and 20). JSONLD gives its
// consents as records of ISO/IEC TS 27560.
//
// Lists are empty rather than nil. What the lists before Entries say is all
// taken from Entries and the policies; they are there so that nobody has to
// put it together.
type Export struct {
	MadeAt      time.Time          `json:"made_at"`
	Origin      string             `json:"origin"` // the ledger's public name
	Member      string             `json:"member"` // mbr_…
	State       MemberView         `json:"state"`
	Policies    []ExportPolicy     `json:"policies"`
	Rights      []ExportRight      `json:"rights"` // used at the controller's contact
	Consents    []ExportConsent    `json:"consents"`
	Texts       []ExportText       `json:"texts"`
	Disclosures []ExportDisclosure `json:"disclosures"`
	Corrections []ExportCorrection `json:"corrections"`
	Requests    []ExportRequest    `json:"requests"`
	Notices     []ExportNotice     `json:"notices"`
	Holds       []ExportHold       `json:"holds"`
	Signals     []ExportSignal     `json:"signals"`
	Looks       []ExportLook       `json:"looks"`
	Retention   []ExportClass      `json:"retention"`
	Entries     []ExportEntry      `json:"entries"`

	// Completeness lets who has the log check that Entries leaves nothing out; only where it was asked for.
	Completeness *ExportCompleteness `json:"completeness,omitempty"`

	r       *Register
	entries []MemberEntry // in the order of the log
}

// Format prints no field.
func (Export) Format(s fmt.State, _ rune) { io.WriteString(s, "[export]") }

// ExportCompleteness is what shows that an export has all entries of a member:
// for each of their keys what its entries are found by. Whoever has it can tell
// the member's entries in the log from others, those to come under the same
// keys too, and reads none of them by it.
type ExportCompleteness struct {
	Size uint64      `json:"size"` // of the log when the export was made: nothing from there on is in it
	Keys []ExportKey `json:"keys"`
}

// Format prints no field.
func (ExportCompleteness) Format(s fmt.State, _ rune) { io.WriteString(s, "[completeness]") }

// An ExportKey is one key of a member.
type ExportKey struct {
	Class   string `json:"class"`
	Policy  string `json:"policy,omitempty"`  // of the class; absent: the ledger's own
	TagKey  string `json:"tag_key"`           // K_tag of FORMAT.md, in hex
	Entries uint64 `json:"entries"`           // tags 0 to this, without it, are in the log
	Expired uint64 `json:"expired,omitempty"` // the oldest of them, which nobody can open any more
}

// Format prints no field.
func (ExportKey) Format(s fmt.State, _ rune) { io.WriteString(s, "[key]") }

// An ExportPolicy is a policy version that the member decided on or that is in
// force: who answers for it, and what the names in the entries mean.
type ExportPolicy struct {
	Policy        string          `json:"policy"`
	Version       string          `json:"version"`
	InForce       bool            `json:"in_force"`
	Controller    ExportParty     `json:"controller"`
	Officer       ExportParty     `json:"officer"`
	Jurisdictions []string        `json:"jurisdictions"`
	AnswerDays    int             `json:"answer_days"` // within which a request is answered
	Purposes      []ExportPurpose `json:"purposes"`    // that an entry names
	Items         []ExportItem    `json:"items"`       // likewise

	// Of the version in force: who may be given items for these purposes, now or later.
	Recipients []ExportRecipient `json:"recipients"`
}

// An ExportRecipient is somebody who may be given items of the member, and for what.
type ExportRecipient struct {
	Recipient string   `json:"recipient"`
	Name      string   `json:"name"`
	Business  string   `json:"business"`
	Kind      string   `json:"kind"`
	Country   string   `json:"country,omitempty"`
	Purposes  []string `json:"purposes"`
	Items     []string `json:"items"`
}

// An ExportRight is something that the member may ask for.
type ExportRight struct {
	Right string `json:"right"`
	Title Text   `json:"title"`
}

// An ExportParty is somebody and how to reach them.
type ExportParty struct {
	Name    string `json:"name"`
	Contact string `json:"contact"`
}

// An ExportPurpose says what the name of a purpose means, by language.
type ExportPurpose struct {
	Purpose string `json:"purpose"`
	Title   Text   `json:"title"`
	Kind    string `json:"kind"`
	Basis   string `json:"basis"`
	Refusal Text   `json:"refusal,omitempty"`
}

// An ExportItem says what the name of an item means, by language.
type ExportItem struct {
	Item      string `json:"item"`
	Label     Text   `json:"label"`
	Sensitive bool   `json:"sensitive,omitempty"`
	UniqueID  bool   `json:"unique_id,omitempty"`
}

// An ExportConsent is what the member was asked and answered.
type ExportConsent struct {
	Index         uint64         `json:"index"`
	RecordedAt    time.Time      `json:"recorded_at"`
	OccurredAt    *time.Time     `json:"occurred_at,omitempty"`
	Evidence      bool           `json:"evidence,omitempty"` // a copy kept as proof
	Policy        string         `json:"policy"`
	PolicyVersion string         `json:"policy_version"`
	Locale        string         `json:"locale"`
	Decisions     []DecisionView `json:"decisions"`
	Method        string         `json:"method"`
	ShownDigest   string         `json:"shown_digest"`          // SHA-256 of what was shown
	Language      string         `json:"language,omitempty"`    // of the policy's text that serves the locale; absent: it has none
	TextSHA256    string         `json:"text_sha256,omitempty"` // of that text, which Texts has
	ShownIsText   bool           `json:"shown_is_text"`         // whether the two are equal: what was shown is that text to the letter
}

// An ExportText is the text of a policy that the member was asked about,
// exactly as the ledger keeps it.
type ExportText struct {
	Policy        string `json:"policy"`
	PolicyVersion string `json:"policy_version"`
	Language      string `json:"language"`
	SHA256        string `json:"sha256"`
	Text          string `json:"text"`
}

// An ExportDisclosure is what was given to whom. Name, business, kind and
// country are those of the register when it was given; an authority that is on
// no register has only its id.
type ExportDisclosure struct {
	Index      uint64     `json:"index"`
	RecordedAt time.Time  `json:"recorded_at"`
	OccurredAt *time.Time `json:"occurred_at,omitempty"`
	Recipient  string     `json:"recipient"`
	Name       string     `json:"name,omitempty"`
	Business   string     `json:"business,omitempty"`
	Kind       string     `json:"kind,omitempty"`
	Country    string     `json:"country,omitempty"`
	Policy     string     `json:"policy"`
	Purpose    string     `json:"purpose"`
	Items      []string   `json:"items"`
	Form       string     `json:"form"`
	Basis      string     `json:"basis"`
	BasisTitle Text       `json:"basis_title,omitempty"` // of an exemption
	Law        string     `json:"law,omitempty"`         // likewise
	RestsOn    *uint64    `json:"rests_on,omitempty"`    // index of the entry that justifies it
	Reference  string     `json:"reference,omitempty"`
}

// An ExportCorrection is a correction from the request to its end. Values is
// empty once they are destroyed.
type ExportCorrection struct {
	Correction string       `json:"correction"`
	Index      uint64       `json:"index"`
	RecordedAt time.Time    `json:"recorded_at"`
	Items      []string     `json:"items"`
	Values     []ChangeView `json:"values,omitempty"`
	Outcome    string       `json:"outcome,omitempty"` // absent: open
	Reason     string       `json:"reason,omitempty"`
	DecidedAt  *time.Time   `json:"decided_at,omitempty"`
	DecidedBy  *uint64      `json:"decided_by,omitempty"` // index of that entry
	Tell       []string     `json:"tell,omitempty"`       // recipients who got the wrong value; Notices says who has been told
}

// An ExportRequest is what the member asked of the shop, and the answers.
type ExportRequest struct {
	Request    string         `json:"request"`
	Index      uint64         `json:"index"`
	RecordedAt time.Time      `json:"recorded_at"`
	Type       string         `json:"type"`
	Channel    string         `json:"channel"`
	ReceivedAt *time.Time     `json:"received_at,omitempty"`
	DueAt      *time.Time     `json:"due_at,omitempty"` // when no answer is late
	Answers    []ExportAnswer `json:"answers"`
}

// An ExportAnswer is the outcome of a request.
type ExportAnswer struct {
	Index      uint64    `json:"index"`
	RecordedAt time.Time `json:"recorded_at"`
	Outcome    string    `json:"outcome"`
	Reason     string    `json:"reason,omitempty"`
}

// An ExportNotice is what somebody was told that concerns the member.
type ExportNotice struct {
	Notice      string     `json:"notice"`
	Index       uint64     `json:"index"`
	RecordedAt  time.Time  `json:"recorded_at"`
	Kind        string     `json:"kind"`
	Recipient   string     `json:"recipient,omitempty"`
	Correction  string     `json:"correction,omitempty"`
	Destruction *uint64    `json:"destruction,omitempty"`
	Channel     string     `json:"channel"`
	SentAt      *time.Time `json:"sent_at,omitempty"`
	DueAt       *time.Time `json:"due_at,omitempty"`
	Outcome     string     `json:"outcome"`
	Reason      string     `json:"reason,omitempty"`
}

// An ExportHold says that classes are not destroyed before a time. What for is
// the officer's to say, because telling may defeat it: GroundWithheld is always
// true, so that nobody takes the silence for the absence of a ground.
type ExportHold struct {
	Hold           string     `json:"hold"`
	Index          uint64     `json:"index"`
	RecordedAt     time.Time  `json:"recorded_at"`
	Classes        []string   `json:"classes"`
	Until          *time.Time `json:"until,omitempty"`
	ReleasedAt     *time.Time `json:"released_at,omitempty"`
	GroundWithheld bool       `json:"ground_withheld"`
}

// An ExportSignal is what the member's browser said by itself.
type ExportSignal struct {
	Index      uint64     `json:"index"`
	RecordedAt time.Time  `json:"recorded_at"`
	OccurredAt *time.Time `json:"occurred_at,omitempty"`
	Signal     string     `json:"signal"`
	Value      bool       `json:"value"`
}

// An ExportLook says who looked at the member's data, when and why.
type ExportLook struct {
	Index      uint64    `json:"index"`
	RecordedAt time.Time `json:"recorded_at"`
	Who        string    `json:"who"`
	From       string    `json:"from,omitempty"`
	What       string    `json:"what,omitempty"`
	Reason     string    `json:"reason"`
}

// An ExportClass says how long what is recorded in a retention class stays,
// and under which law. Exactly one of Keep and Until is set.
type ExportClass struct {
	Class  string `json:"class"`
	Policy string `json:"policy,omitempty"` // absent: the ledger's own
	Keep   string `json:"keep,omitempty"`   // such as 5y
	From   string `json:"from,omitempty"`   // what Keep counts from
	Until  string `json:"until,omitempty"`  // the event that ends it
	Law    string `json:"law,omitempty"`
}

// An ExportEntry is one entry of the log. With Index and LeafHash its receipt
// can be asked for and checked by anybody.
type ExportEntry struct {
	Index      uint64     `json:"index"`
	LeafHash   string     `json:"leaf_hash"`
	RecordedAt time.Time  `json:"recorded_at"`
	Class      string     `json:"class"`
	Policy     string     `json:"policy,omitempty"`     // of the class; absent: the ledger's own
	KeptUntil  *time.Time `json:"kept_until,omitempty"` // absent: an event decides
	Event      any        `json:"event"`
}
