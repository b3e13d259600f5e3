package consent

import (
	"maps"
	"slices"
	"time"
)

// Between two versions of a policy the recipients change by an announcement of
// their own. Such a change lies over the versions that were posted before it,
// the one in force and those to come; a version that is posted later states
// its recipients anew.

// A postedChange is a RecipientChange as it was posted.
type postedChange struct {
	rec               Recipient // of an end: as it was last
	ended             bool
	versions          int // it lies over this many versions of the policy, those that were there
	announced, reason string
	postedAt          time.Time
	effectiveAt       time.Time
}

// recipient returns who an id names under a version at a time, nil if nobody
// is in force. Of changes that have taken effect the one posted last rules.
func (r *Register) recipient(v *Posted, id string, at time.Time) *Recipient {
	changes := r.changes[v.id]
	for i := len(changes) - 1; i >= 0; i-- {
		if c := &changes[i]; c.rec.ID == id && v.place < c.versions && !at.Before(c.effectiveAt) {
			if c.ended {
				return nil
			}
			return &c.rec
		}
	}
	if rec := v.byRec[id]; rec != nil && rec.from <= r.Day(at) {
		return rec
	}
	return nil
}

// recipientIDs returns every id that a version or a change over it names, in
// the file's order and then that of posting.
func (r *Register) recipientIDs(v *Posted) []string {
	ids := make([]string, 0, len(v.recipients))
	for i := range v.recipients {
		ids = append(ids, v.recipients[i].ID)
	}
	for i := range r.changes[v.id] {
		if c := &r.changes[v.id][i]; v.place < c.versions && v.byRec[c.rec.ID] == nil && !slices.Contains(ids, c.rec.ID) {
			ids = append(ids, c.rec.ID)
		}
	}
	return ids
}

// knownAsOther reports whether any version of any policy, or a change, that was
// posted by a time names the recipient as something else than an authority:
// whoever left the register, or is not on it yet, is no authority for that.
func (r *Register) knownAsOther(id string, at time.Time) bool {
	for _, vs := range r.policies {
		for _, v := range vs {
			if rec := v.byRec[id]; rec != nil && rec.Kind != RecipientAuthority && !v.PostedAt.After(at) {
				return true
			}
		}
	}
	for _, changes := range r.changes {
		for i := range changes {
			if c := &changes[i]; c.rec.ID == id && c.rec.Kind != RecipientAuthority && !c.postedAt.After(at) {
				return true
			}
		}
	}
	return false
}

// clone returns a register that can be added to without changing r.
func (r *Register) clone() *Register {
	n := *r
	n.policies, n.rules, n.changes = maps.Clone(r.policies), maps.Clone(r.rules), maps.Clone(r.changes)
	return &n
}
