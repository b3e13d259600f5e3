package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
)

// A caller who does not hear the answer to a write sends it again, and it must not be written twice.
// So a write may carry an idempotency key. What it wrote and a mark of the key become durable in one
// commit; whoever sends the key again gets the first answer. See oncemark.go for what a mark says and
// for how long, and onceclock.go for how it dies.

// Once is an idempotency key with what it stands for.
type Once struct {
	Key     string // the caller's; no two writes of one caller may have the same
	Request []byte // the call as it came, and where it came to

	// Recorded asks for the answer to a call that was recorded before, and records nothing: it fails
	// with ErrNotRecorded if there was none.
	Recorded bool
}

// Format prints no field.
func (*Once) Format(s fmt.State, _ rune) { io.WriteString(s, "[once]") }

// Errors of a write that was sent under an idempotency key.
var (
	ErrKeyReused   = errors.New("the idempotency key stands for another call")
	ErrInProgress  = errors.New("the call of this idempotency key is still under way")
	ErrNotRecorded = errors.New("no call was recorded under the idempotency key")
	ErrAlreadyDone = errors.New("the call of this idempotency key was recorded, and its answer is gone")
)

// claim is an idempotency key whose call is under way.
type claim struct {
	name    string // of the key in the table
	once    *Once
	scope   string
	extra   []byte // what the answer holds beside an Answer's own
	queued  bool   // the commit loop lets go of it
	unknown bool   // guarded by the table: whether its call was recorded is not known until the next start
}

// claims are the idempotency keys of calls under way.
type claims struct {
	mu  sync.Mutex
	all map[string]*claim
}

func (t *claims) take(scope string, o *Once) (*claim, error) {
	name := scope + "\x00" + o.Key
	t.mu.Lock()
	defer t.mu.Unlock()
	switch c := t.all[name]; {
	case c == nil:
	case c.unknown:
		return nil, fmt.Errorf("%w: the call of this idempotency key was under way when writing stopped", ErrUncertain)
	default:
		return nil, ErrInProgress
	}
	if t.all == nil {
		t.all = make(map[string]*claim)
	}
	c := &claim{name: name, once: o, scope: scope}
	t.all[name] = c
	return c, nil
}

func (t *claims) drop(c *claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, c.name)
}

// done is told how a call ended that was queued.
func (t *claims) done(c *claim, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, ErrUncertain) {
		c.unknown = true
		return
	}
	delete(t.all, c.name)
}

// scopeOf is whose idempotency keys a caller's are: those of all API keys of a name, so that a key
// can be rotated between a call and its repetition.
func (l *Ledger) scopeOf(who Caller) string {
	if row, ok := (*l.apiKeys.Load())[who.KeyID]; ok {
		return "name/" + row.Name
	}
	return "id/" + who.KeyID
}

type (
	claimKey struct{}
	askerKey struct{}
)

// claimOf is the claim of a call under way. It travels in the context because a dozen plans lie
// between the call and the one place that queues what it writes, and none of them is concerned.
func claimOf(ctx context.Context) *claim {
	c, _ := ctx.Value(claimKey{}).(*claim)
	return c
}

// slotFinder leads from a call to the slot of its living member; 0 if there is none.
type slotFinder func() (slot uint64, err error)

func noSlot() (uint64, error) { return 0, nil }

func (l *Ledger) slotOfID(id consent.MemberID) slotFinder {
	return func() (uint64, error) {
		rec, _, err := l.keys.ByID(l.pathOf(id))
		return rec.Slot, err
	}
}

func (l *Ledger) slotOfRef(ref Ref) slotFinder {
	return func() (uint64, error) {
		slot, _ := l.refs.open(ref)
		return slot, nil
	}
}

// once queues a write, unless the caller's idempotency key says that it was recorded before: then it
// returns the first answer.
func (l *Ledger) once(ctx context.Context, who Caller, of slotFinder, write func(context.Context) (*Pending, error)) (*Pending, error) {
	if l.revoked(who.KeyID) {
		return nil, ErrUnauthorized
	}
	ctx = context.WithValue(ctx, askerKey{}, who.KeyID)
	if who.Once == nil {
		return write(ctx)
	}
	c, err := l.claims.take(l.scopeOf(who), who.Once)
	if err != nil {
		return nil, err
	}
	defer func() {
		if !c.queued {
			l.claims.drop(c)
		}
	}()
	if a, err := l.replay(c, of); a != nil || err != nil {
		p := newPending()
		close(p.done)
		if a != nil {
			p.answer = *a
		}
		return p, err
	}
	if who.Once.Recorded {
		return nil, ErrNotRecorded
	}
	return write(context.WithValue(ctx, claimKey{}, c))
}

// onceNow is once for writes that wait for their answer themselves.
func (l *Ledger) onceNow(ctx context.Context, who Caller, of slotFinder, write func(context.Context) (*Answer, error)) (*Answer, error) {
	var a *Answer
	p, err := l.once(ctx, who, of, func(ctx context.Context) (_ *Pending, err error) {
		a, err = write(ctx)
		return nil, err
	})
	if err != nil || p == nil {
		return a, err
	}
	return p.Wait(ctx)
}

// onceWritten is once for changes of registers.
func (l *Ledger) onceWritten(ctx context.Context, who Caller, write func(context.Context) (Written, error)) (Written, error) {
	a, err := l.onceNow(ctx, who, noSlot, func(ctx context.Context) (*Answer, error) {
		w, err := write(ctx)
		return &Answer{Entries: w.Entries, RecordedAt: w.RecordedAt}, err
	})
	if err != nil {
		return Written{}, err
	}
	return Written{Entries: a.Entries, RecordedAt: a.RecordedAt, extra: a.extra, Replayed: a.Replayed}, nil
}

// markFor gives a submission what its call has: who asked, and the mark of its claim, if it has one.
func (l *Ledger) markFor(ctx context.Context, s *submission) error {
	s.by, _ = ctx.Value(askerKey{}).(string)
	c := claimOf(ctx)
	if c == nil {
		return nil
	}
	m, err := l.newMark(c, s)
	if err != nil {
		return err
	}
	s.mark = m
	c.queued = true
	return nil
}

// under notes a key that the answer to a submission is to die with.
func (s *submission) under(k seal.Key) {
	for _, have := range s.sealedUnder {
		if have.Equal(k) {
			return
		}
	}
	s.sealedUnder = append(s.sealedUnder, k)
}
