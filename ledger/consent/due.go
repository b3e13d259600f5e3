package consent

import (
	"cmp"
	"slices"
	"time"
)

// Due lists what somebody has to do about the member by a time, what is late
// already among it, in the order of when it is late (D3).
func (r *Register) Due(f *Fold, keys []KeyState, now, until time.Time) []DueItem {
	list := slices.DeleteFunc(r.due(f, now), func(d DueItem) bool { return d.At.After(until) })
	slices.SortFunc(list, func(a, b DueItem) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// lookAgain is how long a member is left alone of whom nothing is due: a new
// policy version may have given them a clock.
const lookAgain = 365 * 24 * time.Hour

// Next says when the first of what is due of the member is late (task), and
// when the sweep is to look at the fold by itself (wake), the zero time for
// never. The fold is the one after the plan.
func (r *Register) Next(f *Fold, keys []KeyState, now time.Time) (task, wake time.Time) {
	for _, d := range r.due(f, now) {
		if task.IsZero() || d.At.Before(task) {
			task = d.At
		}
	}
	if f.Empty() || f.withdrawn {
		return task, wake
	}
	wake = now.Add(lookAgain)
	if from, rule := r.dormantFrom(f, now); rule != nil {
		if end := r.ends(rule.DestroyAfter, from); end.Before(wake) {
			wake = end
		}
	}
	return task, wake
}

// due lists all that is open of the member. Of one who has left only the holds
// are anybody's to look after.
func (r *Register) due(f *Fold, now time.Time) []DueItem {
	if f == nil {
		return nil
	}
	var list []DueItem
	for i := range f.holds {
		if h := &f.holds[i]; h.active(now) {
			list = append(list, DueItem{DueHold, h.id, h.until})
		}
	}
	if f.withdrawn {
		return list
	}
	for i := range f.requests {
		if q := &f.requests[i]; q.outcome == "" {
			list = append(list, DueItem{DueRequest, q.id, q.due})
		}
	}
	for i := range f.corrections {
		c := &f.corrections[i]
		switch {
		case !c.done:
			list = append(list, DueItem{DueCorrection, c.id, r.answerBy(c, c.at)})
		case c.untold():
			list = append(list, DueItem{DueCorrectionNotice, c.id, r.answerBy(c, c.decided)})
		}
	}
	for i := range f.asked {
		if a := &f.asked[i]; a.open {
			list = append(list, DueItem{DueDestructionRequest, a.notice, a.due})
		}
	}
	if at, ok := r.dormancyNoticeBy(f, now); ok {
		list = append(list, DueItem{Kind: DueDormancyNotice, At: at})
	}
	if from, rule := r.dormantFrom(f, now); rule != nil {
		list = append(list, DueItem{Kind: DueDormancyEnd, At: r.ends(rule.DestroyAfter, from)})
	}
	return list
}

// answerBy returns when it is late to act on a correction, by the policy
// version that it was made under.
func (r *Register) answerBy(c *correctionState, from time.Time) time.Time {
	days := 30
	if p, ok := r.Version(c.policy, c.version); ok {
		days = p.answerDays
	}
	return r.ends(Period{Days: days}, from)
}

// dormancyNoticeBy returns when it is late to tell the member that they will
// fall dormant, if they are to be told and were not, and it was not found that
// they cannot be.
func (r *Register) dormancyNoticeBy(f *Fold, now time.Time) (time.Time, bool) {
	if f.idle.active.IsZero() || len(f.idle.told) > 0 || f.idle.impossible.After(f.idle.active) {
		return time.Time{}, false
	}
	rule := r.dormancy(f, now)
	if rule == nil {
		return time.Time{}, false
	}
	by := r.DayStart(r.noticeDay(rule, f.idle.active) + 1)
	if by.Before(f.idle.active) {
		by = f.idle.active
	}
	return by, true
}
