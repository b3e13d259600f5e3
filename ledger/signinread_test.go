package ledger

import (
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// Anybody who knows an operator's id makes the ledger read what they sign in with, by guessing. That costs
// the same however often they have signed in: otherwise the time says who is there, and guesses grow dear.
func TestReadingWhatSomebodySignsInWithDoesNotGrowWithHowOftenTheyDid(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	id, _, err := l.AddOperator(t.Context(), admin, &consent.NewOperator{Name: "Kim Min-ji", Role: "dpo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.InviteOperator(t.Context(), admin, id, []byte{0}, "token"); err != nil {
		t.Fatal(err)
	}
	read := func() float64 {
		return testing.AllocsPerRun(5, func() {
			if _, err := l.SignInRecord(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		})
	}
	first := read()
	have := []byte{0}
	for i := range 100 {
		next := []byte{0, byte(i), 1}
		if _, err := l.ChangeSignIn(t.Context(), id, have, next, i == 40); err != nil {
			t.Fatal(err)
		}
		have = next
	}
	if last := read(); last > 2*first {
		t.Errorf("it takes %.0f allocations, and %.0f at first", last, first)
	}
	if is, err := l.SignInRecord(t.Context(), id); err != nil || string(is) != string(have) {
		t.Errorf("control: the newest is not what is read: %v %v", is, err)
	}
	path, slot, err := l.operatorSlot(id)
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	if err := l.readSlot(t.Context(), path, slot, func(m *member, _ time.Time) error {
		opened, _, err := l.openMember(m.rec)
		all = len(opened)
		return err
	}); err != nil || all < 50 {
		t.Errorf("control: %d entries, %v", all, err)
	}
}
