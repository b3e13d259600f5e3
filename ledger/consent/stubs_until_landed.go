// Whoever lands one of these for real removes its line here. The file must be gone before anything is submitted.
package consent

import "time"

func (r *Register) PlanHold(f *Fold, keys []KeyState, h *Hold, id string, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanRelease(f *Fold, keys []KeyState, id string, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanActivity(f *Fold, keys []KeyState, a *Activity, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanReactivation(f *Fold, keys []KeyState, a *Reactivation, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanSignal(f *Fold, keys []KeyState, s *Signal, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanRequest(f *Fold, keys []KeyState, q *Request, id string, now time.Time) (*Plan, time.Time, error) {
	return nil, now, invalid("x", "", "")
}
func (r *Register) PlanRequestOutcome(f *Fold, keys []KeyState, o *RequestOutcome, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanNotice(f *Fold, keys []KeyState, n *Notice, id string, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func CheckNotice(n *Notice, now time.Time) error     { return nil }
func CheckEventEnd(n *EventEnd, now time.Time) error { return nil }
func (r *Register) PlanEventEnd(f *Fold, keys []KeyState, e *EventEnd, now time.Time) (*Plan, error) {
	return nil, invalid("x", "", "")
}
func (r *Register) PlanDormancyEnd(f *Fold, keys []KeyState, now time.Time) *Plan { return nil }
func (r *Register) PlanExpiry(f *Fold, keys []KeyState, gone []KeyName, now time.Time) *Plan {
	return nil
}
func (r *Register) DormantSince(f *Fold, now time.Time) (time.Time, bool)        { return now, false }
func (r *Register) Due(f *Fold, keys []KeyState, now, until time.Time) []DueItem { return nil }
func (r *Register) Next(f *Fold, keys []KeyState, now time.Time) (task, wake time.Time) {
	return now.AddDate(1, 0, 0), now.AddDate(1, 0, 0)
}
func (f *Fold) Clone() *Fold { c := *f; return &c }

type Export struct{}

func (r *Register) NewExport(origin, member string, entries []MemberEntry, f *Fold, now time.Time) *Export {
	return nil
}
func (r *Register) PlanAnonymised(d *Disclosure, now time.Time) (Event, error) {
	return Event{}, invalid("x", "", "")
}

type AuditFinding struct {
	Index      uint64
	Code, What string
}

func (r *Register) Audit(entries []MemberEntry, destroyed func(uint64) bool) ([]AuditFinding, int) {
	return nil, 0
}
