package consent_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"consentledger/ledger/consent"
	"consentledger/testdata/policies"
)

var (
	seoul = must(time.LoadLocation("Asia/Seoul"))
	noon  = time.Date(2026, 3, 10, 12, 0, 0, 0, seoul)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// register returns the register of policy files, posted long before noon.
func register(t fataler, files ...[]byte) *consent.Register {
	t.Helper()
	r := consent.NewRegister()
	for _, src := range files {
		p, err := consent.ParsePolicy(src)
		if err != nil {
			t.Fatalf("parsing a policy: %v", err)
		}
		if r, err = r.With(p, time.Date(2024, 12, 1, 0, 0, 0, 0, seoul)); err != nil {
			t.Fatalf("posting a policy: %v", err)
		}
	}
	return r
}

func haim(t fataler) *consent.Register      { t.Helper(); return register(t, policies.Haim()) }
func dermatech(t fataler) *consent.Register { t.Helper(); return register(t, policies.Dermatech()) }

// A book is the least that can keep one member's entries: what the ledger does
// with a plan, without a ledger.
type book struct {
	t       fataler
	r       *consent.Register
	f       *consent.Fold
	keys    []consent.KeyState
	entries []line
	next    uint64
	written map[uint64]bool // indexes of entries that there were
	ended   bool
}

type line struct {
	index uint64
	at    time.Time
	key   consent.KeyName
	body  []byte
}

func newBook(t fataler, r *consent.Register) *book {
	return &book{t: t, r: r, f: consent.NewFold(), next: 100, written: map[uint64]bool{}}
}

func (b *book) key(k consent.KeyName) int {
	return slices.IndexFunc(b.keys, func(s consent.KeyState) bool { return s.KeyName == k })
}

// commit does what a plan says, or reports the refusal. It goes through the
// encoding, so that the fold is built from what the entries hold.
func (b *book) commit(p *consent.Plan, err error, now time.Time) error {
	b.t.Helper()
	if err != nil {
		if p != nil {
			b.t.Fatalf("a refusal came with a plan")
		}
		var r *consent.Refusal
		if !errors.As(err, &r) {
			b.t.Fatalf("not a refusal: %v", err)
		}
		return err
	}
	for _, k := range p.Create {
		if b.key(k) < 0 {
			made := consent.KeyState{KeyName: k}
			if rule, _ := b.r.Rule(k.Class); rule.Ratchet() {
				made.Due = b.r.DayStart(b.r.DiesOn(rule, b.r.Day(now)))
			}
			b.keys = append(b.keys, made)
		}
	}
	for _, d := range p.Entries {
		i := b.key(d.Key)
		if i < 0 {
			b.t.Fatalf("an entry for key %v, which nobody created", d.Key)
		}
		b.keys[i].Entries++
		b.keys[i].NewestDay = b.r.Day(now)
		body, err := d.Event.Encode()
		if err != nil {
			b.t.Fatalf("encoding: %v", err)
		}
		b.entries = append(b.entries, line{b.next, now, d.Key, body})
		b.written[b.next] = true
		b.next++
	}
	for _, d := range p.SetDue {
		b.keys[b.key(d.KeyName)].Due = d.Due
	}
	for _, k := range p.ClearDue {
		b.keys[b.key(k)].Due = time.Time{}
	}
	for _, h := range p.SetHold {
		b.keys[b.key(h.KeyName)].HeldUntil = h.Until
	}
	for _, k := range p.Destroy {
		i := b.key(k)
		if i < 0 {
			b.t.Fatalf("destroys %v, which is not there", k)
		}
		if b.keys[i].HeldUntil.After(now) {
			b.t.Fatalf("destroys %v, which is held", k)
		}
		b.keys = slices.DeleteFunc(b.keys, func(s consent.KeyState) bool { return s.KeyName == k })
		b.entries = slices.DeleteFunc(b.entries, func(l line) bool { return l.key == k })
	}
	b.ended = b.ended || p.Ended
	b.f = fold(b.entries)
	if b.ended {
		b.f.MarkWithdrawn()
	}
	return nil
}

func fold(entries []line) *consent.Fold {
	f := consent.NewFold()
	for _, l := range entries {
		f.Apply(l.index, l.at, l.key, must(consent.DecodeEvent(l.body)))
	}
	return f
}

// sweep destroys what is due, as the ledger's sweep does, and ends a membership
// that was dormant for long enough.
func (b *book) sweep(now time.Time) {
	b.t.Helper()
	if p := b.r.PlanDormancyEnd(b.f, b.keys, now); p != nil {
		b.commit(p, nil, now)
	}
	var gone, moved []consent.KeyName
	for _, k := range b.keys {
		if k.Due.IsZero() || k.Due.After(now) || k.HeldUntil.After(now) {
			continue
		}
		if rule, _ := b.r.Rule(k.Class); rule.Ratchet() {
			moved = append(moved, k.KeyName)
		} else {
			gone = append(gone, k.KeyName)
		}
	}
	p := b.r.PlanExpiry(b.f, b.keys, slices.Concat(gone, moved), now)
	if p == nil {
		p = &consent.Plan{}
	}
	p.Destroy = gone
	for _, k := range moved {
		rule, _ := b.r.Rule(k.Class)
		oldest := b.r.Day(now)
		b.entries = slices.DeleteFunc(b.entries, func(l line) bool {
			if l.key != k {
				return false
			}
			day := b.r.Day(l.at)
			if b.r.DiesOn(rule, day) <= b.r.Day(now) {
				b.keys[b.key(k)].Entries--
				return true
			}
			oldest = min(oldest, day)
			return false
		})
		b.keys[b.key(k)].Due = b.r.DayStart(b.r.DiesOn(rule, oldest))
	}
	b.commit(p, nil, now)
}

func (b *book) consent(c *consent.Consent, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanConsent(b.f, b.keys, c, now)
	return p, b.commit(p, err, now)
}

func (b *book) withdraw(w *consent.Withdrawal, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanWithdrawal(b.f, b.keys, w, now)
	return p, b.commit(p, err, now)
}

func (b *book) disclose(d *consent.Disclosure, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanDisclosure(b.f, b.keys, d, now)
	return p, b.commit(p, err, now)
}

func (b *book) correct(c *consent.Correction, id string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanCorrection(b.f, b.keys, c, id, now)
	return p, b.commit(p, err, now)
}

func (b *book) outcome(o *consent.CorrectionOutcome, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanOutcome(b.f, b.keys, o, now)
	return p, b.commit(p, err, now)
}

func (b *book) look(a *consent.Access, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanAccess(b.f, b.keys, a, now)
	return p, b.commit(p, err, now)
}

func (b *book) hold(h *consent.Hold, id string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanHold(b.f, b.keys, h, id, now)
	return p, b.commit(p, err, now)
}

func (b *book) release(id string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanRelease(b.f, b.keys, id, now)
	return p, b.commit(p, err, now)
}

func (b *book) active(now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanActivity(b.f, b.keys, &consent.Activity{OccurredAt: now}, now)
	return p, b.commit(p, err, now)
}

func (b *book) reactivate(method string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanReactivation(b.f, b.keys, &consent.Reactivation{Method: method}, now)
	return p, b.commit(p, err, now)
}

func (b *book) signal(s *consent.Signal, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanSignal(b.f, b.keys, s, now)
	return p, b.commit(p, err, now)
}

func (b *book) request(kind, id string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, _, err := b.r.PlanRequest(b.f, b.keys, &consent.Request{Type: kind, Channel: "email", ReceivedAt: now}, id, now)
	return p, b.commit(p, err, now)
}

func (b *book) answer(o *consent.RequestOutcome, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanRequestOutcome(b.f, b.keys, o, now)
	return p, b.commit(p, err, now)
}

func (b *book) notice(n *consent.Notice, id string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanNotice(b.f, b.keys, n, id, now)
	return p, b.commit(p, err, now)
}

func (b *book) event(kind, reference string, now time.Time) (*consent.Plan, error) {
	b.t.Helper()
	p, err := b.r.PlanEventEnd(b.f, b.keys, &consent.EventEnd{Type: kind, Reference: reference, OccurredAt: now}, now)
	return p, b.commit(p, err, now)
}

func (b *book) ask(purpose string, now time.Time, items ...string) consent.Answer {
	return b.r.Decide(b.f, &consent.Question{Purpose: purpose, Items: items}, now)
}

func grant(purpose string, items ...string) consent.Decision {
	return consent.Decision{Purpose: purpose, Granted: true, Items: items}
}

func refusal(purpose string) consent.Decision { return consent.Decision{Purpose: purpose} }

// haimConsent returns a consent to the sample policy that nothing is wrong with.
func haimConsent(kind string, decisions ...consent.Decision) *consent.Consent {
	return &consent.Consent{
		Enrol: true, MemberKind: kind, Policy: "haim", PolicyVersion: "2025-01-01", Decisions: decisions,
		Method: "checkbox", Locale: "en", OccurredAt: noon.Add(-time.Second), MinimumAgeConfirmed: true,
	}
}

// ok fails the test if a call was refused.
func ok(t *testing.T) func(*consent.Plan, error) *consent.Plan {
	return func(p *consent.Plan, err error) *consent.Plan {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// wantRefusal fails the test unless err is this refusal.
func wantRefusal(t *testing.T, err error, kind consent.RefusalKind, code, field string) {
	t.Helper()
	var r *consent.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal %s", err, code)
	}
	if r.Kind != kind || r.Code != code || r.Field != field {
		t.Fatalf("refused with %d %s at %q (%s), want %d %s at %q", r.Kind.Status(), r.Code, r.Field, r.Message, kind.Status(), code, field)
	}
	if r.Message == "" {
		t.Fatalf("%s has no message", code)
	}
}
