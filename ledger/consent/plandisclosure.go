package consent

import (
	"slices"
	"time"
)

func forbid(code, field, message string) *Refusal { return refuse(Forbidden, code, field, message) }

// PlanDisclosure checks that a member's items may be given to a recipient, and
// records that they are. The checks run in this order and the first that says
// no is the answer, with nothing recorded: purpose_not_stated,
// basis_not_allowed, recipient_not_registered, recipient_not_allowed,
// item_suspended, processing_suspended, dormant, no_effective_consent,
// item_not_consented, recipient_not_consented.
//
// An exemption of the policy (basis) stands in for the consent. Where its
// recipient is an authority it stands in for the register too, and where the
// policy says so (despite_suspension) it also covers items under correction, a
// member whose processing is suspended, and one who is dormant.
//
// Of a member who has left, what is kept goes to an authority by such an
// exemption, and to nobody else: it is kept for the law alone (PIPA 21(3)).
func (r *Register) PlanDisclosure(f *Fold, keys []KeyState, d *Disclosure, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	if f.withdrawn && d.Basis == "" || f.Empty() && len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	if err := disclosureForm(d, now); err != nil {
		return nil, err
	}
	s, rec, ex, err := r.disclosable(f, d, now)
	if err != nil {
		return nil, err
	}
	if f.withdrawn && !ex.Authority {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	p := s.posted.Policy
	if ex == nil {
		if err := r.disclosureConsent(f, s, rec, d, "", now); err != nil {
			return nil, err
		}
	}
	key, refusal := r.recordingKey(f, keys, p, s.purpose, d.Reference)
	if refusal != nil {
		return nil, refusal
	}
	if ex == nil && d.Reference != "" {
		// What was said of another order or event does not carry this one.
		if err := r.restOnItsOwn(f, s, rec, d, key, now); err != nil {
			return nil, err
		}
	}
	e := Event{
		Kind: KindDisclosure, Policy: p.id, PolicyVersion: p.version, OccurredAtMs: d.OccurredAt.UnixMilli(),
		Purposes: []string{s.purpose.ID}, Items: d.Items, Recipient: d.Recipient, Basis: s.purpose.Basis, Reference: d.Reference,
	}
	if d.Form != FormIdentified {
		e.Form = d.Form
	}
	if rec != nil {
		e.Business = rec.Business
	}
	if ex != nil {
		e.Basis = ex.ID
	} else {
		index := s.state.index
		e.RestsOn = &index
	}
	plan := &Plan{Entries: []Draft{{key, e}}}
	if err := plan.fits(); err != nil {
		return nil, err
	}
	return plan, nil
}

// checkSuspensions refuses what is suspended or kept apart, unless an exemption
// covers that too.
func (r *Register) checkSuspensions(f *Fold, ex *Exemption, items []string, now time.Time) error {
	switch {
	case ex != nil && ex.DespiteSuspension:
		return nil
	case f.anySuspended(items):
		return forbid("item_suspended", "items", "an item is under correction; wait for its outcome or leave it out")
	case f.processingSuspended() != nil:
		return forbid("processing_suspended", "member_id", "the member asked to suspend processing; wait until that request is refused or lifted")
	case r.dormant(f, now):
		return forbid("dormant", "member_id", "the member is dormant, and what is held of them is kept apart; record with POST /v1/reactivations that they came back first")
	}
	return nil
}

// disclosable makes every check but the one for the consent. What it has found
// by then comes with a refusal, too.
func (r *Register) disclosable(f *Fold, d *Disclosure, now time.Time) (s *statement, rec *Recipient, ex *Exemption, err error) {
	if s, err = r.disclosedPurpose(f, d, now); err != nil {
		return nil, nil, nil, err
	}
	if rec, ex, err = r.disclosureRecipient(s, d, now); err != nil {
		return s, nil, nil, err
	}
	if err = checkDisclosedItems(f, s, ex, d.Items); err == nil {
		err = r.checkSuspensions(f, ex, d.Items, now)
	}
	return s, rec, ex, err
}

func disclosureForm(d *Disclosure, now time.Time) error {
	if err := disclosureFacts(d, now); err != nil {
		return err
	}
	switch d.Form {
	case "", FormIdentified, FormPseudonymised:
		return nil
	case FormAnonymised:
		return invalid("member_id_not_allowed", "member_id", "an anonymised disclosure is about nobody; send it without member_id")
	}
	return invalid("invalid_form", "form", "must be identified, pseudonymised or anonymised")
}

// disclosureFacts checks what is said of any disclosure.
func disclosureFacts(d *Disclosure, now time.Time) error {
	switch {
	case len(d.Items) == 0:
		return invalid("items_required", "items", "name the items that are given")
	case d.Purpose == "":
		return invalid("purpose_required", "purpose", "name the purpose that the items are given for")
	case !isName(d.Recipient):
		return invalid("invalid_recipient", "recipient", "a recipient is a name of 1 to 64 of a-z, 0-9, _ and -")
	case d.OccurredAt.IsZero():
		return invalid("occurred_at_required", "occurred_at", "say when the items were given")
	case d.OccurredAt.After(now.Add(maxAhead)):
		return invalid("occurred_at_in_future", "occurred_at", "is more than five minutes ahead; check the clock of the sender")
	case d.Reference != "" && !isReference(d.Reference):
		return invalid("invalid_reference", "reference", "a reference has 1 to 256 bytes of visible text in Unicode normalization form C (NFC), without space around it")
	}
	if i := firstTwice(d.Items); i >= 0 {
		return invalid("duplicate_item", index("items", i), "the item is there twice; remove one")
	}
	return nil
}

// firstTwice returns the place of the first name that is in a list a second
// time, -1 if none is. A call can hold thousands, and nothing else about them
// has been checked: to compare each with each would take half a second.
func firstTwice(names []string) int {
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if seen[name] {
			return i
		}
		seen[name] = true
	}
	return -1
}

// disclosedPurpose finds the one statement that the disclosure is about.
func (r *Register) disclosedPurpose(f *Fold, d *Disclosure, now time.Time) (*statement, error) {
	var found *statement
	several := false
	r.statements(f, d.Purpose, now, func(s *statement) bool {
		if found != nil {
			several = true
			return false
		}
		c := *s
		found = &c
		return true
	})
	switch {
	case found == nil:
		return nil, purposeNotStated()
	case several:
		return nil, invalid("purpose_ambiguous", "purpose", "several policies that the member decided on state the purpose; write policy/purpose")
	}
	return found, nil
}

func purposeNotStated() *Refusal {
	return forbid("purpose_not_stated", "purpose", "no policy in force states the purpose; it must be stated before anything is given for it")
}

// disclosureRecipient checks the basis and the recipient. rec is nil for an
// authority that is not on the register, ex for a disclosure that rests on the
// purpose's own basis.
func (r *Register) disclosureRecipient(s *statement, d *Disclosure, now time.Time) (rec *Recipient, ex *Exemption, err error) {
	p := s.posted.Policy
	rec = r.recipient(s.posted, d.Recipient, now)
	if d.Basis != "" {
		ex = p.byEx[d.Basis]
		switch {
		case ex == nil:
			return nil, nil, forbid("basis_not_allowed", "basis", "the policy in force lists no such exemption; leave basis out to rest on the purpose's own")
		case len(ex.Purposes) > 0 && !slices.Contains(ex.Purposes, s.purpose.ID):
			return nil, nil, forbid("basis_not_allowed", "basis", "the exemption does not cover this purpose")
		case d.Form == FormAnonymised && !ex.Anonymised:
			return nil, nil, forbid("basis_not_allowed", "basis", "the exemption is for data about members; an anonymised disclosure rests on one with anonymised: true")
		case ex.Anonymised && d.Form != FormAnonymised:
			return nil, nil, forbid("basis_not_allowed", "basis", "the exemption is for anonymised data only; send the disclosure with form: anonymised and without member_id")
		case ex.Authority && r.knownAsOther(d.Recipient, now):
			return nil, nil, forbid("basis_not_allowed", "basis", "the exemption is for authorities, and the recipient is none")
		}
	}
	authority := ex != nil && ex.Authority
	switch {
	case rec == nil && !authority:
		return nil, nil, forbid("recipient_not_registered", "recipient", "the recipient is not on the register in force; announce and add it first")
	case rec != nil && !authority && !rec.allows(s.purpose.ID, d.Items):
		return nil, nil, forbid("recipient_not_allowed", "recipient", "the register does not let the recipient have these items for this purpose; leave items out or announce the change")
	}
	return rec, ex, nil
}

// checkDisclosedItems holds items to the policy, and those that an exemption
// covers to the purpose, as the consent would: to what it names now or named
// when the member decided.
func checkDisclosedItems(f *Fold, s *statement, ex *Exemption, items []string) error {
	p := s.posted.Policy
	for i, id := range items {
		switch it := p.byItem[id]; {
		case slices.Contains(p.prohibited, id):
			return invalid("prohibited_item", index("items", i), "the policy prohibits the item")
		case it == nil:
			return invalid("unknown_item", index("items", i), "the policy has no such item; see its items")
		case it.Secret:
			return invalid("secret_item", index("items", i), "a secret item is given to nobody; leave it out")
		case ex != nil && !s.purpose.has(id) && !f.named(p.id, s.purpose.ID, id):
			return invalid("unknown_item", index("items", i), "the purpose has no such item; name the purpose that it is held for")
		}
	}
	return nil
}

// restOnItsOwn makes s about the word on the order or event of a disclosure, and
// refuses what that does not carry: the word under the key that it is recorded
// under, or, where the class has no key for each, any that speaks of it.
func (r *Register) restOnItsOwn(f *Fold, s *statement, rec *Recipient, d *Disclosure, key KeyName, now time.Time) error {
	if key.Reference == "" {
		return r.disclosureConsent(f, s, rec, d, d.Reference, now)
	}
	s.state = f.used(key).word(s.purpose.ID)
	return r.carriesDisclosure(s, rec, d, now)
}

// disclosureConsent looks for a word of the member that carries the disclosure,
// of an order or event if one is named, and makes it the one that s is about.
// The refusal is that of the newest.
func (r *Register) disclosureConsent(f *Fold, s *statement, rec *Recipient, d *Disclosure, reference string, now time.Time) error {
	f.about(s, reference)
	err := r.carriesDisclosure(s, rec, d, now)
	if err == nil {
		return nil
	}
	other := *s
	for w := range f.yeses(s, reference) {
		other.state = w
		if r.carriesDisclosure(&other, rec, d, now) == nil {
			*s = other
			return nil
		}
	}
	return err
}

func (r *Register) carriesDisclosure(s *statement, rec *Recipient, d *Disclosure, now time.Time) error {
	if reason, ok := r.inForce(s, now); !ok {
		return &Refusal{
			Kind: Forbidden, Code: "no_effective_consent", Field: "purpose", Reason: reason,
			Message: "nothing that the member decided carries the disclosure now (see reason); ask the member, or name an exemption of the policy with basis",
		}
	}
	if !coversItems(s, d.Items) {
		return forbid("item_not_consented", "items", "the member did not consent to one of the items for this purpose; leave it out or ask the member")
	}
	if !coversRecipient(s, rec) {
		return forbid("recipient_not_consented", "recipient", "the member did not consent to this recipient; ask the member")
	}
	return nil
}

// PlanAccess records that somebody looked at a member's data. It is written in
// the access class, which outlives the membership. Its key is created if it is
// not there: it may have been destroyed empty when the member left, and what
// is kept is not to be looked at without a record.
func (r *Register) PlanAccess(f *Fold, keys []KeyState, a *Access, now time.Time) (*Plan, error) {
	switch {
	case a.Who == "" || !isFreeText(a.Who, 256):
		return nil, invalid("invalid_access", "who", "say who looks, in at most 256 bytes")
	case a.Reason == "":
		return nil, invalid("access_reason_required", "Access-Reason", "say why the data is looked at, in the header Access-Reason")
	case !isFreeText(a.Reason, maxReasonBytes):
		return nil, invalid("invalid_access_reason", "Access-Reason", "must be text of at most 2048 bytes")
	case !isFreeText(a.From, 256):
		return nil, invalid("invalid_access", "from", "must be text of at most 256 bytes")
	case !isFreeText(a.What, 256):
		return nil, invalid("invalid_access", "what", "must be text of at most 256 bytes")
	}
	if len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	key := KeyName{Class: AccessClass}
	if under := r.policiesOf(keys, now); len(under) > 0 {
		key = under[0].accessKey()
	}
	e := Event{Kind: KindAccess, Who: a.Who, From: a.From, What: a.What, Reason: a.Reason}
	plan := &Plan{Entries: []Draft{{key, e}}, Create: []KeyName{key}}
	if rule := r.rules[key.Class]; f.Withdrawn() && !rule.Ratchet() && !hasKey(keys, key) {
		// What it counts from has been, and no withdrawal will give it an end any more.
		plan.SetDue = []KeyDue{{key, r.DayStart(r.DiesOn(rule, r.Day(now)))}}
	}
	return r.settle(plan, f, keys, now), nil
}
