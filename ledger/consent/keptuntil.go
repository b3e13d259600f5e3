package consent

import "time"

// KeptUntil says of a key that outlived a membership, or of a member who is
// dormant, until when what it holds is kept and why: what the withdrawal's
// answer said of it. until is nil where an event decides.
func (r *Register) KeptUntil(f *Fold, k KeyState, now time.Time) (until *time.Time, basis string) {
	rule := r.rules[k.Class]
	due := k.Due
	switch {
	case rule.Ratchet(): // its due is that of the oldest entry
		due = r.DayStart(r.DiesOn(rule, k.NewestDay))
	case due.IsZero():
		return nil, held(r.basis(k.Class, rule, now), k, now)
	case rule.Until != "":
		rule, _ = r.afterMembership(f, k, rule, now)
	}
	switch {
	case !k.HeldUntil.After(due):
		return &due, r.basis(k.Class, rule, now)
	case !due.After(now): // it has run out, and only the hold is left
		return &k.HeldUntil, legalHold
	}
	return &k.HeldUntil, held(r.basis(k.Class, rule, now), k, due)
}
