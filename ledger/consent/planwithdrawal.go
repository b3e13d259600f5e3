package consent

import (
	"slices"
	"time"
)

// PlanWithdrawal says what a withdrawal leads to. It needs no more than who
// and what (GDPR 7(3)); when and how may be said.
//
// Of purposes: an entry in the membership class, a copy in the evidence class
// if there is one, and the end of each class until purpose_withdrawal of which
// the last purpose goes. With items, only those optional items are taken away
// from the purposes; a purpose goes with its last item.
//
// Of the membership: every key that only the membership justified, or a consent
// that ends with it, is destroyed, and every other is named in Kept with its end and its law. Keys
// of classes that count from the withdrawal get their due date. An entry says
// so only in the evidence class.
func (r *Register) PlanWithdrawal(f *Fold, keys []KeyState, w *Withdrawal, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	switch {
	case len(keys) == 0:
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	case f.withdrawn:
		return nil, nothingToWithdraw()
	case w.Items != nil && len(w.Items) == 0:
		// Somebody who ticked no item did not ask for the whole purpose to go.
		return nil, invalid("items_required", "items", "name the items that are withdrawn, or leave items out to withdraw the purposes")
	case w.Membership && (len(w.Purposes) > 0 || len(w.Items) > 0):
		return nil, invalid("invalid_scope", "scope", "send either scope: membership or purposes, not both")
	case !w.Membership && len(w.Purposes) == 0:
		return nil, invalid("purposes_required", "purposes", "name the purposes that are withdrawn, or send scope: membership")
	case w.Method != "" && !isName(w.Method):
		return nil, invalid("invalid_method", "method", "a method is a name of 1 to 64 of a-z, 0-9, _ and -")
	case w.OccurredAt.After(now.Add(maxAhead)):
		return nil, invalid("occurred_at_in_future", "occurred_at", "is more than five minutes ahead; check the clock of the sender")
	}
	e := Event{Kind: KindWithdrawal, Method: w.Method}
	if !w.OccurredAt.IsZero() {
		e.OccurredAtMs = w.OccurredAt.UnixMilli()
	}
	if w.Membership {
		return r.planEnd(f, keys, e, now), nil
	}
	e.Dormant = r.dormant(f, now)
	return r.planPurposes(f, keys, w, e, now)
}

func nothingToWithdraw() *Refusal {
	return refuse(Conflict, "nothing_to_withdraw", "", "nothing of what is named is in force; there is nothing left to withdraw")
}

// planEnd ends the membership.
func (r *Register) planEnd(f *Fold, keys []KeyState, e Event, now time.Time) *Plan {
	plan := &Plan{Ended: true}
	today := r.Day(now)
	e.Membership = true
	for _, p := range r.policiesOf(keys, now) {
		if key := p.evidenceKey(); p.evidence != nil && hasKey(keys, key) {
			one := e
			one.Policy, one.PolicyVersion = p.id, p.version
			plan.Entries = append(plan.Entries, Draft{key, one})
		}
	}
	for _, k := range keys {
		written := slices.ContainsFunc(plan.Entries, func(d Draft) bool { return d.Key == k.KeyName })
		rule, ok := r.rules[k.Class]
		if !ok || k.Entries == 0 && !written {
			plan.Destroy = append(plan.Destroy, k.KeyName)
			continue
		}
		if written {
			k.NewestDay = max(k.NewestDay, today)
		}
		switch {
		case rule.ByReference() && !k.Due.IsZero() && !k.Due.After(now):
			plan.Destroy = append(plan.Destroy, k.KeyName) // it has ended, and only a hold keeps it
		case rule.ByReference() && r.onConsentAlone(f, k.KeyName, rule):
			plan.Destroy = append(plan.Destroy, k.KeyName)
		case rule.Until == UntilDelivery || rule.Until == UntilEventEnd:
			plan.keep(k.Class, nil, rule.Until, held(rule.Basis, k, now))
		case rule.Ratchet():
			// Its own clock runs on; what has run out goes now.
			due := r.DayStart(r.DiesOn(rule, k.NewestDay))
			if !due.After(now) {
				plan.Destroy = append(plan.Destroy, k.KeyName)
				continue
			}
			plan.keepUntil(k, due, r.basis(k.Class, rule, now))
		default:
			kept, due := r.afterMembership(f, k, rule, now)
			if !due.After(now) {
				plan.Destroy = append(plan.Destroy, k.KeyName)
				continue
			}
			plan.SetDue = append(plan.SetDue, KeyDue{k.KeyName, due})
			plan.keepUntil(k, due, r.basis(k.Class, kept, now))
		}
	}
	plan.Notify = f.holders(func(*disclosureState, string) bool { return true })
	return r.settle(plan, f, keys, now)
}

// onConsentAlone reports whether nothing but consents justifies a key: its
// class cites no law, and every purpose decided on under it was asked for.
func (r *Register) onConsentAlone(f *Fold, k KeyName, rule Rule) bool {
	if rule.Basis != "" {
		return false
	}
	for i := range f.keys {
		if use := &f.keys[i]; use.key == k && len(use.purposes) > 0 {
			return !slices.ContainsFunc(use.purposes, func(p string) bool {
				s := f.purpose(k.Class.Policy(), p)
				return s == nil || !r.asked(k.Class.Policy(), s)
			})
		}
	}
	return false
}

// basis returns why a class is kept: the ground of the evidence if it is the
// class that holds it and names no law of its own, else the class's law.
func (r *Register) basis(c ClassID, rule Rule, now time.Time) string {
	if p, ok := r.InForce(c.Policy(), now); ok && p.isEvidence(c) && rule.Basis != p.evidence.Ground {
		return rule.Basis + "; " + p.evidence.Ground
	}
	return rule.Basis
}

// afterMembership returns the rule that keeps a key of a class without a clock
// of its own beyond the membership, and until when; the zero time if none
// does. That is the class's own rule if it counts from the withdrawal. For a
// class until withdrawal it is the longest that the member's current kind has
// for a purpose that the key holds decisions on: a member who became a
// purchasing member is one in what was recorded before, too. The other way
// round nothing gets shorter: a duty to keep does not end with the kind.
func (r *Register) afterMembership(f *Fold, k KeyState, rule Rule, now time.Time) (Rule, time.Time) {
	today := r.Day(now)
	if rule.Until == "" {
		return rule, r.DayStart(r.DiesOn(rule, today))
	}
	var kept Rule
	var due time.Time
	p, ok := r.InForce(k.Class.Policy(), now)
	if !ok || rule.Until == untilOutcome {
		return kept, due
	}
	for i := range f.keys {
		use := &f.keys[i]
		if use.key != k.KeyName {
			continue
		}
		for i, name := range use.purposes {
			for _, kind := range f.kindsHad(p.id, use.since[i]) {
				pu := p.byPurpose[name]
				if pu == nil || !pu.forKind(kind) {
					continue
				}
				other, ok := p.byClass[pu.Class(kind)]
				if !ok || other.Until != "" {
					continue
				}
				from := today
				if other.From == FromEntry {
					from = r.Day(use.newest)
				}
				if d := r.DayStart(r.DiesOn(other, from)); d.After(due) {
					kept, due = other, d
				}
			}
		}
	}
	return kept, due
}

func (p *Policy) evidenceKey() KeyName {
	if p.evidence == nil {
		return KeyName{}
	}
	return KeyName{Class: p.classIDs[p.evidence.Class]}
}

// keep adds a class to what is kept, or its later end to its row.
func (p *Plan) keep(c ClassID, until *time.Time, event, basis string) {
	for i := range p.Kept {
		row := &p.Kept[i]
		if row.Class == c.Name() && row.Basis == basis && row.Event == event {
			if until != nil && (row.Until == nil || until.After(*row.Until)) {
				row.Until = until
			}
			return
		}
	}
	p.Kept = append(p.Kept, Kept{Class: c.Name(), Until: until, Event: event, Basis: basis})
}

// keepUntil adds a class that is kept until a time, or for longer by a hold.
func (p *Plan) keepUntil(k KeyState, until time.Time, basis string) {
	if k.HeldUntil.After(until) {
		until, basis = k.HeldUntil, held(basis, k, until)
	}
	p.keep(k.Class, &until, "", basis)
}

// held adds a hold that lasts beyond t to why a key is kept.
func held(basis string, k KeyState, t time.Time) string {
	switch {
	case !k.HeldUntil.After(t):
		return basis
	case basis == "":
		return legalHold
	}
	return basis + "; " + legalHold
}

// A target is a purpose that a withdrawal names.
type target struct {
	policy  *Policy // in force, or the one consented to if that no longer is
	purpose *Purpose
	state   *purposeState
	granted bool // some word on it is a yes
}

// targets finds what one name of a withdrawal means: the purpose of every
// policy under which the member decided on it, or else of those that state it.
func (r *Register) targets(f *Fold, name string, now time.Time) []target {
	policy, purpose := splitName(name)
	var decided, stated []target
	for _, id := range r.ids {
		if policy != "" && policy != id {
			continue
		}
		t := target{state: f.purpose(id, purpose), granted: f.granted(id, purpose)}
		if p, ok := r.InForce(id, now); ok {
			t.policy, t.purpose = p, p.byPurpose[purpose]
		}
		if t.purpose == nil && t.state != nil {
			if p, ok := r.Version(id, t.state.version); ok {
				t.policy, t.purpose = p, p.byPurpose[purpose]
			}
		}
		switch {
		case t.purpose == nil:
		case t.state != nil:
			decided = append(decided, t)
		default:
			stated = append(stated, t)
		}
	}
	if len(decided) > 0 {
		return decided
	}
	return stated
}

// planPurposes withdraws purposes or items of them.
func (r *Register) planPurposes(f *Fold, keys []KeyState, w *Withdrawal, e Event, now time.Time) (*Plan, error) {
	var all []target
	for i, name := range w.Purposes {
		found := r.targets(f, name, now)
		if len(found) == 0 {
			return nil, invalid("unknown_purpose", index("purposes", i), "no policy in force states the purpose and the member decided on none such; see the policy's purposes")
		}
		for _, t := range found {
			// Optional items are a choice whatever the purpose rests on.
			if len(w.Items) == 0 && !t.purpose.AsksConsent() && !(t.granted && r.asked(t.policy.id, t.state)) {
				return nil, invalid("not_a_choice", index("purposes", i), "the purpose rests on a contract or a legal duty, not on consent; it ends with that, or with scope: membership; its optional items can be withdrawn with items")
			}
			if slices.ContainsFunc(all, func(o target) bool { return o.policy.id == t.policy.id && o.purpose.ID == t.purpose.ID }) {
				return nil, invalid("duplicate_purpose", index("purposes", i), "the purpose is there twice; remove one")
			}
			all = append(all, t)
		}
	}
	if err := checkWithdrawnItems(f, all, w.Items); err != nil {
		return nil, err
	}
	live := func(t target) bool {
		return t.granted && (len(w.Items) == 0 || f.grantsAny(t.policy.id, t.purpose.ID, w.Items)) ||
			len(w.Items) == 0 && r.leftOpen(f, keys, all, t)
	}
	if !slices.ContainsFunc(all, live) {
		return nil, nothingToWithdraw()
	}
	plan := &Plan{}
	for _, id := range r.ids {
		of := slices.DeleteFunc(slices.Clone(all), func(t target) bool { return t.policy.id != id || !t.granted && !live(t) })
		if len(of) == 0 {
			continue
		}
		key, ok := r.membershipKey(f, keys, of[0].policy)
		if !ok {
			return nil, refuse(Conflict, "class_not_open", "member_id", "the member has no membership to record the withdrawal in")
		}
		whole, inPart := e, e // whoever takes back every item of a purpose takes back the purpose
		for _, t := range of {
			if len(w.Items) == 0 || !f.grantsBeside(id, t.purpose.ID, w.Items) {
				whole.Purposes = append(whole.Purposes, t.purpose.ID)
			} else {
				inPart.Purposes = append(inPart.Purposes, t.purpose.ID)
			}
		}
		inPart.Items = w.Items
		for _, one := range []Event{whole, inPart} {
			if len(one.Purposes) == 0 {
				continue
			}
			one.Policy, one.PolicyVersion = id, of[0].policy.version
			plan.Entries = append(plan.Entries, Draft{key, one})
			if ev := of[0].policy.evidenceKey(); ev != key && hasKey(keys, ev) {
				one.Copy = true
				plan.Entries = append(plan.Entries, Draft{ev, one})
			}
		}
		if len(whole.Purposes) > 0 {
			r.endPurposeClasses(plan, f, keys, id, whole.Purposes, now)
		}
	}
	plan.Notify = f.holders(func(d *disclosureState, item string) bool {
		return (len(w.Items) == 0 || slices.Contains(w.Items, item)) &&
			slices.ContainsFunc(all, func(t target) bool { return t.policy.id == d.policy && t.purpose.ID == d.purpose })
	})
	if err := plan.fits(); err != nil {
		return nil, err
	}
	return r.settle(plan, f, keys, now), nil
}

// leftOpen reports whether the member said no after a yes to a purpose, and a
// class until purpose_withdrawal is there for nothing but that and what else is
// withdrawn: a no is no withdrawal, and so left the class where it was.
func (r *Register) leftOpen(f *Fold, keys []KeyState, all []target, t target) bool {
	id := t.policy.id
	if t.state == nil || t.state.decision != stateRefused {
		return false
	}
	stays := func(p string) bool {
		return f.granted(id, p) && !slices.ContainsFunc(all, func(o target) bool { return o.policy.id == id && o.purpose.ID == p })
	}
	return slices.ContainsFunc(f.keys, func(use keyUse) bool {
		n := slices.Index(use.purposes, t.purpose.ID)
		return n >= 0 && use.once[n] && use.key.Class.Policy() == id && r.rules[use.key.Class].Until == UntilPurposeWithdrawal &&
			hasKey(keys, use.key) && !slices.ContainsFunc(use.purposes, stays)
	})
}

// checkWithdrawnItems holds items to the purposes that they are withdrawn from.
func checkWithdrawnItems(f *Fold, all []target, items []string) error {
	for i, it := range items {
		field := index("items", i)
		if slices.Contains(items[:i], it) {
			return invalid("duplicate_item", field, "the item is there twice; remove one")
		}
		optional := false
		for _, t := range all {
			if slices.Contains(t.purpose.Mandatory, it) {
				return invalid("mandatory_item", field, "the item is mandatory for a purpose that is named; withdraw the purpose itself")
			}
			optional = optional || slices.Contains(t.purpose.Optional, it) || t.state != nil && slices.Contains(t.state.items, it) || f.named(t.policy.id, t.purpose.ID, it)
		}
		if !optional {
			return invalid("unknown_item", field, "none of the purposes that are named has the item; see the policy's purposes")
		}
	}
	return nil
}

// endPurposeClasses destroys the classes until purpose_withdrawal in which
// none of the purposes decided on is still granted, and says what is kept of
// the others that hold a purpose that goes.
func (r *Register) endPurposeClasses(plan *Plan, f *Fold, keys []KeyState, policy string, gone []string, now time.Time) {
	for i := range f.keys {
		use := &f.keys[i]
		if use.key.Class.Policy() != policy || !slices.ContainsFunc(use.purposes, func(p string) bool { return slices.Contains(gone, p) }) {
			continue
		}
		j := slices.IndexFunc(keys, func(k KeyState) bool { return k.KeyName == use.key })
		if j < 0 {
			continue
		}
		rule := r.rules[use.key.Class]
		needed := slices.ContainsFunc(use.purposes, func(p string) bool {
			return f.granted(policy, p) && !slices.Contains(gone, p)
		})
		switch {
		case (rule.Until == UntilPurposeWithdrawal || rule.ByReference() && rule.Basis == "") && !needed:
			plan.Destroy = append(plan.Destroy, use.key)
		case rule.Until != "":
			plan.keep(use.key.Class, nil, rule.Until, rule.Basis)
		case rule.From == FromWithdrawal:
			plan.keep(use.key.Class, nil, UntilWithdrawal, rule.Basis)
		default:
			newest := keys[j].NewestDay
			if slices.ContainsFunc(plan.Entries, func(d Draft) bool { return d.Key == use.key }) {
				newest = max(newest, r.Day(now))
			}
			due := r.DayStart(r.DiesOn(rule, newest))
			plan.keepUntil(keys[j], due, rule.Basis)
		}
	}
}
