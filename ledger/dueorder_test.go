package ledger

import (
	"sync"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func TestADueListThatIsCutHasWhatIsLate(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	ask := func(id string, received time.Time) *Answer {
		mustDo(t, l, enrolment(t, id, w))
		return doAs(t, l, dpo, &consent.Request{Member: memberID(t, id), Type: consent.RequestAccess, Channel: "email", ReceivedAt: received})
	}
	var all sync.WaitGroup
	for c := range 50 {
		all.Go(func() {
			for i := c; i < maxDueMembers; i += 50 {
				ask(memberName(i), w.clock.Now())
			}
		})
	}
	all.Wait()
	late := ask("late@shop.example", w.clock.Now().AddDate(0, 0, -40))
	rows, more, err := l.Due(t.Context(), dpo, Look{Reason: "daily list"}, 60*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !more || len(rows) != maxDueMembers {
		t.Errorf("control: %d rows, and more: %v", len(rows), more)
	}
	if rows[0].ID != late.Request {
		t.Errorf("what is late is not in a list that is cut; its first is due at %v", rows[0].At)
	}
	if _, more, err := l.Due(t.Context(), dpo, Look{Reason: "daily list"}, 0); err != nil || more {
		t.Errorf("what is late alone: %v, %v", more, err)
	}
	verifyAll(t, l)
}
