package ledger

import (
	"context"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// A request's id leads to its member, so that its outcome needs no member id: one AES-256 block
// over the slot and 64 random bits, under a key of its own. Once the member's keys are destroyed
// it leads nowhere.
const requestPrefix = "rqt_"

func (l *Ledger) requestID(slot uint64) (string, error) {
	nonce, err := l.randomUint64()
	if err != nil {
		return "", err
	}
	r := l.requests.ref(slot, nonce)
	return requestPrefix + refEncoding.EncodeToString(r[:]), nil
}

// requestSlot is the slot that a request's id leads to; false if it is no id.
func (l *Ledger) requestSlot(id string) (uint64, bool) {
	rest, ok := strings.CutPrefix(id, requestPrefix)
	if !ok {
		return 0, false
	}
	r, err := ParseRef(refPrefix + rest)
	if err != nil {
		return 0, false
	}
	slot, _ := l.requests.open(r)
	return slot, true
}

func (l *Ledger) submitRequest(ctx context.Context, q *consent.Request) (*Pending, error) {
	var id string
	var due time.Time
	c := submitting{id: q.Member, cause: causeExpiry, answer: func(a *Answer) { a.Request, a.DueAt = id, due }}
	return l.submit(ctx, c, func(m *member, now time.Time) (p *consent.Plan, err error) {
		if id, err = l.requestID(m.slot()); err != nil {
			return nil, err
		}
		p, due, err = l.register.Load().PlanRequest(m.fold, m.states(), q, id, now)
		return p, err
	})
}

var errUnknownRequest = &consent.Refusal{
	Kind: consent.NotFound, Code: "unknown_request", Field: "id",
	Message: "there is no such request; use the id of the answer that opened it",
}

// RequestOutcome records how a member's request ended.
func (l *Ledger) RequestOutcome(ctx context.Context, who Caller, o *consent.RequestOutcome) (*Answer, error) {
	if !who.May(ActOffice) {
		return nil, ErrForbidden
	}
	slot, ok := l.requestSlot(o.Request)
	if !ok {
		return nil, errUnknownRequest
	}
	rec, err := l.keys.Member(slot)
	if err != nil {
		return nil, l.damaged(err)
	}
	if rec == nil || rec.Ended {
		return nil, errUnknownRequest
	}
	c := submitting{cause: causeExpiry, answer: func(a *Answer) { a.Request = o.Request }}
	p, err := l.once(ctx, who, func() (uint64, error) { return slot, nil }, func(ctx context.Context) (*Pending, error) {
		return l.writeSlot(ctx, rec.Path, slot, func(m *member, now time.Time) (*submission, error) {
			return l.planned(m, c, change{cause: c.cause}, now, func(m *member, now time.Time) (*consent.Plan, error) {
				return l.register.Load().PlanRequestOutcome(m.fold, m.states(), o, now)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}
