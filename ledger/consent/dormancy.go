package consent

import (
	"slices"
	"time"
)

// When a member falls dormant, and what dormancy ends with (HA 4.3; C6).
//
// Nothing is written when it begins: it follows from when the member was last
// active, from when they were told, and from the policy in force.

// idleState is what dormancy is computed from.
type idleState struct {
	active     time.Time   // when the member was last active
	activity   time.Time   // of the newest entry of kind activity that is not a restated one
	told       []time.Time // notices of dormancy after that, the oldest first
	impossible time.Time   // when it was last found that the member cannot be told
}

// activeAt reports whether an event shows that the member was active, and
// when. What a member who is dormant withdraws or asks for does not wake them:
// only a reactivation does.
func activeAt(e *Event, at time.Time) (time.Time, bool) {
	switch e.Kind {
	case KindConsent:
		return at, !e.Copy
	case KindWithdrawal:
		return at, !e.Copy && !e.Membership && !e.Dormant
	case KindRequest:
		return at, !e.Dormant
	case KindCorrection, KindSignal, KindReactivation:
		return at, true
	case KindActivity:
		if e.ActiveAtMs != 0 {
			return time.UnixMilli(e.ActiveAtMs), true
		}
		return at, true
	}
	return time.Time{}, false
}

// touch notes that the member was active. A notice before that counts no more.
func (f *Fold) touch(use *keyUse, t time.Time) {
	if t.After(use.active) {
		use.active = t
	}
	if t.After(f.idle.active) {
		f.idle.active = t
		f.idle.told = slices.DeleteFunc(f.idle.told, func(told time.Time) bool { return !told.After(t) })
	}
}

func (f *Fold) applyDormancyNotice(at time.Time, outcome string) {
	switch outcome {
	case NoticeSent, NoticeDelivered, NoticeConfirmed:
		if at.After(f.idle.active) {
			f.idle.told = append(f.idle.told, at)
			f.bytes += 24
		}
	case NoticeImpossible:
		f.idle.impossible = at
	}
}

// dormancy returns the rule that the member is under: that of the first policy
// in force that has one and under which anything of the member is recorded.
func (r *Register) dormancy(f *Fold, now time.Time) *Dormancy {
	for _, id := range r.ids {
		if p, ok := r.InForce(id, now); ok && p.dormancy != nil &&
			slices.ContainsFunc(f.keys, func(u keyUse) bool { return u.key.Class.Policy() == id }) {
			return p.dormancy
		}
	}
	return nil
}

// ends returns the first instant after a period that starts with the day of t.
func (r *Register) ends(p Period, t time.Time) time.Time { return r.DayStart(p.after(r.Day(t)) + 1) }

// dormantFrom returns when the member falls dormant, if nothing happens before:
// when they have been idle for the policy's period, but not before the notice
// that they were given has run out. Whoever was not told never does.
func (r *Register) dormantFrom(f *Fold, now time.Time) (from time.Time, rule *Dormancy) {
	if f == nil || f.withdrawn || len(f.idle.told) == 0 || f.idle.active.IsZero() {
		return time.Time{}, nil
	}
	if rule = r.dormancy(f, now); rule == nil {
		return time.Time{}, nil
	}
	from = r.ends(rule.After, f.idle.active)
	if t := r.ends(rule.Notice, f.idle.told[0]); t.After(from) {
		from = t
	}
	return from, rule
}

// DormantSince says since when the member is dormant, if so.
func (r *Register) DormantSince(f *Fold, now time.Time) (time.Time, bool) {
	from, rule := r.dormantFrom(f, now)
	if rule == nil || now.Before(from) {
		return time.Time{}, false
	}
	return from, true
}

func (r *Register) dormant(f *Fold, now time.Time) bool { _, yes := r.DormantSince(f, now); return yes }

func isDormant() *Refusal {
	return refuse(Conflict, "dormant", "member_id", "the member is dormant, and what is held of them is kept apart; record with POST /v1/reactivations that they came back, then send this again")
}

// PlanDormancyEnd ends the membership of a member who was dormant for as long
// as the policy keeps such members, as a withdrawal of it would. It returns nil
// if that time has not come.
func (r *Register) PlanDormancyEnd(f *Fold, keys []KeyState, now time.Time) *Plan {
	from, rule := r.dormantFrom(f, now)
	if rule == nil || now.Before(r.ends(rule.DestroyAfter, from)) {
		return nil
	}
	return r.planEnd(f, keys, Event{Kind: KindWithdrawal, Reason: "dormancy"}, now)
}

// noticeDay returns the last day on which a notice is early enough for the
// member to fall dormant as soon as they have been idle for the period.
func (r *Register) noticeDay(rule *Dormancy, active time.Time) Day {
	last := rule.After.after(r.Day(active))
	early := last - Day(31*rule.Notice.Months+rule.Notice.Days)
	late := last - Day(28*rule.Notice.Months+rule.Notice.Days)
	for early < late { // the last day of a period never comes earlier for a later first day
		mid := early + (late-early+1)/2
		if rule.Notice.after(mid) <= last {
			early = mid
		} else {
			late = mid - 1
		}
	}
	return early
}

// restateActivity records when the member was last active, if the plan takes
// away the only entry that shows it: nobody falls dormant early because
// something was forgotten. gone reports the keys that go.
func (r *Register) restateActivity(plan *Plan, f *Fold, keys []KeyState, gone func(*keyUse) bool, now time.Time) {
	if f.withdrawn || f.idle.active.IsZero() {
		return
	}
	for i := range plan.Entries {
		d := &plan.Entries[i]
		if _, ok := activeAt(&d.Event, now); ok && !slices.Contains(plan.Destroy, d.Key) {
			return
		}
	}
	for i := range f.keys {
		if u := &f.keys[i]; !u.active.Before(f.idle.active) && !gone(u) {
			return
		}
	}
	p, key, ok := r.officeKey(f, keys, now)
	if !ok || slices.Contains(plan.Destroy, key) {
		return
	}
	plan.Entries = append(plan.Entries, Draft{key, Event{
		Kind: KindActivity, Policy: p.id, PolicyVersion: p.version, ActiveAtMs: f.idle.active.UnixMilli(),
	}})
}

// PlanExpiry says what must be restated when the clock destroys keys, or
// entries under keys whose entries each have a clock of their own; nil if
// nothing must.
func (r *Register) PlanExpiry(f *Fold, keys []KeyState, gone []KeyName, now time.Time) *Plan {
	if f == nil {
		return nil
	}
	plan := &Plan{}
	r.restateActivity(plan, f, keys, func(u *keyUse) bool {
		if !slices.Contains(gone, u.key) {
			return false
		}
		rule := r.rules[u.key.Class]
		return !rule.Ratchet() || r.DiesOn(rule, r.Day(u.active)) <= r.Day(now)
	}, now)
	if len(plan.Entries) == 0 {
		return nil
	}
	return plan
}
