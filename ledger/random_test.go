package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// A life is a ledger to which random calls happen, of a few members, at all times. What a call is
// answered does not matter here, but for errors that no call may meet; what is checked is what must
// hold of the ledger after any calls.

// lifePolicies has a class of every kind, dormancy, proof of consents, and a second policy of the
// same shop with purposes of the same names.
func lifePolicies() []string {
	first := strings.NewReplacer(
		"minors: refuse", "minors: refuse\nanswer_days: 10\ndormancy: {after: 12mo, notice: 30d, destroy_after: 1y}",
		"member_kinds: [member, buyer]", "member_kinds: [member, buyer, trader]",
		"retention: {member: membership, buyer: buyers}", "retention: {member: membership, buyer: buyers, trader: trade}",
		"purchase: {keep: 5y", "trade: {keep: 14mo, from: withdrawal, basis: Trade Act}\n  raffle: {until: event_end}\n  proof: {keep: 2y, from: entry, basis: Proof Act}\n  purchase: {keep: 8mo",
		"\nrecipients:\n", `
  raffle:
    title: {en: Raffle}
    kind: collection
    basis: consent
    items: {mandatory: [name]}
    retention: raffle
    refusal: {en: You may refuse and lose nothing.}
recipients:
`,
		"purposes: [order, delivery], items: [name, address]", "purposes: [order, delivery, membership, newsletter], items: [name, address, email]",
	).Replace(testPolicy) + "exemptions:\n  tax: {title: {en: Tax audit}, basis: Tax Act, recipient: authority}\n  safety: {title: {en: Safety}, basis: PIPA 18(2), despite_suspension: true, purposes: [order, membership]}\n" +
		"  statistics: {title: {en: Statistics}, basis: PIPA 28-2, anonymised: true}\nevidence: {retention: proof, ground: GDPR 17(3)(e)}\n"
	second := strings.NewReplacer("policy: shop", "policy: club", "parcel-co: ", "club-co: ").Replace(testPolicy)
	return []string{first, second}
}

type randomLife struct {
	t   *testing.T
	w   *world
	l   *Ledger
	rng *rand.Rand
	ids int

	corrections, requests []string
	holds                 []lifeHold
	refs                  []Ref
	destructions          []uint64
	references            []string
	ended                 []*consent.EventEnd // for everybody
	done                  map[string]int
	log                   []string
	busy                  bool // others call, too: a call may be turned away for a while
}

// lifeHold is a hold and the entries that it must keep.
type lifeHold struct {
	ref   Ref
	id    string
	until time.Time
	keeps map[uint64]bool
}

func newRandomLife(t *testing.T, seed uint64, cache int64) *randomLife {
	w := newWorld(t)
	w.cache = cache
	l, err := w.tryCreate()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range lifePolicies() {
		if _, _, err := l.AddPolicy(t.Context(), admin, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return &randomLife{t: t, w: w, l: l, rng: rand.New(rand.NewPCG(seed, 1)), ids: 5, done: map[string]int{}, references: []string{"r1", "r2", "r3"}}
}

func choose[T any](r *randomLife, s []T) T { return s[r.rng.IntN(len(s))] }

func (r *randomLife) one(n int) bool { return r.rng.IntN(n) == 0 }

func (r *randomLife) id() consent.MemberID {
	return memberID(r.t, memberName(r.rng.IntN(r.ids)))
}

func (r *randomLife) ref() (ref Ref) {
	if len(r.refs) == 0 || r.one(3) {
		ref, _, _ = r.l.Lookup(r.t.Context(), dpo, r.id())
		return ref
	}
	return choose(r, r.refs)
}

func known(r *randomLife, s []string, other string) string {
	if len(s) == 0 {
		return other
	}
	return choose(r, s[max(0, len(s)-6):])
}

func (r *randomLife) consent() *consent.Consent {
	policy := choose(r, []string{"shop", "shop", "club"})
	version := "2025-01-01"
	if p, ok := r.l.Rules().InForce(policy, r.l.now()); ok {
		version = p.Version()
	}
	c := &consent.Consent{
		Member: r.id(), Enrol: r.one(2), Policy: policy, PolicyVersion: version,
		Method: "button", Locale: "en", OccurredAt: r.w.clock.Now(), MinimumAgeConfirmed: true,
	}
	kinds := []string{"", "member", "buyer"}
	purposes := []string{"membership", "newsletter", "order", "delivery"}
	if policy == "shop" {
		kinds, purposes = append(kinds, "trader"), append(purposes, "raffle")
	}
	c.MemberKind = choose(r, kinds)
	r.rng.Shuffle(len(purposes), func(i, j int) { purposes[i], purposes[j] = purposes[j], purposes[i] })
	for _, p := range purposes[:1+r.rng.IntN(len(purposes))] {
		c.Decisions = append(c.Decisions, consent.Decision{Purpose: p, Granted: !r.one(5) || p == "order" || p == "delivery"})
		if p == "delivery" || p == "raffle" {
			c.Reference = choose(r, r.references)
		}
	}
	return c
}

// call makes one random call and returns its name.
func (r *randomLife) call() (string, *Answer, error) {
	ctx, now := r.t.Context(), r.w.clock.Now()
	do := func(name string, who Caller, c Call) (string, *Answer, error) {
		a, err := r.l.Do(ctx, who, c)
		return name, a, err
	}
	switch r.rng.IntN(34) {
	case 25, 26, 27, 28: // what may well be allowed
		d := &consent.Disclosure{
			Member: r.id(), Recipient: "parcel-co", Purpose: choose(r, []string{"shop/order", "shop/delivery", "shop/membership", "shop/newsletter"}), Items: []string{"name"}, OccurredAt: now,
			Reference: choose(r, r.references),
		}
		if d.Purpose == "shop/newsletter" {
			d.Items = []string{"email"}
		}
		return do("disclosure", writer, d)
	case 29, 30:
		return do("outcome", writer, &consent.CorrectionOutcome{Member: r.id(), Correction: known(r, r.corrections, "cor_x"), Outcome: "corrected"})
	case 32:
		return r.rules()
	case 33: // asleep and awake
		id := r.id()
		doAs := func(c Call) error { _, err := r.l.Do(ctx, dpo, c); return err }
		err := doAs(&consent.Notice{Kind: consent.NoticeDormancy, Member: id, Channel: "email", SentAt: now, Outcome: "sent"})
		if err == nil && r.one(3) {
			r.w.clock.Advance(400 * 24 * time.Hour)
			return do("reactivation", writer, &consent.Reactivation{Member: id, Method: "sign_in"})
		}
		return "", nil, err
	case 31:
		return do("reactivation", writer, &consent.Reactivation{Member: r.id(), Method: "sign_in"})
	case 0, 1, 2, 3, 4:
		return do("consent", writer, r.consent())
	case 5:
		return do("leave", writer, &consent.Withdrawal{Member: r.id(), Membership: true})
	case 6:
		return do("withdrawal", writer, &consent.Withdrawal{Member: r.id(), Purposes: []string{choose(r, []string{"newsletter", "raffle", "membership", "shop/newsletter"})}})
	case 7:
		v := "new value"
		name, a, err := do("correction", writer, &consent.Correction{Member: r.id(), Changes: []consent.Change{{Item: choose(r, []string{"email", "name"}), New: &v}}})
		if err == nil {
			r.corrections = append(r.corrections, a.Correction)
		}
		return name, a, err
	case 8:
		return do("outcome", writer, &consent.CorrectionOutcome{Member: r.id(), Correction: known(r, r.corrections, "cor_x"), Outcome: choose(r, []string{"corrected", "corrected", "rejected"})})
	case 9, 10:
		d := &consent.Disclosure{
			Member: r.id(), Recipient: choose(r, []string{"parcel-co", "club-co", "tax-office"}), Purpose: choose(r, []string{"order", "delivery", "shop/membership", "shop/newsletter"}),
			Items: []string{choose(r, []string{"name", "email"})}, OccurredAt: now, Reference: choose(r, r.references),
			Basis: choose(r, []string{"", "", "", "tax", "safety"}),
		}
		if r.one(8) {
			d.Member, d.Basis, d.Form = consent.MemberID{}, "statistics", consent.FormAnonymised
		}
		return do("disclosure", writer, d)
	case 11:
		return do("activity", writer, &consent.Activity{Member: r.id(), OccurredAt: now})
	case 12:
		return do("reactivation", writer, &consent.Reactivation{Member: r.id(), Method: "sign_in"})
	case 13:
		return do("signal", writer, &consent.Signal{Member: r.id(), Signal: "gpc", Value: r.one(2), OccurredAt: now})
	case 14:
		name, a, err := do("request", dpo, &consent.Request{Member: r.id(), Type: choose(r, []string{"access", "suspension"}), Channel: "email", ReceivedAt: now})
		if err == nil {
			r.requests = append(r.requests, a.Request)
		}
		return name, a, err
	case 15:
		a, err := r.l.RequestOutcome(ctx, dpo, &consent.RequestOutcome{Request: known(r, r.requests, "rqt_x"), Outcome: choose(r, []string{"granted", "refused", "withdrawn", "lifted"}), Reason: "r"})
		return "answer", a, err
	case 16, 17:
		return do("notice", dpo, r.notice())
	case 18, 19:
		return r.hold()
	case 20:
		if len(r.holds) == 0 {
			return "", nil, nil
		}
		h := &r.holds[r.rng.IntN(len(r.holds))]
		a, err := r.l.ReleaseHold(ctx, dpo, h.ref, h.id)
		if err == nil {
			h.keeps = nil
		}
		return "release", a, err
	case 21:
		return do("event", writer, &consent.EventEnd{Type: choose(r, []string{"delivered", "event_ended"}), Member: r.id(), Reference: choose(r, r.references), OccurredAt: now})
	case 22:
		return r.lookAt()
	case 23:
		if !r.one(4) {
			return "", nil, nil
		}
		ref := choose(r, r.references)
		e := &consent.EventEnd{Type: choose(r, []string{"delivered", "event_ended"}), Reference: ref, OccurredAt: now}
		a, err := r.l.EndEvent(ctx, writer, e)
		if err == nil {
			r.ended = append(r.ended, e)
			r.references = append(slices.DeleteFunc(r.references, func(s string) bool { return s == ref }), fmt.Sprint("r", len(r.log)))
			r.settleEndings()
		}
		return "end of an event", a, err
	default:
		a, err := r.l.WithdrawRef(ctx, writer, r.ref(), &consent.Withdrawal{Membership: true})
		return "leave by ref", a, err
	}
}

// rules changes a policy or a recipient.
func (r *randomLife) rules() (string, *Answer, error) {
	ctx, today := r.t.Context(), r.l.now().UTC()
	day := func(days int) string { return today.AddDate(0, 0, days).Format(time.DateOnly) }
	if r.one(3) {
		next := strings.NewReplacer(`version: "2025-01-01"`, fmt.Sprintf("version: %q", day(33)), `announced: "2024-12-01"`, fmt.Sprintf("announced: %q", day(0)))
		text := lifePolicies()[r.rng.IntN(2)]
		if r.one(2) {
			text = strings.Replace(text, "mandatory: [email, name], optional: [telephone]", "mandatory: [email, name, telephone]", 1)
		}
		_, _, err := r.l.AddPolicy(ctx, admin, []byte(next.Replace(text)))
		return "policy", nil, err
	}
	c := &consent.RecipientChange{Policy: "shop", ID: "parcel-co", Announced: day(-1), Reason: "change", Ended: true, Recipient: consent.Recipient{From: day(2)}}
	if r.one(2) {
		c.Ended = false
		c.Recipient = consent.Recipient{
			Name: "Parcel Co", Business: "delivery", Kind: "processor", Country: "KR", From: day(33),
			Purposes: []string{"order", "delivery", "membership", "newsletter"}, Items: []string{"name", "address", "email"},
		}
	}
	_, err := r.l.AddRecipient(ctx, admin, c)
	return "recipient", nil, err
}

func (r *randomLife) settleEndings() {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); len(r.l.endings.unfinished()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("an event that ended for all is not brought to its end")
		}
	}
}

func (r *randomLife) notice() *consent.Notice {
	now := r.w.clock.Now()
	switch r.rng.IntN(4) {
	case 0:
		return &consent.Notice{Kind: consent.NoticeCorrection, Member: r.id(), Correction: known(r, r.corrections, "cor_x"), Recipient: choose(r, []string{"parcel-co", "tax-office"}), Channel: "email", SentAt: now, Outcome: "sent"}
	case 1:
		n := &consent.Notice{Kind: consent.NoticeDestructionRequest, Recipient: "parcel-co", Channel: "email", SentAt: now, DueAt: now.AddDate(0, 0, 20), Outcome: choose(r, []string{"sent", "confirmed"})}
		if len(r.destructions) > 0 && r.one(2) {
			n.Destruction = &r.destructions[r.rng.IntN(len(r.destructions))]
		} else {
			n.Member = r.id()
		}
		return n
	}
	return &consent.Notice{Kind: consent.NoticeDormancy, Member: r.id(), Channel: "email", SentAt: now, Outcome: choose(r, []string{"sent", "sent", "failed", "impossible"}), Reason: "r"}
}

func (r *randomLife) hold() (string, *Answer, error) {
	ref := r.ref()
	class := choose(r, []string{"shop/membership", "shop/newsletter", "shop/purchase", "shop/shipping", "shop/raffle", "shop/proof", "shop/trade", "*/access", "*/correction", "shop/buyers", "club/membership"})
	until := r.w.clock.Now().AddDate(0, r.rng.IntN(20), 1)
	a, err := r.l.PlaceHold(r.t.Context(), dpo, ref, &consent.Hold{Classes: []string{class}, Ground: "claim", Until: until})
	if err != nil {
		return "hold", a, err
	}
	h := lifeHold{ref: ref, id: a.Hold, until: until, keeps: map[uint64]bool{}}
	for _, e := range r.readable(ref) {
		if string(e.key.Class) == class {
			h.keeps[e.Index] = true
		}
	}
	if len(h.keeps) == 0 {
		r.t.Fatalf("a hold on nothing")
	}
	r.holds = append(r.holds, h)
	return "hold", a, nil
}

// readable is all that can still be read of a membership.
func (r *randomLife) readable(ref Ref) []opened {
	slot, nonce := r.l.refs.open(ref)
	rec, err := r.l.keys.Member(slot)
	if err != nil {
		r.t.Fatal(err)
	}
	if rec == nil || rec.Nonce != nonce {
		return nil
	}
	all, _, err := r.l.openMember(rec)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *randomLife) lookAt() (string, *Answer, error) {
	ctx, why := r.t.Context(), Look{Reason: "r", What: "state"}
	ref := r.ref()
	var err error
	switch r.rng.IntN(4) {
	case 0:
		_, err = r.l.Member(ctx, dpo, ref, why)
	case 1:
		_, _, err = r.l.History(ctx, dpo, ref, why, 0, 10)
	case 2:
		_, err = r.l.Export(ctx, dpo, ref, why)
	default:
		_, err = r.l.Kept(ctx, dpo, ref, why, choose(r, []string{"purchase", "shop/membership", "proof", "buyers", "shipping"}))
		return "kept", nil, err
	}
	return "look", nil, err
}

func (r *randomLife) fail(format string, args ...any) {
	r.t.Helper()
	for _, line := range r.log[max(0, len(r.log)-60):] {
		r.t.Log(line)
	}
	r.t.Fatalf(format, args...)
}

func (r *randomLife) step() {
	switch r.rng.IntN(24) {
	case 0:
		r.w.clock.Advance(time.Duration(r.rng.IntN(400)) * 24 * time.Hour)
	case 1:
		r.w.clock.Advance(-time.Duration(r.rng.IntN(40)) * 24 * time.Hour)
	case 2, 3, 4, 5, 6, 7, 8:
		r.w.clock.Advance(time.Duration(r.rng.IntN(100)) * time.Hour)
	}
	if r.one(10) {
		n, err := r.l.Sweep(r.t.Context())
		if err != nil && !(r.busy && errors.Is(err, ErrBusy)) {
			r.fail("sweep: %v", err)
		}
		r.log = append(r.log, fmt.Sprintf("%s sweep %d", r.l.now().UTC().Format(time.DateTime), n))
	}
	name, a, err := r.call()
	if name == "" {
		return
	}
	r.log = append(r.log, fmt.Sprintf("%s %s: %v", r.l.now().UTC().Format(time.DateTime), name, err))
	switch {
	case err == nil:
		r.done[name]++
	case r.busy && errors.Is(err, ErrBusy):
		return
	case isRefusal(err), errors.Is(err, ErrUnknownMember), errors.Is(err, ErrWithdrawn), errors.Is(err, ErrDormant), errors.Is(err, ErrUnknownGround):
		return
	default:
		r.fail("%s: %v", name, err)
	}
	if a == nil {
		return
	}
	if a.Member != (Ref{}) && !slices.Contains(r.refs, a.Member) {
		r.refs = append(r.refs, a.Member)
	}
	for _, e := range a.Entries {
		if e.Class == "destructions" {
			r.destructions = append(r.destructions, e.Index)
		}
	}
}

// check holds the ledger to what must be so after any calls.
func (r *randomLife) check() {
	r.t.Helper()
	ctx := r.t.Context()
	if _, err := r.l.Sweep(ctx); err != nil {
		r.fail("sweep: %v", err)
	}
	deep, err := r.l.VerifyDeep(ctx, admin, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if !deep.Intact {
		r.fail("verify --deep of an honest ledger: %+v", deep.Findings)
	}
	now := r.l.now()
	r.holdsKeep(now)
	r.endedIsGone(now)
	r.sameFromDisk()
	r.dueIsComplete()
}

// holdsKeep looks for what holds keep.
func (r *randomLife) holdsKeep(now time.Time) {
	r.t.Helper()
	for _, h := range r.holds {
		if h.keeps == nil || !h.until.After(now) {
			continue
		}
		have := map[uint64]bool{}
		for _, e := range r.readable(h.ref) {
			have[e.Index] = true
		}
		for index := range h.keeps {
			if !have[index] {
				r.fail("entry %d is gone, and hold %s keeps it until %s", index, h.id, h.until)
			}
		}
	}
}

// endedIsGone looks for keys of events that ended for everybody. Only a hold may keep one.
func (r *randomLife) endedIsGone(now time.Time) {
	r.t.Helper()
	slots, err := r.l.keys.Slots(0, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range slots {
		for _, k := range s.Member.Keys {
			rule, _ := r.l.register.Load().Rule(consent.ClassID(k.Class))
			for _, e := range r.ended {
				is := map[string]string{consent.EventDelivered: consent.UntilDelivery, consent.EventEnded: consent.UntilEventEnd}[e.Type]
				if k.Reference == e.Reference && rule.Until == is && k.NotBefore <= now.Unix() {
					r.fail("a key of class %s is there, and its event has ended for everybody", k.Class)
				}
			}
		}
	}
}

// sameFromDisk compares what is in memory of each member with what is on disk.
func (r *randomLife) sameFromDisk() {
	r.t.Helper()
	ctx := r.t.Context()
	for i := range r.ids {
		id := memberID(r.t, memberName(i))
		answers := func() string {
			var b strings.Builder
			for _, p := range []string{"shop/membership", "shop/newsletter", "shop/order", "shop/delivery", "shop/raffle", "club/membership", "club/delivery"} {
				d, err := r.l.Decide(ctx, dpo, &consent.Question{Member: id, Purpose: p})
				fmt.Fprintf(&b, "%s %v %s %v; ", p, d.Allowed, d.Reason, err)
			}
			ref, state, err := r.l.Lookup(ctx, dpo, id)
			fmt.Fprint(&b, ref, state, err)
			return b.String()
		}
		before := answers()
		m, err := r.l.acquire(ctx, r.l.pathOf(id))
		if err != nil {
			r.t.Fatal(err)
		}
		keys := fmt.Sprint(statesOfAny(m))
		m.dead = true
		r.l.release(m)
		after := answers()
		if before != after {
			r.fail("member %d in memory and on disk:\n%s\n%s", i, before, after)
		}
		if m, err = r.l.acquire(ctx, r.l.pathOf(id)); err != nil {
			r.t.Fatal(err)
		}
		if again := fmt.Sprint(statesOfAny(m)); again != keys {
			r.fail("keys of member %d in memory and on disk:\n%s\n%s", i, keys, again)
		}
		r.l.release(m)
	}
}

func statesOfAny(m *member) []consent.KeyState {
	if m.rec == nil {
		return nil
	}
	return m.states()
}

// dueIsComplete compares the officer's list with a look at everybody.
func (r *randomLife) dueIsComplete() {
	r.t.Helper()
	ctx := r.t.Context()
	reg := r.l.register.Load()
	within := time.Duration(r.rng.IntN(700)) * 24 * time.Hour
	until := reg.DayStart(reg.Day(r.l.now().Add(within)) + 1)
	var want, got []string
	slots, err := r.l.keys.Slots(0, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	line := func(ref Ref, d consent.DueItem) string {
		return fmt.Sprint(ref, d.Kind, d.ID, d.At.UTC().Format(time.DateTime))
	}
	for _, s := range slots {
		err := r.l.readSlot(ctx, s.Member.Path, s.Number, func(m *member, now time.Time) error {
			for _, d := range reg.Due(m.fold, m.states(), now, until) {
				want = append(want, line(r.l.refs.ref(s.Number, s.Member.Nonce), d))
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for _, d := range r.l.asks.due(until) {
		want = append(want, line(Ref{}, d))
	}
	rows, more, err := r.l.Due(ctx, dpo, Look{Reason: "r"}, within)
	if err != nil || more {
		r.fail("due: %v %v", more, err)
	}
	for _, row := range rows {
		got = append(got, line(row.Member, row.DueItem))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		r.fail("due within %v:\n%v\nand by a look at everybody:\n%v", within, got, want)
	}
}
