package ledger

import (
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// Members who enrol while a query runs, faster than it goes through them, do not keep it going.
func TestABreachQueryEndsThoughMembersKeepComing(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, forgeryPolicy)
	defer func() { l.Close() }()
	affected := func(id string) {
		mustDo(t, l, enrolment(t, id, w))
		mustDo(t, l, &consent.Disclosure{Member: memberID(t, id), Recipient: "cloud-co", Purpose: "membership", Items: []string{"email"}, OccurredAt: w.clock.Now()})
	}
	for i := range sweepBatch {
		affected(memberName(i))
	}
	rows := 0
	tooMany := errors.New("more rows than members")
	q := &BreachAsk{BreachQuery: consent.BreachQuery{Recipient: "cloud-co", From: w.clock.Now().Add(-time.Hour), To: w.clock.Now().Add(time.Hour)}}
	err := l.Breach(t.Context(), dpo, Look{Reason: "leak"}, q, func(BreachRow) error {
		if rows++; rows > 2*sweepBatch {
			return tooMany
		}
		affected(memberName(sweepBatch + rows))
		return nil
	})
	if err != nil || rows != sweepBatch {
		t.Errorf("%d rows, %v; want one for each of the %d members that there were", rows, err, sweepBatch)
	}
	verifyAll(t, l)
}
