package ledger

import "time"

// A Commit is what making one group of calls durable came to.
type Commit struct {
	Calls        int // that were in the group
	Entries      int // that it wrote
	Destructions int // calls of it that destroyed keys
	Keys         int // keys that they destroyed
	Took         time.Duration
	Failed       bool // what it wrote is not, or not surely, on disk; the ledger writes no more
}

// Watch has f called after each commit, before its callers are answered. f must be quick and must
// not call the ledger. The last one that was given is the one that is called.
func (l *Ledger) Watch(f func(Commit)) { l.watcher.Store(&f) }

func (l *Ledger) watched(group []*submission, entries int, took time.Duration, failed bool) {
	f := l.watcher.Load()
	if f == nil {
		return
	}
	c := Commit{Calls: len(group), Entries: entries, Took: took, Failed: failed}
	for _, s := range group {
		if s.destruction != nil {
			c.Destructions++
			c.Keys += s.destruction.keys
		}
	}
	(*f)(c)
}

// Stats are what an operator watches. All of it is of now.
type Stats struct {
	Entries     uint64    // that are durable
	Published   uint64    // of them, those that a published checkpoint covers
	PublishedAt time.Time // when it was signed; zero if that was before this start
	Waiting     int       // calls that wait for a commit, or are in one
	Places      int       // how many may
	Overdue     int       // members of whom something is due and not yet destroyed; counted up to MaxOverdue
	SweptAt     time.Time // when the last sweep ended well; zero if none did since the start

	Witnesses     int    // in the register
	Required      int    // of them, how many must sign
	WitnessesAway int    // of them, how many do not answer
	Cosigned      uint64 // entries that a head covers that as many as must have signed; 0 before the first one
}

// MaxOverdue bounds how far Stats counts.
const MaxOverdue = 1000

// Stats says how the ledger is doing. It reads a few pages of the keyring where something is due,
// and one where nothing is.
func (l *Ledger) Stats() (Stats, error) {
	s := Stats{Entries: l.Size(), Places: l.o.QueueCalls, Waiting: l.queue.taken(l.o.QueueCalls)}
	if p := l.published.Load(); p != nil {
		s.Published, s.PublishedAt = p.size, p.at
	}
	if at := l.sweptAt.Load(); at != 0 {
		s.SweptAt = time.UnixMilli(at)
	}
	l.cosignedStats(&s)
	due, err := l.keys.DueFrom(l.now().Unix(), 0, MaxOverdue)
	s.Overdue = len(due)
	return s, l.damaged(err)
}

// taken is how many places are not free.
func (q *queue) taken(places int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return places - q.free
}
