package ledger

import (
	"errors"
	"fmt"
	"time"

	"consentledger/ledger/chain"
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
	if index >= l.size.Load() {
		return Destruction{}, ErrUnknownDestruction
	}
	raw, err := l.entry(index)
	if err != nil {
		return Destruction{}, l.damaged(err)
	}
	e, err := chain.Parse(raw)
	if err != nil {
		return Destruction{}, l.damaged(fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err))
	}
	body, err := l.box.Open(nil, chain.Version, l.commit.topics[topicDestructions].key, e.Sealed)
	if err != nil {
		return Destruction{}, ErrUnknownDestruction
	}
	var d destructionBody
	if err := decodeBody(body, &d); err != nil {
		return Destruction{}, l.damaged(err)
	}
	return Destruction{
		Index: index, LeafHash: chain.LeafHash(raw), RecordedAt: time.UnixMilli(e.RecordedAtUnixMs),
		Keys: d.Keys, Entries: d.Entries, From: d.From, To: d.To,
		Final: d.To <= l.final.Load(), Grade: l.Grade(),
	}, nil
}
