package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// Beside whether everything opens, verify --deep asks whether what is there may be there: each
// disclosure must have been covered when it was made, and nothing may be kept beyond its time.

// lateAfter is how long after its time something may still be there: what is due is looked for
// every hour, unless the ledger was told otherwise.
const lateAfter = defaultSweepEvery + 5*time.Minute

// memberCheck holds one membership to the rules.
type memberCheck struct {
	c       *deepCheck
	rec     *keyring.Member
	reg     *consent.Register
	now     time.Time
	entries []consent.MemberEntry
}

// keptEntries is what one key holds: its first entry, and of a ratchet the first of each day.
type keptEntries struct {
	key  *keyring.MemberKey
	name consent.KeyName
	any  bool
	of   []deepEntry
}

func (k *keptEntries) add(e deepEntry) {
	if k.any && (!k.key.Ratchet || k.of[len(k.of)-1].day == e.day) {
		return
	}
	k.any = true
	e.body = nil
	k.of = append(k.of, e)
}

// pastItsTime finds what should have been destroyed by now.
func (m *memberCheck) pastItsTime(k *keptEntries) {
	limit := m.now.Add(-max(lateAfter, m.c.l.o.SweepEvery+5*time.Minute))
	if !k.any || k.key.NotBefore != 0 && k.key.NotBefore > limit.Unix() {
		return
	}
	rule, ok := m.reg.Rule(k.name.Class)
	if !ok {
		m.c.find("class_unknown", int64(k.of[0].index), fmt.Sprintf("no policy has the class of entry %d", k.of[0].index))
		return
	}
	if rule.Ratchet() {
		for _, e := range k.of {
			if dies := m.reg.DayStart(m.reg.DiesOn(rule, e.day)); dies.Before(limit) {
				m.late(e.index, dies)
			}
		}
		return
	}
	due := k.key.DueAt()
	switch {
	case due != 0 && due < limit.Unix():
		m.late(k.of[0].index, time.Unix(due, 0))
	case due == 0 && m.rec.Ended && rule.Until != consent.UntilDelivery && rule.Until != consent.UntilEventEnd:
		m.c.findRule("kept_past_its_time", k.of[0].index, fmt.Sprintf(
			"entry %d is still readable, though its class ended with the membership", k.of[0].index))
	}
}

func (m *memberCheck) late(index uint64, due time.Time) {
	m.c.findRule("kept_past_its_time", index, fmt.Sprintf(
		"entry %d is still readable and should have been destroyed by %s: start the server, it destroys what is due", index, due.UTC().Format(time.RFC3339)))
}

// rules holds each disclosure to what allowed it when it was made. The answer may rest on what
// nobody can read any more, and that is only known once every key has claimed its entries: then
// this member is asked about again, and again says so.
func (m *memberCheck) rules() (again bool) {
	slices.SortFunc(m.entries, func(a, b consent.MemberEntry) int { return cmp.Compare(a.Index, b.Index) })
	asked := false
	findings, unchecked := m.reg.Audit(m.entries, m.rec.Ended, func(index uint64) bool {
		gone := m.c.unclaimed(index)
		asked = asked || gone
		return gone
	})
	if asked && !m.c.claimed {
		return true
	}
	for _, f := range findings {
		m.c.findRule(f.Code, f.Index, f.What)
	}
	m.c.report.Unchecked += uint64(unchecked)
	return false
}

// unclaimed says whether none of the keys so far can read an entry.
func (c *deepCheck) unclaimed(index uint64) bool {
	return index < c.size && c.seen[index/64]&(1<<(index%64)) == 0
}

// anonymised holds a disclosure of what identifies nobody to the rules.
func (c *deepCheck) anonymised(e deepEntry) error {
	var b eventBody
	if err := decodeBody(e.body, &b); err != nil {
		return err
	}
	event, err := consent.DecodeEvent(b.Event)
	if err != nil {
		return err
	}
	if f := c.l.register.Load().AuditAnonymised(e.index, e.at, &event); f != nil {
		c.findRule(f.Code, f.Index, f.What)
	}
	return nil
}

// rulesAgain holds those to the rules of whom the answer depended on what others can read. What is
// wrong with their entries has been told.
func (c *deepCheck) rulesAgain(ctx context.Context) error {
	c.claimed = true
	defer func() { c.claimed = false }()
	for _, slot := range c.again {
		if err := ctx.Err(); err != nil {
			return err
		}
		recs, err := c.l.keys.SlotsFromDisk(slot, 1)
		if err != nil && !isDamage(err) {
			return err
		}
		if err != nil || len(recs) == 0 || recs[0].Number != slot {
			continue // gone meanwhile
		}
		if _, err := c.member(recs[0].Member); err != nil {
			return err
		}
	}
	return nil
}
