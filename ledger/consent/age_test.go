package consent_test

import (
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// Two policies of one shop may have two least ages: who is old enough for the
// one is not for the other.
func TestWhoIsOldEnoughForOnePolicyStillNeedsAGuardianForAnother(t *testing.T) {
	strict := strings.Replace(string(policies.Haim()), "minors: refuse", "minors: guardian", 1)
	mild := strings.NewReplacer("policy: shop", "policy: second", "name: Shop", "name: Haim Aesthetics", "member_kinds: [member", "minimum_age: 12\nmember_kinds: [member").Replace(small)
	b := newBook(t, register(t, []byte(strict), []byte(mild)))
	c := haimConsent("member", grant("membership"))
	c.MinimumAgeConfirmed = false
	c.Guardian = &consent.Guardian{Reference: "case-1", Method: "phone", VerifiedAt: noon.Add(-time.Hour)}
	ok(t)(b.consent(c, noon))

	thirteen := must(consent.ParseDate("2013-01-01"))
	second := haimConsent("member", grant("membership"))
	second.Policy, second.MinimumAgeConfirmed, second.BirthDate = "second", false, &thirteen
	ok(t)(b.consent(second, noon)) // old enough for that one

	again := haimConsent("member", grant("marketing"))
	again.MinimumAgeConfirmed = false
	_, err := b.consent(again, noon)
	wantRefusal(t, err, consent.Invalid, "guardian_required", "guardian")
	again.MinimumAgeConfirmed = true
	_, err = b.consent(again, noon)
	wantRefusal(t, err, consent.Invalid, "guardian_required", "guardian")
	second.BirthDate = nil // the control: nothing has changed for the other policy
	ok(t)(b.consent(second, noon))
	grown := must(consent.ParseDate("2012-03-10"))
	again.BirthDate = &grown
	ok(t)(b.consent(again, noon))
	again.BirthDate, again.MinimumAgeConfirmed = nil, false
	ok(t)(b.consent(again, noon))
}

// Who was old enough for one version need not be for the next.
func TestTheAgeIsStatedAgainWhereAVersionAsksForMore(t *testing.T) {
	for age, asked := range map[string]bool{"13": false, "14": false, "16": true} {
		b := newBook(t, haim(t))
		c := haimConsent("member", grant("membership"))
		fourteen := must(consent.ParseDate("2012-01-01"))
		c.MinimumAgeConfirmed, c.BirthDate = false, &fourteen
		ok(t)(b.consent(c, noon))
		next := amend(t, string(policies.Haim()), "minimum_age: 14", "minimum_age: "+age, `version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-10"`)
		b.r = must(b.r.With(must(consent.ParsePolicy([]byte(next))), noon))
		june := time.Date(2026, 6, 1, 0, 0, 0, 0, seoul)
		c.PolicyVersion, c.BirthDate, c.Decisions = "2026-06-01", nil, []consent.Decision{grant("marketing")}
		_, err := b.consent(c, june)
		if !asked {
			if err != nil {
				t.Errorf("a least age of %s: %v", age, err)
			}
			continue
		}
		wantRefusal(t, err, consent.Invalid, "age_not_stated", "birth_date")
		c.BirthDate = &fourteen
		_, err = b.consent(c, june)
		wantRefusal(t, err, consent.Invalid, "under_age", "birth_date")
	}
}
