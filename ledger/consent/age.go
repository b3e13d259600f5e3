package consent

import (
	"slices"
	"time"
)

// An ageState is what was last said of the member's age under a policy, by a
// guardian or otherwise.
type ageState struct {
	policy, version string
	check           AgeCheck
	index           uint64
}

func (f *Fold) applyAge(index uint64, e *Event) {
	s := ageState{e.Policy, e.PolicyVersion, e.Age, index}
	switch {
	case e.Guardian != nil && e.Age != AgeByBirthDate:
		s.check = AgeByGuardian // a guardian of who was shown to be old enough changes nothing
	case e.Age == 0:
		return
	}
	for i := range f.ages {
		if o := &f.ages[i]; o.policy == s.policy && (o.check == AgeByGuardian) == (s.check == AgeByGuardian) {
			f.ages[i] = s
			return
		}
	}
	f.ages = append(f.ages, s)
	f.bytes += 56 + len(s.policy) + len(s.version)
}

// oldEnough reports whether a statement says that the member has the age that a
// policy asks for. Policies, and the versions of one, may ask for different ages.
func (r *Register) oldEnough(s *ageState, p *Policy) bool {
	under, ok := r.Version(s.policy, s.version)
	return ok && s.check != AgeByGuardian && under.minimumAge >= p.minimumAge
}

// aged reports whether the age was stated to a policy as it asks for it now.
func (r *Register) aged(f *Fold, p *Policy) bool {
	for i := range f.ages {
		if s := &f.ages[i]; s.policy == p.id && (s.check == AgeByGuardian || r.oldEnough(s, p)) {
			return true
		}
	}
	return false
}

// guarded reports whether the member is too young to consent alone under a
// policy: a guardian consented for them, and nothing later says that they are
// old enough for this one.
func (r *Register) guarded(f *Fold, p *Policy) bool {
	var guardian, alone uint64
	found, grown := false, false
	for i := range f.ages {
		switch s := &f.ages[i]; {
		case s.check == AgeByGuardian:
			guardian, found = max(guardian, s.index), true
		case r.oldEnough(s, p):
			alone, grown = max(alone, s.index), true
		}
	}
	return found && (!grown || alone < guardian)
}

// consentAge holds the member to the policy's least age, which is stated with
// the first consent under it, and again where a version asks for more. The birth
// date is looked at here and nowhere else.
func (r *Register) consentAge(f *Fold, p *Policy, c *Consent, now time.Time, e *Event) error {
	if c.Guardian != nil {
		if err := guardianProof(p, c.Guardian, now, e); err != nil {
			return err
		}
	}
	if p.minimumAge == 0 {
		return nil
	}
	switch {
	case c.BirthDate != nil:
		today, b := r.Day(now), *c.BirthDate
		if b.day() > today || b.Year < 1850 {
			return invalid("invalid_birth_date", "birth_date", "must be a date of birth, not in the future")
		}
		// The birthday of 29 February falls on 1 March in common years.
		if dayOf(b.Year+p.minimumAge, b.Month, b.Day) > today {
			switch {
			case !p.guardian:
				return invalid("under_age", "birth_date", "the policy does not accept members of that age; keep nothing of them")
			case c.Guardian == nil:
				return invalid("guardian_required", "guardian", "a member of that age needs a guardian's verified consent")
			}
			e.Age = AgeByGuardian
			return nil
		}
		e.Age = AgeByBirthDate
	case c.Guardian != nil:
		e.Age = AgeByGuardian
	case r.guarded(f, p):
		if r.aged(f, p) && !slices.ContainsFunc(c.Decisions, func(d Decision) bool { return d.Granted && !d.Ask }) {
			return nil // nobody's leave is needed to say no
		}
		// A tick does not make a child older; a date of birth can show it.
		return invalid("guardian_required", "guardian", "the member enrolled with a guardian's consent; send guardian, or birth_date if the member is old enough now")
	case c.MinimumAgeConfirmed:
		e.Age = AgeConfirmed
	case !r.aged(f, p):
		return invalid("age_not_stated", "birth_date", "the policy has a minimum age; send birth_date (it is not recorded) or minimum_age_confirmed: true")
	}
	return nil
}

func guardianProof(p *Policy, g *Guardian, now time.Time, e *Event) error {
	switch {
	case !p.guardian:
		return invalid("guardian_not_accepted", "guardian", "the policy does not accept members under age; leave guardian out")
	case !isReference(g.Reference):
		return invalid("invalid_guardian", "guardian.reference", "name where the proof is kept, in 1 to 256 bytes of visible NFC text without space around it; never a person's name")
	case !isName(g.Method):
		return invalid("invalid_guardian", "guardian.method", "say how the guardian was verified, a name of 1 to 64 of a-z, 0-9, _ and -")
	case g.VerifiedAt.IsZero() || g.VerifiedAt.After(now.Add(maxAhead)):
		return invalid("invalid_guardian", "guardian.verified_at", "say when the guardian was verified; it cannot be ahead of now")
	}
	e.Guardian = &GuardianProof{g.Reference, g.Method, g.VerifiedAt.UnixMilli()}
	return nil
}
