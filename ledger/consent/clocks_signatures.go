package consent

import (
	"errors"
	"time"
)

// The signatures that the ledger is written against. Each moves to a file of
// its own with its rules in the commits that follow this one.

var errNotBuilt = errors.New("this rule is not built yet")

// PlanHold places a legal hold.
func (r *Register) PlanHold(f *Fold, keys []KeyState, h *Hold, id string, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanRelease ends a legal hold.
func (r *Register) PlanRelease(f *Fold, keys []KeyState, id string, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanActivity records that the member used the service.
func (r *Register) PlanActivity(f *Fold, keys []KeyState, a *Activity, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanReactivation ends a dormancy.
func (r *Register) PlanReactivation(f *Fold, keys []KeyState, a *Reactivation, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanSignal records what a browser said by itself.
func (r *Register) PlanSignal(f *Fold, keys []KeyState, s *Signal, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanRequest records a member's request, and says when it must be answered.
func (r *Register) PlanRequest(f *Fold, keys []KeyState, q *Request, id string, now time.Time) (*Plan, time.Time, error) {
	return nil, time.Time{}, errNotBuilt
}

// PlanRequestOutcome records how a request was answered.
func (r *Register) PlanRequestOutcome(f *Fold, keys []KeyState, o *RequestOutcome, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanNotice records a notice about one member.
func (r *Register) PlanNotice(f *Fold, keys []KeyState, n *Notice, id string, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// CheckNotice holds a notice, of a member or of none, to its form.
func CheckNotice(n *Notice, now time.Time) error { return errNotBuilt }

// PlanEventEnd ends an order or event of one member.
func (r *Register) PlanEventEnd(f *Fold, keys []KeyState, e *EventEnd, now time.Time) (*Plan, error) {
	return nil, errNotBuilt
}

// PlanDormancyEnd ends a membership that was dormant for the policy's period; nil: not yet.
func (r *Register) PlanDormancyEnd(f *Fold, keys []KeyState, now time.Time) *Plan { return nil }

// PlanExpiry says what must be restated when the clock destroys keys; nil: nothing.
func (r *Register) PlanExpiry(f *Fold, keys []KeyState, gone []KeyName, now time.Time) *Plan {
	return nil
}

// DormantSince says since when the member is dormant, if so.
func (r *Register) DormantSince(f *Fold, now time.Time) (time.Time, bool) { return time.Time{}, false }

// Due lists what somebody has to do about the member before until.
func (r *Register) Due(f *Fold, keys []KeyState, now, until time.Time) []DueItem { return nil }

// Next says when the first of what is due is late, and when the sweep is to look at the member again.
func (r *Register) Next(f *Fold, keys []KeyState, now time.Time) (task, wake time.Time) {
	return task, wake
}

// Clone returns a copy that Apply can change without changing the original.
func (f *Fold) Clone() *Fold {
	c := *f
	return &c
}
