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
// returns false. If the member is under some of them, the others are left out:
// they are no policies of this member. One that the member is under counts
// whether or not they decided on the purpose: a decision can be destroyed, and
// what it forbade must not be allowed by that.
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
		if s.state != nil || fold != nil && fold.kind(id) != "" {
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
// in the register, open corrections, suspended processing, dormancy, consent,
// items, recipients.
//
// A question without items asks about all that a yes of the member names, and
// the answer's index says which yes. Last of all, an item under correction is
// enough for a no if the policy in force names it for the purpose, whether or
// not a yes does: a yes that names it can be destroyed, and an older one must
// not be what makes a yes of the no. A plain
// purpose name that several policies state is allowed only if each that the
// member is under allows it; "policy/purpose" asks about one. Of a purpose that
// was decided on for several orders or events, one yes that carries the
// question is enough; with a reference only the yes to that one counts.
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
	f.about(s, q.Reference)
	a := r.carries(f, s, q, now)
	if a.Allowed {
		return a
	}
	other := *s
	for w := range f.yeses(s, q.Reference) {
		other.state = w
		if b := r.carries(f, &other, q, now); b.Allowed {
			return b
		}
	}
	return a
}

// carries answers a question by the one word of the member that s is about.
func (r *Register) carries(f *Fold, s *statement, q *Question, now time.Time) Answer {
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
	if index := f.suspendedBy(items); index != nil {
		a.Reason, a.Index = ReasonItemSuspended, index
		return a
	}
	if q := f.processingSuspended(); q != nil {
		index := q.index
		a.Reason, a.Index = ReasonProcessingSuspended, &index
		return a
	}
	if r.dormant(f, now) {
		a.Reason = ReasonDormant
		return a
	}
	reason, ok := r.inForce(s, now)
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
	if len(q.Items) == 0 {
		if index := f.suspends(s.purpose.has); index != nil {
			return Answer{Reason: ReasonItemSuspended, Index: index, PolicyVersion: s.posted.version}
		}
	}
	a.Allowed = true
	return a
}

// inForce says whether the decision on a purpose carries it now.
func (r *Register) inForce(s *statement, now time.Time) (reason string, ok bool) {
	switch {
	case s.state == nil || r.ranOut(s.state, now):
		return ReasonNoConsent, false
	case s.state.decision == stateAsk:
		return ReasonAskEachTime, false
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

// ranOut reports whether a decision stands in an entry whose time is up, and
// which is only there because of a hold or until the next sweep. What is kept
// for another reason is no ground to use anything.
func (r *Register) ranOut(s *purposeState, now time.Time) bool {
	rule, ok := r.rules[s.key.Class]
	if !ok || !rule.Ratchet() || now.Sub(s.at) < time.Duration(28*rule.Keep.Months+rule.Keep.Days)*24*time.Hour {
		return false // at a glance
	}
	return r.DiesOn(rule, r.Day(s.at)) <= r.Day(now)
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
