package consent

import (
	"time"
)

// A Register is every version of every policy of one controller. It never
// changes: With returns another one.
type Register struct {
	loc        *time.Location
	controller string
	ids        []string // in the order of first posting
	policies   map[string][]Posted
	rules      map[ClassID]Rule
}

// A Posted is a policy version as it was posted.
type Posted struct {
	*Policy
	PostedAt    time.Time
	EffectiveAt time.Time // from then it is in force, until the next one's
}
