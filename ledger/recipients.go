package ledger

import (
	"context"
	"fmt"
	"time"

	"consentledger/ledger/consent"
)

// recipientBody is a change of a recipient as it is recorded.
type recipientBody struct {
	Policy    string   `cbor:"1,keyasint"`
	ID        string   `cbor:"2,keyasint"`
	Name      string   `cbor:"3,keyasint,omitempty"`
	Business  string   `cbor:"4,keyasint,omitempty"`
	Kind      string   `cbor:"5,keyasint,omitempty"`
	Country   string   `cbor:"6,keyasint,omitempty"`
	Purposes  []string `cbor:"7,keyasint,omitempty"`
	Items     []string `cbor:"8,keyasint,omitempty"`
	From      string   `cbor:"9,keyasint,omitempty"`
	Ended     bool     `cbor:"10,keyasint,omitempty"`
	Announced string   `cbor:"11,keyasint,omitempty"`
	Reason    string   `cbor:"12,keyasint,omitempty"`
}

// bodyOf leaves out what nobody looks at where a recipient has ended.
func bodyOf(c *consent.RecipientChange) *recipientBody {
	r := &c.Recipient
	if c.Ended {
		r = &consent.Recipient{From: r.From}
	}
	return &recipientBody{c.Policy, c.ID, r.Name, r.Business, r.Kind, r.Country, r.Purposes, r.Items, r.From, c.Ended, c.Announced, c.Reason}
}

func (b *recipientBody) change() *consent.RecipientChange {
	return &consent.RecipientChange{
		Policy: b.Policy, ID: b.ID, Ended: b.Ended, Announced: b.Announced, Reason: b.Reason,
		Recipient: consent.Recipient{Name: b.Name, Business: b.Business, Kind: b.Kind, Country: b.Country, Purposes: b.Purposes, Items: b.Items, From: b.From},
	}
}

// AddRecipient records a change of who gets data, between two versions of a policy. It fails with
// a *consent.Refusal if the change may not be made.
func (l *Ledger) AddRecipient(ctx context.Context, who Caller, c *consent.RecipientChange) (Written, error) {
	if !who.May(ActPolicies) {
		return Written{}, ErrForbidden
	}
	if err := who.policy(c.Policy); err != nil {
		return Written{}, err
	}
	return l.onceWritten(ctx, who, func(ctx context.Context) (Written, error) { return l.addRecipient(ctx, who, c) })
}

func (l *Ledger) addRecipient(ctx context.Context, who Caller, c *consent.RecipientChange) (Written, error) {
	l.regMu.Lock()
	defer l.regMu.Unlock()
	base := l.register.Load()
	if _, err := base.WithRecipient(c, l.now()); err != nil {
		return Written{}, err
	}
	// A notice period goes by the time that the entry gets, which may be of the next day.
	dated := func(at time.Time) error { _, err := base.WithRecipient(c, at); return err }
	w, err := l.writeRegister(ctx, who, dated, registerBody{Kind: kindRecipient, Recipient: bodyOf(c)})
	if err != nil {
		return Written{}, err
	}
	reg, err := base.WithRecipient(c, w.RecordedAt)
	if err != nil {
		return Written{}, fmt.Errorf("%w: a recipient was recorded that may not be: %w", ErrCorrupt, err)
	}
	l.register.Store(reg)
	return w, nil
}

// Rules is the public register of policies and recipients. It never changes: a later call returns
// another one.
func (l *Ledger) Rules() *consent.Register { return l.register.Load() }

// Processing is the register of processing as it stands now.
func (l *Ledger) Processing(who Caller) ([]consent.ProcessingRow, error) {
	if !who.May(ActLog) {
		return nil, ErrForbidden
	}
	return l.register.Load().Processing(l.now()), nil
}
