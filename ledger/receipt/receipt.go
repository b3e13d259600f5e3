package receipt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/consent"
)

// A Receipt shows one entry of a member: what it says, and that the ledger
// recorded it. Whoever has it can read that entry, and nothing else.
//
// What stands in Event, RecordedAt and Index is checked against the entry.
// Member, Class, Record and IssuedAt are the ledger's word, under its
// signature: an entry has no names of its own.
type Receipt struct {
	Logged
	Member   string            `json:"member"` // mbr_…
	Class    string            `json:"class"`  // of retention, as policy/class
	IssuedAt time.Time         `json:"issued_at"`
	Event    consent.EventView `json:"event"`
	// Record is the entry as a consent receipt by ISO/IEC TS 27560, in JSON-LD;
	// absent where it is neither a decision nor a disclosure.
	Record any `json:"record,omitempty"`
	Disclosure
}

// Facts are what a ledger says of an entry in its receipt.
type Facts struct {
	Member   string
	Class    string
	IssuedAt time.Time
	Event    consent.Event
	Record   any // for encoding/json; nil: none
}

// Format prints no field.
func (Facts) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[facts]")) }

// Format prints no field.
func (Receipt) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[receipt]")) }

// Make returns the receipt of an entry as a file, signed by the ledger, whose
// origin is the signer's name. The caller has opened the entry: Make does not
// look whether its parts fit.
func Make(e Entry, f Facts, s note.Signer) (*Receipt, []byte, error) {
	logged, disclosure, err := e.logged(s.Name())
	if err != nil {
		return nil, nil, err
	}
	r := &Receipt{
		Logged: logged, Member: f.Member, Class: f.Class, IssuedAt: f.IssuedAt.UTC().Truncate(time.Second),
		Event: f.Event.OfficeView(), Record: f.Record, Disclosure: disclosure,
	}
	file, err := sign(receiptLine, r, s)
	if err != nil {
		return nil, nil, err
	}
	return r, file, nil
}

func (r *Receipt) utc() {
	r.RecordedAt, r.IssuedAt = r.RecordedAt.UTC(), r.IssuedAt.UTC().Truncate(time.Second)
}

// Open checks a receipt and returns it. Every error says what does not fit, and
// wraps one of this package's; nothing of the receipt is to be believed then.
func Open(file []byte, k Keys) (*Receipt, Checked, error) {
	var r Receipt
	if err := open(receiptLine, file, k.Log, &r); err != nil {
		return nil, Checked{}, err
	}
	body, c, err := r.check(&r.Logged, k)
	if err != nil {
		return nil, Checked{}, err
	}
	event, err := consent.DecodeEvent(body)
	if err != nil || event.Kind == consent.KindOperator || event.Kind == consent.KindSignIn || event.Name != "" || event.SignIn != nil {
		return nil, Checked{}, fmt.Errorf("%w: what is in it is no event of a member", ErrContent)
	}
	// Both are written by the same rules; a time may be held in two ways.
	said, err := json.Marshal(r.Event)
	if err != nil {
		return nil, Checked{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	is, err := json.Marshal(event.OfficeView())
	if err != nil {
		return nil, Checked{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if !bytes.Equal(said, is) {
		return nil, Checked{}, fmt.Errorf("%w: the field event is not what entry %d holds", ErrContent, r.Index)
	}
	return &r, c, nil
}
