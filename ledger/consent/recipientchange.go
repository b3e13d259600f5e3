package consent

import (
	"slices"
	"strings"
	"time"
)

// maxRecipientText bounds the texts of a recipient, and maxRecipientBytes all
// of it, so that an entry can hold the change.
const (
	maxBusinessBytes  = 256
	maxRecipientText  = 2048
	maxRecipientBytes = 48 << 10
)

// WithRecipient returns the register with a change of who gets data, posted at
// the time given. It refuses, with a *Refusal: a change that is not announced
// or has no reason; one that takes effect before the notice period of the
// version in force is over, counted from the later of announcement and posting
// (an end waits for nothing, because giving less never does); an id that was
// another company's, because consents name ids; and more for a third party, or
// for an authority that consents may name, than members were told, which needs
// a new version of the policy.
//
// The change is in force from the start of its day or from its posting,
// whichever is later, under the versions that are there, and takes the place
// of what was announced for the same recipient before and has not taken
// effect. A version that is posted later states its recipients anew.
func (r *Register) WithRecipient(c *RecipientChange, postedAt time.Time) (*Register, error) {
	if len(r.policies[c.Policy]) == 0 {
		return nil, invalid("unknown_policy", "policy", "no such policy; see GET /v1/policies")
	}
	known := r.statedOf(c.Policy, c.ID, postedAt)
	rec, err := changedRecipient(c, known)
	if err != nil {
		return nil, err
	}
	v := r.nearest(c.Policy, postedAt)
	if err := r.changeInTime(c, &rec, v, postedAt); err != nil {
		return nil, err
	}
	if !c.Ended {
		asks := slices.ContainsFunc(r.policies[c.Policy], func(v Posted) bool {
			return slices.ContainsFunc(rec.Purposes, func(id string) bool { return v.byPurpose[id] != nil && v.byPurpose[id].AsksConsent() })
		})
		if err := mayBecome(known, &rec, asks); err != nil {
			return nil, err
		}
		if err := v.recipientFault(&rec); err != nil {
			err.Field = "recipient." + err.Field
			return nil, err
		}
	}
	n := r.clone()
	one := postedChange{
		rec: rec, ended: c.Ended, versions: len(r.policies[c.Policy]),
		announced: c.Announced, reason: c.Reason, postedAt: postedAt, effectiveAt: dayStart(rec.from, r.loc),
	}
	if postedAt.After(one.effectiveAt) {
		one.effectiveAt = postedAt
	}
	n.changes[c.Policy] = append(slices.Clip(r.changes[c.Policy]), one)
	return n, nil
}

// nearest returns the version that is in force, or the first if none is yet.
func (r *Register) nearest(policy string, at time.Time) *Posted {
	if v, _ := r.posted(policy, at); v != nil {
		return v
	}
	return &r.policies[policy][0]
}

// statedOf returns what an id was last said to be: first the newest word on it
// that there is, then that under each version in force or to come.
func (r *Register) statedOf(policy, id string, at time.Time) []*Recipient {
	var list []*Recipient
	vs, changes := r.policies[policy], r.changes[policy]
	var over *postedChange
	for i := range changes {
		if changes[i].rec.ID == id {
			over = &changes[i]
		}
	}
	for i := len(vs) - 1; i >= 0 && len(list) == 0; i-- {
		if over != nil && over.versions > i {
			list = append(list, &over.rec)
		} else if rec := vs[i].byRec[id]; rec != nil {
			list = append(list, rec)
		}
	}
	for i := r.nearest(policy, at).place; i < len(vs); i++ {
		if over != nil && over.versions > i {
			list = append(list, &over.rec)
		} else if rec := vs[i].byRec[id]; rec != nil {
			list = append(list, rec)
		}
	}
	return list
}

// changedRecipient checks the form of a change and returns the recipient that
// it makes. known is what the id stands for now.
func changedRecipient(c *RecipientChange, known []*Recipient) (Recipient, error) {
	rec := c.Recipient
	rec.ID = c.ID
	if c.Ended && len(known) > 0 {
		from := rec.From
		rec = *known[0]
		rec.From = from
	}
	from, err := ParseDate(rec.From)
	_, errAnnounced := ParseDate(c.Announced)
	switch {
	case !isName(c.ID):
		return rec, invalid("invalid_recipient", "id", "a recipient is a name of 1 to 64 of a-z, 0-9, _ and -")
	case c.Ended && len(known) == 0:
		return rec, invalid("unknown_recipient", "id", "the policy has no such recipient; see GET /v1/recipients")
	case c.Announced == "":
		return rec, invalid("missing_field", "announced", "missing; add the date on which members were or will be told of the change")
	case errAnnounced != nil:
		return rec, invalid("invalid_value", "announced", "a date is written YYYY-MM-DD and must exist")
	case strings.TrimSpace(c.Reason) == "":
		return rec, invalid("missing_field", "reason", "missing; add why the recipient changes")
	case !isFreeText(c.Reason, maxReasonBytes):
		return rec, invalid("invalid_reason", "reason", "must be text of at most 2048 bytes")
	case rec.From == "":
		return rec, invalid("missing_field", "recipient.from", "missing; add the day from which the change applies")
	case err != nil:
		return rec, invalid("invalid_value", "recipient.from", "a date is written YYYY-MM-DD and must exist")
	case c.Announced > rec.From:
		return rec, invalid("invalid_value", "announced", "a change is announced on or before the day from which it applies")
	}
	rec.from = from.day()
	if c.Ended {
		return rec, nil
	}
	rec.Purposes, rec.Items = slices.Clone(rec.Purposes), slices.Clone(rec.Items) // they are the caller's
	return rec, recipientForm(&rec)
}

// recipientForm checks what a policy file's decoder checks of a recipient.
func recipientForm(rec *Recipient) error {
	switch {
	case strings.TrimSpace(rec.Name) == "":
		return invalid("missing_field", "recipient.name", "missing; add the recipient's name")
	case !isFreeText(rec.Name, maxRecipientText):
		return invalid("invalid_value", "recipient.name", "must be text of at most 2048 bytes")
	case strings.TrimSpace(rec.Business) == "":
		return invalid("missing_field", "recipient.business", "missing; add the recipient's main business")
	case !isFreeText(rec.Business, maxBusinessBytes):
		return invalid("invalid_value", "recipient.business", "has at most 256 bytes; it is copied into every disclosure")
	case rec.Kind != RecipientProcessor && rec.Kind != RecipientThirdParty && rec.Kind != RecipientAuthority:
		return invalid("invalid_value", "recipient.kind", "must be one of processor, third_party, authority")
	case !isFreeText(rec.Country, maxRecipientText):
		return invalid("invalid_value", "recipient.country", "must be text of at most 2048 bytes")
	}
	for _, list := range []struct {
		path  string
		names []string
	}{{"recipient.purposes", rec.Purposes}, {"recipient.items", rec.Items}} {
		for i, name := range list.names {
			if slices.Contains(list.names[:i], name) {
				return invalid("duplicate_field", index(list.path, i), "the name is there twice; remove one")
			}
		}
	}
	if stringsSize(rec.Purposes)+stringsSize(rec.Items) > maxRecipientBytes {
		return invalid("too_large", "recipient", "the change holds more than an entry can; name fewer items or purposes")
	}
	return nil
}

// changeInTime holds a change to the notice that the version in force promises.
func (r *Register) changeInTime(c *RecipientChange, rec *Recipient, v *Posted, postedAt time.Time) error {
	today := dayAt(postedAt, r.loc)
	if c.Ended {
		if rec.from < today {
			return invalid("notice_too_short", "recipient.from", "nothing is changed for the past; the earliest date is that of today")
		}
		return nil
	}
	announced, _ := ParseDate(c.Announced)
	return noticeOver("recipient.from", max(announced.day(), today), v.noticeDays, rec.from)
}

// noticeOver refuses what would take effect before a notice period is over.
func noticeOver(field string, told Day, days int, effective Day) error {
	if earliest := told + Day(days); effective < earliest {
		y, m, d := earliest.date()
		return invalidf("notice_too_short", field,
			"the policy in force promises %d days of notice from announcement and posting; the earliest date is %04d-%02d-%02d", days, y, m, d)
	}
	return nil
}

// mayBecome holds a recipient to what its id stood for. asks says that it gets
// something for a purpose that rests on consent: then a consent may name it,
// though it is no third party.
func mayBecome(known []*Recipient, rec *Recipient, asks bool) error {
	for _, o := range known {
		if o.Name != rec.Name || o.Kind != rec.Kind || o.Country != rec.Country {
			return refuse(Conflict, "recipient_id_taken", "id",
				"the id stands for another recipient (name, kind or country), and consents name ids; use a new id, or post a new version of the policy")
		}
	}
	if rec.Kind == RecipientProcessor || rec.Kind == RecipientAuthority && !asks {
		return nil
	}
	for _, o := range known {
		if o.Business != rec.Business || !covers(o.Purposes, rec.Purposes) || !covers(o.Items, rec.Items) {
			return invalid("needs_policy_version", "recipient",
				"members were told otherwise of this recipient's business, purposes or items; post a new version of the policy, which asks them again")
		}
	}
	return nil
}

// recipientFault says what is wrong with a recipient under a policy; the field
// is below the recipient.
func (p *Policy) recipientFault(rec *Recipient) *Refusal {
	if len(rec.Purposes) == 0 {
		return invalid("missing_field", "purposes", "missing; add at least one purpose")
	}
	if len(rec.Items) == 0 {
		return invalid("missing_field", "items", "missing; add at least one item")
	}
	for i, id := range rec.Purposes {
		switch pu := p.byPurpose[id]; {
		case pu == nil:
			return invalid("unknown_name", index("purposes", i), "no such purpose under purposes; add it there")
		case rec.Kind == RecipientThirdParty && pu.Kind != PurposeProvision && pu.AsksConsent():
			return invalid("invalid_value", index("purposes", i),
				"a third party gets nothing for a purpose that rests on consent unless its kind is provision; give it a purpose of that kind, which is a decision of its own")
		}
	}
	for i, id := range rec.Items {
		switch it := p.byItem[id]; {
		case it == nil:
			return invalid("unknown_name", index("items", i), "no such item under items; add it there")
		case it.Secret:
			return invalid("secret_item", index("items", i), "a secret item is given to nobody; remove it")
		case !slices.ContainsFunc(rec.Purposes, func(pu string) bool { return p.byPurpose[pu].has(id) }):
			return invalid("unknown_name", index("items", i), "none of the recipient's purposes has the item; add it to one or remove it here")
		}
	}
	return nil
}
