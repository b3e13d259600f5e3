package consent

import (
	"slices"
	"time"
	"unicode/utf8"
)

// PlanCorrection records that a member says items are wrong. The values, old
// and new, go under a key of their own that dies with the correction; the fact
// goes in the membership class, and from then on the items are suspended. id
// is the correction's, chosen by the ledger.
func (r *Register) PlanCorrection(f *Fold, keys []KeyState, c *Correction, id string, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	if f.Withdrawn() || len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	if r.dormant(f, now) {
		return nil, isDormant()
	}
	if len(c.Changes) == 0 {
		return nil, invalid("changes_required", "changes", "name at least one item that is wrong")
	}
	policies := r.policiesOf(keys, now)
	var p *Policy
	items := make([]string, 0, len(c.Changes))
	values := make([]ChangeValue, 0, len(c.Changes))
	hasValues := false
	for i := range c.Changes {
		ch := &c.Changes[i]
		q, err := correctedItemPolicy(f, policies, c, i)
		if err != nil {
			return nil, err
		}
		if p == nil {
			p = q
		}
		items = append(items, ch.Item)
		values = append(values, ChangeValue(*ch))
		hasValues = hasValues || ch.Old != nil || ch.New != nil
	}
	key, ok := r.membershipKey(f, keys, p)
	if !ok {
		return nil, refuse(Conflict, "class_not_open", "member_id", "the member has no membership to correct anything in")
	}
	plan := &Plan{Recheck: true}
	if hasValues {
		k := KeyName{CorrectionClass, id}
		plan.create(k)
		plan.Entries = append(plan.Entries, Draft{k, Event{Kind: KindCorrectionValues, Correction: id, Changes: values}})
	}
	plan.Entries = append(plan.Entries, Draft{key, Event{
		Kind: KindCorrection, Policy: p.id, PolicyVersion: p.version, Items: items, Correction: id,
	}})
	if err := plan.fits(); err != nil {
		return nil, err
	}
	return r.settle(plan, f, keys, now), nil
}

// correctedItemPolicy checks one change and returns the policy of its item.
func correctedItemPolicy(f *Fold, policies []*Policy, c *Correction, i int) (*Policy, error) {
	ch := &c.Changes[i]
	field := index("changes", i)
	if slices.ContainsFunc(c.Changes[:i], func(o Change) bool { return o.Item == ch.Item }) {
		return nil, invalid("duplicate_item", field+".item", "the item is there twice; send one change an item")
	}
	for _, p := range policies {
		if it := p.byItem[ch.Item]; it != nil && it.Secret && (ch.Old != nil || ch.New != nil) {
			return nil, invalid("secret_value", field, "a value of a secret item is never recorded; send the item without old and new")
		}
	}
	// Under one policy the member may be of a kind that has the item, and under another not.
	var no error = invalid("unknown_item", field+".item", "no policy of the member has such an item; see the policy's items")
	for _, p := range policies {
		if slices.Contains(p.prohibited, ch.Item) {
			return nil, invalid("prohibited_item", field+".item", "the policy prohibits the item; there is nothing to correct")
		}
		it := p.byItem[ch.Item]
		if it == nil {
			continue
		}
		kind := f.kind(p.id)
		switch {
		case it.Secret && (ch.Old != nil || ch.New != nil):
			return nil, invalid("secret_value", field, "a value of a secret item is never recorded; send the item without old and new")
		case kind != "" && !slices.ContainsFunc(p.purposes, func(pu Purpose) bool { return pu.forKind(kind) && pu.has(ch.Item) }):
			no = invalid("item_not_for_member_kind", field+".item", "this kind of member has no such item; see the policy's purposes")
			continue
		case f.isSuspended(ch.Item):
			return nil, refuse(Conflict, "correction_open", field+".item", "the item is under correction already; record the outcome of that one first")
		}
		for _, v := range []*string{ch.Old, ch.New} {
			if v != nil && !utf8.ValidString(*v) {
				return nil, invalid("invalid_value", field, "old and new must be valid UTF-8")
			}
		}
		return p, nil
	}
	return nil, no
}

// PlanOutcome records how a correction ended and lifts the suspension. If the
// items were corrected, everybody who ever got one of them is to be told (GDPR
// 19), and the values stay until they are: who got it before an earlier
// correction was told the value that is wrong now, or has an even older one. If
// nobody has to be told, the values are destroyed at once.
func (r *Register) PlanOutcome(f *Fold, keys []KeyState, o *CorrectionOutcome, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	if f.Withdrawn() || len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	switch {
	case o.Outcome != OutcomeCorrected && o.Outcome != OutcomeRejected:
		return nil, invalid("invalid_outcome", "outcome", "must be corrected or rejected")
	case !isFreeText(o.Reason, maxReasonBytes):
		return nil, invalid("invalid_reason", "reason", "must be text of at most 2048 bytes")
	}
	c := f.correction(o.Correction)
	if c == nil {
		return nil, refuse(NotFound, "unknown_correction", "id", "the member has no such correction")
	}
	if c.done {
		return nil, refuse(Conflict, "correction_finished", "id", "the correction has its outcome already; open another one if the item is wrong again")
	}
	p, ok := r.InForce(c.policy, now)
	if !ok {
		return nil, refuse(Conflict, "class_not_open", "id", "the policy of the correction is not in force")
	}
	key, ok := r.membershipKey(f, keys, p)
	if !ok {
		return nil, refuse(Conflict, "class_not_open", "member_id", "the member has no membership to correct anything in")
	}
	plan := &Plan{Recheck: true, Entries: []Draft{{key, Event{
		Kind: KindCorrectionOutcome, Policy: p.id, PolicyVersion: p.version,
		Correction: c.id, Items: c.items, Outcome: o.Outcome, Reason: o.Reason,
	}}}}
	if o.Outcome == OutcomeCorrected {
		plan.Notify = f.holders(func(_ *disclosureState, item string) bool { return slices.Contains(c.items, item) })
		for _, n := range plan.Notify {
			plan.Entries[0].Event.Recipients = append(plan.Entries[0].Event.Recipients, n.Recipient)
		}
	}
	if k := (KeyName{CorrectionClass, c.id}); len(plan.Notify) == 0 && hasKey(keys, k) {
		plan.Destroy = append(plan.Destroy, k)
	}
	return r.settle(plan, f, keys, now), nil
}

// holders returns who got items of the member, one row a recipient in the
// order of first disclosure, with the items that want lets through.
func (f *Fold) holders(want func(d *disclosureState, item string) bool) []Notify {
	var rows []Notify
	for i := range f.disclosures {
		d := &f.disclosures[i]
		for _, it := range d.items {
			if !want(d, it) {
				continue
			}
			j := slices.IndexFunc(rows, func(n Notify) bool { return n.Recipient == d.recipient })
			if j < 0 {
				rows = append(rows, Notify{Recipient: d.recipient})
				j = len(rows) - 1
			}
			n := &rows[j]
			if !slices.Contains(n.Items, it) {
				n.Items = append(n.Items, it)
			}
			n.DisclosedAt, n.Index = d.at, d.index
		}
	}
	return rows
}
