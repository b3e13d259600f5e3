package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/ledger/consent"
)

// planner asks the rules about a member whose lock is held.
type planner func(m *member, now time.Time) (*consent.Plan, error)

// Submit checks a call against the rules, seals what it writes, and queues it. What it returns
// becomes done once the call is durable. Calls of one goroutine for one member keep their order.
//
// Its errors: *consent.Refusal if the rules say no, ErrUnknownMember, ErrBusy if too many calls
// wait, ErrReadOnly once the disk is in doubt, ErrForbidden, ErrClosed. After any of them nothing
// is recorded.
func (l *Ledger) Submit(ctx context.Context, who Caller, call Call) (*Pending, error) {
	if !who.May(actionOf(call)) {
		return nil, ErrForbidden
	}
	if err := l.inScope(who, call); err != nil {
		return nil, err
	}
	return l.once(ctx, who, l.slotOf(call), func(ctx context.Context) (*Pending, error) { return l.submitCall(ctx, who, call) })
}

// slotOf leads from a call to the slot of its member.
func (l *Ledger) slotOf(call Call) slotFinder {
	switch c := call.(type) {
	case *consent.Consent:
		return l.slotOfID(c.Member)
	case *consent.Withdrawal:
		return l.slotOfID(c.Member)
	case *consent.Correction:
		return l.slotOfID(c.Member)
	case *consent.CorrectionOutcome:
		return l.slotOfID(c.Member)
	case *consent.Disclosure:
		return l.slotOfID(c.Member)
	case *consent.Activity:
		return l.slotOfID(c.Member)
	case *consent.Reactivation:
		return l.slotOfID(c.Member)
	case *consent.Signal:
		return l.slotOfID(c.Member)
	case *consent.Request:
		return l.slotOfID(c.Member)
	case *consent.Notice:
		return l.slotOfID(c.Member)
	case *consent.EventEnd:
		return l.slotOfID(c.Member)
	}
	return noSlot
}

func (l *Ledger) submitCall(ctx context.Context, who Caller, call Call) (*Pending, error) {
	reg := l.register.Load // asked when the member's turn has come
	switch c := call.(type) {
	case *consent.Consent:
		s := submitting{id: c.Member, enrol: c.Enrol, cause: causePurposeWithdrawal}
		var checked time.Time
		s.dated = func(at time.Time) error {
			if err := soonAfter(checked)(at); err != nil {
				return err
			}
			return l.endings.refuse(l, c.Reference)
		}
		return l.submit(ctx, s, func(m *member, now time.Time) (*consent.Plan, error) {
			checked = now
			if err := l.endings.refuse(l, c.Reference); err != nil {
				return nil, err
			}
			return reg().PlanConsent(m.fold, m.states(), c, now)
		})
	case *consent.Withdrawal:
		return l.submit(ctx, submitting{id: c.Member, cause: causeOf(c)}, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanWithdrawal(m.fold, m.states(), c, now)
		})
	case *consent.Correction:
		id, err := l.randomID("cor_")
		if err != nil {
			return nil, err
		}
		s := submitting{id: c.Member, cause: causeCorrection, answer: func(a *Answer) { a.Correction = id }}
		return l.submit(ctx, s, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanCorrection(m.fold, m.states(), c, id, now)
		})
	case *consent.CorrectionOutcome:
		s := submitting{id: c.Member, cause: causeCorrection, answer: func(a *Answer) { a.Correction = c.Correction }}
		return l.submit(ctx, s, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanOutcome(m.fold, m.states(), c, now)
		})
	case *consent.Disclosure:
		if c.Form == consent.FormAnonymised {
			return l.submitAnonymised(ctx, c)
		}
		return l.submitDisclosure(ctx, c)
	case *consent.Activity:
		return l.submit(ctx, submitting{id: c.Member, cause: causeExpiry}, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanActivity(m.fold, m.states(), c, now)
		})
	case *consent.Reactivation:
		return l.submit(ctx, submitting{id: c.Member, cause: causeExpiry}, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanReactivation(m.fold, m.states(), c, now)
		})
	case *consent.Signal:
		return l.submit(ctx, submitting{id: c.Member, cause: causeExpiry}, func(m *member, now time.Time) (*consent.Plan, error) {
			return reg().PlanSignal(m.fold, m.states(), c, now)
		})
	case *consent.Request:
		return l.submitRequest(ctx, c)
	case *consent.Notice:
		return l.submitNotice(ctx, who, c)
	case *consent.EventEnd:
		return l.endEventOf(ctx, c)
	}
	return nil, fmt.Errorf("a call of type %T is not one that a ledger takes", call)
}

// actionOf is what a caller must be allowed to make a call.
func actionOf(call Call) Action {
	switch call.(type) {
	case *consent.Request, *consent.Notice:
		return ActOffice
	}
	return ActWrite
}

func causeOf(w *consent.Withdrawal) string {
	if w.Membership {
		return causeWithdrawal
	}
	return causePurposeWithdrawal
}

// Do submits a call and waits for it.
func (l *Ledger) Do(ctx context.Context, who Caller, call Call) (*Answer, error) {
	p, err := l.Submit(ctx, who, call)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

func (l *Ledger) randomID(prefix string) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(l.o.Rand, b[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	return prefix + refEncoding.EncodeToString(b[:]), nil
}

// errNothing says that a write came to nothing, and that this is no error.
var errNothing = errors.New("there is nothing to write")

// write does what every write of a member has in common: f is asked with the member locked, and
// what it returns is queued. A submission without anything in it is done at once.
func (l *Ledger) write(ctx context.Context, path keyring.IDPath, f func(*member, time.Time) (*submission, error)) (*Pending, error) {
	if err := l.Health(); err != nil {
		return nil, err
	}
	// A place first: what is sealed must be written, or the counters of its keys would have gaps.
	if err := l.queue.reserve(); err != nil {
		return nil, err
	}
	queued := false
	defer func() {
		if !queued {
			l.queue.release(1)
		}
	}()
	m, err := l.acquire(ctx, path)
	if err != nil {
		return nil, err
	}
	defer l.release(m)
	now := l.now()
	s, err := f(m, now)
	if err != nil {
		return nil, err
	}
	if err := l.markFor(ctx, s); err != nil {
		m.dead = true // its counters are ahead of what is written
		return nil, err
	}
	if s.empty() {
		s.pending.answer.RecordedAt = now
		close(s.pending.done)
		return s.pending, nil
	}
	m.flight = s
	l.queue.put(s)
	queued = true
	return s.pending, nil
}

// submitting is what a call needs beside its plan.
type submitting struct {
	id      consent.MemberID
	enrol   bool
	cause   string                   // of a destruction
	unasked bool                     // see change
	answer  func(*Answer)            // what the plan does not know
	dated   func(at time.Time) error // see submission
}

// submit writes what a plan says, of a living member or, with enrol, of a new one.
func (l *Ledger) submit(ctx context.Context, c submitting, plan planner) (*Pending, error) {
	return l.write(ctx, l.pathOf(c.id), func(m *member, now time.Time) (*submission, error) {
		fresh := !m.living()
		if fresh {
			if !c.enrol {
				if m.ended() && c.cause == causeWithdrawal {
					return nil, &consent.Refusal{Kind: consent.Conflict, Code: "nothing_to_withdraw", Message: "the member has withdrawn already; nothing is left to withdraw"}
				}
				return nil, ErrUnknownMember
			}
			m.fold = consent.NewFold()
		}
		return l.planned(m, c, change{fresh: fresh, cause: c.cause}, now, plan)
	})
}

// submitDisclosure records a disclosure with the living membership. What an earlier one holds and a
// law keeps may be an authority's to see, whether or not the member has come back.
func (l *Ledger) submitDisclosure(ctx context.Context, d *consent.Disclosure) (*Pending, error) {
	return l.write(ctx, l.pathOf(d.Member), func(m *member, now time.Time) (*submission, error) {
		var slots []uint64
		if m.living() {
			slots = append(slots, m.id.Slot)
		}
		if d.Basis != "" {
			slots = append(slots, newestFirst(m.id.Kept)...)
		}
		var first error
		for _, slot := range slots {
			is, err := l.of(m, slot)
			if err != nil {
				return nil, err
			}
			s, err := l.planned(is, submitting{}, change{}, now, func(m *member, now time.Time) (*consent.Plan, error) {
				return l.register.Load().PlanDisclosure(m.fold, m.states(), d, now)
			})
			if err == nil {
				s.member, s.apart, s.dated = m, is != m, soonAfter(now)
				return s, nil
			}
			if first == nil {
				first = err
			}
			if is == m && !notRecordedThere(err) {
				break
			}
		}
		if first == nil {
			return nil, ErrUnknownMember
		}
		return nil, first
	})
}

func newestFirst(slots []uint64) []uint64 {
	slots = slices.Clone(slots)
	slices.Reverse(slots)
	return slots
}

// notRecordedThere says whether a disclosure was refused only because the membership holds nothing
// for its purpose.
func notRecordedThere(err error) bool {
	var no *consent.Refusal
	return errors.As(err, &no) && (no.Code == "class_not_open" || no.Code == "reference_unknown")
}

// soonAfter turns away what is written so long after it was checked that the rules may be others by
// then: the machine slept, or its clock jumped. The caller may try again, and is asked anew.
func soonAfter(checked time.Time) func(time.Time) error {
	return func(at time.Time) error {
		if at.Sub(checked) >= consent.AuditSlack {
			return ErrBusy
		}
		return nil
	}
}

func (l *Ledger) planned(m *member, c submitting, ch change, now time.Time, plan planner) (*submission, error) {
	if ch.of.IsZero() {
		ch.of = c.id
	}
	p, err := plan(m, now)
	if err != nil {
		return nil, err
	}
	s, err := l.build(m, p, ch, now)
	if err != nil {
		return nil, err
	}
	s.dated = c.dated
	if c.answer != nil {
		c.answer(&s.pending.answer)
	}
	return s, nil
}
