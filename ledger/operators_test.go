package ledger

import (
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func addOperator(t testing.TB, l *Ledger, name, role string, responsible bool) string {
	t.Helper()
	id, _, err := l.AddOperator(t.Context(), admin, &consent.NewOperator{Name: name, Role: role, Responsible: responsible})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// operatorsAs lists the register as a role sees it: names by id, and who is responsible.
func operatorsAs(t testing.TB, l *Ledger, role Role) (names map[string]string, responsible string) {
	t.Helper()
	rows, _, err := l.Operators(t.Context(), Caller{KeyID: "key_x", Role: role})
	if err != nil {
		t.Fatal(err)
	}
	names = map[string]string{}
	for _, r := range rows {
		names[r.ID] = r.Name
		if r.Responsible {
			responsible = r.ID
		}
	}
	return names, responsible
}

func TestTheRegisterOfOperatorsIsKeptAndItsHandoversAreOnRecord(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	first := addOperator(t, l, "Kim Min-ji", "dpo", true)
	second := addOperator(t, l, "Lee Seo-jun", "dpo", false)
	at := w.clock.Now().Add(-time.Hour)
	w.clock.Advance(time.Hour)
	if _, err := l.HandOver(t.Context(), admin, first, second, at); err != nil {
		t.Fatal(err)
	}
	if _, err := l.EndOperator(t.Context(), admin, first); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		names, responsible := operatorsAs(t, l, RoleAdmin)
		if names[first] != "Kim Min-ji" || names[second] != "Lee Seo-jun" || len(names) != 2 || responsible != second {
			t.Errorf("%v, responsible %s", names, responsible)
		}
		rows, handovers, err := l.Operators(t.Context(), dpo)
		if err != nil || rows[0].EndedAt.IsZero() || !rows[1].EndedAt.IsZero() || rows[0].Role != "dpo" {
			t.Errorf("%v", err)
		}
		if len(handovers) != 1 || handovers[0].From != first || handovers[0].To != second || !handovers[0].At.Equal(at) || handovers[0].RecordedAt.Before(at) {
			t.Errorf("%+v", handovers)
		}
		if _, err := l.OperatorCaller(first, "192.0.2.7"); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("who has ended is let in: %v", err)
		}
		if l.Lives(Caller{KeyID: first}) || !l.Lives(Caller{KeyID: second}) {
			t.Error("who lives is another one")
		}
		if c, err := l.OperatorCaller(second, "192.0.2.7"); err != nil || c.Role != RoleDPO || c.KeyID != second || c.From != "192.0.2.7" {
			t.Errorf("%v %v", c, err)
		}
		verifyAll(t, l)
		l = w.reopen(t, l)
	}
}

func TestTheRegisterOfOperatorsIsChangedByAdminsAndReadWithNamesByThoseWhoMayReadThem(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := addOperator(t, l, "Kim Min-ji", "dpo", true)
	for _, role := range []Role{RoleWriter, RoleReader, RoleDPO, RoleAuditor, ""} {
		who := Caller{KeyID: "key_x", Role: role}
		before := l.Size()
		_, _, err := l.AddOperator(t.Context(), who, &consent.NewOperator{Name: "n", Role: "dpo"})
		_, err2 := l.HandOver(t.Context(), who, id, id, w.clock.Now())
		_, err3 := l.EndOperator(t.Context(), who, id)
		if !errors.Is(err, ErrForbidden) || !errors.Is(err2, ErrForbidden) || !errors.Is(err3, ErrForbidden) || l.Size() != before {
			t.Errorf("%q changes it: %v %v %v", role, err, err2, err3)
		}
		_, _, err = l.Operators(t.Context(), who)
		if may := role == RoleDPO || role == RoleAuditor; may != (err == nil) {
			t.Errorf("%q reads it: %v", role, err)
		}
	}
	scoped := Caller{KeyID: "key_x", Role: RoleAdmin, Policies: []string{"shop"}}
	_, _, err := l.AddOperator(t.Context(), scoped, &consent.NewOperator{Name: "n", Role: "dpo"})
	_, err2 := l.HandOver(t.Context(), scoped, id, id, w.clock.Now())
	_, err3 := l.EndOperator(t.Context(), scoped, id)
	if !errors.Is(err, ErrPolicyNotAllowed) || !errors.Is(err2, ErrPolicyNotAllowed) || !errors.Is(err3, ErrPolicyNotAllowed) {
		t.Errorf("an admin of one policy changes it: %v %v %v", err, err2, err3)
	}
	// An auditor reads who is there and makes nothing be opened; the officer, as a control, reads the name.
	if names, _ := operatorsAs(t, l, RoleAuditor); len(names) != 1 || names[id] != "" {
		t.Errorf("an auditor sees %d operators, and a name: %v", len(names), names[id] != "")
	}
	if names, _ := operatorsAs(t, l, RoleDPO); names[id] != "Kim Min-ji" {
		t.Error("the officer does not see the name")
	}
}

// The looks that name an operator are kept for two years; the name dies with the last of them, and
// the register stays.
func TestAnOperatorsNameIsDestroyedByTheClockAndTheRegisterStillVerifies(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := addOperator(t, l, "Kim Min-ji", "dpo", false)
	other := addOperator(t, l, "Lee Seo-jun", "dpo", false)
	member := mustDo(t, l, enrolment(t, "a@shop.example", w)).Member
	who, err := l.OperatorCaller(id, "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	looks := func() (n int) {
		rows, _, err := l.History(t.Context(), dpo, member, Look{Reason: "r", What: "history"}, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Event.Kind == consent.KindAccess && r.Event.Who == id {
				n++
				if r.Event.From != "192.0.2.7" {
					t.Errorf("the look is from %q", r.Event.From)
				}
			}
		}
		return n
	}
	if _, err := l.Member(t.Context(), who, member, Look{Reason: "a question", What: "state"}); err != nil {
		t.Fatal(err)
	}
	if looks() != 1 {
		t.Fatal("the look does not name the operator")
	}
	if _, err := l.EndOperator(t.Context(), admin, id); err != nil {
		t.Fatal(err)
	}
	w.clock.t = time.Date(2027, 3, 1, 23, 0, 0, 0, time.FixedZone("KST", 9*60*60)) // the last day, in Seoul
	sweep(t, l)
	if names, _ := operatorsAs(t, l, RoleAdmin); names[id] != "Kim Min-ji" || looks() != 1 {
		t.Error("control: on the last day a name or a look is gone")
	}
	w.clock.Advance(2 * time.Hour)
	sweep(t, l)
	for range 2 {
		if names, _ := operatorsAs(t, l, RoleAdmin); names[id] != "" || names[other] != "Lee Seo-jun" || len(names) != 2 || looks() != 0 {
			t.Error("the name outlives the looks, or somebody else's was destroyed")
		}
		if _, _, err := l.operatorSlot(id); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("something is left of the operator in the keyring: %v", err)
		}
		verifyAll(t, l)
		l = w.reopen(t, l)
	}
}

// Operators lie in the keyring as members do. No call about members may lead to them.
func TestNoCallAboutMembersLeadsToAnOperator(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	ref, err := parseOperatorID(addOperator(t, l, "Kim Min-ji", "dpo", false))
	if err != nil {
		t.Fatal(err)
	}
	look := Look{Reason: "r", What: "state"}
	calls := map[string]func(Ref) error{
		"state":   func(r Ref) error { _, err := l.Member(t.Context(), dpo, r, look); return err },
		"history": func(r Ref) error { _, _, err := l.History(t.Context(), dpo, r, look, 0, 10); return err },
		"export":  func(r Ref) error { _, err := l.Export(t.Context(), dpo, r, look); return err },
		"kept":    func(r Ref) error { _, err := l.Kept(t.Context(), dpo, r, look, "operator"); return err },
		"hold": func(r Ref) error {
			_, err := l.PlaceHold(t.Context(), dpo, r, &consent.Hold{Classes: []string{"operator", "membership"}, Ground: "g", Until: w.clock.Now().AddDate(1, 0, 0)})
			return err
		},
		"release": func(r Ref) error { _, err := l.ReleaseHold(t.Context(), dpo, r, "hld_x"); return err },
		"withdrawal": func(r Ref) error {
			_, err := l.WithdrawRef(t.Context(), writer, r, &consent.Withdrawal{Membership: true})
			return err
		},
	}
	for name, call := range calls {
		before := l.Size()
		if err := call(ref); !errors.Is(err, ErrUnknownMember) || l.Size() != before {
			t.Errorf("%s: %v", name, err)
		}
		member := mustDo(t, l, enrolment(t, name+"@shop.example", w)).Member
		if err := call(member); errors.Is(err, ErrUnknownMember) {
			t.Errorf("control: %s of a member: %v", name, err)
		}
	}
	mustDo(t, l, enrolment(t, "b@shop.example", w))
	mustDo(t, l, order(t, "b@shop.example", "order-1", w))
	mustDo(t, l, &consent.Disclosure{Member: memberID(t, "b@shop.example"), Recipient: "parcel-co", Purpose: "order", Items: []string{"name"}, OccurredAt: w.clock.Now()})
	q := &BreachAsk{BreachQuery: consent.BreachQuery{From: w.clock.Now().Add(-time.Hour), To: w.clock.Now().Add(time.Hour)}}
	found := 0
	err = l.Breach(t.Context(), dpo, look, q, func(row BreachRow) error {
		if found++; row.Member == ref {
			t.Error("a breach query answers with an operator")
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d members are affected: %v", found, err)
	}
	verifyAll(t, l)
}

func TestWhatAnOperatorSignsInWithIsReplacedOnlyByWhoSawItAndIsDestroyedWithItsKey(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := addOperator(t, l, "Kim Min-ji", "dpo", false)
	have := func() string {
		b, err := l.SignInRecord(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if have() != "" {
		t.Error("there is something to sign in with from the start")
	}
	if _, _, err := l.InviteOperator(t.Context(), dpo, id, []byte("x"), "t"); !errors.Is(err, ErrForbidden) {
		t.Errorf("the officer invites: %v", err)
	}
	if _, _, err := l.InviteOperator(t.Context(), admin, id, []byte("invitation"), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ChangeSignIn(t.Context(), id, []byte("invitation"), []byte("password 1"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ChangeSignIn(t.Context(), id, []byte("invitation"), []byte("password of a thief"), true); !errors.Is(err, ErrSignInChanged) {
		t.Errorf("an invitation is used twice: %v", err)
	}
	if _, err := l.ChangeSignIn(t.Context(), id, []byte("password 1"), []byte("password 1, step 2"), false); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if have() != "password 1, step 2" {
			t.Errorf("it is %q", have())
		}
		verifyAll(t, l)
		l = w.reopen(t, l)
	}
	destroyed := func() uint64 {
		r, err := l.VerifyDeep(t.Context(), admin, nil)
		if err != nil || !r.Intact {
			t.Fatalf("%+v %v", r, err)
		}
		return r.Destroyed
	}
	before := destroyed()
	if before != 1 {
		t.Errorf("%d entries are destroyed, and one was replaced: the invitation", before)
	}
	if _, err := l.EndOperator(t.Context(), admin, id); err != nil {
		t.Fatal(err)
	}
	if n := destroyed(); n != before+2 {
		t.Errorf("of two entries of what was signed in with %d are destroyed with the operator", n-before)
	}
	if _, err := l.SignInRecord(t.Context(), id); !isRefusal(err) {
		t.Errorf("who has ended has something to sign in with: %v", err)
	}
	if _, err := l.ChangeSignIn(t.Context(), id, nil, []byte("x"), true); !isRefusal(err) {
		t.Errorf("who has ended gets something to sign in with: %v", err)
	}
}
