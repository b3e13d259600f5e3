package consent

import (
	"slices"
	"time"
)

// What was asked of the shop, told to others and held back, as the fold holds
// it: corrections, requests, notices, holds and signals.

type suspension struct {
	item, correction string
	index            uint64
	at               time.Time
}

type correctionState struct {
	id, policy, version string
	items               []string
	index               uint64
	at                  time.Time
	done                bool
	decided             time.Time   // when it was done
	tell                []toldState // who is to be told of the new value
}

type toldState struct {
	recipient string
	done      bool // told, or it is impossible
}

// untold reports whether a recipient is still to be told.
func (c *correctionState) untold() bool {
	return slices.ContainsFunc(c.tell, func(t toldState) bool { return !t.done })
}

type requestState struct {
	id, kind, channel string
	index             uint64
	at, received, due time.Time
	outcome           string // empty: open
	decided           time.Time
}

// suspends reports whether processing is suspended because of the request: from
// its recording until it is refused, withdrawn or lifted.
func (q *requestState) suspends() bool {
	return q.kind == RequestSuspension && (q.outcome == "" || q.outcome == RequestGranted)
}

type holdState struct {
	id, ground string
	key        KeyName // under which it is recorded
	classes    []ClassID
	until      time.Time
	released   bool
	index      uint64
	at         time.Time
}

func (h *holdState) active(now time.Time) bool { return !h.released && now.Before(h.until) }

func (h *holdState) covers(c ClassID) bool { return slices.Contains(h.classes, c) }

// askedState is a recipient who was asked to destroy a copy.
type askedState struct {
	recipient, notice string // the newest notice
	due               time.Time
	open              bool
}

type signalState struct {
	name  string
	value bool
	index uint64
	at    time.Time
}

func (f *Fold) applyCorrection(index uint64, at time.Time, e *Event) {
	f.corrections = append(f.corrections, correctionState{id: e.Correction, policy: e.Policy, version: e.PolicyVersion, items: e.Items, index: index, at: at})
	for _, it := range e.Items {
		f.suspended = append(f.suspended, suspension{it, e.Correction, index, at})
		f.bytes += 64 + len(it)
	}
	f.bytes += 224 + len(e.Correction)
}

func (f *Fold) applyOutcome(at time.Time, e *Event) {
	if c := f.correction(e.Correction); c != nil {
		c.done, c.decided = true, at
		if e.Outcome == OutcomeCorrected {
			for _, id := range e.Recipients {
				c.tell = append(c.tell, toldState{recipient: id})
				f.bytes += 32 + len(id)
			}
		}
	}
	f.suspended = slices.DeleteFunc(f.suspended, func(s suspension) bool { return s.correction == e.Correction })
}

func (f *Fold) correction(id string) *correctionState {
	for i := range f.corrections {
		if f.corrections[i].id == id {
			return &f.corrections[i]
		}
	}
	return nil
}

func (f *Fold) isSuspended(item string) bool {
	for i := range f.suspended {
		if f.suspended[i].item == item {
			return true
		}
	}
	return false
}

func (f *Fold) anySuspended(items []string) bool {
	return len(f.suspended) > 0 && slices.ContainsFunc(items, f.isSuspended)
}

// suspendedBy returns the index of the correction that suspends one of items.
func (f *Fold) suspendedBy(items []string) *uint64 {
	return f.suspends(func(item string) bool { return slices.Contains(items, item) })
}

// suspends returns the index of a correction of an item that is asked for.
func (f *Fold) suspends(asked func(item string) bool) *uint64 {
	for i := range f.suspended {
		if asked(f.suspended[i].item) {
			index := f.suspended[i].index
			return &index
		}
	}
	return nil
}

func (f *Fold) request(id string) *requestState {
	for i := range f.requests {
		if f.requests[i].id == id {
			return &f.requests[i]
		}
	}
	return nil
}

// processingSuspended returns the request that suspends all processing, or nil.
func (f *Fold) processingSuspended() *requestState {
	for i := range f.requests {
		if f.requests[i].suspends() {
			return &f.requests[i]
		}
	}
	return nil
}

func (f *Fold) applyRequestOutcome(at time.Time, e *Event) {
	if q := f.request(e.Request); q != nil {
		q.outcome, q.decided = e.Outcome, at
		f.bytes += len(e.Outcome)
	}
}

func (f *Fold) applyNotice(at time.Time, e *Event) {
	switch e.NoticeKind {
	case NoticeDormancy:
		f.applyDormancyNotice(at, e.Outcome)
	case NoticeCorrection:
		c := f.correction(e.Correction)
		if c == nil {
			return
		}
		for i := range c.tell {
			if t := &c.tell[i]; t.recipient == e.Recipient {
				t.done = e.Outcome != NoticeFailed
			}
		}
	case NoticeDestructionRequest:
		a := askedState{e.Recipient, e.Notice, time.UnixMilli(e.DueAtMs), e.Outcome != NoticeConfirmed && e.Outcome != NoticeImpossible}
		if i := slices.IndexFunc(f.asked, func(o askedState) bool { return o.recipient == e.Recipient }); i >= 0 {
			f.asked[i] = a
			return
		}
		f.asked = append(f.asked, a)
		f.bytes += 96 + len(e.Recipient) + len(e.Notice)
	}
}

func (f *Fold) applyHold(index uint64, at time.Time, key KeyName, e *Event) {
	h := holdState{id: e.Hold, ground: e.Reason, key: key, until: time.UnixMilli(e.DueAtMs), index: index, at: at}
	for _, c := range e.Classes {
		h.classes = append(h.classes, ClassID(c))
	}
	f.holds = append(f.holds, h)
	f.bytes += 192 + len(e.Hold) + len(e.Reason) + stringsSize(e.Classes)
}

func (f *Fold) hold(id string) *holdState {
	for i := range f.holds {
		if f.holds[i].id == id {
			return &f.holds[i]
		}
	}
	return nil
}

func (f *Fold) releaseHold(id string) {
	if h := f.hold(id); h != nil {
		h.released = true
	}
}

// heldUntil returns until when holds keep a class, apart from one of them; the
// zero time if none does.
func (f *Fold) heldUntil(c ClassID, apart string, now time.Time) time.Time {
	var until time.Time
	for i := range f.holds {
		if h := &f.holds[i]; h.id != apart && h.active(now) && h.covers(c) && h.until.After(until) {
			until = h.until
		}
	}
	return until
}

func (f *Fold) applySignal(index uint64, at time.Time, e *Event) {
	s := signalState{e.Signal, e.Value, index, at}
	if i := slices.IndexFunc(f.signals, func(o signalState) bool { return o.name == e.Signal }); i >= 0 {
		f.signals[i] = s
		return
	}
	f.signals = append(f.signals, s)
	f.bytes += 64 + len(e.Signal)
}
