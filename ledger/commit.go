package ledger

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/receipt"
	"consentledger/ledger/store"
)

// Destroying keys, from generation g to g+1:
//
//  1. the new root is written into the spare slot of the root file and is durable;
//  2. one transaction: the rewritten pages, generation g+1, the entries;
//  3. one more transaction (the next group, or an empty one), so that losing the newest meta page
//     of the database cannot bring back pages whose root is gone;
//  4. the old root is overwritten and read back;
//  5. only now are those who asked for a destruction answered.
//
// Those who only appended are answered after step 2. Open does again what a crash left out.

// collectAfter is how long destroyed keys may wait in memory to be collected as garbage.
const collectAfter = 5 * time.Second

// maxGroup bounds a commit, so that an answer does not wait for thousands of others.
const maxGroup = 4096

// committer is the state of the commit loop. Nothing else touches it while the loop runs.
type committer struct {
	l          *Ledger
	tree       *chain.Tree
	prev       chain.Hash
	recordedAt int64
	generation uint64
	version    uint64
	top        [32]byte
	root       seal.Key
	headMAC    seal.Key
	topics     map[string]*topic
	collecting atomic.Bool // garbage is about to be collected
}

// topic is one of the ledger's own sequences of entries.
type topic struct {
	key    seal.Key
	tagger *seal.Tagger
	count  uint64
}

func (c *committer) init(l *Ledger, head headRow, root seal.Key, tree *chain.Tree) error {
	c.l, c.tree, c.root = l, tree, root
	c.recordedAt, c.generation, c.version, c.top = head.recordedAt, head.generation, head.version, head.top
	c.headMAC = root.Derive(headLabel)
	l.final.Store(head.generation) // no ledger opens while an older root is there
	if head.size > 0 {
		last, err := l.entry(head.size - 1)
		if err != nil {
			return err
		}
		c.prev = chain.LeafHash(last)
	}
	c.topics = make(map[string]*topic)
	for _, name := range ownTopics {
		key, err := l.keys.System(name)
		if err != nil {
			return err
		}
		t := &topic{key: key, tagger: seal.NewTagger(key)}
		if t.count, err = l.countTags(t.tagger); err != nil {
			return err
		}
		c.topics[name] = t
	}
	return nil
}

// rotation is a destruction that is committed and not yet final: steps 3 to 5 are still to come.
type rotation struct {
	generation uint64
	waiting    []*submission
}

func (l *Ledger) commitLoop() {
	c := &l.commit
	var rot *rotation         // waits for step 3
	var keeping chan struct{} // closed when step 4 of the rotation before is done; nil if none is
	var held []*submission
	last := 0 // size of the last group
	for {
		if keeping != nil && isClosed(keeping) {
			keeping = nil
		}
		busy := rot != nil || keeping != nil
		l.gather(last)
		group := l.queue.take(maxGroup)
		last = len(group)
		if rot == nil && len(group) == 0 && (keeping != nil || len(held) == 0) {
			if l.queue.drained(l.o.QueueCalls) {
				return
			}
			<-l.queue.wake
			continue
		}
		now := group
		if busy {
			// Another rotation has to wait until this one is final; appends do not.
			now, held = holdBack(group, held)
		} else if len(held) > 0 {
			now, held = append(held, group...), nil
		}
		l.gate.Lock()
		next := c.run(now)
		if rot != nil {
			c.settleStore(len(now))
			keeping = c.keep(rot)
		}
		rot = next
		l.gate.Unlock()
		l.queue.giveBack(group)
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A commit costs about the same for one call as for a hundred, and callers who were just answered
// come back one after the other. So where several callers are at it, the loop waits as long as
// they keep coming, within a bound; a caller who is alone is never made to wait. On two cores with
// 256 callers this makes groups of six into groups of a hundred.
const (
	gatherPause = 100 * time.Microsecond // so long without a newcomer, and the group is complete
	gatherBound = 8 * time.Millisecond
	gatherCalls = 160 // enough for one group
)

// gather waits for a group to become complete. last is the size of the one before.
func (l *Ledger) gather(last int) {
	have := l.queue.waiting()
	if have == 0 || (have == 1 && last <= 1) {
		return
	}
	for until := time.Now().Add(gatherBound); have < gatherCalls && time.Now().Before(until); {
		time.Sleep(gatherPause)
		n := l.queue.waiting()
		if n == have {
			return
		}
		have = n
	}
}

// holdBack sets aside calls that destroy keys, and whatever comes after one for the same member.
func holdBack(group, held []*submission) (now, still []*submission) {
	var fenced map[*member]bool
	for _, s := range held {
		if fenced == nil {
			fenced = make(map[*member]bool)
		}
		fenced[s.member] = true
	}
	for _, s := range group {
		if s.destruction != nil || fenced[s.member] {
			if fenced == nil {
				fenced = make(map[*member]bool)
			}
			if s.member != nil {
				fenced[s.member] = true
			}
			held = append(held, s)
			continue
		}
		now = append(now, s)
	}
	return now, held
}

// settleStore is step 3, unless the group that was just committed was it.
func (c *committer) settleStore(committed int) {
	if committed > 0 || c.l.Health() != nil {
		return
	}
	if err := c.l.o.Store.Settle(); err != nil {
		c.l.stop(err)
	}
}

// keep is steps 4 and 5, beside the commits that come after. What it returns is closed when it is
// done; no other rotation may begin before.
func (c *committer) keep(rot *rotation) chan struct{} {
	l := c.l
	done := make(chan struct{})
	l.loops.Go(func() {
		if l.Health() == nil {
			if err := l.o.Root.Keep(rot.generation); err != nil {
				l.stop(fmt.Errorf("overwrite the old root key: %w", err))
			} else {
				l.final.Store(rot.generation)
			}
		}
		var err error
		if health := l.Health(); health != nil {
			// It is committed, but whether the old root is gone is not known; the next start sees to it.
			err = fmt.Errorf("%w: the destruction was recorded, but not brought to its end: %w", ErrUncertain, health)
		}
		close(done)
		for _, s := range rot.waiting {
			for i := range s.destruction.old {
				s.destruction.old[i].Clear()
			}
			l.settle(s, err)
		}
		l.queue.signal()
	})
	// Pages and key schedules of destroyed keys are garbage now: let them be overwritten soon. Not
	// after each of a row of destructions, but always after the last.
	if c.collecting.CompareAndSwap(false, true) {
		time.AfterFunc(collectAfter, func() {
			c.collecting.Store(false)
			runtime.GC()
		})
	}
	return done
}

// run makes a group durable and answers those who need nothing more. It returns the rotation that
// is to be finished, if the group destroyed keys.
func (c *committer) run(group []*submission) *rotation {
	l := c.l
	if len(group) == 0 {
		return nil
	}
	if err := l.Health(); err != nil {
		for _, s := range group {
			l.settle(s, err)
		}
		return nil
	}
	if group = c.date(group); len(group) == 0 {
		return nil
	}
	begun, first := time.Now(), c.tree.Size()
	rot, err := c.write(group)
	l.watched(group, int(c.tree.Size()-first), time.Since(begun), err != nil)
	if err != nil {
		l.stop(err)
		answer := fmt.Errorf("%w: %w", ErrReadOnly, err)
		if errors.Is(err, store.ErrUncertain) || errors.Is(err, errAfterCommit) {
			answer = fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		for _, s := range group {
			l.settle(s, answer)
		}
		return nil
	}
	for _, s := range group {
		if s.destruction == nil {
			l.settle(s, nil)
		}
	}
	return rot
}

// date gives a group its time, and turns away what must not have that time.
//
// The time is never before a call was sealed, and never before the newest entry: a clock that was
// set back changes nothing. An entry is sealed under the key of its day, and readers look for the
// day of its time and the one before; so a call that was sealed earlier than that (the machine
// slept) is not recorded, and its caller may try again. If that is so of all of them, the time is
// not kept: the clock may have leapt for a moment, and whoever comes next is sealed by what is
// recorded.
func (c *committer) date(group []*submission) []*submission {
	recordedAt := max(c.recordedAt, c.l.o.Clock().UnixMilli())
	for _, s := range group {
		if !s.at.IsZero() {
			recordedAt = max(recordedAt, s.at.UnixMilli())
		}
	}
	at := time.UnixMilli(recordedAt)
	reg := c.l.register.Load()
	now := group[:0:0]
	for _, s := range group {
		var err error
		switch {
		case c.l.revoked(s.by):
			err = ErrUnauthorized
		case len(s.entries) > 0 && reg.Day(s.at)+1 < reg.Day(at):
			err = ErrBusy
		case s.dated != nil:
			err = s.dated(at)
		}
		if err != nil {
			c.l.settle(s, err)
			continue
		}
		now = append(now, s)
	}
	if len(now) > 0 {
		c.recordedAt = recordedAt
	}
	return now
}

// destructionsClass is what the answer calls the class of a destruction entry.
const destructionsClass = "destructions"

// errAfterCommit marks an error after which the group may well be durable.
var errAfterCommit = errors.New("after the commit")

// write is steps 1 and 2.
func (c *committer) write(group []*submission) (*rotation, error) {
	l := c.l
	batch := l.keys.Begin()
	var rot *rotation
	var marks []*mark
	var forget []forgotten
	for _, s := range group {
		if err := applyKeys(batch, s); err != nil {
			return nil, fmt.Errorf("change the keyring: %w", err)
		}
		if s.mark != nil {
			marks = append(marks, s.mark)
		}
		if s.turn != nil {
			forget = append(forget, s.turn.forget...)
		}
		if s.destruction != nil {
			if rot == nil {
				rot = &rotation{generation: c.generation + 1}
			}
			rot.waiting = append(rot.waiting, s)
		}
	}
	root, headMAC := c.root, c.headMAC
	if rot != nil {
		var err error
		if root, err = seal.NewKey(l.o.Rand); err != nil {
			return nil, fmt.Errorf("draw a root key: %w", err)
		}
		if err := l.o.Root.Stage(rot.generation, root); err != nil {
			return nil, fmt.Errorf("stage a root key: %w", err)
		}
		headMAC = root.Derive(headLabel)
	}
	head := headRow{generation: c.generation, version: c.version, top: c.top}
	var pages []keyring.Page
	if batch.Changed() || rot != nil {
		var err error
		if pages, err = batch.Seal(root); err != nil {
			return nil, fmt.Errorf("seal the keyring: %w", err)
		}
		head.version++
		head.top = keyring.TopHash(pages[len(pages)-1].Sealed)
	}
	if rot != nil {
		head.generation = rot.generation
	}
	first := c.tree.Size()
	entries, err := c.chainGroup(group, rot)
	if err != nil {
		return nil, err
	}
	head.size, head.root, head.recordedAt = c.tree.Size(), c.tree.Root(), c.recordedAt
	var tiles []tile
	c.tree.TakeFullTiles(func(level int, n uint64, data []byte) {
		tiles = append(tiles, tile{tileKey(level, n), append([]byte(nil), data...)})
	})
	err = batch.Commit(func() error {
		return l.o.Store.Update(func(w store.Writer) error {
			if err := c.putMarks(w, marks); err != nil {
				return err
			}
			for _, k := range forget {
				if err := w.Delete(k.of, k.row); err != nil {
					return err
				}
			}
			if err := putWaiting(w, group); err != nil {
				return err
			}
			return writeGroup(w, first, entries, tiles, pages, head.encode(headMAC))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	c.generation, c.version, c.top, c.root, c.headMAC = head.generation, head.version, head.top, root, headMAC
	for i, e := range entries {
		if err := l.tags.Add(first+uint64(i), [16]byte(e[chain.HeaderSize:])); err != nil {
			return nil, fmt.Errorf("%w: index the tags: %w", errAfterCommit, err)
		}
	}
	if err := l.marks.added(marks); err != nil {
		return nil, fmt.Errorf("%w: index the idempotency keys: %w", errAfterCommit, err)
	}
	l.recordedAt.Store(head.recordedAt)
	l.durable.Store(&durableHead{size: head.size, root: head.root, edges: c.tree.Edges()})
	l.size.Store(head.size) // last: whoever sees an entry finds a head that covers it
	return rot, nil
}

type tile struct {
	key, data []byte
}

func writeGroup(w store.Writer, first uint64, entries [][]byte, tiles []tile, pages []keyring.Page, head []byte) error {
	for i, e := range entries {
		if err := w.Put(mapEntries, indexKey(first+uint64(i)), e); err != nil {
			return err
		}
	}
	for _, t := range tiles {
		if err := w.Put(mapTiles, t.key, t.data); err != nil {
			return err
		}
	}
	for _, p := range pages {
		var err error
		if p.Sealed == nil {
			err = w.Delete(mapKeyring, p.Position)
		} else {
			err = w.Put(mapKeyring, p.Position, p.Sealed)
		}
		if err != nil {
			return err
		}
	}
	return w.Put(mapMeta, keyHead, head)
}

func applyKeys(b *keyring.Batch, s *submission) error {
	if s.turn != nil {
		return s.turn.apply(b)
	}
	switch {
	case s.deleteID:
		if err := b.DeleteID(s.path); err != nil {
			return err
		}
	case s.putID != nil:
		if err := b.PutID(s.path, *s.putID); err != nil {
			return err
		}
	}
	switch {
	case s.deleteRec:
		return b.DeleteMember(s.slot)
	case s.record != nil:
		b.SetNextSlot(s.slot + 1)
		return b.PutMember(s.slot, s.record)
	}
	return nil
}

// chainGroup gives every entry of a group its place: time, predecessor, leaf.
func (c *committer) chainGroup(group []*submission, rot *rotation) ([][]byte, error) {
	at := time.UnixMilli(c.recordedAt)
	entries := make([][]byte, 0, 2*len(group))
	add := func(s *submission, entry []byte, class string) {
		chain.Complete(entry, c.recordedAt, c.prev)
		c.prev = chain.LeafHash(entry)
		s.pending.answer.Entries = append(s.pending.answer.Entries, EntryRef{Index: c.tree.Size(), LeafHash: c.prev, Class: class})
		c.tree.Append(c.prev)
		entries = append(entries, entry)
	}
	for _, s := range group {
		s.pending.answer.RecordedAt = at
		if s.mark != nil {
			s.mark.complete(c.tree.Size(), c.recordedAt)
		}
		for i, e := range s.entries {
			add(s, e, s.drafts[i].Key.Class.Name())
		}
		system := s.system
		if d := s.destruction; d != nil {
			body, err := encodeBody(receipt.Destruction{
				Kind: receipt.KindDestruction, Cause: d.cause, Keys: uint64(d.keys), Entries: d.entries,
				From: c.generation, To: rot.generation, Commitment: d.commitment,
			})
			if err != nil {
				return nil, err
			}
			system = append(system, systemDraft{topicDestructions, destructionsClass, body})
		}
		for _, d := range system {
			e, err := c.sealSystem(d)
			if err != nil {
				return nil, err
			}
			add(s, e, d.class)
		}
		if d := s.destruction; d != nil {
			d.index = c.tree.Size() - 1
		}
	}
	return entries, nil
}

func (c *committer) sealSystem(d systemDraft) ([]byte, error) {
	t := c.topics[d.topic]
	e, err := c.l.box.Seal(chain.AppendHeader(nil), c.l.o.Rand, chain.Version, t.key, t.tagger.Tag(t.count), d.body)
	if err != nil {
		return nil, fmt.Errorf("seal an entry of the ledger's own: %w", err)
	}
	t.count++
	return e, nil
}

// settle lets go of a call's member, frees its place, and answers it.
func (l *Ledger) settle(s *submission, err error) {
	s.pending.err = err
	if err == nil && s.durable != nil {
		s.durable()
	}
	if s.member != nil {
		l.members.committed(s)
	}
	if s.mark != nil {
		l.claims.done(s.mark.claim, err)
	}
	l.queue.release(1)
	close(s.pending.done)
}
