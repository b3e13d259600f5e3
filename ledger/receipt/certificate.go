package receipt

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/consent"
)

const certificateLine = "consentledger/certificate/v1"

// ErrOtherMember says that a destruction is not that of the member who was named.
var ErrOtherMember = errors.New("of another member")

// What a subject is: the member's own id at the shop where the call that asked
// for the destruction named it, and else the ledger's name for the membership.
const (
	SubjectID  = "member_id"
	SubjectRef = "member"
)

// What a destruction is when its certificate is made.
const (
	StatusProvisional = "provisional" // recorded; the root key before is not overwritten yet
	StatusFinal       = "final"
)

// Words that stand in every certificate of this version: what a destruction
// does not take away.
const (
	// StillShown is what the log shows for ever.
	StillShown = "order, times and sizes: that entries were there, when each was recorded, and how large it is to the next step of padding; not whose they are, nor which of them belong together"
	// RootCopies is the custody that no ledger can speak for.
	RootCopies = "unknown: copies of the root key file, of its disk or of the machine's memory that somebody made; whoever has one that is older than this destruction, and an image of the database of then, can undo it"
)

// A Certificate shows that keys were destroyed, and to who holds it, whose.
//
// Cause, Destroyed, Generations, Index and RecordedAt are checked against the
// entry. Status, Grade and Kept are the ledger's word, under its signature:
// an entry cannot say what comes after it, nor what it does not know.
type Certificate struct {
	Logged
	Cause       string      `json:"cause"`
	Destroyed   Counts      `json:"destroyed"`
	Generations Generations `json:"generations"` // of the root key
	Status      string      `json:"status"`      // as of issued_at; GET /v1/destructions/{index} tells the present one
	IssuedAt    time.Time   `json:"issued_at"`
	Grade       string      `json:"grade"` // how surely the keeper of the root key forgets: crypto/rootkey
	StillShown  string      `json:"still_shown"`
	Custodies   []string    `json:"custodies"` // that might hold an old root key
	Kept        []Kept      `json:"kept"`      // what lives on
	Of          string      `json:"of"`        // what the subject is: member_id or member
	Opening     []byte      `json:"opening"`   // base64: who has it can test whose this is
	Disclosure

	commitment []byte // of the entry
}

// Counts says how much died.
type Counts struct {
	Keys    uint64 `json:"keys"`
	Entries uint64 `json:"entries"`
}

// Generations are those of the root key, before and after.
type Generations struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Kept is a retention class that lives on, until when and why.
type Kept struct {
	Class string     `json:"class"`
	Until *time.Time `json:"until"` // null where an event decides
	Event string     `json:"event,omitempty"`
	Basis string     `json:"basis"`
}

// CertificateFacts are what a ledger says of a destruction in its certificate.
type CertificateFacts struct {
	Body     Destruction // of the entry
	Final    bool
	IssuedAt time.Time
	Grade    string
	Kept     []consent.Kept
	Of       string
	Opening  [32]byte
}

// Format prints no field.
func (CertificateFacts) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[facts]")) }

// Format prints no field.
func (Certificate) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[certificate]")) }

// MakeCertificate returns a certificate of destruction as a file, signed by the
// ledger, whose origin is the signer's name. It does not look whether its parts
// fit.
func MakeCertificate(e Entry, f CertificateFacts, s note.Signer) ([]byte, error) {
	logged, disclosure, err := e.logged(s.Name())
	if err != nil {
		return nil, err
	}
	c := &Certificate{
		Logged: logged, Cause: f.Body.Cause, Destroyed: Counts{f.Body.Keys, f.Body.Entries}, Generations: Generations{f.Body.From, f.Body.To},
		Status: StatusProvisional, IssuedAt: f.IssuedAt.UTC().Truncate(time.Second), Grade: f.Grade,
		StillShown: StillShown, Custodies: []string{RootCopies}, Kept: make([]Kept, len(f.Kept)),
		Of: f.Of, Opening: f.Opening[:], Disclosure: disclosure,
	}
	if f.Final {
		c.Status = StatusFinal
	}
	for i, k := range f.Kept {
		c.Kept[i] = Kept{Class: k.Class, Event: k.Event, Basis: k.Basis}
		if k.Until != nil {
			at := k.Until.UTC().Truncate(time.Millisecond)
			c.Kept[i].Until = &at
		}
	}
	return sign(certificateLine, c, s)
}

// OpenCertificate checks a certificate and returns it. Every error says what
// does not fit, and wraps one of this package's; nothing of the certificate is
// to be believed then. Whose it is, IsOf checks.
func OpenCertificate(file []byte, k Keys) (*Certificate, Checked, error) {
	var c Certificate
	if err := open(certificateLine, file, k.Log, &c); err != nil {
		return nil, Checked{}, err
	}
	if err := c.form(); err != nil {
		return nil, Checked{}, err
	}
	body, checked, err := c.check(&c.Logged, k)
	if err != nil {
		return nil, Checked{}, err
	}
	d, err := readDestruction(body)
	if err != nil {
		return nil, Checked{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if err := c.compare(&d); err != nil {
		return nil, Checked{}, err
	}
	c.commitment = d.Commitment
	return &c, checked, nil
}

func (c *Certificate) utc() {
	c.RecordedAt, c.IssuedAt = c.RecordedAt.UTC(), c.IssuedAt.UTC().Truncate(time.Second)
	for i := range c.Kept {
		if at := c.Kept[i].Until; at != nil {
			*at = at.UTC().Truncate(time.Millisecond)
		}
	}
}

// form looks at what no entry bears out.
func (c *Certificate) form() error {
	not := func(field, want string) error { return fmt.Errorf("%w: the field %s is not %s", ErrFile, field, want) }
	switch {
	case c.Status != StatusProvisional && c.Status != StatusFinal:
		return not("status", "provisional or final")
	case c.Grade == "":
		return not("grade", "there")
	case c.StillShown != StillShown:
		return not("still_shown", "what every certificate says")
	case len(c.Custodies) == 0 || c.Custodies[0] != RootCopies:
		return not("custodies", "what every certificate begins it with")
	case c.Kept == nil:
		return not("kept", "a list")
	case c.Of != SubjectID && c.Of != SubjectRef:
		return not("of", "member_id or member")
	case len(c.Opening) != 32:
		return not("opening", "32 bytes")
	}
	return nil
}

// compare holds what the file says to what the entry says.
func (c *Certificate) compare(d *Destruction) error {
	not := func(field string, says, is any) error {
		return fmt.Errorf("%w: the field %s says %v, and entry %d %v", ErrContent, field, says, c.Index, is)
	}
	switch {
	case c.Cause != d.Cause:
		return not("cause", c.Cause, d.Cause)
	case c.Destroyed.Keys != d.Keys:
		return not("destroyed.keys", c.Destroyed.Keys, d.Keys)
	case c.Destroyed.Entries != d.Entries:
		return not("destroyed.entries", c.Destroyed.Entries, d.Entries)
	case c.Generations.From != d.From:
		return not("generations.from", c.Generations.From, d.From)
	case c.Generations.To != d.To:
		return not("generations.to", c.Generations.To, d.To)
	case len(d.Commitment) != 32:
		return fmt.Errorf("%w: entry %d is committed to nobody", ErrContent, c.Index)
	}
	return nil
}

// IsOf says whether a certificate that OpenCertificate returned is that of a
// subject: nil, or ErrOtherMember. The subject is a member's id or ref, as Of
// says which.
func (c *Certificate) IsOf(subject []byte) error {
	want := Commitment([32]byte(c.Opening), subject)
	if subtle.ConstantTimeCompare(want[:], c.commitment) != 1 {
		return fmt.Errorf("%w: entry %d is not committed to what was given as %s", ErrOtherMember, c.Index, c.Of)
	}
	return nil
}
