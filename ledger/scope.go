package ledger

import (
	"slices"
	"strings"

	"consentledger/ledger/consent"
)

// A key may be for some policies only, such as that of a raffle's own site. What it may do is decided
// here and in Caller.May: it records consents to them, withdrawals of their purposes and disclosures
// for them, activity, decisions and lookups. Whatever is about the whole member is not for it: ending a
// membership, corrections, events, signals, everything that shows data, and the officer's work.

// inScope refuses a call that touches more than the caller's policies.
func (l *Ledger) inScope(who Caller, call Call) error {
	if who.Policies == nil {
		return nil
	}
	switch c := call.(type) {
	case *consent.Consent:
		return who.policy(c.Policy)
	case *consent.Withdrawal:
		if c.Membership {
			return ErrPolicyNotAllowed
		}
		return l.purposesInScope(who, c.Purposes...)
	case *consent.Disclosure:
		if c.Form == consent.FormAnonymised {
			return ErrPolicyNotAllowed
		}
		return l.purposesInScope(who, c.Purpose)
	case *consent.Activity:
		return nil
	}
	return ErrPolicyNotAllowed
}

func (c Caller) policy(id string) error {
	if c.Policies != nil && !slices.Contains(c.Policies, id) {
		return ErrPolicyNotAllowed
	}
	return nil
}

// purposesInScope refuses purposes of other policies. A plain name speaks of every policy that states
// it, now or at any other time.
func (l *Ledger) purposesInScope(who Caller, names ...string) error {
	if who.Policies == nil {
		return nil
	}
	for _, name := range names {
		if policy, _, ok := strings.Cut(name, "/"); ok {
			if err := who.policy(policy); err != nil {
				return err
			}
			continue
		}
		for _, v := range l.register.Load().Policies() {
			if v.States(name) {
				if err := who.policy(v.ID()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
