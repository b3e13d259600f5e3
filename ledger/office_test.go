package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// dormantPolicy is testPolicy with dormancy.
func dormantPolicy() string {
	return strings.Replace(testPolicy, "minors: refuse", "minors: refuse\nanswer_days: 10\ndormancy: {after: 12mo, notice: 30d, destroy_after: 1y}", 1)
}

func (w *world) createWith(t testing.TB, policy string) *Ledger {
	t.Helper()
	l, err := w.tryCreate()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.AddPolicy(t.Context(), admin, []byte(policy)); err != nil {
		t.Fatal(err)
	}
	return l
}

func doAs(t testing.TB, l *Ledger, who Caller, c Call) *Answer {
	t.Helper()
	a, err := l.Do(t.Context(), who, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sweep(t testing.TB, l *Ledger) int {
	t.Helper()
	n, err := l.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAHoldKeepsWhatAWithdrawalWouldDestroyUntilItIsReleased(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "held@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	hold := func() *Answer {
		t.Helper()
		h, err := l.PlaceHold(t.Context(), dpo, a.Member, &consent.Hold{Classes: []string{"membership", "newsletter"}, Ground: "court order", Until: w.clock.Now().AddDate(1, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := hold()
	if h.Hold == "" || len(h.Entries) != 1 {
		t.Errorf("the answer to a hold: %+v", h)
	}
	if _, err := l.PlaceHold(t.Context(), writer, a.Member, &consent.Hold{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a writer places a hold: %v", err)
	}
	gone := mustDo(t, l, leave(t, id))
	if !keeps(gone, "membership") || !keeps(gone, "newsletter") {
		t.Fatalf("kept: %+v", gone.Kept)
	}
	for _, k := range gone.Kept {
		if k.Class != "access" && (k.Until == nil || strings.Contains(k.Basis, "court")) {
			t.Errorf("kept: %+v", k)
		}
	}
	if d := decide(t, l, id, "membership"); d.Allowed || d.Reason != consent.ReasonWithdrawn {
		t.Errorf("what is held is not used: %+v", d)
	}
	if n := sweep(t, l); n != 0 {
		t.Errorf("the sweep changed %d members while the hold lasts", n)
	}
	l = w.reopen(t, l)
	before := l.Size()
	r, err := l.ReleaseHold(t.Context(), dpo, a.Member, h.Hold)
	if err != nil {
		t.Fatal(err)
	}
	if r.DestroyedKeys != 2 || l.Size() == before {
		t.Errorf("the release destroyed %d keys and wrote %d entries", r.DestroyedKeys, l.Size()-before)
	}
	if _, err := l.ReleaseHold(t.Context(), dpo, a.Member, h.Hold); err == nil {
		t.Error("released twice")
	}
	verifyAll(t, l)
}

func TestAHoldThatRunsOutLetsTheSweepDestroyWhatIsOverdue(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "held@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	until := w.clock.Now().AddDate(0, 2, 0)
	if _, err := l.PlaceHold(t.Context(), dpo, a.Member, &consent.Hold{Classes: []string{"membership"}, Ground: "claim", Until: until}); err != nil {
		t.Fatal(err)
	}
	mustDo(t, l, leave(t, id))
	w.clock.Advance(until.Sub(w.clock.Now()) - time.Second)
	if n := sweep(t, l); n != 0 {
		t.Errorf("a second before: %d", n)
	}
	w.clock.Advance(time.Second)
	if n := sweep(t, l); n != 1 {
		t.Errorf("at its end: %d", n)
	}
	if _, _, err := l.Lookup(t.Context(), writer, memberID(t, id)); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("lookup: %v", err)
	}
	verifyAll(t, l)
}

func TestARequestIsAnsweredByItsIDAlone(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, dormantPolicy())
	defer func() { l.Close() }()
	id, other := "asks@shop.example", "other@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	mustDo(t, l, enrolment(t, other, w))
	q := &consent.Request{Member: memberID(t, id), Type: consent.RequestSuspension, Channel: "email", ReceivedAt: w.clock.Now()}
	if _, err := l.Do(t.Context(), writer, q); !errors.Is(err, ErrForbidden) {
		t.Errorf("a writer: %v", err)
	}
	a := doAs(t, l, dpo, q)
	// Received on 2025-03-01 in Seoul; ten days end with 03-11.
	if want := time.Date(2025, 3, 12, 0, 0, 0, 0, time.FixedZone("KST", 9*3600)); !a.DueAt.Equal(want) {
		t.Errorf("due at %v, want %v", a.DueAt, want)
	}
	if d := decide(t, l, id, "newsletter"); d.Reason != consent.ReasonProcessingSuspended {
		t.Errorf("while it is open: %+v", d)
	}
	if d := decide(t, l, other, "newsletter"); !d.Allowed {
		t.Errorf("another member: %+v", d)
	}
	due := func() []DueRow {
		t.Helper()
		rows, more, err := l.Due(t.Context(), dpo, Look{Reason: "daily list"}, 30*24*time.Hour)
		if err != nil || more {
			t.Fatal(err, more)
		}
		return rows
	}
	if rows := due(); len(rows) != 1 || rows[0].Kind != consent.DueRequest || rows[0].ID != a.Request || rows[0].Member != a.Member {
		t.Errorf("due: %+v", rows)
	}
	if _, err := l.RequestOutcome(t.Context(), dpo, &consent.RequestOutcome{Request: "rqt_" + strings.Repeat("a", 26), Outcome: consent.RequestGranted}); !isRefusal(err) {
		t.Errorf("an id that leads nowhere: %v", err)
	}
	if _, err := l.RequestOutcome(t.Context(), dpo, &consent.RequestOutcome{Request: a.Request, Outcome: consent.RequestRefused, Reason: "not the member"}); err != nil {
		t.Fatal(err)
	}
	if d := decide(t, l, id, "newsletter"); !d.Allowed {
		t.Errorf("after it was refused: %+v", d)
	}
	if rows := due(); len(rows) != 0 {
		t.Errorf("due after the outcome: %+v", rows)
	}
	mustDo(t, l, leave(t, id))
	if _, err := l.RequestOutcome(t.Context(), dpo, &consent.RequestOutcome{Request: a.Request, Outcome: consent.RequestGranted}); !isRefusal(err) {
		t.Errorf("of who has left: %v", err)
	}
	verifyAll(t, l)
}

func TestAnIdleMemberFallsDormantAfterANoticeAndIsForgottenInTheEnd(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, dormantPolicy())
	defer func() { l.Close() }()
	id, back := "idle@shop.example", "back@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	mustDo(t, l, enrolment(t, back, w))
	state := func(id string) State {
		t.Helper()
		_, s, err := l.Lookup(t.Context(), writer, memberID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	dueKinds := func() (kinds []string) {
		t.Helper()
		rows, _, err := l.Due(t.Context(), dpo, Look{Reason: "daily list"}, 30*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			kinds = append(kinds, r.Kind)
		}
		return kinds
	}
	notice := func(id string) {
		t.Helper()
		doAs(t, l, dpo, &consent.Notice{Kind: consent.NoticeDormancy, Member: memberID(t, id), Channel: "email", SentAt: w.clock.Now(), Outcome: consent.NoticeSent})
	}
	if k := dueKinds(); len(k) != 0 {
		t.Errorf("due at once: %v", k)
	}
	w.clock.Advance(330 * 24 * time.Hour)
	sweep(t, l)
	if k := dueKinds(); !slices.Equal(k, []string{consent.DueDormancyNotice, consent.DueDormancyNotice}) {
		t.Errorf("due after eleven months: %v", k)
	}
	w.clock.Advance(60 * 24 * time.Hour)
	sweep(t, l)
	if s := state(id); s != StateActive {
		t.Errorf("without a notice: %v", s)
	}
	notice(id)
	notice(back)
	w.clock.Advance(29 * 24 * time.Hour)
	if s := state(id); s != StateActive {
		t.Errorf("before the notice's time is up: %v", s)
	}
	w.clock.Advance(3 * 24 * time.Hour)
	if s := state(id); s != StateDormant {
		t.Fatalf("after it: %v", s)
	}
	if d := decide(t, l, id, "membership"); d.Reason != consent.ReasonDormant {
		t.Errorf("%+v", d)
	}
	v, err := l.Member(t.Context(), dpo, a.Member, Look{Reason: "r"})
	if err != nil || v.State != string(StateDormant) || len(v.Purposes) != 0 {
		t.Errorf("by the ordinary call: %+v, %v", v, err)
	}
	if _, _, err := l.History(t.Context(), dpo, a.Member, Look{Reason: "r"}, 0, 10); !errors.Is(err, ErrDormant) {
		t.Errorf("history: %v", err)
	}
	if k, err := l.Kept(t.Context(), dpo, a.Member, Look{Reason: "r"}, "membership"); err != nil || k.State != StateDormant || len(k.Entries) == 0 {
		t.Errorf("kept: %+v, %v", k, err)
	}
	mustDo(t, l, &consent.Reactivation{Member: memberID(t, back), Method: "login"})
	if d := decide(t, l, back, "membership"); !d.Allowed {
		t.Errorf("who came back: %+v", d)
	}
	w.clock.Advance(370 * 24 * time.Hour)
	if n := sweep(t, l); n == 0 {
		t.Error("nobody was forgotten")
	}
	if _, _, err := l.Lookup(t.Context(), writer, memberID(t, id)); !errors.Is(err, ErrUnknownMember) {
		// The looks are kept for their own time.
		if s := state(id); s != StateWithdrawn {
			t.Errorf("after a year of dormancy: %v", s)
		}
	}
	if d := decide(t, l, back, "membership"); !d.Allowed {
		t.Errorf("who came back, a year on and without a notice: %+v", d)
	}
	verifyAll(t, l)
}

func TestACopyElsewhereIsAskedForUntilItsDestructionIsConfirmed(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "leaves@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	gone := mustDo(t, l, leave(t, id))
	index := gone.Entries[len(gone.Entries)-1].Index
	ask := &consent.Notice{
		Kind: consent.NoticeDestructionRequest, Destruction: &index, Recipient: "parcel-co", Channel: "email",
		SentAt: w.clock.Now(), DueAt: w.clock.Now().AddDate(0, 0, 14), Outcome: consent.NoticeSent,
	}
	doAs(t, l, dpo, ask)
	wrong := *ask
	first := uint64(0)
	wrong.Destruction = &first
	if _, err := l.Do(t.Context(), dpo, &wrong); !isRefusal(err) {
		t.Errorf("an entry that is no destruction: %v", err)
	}
	l = w.reopen(t, l)
	rows, _, err := l.Due(t.Context(), dpo, Look{Reason: "r"}, 30*24*time.Hour)
	if err != nil || len(rows) != 1 || rows[0].Kind != consent.DueDestructionRequest || rows[0].Member != (Ref{}) {
		t.Errorf("due: %+v, %v", rows, err)
	}
	done := *ask
	done.Outcome, done.DueAt = consent.NoticeConfirmed, time.Time{}
	doAs(t, l, dpo, &done)
	l = w.reopen(t, l)
	if rows, _, err := l.Due(t.Context(), dpo, Look{Reason: "r"}, 30*24*time.Hour); err != nil || len(rows) != 0 {
		t.Errorf("after it was confirmed: %+v, %v", rows, err)
	}
	verifyAll(t, l)
}

func TestAReleaseLetsOnlyThoseDaysGoThatHaveRunOut(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	a := mustDo(t, l, order(t, id, "order-1", w))
	h, err := l.PlaceHold(t.Context(), dpo, a.Member, &consent.Hold{Classes: []string{"purchase"}, Ground: "claim", Until: w.clock.Now().AddDate(9, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(3 * 365 * 24 * time.Hour)
	mustDo(t, l, order(t, id, "order-2", w))
	w.clock.Advance(3 * 365 * 24 * time.Hour) // five years and more after the first, three after the second
	sweep(t, l)
	state := func() (readable int) {
		t.Helper()
		rec, err := l.keys.Member(1)
		if err != nil {
			t.Fatal(err)
		}
		all, _, err := l.openMember(rec)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Class == "purchase" && e.Event.Kind == consent.KindConsent {
				readable++
			}
		}
		return readable
	}
	if n := state(); n != 2 {
		t.Fatalf("%d orders can be read while the hold lasts", n)
	}
	r, err := l.ReleaseHold(t.Context(), dpo, a.Member, h.Hold)
	if err != nil {
		t.Fatal(err)
	}
	if n := state(); n != 1 || r.DestroyedEntries < 1 {
		t.Errorf("after the release %d orders can be read, and %d entries were destroyed", n, r.DestroyedEntries)
	}
	verifyAll(t, l)
}

func TestNobodyFallsDormantEarlyBecauseTheEntryThatShowedThemActiveRanOut(t *testing.T) {
	w := newWorld(t)
	policy := strings.Replace(dormantPolicy(), "purchase: {keep: 5y", "purchase: {keep: 3mo", 1)
	l := w.createWith(t, policy)
	defer func() { l.Close() }()
	id := "buyer@shop.example"
	mustDo(t, l, enrolment(t, id, w))
	w.clock.Advance(6 * 30 * 24 * time.Hour)
	c := order(t, id, "", w)
	c.Decisions = c.Decisions[:1] // the newest word, in a class of three months
	mustDo(t, l, c)
	w.clock.Advance(4 * 30 * 24 * time.Hour)
	if n := sweep(t, l); n == 0 {
		t.Fatal("the order's time is up, and nothing went")
	}
	doAs(t, l, dpo, &consent.Notice{Kind: consent.NoticeDormancy, Member: memberID(t, id), Channel: "email", SentAt: w.clock.Now(), Outcome: consent.NoticeSent})
	w.clock.Advance(4 * 30 * 24 * time.Hour) // fourteen months after the enrolment, eight after the order
	if d := decide(t, l, id, "membership"); !d.Allowed {
		t.Errorf("eight months after the order: %+v", d)
	}
	w.clock.Advance(5 * 30 * 24 * time.Hour)
	if d := decide(t, l, id, "membership"); d.Reason != consent.ReasonDormant {
		t.Errorf("thirteen months after the order: %+v", d)
	}
	verifyAll(t, l)
}
