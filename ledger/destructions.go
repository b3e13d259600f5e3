package ledger

import (
	"errors"
	"fmt"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/receipt"
)

// ErrUnknownDestruction says that an index is not that of a destruction's entry.
var ErrUnknownDestruction = errors.New("no such destruction")

// Destruction is what anybody may know of one: that keys died, how many, and how surely. Whose they
// were stands nowhere.
type Destruction struct {
	Index      uint64
	LeafHash   chain.Hash
	RecordedAt time.Time
	Keys       uint64
	Entries    uint64 // that nobody can read any more
	From, To   uint64 // generations of the root key, before and after
	// Final is whether the root key of the generation before is overwritten and read back. Until then
	// the destruction is recorded, and who has the root file could still undo it.
	Final bool
	Grade string // how surely the keeper of the root key forgets: see crypto/rootkey
}

// Destruction returns the destruction whose entry has an index: that of class "destructions" in the
// answer to a withdrawal. Anybody may ask.
func (l *Ledger) Destruction(index uint64) (Destruction, error) {
	d, err := l.destructionAt(index)
	return d.Destruction, l.damaged(err)
}

// destroyed is a destruction with its entry and what that says.
type destroyed struct {
	Destruction
	raw  []byte
	body receipt.Destruction
}

// destructionAt reads a destruction's entry.
func (l *Ledger) destructionAt(index uint64) (d destroyed, err error) {
	if index >= l.size.Load() {
		return d, ErrUnknownDestruction
	}
	if d.raw, err = l.entry(index); err != nil {
		return d, err
	}
	e, err := chain.Parse(d.raw)
	if err != nil {
		return d, fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	plain, err := l.box.Open(nil, chain.Version, l.commit.topics[topicDestructions].key, e.Sealed)
	if err != nil {
		return d, ErrUnknownDestruction
	}
	if err := decodeBody(plain, &d.body); err != nil {
		return d, err
	}
	d.Destruction = Destruction{
		Index: index, LeafHash: chain.LeafHash(d.raw), RecordedAt: time.UnixMilli(e.RecordedAtUnixMs),
		Keys: d.body.Keys, Entries: d.body.Entries, From: d.body.From, To: d.body.To,
		Final: d.body.To <= l.final.Load(), Grade: l.Grade(),
	}
	return d, nil
}
