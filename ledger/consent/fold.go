package consent

import "time"

// A Fold is a member's state: what the entries that can still be read add up
// to, applied in the order of their indexes.
type Fold struct {
	withdrawn   bool
	kinds       []kindState
	purposes    []purposeState
	suspended   []suspension
	corrections []correctionState
	disclosures []disclosureState
	corrected   []correctedItem
	keys        []keyUse
	guarded     bool
	bytes       int
}

type kindState struct{ policy, kind string }

type purposeState struct {
	policy, purpose, version string
	decision                 decisionState
	items, recipients        []string
	index                    uint64
	at                       time.Time
}

type decisionState uint8

const (
	stateGranted decisionState = iota + 1
	stateRefused
	stateWithdrawn
)

type suspension struct {
	item, correction string
	index            uint64
	at               time.Time
}

type correctionState struct {
	id    string
	items []string
	done  bool
}

type correctedItem struct {
	item  string
	index uint64
}

type disclosureState struct {
	recipient, purpose, policy string
	items                      []string
	index                      uint64
	at                         time.Time
}

// keyUse is what is known of a key's entries.
type keyUse struct {
	key      KeyName
	newest   time.Time
	purposes []string
}
