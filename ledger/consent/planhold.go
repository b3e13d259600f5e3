package consent

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// maxHoldYears bounds a hold: one that would last for ever is a retention
// class that no policy names.
const maxHoldYears = 30

// legalHold is the basis of what only a hold keeps. Its ground is the officer's
// to read.
const legalHold = "legal hold"

// PlanHold places a legal hold: until its end or its release nothing of the
// classes that it names is destroyed, of a living membership or of one that
// ended (C5). It is recorded under the first of the keys that it holds, so that
// it is known for as long as they are there. id is the hold's, chosen by the
// ledger.
func (r *Register) PlanHold(f *Fold, keys []KeyState, h *Hold, id string, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	if len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	classes, err := r.heldClasses(keys, h.Classes)
	if err != nil {
		return nil, err
	}
	// A key's time is in whole seconds, and a hold never ends early.
	until := h.Until.Add(time.Second - 1).Truncate(time.Second)
	switch {
	case strings.TrimSpace(h.Ground) == "":
		return nil, invalid("ground_required", "ground", "say on which ground the data must not be destroyed")
	case !isFreeText(h.Ground, maxReasonBytes):
		return nil, invalid("invalid_ground", "ground", "must be text of at most 2048 bytes")
	case !until.After(now) || until.After(now.AddDate(maxHoldYears, 0, 0)):
		return nil, invalid("invalid_until", "until", "a hold ends in the future, within 30 years; place it again then if it is still needed")
	}
	e := Event{Kind: KindHold, Hold: id, Reason: h.Ground, DueAtMs: until.UnixMilli()}
	plan := &Plan{Recheck: true}
	for _, k := range keys {
		if !slices.Contains(classes, k.Class) {
			continue
		}
		if len(plan.Entries) == 0 {
			plan.Entries = append(plan.Entries, Draft{Key: k.KeyName})
		}
		last := until
		if t := f.heldUntil(k.Class, "", now); t.After(last) {
			last = t
		}
		plan.SetHold = append(plan.SetHold, KeyHold{k.KeyName, last})
	}
	for _, c := range classes {
		e.Classes = append(e.Classes, string(c))
	}
	plan.Entries[0].Event = e
	if err := plan.fits(); err != nil {
		return nil, err
	}
	return plan, nil
}

// heldClasses finds the classes that a hold names among those of which the
// member has a key.
func (r *Register) heldClasses(keys []KeyState, names []string) ([]ClassID, error) {
	if len(names) == 0 {
		return nil, invalid("classes_required", "classes", "name at least one retention class that is held")
	}
	var classes []ClassID
	for i, name := range names {
		field := index("classes", i)
		known := false
		for id := range r.rules {
			known = known || names[i] == string(id) || names[i] == id.Name()
		}
		if !known {
			return nil, invalid("unknown_class", field, "no policy has such a retention class; see the policy's retention")
		}
		var found []ClassID
		for _, k := range keys {
			if (name == string(k.Class) || name == k.Class.Name()) && !slices.Contains(found, k.Class) {
				found = append(found, k.Class)
			}
		}
		switch {
		case len(found) == 0:
			return nil, refuse(Conflict, "class_not_open", field, "nothing of the member is recorded in the class; there is nothing to hold")
		case len(found) > 1:
			return nil, invalid("class_ambiguous", field, "the member has such a class under several policies; write policy/class")
		case slices.Contains(classes, found[0]):
			return nil, invalid("duplicate_class", field, "the class is there twice; name it once")
		}
		classes = append(classes, found[0])
	}
	return classes, nil
}

// PlanRelease ends a hold before its time, and destroys what only it kept.
func (r *Register) PlanRelease(f *Fold, keys []KeyState, id string, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	h := f.hold(id)
	switch {
	case len(keys) == 0:
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	case h == nil:
		return nil, refuse(NotFound, "unknown_hold", "id", "the member has no such hold")
	case !h.active(now):
		return nil, refuse(Conflict, "hold_finished", "id", "the hold has ended already; there is nothing to release")
	}
	plan := &Plan{Recheck: true, Entries: []Draft{{h.key, Event{Kind: KindHoldRelease, Hold: h.id}}}}
	for i := range keys {
		k := &keys[i]
		if !h.covers(k.Class) {
			continue
		}
		until := f.heldUntil(k.Class, id, now)
		plan.SetHold = append(plan.SetHold, KeyHold{k.KeyName, until})
		// A living member's ratchet is there for what is still to come: what has run out is the sweep's.
		lasts := r.rules[k.Class].Ratchet() && !f.withdrawn
		if until.IsZero() && !lasts && r.overdue(k, h.key, now) {
			plan.Destroy = append(plan.Destroy, k.KeyName)
		}
	}
	r.restateActivity(plan, f, keys, func(u *keyUse) bool { return slices.Contains(plan.Destroy, u.key) }, now)
	return plan, nil
}

// overdue reports whether all that a key holds should have been destroyed by
// now. The due of a ratchet only says when its oldest entry may be: that is for
// the sweep, unless the newest has run out as well. The release itself is an
// entry, too.
func (r *Register) overdue(k *KeyState, recorded KeyName, now time.Time) bool {
	if rule := r.rules[k.Class]; rule.Ratchet() {
		return k.KeyName != recorded && !r.DayStart(r.DiesOn(rule, k.NewestDay)).After(now)
	}
	return !k.Due.IsZero() && !k.Due.After(now)
}

// settle makes a plan obey the holds, whatever made it: what is held is not
// destroyed but becomes due, and a key that is made in a held class is held.
// And what a destruction would make forgotten that must not be is restated.
func (r *Register) settle(plan *Plan, f *Fold, keys []KeyState, now time.Time) *Plan {
	for i := range keys {
		k := &keys[i]
		j := slices.Index(plan.Destroy, k.KeyName)
		if j < 0 || !k.HeldUntil.After(now) {
			continue
		}
		plan.Destroy = slices.Delete(plan.Destroy, j, j+1)
		plan.SetDue = append(plan.SetDue, KeyDue{k.KeyName, now})
		until := k.HeldUntil
		plan.keep(k.Class, &until, "", legalHold)
	}
	if f == nil {
		return plan
	}
	for _, k := range plan.Create {
		if until := f.heldUntil(k.Class, "", now); !until.IsZero() && !hasKey(keys, k) {
			plan.SetHold = append(plan.SetHold, KeyHold{k, until})
		}
	}
	if plan.Ended {
		plan.Recheck = true
		return plan
	}
	if len(plan.Destroy) > 0 {
		r.restateActivity(plan, f, keys, func(u *keyUse) bool { return slices.Contains(plan.Destroy, u.key) }, now)
	}
	if len(f.idle.told) > 0 || f.idle.impossible.After(f.idle.active) {
		// Whoever is active after a notice is to be told again one day.
		plan.Recheck = true
	}
	return plan
}

// A HoldView is a legal hold as the officer sees it.
type HoldView struct {
	Hold       string    `json:"hold"`
	Classes    []string  `json:"classes"`
	Ground     string    `json:"ground"`
	Until      time.Time `json:"until"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// Format prints no field.
func (HoldView) Format(s fmt.State, _ rune) { io.WriteString(s, "[hold]") }

// Holds returns the holds that are in force, the oldest first. The ground is
// for the officer alone.
func (f *Fold) Holds(now time.Time) []HoldView {
	list := []HoldView{}
	for i := range f.holds {
		h := &f.holds[i]
		if !h.active(now) {
			continue
		}
		v := HoldView{h.id, make([]string, 0, len(h.classes)), h.ground, h.until.UTC(), h.at, h.index}
		for _, c := range h.classes {
			v.Classes = append(v.Classes, string(c))
		}
		list = append(list, v)
	}
	return list
}
