package ledger

import (
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"consentledger/ledger/consent"
	"consentledger/ledger/internal/crashfs"
)

func TestMain(m *testing.M) {
	crashfs.Main()
	goleak.VerifyTestMain(m)
}

func decide(t testing.TB, l *Ledger, id, purpose string) consent.Answer {
	t.Helper()
	a, err := l.Decide(t.Context(), writer, &consent.Question{Member: memberID(t, id), Purpose: purpose})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAMemberLivesAndLeavesAndTheHistoryStaysVerifiable(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	id := "someone@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	if len(a.Entries) != 2 {
		t.Fatalf("%d entries, want one for each of two classes", len(a.Entries))
	}
	mustDo(t, l, order(t, id, "order-1", w))
	if d := decide(t, l, id, "newsletter"); !d.Allowed {
		t.Fatalf("newsletter: %+v", d)
	}
	verifyAll(t, l)
	l = w.reopen(t, l)
	if d := decide(t, l, id, "newsletter"); !d.Allowed {
		t.Fatalf("after a restart, newsletter: %+v", d)
	}
	v, err := l.Member(t.Context(), dpo, a.Member, Look{Reason: "a question by telephone", What: "state"})
	if err != nil {
		t.Fatal(err)
	}
	_ = v
	rows, _, err := l.History(t.Context(), dpo, a.Member, Look{Reason: "a question by telephone", What: "history"}, 0, 100)
	if err != nil || len(rows) != 6 {
		t.Fatalf("history: %d rows, %v", len(rows), err)
	}
	left := mustDo(t, l, leave(t, id))
	if left.DestroyedKeys == 0 || left.DestroyedEntries != 2 {
		t.Errorf("destroyed %d keys and %d entries, want the two entries of membership and newsletter", left.DestroyedKeys, left.DestroyedEntries)
	}
	t.Logf("kept %+v", left.Kept)
	if d := decide(t, l, id, "newsletter"); d.Allowed || d.Reason != consent.ReasonWithdrawn {
		t.Errorf("after leaving: %+v", d)
	}
	if _, err := l.Member(t.Context(), dpo, a.Member, Look{Reason: "x", What: "state"}); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("a look after leaving: %v", err)
	}
	verifyAll(t, l)
	l = w.reopen(t, l)
	verifyAll(t, l)
	again := mustDo(t, l, enrolment(t, id, w))
	if again.Member == a.Member {
		t.Error("who comes back has the old ref")
	}
	verifyAll(t, l)
}

func TestManyCallersAtOnceLeaveALedgerThatVerifies(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	var all sync.WaitGroup
	const callers, each = 16, 40
	for c := range callers {
		all.Go(func() {
			for i := range each {
				id := memberName(c*each + i)
				if _, err := l.Do(t.Context(), writer, enrolment(t, id, w)); err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Do(t.Context(), writer, order(t, id, "order-1", w)); err != nil {
					t.Error(err)
					return
				}
				if i%4 == 0 {
					if _, err := l.Do(t.Context(), writer, leave(t, id)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	verifyAll(t, l)
	l = w.reopen(t, l)
	verifyAll(t, l)
	for i := range callers * each {
		d := decide(t, l, memberName(i), "membership")
		if want := i%each%4 != 0; d.Allowed != want {
			t.Fatalf("member %d: %+v, want allowed %v", i, d, want)
		}
	}
}
