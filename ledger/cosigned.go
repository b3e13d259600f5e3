package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
)

// Somebody else brings heads to witnesses and cosignatures back: the ledger gives heads and proofs,
// checks what comes, and remembers it. Cosignatures are kept in memory alone: whoever asks the
// witnesses at the next start gets them again.

var (
	// ErrWitnessesAway says that too few witnesses have signed within the time there was.
	ErrWitnessesAway = errors.New("too few witnesses have signed")
	// ErrContradicted says that a witness has seen another history of this ledger, or a longer one.
	ErrContradicted = errors.New("a witness contradicts this ledger")
)

const (
	// cosignWithin is how long a call waits for witnesses.
	cosignWithin = 5 * time.Second

	// recentHeads is how many heads cosignatures are taken for whether or not a witness was told of them.
	recentHeads = 8
	// askedWithin is how long they are taken for a head that witnesses were told of. While many heads are
	// asked for, that one is soon none of the newest, and its cosignatures must not come in vain.
	askedWithin = 15 * time.Second
	// mostHeads bounds both together.
	mostHeads = 1024

	// clocksApart is by how much a witness's clock may differ from the ledger's.
	clocksApart = 5 * time.Minute
)

// cosigning is what witnesses have signed.
type cosigning struct {
	mu     sync.Mutex
	recent []*signedHead // oldest first
	best   *signedHead   // the largest that enough have signed
	moved  chan struct{} // closed when anything here, the published head or the register changes
	states map[string]WitnessState
}

// A signedHead is a published head with its cosignatures.
type signedHead struct {
	size  uint64
	own   []byte            // signed by the ledger alone
	at    time.Time         // when it was published; zero: before this start
	asked time.Time         // when witnesses were told of it; zero: not yet
	sigs  map[string][]byte // by witness
	tree  tlog.HashReader   // for proofs under it
}

// A WitnessState says how a witness is doing.
type WitnessState struct {
	Size      uint64    // of the newest head that it has signed since this start
	SignedAt  time.Time // when; zero: not since this start
	AwaySince time.Time // zero: it answers
	Why       string    // in words, while it is away
}

// changed wakes those who wait.
func (c *cosigning) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
}

func (c *cosigning) wake() {
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// Moved returns a channel that is closed when there is a new head, a new cosignature, or a change of the
// register of witnesses.
func (l *Ledger) Moved() <-chan struct{} {
	l.cosigning.mu.Lock()
	defer l.cosigning.mu.Unlock()
	return l.cosigning.wait()
}

func (c *cosigning) wait() <-chan struct{} {
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved
}

// show publishes a head. Whoever is told of it can have it cosigned from then on: the two are one step.
func (l *Ledger) show(head *publishedHead) {
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	l.published.Store(head)
	c.recent = append(c.recent, &signedHead{size: head.size, own: head.note, at: head.at, sigs: map[string][]byte{}, tree: head.tree})
	older := max(0, len(c.recent)-recentHeads)
	now, kept := time.Now(), make([]*signedHead, 0, len(c.recent))
	for _, h := range c.recent[:older] {
		if now.Sub(h.asked) < askedWithin {
			kept = append(kept, h)
		}
	}
	kept = append(kept, c.recent[older:]...)
	c.recent = kept[max(0, len(kept)-mostHeads):]
	c.wake()
}

// head is the one of that size, nil if it is forgotten.
func (c *cosigning) head(size uint64) *signedHead {
	for _, h := range slices.Backward(c.recent) { // the newest is asked for most
		if h.size == size {
			return h
		}
	}
	return nil
}

// signed is how many of those who are in the register have signed.
func (h *signedHead) signed(reg *Witnesses) (n int) {
	for _, w := range reg.All {
		if h.sigs[w.Key] != nil {
			n++
		}
	}
	return n
}

// note is the head with their cosignatures, in the order of the register.
func (h *signedHead) note(reg *Witnesses) []byte {
	msg := bytes.Clone(h.own)
	for _, w := range reg.All {
		msg = append(msg, h.sigs[w.Key]...)
	}
	return msg
}

// Head returns the newest published head as the ledger signed it, for witnesses. A ledger that has
// published nothing has a head of size 0, which says nothing.
func (l *Ledger) Head() (chain.Checkpoint, []byte, error) {
	h := l.published.Load()
	if h == nil {
		empty := chain.EmptyHead(l.id.Origin)
		msg, err := empty.Sign(l.signer)
		return empty, msg, err
	}
	l.cosigning.told(h.size)
	c, err := chain.OpenCheckpoint(h.note, note.VerifierList(l.verifier), l.id.Origin)
	return c, h.note, err
}

// told notes that witnesses are told of a head.
func (c *cosigning) told(size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.head(size); h != nil {
		h.asked = time.Now()
	}
}

// Consistency is the proof that the first entries of a published head are all of an older one.
func (l *Ledger) Consistency(older, newer uint64) ([]chain.Hash, error) {
	if older == 0 || older == newer {
		return nil, nil
	}
	h := l.published.Load()
	if h == nil || newer > h.size || older > newer {
		return nil, fmt.Errorf("no proof leads from %d entries to %d", older, newer)
	}
	proof, err := tlog.ProveTree(int64(newer), int64(older), h.tree)
	if err != nil {
		return nil, fmt.Errorf("prove that %d entries continue %d: %w", newer, older, err)
	}
	hashes := make([]chain.Hash, len(proof))
	for i, h := range proof {
		hashes[i] = chain.Hash(h)
	}
	return hashes, nil
}

// Cosign takes what a witness has answered about a head: signature lines, of which the one that its key
// in the register made is kept, if it is good. Others are passed over.
func (l *Ledger) Cosign(size uint64, key string, lines []byte) error {
	v, err := chain.ParseWitnessKey(key)
	if err != nil {
		return err
	}
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.head(size)
	if head == nil {
		return nil // it came too late to be of use
	}
	n, err := note.Open(append(bytes.Clone(head.own), lines...), note.VerifierList(v))
	if err != nil || len(n.Sigs) == 0 {
		return fmt.Errorf("%w: what the witness answered is no good signature of its key", chain.ErrSignature)
	}
	line := fmt.Appendf(nil, "— %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64)
	// OpenCheckpoint holds every line to the one way in which it is written.
	if _, err := chain.OpenCheckpoint(append(bytes.Clone(head.own), line...), note.VerifierList(l.verifier, v), l.id.Origin); err != nil {
		return err
	}
	if err := l.dated(n.Sigs[0], head); err != nil {
		return err
	}
	head.sigs[key] = line
	reg := l.witnesses.Load()
	if head.signed(reg) >= reg.Required && (c.best == nil || c.best.size < size) {
		c.best = head
	}
	for _, w := range reg.All {
		if w.Key == key {
			s := c.state(w.ID)
			s.Size, s.SignedAt, s.AwaySince, s.Why = max(s.Size, size), l.now(), time.Time{}, ""
			c.states[w.ID] = s
		}
	}
	c.wake()
	return nil
}

// dated refuses a cosignature whose time cannot be true: a receipt with it would say for ever that the
// head was seen before it was there, or on a day that has not come.
func (l *Ledger) dated(sig note.Signature, head *signedHead) error {
	at, err := chain.CosignedAt(sig)
	if err != nil {
		return err
	}
	now := l.now()
	early := !head.at.IsZero() && at.Before(head.at.Add(-clocksApart))
	if early || at.After(now.Add(clocksApart)) {
		return fmt.Errorf("it dates its signature %s, and here it is %s: one of the two clocks is wrong, and must be set before its signatures are taken", at.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (c *cosigning) state(id string) WitnessState {
	if c.states == nil {
		c.states = make(map[string]WitnessState)
	}
	return c.states[id]
}

// WitnessAway notes that a witness did not sign, and why.
func (l *Ledger) WitnessAway(id, why string) {
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(id)
	if s.AwaySince.IsZero() {
		s.AwaySince = l.now()
	}
	s.Why = why
	c.states[id] = s
}

// WitnessState says how a witness of the register is doing.
func (l *Ledger) WitnessState(id string) WitnessState {
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[id]
}

// Contradicted ends all writing: a witness has seen another history, and whatever is written now makes
// the two drift apart.
func (l *Ledger) Contradicted(err error) {
	if l.poison.CompareAndSwap(nil, &err) {
		l.o.Log.Error("writing has stopped: a witness has seen another history of this ledger, or a longer one; restart once the right database is back", "why", err)
	}
}

// CosignedCheckpoint returns a head of at least a size that as many witnesses as the register asks for
// have signed, and waits for their signatures, for five seconds or until ctx ends: then its error is
// ErrWitnessesAway. A head with more signatures than that is not waited for. The size of the head may be
// larger than what was asked for.
func (l *Ledger) CosignedCheckpoint(ctx context.Context, size uint64) ([]byte, error) {
	if h := l.published.Load(); h == nil || h.size < size {
		if err := l.publish(size); err != nil {
			return nil, err
		}
	}
	if h := l.published.Load(); h.size < size {
		return nil, ErrUnknownEntry
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cosignWithin, errors.New("not within the time that there is"))
	defer cancel()
	for {
		msg, wait := l.cosignedNow(size)
		if msg != nil {
			return msg, nil
		}
		select {
		case <-wait:
		case <-l.closing:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrWitnessesAway, context.Cause(ctx))
		}
	}
}

func (l *Ledger) cosignedNow(size uint64) (msg []byte, wait <-chan struct{}) {
	reg := l.witnesses.Load()
	if reg.Required == 0 {
		if msg := l.Checkpoint(); msg != nil {
			return msg, nil
		}
	}
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	// The newest first: it has what a receipt needs, and the register may have changed since best was found.
	for i := len(c.recent) - 1; i >= 0 && c.recent[i].size >= size; i-- {
		if c.recent[i].signed(reg) >= reg.Required {
			return c.recent[i].note(reg), nil
		}
	}
	if c.best != nil && c.best.size >= size && c.best.signed(reg) >= reg.Required {
		return c.best.note(reg), nil
	}
	return nil, c.wait()
}

// cosignedNote is the published head with the cosignatures that it has so far.
func (l *Ledger) cosignedNote(h *publishedHead) []byte {
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.head(h.size); s != nil && len(s.sigs) > 0 {
		return s.note(l.witnesses.Load())
	}
	return h.note
}

func (l *Ledger) cosignedStats(s *Stats) {
	reg := l.witnesses.Load()
	s.Witnesses, s.Required = len(reg.All), reg.Required
	c := &l.cosigning
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range reg.All {
		if !c.states[w.ID].AwaySince.IsZero() {
			s.WitnessesAway++
		}
	}
	if c.best != nil && len(reg.All) > 0 {
		s.Cosigned = c.best.size
	}
}
