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

// KeptOf says of the keys that a member has left what they hold, until when and why, one row a class.
func (r *Register) KeptOf(f *Fold, keys []KeyState, now time.Time) []Kept {
	var p Plan
	for _, k := range keys {
		if k.Entries == 0 {
			continue
		}
		until, basis := r.KeptUntil(f, k, now)
		event := ""
		if until == nil {
			rule := r.rules[k.Class]
			if event = rule.Until; event == "" && rule.From == FromWithdrawal {
				event = UntilWithdrawal
			}
		}
		p.keep(k.Class, until, event, basis)
	}
	return p.Kept
}
