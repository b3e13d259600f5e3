package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// The register of witnesses: who cosigns the ledger's heads, and how many of them must have done so
// before a receipt is handed out.

// Witness is one witness in the register.
type Witness struct {
	ID      string // wit_ and the id of its key
	Name    string
	URL     string // of its submission prefix
	Key     string // its verifier key, of type 0x04
	AddedAt time.Time
}

// Witnesses is the register as it stands. It never changes: a later call returns another one.
type Witnesses struct {
	All []Witness // in the order in which they were added

	// Required is how many must have cosigned a head before a receipt goes by it.
	Required int
}

// WitnessChange is a change of the register: a witness that is added, or how many must sign, or both.
type WitnessChange struct {
	URL, Key string  // both or neither
	Required *uint64 // nil: as it is
}

// maxWitnesses bounds the register: each is asked about every head.
const maxWitnesses = 16

// maxWitnessURL bounds the address of one.
const maxWitnessURL = 512

// witnessBody is a change of the register as it is recorded.
type witnessBody struct {
	Key      string  `cbor:"1,keyasint,omitempty"`
	URL      string  `cbor:"2,keyasint,omitempty"`
	Removed  string  `cbor:"3,keyasint,omitempty"` // id
	Required *uint64 `cbor:"4,keyasint,omitempty"`
}

// ErrUnknownWitness says that no witness in the register has this id.
var ErrUnknownWitness = errors.New("no such witness")

// apply returns the register after a change.
func (w *Witnesses) apply(b *witnessBody, at time.Time) (*Witnesses, error) {
	next := &Witnesses{All: slices.Clone(w.All), Required: w.Required}
	switch {
	case b.Removed != "":
		i := slices.IndexFunc(next.All, func(w Witness) bool { return w.ID == b.Removed })
		if i < 0 {
			return nil, ErrUnknownWitness
		}
		next.All = slices.Delete(next.All, i, i+1)
		if next.Required > len(next.All) {
			return nil, &consent.Refusal{Kind: consent.Conflict, Code: "witness_needed", Message: "as many witnesses must sign as there are; say first that fewer must, with required"}
		}
		return next, nil
	case b.Key != "" || b.URL != "":
		v, err := chain.ParseWitnessKey(b.Key)
		if err != nil {
			return nil, &consent.Refusal{Kind: consent.Invalid, Code: "invalid_witness_key", Field: "key", Message: "key is the witness's verifier key for cosignatures, name+id+key of type 0x04, as the witness publishes it; copy the whole line"}
		}
		if err := checkWitnessURL(b.URL); err != nil {
			return nil, err
		}
		id := fmt.Sprintf("wit_%08x", v.KeyHash())
		for _, have := range next.All {
			if have.ID == id || have.Name == v.Name() || have.URL == b.URL {
				return nil, &consent.Refusal{Kind: consent.Conflict, Code: "witness_known", Field: "key", Message: "a witness of this name, key or URL is in the register; remove that one first"}
			}
		}
		if len(next.All) >= maxWitnesses {
			return nil, &consent.Refusal{Kind: consent.Conflict, Code: "too_many_witnesses", Field: "key", Message: "there are 16 witnesses, and each is asked about every head; remove one first"}
		}
		next.All = append(next.All, Witness{ID: id, Name: v.Name(), URL: b.URL, Key: b.Key, AddedAt: at})
	}
	if b.Required != nil {
		if *b.Required > uint64(len(next.All)) {
			return nil, &consent.Refusal{Kind: consent.Invalid, Code: "too_many_required", Field: "required", Message: "required is how many of the witnesses must sign, from 0 to as many as there are"}
		}
		next.Required = int(*b.Required)
	}
	return next, nil
}

// checkWitnessURL takes https, and http on this machine alone: a head that is changed on the way is
// refused by the witness, but who listens learns when the ledger is written to, and who answers in its
// place keeps signatures away.
func checkWitnessURL(s string) error {
	bad := &consent.Refusal{Kind: consent.Invalid, Code: "invalid_witness_url", Field: "url", Message: "url is where the witness takes checkpoints, https:// and a host and perhaps a path, without what is secret, a query or a slash at the end; http:// only for 127.0.0.1, ::1 and localhost"}
	u, err := url.Parse(s)
	if err != nil || len(s) > maxWitnessURL || u.String() != s || u.Opaque != "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "/") ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return bad
	}
	switch host := u.Hostname(); u.Scheme {
	case "https":
		return nil
	case "http":
		if a, err := netip.ParseAddr(host); host == "localhost" || err == nil && a.IsLoopback() {
			return nil
		}
	}
	return bad
}

// Witnesses is the register of witnesses. It is public.
func (l *Ledger) Witnesses() *Witnesses { return l.witnesses.Load() }

// ChangeWitnesses adds a witness, or says how many must sign, or both. It returns the id of the one that
// was added.
func (l *Ledger) ChangeWitnesses(ctx context.Context, who Caller, c WitnessChange) (id string, w Written, err error) {
	if err := who.must(ActRegister); err != nil {
		return "", Written{}, err
	}
	b := &witnessBody{Key: c.Key, URL: c.URL, Required: c.Required}
	w, err = l.onceWritten(ctx, who, func(ctx context.Context) (Written, error) { return l.changeWitnesses(ctx, who, b) })
	if err != nil {
		return "", Written{}, err
	}
	if v, err := chain.ParseWitnessKey(c.Key); err == nil {
		id = fmt.Sprintf("wit_%08x", v.KeyHash())
	}
	return id, w, nil
}

// RemoveWitness takes a witness out of the register. What it has signed stays signed.
func (l *Ledger) RemoveWitness(ctx context.Context, who Caller, id string) (Written, error) {
	if err := who.must(ActRegister); err != nil {
		return Written{}, err
	}
	if id == "" {
		return Written{}, ErrUnknownWitness
	}
	return l.changeWitnesses(ctx, who, &witnessBody{Removed: id})
}

func (l *Ledger) changeWitnesses(ctx context.Context, who Caller, b *witnessBody) (Written, error) {
	l.regMu.Lock()
	defer l.regMu.Unlock()
	base := l.witnesses.Load()
	if _, err := base.apply(b, l.now()); err != nil {
		return Written{}, err
	}
	w, err := l.writeRegister(ctx, who, nil, registerBody{Kind: kindWitness, Witness: b})
	if err != nil {
		return Written{}, err
	}
	next, err := base.apply(b, w.RecordedAt)
	if err != nil {
		return Written{}, fmt.Errorf("%w: a witness was recorded that may not be: %w", ErrCorrupt, err)
	}
	l.witnesses.Store(next)
	l.cosigning.changed()
	return w, nil
}
