package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

// audit holds the book's disclosures to the rules. What the book never wrote is
// somebody else's, and can be read.
func (b *book) audit() ([]consent.AuditFinding, int) {
	living := map[uint64]bool{}
	for _, l := range b.entries {
		living[l.index] = true
	}
	return b.r.Audit(b.opened(), b.ended, func(index uint64) bool { return b.written[index] && !living[index] })
}

// auditedRegister has two policies, three versions of one of them, and
// recipients that come, change and go.
func auditedRegister(t fataler) *consent.Register {
	t.Helper()
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 9, 0, 0, 0, seoul) }
	first := strings.Replace(string(policies.Haim()), "purposes:\n", "evidence: {retention: complaint, ground: GDPR 17(3)(e)}\npurposes:\n", 1)
	second := amend(t, first,
		`version: "2025-01-01"`, `version: "2026-06-01"`, `announced: "2024-12-01"`, `announced: "2026-03-01"`, "first version", "second version",
		"    retention: newsletter\n", "    retention: letters\n", "  newsletter: {until: purpose_withdrawal}\n", "  newsletter: {until: purpose_withdrawal}\n  letters: {until: purpose_withdrawal}\n",
		"items: {mandatory: [email], optional: [name, telephone]}", "items: {mandatory: [email], optional: [name]}",
		"    retention: partners\n", "    retention: brands\n", "  partners: {until: purpose_withdrawal}\n", "  partners: {until: purpose_withdrawal}\n  brands: {until: purpose_withdrawal}\n",
		"basis: PIPA 18(2) no. 3; GDPR 6(1)(d) and (f)\n    recipient: authority", "basis: PIPA 18(2) no. 3\n    purposes: [membership, order]",
	)
	third := amend(t, second, `version: "2026-06-01"`, `version: "2028-01-01"`, "second version", "third version",
		"    items: [email, name]\n    from: \"2025-01-01\"", "    items: [email]")
	r := consent.NewRegister()
	post := func(src string, at time.Time) {
		n, err := r.With(must(consent.ParsePolicy([]byte(src))), at)
		if err != nil {
			t.Fatalf("posting a policy: %v", err)
		}
		r = n
	}
	change := func(c *consent.RecipientChange, at time.Time) {
		n, err := r.WithRecipient(c, at)
		if err != nil {
			t.Fatalf("changing a recipient: %v", err)
		}
		r = n
	}
	post(first, day(2024, 12, 1))
	post(strings.Replace(small, "name: Shop,", "name: Haim Aesthetics,", 1), day(2024, 12, 2))
	change(vendorAbroad("2026-04-09"), noon.AddDate(0, 0, -1))
	change(&consent.RecipientChange{Policy: "haim", ID: "payment-co", Ended: true, Announced: "2026-03-10", Reason: "r", Recipient: consent.Recipient{From: "2026-03-10"}}, noon.Add(-time.Hour))
	post(second, day(2026, 3, 10))
	change(&consent.RecipientChange{Policy: "haim", ID: "partner-brand", Ended: true, Announced: "2027-01-01", Reason: "r", Recipient: consent.Recipient{From: "2027-02-01"}}, day(2027, 1, 1))
	post(third, day(2027, 11, 1))
	return r
}

// amend changes a text, each pair once or as often as it is there.
func amend(t fataler, src string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(src, pairs[i]) {
			t.Fatalf("the text has no %q", pairs[i])
		}
		src = strings.ReplaceAll(src, pairs[i], pairs[i+1])
	}
	return src
}

var auditedPeople = map[string][]string{"haim": {"member", "purchasing_member", "visitor"}, "shop": {"member", "buyer"}}

// A honestBook plays random calls, the sweep among them, and commits what the
// rules let through.
type honestBook struct {
	*book
	t     *rapid.T
	now   time.Time
	calls int
	asked []string
	wrong []string
	given int // disclosures that were made

	refused func(*consent.Disclosure, *consent.Refusal) // is told of those that were not
}

func (h *honestBook) step() {
	t := h.t
	h.calls++
	id := fmt.Sprintf("%d", h.calls)
	h.now = h.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 1, 1, 20, 24, 24 * 20, 24 * 100, 24 * 400}).Draw(t, "hours")) * time.Hour)
	h.next += uint64(rapid.IntRange(0, 2).Draw(t, "others"))
	switch rapid.IntRange(0, 14).Draw(t, "call") {
	case 0, 1, 2, 3, 4:
		h.give()
	case 5, 6, 7:
		h.decide()
	case 8:
		w := &consent.Withdrawal{Purposes: []string{h.anyPurpose().ID}}
		if rapid.Bool().Draw(t, "items") {
			w.Items = []string{h.anyItem()}
		}
		h.withdraw(w, h.now)
	case 9:
		if _, err := h.correct(&consent.Correction{Changes: []consent.Change{{Item: h.anyItem()}}}, "cor_"+id, h.now); err == nil {
			h.wrong = append(h.wrong, "cor_"+id)
		}
	case 10, 11:
		if len(h.wrong) > 0 {
			h.outcome(&consent.CorrectionOutcome{Correction: rapid.SampledFrom(h.wrong).Draw(t, "correction"), Outcome: "corrected"}, h.now)
		}
		if len(h.asked) > 0 {
			h.answer(&consent.RequestOutcome{Request: rapid.SampledFrom(h.asked).Draw(t, "request"), Outcome: "withdrawn"}, h.now)
		}
	case 12:
		h.notice(&consent.Notice{Kind: consent.NoticeDormancy, Member: must(consent.ParseMemberID("u-1")), Channel: "email", SentAt: h.now, Outcome: consent.NoticeSent}, "ntc_"+id, h.now)
	case 13:
		switch rapid.IntRange(0, 4).Draw(t, "rare") {
		case 0:
			h.event(rapid.SampledFrom([]string{"delivered", "event_ended"}).Draw(t, "event"), "ref-1", h.now)
		case 1:
			if rapid.IntRange(0, 4).Draw(t, "leaves") == 0 {
				h.withdraw(&consent.Withdrawal{Membership: true}, h.now)
			}
		case 2:
			class := rapid.SampledFrom([]string{"promotion", "newsletter", "haim/membership", "contract"}).Draw(t, "class")
			h.hold(&consent.Hold{Classes: []string{class}, Ground: "a dispute", Until: h.now.AddDate(0, 2, 0)}, "hld_"+id, h.now)
		case 3:
			h.reactivate("button", h.now)
		case 4:
			if _, err := h.request("suspension", "rqt_"+id, h.now); err == nil {
				h.asked = append(h.asked, "rqt_"+id)
			}
		}
	case 14:
		if !h.ended || rapid.Bool().Draw(t, "sweep") {
			h.sweep(h.now)
		}
	}
}

func (h *honestBook) policy() *consent.Policy {
	id := rapid.SampledFrom([]string{"haim", "haim", "haim", "shop"}).Draw(h.t, "policy")
	p, _ := h.r.InForce(id, h.now)
	return p
}

func (h *honestBook) anyPurpose() consent.Purpose {
	return rapid.SampledFrom(h.policy().Purposes()).Draw(h.t, "purpose")
}

func (h *honestBook) anyItem() string {
	pu := h.anyPurpose()
	return rapid.SampledFrom(slices.Concat(pu.Mandatory, pu.Optional)).Draw(h.t, "item")
}

func (h *honestBook) anyReference() string {
	return rapid.SampledFrom([]string{"ref-1", "ref-2"}).Draw(h.t, "reference")
}

func (h *honestBook) decide() {
	p := h.policy()
	c := haimConsent(rapid.SampledFrom(auditedPeople[p.ID()]).Draw(h.t, "kind"))
	c.Policy, c.PolicyVersion, c.OccurredAt, c.Reference = p.ID(), p.Version(), h.now, h.anyReference()
	for _, pu := range p.Purposes() {
		if (len(pu.MemberKinds) > 0 && !slices.Contains(pu.MemberKinds, c.MemberKind)) || !rapid.Bool().Draw(h.t, pu.ID) {
			continue
		}
		d := consent.Decision{Purpose: pu.ID, Granted: !pu.AsksConsent() || rapid.IntRange(0, 3).Draw(h.t, "granted") > 0}
		if d.Granted {
			d.Items = slices.Clone(pu.Mandatory)
			for i, it := range pu.Optional {
				if rapid.Bool().Draw(h.t, it) || i == 0 && len(pu.Mandatory) == 0 {
					d.Items = append(d.Items, it)
				}
			}
		}
		c.Decisions = append(c.Decisions, d)
	}
	h.consent(c, h.now)
}

// give discloses something, most often to somebody who may get it.
func (h *honestBook) give() {
	p := h.policy()
	pu := rapid.SampledFrom(p.Purposes()).Draw(h.t, "purpose")
	d := &consent.Disclosure{
		Recipient: rapid.SampledFrom([]string{"it-vendor", "parcel-co", "payment-co", "partner-brand", "cloud-abroad", "brand", "seoul-court"}).Draw(h.t, "recipient"),
		Reference: h.anyReference(), OccurredAt: h.now,
		Form: rapid.SampledFrom([]string{"", "identified", "pseudonymised"}).Draw(h.t, "form"),
	}
	items := slices.Concat(pu.Mandatory, pu.Optional)
	switch rapid.IntRange(0, 7).Draw(h.t, "likely") {
	case 7:
		d.Basis = rapid.SampledFrom([]string{"", "legal_process", "safety", "court"}).Draw(h.t, "basis")
	case 6:
		d.Recipient, d.Basis = "seoul-court", map[string]string{"haim": "safety", "shop": "court"}[p.ID()]
	default:
		rec := rapid.SampledFrom(p.Recipients()).Draw(h.t, "registered")
		d.Recipient = rec.ID
		name := rapid.SampledFrom(rec.Purposes).Draw(h.t, "for")
		pu = p.Purposes()[slices.IndexFunc(p.Purposes(), func(pu consent.Purpose) bool { return pu.ID == name })]
		items = slices.DeleteFunc(slices.Concat(pu.Mandatory, pu.Optional), func(it string) bool { return !slices.Contains(rec.Items, it) })
		if rec.ID == "it-vendor" && rapid.Bool().Draw(h.t, "abroad") {
			d.Recipient, items = "cloud-abroad", []string{"user_id", "email"}
		}
	}
	d.Purpose = p.ID() + "/" + pu.ID
	for _, it := range items {
		if rapid.IntRange(0, 2).Draw(h.t, it) == 0 || len(d.Items) == 0 {
			d.Items = append(d.Items, it)
		}
	}
	_, err := h.disclose(d, h.now)
	if err == nil {
		h.given++
	} else if h.refused != nil {
		h.refused(d, err.(*consent.Refusal))
	}
}

func TestTheAuditFindsNoFaultWithAnHonestBook(t *testing.T) {
	r := auditedRegister(t)
	given, unchecked, destroyed := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := &honestBook{book: newBook(t, r), t: t, now: noon}
		h.decide()
		for range 60 {
			h.step()
			findings, doubt := h.audit()
			if len(findings) > 0 {
				t.Fatalf("finds fault at %v: %+v", h.now, findings)
			}
			unchecked += doubt
		}
		given += h.given
		destroyed += len(h.written) - len(h.entries)
	})
	if given < 100 || destroyed < 100 || unchecked == 0 {
		t.Fatalf("%d disclosures, %d entries destroyed, %d in doubt: too few for a test", given, destroyed, unchecked)
	}
	t.Logf("%d disclosures, %d entries destroyed, %d in doubt", given, destroyed, unchecked)
}

// forge records a disclosure under a key that the member has, as if no rule had
// been asked: it names the newest decision on the purpose, or nothing.
func (h *honestBook) forge(d *consent.Disclosure) (index uint64, ok bool) {
	policy, purpose, _ := strings.Cut(d.Purpose, "/")
	p, _ := h.r.InForce(policy, h.now)
	i := slices.IndexFunc(p.Purposes(), func(pu consent.Purpose) bool { return pu.ID == purpose })
	if i < 0 {
		return 0, false
	}
	pu := p.Purposes()[i]
	k := slices.IndexFunc(h.keys, func(k consent.KeyState) bool {
		return slices.ContainsFunc(p.MemberKinds(), func(kind string) bool { return string(k.Class) == policy+"/"+pu.Class(kind) }) &&
			(k.Reference == "" || k.Reference == d.Reference)
	})
	if k < 0 {
		return 0, false
	}
	e := consent.Event{
		Kind: consent.KindDisclosure, Policy: policy, PolicyVersion: p.Version(), OccurredAtMs: h.now.UnixMilli(),
		Purposes: []string{purpose}, Items: d.Items, Recipient: d.Recipient, Basis: d.Basis, Reference: d.Reference,
	}
	if d.Basis == "" {
		e.Basis = pu.Basis
		for _, v := range h.f.View(h.r, h.now).Purposes {
			if v.Policy == policy && v.Purpose == purpose {
				e.RestsOn = &v.Index
			}
		}
	}
	index = h.next
	h.commit(&consent.Plan{Entries: []consent.Draft{{Key: h.keys[k].KeyName, Event: e}}}, nil, h.now)
	return index, true
}

// Whatever the rules refused is found if it is there all the same. Only that a
// member was dormant may be in doubt, where something of theirs is gone, and of
// who has left whether a suspension had its outcome.
func TestTheAuditFindsWhatTheRulesWouldHaveRefused(t *testing.T) {
	r := auditedRegister(t)
	found := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		h := &honestBook{book: newBook(t, r), t: t, now: noon}
		h.refused = func(d *consent.Disclosure, no *consent.Refusal) {
			if no.Kind != consent.Forbidden && no.Code != "unknown_item" && no.Code != "secret_item" {
				return
			}
			honest := *h.book
			honest.keys, honest.entries = slices.Clone(h.keys), slices.Clone(h.entries)
			index, ok := h.forge(d)
			if !ok {
				return
			}
			findings, doubt := h.audit()
			switch {
			case len(findings) == 0 && doubt > 0 && (no.Code == "dormant" || h.ended):
			case len(findings) != 1 || findings[0].Index != index || findings[0].What == "":
				t.Fatalf("refused with %s %s; forged as entry %d, found %+v", no.Code, no.Reason, index, findings)
			}
			found[no.Code+no.Reason]++
			*h.book = honest
			delete(h.written, index)
		}
		h.decide()
		for range 40 {
			h.step()
		}
	})
	t.Log(found)
	for _, code := range []string{"basis_not_allowed", "recipient_not_registered", "recipient_not_allowed", "item_suspended", "no_effective_consentno_consent", "item_not_consented"} {
		if found[code] == 0 {
			t.Errorf("nothing was forged that is %s, so little is proven", code)
		}
	}
}
