package ledger

import (
	"sync"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
)

// submission is what one call asks the commit loop to make durable, all of it or nothing.
type submission struct {
	member  *member                  // nil for the ledger's own
	by      string                   // key id of who asked, if a key may end before it is written
	at      time.Time                // when the entries were sealed
	dated   func(at time.Time) error // asked before anything is written, with the time that it will have
	entries [][]byte                 // sealed, the header still to be completed
	drafts  []consent.Draft          // what the member's entries mean, to be folded in once they are durable
	system  []systemDraft

	putID     *keyring.IDRecord // what the member id leads to from now on
	deleteID  bool
	record    *keyring.Member // what the slot holds from now on
	deleteRec bool
	slot      uint64
	apart     bool // it is of a membership that ended
	path      keyring.IDPath

	destruction *destruction // nil if no key is destroyed

	sealedUnder []seal.Key // the member's keys that its entries lie under, and that live on
	mark        *mark      // of its idempotency key
	turn        *turn      // of the keys of marks
	delivered   *uint64    // the destruction whose certificate has come to its member

	durable func() // called once it is, before it is answered

	pending *Pending
}

// empty says whether there is nothing to make durable.
func (s *submission) empty() bool {
	return len(s.entries) == 0 && len(s.system) == 0 && s.putID == nil && !s.deleteID && s.record == nil && !s.deleteRec && s.destruction == nil && s.mark == nil && s.turn == nil
}

// systemDraft is an entry of the ledger's own, sealed by the commit loop.
type systemDraft struct {
	topic string
	class string
	body  []byte
}

// destruction is what a destruction entry will say.
type destruction struct {
	cause   string
	keys    int
	entries uint64
	old     []seal.Key // to be cleared in memory afterwards

	commitment []byte
	waits      []byte // the row that its certificate is to be made from, if nobody is answered
	index      uint64 // of its entry, once it has one
}

// queue holds the calls that wait for the commit loop. A caller reserves a place before it does
// any work, so that a call that was sealed always finds room.
type queue struct {
	mu     sync.Mutex
	free   int
	items  []*submission
	spare  []*submission
	wake   chan struct{}
	closed bool
	open   sync.WaitGroup // places that are reserved
}

func (q *queue) init(places int) {
	q.free = places
	q.wake = make(chan struct{}, 1)
}

// reserve takes a place, or says that there is none.
func (q *queue) reserve() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.free == 0:
		return ErrBusy
	}
	q.free--
	q.open.Add(1)
	return nil
}

// release gives a place back: the call came to nothing, or is durable.
func (q *queue) release(n int) {
	q.mu.Lock()
	q.free += n
	q.mu.Unlock()
	q.open.Add(-n)
}

// put hands a call to the commit loop. The caller holds a place.
func (q *queue) put(s *submission) {
	q.mu.Lock()
	q.items = append(q.items, s)
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// waiting is how many calls wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// drained says whether the queue is closed and every place is free again.
func (q *queue) drained(places int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.free == places
}

// take returns what is waiting, up to max calls.
func (q *queue) take(max int) []*submission {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) <= max {
		out := q.items
		q.items, q.spare = q.spare[:0], nil
		return out
	}
	out := append([]*submission(nil), q.items[:max]...)
	q.items = append(q.items[:0], q.items[max:]...)
	q.signal()
	return out
}

// giveBack returns an emptied slice for reuse.
func (q *queue) giveBack(s []*submission) {
	clear(s)
	q.mu.Lock()
	if cap(s) > cap(q.spare) {
		q.spare = s[:0]
	}
	q.mu.Unlock()
}

// close refuses new calls, waits until those that hold a place are done, and wakes the loop.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.open.Wait()
	q.signal()
}
