package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// member is one member id in memory: nothing (absent), a living membership, or one that ended and
// of which something is kept. It is a cache: everything in it comes from the keyring and the entries.
//
// One write of a member is under way at a time, and whoever comes next waits for it to be durable.
// So no decision ever rests on something that a crash could take back, and an entry can name the
// index of the one that it rests on. Different members never wait for each other.
type member struct {
	path keyring.IDPath

	waiters atomic.Int32 // calls that wait for the flight

	mu     sync.Mutex
	loaded bool
	dead   bool // no longer in the table: look it up again
	flight *submission

	apart uint64 // not 0: this is no entry of the table but the ended membership of that slot

	id   keyring.IDRecord // Slot 0 and nothing kept: absent
	rec  *keyring.Member  // of the living membership
	keys []*memberKey     // as rec.Keys
	fold *consent.Fold

	// Owned by the table's shard.
	size       int64
	prev, next *member
}

// memberKey is one of a member's keys, with how far its entries have come.
type memberKey struct {
	name    consent.KeyName
	tagger  *seal.Tagger
	count   uint64      // entries under this key
	expired uint64      // of these, how many the ratchet has left behind
	newest  consent.Day // of a ratchet's entries
	day     consent.Day // of dayKey
	dayKey  seal.Key    // a ratchet's key of the day last used
}

func (m *member) living() bool { return m.id.Slot != 0 }
func (m *member) ended() bool  { return m.id.Slot == 0 && len(m.id.Kept) > 0 }

// states is what the rules are told of the keys.
func (m *member) states() []consent.KeyState { return statesOf(m.rec, m.keys) }

func statesOf(rec *keyring.Member, keys []*memberKey) []consent.KeyState {
	out := make([]consent.KeyState, len(keys))
	for i, k := range keys {
		out[i] = consent.KeyState{
			KeyName: k.name, Entries: k.count - k.expired, NewestDay: k.newest,
			Due: unixTime(rec.Keys[i].Due), HeldUntil: unixTime(rec.Keys[i].NotBefore),
		}
	}
	return out
}

func (m *member) sizeBytes() int64 {
	n := int64(512) + int64(len(m.keys))*448
	if m.fold != nil {
		n += int64(m.fold.SizeBytes())
	}
	return n
}

// acquire returns a member locked and loaded, with no write of theirs under way. The caller lets
// go of it with release.
func (l *Ledger) acquire(ctx context.Context, path keyring.IDPath) (*member, error) {
	for {
		m := l.members.get(path)
		m.mu.Lock()
		if f := m.flight; f != nil {
			if !f.pending.isDone() {
				m.mu.Unlock()
				if err := m.wait(ctx, f.pending); err != nil {
					return nil, err
				}
				continue
			}
			m.absorb()
		}
		if m.dead {
			m.mu.Unlock()
			l.members.drop(m)
			continue
		}
		if m.loaded {
			return m, nil
		}
		if err := l.firstLoad(m); err != nil {
			return nil, err
		}
		return m, nil
	}
}

// maxWaiters bounds how many calls wait for one member, so that one id that is asked for without
// end does not take every place in the queue.
const maxWaiters = 64

// errMemberBusy is ErrBusy of one member: nobody else is any busier for it.
var errMemberBusy = fmt.Errorf("%w for one member", ErrBusy)

func (m *member) wait(ctx context.Context, p *Pending) error {
	defer m.waiters.Add(-1)
	if m.waiters.Add(1) > maxWaiters {
		return errMemberBusy
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// firstLoad loads a member that the caller holds locked, and lets go of them if that fails,
// whatever way it fails.
func (l *Ledger) firstLoad(m *member) error {
	defer func() {
		if !m.loaded {
			m.dead = true
			m.mu.Unlock()
			l.members.drop(m)
		}
	}()
	err := l.load(m)
	m.loaded = err == nil
	return err
}

// absorb folds in a write that is done. A destruction is not folded in: what it left is read anew.
func (m *member) absorb() {
	s := m.flight
	m.flight = nil
	if s.pending.err != nil || s.destruction != nil {
		m.dead = true
		return
	}
	if s.apart {
		return // of another membership of the same id; its state is read each time
	}
	for i, d := range s.drafts {
		m.fold.Apply(s.pending.answer.Entries[i].Index, s.pending.answer.RecordedAt, d.Key, d.Event)
	}
}

// release gives a member back. Ids that lead nowhere are not kept in memory.
func (l *Ledger) release(m *member) {
	if !m.living() && !m.ended() && m.flight == nil {
		m.dead = true
		m.mu.Unlock()
		l.members.drop(m)
		return
	}
	l.members.touch(m, m.sizeBytes())
	m.mu.Unlock()
}

// load reads what is durable of a member id.
func (l *Ledger) load(m *member) error {
	id, ok, err := l.keys.ByID(m.path)
	if err != nil {
		return l.damaged(err)
	}
	m.id = id
	if !ok || id.Slot == 0 {
		return nil
	}
	rec, err := l.keys.Member(id.Slot)
	if err != nil {
		return l.damaged(err)
	}
	if rec == nil || rec.Path != m.path {
		return l.damaged(fmt.Errorf("%w: a member id leads to a slot that is not its own", ErrCorrupt))
	}
	m.rec = rec
	opened, keys, err := l.openMember(rec)
	if err != nil {
		return err
	}
	m.keys = keys
	m.fold = consent.NewFold()
	for _, e := range opened {
		m.fold.Apply(e.Index, e.RecordedAt, e.key, e.Event)
	}
	return nil
}

// damaged stops all writing if an error means that the disk is in doubt. A reader whom Close
// overtook is told so: nothing is wrong with the disk then.
func (l *Ledger) damaged(err error) error {
	if errors.Is(err, store.ErrClosed) {
		return ErrClosed
	}
	if isDamage(err) {
		l.stop(err)
	}
	return err
}

func (l *Ledger) pathOf(id consent.MemberID) keyring.IDPath {
	mac := l.pathKey.MAC(id.Bytes())
	return keyring.IDPath(mac[:16])
}

// memberTable is the members in memory, within a bound of bytes. The least recently used go first.
type memberTable struct {
	shards [64]memberShard
}

type memberShard struct {
	mu    sync.Mutex
	all   map[keyring.IDPath]*member
	used  int64
	limit int64
	order member // ring: order.next is the newest, order.prev the oldest
}

func (t *memberTable) init(limitBytes int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.all = make(map[keyring.IDPath]*member)
		s.limit = limitBytes / int64(len(t.shards))
		s.order.next, s.order.prev = &s.order, &s.order
	}
}

// shard goes by the path's bits, which a keyed hash has spread evenly.
func (t *memberTable) shard(p keyring.IDPath) *memberShard { return &t.shards[p[15]%64] }

func (t *memberTable) get(path keyring.IDPath) *member {
	s := t.shard(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.all[path]
	if m == nil {
		m = &member{path: path}
		s.all[path] = m
		s.link(m)
	}
	return m
}

func (s *memberShard) link(m *member) {
	m.prev, m.next = &s.order, s.order.next
	m.prev.next, m.next.prev = m, m
}

func (s *memberShard) unlink(m *member) {
	m.prev.next, m.next.prev = m.next, m.prev
	m.prev, m.next = nil, nil
}

// drop takes a member out of the table, if it is the one that stands there.
func (t *memberTable) drop(m *member) {
	s := t.shard(m.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(m)
}

func (s *memberShard) drop(m *member) {
	if s.all[m.path] != m {
		return
	}
	delete(s.all, m.path)
	s.unlink(m)
	s.used -= m.size
}

// touch notes the size of a member that the caller holds locked, and makes room.
func (t *memberTable) touch(m *member, size int64) {
	s := t.shard(m.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[m.path] != m {
		return
	}
	s.used += size - m.size
	m.size = size
	s.unlink(m)
	s.link(m)
	for old := s.order.prev; s.used > s.limit && old != &s.order; {
		next := old.prev
		if old != m && old.mu.TryLock() {
			if old.flight == nil || old.flight.pending.isDone() {
				old.dead = true
				s.drop(old)
			}
			old.mu.Unlock()
		}
		old = next
	}
}

// committed is told of every write that is settled. After a destruction the member leaves memory
// at once: its keys are dead.
func (t *memberTable) committed(s *submission) {
	if s.destruction == nil {
		return
	}
	m := s.member
	m.mu.Lock()
	m.dead = true
	for i := range m.keys {
		m.keys[i].dayKey.Clear()
	}
	m.mu.Unlock()
	t.drop(m)
}
