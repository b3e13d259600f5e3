package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// forgeryPolicy has everything that a forged disclosure can misuse.
var forgeryPolicy = strings.NewReplacer(
	"notice_days: 30\n", "notice_days: 0\ndormancy: {after: 12mo, notice: 30d, destroy_after: 5y}\n",
	"purposes:\n  membership:\n", `purposes:
  offers:
    title: {en: Offers of partners}
    kind: provision
    basis: consent
    items: {mandatory: [email], optional: [telephone]}
    retention: newsletter
    refusal: {en: You may refuse.}
  events:
    title: {en: Events}
    kind: collection
    basis: consent
    items: {mandatory: [email, name]}
    retention: {member: events, buyer: newsletter}
    refusal: {en: You may refuse.}
  membership:
`,
	"  shipping: {until: delivery}\n", "  shipping: {until: delivery}\n  events: {until: event_end}\n",
).Replace(testPolicy) + `  cloud-co: {name: Cloud, business: hosting, kind: processor, country: KR, purposes: [membership, newsletter, events], items: [email, name, telephone]}
  brand: {name: Brand, business: cosmetics, kind: third_party, country: KR, purposes: [offers], items: [email, telephone]}
  second-brand: {name: Second, business: toys, kind: third_party, country: KR, purposes: [offers], items: [email]}
exemptions:
  tax: {title: {en: Tax audit}, basis: Framework Act on National Taxes, recipient: authority}
  safety: {title: {en: Safety}, basis: PIPA 18(2), purposes: [order]}
  statistics: {title: {en: Statistics}, anonymised: true}
`

// A forgery is a disclosure that looks like a real one but for one thing.
type forgery struct {
	what, code string
	before     func(s *forgeryScene) // what happens before it is written
	key        consent.KeyName
	change     func(s *forgeryScene, e *consent.Event)
}

// A forgeryScene is a ledger of two members; the one of whom something is forged came first.
type forgeryScene struct {
	t          *testing.T
	w          *world
	l          *Ledger
	id, other  string
	membership uint64 // entries
	letters    uint64
	orders     map[string]uint64
	others     uint64 // the other member's consent to the membership
	events     uint64 // and to an event
}

const forged, alsoThere = "forged@shop.example", "other@shop.example"

func newForgeryScene(t *testing.T) *forgeryScene {
	s := &forgeryScene{t: t, w: newWorld(t), id: forged, other: alsoThere, orders: map[string]uint64{}}
	s.l = s.w.createWith(t, forgeryPolicy)
	t.Cleanup(func() { s.l.Close() })
	c := enrolment(t, s.id, s.w)
	c.Decisions = append(c.Decisions, offersConsent(s).Decisions...)
	a := mustDo(t, s.l, c)
	s.membership, s.letters = a.Entries[0].Index, a.Entries[1].Index
	for _, reference := range []string{"order-1", "order-2"} {
		for _, e := range mustDo(t, s.l, order(t, s.id, reference, s.w)).Entries {
			if e.Class == "shipping" {
				s.orders[reference] = e.Index
			}
		}
	}
	s.others = mustDo(t, s.l, enrolment(t, s.other, s.w)).Entries[0].Index
	c = enrolment(t, s.other, s.w)
	c.Decisions, c.Reference = []consent.Decision{{Purpose: "events", Granted: true, Items: []string{"email", "name"}}}, "event-1"
	s.events = mustDo(t, s.l, c).Entries[0].Index
	s.later(time.Hour) // nothing of the policy is new any more
	return s
}

func offersConsent(s *forgeryScene) *consent.Consent {
	c := enrolment(s.t, s.id, s.w)
	c.Decisions = []consent.Decision{{Purpose: "offers", Granted: true, Items: []string{"email"}, Recipients: []string{"brand"}}}
	return c
}

func (s *forgeryScene) do(c Call) *Answer { s.t.Helper(); return mustDo(s.t, s.l, c) }

func (s *forgeryScene) office(c Call) {
	s.t.Helper()
	if _, err := s.l.Do(s.t.Context(), dpo, c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *forgeryScene) recipient(c consent.RecipientChange) {
	s.t.Helper()
	day := s.w.clock.Now().In(time.FixedZone("KST", 9*3600)).Format(time.DateOnly)
	c.Policy, c.Announced, c.Reason, c.Recipient.From = "shop", day, "r", day
	if _, err := s.l.AddRecipient(s.t.Context(), admin, &c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *forgeryScene) later(d time.Duration) { s.w.clock.Advance(d) }

func (s *forgeryScene) deep() DeepReport {
	s.t.Helper()
	r, err := s.l.VerifyDeep(s.t.Context(), admin, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

var (
	membershipKey = consent.KeyName{Class: "shop/membership"}
	lettersKey    = consent.KeyName{Class: "shop/newsletter"}
	firstOrder    = consent.KeyName{Class: "shop/shipping", Reference: "order-1"}
)

// Whoever has the ledger and every key of it can write what they like. What the rules would not
// have allowed is found all the same, by its index, and whatever the member's place in the ledger.
func TestADisclosureThatAnOperatorForgedIsFoundByItsIndex(t *testing.T) {
	delivered := func(s *forgeryScene, e *consent.Event) {
		index := s.orders["order-1"]
		e.Purposes, e.Items, e.Recipient, e.Business, e.Basis, e.RestsOn, e.Reference = []string{"delivery"}, []string{"name"}, "parcel-co", "delivery", "contract", &index, "order-1"
	}
	offered := func(s *forgeryScene, e *consent.Event) {
		index := s.letters
		e.Purposes, e.Recipient, e.Business, e.RestsOn = []string{"offers"}, "brand", "cosmetics", &index
	}
	for _, c := range []forgery{
		{"control: nothing is wrong with it", "", nil, membershipKey, func(*forgeryScene, *consent.Event) {}},
		{"control: nor with an order's", "", nil, firstOrder, delivered},
		{"control: nor with a partner's", "", nil, lettersKey, offered},
		{"an item that was not consented to", "item_not_consented", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Items = []string{"telephone"} }},
		{"a recipient who was not consented to", "recipient_not_consented", nil, lettersKey, func(s *forgeryScene, e *consent.Event) {
			offered(s, e)
			e.Recipient, e.Business = "second-brand", "toys"
		}},
		{"after the withdrawal", "no_effective_consent", func(s *forgeryScene) {
			s.do(&consent.Withdrawal{Member: memberID(s.t, s.id), Purposes: []string{"offers"}})
		}, lettersKey, offered},
		{"during a suspension", "processing_suspended", func(s *forgeryScene) {
			s.office(&consent.Request{Member: memberID(s.t, s.id), Type: "suspension", Channel: "phone", ReceivedAt: s.w.clock.Now()})
		}, membershipKey, func(*forgeryScene, *consent.Event) {}},
		{"of an item under correction", "item_suspended", func(s *forgeryScene) {
			s.do(&consent.Correction{Member: memberID(s.t, s.id), Changes: []consent.Change{{Item: "email"}}})
		}, membershipKey, func(*forgeryScene, *consent.Event) {}},
		{"of a member who is dormant", "dormant", func(s *forgeryScene) {
			s.later(300 * 24 * time.Hour)
			s.office(&consent.Notice{Kind: "dormancy", Member: memberID(s.t, s.id), Channel: "email", SentAt: s.w.clock.Now(), Outcome: "sent"})
			s.later(100 * 24 * time.Hour)
		}, membershipKey, func(*forgeryScene, *consent.Event) {}},
		{"by an exemption that the policy does not list", "basis_not_allowed", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Basis, e.RestsOn = "friends", nil }},
		{"by an exemption for another purpose", "basis_not_allowed", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Basis, e.RestsOn = "safety", nil }},
		{"by an exemption for authorities, to a company", "basis_not_allowed", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Basis, e.RestsOn = "tax", nil }},
		{"by an exemption for what identifies nobody", "basis_not_allowed", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Basis, e.RestsOn = "statistics", nil }},
		{"resting on the consent of another member", "no_effective_consent", nil, membershipKey, func(s *forgeryScene, e *consent.Event) { e.RestsOn = &s.others }},
		{"for an event, resting on the consent of another member", "no_effective_consent", nil, lettersKey, func(s *forgeryScene, e *consent.Event) {
			e.Purposes, e.RestsOn = []string{"events"}, &s.events
		}},
		{"resting on an entry of the ledger's own", "no_effective_consent", nil, lettersKey, func(s *forgeryScene, e *consent.Event) {
			e.Purposes, e.RestsOn = []string{"events"}, new(uint64)
		}},
		{"resting on the member's consent to something else", "no_effective_consent", nil, membershipKey, func(s *forgeryScene, e *consent.Event) { e.RestsOn = &s.letters }},
		{"resting on nothing", "no_effective_consent", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.RestsOn = nil }},
		{"for another order than the one that it rests on", "reference_unknown", nil, firstOrder, func(s *forgeryScene, e *consent.Event) {
			delivered(s, e)
			e.Reference = "order-2"
		}},
		{"resting on another order", "no_effective_consent", nil, firstOrder, func(s *forgeryScene, e *consent.Event) {
			delivered(s, e)
			index := s.orders["order-2"]
			e.RestsOn = &index
		}},
		{"for a purpose that nobody states", "purpose_not_stated", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Purposes = []string{"resale"} }},
		{"before the consent", "no_effective_consent", func(s *forgeryScene) {
			s.do(&consent.Withdrawal{Member: memberID(s.t, s.id), Purposes: []string{"offers"}})
		}, lettersKey, func(s *forgeryScene, e *consent.Event) {
			offered(s, e)
			index := s.l.Size() + 1
			e.RestsOn = &index
		}},
		{"to a recipient who is not there yet", "recipient_not_registered", nil, membershipKey, func(_ *forgeryScene, e *consent.Event) { e.Recipient = "new-co" }},
		{"to a recipient who has ended", "recipient_not_registered", func(s *forgeryScene) {
			s.recipient(consent.RecipientChange{ID: "cloud-co", Ended: true})
			s.later(time.Hour)
		}, membershipKey, func(*forgeryScene, *consent.Event) {}},
		{"of an item that the recipient no longer gets", "recipient_not_allowed", func(s *forgeryScene) {
			s.recipient(consent.RecipientChange{ID: "cloud-co", Recipient: consent.Recipient{
				Name: "Cloud", Business: "hosting", Kind: "processor", Country: "KR", Purposes: []string{"membership"}, Items: []string{"name"},
			}})
			s.later(time.Hour)
		}, membershipKey, func(*forgeryScene, *consent.Event) {}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newForgeryScene(t)
			if c.before != nil {
				c.before(s)
			}
			verifyAll(t, s.l)
			index := s.membership
			e := consent.Event{
				Kind: consent.KindDisclosure, Policy: "shop", PolicyVersion: "2025-01-01", OccurredAtMs: s.w.clock.Now().UnixMilli(),
				Purposes: []string{"membership"}, Items: []string{"email"}, Recipient: "cloud-co", Business: "hosting", Basis: "consent", RestsOn: &index,
			}
			c.change(s, &e)
			at := forge(t, s.l, s.id, e, c.key)
			if strings.HasPrefix(c.what, "before") { // and the consent that it is made to rest on comes after it
				s.do(offersConsent(s))
			}
			r := s.deep()
			var found []string
			for _, f := range r.Findings {
				found = append(found, fmt.Sprint(f.Kind, " ", f.Index))
			}
			want := ""
			if c.code != "" {
				want = fmt.Sprint(c.code, " ", at)
			}
			if got := strings.Join(found, ", "); got != want || r.Unchecked != 0 {
				t.Errorf("found %q, %d unchecked; want %q", got, r.Unchecked, want)
			}
		})
	}
}

// Nobody is named in what is anonymised, and so it lies with the ledger's own entries; that is no
// reason to look away.
func TestAnAnonymisedDisclosureThatAnOperatorForgedIsFound(t *testing.T) {
	honest := consent.Event{
		Kind: consent.KindDisclosure, Policy: "shop", PolicyVersion: "2025-01-01", Purposes: []string{"membership"}, Items: []string{"email"},
		Recipient: "cloud-co", Business: "hosting", Basis: "statistics", Form: "anonymised",
	}
	for _, c := range []struct {
		what, code string
		change     func(e *consent.Event)
	}{
		{"control", "", func(*consent.Event) {}},
		{"to nobody on the register", "recipient_not_registered", func(e *consent.Event) { e.Recipient = "data-broker" }},
		{"of an item that the recipient does not get", "recipient_not_allowed", func(e *consent.Event) { e.Items = []string{"address"} }},
		{"by an exemption for data about members", "basis_not_allowed", func(e *consent.Event) { e.Basis = "tax" }},
		{"by none", "basis_not_allowed", func(e *consent.Event) { e.Basis = "" }},
		{"for a purpose that nobody states", "purpose_not_stated", func(e *consent.Event) { e.Purposes = []string{"resale"} }},
		{"of somebody", "invalid_form", func(e *consent.Event) { e.Form = "" }},
		{"by a version that there is not", "policy_version_not_in_force", func(e *consent.Event) { e.PolicyVersion = "2024-01-01" }},
	} {
		s := newForgeryScene(t)
		s.do(&consent.Disclosure{Recipient: "cloud-co", Purpose: "shop/membership", Items: []string{"email"}, Basis: "statistics", Form: "anonymised", OccurredAt: s.w.clock.Now()})
		verifyAll(t, s.l)
		e := honest
		c.change(&e)
		raw, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.l.submitOwn(context.Background(), topicStatistics, eventBody{Kind: kindAnonymised, Event: raw}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := s.deep()
		switch {
		case c.code == "" && !r.Intact:
			t.Errorf("%s: %+v", c.what, r.Findings)
		case c.code != "" && (len(r.Findings) != 1 || r.Findings[0].Kind != c.code || r.Findings[0].Index != int64(a.Entries[0].Index) || !r.Findings[0].Rules):
			t.Errorf("%s: %+v", c.what, r.Findings)
		}
	}
}

// A disclosure is checked when it is asked for and recorded when its group is written. If a machine
// sleeps in between, what was allowed may no longer be.
func TestADisclosureThatWaitedForLongIsNotRecordedUnderOtherRules(t *testing.T) {
	waited := func(what string, wait time.Duration, recorded bool) {
		t.Helper()
		s := newForgeryScene(t)
		next := strings.NewReplacer(`version: "2025-01-01"`, `version: "2025-03-02"`, `announced: "2024-12-01"`, `announced: "2025-03-01"`,
			"  brand: {name: Brand,", "  old-brand: {name: Brand,").Replace(forgeryPolicy)
		if _, _, err := s.l.AddPolicy(t.Context(), admin, []byte(next)); err != nil {
			t.Fatal(err)
		}
		s.later(time.Date(2025, 3, 1, 14, 58, 0, 0, time.UTC).Sub(s.w.clock.Now())) // two minutes before midnight in Seoul
		d := &consent.Disclosure{Recipient: "brand", Purpose: "offers", Items: []string{"email"}, OccurredAt: s.w.clock.Now()}
		if what == "anonymised" {
			d.Form, d.Basis = "anonymised", "statistics"
		} else {
			d.Member = memberID(t, s.id)
		}
		s.l.gate.Lock()
		p, err := s.l.Submit(t.Context(), writer, d)
		s.later(wait)
		s.l.gate.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(t.Context()); (err == nil) != recorded || err != nil && !errors.Is(err, ErrBusy) {
			t.Errorf("%s, %v later: %v", what, wait, err)
		}
		verifyAll(t, s.l)
	}
	for _, what := range []string{"a member's", "anonymised"} {
		waited(what, 4*time.Minute, true)
		waited(what, 20*time.Minute, false)
	}
}
