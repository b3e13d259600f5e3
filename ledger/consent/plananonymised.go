package consent

import "time"

// PlanAnonymised checks that data which identifies nobody may be given to a
// recipient, and returns the event that records it. It is of no member: no
// consent carries it, and no correction, suspension or dormancy stops it. It
// rests on an exemption of the policy with anonymised: true. The checks run in
// the order of other disclosures.
func (r *Register) PlanAnonymised(d *Disclosure, now time.Time) (Event, error) {
	switch {
	case !d.Member.IsZero():
		return Event{}, invalid("member_id_not_allowed", "member_id", "an anonymised disclosure is about nobody; send it without member_id")
	case d.Form != FormAnonymised:
		return Event{}, invalid("invalid_form", "form", "must be anonymised where there is no member")
	case d.Reference != "":
		return Event{}, invalid("invalid_reference", "reference", "an anonymised disclosure is about no order or event; leave reference out")
	}
	if err := disclosureFacts(d, now); err != nil {
		return Event{}, err
	}
	s, err := r.anonymisedPurpose(d, now)
	if err != nil {
		return Event{}, err
	}
	if d.Basis == "" {
		return Event{}, forbid("basis_not_allowed", "basis", "name the exemption of the policy, one with anonymised: true, that an anonymised disclosure rests on")
	}
	rec, ex, err := r.disclosureRecipient(s, d, now)
	if err != nil {
		return Event{}, err
	}
	if err := checkDisclosedItems(NewFold(), s, ex, d.Items); err != nil {
		return Event{}, err
	}
	e := Event{
		Kind: KindDisclosure, Policy: s.posted.id, PolicyVersion: s.posted.version, OccurredAtMs: d.OccurredAt.UnixMilli(),
		Purposes: []string{s.purpose.ID}, Items: d.Items, Recipient: d.Recipient, Basis: ex.ID, Form: FormAnonymised,
	}
	if rec != nil {
		e.Business = rec.Business
	}
	if err := (&Plan{Entries: []Draft{{Event: e}}}).fits(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// anonymisedPurpose finds the one policy in force that states the purpose.
func (r *Register) anonymisedPurpose(d *Disclosure, now time.Time) (*statement, error) {
	policy, purpose := splitName(d.Purpose)
	var found *statement
	for _, id := range r.ids {
		v, n := r.posted(id, now)
		if v == nil || policy != "" && policy != id || v.byPurpose[purpose] == nil {
			continue
		}
		if found != nil {
			return nil, invalid("purpose_ambiguous", "purpose", "several policies in force state the purpose; write policy/purpose")
		}
		found = &statement{v, n, v.byPurpose[purpose], nil}
	}
	if found == nil {
		return nil, purposeNotStated()
	}
	return found, nil
}
