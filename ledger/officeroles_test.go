package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func TestNobodyMayDoWhatIsNotTheirs(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, officePolicy())
	defer func() { l.Close() }()
	id := "a@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	q := doAs(t, l, dpo, &consent.Request{Member: memberID(t, id), Type: consent.RequestAccess, Channel: "email", ReceivedAt: w.clock.Now()})
	ctx, now, why := t.Context(), w.clock.Now(), Look{Reason: "r", What: "state"}
	do := func(c Call) func(Caller) error {
		return func(who Caller) error { _, err := l.Do(ctx, who, c); return err }
	}
	writers, readers, officers, admins := []Role{RoleWriter, RoleDPO}, []Role{RoleReader, RoleDPO}, []Role{RoleDPO}, []Role{RoleAdmin}
	everybody := []Role{RoleWriter, RoleReader, RoleDPO, RoleAuditor, RoleAdmin}
	calls := []struct {
		name string
		may  []Role
		do   func(Caller) error
	}{
		{"activity", writers, do(&consent.Activity{Member: memberID(t, id), OccurredAt: now})},
		{"reactivation", writers, do(&consent.Reactivation{Member: memberID(t, id), Method: "login"})},
		{"signal", writers, do(&consent.Signal{Member: memberID(t, id), Signal: "gpc", OccurredAt: now})},
		{"event", writers, do(&consent.EventEnd{Type: "delivered", Member: memberID(t, id), Reference: "o", OccurredAt: now})},
		{"anonymised", writers, do(&consent.Disclosure{Recipient: "parcel-co", Purpose: "order", Items: []string{"name"}, Basis: "statistics", Form: consent.FormAnonymised, OccurredAt: now})},
		{"request", officers, do(&consent.Request{Member: memberID(t, id), Type: consent.RequestAccess, Channel: "email", ReceivedAt: now})},
		{"notice of a member", officers, do(&consent.Notice{Kind: consent.NoticeBreach, Member: memberID(t, id), Channel: "email", SentAt: now, Outcome: "sent"})},
		{"notice of nobody", officers, do(&consent.Notice{Kind: consent.NoticeBreach, Channel: "email", SentAt: now, Outcome: "sent"})},
		{"outcome of a request", officers, func(who Caller) error {
			_, err := l.RequestOutcome(ctx, who, &consent.RequestOutcome{Request: q.Request, Outcome: consent.RequestGranted})
			return err
		}},
		{"hold", officers, func(who Caller) error {
			_, err := l.PlaceHold(ctx, who, a.Member, &consent.Hold{Classes: []string{"membership"}, Ground: "g", Until: now.AddDate(1, 0, 0)})
			return err
		}},
		{"release", officers, func(who Caller) error { _, err := l.ReleaseHold(ctx, who, a.Member, "hld_x"); return err }},
		{"kept", officers, func(who Caller) error { _, err := l.Kept(ctx, who, a.Member, why, "membership"); return err }},
		{"due", officers, func(who Caller) error { _, _, err := l.Due(ctx, who, why, time.Hour); return err }},
		{"breach", officers, func(who Caller) error {
			return l.Breach(ctx, who, why, &BreachAsk{}, func(BreachRow) error { return nil })
		}},
		{"export", readers, func(who Caller) error { _, err := l.Export(ctx, who, a.Member, why); return err }},
		{"event for all", writers, func(who Caller) error {
			_, err := l.EndEvent(ctx, who, &consent.EventEnd{Type: "delivered", Reference: string("ref-" + who.Role), OccurredAt: now})
			return err
		}},
		{"withdrawal by ref", writers, func(who Caller) error {
			_, err := l.WithdrawRef(ctx, who, a.Member, &consent.Withdrawal{Purposes: []string{"no-such-purpose"}})
			return err
		}},
		{"recipient", admins, func(who Caller) error {
			_, err := l.AddRecipient(ctx, who, &consent.RecipientChange{Policy: "shop"})
			return err
		}},
		{"processing register", everybody, func(who Caller) error { _, err := l.Processing(who); return err }},
	}
	for _, c := range calls {
		for _, role := range append(everybody, "", "root") {
			may := false
			for _, r := range c.may {
				may = may || r == role
			}
			before := l.Size()
			err := c.do(Caller{KeyID: "key_x", Role: role, From: "test"})
			if may == errors.Is(err, ErrForbidden) {
				t.Errorf("%s by %q: %v, and they may: %v", c.name, role, err, may)
			}
			if !may && l.Size() != before {
				t.Errorf("%s by %q was turned away and left an entry", c.name, role)
			}
		}
		if err := c.do(Caller{}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s by nobody: %v", c.name, err)
		}
	}
	verifyAll(t, l)
}

func TestARequestsIDLeadsToItsOwnRequestAndNowhereElse(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	ask := func(id string) *Answer {
		t.Helper()
		return doAs(t, l, dpo, &consent.Request{Member: memberID(t, id), Type: consent.RequestAccess, Channel: "email", ReceivedAt: w.clock.Now()})
	}
	one, two := "one@shop.example", "two@shop.example"
	a := mustDo(t, l, enrolment(t, one, w))
	mustDo(t, l, enrolment(t, two, w))
	first, other := ask(one), ask(two)
	outcome := func(id string) error {
		_, err := l.RequestOutcome(t.Context(), dpo, &consent.RequestOutcome{Request: id, Outcome: consent.RequestGranted})
		return err
	}
	bad := []string{
		"", "rqt_", first.Request + "a", first.Request[:len(first.Request)-1], strings.ToUpper(first.Request), "mbr_" + first.Request[4:],
		requestPrefix + a.Member.String()[4:], a.Member.String(), first.Request[:15] + other.Request[15:], "rqt_" + first.Request,
	}
	for i := range 26 { // each character another one
		b := []byte(first.Request)
		if b[4+i]++; b[4+i] > 'z' {
			b[4+i] = 'a'
		}
		bad = append(bad, string(b))
	}
	if id, err := l.requestID(1); err != nil { // well-formed, of the same member, and never given out
		t.Fatal(err)
	} else {
		bad = append(bad, id)
	}
	before := l.Size()
	for _, id := range bad {
		var no *consent.Refusal
		if err := outcome(id); !errors.As(err, &no) || no.Kind != consent.NotFound {
			t.Errorf("an id that was not given out: %v", err)
		}
	}
	if l.Size() != before {
		t.Error("an id that was not given out recorded something")
	}
	mustDo(t, l, leave(t, one))
	mustDo(t, l, enrolment(t, one, w))
	if err := outcome(first.Request); !isRefusal(err) {
		t.Errorf("of a membership before this one: %v", err)
	}
	if err := outcome(other.Request); err != nil {
		t.Error(err)
	}
	verifyAll(t, l)
}
