package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
	"consentledger/ledger/store"
)

// DeepReport is what opening everything has shown.
type DeepReport struct {
	Entries   uint64        `json:"entries"`
	Living    uint64        `json:"living"`    // opened, commitment and contents checked
	System    uint64        `json:"system"`    // of these, the ledger's own
	Destroyed uint64        `json:"destroyed"` // as the destruction entries count them
	Members   uint64        `json:"members"`   // slots that hold keys
	Keys      uint64        `json:"keys"`
	Unchecked uint64        `json:"unchecked"` // disclosures that rest on entries which were destroyed since
	Intact    bool          `json:"intact"`
	Findings  []DeepFinding `json:"findings,omitempty"`
}

// DeepFinding is one thing that is wrong. Index is -1 where no entry is at fault.
type DeepFinding struct {
	Kind  string `json:"kind"`
	Index int64  `json:"index"`
	What  string `json:"what"`
	Rules bool   `json:"rules,omitempty"` // the log is whole; what it holds breaks a rule
}

// maxFindings bounds a report.
const maxFindings = 100

// slotsPerStep is how many slots are read before the next look at the context.
const slotsPerStep = 512

// deepCheck is one run of VerifyDeep.
type deepCheck struct {
	l      *Ledger
	report DeepReport
	seen   []uint64 // bitmap of entries that some key claims
	size   uint64
	root   seal.Key
	own    []ownTopic

	again   []uint64 // slots to be held to the rules once every key has claimed its entries
	claimed bool     // they are now, and nothing is counted or found damaged a second time
}

type ownTopic struct {
	name  string
	key   seal.Key
	count uint64
}

// VerifyDeep opens every entry that can still be opened: each under the key that claims it, with
// its commitment; each key's entries without a gap; and what nobody can open must be what the
// destruction entries say was destroyed. It reads every page of the keyring from the store.
//
// It may run while the ledger serves. What is written meanwhile can look like damage to it, so a
// run that found something is made again with the commit loop at rest.
func (l *Ledger) VerifyDeep(ctx context.Context, who Caller, progress func(done, total uint64)) (DeepReport, error) {
	if !who.May(ActRegister) {
		return DeepReport{}, ErrForbidden
	}
	// What was prepared for a commit that failed is in memory only, and would look like damage.
	if err := l.Health(); err != nil {
		return DeepReport{}, fmt.Errorf("restart first, and then check: %w", err)
	}
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	c := l.newDeepCheck(false)
	err := c.run(ctx, progress)
	if err != nil || c.report.Intact {
		return c.report, err
	}
	l.gate.Lock()
	defer l.gate.Unlock()
	c = l.newDeepCheck(true)
	err = c.run(ctx, progress)
	return c.report, err
}

func (l *Ledger) newDeepCheck(atRest bool) *deepCheck {
	if !atRest {
		l.gate.Lock()
		defer l.gate.Unlock()
	}
	c := &deepCheck{l: l, size: l.size.Load(), root: l.commit.root}
	for name, t := range l.commit.topics {
		c.own = append(c.own, ownTopic{name, t.key, t.count})
	}
	c.report.Entries = c.size
	c.seen = make([]uint64, c.size/64+1)
	return c
}

func (c *deepCheck) run(ctx context.Context, progress func(done, total uint64)) error {
	if err := c.tagRuns(); err != nil {
		return err
	}
	if err := c.marks(); err != nil {
		return err
	}
	if err := c.waits(); err != nil {
		return err
	}
	if err := c.topPage(); err != nil {
		return err
	}
	if err := c.topics(); err != nil {
		return err
	}
	slots := make(map[uint64]slotOwner)
	for from := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := c.l.keys.SlotsFromDisk(from, slotsPerStep)
		if err != nil {
			if !isDamage(err) {
				return err
			}
			c.find("keyring_damaged", -1, err.Error())
			break
		}
		for _, s := range page {
			slots[s.Number] = slotOwner{s.Member.Path, s.Member.Ended}
			again, err := c.member(s.Member)
			if err != nil {
				return err
			}
			if again {
				c.again = append(c.again, s.Number)
			}
			from = s.Number + 1
		}
		progress(min(c.report.Living, c.size), c.size)
		if len(page) < slotsPerStep {
			break
		}
	}
	if err := c.rulesAgain(ctx); err != nil {
		return err
	}
	if err := c.ids(slots); err != nil {
		return err
	}
	c.count()
	c.report.Intact = len(c.report.Findings) == 0
	progress(c.size, c.size)
	return nil
}

type slotOwner struct {
	path  keyring.IDPath
	ended bool
}

func (c *deepCheck) find(kind string, index int64, what string) {
	if !c.claimed && len(c.report.Findings) < maxFindings {
		c.report.Findings = append(c.report.Findings, DeepFinding{Kind: kind, Index: index, What: what})
	}
}

// findRule is find for what breaks a rule and is no damage.
func (c *deepCheck) findRule(kind string, index uint64, what string) {
	if len(c.report.Findings) < maxFindings {
		c.report.Findings = append(c.report.Findings, DeepFinding{Kind: kind, Index: int64(index), What: what, Rules: true})
	}
}

func (c *deepCheck) tagRuns() error {
	index, ok, err := c.l.tags.Check()
	if err != nil {
		return err
	}
	if !ok {
		c.find("tag_run_differs", int64(index), fmt.Sprintf("the tag index does not lead to entry %d: remove the files in tags/ and restart, they are made again", index))
	}
	return nil
}

// marks holds the marks of idempotency keys against their index, and each to its shape.
func (c *deepCheck) marks() error {
	month, ok, err := c.l.marks.check()
	switch {
	case isDamage(err):
		c.find("mark_damaged", -1, err.Error())
	case err != nil:
		return err
	case !ok:
		c.find("mark_index_differs", -1, fmt.Sprintf("the index of idempotency keys of month %d does not lead to its marks: remove the files in marks/%d and restart, they are made again", month, month))
	}
	return nil
}

// topPage compares the stored top page with the head row, whatever is in memory.
func (c *deepCheck) topPage() error {
	return c.l.o.Store.View(func(r store.Reader) error {
		raw, err := r.Get(mapMeta, keyHead)
		if err != nil {
			return err
		}
		head, err := decodeHead(raw)
		if err != nil {
			c.find("head_row", -1, err.Error())
			return nil
		}
		if err := checkHead(raw, c.root); err != nil {
			c.find("head_row", -1, err.Error())
		}
		top, err := r.Get(mapKeyring, keyring.TopPosition())
		if err != nil {
			return err
		}
		if keyring.TopHash(top) != head.top {
			c.find("keyring_damaged", -1, "the keyring's top page is not the one that the head row names")
		}
		return nil
	})
}

// topics opens the ledger's own entries and adds up what was destroyed.
func (c *deepCheck) topics() error {
	for _, t := range c.own {
		name := t.name
		k := keyring.MemberKey{Key: t.key}
		mk := newMemberKey(&k)
		err := c.each(mk, &k, func(e deepEntry) {
			c.report.System++
			var err error
			switch name {
			case topicDestructions:
				var d receipt.Destruction
				if err = decodeBody(e.body, &d); err == nil {
					c.report.Destroyed += d.Entries
				}
			case topicStatistics:
				err = c.anonymised(e)
			}
			if err != nil {
				c.find("body_malformed", int64(e.index), err.Error())
			}
		})
		if err != nil {
			return err
		}
		if mk.count != t.count {
			c.find("counter_gap", -1, fmt.Sprintf("the ledger's own entries of %s: %d were found and %d written", name, mk.count, t.count))
		}
	}
	return nil
}

func (c *deepCheck) member(rec *keyring.Member) (again bool, err error) {
	m := &memberCheck{c: c, rec: rec, now: c.l.now(), reg: c.l.register.Load()}
	if !c.claimed {
		c.report.Members++
		c.report.Keys += uint64(len(rec.Keys))
	}
	for i := range rec.Keys {
		k := &rec.Keys[i]
		mk := newMemberKey(k)
		held := keptEntries{key: k, name: mk.name}
		err := c.each(mk, k, func(e deepEntry) {
			event, err := consent.DecodeEvent(e.body)
			if err != nil {
				c.find("body_malformed", int64(e.index), err.Error())
				return
			}
			held.add(e)
			m.entries = append(m.entries, consent.MemberEntry{Index: e.index, RecordedAt: e.at, Key: mk.name, Event: event})
		})
		if err != nil {
			return false, err
		}
		if !c.claimed {
			m.pastItsTime(&held)
		}
	}
	return m.rules(), nil
}

// deepEntry is one entry that was opened.
type deepEntry struct {
	index uint64
	at    time.Time
	day   consent.Day // that it was sealed on
	body  []byte
}

// each opens the entries of one key in order.
func (c *deepCheck) each(mk *memberKey, k *keyring.MemberKey, f func(deepEntry)) error {
	l := c.l
	reg := l.register.Load()
	for {
		index, ok, err := l.tags.Find(mk.tagger.Tag(mk.count))
		if err != nil {
			return err
		}
		if !ok {
			return c.gap(mk)
		}
		if index >= c.size {
			return nil
		}
		mk.count++
		raw, err := l.entry(index)
		if err != nil {
			if !isDamage(err) {
				return err
			}
			c.find("entry_missing", int64(index), err.Error())
			continue
		}
		if c.seen[index/64]&(1<<(index%64)) != 0 {
			c.find("claimed_twice", int64(index), fmt.Sprintf("two keys claim entry %d", index))
		}
		e, err := chain.Parse(raw)
		if err != nil {
			c.find("entry_malformed", int64(index), err.Error())
			continue
		}
		at := time.UnixMilli(e.RecordedAtUnixMs)
		body, day, err := l.openEntry(mk, k, reg.Day(at), e.Sealed)
		if errors.Is(err, errExpired) {
			continue
		}
		if !c.claimed {
			c.seen[index/64] |= 1 << (index % 64)
			c.report.Living++
		}
		if err != nil {
			c.find("entry_does_not_open", int64(index), fmt.Sprintf("entry %d does not open with its own key: %v", index, err))
			continue
		}
		f(deepEntry{index, at, day, body})
	}
}

// gap looks a little past the end of a key's entries: a later tag without this one means that
// entries are missing in between.
func (c *deepCheck) gap(mk *memberKey) error {
	for ahead := uint64(1); ahead <= 8; ahead++ {
		index, ok, err := c.l.tags.Find(mk.tagger.Tag(mk.count + ahead))
		if err != nil {
			return err
		}
		if ok {
			c.find("counter_gap", int64(index), fmt.Sprintf("an entry of the same key before entry %d is missing", index))
			return nil
		}
	}
	return nil
}

// ids checks that every id leads to a slot that leads back, and every slot has its id.
func (c *deepCheck) ids(slots map[uint64]slotOwner) error {
	var from keyring.IDPath
	for {
		paths, recs, err := c.l.keys.IDsFromDisk(from, slotsPerStep)
		if err != nil {
			if !isDamage(err) {
				return err
			}
			c.find("keyring_damaged", -1, err.Error())
			return nil
		}
		for i, rec := range recs {
			all := rec.Kept
			if rec.Slot != 0 {
				all = append([]uint64{rec.Slot}, all...)
			}
			for _, s := range all {
				owner, ok := slots[s]
				if !ok || owner.path != paths[i] || owner.ended != (s != rec.Slot) {
					c.find("id_map", -1, "a member id leads to a slot that is not its own")
				}
				delete(slots, s)
			}
		}
		if len(paths) < slotsPerStep {
			break
		}
		from = next(paths[len(paths)-1])
	}
	if len(slots) > 0 {
		c.find("id_map", -1, fmt.Sprintf("%d slots are reached by no member id", len(slots)))
	}
	return nil
}

func next(p keyring.IDPath) keyring.IDPath {
	for i := len(p) - 1; i >= 0; i-- {
		p[i]++
		if p[i] != 0 {
			break
		}
	}
	return p
}

// count checks that living and destroyed entries together are all.
func (c *deepCheck) count() {
	var seen uint64
	for _, w := range c.seen {
		seen += uint64(bits.OnesCount64(w))
	}
	if seen+c.report.Destroyed == c.size {
		return
	}
	c.find("entries_unaccounted", -1, fmt.Sprintf("%d entries can be opened and %d were destroyed, of %d: the rest cannot be accounted for",
		seen, c.report.Destroyed, c.size))
}
