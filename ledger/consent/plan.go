package consent

import "time"

// A ClassID names a retention class of a policy: "haim/membership". Some belong
// to the ledger itself: AccessClass and CorrectionClass, and those of operators.
type ClassID string

const (
	// AccessClass holds the record of who looked at a member's data, for two
	// years from each entry, unless the policy's access.retention names a class.
	AccessClass ClassID = "*/access"
	// CorrectionClass holds the values of corrections; its references are the
	// ids of the corrections.
	CorrectionClass ClassID = "*/correction"
)

func classID(policy, class string) ClassID { return ClassID(policy + "/" + class) }

// Policy returns the policy that the class belongs to, "*" for the ledger's own.
func (c ClassID) Policy() string { p, _ := c.split(); return p }

// Name returns the class's name inside its policy.
func (c ClassID) Name() string { _, n := c.split(); return n }

func (c ClassID) split() (policy, name string) {
	for i := range len(c) {
		if c[i] == '/' {
			return string(c[:i]), string(c[i+1:])
		}
	}
	return "", string(c)
}

// Values of Rule.Until and Rule.From.
const (
	UntilWithdrawal        = "withdrawal"
	UntilPurposeWithdrawal = "purpose_withdrawal"
	UntilDelivery          = "delivery"
	UntilEventEnd          = "event_end"
	untilOutcome           = "correction_outcome"
	untilReplaced          = "replaced"

	FromEntry      = "entry"
	FromWithdrawal = "withdrawal"
)

// A Rule says how long the keys of a class live: until an event, or for a time.
type Rule struct {
	Until string // one of the Until values, or empty
	Keep  Period // if Until is empty
	From  string // what Keep counts from
	Basis string // the law; empty for what lives until an event
}

// Ratchet reports whether each entry of the class has a clock of its own.
func (r Rule) Ratchet() bool { return r.Until == "" && r.From == FromEntry }

// ByReference reports whether the class has a key for each reference.
func (r Rule) ByReference() bool {
	return r.Until == UntilDelivery || r.Until == UntilEventEnd || r.Until == untilOutcome || r.Until == untilReplaced
}

// same reports whether two rules keep for the same time. The law that a rule
// cites may be put in better words.
func (r Rule) same(o Rule) bool {
	return r.Until == o.Until && r.Keep == o.Keep && r.From == o.From
}

// A KeyName names one of a member's keys. Reference is empty but for classes
// whose rule is ByReference.
type KeyName struct {
	Class     ClassID
	Reference string
}

// A KeyState is a key that the member has.
type KeyState struct {
	KeyName
	Entries   uint64
	NewestDay Day       // of a ratchet
	Due       time.Time // zero: none
	HeldUntil time.Time // a legal hold; zero: none. Until then the key is not destroyed, whatever its due
}

// A Draft is an entry to be written.
type Draft struct {
	Key   KeyName
	Event Event
}

// A KeyDue gives a key the time at which it is to be destroyed.
type KeyDue struct {
	KeyName
	Due time.Time
}

// A Kept row says what outlives a withdrawal, one row a class.
type Kept struct {
	Class string     `json:"class"`
	Until *time.Time `json:"until"` // nil where an event decides
	Event string     `json:"event,omitempty"`
	Basis string     `json:"basis,omitempty"`
}

// A Notify row is a recipient who holds data of the member.
type Notify struct {
	Recipient   string    `json:"recipient"`
	Items       []string  `json:"items"`
	DisclosedAt time.Time `json:"disclosed_at"` // of the newest disclosure of these items
	Index       uint64    `json:"index"`        // of that disclosure
}

// A Plan is what a call leads to: what to write, create and destroy, all of it
// in one commit or none.
type Plan struct {
	Entries    []Draft   // in this order
	Create     []KeyName // keys that must exist; those that do not are created (by consents, corrections and looks)
	Destroy    []KeyName
	SetDue     []KeyDue
	Ended      bool // the membership ends
	Kept       []Kept
	Notify     []Notify
	MemberKind string // empty: unchanged

	ClearDue []KeyName // keys that have a use again
	SetHold  []KeyHold // keys that a legal hold keeps, or no longer keeps
	Recheck  bool      // what is due of the member may have changed: Next is to be asked again
}

// A KeyHold gives a key the time before which it is not destroyed; zero: none.
type KeyHold struct {
	KeyName
	Until time.Time
}

func (p *Plan) create(k KeyName) {
	for _, c := range p.Create {
		if c == k {
			return
		}
	}
	p.Create = append(p.Create, k)
}
