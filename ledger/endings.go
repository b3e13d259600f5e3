package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// An event that ends for everybody (a raffle) ends the keys of each member under its reference.
// That nobody has to be searched for twice, the end itself is an entry of the ledger's own: from
// it the work goes on after a crash. The entry holds a keyed hash of the reference, because that
// topic is never destroyed.

// endingBody says that an event has ended for all, and then that all of its keys are gone.
type endingBody struct {
	Kind string `cbor:"1,keyasint"` // event_ended or event_done
	Hash []byte `cbor:"2,keyasint"`
}

const (
	kindEventEnded = "event_ended"
	kindEventDone  = "event_done"
)

type endingHash [32]byte

// endings are the events that have ended for all; true: every key is gone.
type endings struct {
	mu   sync.Mutex
	done map[endingHash]bool
}

// begin notes that an event ends, and says whether it has not ended before.
func (e *endings) begin(h endingHash) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.done[h]; ok {
		return false
	}
	if e.done == nil {
		e.done = make(map[endingHash]bool)
	}
	e.done[h] = false
	return true
}

func (e *endings) set(h endingHash, done bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = make(map[endingHash]bool)
	}
	e.done[h] = done || e.done[h]
}

func (e *endings) drop(h endingHash) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.done, h)
}

func (e *endings) has(h endingHash) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.done[h]
	return ok
}

func (e *endings) none() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.done) == 0
}

func (e *endings) unfinished() []endingHash {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []endingHash
	for h, done := range e.done {
		if !done {
			out = append(out, h)
		}
	}
	return out
}

// refuse refuses a reference that has ended for all.
func (e *endings) refuse(l *Ledger, reference string) error {
	if reference == "" || e.none() {
		return nil
	}
	for _, kind := range []string{consent.EventDelivered, consent.EventEnded} {
		if e.has(l.endingHash(kind, reference)) {
			return errReferenceEnded
		}
	}
	return nil
}

var errReferenceEnded = &consent.Refusal{
	Kind: consent.Conflict, Code: "reference_ended", Field: "reference",
	Message: "the order or event of that reference has ended for everybody; use a reference of its own for a new one",
}

func (l *Ledger) endingHash(kind, reference string) endingHash {
	return l.endingKey.MAC([]byte(kind), []byte{0}, []byte(reference))
}

// endEventOf ends an event of one member: of the living membership, or else of one that ended.
func (l *Ledger) endEventOf(ctx context.Context, e *consent.EventEnd) (*Pending, error) {
	return l.write(ctx, l.pathOf(e.Member), func(m *member, now time.Time) (*submission, error) {
		var first error
		slots := m.id.Kept
		if m.living() {
			slots = append([]uint64{m.id.Slot}, slots...)
		}
		for _, slot := range slots {
			is, err := l.of(m, slot)
			if err != nil {
				return nil, err
			}
			s, err := l.planEventEnd(is, e, now)
			if err == nil {
				s.member, s.apart = m, is != m
				return s, nil
			}
			if first == nil {
				first = err
			}
		}
		if first == nil {
			return nil, ErrUnknownMember
		}
		return nil, first
	})
}

func (l *Ledger) planEventEnd(m *member, e *consent.EventEnd, now time.Time) (*submission, error) {
	return l.planned(m, submitting{}, change{cause: causeEvent, of: e.Member, unasked: e.Member.IsZero()}, now, func(m *member, now time.Time) (*consent.Plan, error) {
		return l.register.Load().PlanEventEnd(m.fold, m.states(), e, now)
	})
}

// EndEvent ends an event for everybody. Its answer says that the end is recorded; the keys are
// destroyed in bounded batches after it, also across a restart.
func (l *Ledger) EndEvent(ctx context.Context, who Caller, e *consent.EventEnd) (*Answer, error) {
	if !who.May(ActWrite) {
		return nil, ErrForbidden
	}
	if err := l.inScope(who, e); err != nil {
		return nil, err
	}
	if err := consent.CheckEventEnd(e, l.now()); err != nil {
		return nil, err
	}
	return l.onceNow(ctx, who, noSlot, func(ctx context.Context) (*Answer, error) { return l.endEvent(ctx, e) })
}

func (l *Ledger) endEvent(ctx context.Context, e *consent.EventEnd) (*Answer, error) {
	h := l.endingHash(e.Type, e.Reference)
	// In memory first: from now on no key is made under the reference, so that none is missed.
	if !l.endings.begin(h) {
		return nil, errReferenceEnded
	}
	p, err := l.submitOwn(ctx, topicEvents, endingBody{Kind: kindEventEnded, Hash: h[:]}, nil, nil, nil)
	var a *Answer
	if err == nil {
		a, err = p.Wait(context.WithoutCancel(ctx))
	}
	if err != nil {
		if !errors.Is(err, ErrUncertain) {
			l.endings.drop(h)
		}
		return nil, err
	}
	l.startEnding(h)
	return a, nil
}

// startEnding destroys what lies under a reference that ended for all, beside everything else.
func (l *Ledger) startEnding(h endingHash) {
	l.closeMu.Lock()
	defer l.closeMu.Unlock()
	if l.isClosed {
		return // the next start goes on with it
	}
	l.loops.Go(func() {
		ctx, cancel := l.untilClosing()
		defer cancel()
		for {
			err := l.finishEnding(ctx, h)
			switch {
			case err == nil:
				return
			case errors.Is(err, ErrBusy):
			case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, ErrReadOnly):
				return
			default:
				l.o.Log.Error("what an event that ended has left could not be destroyed; it is tried again", "err", err)
			}
			select {
			case <-l.closing:
				return
			case <-time.After(sweepAgain):
			}
		}
	})
}

func (l *Ledger) finishEnding(ctx context.Context, h endingHash) error {
	err := l.eachSlot(ctx, func(from uint64) ([]uint64, error) { return l.slotsUnder(ctx, h, from) }, func(ctx context.Context, slot uint64) (*Pending, error) {
		return l.atSlot(ctx, slot, func(m *member, now time.Time) (*submission, error) {
			e := l.endedKey(h, m.rec)
			if e == nil {
				return nil, errNothing // somebody was faster
			}
			e.OccurredAt = now
			s, err := l.planEventEnd(m, e, now)
			var refusal *consent.Refusal
			if errors.As(err, &refusal) && refusal.Code == "reference_unknown" {
				err = errNothing // it has ended, and is only held
			}
			return s, err
		})
	}, nil)
	if err != nil {
		return err
	}
	p, err := l.submitOwn(ctx, topicEvents, endingBody{Kind: kindEventDone, Hash: h[:]}, nil, nil, nil)
	if err != nil {
		return err
	}
	if _, err := p.Wait(ctx); err != nil {
		return err
	}
	l.endings.set(h, true)
	return nil
}

// slotsUnder returns slots from one on that have a key under a reference; none if there are no more.
func (l *Ledger) slotsUnder(ctx context.Context, h endingHash, from uint64) (found []uint64, err error) {
	for len(found) == 0 {
		slots, err := l.keys.Slots(from, sweepBatch)
		if err != nil || len(slots) == 0 {
			return nil, err
		}
		for _, s := range slots {
			from = s.Number + 1
			if l.endedKey(h, s.Member) != nil {
				found = append(found, s.Number)
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// endedKey returns the event that a hash stands for, if a member has a key under its reference. The
// plan for it ends every such key of the member.
func (l *Ledger) endedKey(h endingHash, rec *keyring.Member) *consent.EventEnd {
	for i := range rec.Keys {
		if e := l.endedBy(h, consent.ClassID(rec.Keys[i].Class), rec.Keys[i].Reference); e != nil {
			return e
		}
	}
	return nil
}

// endedBy returns the event that a hash stands for, if it is that of a key's reference. When it
// ended is the caller's to say.
func (l *Ledger) endedBy(h endingHash, class consent.ClassID, reference string) *consent.EventEnd {
	rule, ok := l.register.Load().Rule(class)
	if !ok || reference == "" {
		return nil
	}
	kind := ""
	switch rule.Until {
	case consent.UntilDelivery:
		kind = consent.EventDelivered
	case consent.UntilEventEnd:
		kind = consent.EventEnded
	}
	if kind == "" || l.endingHash(kind, reference) != h {
		return nil
	}
	return &consent.EventEnd{Type: kind, Reference: reference}
}

// loadTopics folds the ledger's own entries that the work goes on from: notices and endings.
func (l *Ledger) loadTopics() error {
	err := l.eachOwn(topicNotices, func(_ uint64, _ time.Time, body []byte) error {
		var b noticeBody
		if err := decodeBody(body, &b); err != nil {
			return err
		}
		l.asks.apply(&b)
		return nil
	})
	if err != nil {
		return err
	}
	return l.eachOwn(topicEvents, func(index uint64, _ time.Time, body []byte) error {
		var b endingBody
		if err := decodeBody(body, &b); err != nil {
			return err
		}
		if len(b.Hash) != len(endingHash{}) {
			return fmt.Errorf("%w: entry %d of the events", ErrCorrupt, index)
		}
		l.endings.set(endingHash(b.Hash), b.Kind == kindEventDone)
		return nil
	})
}
