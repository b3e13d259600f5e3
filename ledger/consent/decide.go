package consent

import (
	"slices"
	"strings"
	"time"
)

// A statement is a purpose as a policy in force states it, and what the member
// decided on it.
type statement struct {
	posted  *Posted
	version int // posted's place among the versions
	purpose *Purpose
	state   *purposeState // nil: no decision
}

// splitName takes "haim/marketing" apart. A plain name has no policy.
func splitName(name string) (policy, purpose string) {
	if p, q, ok := strings.Cut(name, "/"); ok {
		return p, q
	}
	return "", name
}

// statements calls f with each policy in force that states the purpose until f
// returns false. If the member decided on the purpose under some of them, the
// others are left out: their consent was never asked for.
func (r *Register) statements(fold *Fold, name string, now time.Time, f func(*statement) bool) {
	policy, purpose := splitName(name)
	var first statement // stated, but not decided on
	decided := false
	for _, id := range r.ids {
		if policy != "" && policy != id {
			continue
		}
		v, n := r.posted(id, now)
		if v == nil {
			continue
		}
		pu := v.byPurpose[purpose]
		if pu == nil {
			continue
		}
		s := statement{v, n, pu, nil}
		if fold != nil {
			s.state = fold.purpose(id, purpose)
		}
		if s.state != nil {
			decided = true
			if !f(&s) {
				return
			}
		} else if first.posted == nil {
			first = s
		}
	}
	if !decided && first.posted != nil {
		f(&first)
	}
}

// Decide answers whether a purpose may use items of a member, or give them to
// a recipient. f is nil for a member who is not known. It says yes only if an
// entry of the member grants it: the answer names that entry and its policy
// version. Checks run in the order of disclosures: purpose, recipient's place
// in the register, open corrections, consent, items, recipients.
//
// A question without items asks about all that the member consented to for
// the purpose, so one of them under correction is enough for a no. A plain
// purpose name that several policies state is allowed only if each that the
// member decided on allows it; "policy/purpose" asks about one.
func (r *Register) Decide(f *Fold, q *Question, now time.Time) Answer {
	if f == nil {
		return Answer{Reason: ReasonUnknownMember}
	}
	if f.withdrawn {
		return Answer{Reason: ReasonWithdrawn}
	}
	a := Answer{Reason: ReasonPurposeNotStated}
	r.statements(f, q.Purpose, now, func(s *statement) bool {
		a = r.decide(f, s, q, now)
		return a.Allowed
	})
	return a
}

func (r *Register) decide(f *Fold, s *statement, q *Question, now time.Time) Answer {
	a := Answer{PolicyVersion: s.posted.version}
	items := q.Items
	if len(items) == 0 && s.state != nil {
		items = s.state.items
	}
	var rec *Recipient
	if q.Recipient != "" {
		rec = r.recipient(s.posted, q.Recipient, now)
		if rec == nil || !rec.allows(s.purpose.ID, items) {
			a.Reason = ReasonRecipientNotRegistered
			return a
		}
	}
	if f.anySuspended(items) {
		a.Reason = ReasonItemSuspended
		a.Index = f.suspendedBy(items)
		return a
	}
	reason, ok := r.inForce(s)
	if s.state != nil {
		index := s.state.index
		a.Index, a.PolicyVersion = &index, s.state.version
	}
	a.Reason = reason
	if !ok {
		return a
	}
	if !coversItems(s, items) {
		a.Reason = ReasonItemNotConsented
		return a
	}
	if rec != nil && !coversRecipient(s, rec) {
		a.Reason = ReasonRecipientNotConsented
		return a
	}
	a.Allowed = true
	return a
}

// inForce says whether the decision on a purpose carries it now.
func (r *Register) inForce(s *statement) (reason string, ok bool) {
	switch {
	case s.state == nil:
		return ReasonNoConsent, false
	case s.state.decision == stateRefused:
		return ReasonRefused, false
	case s.state.decision == stateWithdrawn:
		return ReasonWithdrawn, false
	case !s.purpose.AsksConsent() && !r.asked(s.posted.id, s.state):
		return ReasonBasisInForce, true
	case r.reconsent(s.posted.id, s.state.version, s.purpose.ID, s.version):
		return ReasonReconsentRequired, false
	}
	return ReasonConsentInForce, true
}

// asked reports whether the decision was a choice: its version rested the
// purpose on consent. It stays one when a later version names another basis.
func (r *Register) asked(policy string, s *purposeState) bool {
	p, ok := r.Version(policy, s.version)
	return ok && p.byPurpose[s.purpose] != nil && p.byPurpose[s.purpose].AsksConsent()
}

// coversItems reports whether the decision names every item, and the policy
// in force still has each for the purpose.
func coversItems(s *statement, items []string) bool {
	for _, it := range items {
		if !slices.Contains(s.state.items, it) || !s.purpose.has(it) {
			return false
		}
	}
	return true
}

// coversRecipient reports whether the decision lets the recipient have the
// items: a processor acts for the controller, and a purpose that does not rest
// on consent gives to whom its policy says; anybody else needs to be named.
func coversRecipient(s *statement, rec *Recipient) bool {
	return rec.Kind == RecipientProcessor || !s.purpose.AsksConsent() || slices.Contains(s.state.recipients, rec.ID)
}

// allows reports whether the register lets the recipient have the items for
// the purpose.
func (rec *Recipient) allows(purpose string, items []string) bool {
	if !slices.Contains(rec.Purposes, purpose) {
		return false
	}
	for _, it := range items {
		if !slices.Contains(rec.Items, it) {
			return false
		}
	}
	return true
}

// suspendedBy returns the index of the correction that suspends one of items.
func (f *Fold) suspendedBy(items []string) *uint64 {
	for _, s := range f.suspended {
		if slices.Contains(items, s.item) {
			index := s.index
			return &index
		}
	}
	return nil
}
