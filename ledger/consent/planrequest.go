package consent

import (
	"slices"
	"strings"
	"time"
)

// requestTypes are the rights that a member can ask for.
var requestTypes = []string{RequestAccess, RequestCorrection, RequestErasure, RequestSuspension, RequestComplaint}

// PlanRequest records that a member asked for a right, and returns by when it
// must be answered: within the fewest days that a policy of the member
// promises, counted from the day on which it was received (D3). A request to
// suspend processing suspends it at once. id is the request's, chosen by the
// ledger.
func (r *Register) PlanRequest(f *Fold, keys []KeyState, q *Request, id string, now time.Time) (*Plan, time.Time, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, time.Time{}, err
	}
	switch {
	case !slices.Contains(requestTypes, q.Type):
		return nil, time.Time{}, invalid("invalid_request_type", "type", "must be access, correction, erasure, suspension or complaint")
	case q.ReceivedAt.IsZero():
		return nil, time.Time{}, invalid("received_at_required", "received_at", "say when the member asked; the time to answer counts from then")
	case q.ReceivedAt.After(now.Add(maxAhead)):
		return nil, time.Time{}, invalid("received_at_in_future", "received_at", "is more than five minutes ahead; check the clock of the sender")
	}
	if err := checkChannel(q.Channel); err != nil {
		return nil, time.Time{}, err
	}
	received := q.ReceivedAt
	if received.After(now) {
		received = now
	}
	days := p.answerDays
	for _, o := range r.policiesOf(keys, now) {
		days = min(days, o.answerDays)
	}
	due := r.ends(Period{Days: days}, received)
	return &Plan{Recheck: true, Entries: []Draft{{key, Event{
		Kind: KindRequest, Policy: p.id, PolicyVersion: p.version, Request: id, RequestType: q.Type, Channel: q.Channel,
		ReceivedAtMs: q.ReceivedAt.UnixMilli(), DueAtMs: due.UnixMilli(), Dormant: r.dormant(f, now),
	}}}}, due, nil
}

func checkChannel(channel string) error {
	switch {
	case channel == "":
		return invalid("channel_required", "channel", "say by which channel, such as email, phone, post or shop")
	case !isName(channel):
		return invalid("invalid_channel", "channel", "a channel is a name of 1 to 64 of a-z, 0-9, _ and -")
	}
	return nil
}

// PlanRequestOutcome records how a request was answered. A suspension that was
// granted is lifted with another outcome.
func (r *Register) PlanRequestOutcome(f *Fold, keys []KeyState, o *RequestOutcome, now time.Time) (*Plan, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, err
	}
	q := f.request(o.Request)
	if q == nil {
		return nil, refuse(NotFound, "unknown_request", "id", "the member has no such request")
	}
	lifts := o.Outcome == RequestLifted
	switch {
	case lifts && (q.kind != RequestSuspension || q.outcome != RequestGranted):
		return nil, invalid("invalid_outcome", "outcome", "only a suspension that was granted can be lifted")
	case !lifts && q.outcome != "":
		return nil, refuse(Conflict, "request_finished", "id", "the request has its outcome already; record a new request if the member asks again")
	case !lifts && o.Outcome != RequestGranted && o.Outcome != RequestRefused && o.Outcome != RequestWithdrawn:
		return nil, invalid("invalid_outcome", "outcome", "must be granted, refused or withdrawn, or lifted for a suspension that was granted")
	case o.Outcome == RequestRefused && strings.TrimSpace(o.Reason) == "":
		return nil, invalid("reason_required", "reason", "say why the request is refused; the member has a right to know")
	case !isFreeText(o.Reason, maxReasonBytes):
		return nil, invalid("invalid_reason", "reason", "must be text of at most 2048 bytes")
	}
	return &Plan{Recheck: true, Entries: []Draft{{key, Event{
		Kind: KindRequestOutcome, Policy: p.id, PolicyVersion: p.version, Request: q.id, Outcome: o.Outcome, Reason: o.Reason,
	}}}}, nil
}
