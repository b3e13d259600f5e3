package ledger

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

// Whoever has the answer to a revocation can rely on it: calls that were let in before it, and had not been
// written, are refused, so that no entry of the key lies behind the revocation's.
func TestNoEntryOfAKeyLiesBehindItsRevocation(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	nothingBehindTheEnd(t, l, w, func(round int) (enter func() (Caller, error), end func() (Written, error)) {
		k, token := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: fmt.Sprint("race-", round)})
		return func() (Caller, error) { return l.Authenticate(token, "test") },
			func() (Written, error) { return l.RevokeAPIKey(t.Context(), admin, k.ID) }
	})
	verifyAll(t, l)
}

func TestNoEntryOfAnOperatorLiesBehindTheirEnd(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	nothingBehindTheEnd(t, l, w, func(int) (enter func() (Caller, error), end func() (Written, error)) {
		id, _, err := l.AddOperator(t.Context(), admin, &consent.NewOperator{Name: "An Officer", Role: "dpo"})
		if err != nil {
			t.Fatal(err)
		}
		return func() (Caller, error) { return l.OperatorCaller(id, "test") },
			func() (Written, error) { return l.EndOperator(t.Context(), admin, id) }
	})
	verifyAll(t, l)
}

// nothingBehindTheEnd has many write at once as somebody new each round, ends them in the middle, and looks for
// entries of theirs behind those of the end.
func nothingBehindTheEnd(t *testing.T, l *Ledger, w *world, somebody func(round int) (enter func() (Caller, error), end func() (Written, error))) {
	t.Helper()
	const callers, rounds = 32, 20
	var done, refused atomic.Int64
	for round := range rounds {
		enter, end := somebody(round)
		var newest atomic.Uint64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for n := 0; ; n++ {
					who, err := enter()
					if err == nil {
						var a *Answer
						if a, err = l.Do(t.Context(), who, enrolment(t, fmt.Sprintf("race-%d-%d-%d@shop.example", round, i, n), w)); err == nil {
							done.Add(1)
							for _, e := range a.Entries {
								for old := newest.Load(); old < e.Index && !newest.CompareAndSwap(old, e.Index); old = newest.Load() {
								}
							}
							continue
						}
						refused.Add(1)
					}
					if !errors.Is(err, ErrUnauthorized) {
						t.Errorf("%v", err)
					}
					return
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		written, err := end()
		if err != nil {
			t.Fatal(err)
		}
		all.Wait()
		last := uint64(0)
		for _, e := range written.Entries {
			last = max(last, e.Index)
		}
		if newest.Load() > last {
			t.Errorf("entry %d is theirs, and their end is entry %d", newest.Load(), last)
		}
	}
	if done.Load() == 0 || refused.Load() == 0 {
		t.Errorf("control: %d calls were made and %d that had been let in were refused", done.Load(), refused.Load())
	}
}

// No record, no answer: a look that is not recorded shows nothing.
func TestNoLookWithAKeyIsRecordedBehindItsRevocation(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	const members = 16
	refs := make([]Ref, members)
	for i := range refs {
		refs[i] = mustDo(t, l, enrolment(t, fmt.Sprintf("looked-at-%d@shop.example", i), w)).Member
	}
	var seen, refused atomic.Int64
	for round := range 20 {
		k, token := newKey(t, l, NewAPIKey{Role: RoleReader, Name: fmt.Sprint("reader-", round)})
		var all sync.WaitGroup
		for _, ref := range refs {
			all.Go(func() {
				for {
					who, err := l.Authenticate(token, "test")
					if err == nil {
						if _, err = l.Member(t.Context(), who, ref, Look{Reason: "because", What: "state"}); err == nil {
							seen.Add(1)
							continue
						}
						refused.Add(1)
					}
					if !errors.Is(err, ErrUnauthorized) {
						t.Errorf("%v", err)
					}
					return
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		if _, err := l.RevokeAPIKey(t.Context(), admin, k.ID); err != nil {
			t.Fatal(err)
		}
		size := l.Size()
		all.Wait()
		if got := l.Size(); got != size {
			t.Errorf("%d looks were recorded after the key had ended", got-size)
		}
	}
	if seen.Load() == 0 || refused.Load() == 0 {
		t.Errorf("control: %d looks, and %d that had been let in were refused", seen.Load(), refused.Load())
	}
	verifyAll(t, l)
}

func TestAKeyCanEndItselfAndNothingAfterThat(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	other, _ := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "other"})
	boss, token := newKey(t, l, NewAPIKey{Role: RoleAdmin, Name: "boss"})
	newKey(t, l, NewAPIKey{Role: RoleAdmin, Name: "second boss"})
	who, err := l.Authenticate(token, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.RevokeAPIKey(t.Context(), who, boss.ID); err != nil {
		t.Fatalf("control: %v", err)
	}
	size := l.Size()
	if _, err := l.RevokeAPIKey(t.Context(), who, other.ID); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("it ends another key: %v", err)
	}
	if _, _, _, err := l.CreateAPIKey(t.Context(), who, NewAPIKey{Role: RoleAdmin, Name: "heir"}); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("it makes a key: %v", err)
	}
	if _, err := l.EndOperator(t.Context(), who, "opr_aaaaaaaaaaaaaaaaaaaaaaaaaa"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("it ends an operator: %v", err)
	}
	who.Role = RoleDPO
	if _, err := l.Do(t.Context(), who, &consent.Activity{Member: memberID(t, "x@shop.example"), OccurredAt: w.clock.Now()}); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("it writes: %v", err)
	}
	if l.Size() != size {
		t.Errorf("%d entries were written", l.Size()-size)
	}
}

func TestACertificateWithTheNamesOfTwoKeysStandsForNeither(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	a, token := newKey(t, l, NewAPIKey{Role: RoleAdmin, Name: "a", Certificate: "a.example"})
	b, _ := newKey(t, l, NewAPIKey{Role: RoleWriter, Name: "b", Certificate: "b.example"})
	if token != "" {
		t.Error("there is a token")
	}
	both := []string{"b.example", "other.example", "a.example"}
	for range 20 {
		if who, err := l.AuthenticateCertificate(both, "test"); !errors.Is(err, ErrUnauthorized) {
			t.Fatalf("%+v, %v", who, err)
		}
	}
	if who, err := l.AuthenticateCertificate(both[:2], "test"); err != nil || who.KeyID != b.ID {
		t.Errorf("control: %+v, %v", who, err)
	}
	if _, err := l.RevokeAPIKey(t.Context(), admin, a.ID); err != nil {
		t.Fatal(err)
	}
	if who, err := l.AuthenticateCertificate(both, "test"); err != nil || who.KeyID != b.ID {
		t.Errorf("with the other key ended: %+v, %v", who, err)
	}
	if _, err := l.AuthenticateCertificate(nil, "test"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("without a name: %v", err)
	}
	if _, err := l.AuthenticateCertificate([]string{""}, "test"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("with an empty name: %v", err)
	}
}
