package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// officePolicy is dormantPolicy with an exemption for statistics.
func officePolicy() string {
	return dormantPolicy() + "exemptions:\n  statistics: {title: {en: Statistics}, basis: PIPA 28-2, anonymised: true}\n"
}

// officeMembers is how many members an office day has.
const officeMembers = 8

// officeDay is what an office does in two years, with members of its own: holds and releases, also of
// who has left, events that end for one and for all, corrections until the last recipient is told,
// requests, notices, a hold that runs out and a dormancy that ends.
//
// did is told of every answer, and whether nothing of the member is left by then; the ledger's own
// are of member -1. then is told of what must be so from now on, whatever happens.
func officeDay(t testing.TB, w *world, l *Ledger, reference string, name func(i int) string, did func(i int, a *Answer, gone bool), then func(func(*Ledger) error)) {
	t.Helper()
	ctx := t.Context()
	check := func(a *Answer, err error) *Answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	do := func(i int, c Call) *Answer {
		t.Helper()
		a := check(l.Do(ctx, dpo, c))
		did(i, a, false)
		return a
	}
	hold := func(i int, ref Ref, class string, until time.Time) *Answer {
		t.Helper()
		a := check(l.PlaceHold(ctx, dpo, ref, &consent.Hold{Classes: []string{class}, Ground: "claim", Until: until}))
		did(i, a, false)
		return a
	}
	refs := make([]Ref, officeMembers)
	for i := range officeMembers {
		refs[i] = do(i, enrolment(t, name(i), w)).Member
	}
	now := w.clock.Now
	w.clock.Advance(time.Hour)

	// Of member 0 a value is corrected, and everybody is told; the request is answered.
	buy := order(t, name(0), reference, w)
	do(0, buy)
	do(0, &consent.Disclosure{Member: memberID(t, name(0)), Recipient: "parcel-co", Purpose: "order", Items: []string{"name"}, OccurredAt: now()})
	old := "wrong name"
	cor := do(0, &consent.Correction{Member: memberID(t, name(0)), Changes: []consent.Change{{Item: "name", Old: &old}}})
	do(0, &consent.CorrectionOutcome{Member: memberID(t, name(0)), Correction: cor.Correction, Outcome: "corrected"})
	do(0, &consent.Notice{Kind: consent.NoticeCorrection, Member: memberID(t, name(0)), Recipient: "parcel-co", Correction: cor.Correction, Channel: "email", SentAt: now(), Outcome: "sent"})
	then(noKey(func(k string) bool { return k == "*/correction "+cor.Correction }))
	q := do(0, &consent.Request{Member: memberID(t, name(0)), Type: consent.RequestSuspension, Channel: "email", ReceivedAt: now()})
	did(0, check(l.RequestOutcome(ctx, dpo, &consent.RequestOutcome{Request: q.Request, Outcome: consent.RequestRefused, Reason: "not the member"})), false)
	do(0, &consent.Signal{Member: memberID(t, name(0)), Signal: "gpc", Value: true, OccurredAt: now()})
	do(0, &consent.Activity{Member: memberID(t, name(0)), OccurredAt: now()})

	// What member 1 withdraws is held, and stays so.
	hold(1, refs[1], "newsletter", now().AddDate(29, 0, 0))
	do(1, &consent.Withdrawal{Member: memberID(t, name(1)), Purposes: []string{"newsletter"}})
	then(func(l *Ledger) error { return keyIsThere(l, refs[1], "shop/newsletter") })

	// Member 2 leaves with an order open, and is held and released after that.
	do(2, order(t, name(2), reference, w))
	do(2, leave(t, name(2)))
	h := hold(2, refs[2], "purchase", now().AddDate(9, 0, 0))
	did(2, check(l.ReleaseHold(ctx, dpo, refs[2], h.Hold)), false)

	// Member 3 leaves while all is held, and is forgotten with the release.
	h = hold(3, refs[3], "membership", now().AddDate(9, 0, 0))
	do(3, leave(t, name(3)))
	did(3, check(l.ReleaseHold(ctx, dpo, refs[3], h.Hold)), true)

	// Member 4 gets a parcel. Then all of these parcels are delivered.
	do(4, order(t, name(4), reference+"-own", w))
	do(4, &consent.EventEnd{Type: consent.EventDelivered, Member: memberID(t, name(4)), Reference: reference + "-own", OccurredAt: now()})
	then(noKey(func(k string) bool { return k == "shop/shipping "+reference+"-own" }))
	did(-1, check(l.EndEvent(ctx, dpo, &consent.EventEnd{Type: consent.EventDelivered, Reference: reference, OccurredAt: now()})), false)
	then(func(l *Ledger) error {
		for end := time.Now().Add(20 * time.Second); len(l.endings.unfinished()) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return errors.New("the end of an event is not brought to its end")
			}
		}
		buy := *buy
		buy.OccurredAt = l.now()
		if _, err := l.Do(ctx, writer, &buy); !isRefusal(err) {
			return fmt.Errorf("an order under a reference that has ended for everybody: %w", err)
		}
		return noKey(func(k string) bool { return k == "shop/shipping "+reference })(l)
	})

	// The ledger's own.
	did(-1, check(l.Do(ctx, writer, &consent.Disclosure{Recipient: "parcel-co", Purpose: "order", Items: []string{"address"}, Basis: "statistics", Form: consent.FormAnonymised, OccurredAt: now()})), false)
	did(-1, check(l.Do(ctx, dpo, &consent.Notice{Kind: consent.NoticePartnerAudit, Recipient: "parcel-co", Channel: "visit", SentAt: now(), Outcome: consent.NoticePassed})), false)
	if rec, err := l.AddRecipient(ctx, admin, &consent.RecipientChange{
		Policy: "shop", ID: "sms-co-" + reference, Announced: now().UTC().Format(time.DateOnly), Reason: "new partner",
		Recipient: consent.Recipient{Name: "SMS Co", Business: "messages", Kind: "processor", Country: "KR", Purposes: []string{"order"}, Items: []string{"name"}, From: now().AddDate(0, 0, 40).Format(time.DateOnly)},
	}); err != nil {
		t.Fatal(err)
	} else {
		did(-1, &Answer{Entries: rec.Entries}, false)
	}
	then(func(l *Ledger) error {
		for _, r := range l.Rules().Recipients() {
			if r.ID == "sms-co-"+reference {
				return nil
			}
		}
		return errors.New("a recipient is lost")
	})

	// Member 5 leaves while a hold runs that then runs out by itself; member 6 falls dormant for good.
	hold(5, refs[5], "membership", now().AddDate(0, 1, 0))
	do(5, leave(t, name(5)))
	do(6, &consent.Notice{Kind: consent.NoticeDormancy, Member: memberID(t, name(6)), Channel: "email", SentAt: now(), Outcome: "delivered"})
	w.clock.Advance(760 * 24 * time.Hour)
	if _, err := l.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for i := 5; i < 7; i++ {
		if _, _, err := l.Lookup(ctx, dpo, memberID(t, name(i))); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("member %d of the day after two years: %v", i, err)
		}
		did(i, &Answer{}, true)
	}
}

// noKey fails while the keyring has a key of a class and reference.
func noKey(is func(classAndReference string) bool) func(*Ledger) error {
	return func(l *Ledger) error {
		slots, err := l.keys.Slots(0, 1<<20)
		if err != nil {
			return err
		}
		for _, s := range slots {
			for _, k := range s.Member.Keys {
				if is(strings.TrimSpace(k.Class + " " + k.Reference)) {
					return fmt.Errorf("a key of class %s came back", k.Class)
				}
			}
		}
		return nil
	}
}

func keyIsThere(l *Ledger, ref Ref, class string) error {
	slot, nonce := l.refs.open(ref)
	rec, err := l.keys.Member(slot)
	if err != nil {
		return err
	}
	if rec == nil || rec.Nonce != nonce {
		return errors.New("a membership that is held is lost")
	}
	for _, k := range rec.Keys {
		if k.Class == class {
			return nil
		}
	}
	return fmt.Errorf("the key of class %s is lost, though it is held", class)
}
