package consent_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// A simpler account of the rules than the fold's: what was last decided.
type model struct {
	granted map[string]bool
	items   map[string][]string
	open    map[string]bool // granted since it was last withdrawn: a no after that leaves the class, which a withdrawal ends
}

// TestDecisionsAreWhatWasLastDecided plays random calls against the model. It
// holds, after every call: a purpose is allowed only if its last word was a
// grant; after a withdrawal it is not; an item is allowed only if the grant
// named it and nobody contests it; and the fold built anew from the entries is
// the one that was there.
func TestDecisionsAreWhatWasLastDecided(t *testing.T) {
	r := haim(t)
	p := must(consent.ParsePolicy(policies.Haim()))
	var purposes []consent.Purpose
	for _, pu := range p.Purposes() {
		if len(pu.MemberKinds) == 0 || slices.Contains(pu.MemberKinds, "purchasing_member") {
			purposes = append(purposes, pu)
		}
	}
	granted, withdrawn := 0, 0
	// A hundred short random runs grant and withdraw the same purpose nearly always, but not always.
	for tries := 0; tries < 20 && (granted == 0 || withdrawn == 0); tries++ {
		rapid.Check(t, func(t *rapid.T) {
			b := newBook(t, r)
			m := model{map[string]bool{}, map[string][]string{}, map[string]bool{}}
			now := noon
			open, corrections := "", 0
			contested := ""
			for range rapid.IntRange(1, 12).Draw(t, "calls") {
				now = now.Add(time.Duration(rapid.IntRange(0, 72).Draw(t, "hours")) * time.Hour)
				pu := rapid.SampledFrom(purposes).Draw(t, "purpose")
				switch rapid.IntRange(0, 5).Draw(t, "call") {
				case 0, 1:
					d := consent.Decision{Purpose: pu.ID, Granted: rapid.Bool().Draw(t, "granted"), Items: slices.Clone(pu.Mandatory)}
					for _, it := range pu.Optional {
						if rapid.Bool().Draw(t, "optional "+it) {
							d.Items = append(d.Items, it)
						}
					}
					c := haimConsent("purchasing_member", d)
					c.OccurredAt, c.Reference = now, "ref-1"
					_, err := b.consent(c, now)
					if d.Granted || pu.AsksConsent() {
						if err != nil {
							t.Fatalf("consent: %v", err)
						}
						m.granted[pu.ID], m.items[pu.ID] = d.Granted, d.Items
						m.open[pu.ID] = m.open[pu.ID] || d.Granted
					} else if err == nil {
						t.Fatalf("refused what is not a choice")
					}
					granted++
				case 2:
					_, err := b.withdraw(&consent.Withdrawal{Purposes: []string{pu.ID}}, now)
					if err == nil {
						if !m.open[pu.ID] {
							t.Fatalf("withdrew what was not in force")
						}
						m.open[pu.ID] = false
						withdrawn++
					}
					if pu.AsksConsent() {
						m.granted[pu.ID] = false
						if a := b.ask(pu.ID, now); a.Allowed {
							t.Fatalf("allowed after the withdrawal: %+v", a)
						}
					}
				case 3:
					if open != "" || len(b.keys) == 0 {
						continue
					}
					it := rapid.SampledFrom(pu.Mandatory).Draw(t, "contested")
					id := fmt.Sprintf("cor_%d", corrections)
					corrections++
					v := "value"
					if _, err := b.correct(&consent.Correction{Changes: []consent.Change{{Item: it, New: &v}}}, id, now); err != nil {
						t.Fatalf("correction: %v", err)
					}
					open, contested = id, it
				case 4:
					if open == "" {
						continue
					}
					if _, err := b.outcome(&consent.CorrectionOutcome{Correction: open, Outcome: "corrected"}, now); err != nil {
						t.Fatalf("outcome: %v", err)
					}
					open, contested = "", ""
				case 5:
					if len(b.keys) == 0 {
						continue
					}
					if _, err := b.look(&consent.Access{Who: "op", Reason: "because"}, now); err != nil {
						t.Fatalf("access: %v", err)
					}
				}
				for _, pu := range purposes {
					want := m.granted[pu.ID] && !slices.Contains(slices.Concat(pu.Mandatory, pu.Optional), contested)
					if a := b.ask(pu.ID, now); a.Allowed != want {
						t.Fatalf("%s: %+v, want %v", pu.ID, a, want)
					}
					for _, it := range slices.Concat(pu.Mandatory, pu.Optional) {
						want := m.granted[pu.ID] && slices.Contains(m.items[pu.ID], it) && it != contested
						if a := b.ask(pu.ID, now, it); a.Allowed != want {
							t.Fatalf("%s of %s: %+v, want %v", it, pu.ID, a, want)
						}
					}
				}
			}
			if len(b.keys) == 0 {
				return
			}
			plan, err := b.withdraw(&consent.Withdrawal{Membership: true}, now)
			if err != nil {
				t.Fatalf("leaving: %v", err)
			}
			for _, k := range b.keys {
				rule, _ := r.Rule(k.Class)
				if k.Entries == 0 {
					t.Fatalf("%s is kept with nothing in it", k.Class)
				}
				if (rule.Until == consent.UntilPurposeWithdrawal || k.Class == consent.CorrectionClass) && slices.Contains(plan.Destroy, k.KeyName) {
					t.Fatalf("%s is still there", k.Class)
				}
				if rule.Until == consent.UntilWithdrawal || rule.Until == consent.UntilPurposeWithdrawal || k.Class == consent.CorrectionClass {
					t.Fatalf("%s outlives the membership that alone justified it", k.Class)
				}
				if !slices.ContainsFunc(plan.Kept, func(row consent.Kept) bool { return row.Class == k.Class.Name() }) {
					t.Fatalf("%s is kept and not named", k.Class)
				}
			}
			for _, pu := range purposes {
				if a := b.ask(pu.ID, now); a.Allowed || a.Reason != consent.ReasonWithdrawn {
					t.Fatalf("%s after the end: %+v", pu.ID, a)
				}
			}
		})
	}
	if granted == 0 || withdrawn == 0 {
		t.Fatal("the calls never granted and withdrew anything, so nothing was tested")
	}
}

func TestNothingGrantedMeansNothingAllowed(t *testing.T) {
	r := haim(t)
	p := must(consent.ParsePolicy(policies.Haim()))
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t, r)
		var refused []consent.Decision
		for _, pu := range p.Purposes() {
			if pu.AsksConsent() && (len(pu.MemberKinds) == 0 || slices.Contains(pu.MemberKinds, "member")) && rapid.Bool().Draw(t, pu.ID) {
				refused = append(refused, consent.Decision{Purpose: pu.ID})
			}
		}
		if len(refused) > 0 {
			c := haimConsent("member", refused...)
			c.Reference = "raffle-1"
			if _, err := b.consent(c, noon); err != nil {
				t.Fatalf("refusing: %v", err)
			}
		}
		for _, pu := range p.Purposes() {
			q := consent.Question{Purpose: pu.ID}
			if rapid.Bool().Draw(t, "items") {
				q.Items = pu.Mandatory
			}
			if rapid.Bool().Draw(t, "recipient") {
				q.Recipient = rapid.SampledFrom([]string{"it-vendor", "parcel-co", "payment-co", "partner-brand"}).Draw(t, "to")
			}
			if a := r.Decide(b.f, &q, noon); a.Allowed {
				t.Fatalf("%s is allowed: %+v", pu.ID, a)
			}
		}
	})
}
