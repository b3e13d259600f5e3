package ledger

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// Notices about nobody in particular, and about members of whom nothing is left, are entries of
// the ledger's own. They hold no member and nothing that leads to one: where a destruction is
// named, its reason is a short name.

// noticeBody is such a notice as it is recorded.
type noticeBody struct {
	Kind        string  `cbor:"1,keyasint"`
	ID          string  `cbor:"2,keyasint"`
	Notice      string  `cbor:"3,keyasint"`
	Destruction *uint64 `cbor:"4,keyasint,omitempty"`
	Recipient   string  `cbor:"5,keyasint,omitempty"`
	Channel     string  `cbor:"6,keyasint,omitempty"`
	SentAtMs    int64   `cbor:"7,keyasint,omitempty"`
	DueAtMs     int64   `cbor:"8,keyasint,omitempty"`
	Outcome     string  `cbor:"9,keyasint,omitempty"`
	Reason      string  `cbor:"10,keyasint,omitempty"`
	By          string  `cbor:"11,keyasint,omitempty"` // key id of who recorded it
}

// Format prints no field.
func (noticeBody) Format(s fmt.State, _ rune) { io.WriteString(s, "[notice]") }

// asked is what was asked of whoever holds a copy of something that was destroyed here.
type asked struct {
	destruction uint64
	recipient   string
}

// openAsks are the requests for destruction elsewhere that nobody has confirmed, folded from the
// topic's entries.
type openAsks struct {
	mu   sync.Mutex
	open map[asked]consent.DueItem
}

func (o *openAsks) apply(b *noticeBody) {
	if b.Notice != consent.NoticeDestructionRequest || b.Destruction == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[asked]consent.DueItem)
	}
	a := asked{*b.Destruction, b.Recipient}
	if b.Outcome == consent.NoticeConfirmed || b.Outcome == consent.NoticeImpossible {
		delete(o.open, a)
		return
	}
	o.open[a] = consent.DueItem{Kind: consent.DueDestructionRequest, ID: b.ID, At: time.UnixMilli(b.DueAtMs)}
}

// due returns the requests that are late at a time or will be by then.
func (o *openAsks) due(until time.Time) []consent.DueItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []consent.DueItem
	for _, item := range o.open {
		if !item.At.After(until) {
			out = append(out, item)
		}
	}
	return out
}

func (l *Ledger) submitNotice(ctx context.Context, who Caller, n *consent.Notice) (*Pending, error) {
	if err := consent.CheckNotice(n, l.now()); err != nil {
		return nil, err
	}
	id, err := l.randomID("ntc_")
	if err != nil {
		return nil, err
	}
	if !n.Member.IsZero() {
		c := submitting{id: n.Member, cause: causeCorrection, answer: func(a *Answer) { a.Notice = id }}
		return l.submit(ctx, c, func(m *member, now time.Time) (*consent.Plan, error) {
			return l.register.Load().PlanNotice(m.fold, m.states(), n, id, now)
		})
	}
	if n.Destruction != nil {
		if err := l.isDestruction(*n.Destruction); err != nil {
			return nil, err
		}
	}
	b := noticeBody{
		Kind: kindNotice, ID: id, Notice: n.Kind, Destruction: n.Destruction, Recipient: n.Recipient, Channel: n.Channel,
		SentAtMs: unixMilli(n.SentAt), DueAtMs: unixMilli(n.DueAt), Outcome: n.Outcome, Reason: n.Reason, By: who.KeyID,
	}
	var done *uint64
	if delivered(n) {
		done = n.Destruction
	}
	return l.submitOwn(ctx, topicNotices, b, func(a *Answer) { a.Notice = id }, func() { l.asks.apply(&b) }, nil, done)
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// isDestruction refuses an index at which there is no destruction entry.
func (l *Ledger) isDestruction(index uint64) error {
	no := &consent.Refusal{
		Kind: consent.Invalid, Code: "unknown_destruction", Field: "destruction",
		Message: "there is no destruction entry at that index; send the index of the entry of class destructions in the withdrawal's answer",
	}
	if index >= l.size.Load() {
		return no
	}
	raw, err := l.entry(index)
	if err != nil {
		return l.damaged(err)
	}
	e, err := chain.Parse(raw)
	if err != nil {
		return l.damaged(fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err))
	}
	if _, err := l.box.Open(nil, chain.Version, l.commit.topics[topicDestructions].key, e.Sealed); err != nil {
		return no // sealed under another key: an entry of a member, or of another topic
	}
	return nil
}

// submitOwn queues an entry of one of the ledger's own topics. durable is called once it is, before
// anybody is answered; dated, if not nil, is asked before that with the time that it will have.
func (l *Ledger) submitOwn(ctx context.Context, topic string, body any, answer func(*Answer), durable func(), dated func(time.Time) error, delivered ...*uint64) (*Pending, error) {
	if err := l.Health(); err != nil {
		return nil, err
	}
	raw, err := encodeOwn(body)
	if err != nil {
		return nil, err
	}
	s := &submission{pending: newPending(), system: []systemDraft{{topic, topic[len("t/"):], raw}}, durable: durable, dated: dated}
	if len(delivered) > 0 {
		s.delivered = delivered[0]
	}
	if answer != nil {
		answer(&s.pending.answer)
	}
	if err := l.queue.reserve(); err != nil {
		return nil, err
	}
	if err := l.markFor(ctx, s); err != nil {
		l.queue.release(1)
		return nil, err
	}
	l.queue.put(s)
	return s.pending, nil
}

// submitAnonymised records a disclosure of data that identifies nobody. It is of no member, so it
// lies with the ledger's own entries.
func (l *Ledger) submitAnonymised(ctx context.Context, d *consent.Disclosure) (*Pending, error) {
	now := l.now()
	e, err := l.register.Load().PlanAnonymised(d, now)
	if err != nil {
		return nil, err
	}
	raw, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return l.submitOwn(ctx, topicStatistics, eventBody{Kind: kindAnonymised, Event: raw}, nil, nil, soonAfter(now))
}

// eventBody is an event without a member.
type eventBody struct {
	Kind  string `cbor:"1,keyasint"`
	Event []byte `cbor:"2,keyasint"`
}
