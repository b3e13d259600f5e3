package consent

import (
	"slices"
	"time"
)

func hasKey(keys []KeyState, k KeyName) bool {
	return slices.ContainsFunc(keys, func(s KeyState) bool { return s.KeyName == k })
}

// membershipKey returns the living key that withdrawals and corrections of a
// policy are recorded under: the membership class of the member's kind, or
// that of another kind which the member had.
func (r *Register) membershipKey(f *Fold, keys []KeyState, p *Policy) (KeyName, bool) {
	if c, ok := p.MembershipClass(f.kind(p.id)); ok {
		if k := (KeyName{Class: c}); hasKey(keys, k) {
			return k, true
		}
	}
	for _, v := range r.policies[p.id] {
		for _, kind := range v.memberKinds {
			c, _ := v.MembershipClass(kind)
			if k := (KeyName{Class: c}); hasKey(keys, k) {
				return k, true
			}
		}
	}
	return KeyName{}, false
}

// office returns the policy and the key that what the office does about a
// member is recorded under: the membership class of the first policy in force
// that the member is under.
func (r *Register) office(f *Fold, keys []KeyState, now time.Time) (*Policy, KeyName, error) {
	if f == nil || f.withdrawn || len(keys) == 0 {
		return nil, KeyName{}, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	p, key, ok := r.officeKey(f, keys, now)
	if !ok {
		return nil, KeyName{}, refuse(Conflict, "class_not_open", "member_id", "the member has no membership to record it in")
	}
	return p, key, nil
}

func (r *Register) officeKey(f *Fold, keys []KeyState, now time.Time) (*Policy, KeyName, bool) {
	for _, p := range r.policiesOf(keys, now) {
		if key, ok := r.membershipKey(f, keys, p); ok {
			return p, key, true
		}
	}
	return nil, KeyName{}, false
}

// accessKey returns the key for looks at the member's data: that of the class
// which the version in force names. A version that names another class has it
// for the looks that come after, and keeps the ones before for what was said
// then.
func (p *Policy) accessKey() KeyName { return KeyName{Class: p.accessClass()} }

// recordingKey returns the key that an event about a purpose is recorded
// under: its class for the member's kind, or, if the member has no such key,
// the one that holds the decision on it, which an older kind or version chose.
func (r *Register) recordingKey(f *Fold, keys []KeyState, p *Policy, pu *Purpose, reference string) (KeyName, *Refusal) {
	class := p.classIDs[pu.Class(f.kind(p.id))]
	rule, ok := r.rules[class]
	want := KeyName{Class: class}
	if rule.ByReference() {
		if reference == "" {
			return want, invalid("reference_required", "reference", "the purpose's class ends by an event; name the order or event with reference")
		}
		want.Reference = reference
	}
	if ok && hasKey(keys, want) {
		return want, nil
	}
	if !rule.ByReference() {
		for i := range f.keys {
			k := &f.keys[i]
			if k.key.Class.Policy() == p.id && k.key.Reference == "" &&
				k.word(pu.ID) != nil && hasKey(keys, k.key) {
				return k.key, nil
			}
		}
	}
	if rule.ByReference() {
		return want, refuse(Conflict, "reference_unknown", "reference", "nothing of this purpose is open under that reference; record the consent or contract with it first")
	}
	return want, refuse(Conflict, "class_not_open", "purpose", "the member has nothing recorded in the class of this purpose; record the consent or contract first")
}

func (p *Policy) isEvidence(c ClassID) bool {
	return p.evidence != nil && p.classIDs[p.evidence.Class] == c
}

// policiesOf returns the policies in force that the member has anything to do
// with, by keys, in the register's order.
func (r *Register) policiesOf(keys []KeyState, now time.Time) []*Policy {
	var list []*Policy
	for _, id := range r.ids {
		if p, ok := r.InForce(id, now); ok && slices.ContainsFunc(keys, func(k KeyState) bool { return k.Class.Policy() == id }) {
			list = append(list, p)
		}
	}
	return list
}
