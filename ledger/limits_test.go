package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"consentledger/ledger/store"
)

func TestAPanicInALookFreesTheMember(t *testing.T) {
	w := newWorld(t)
	boom := false
	w.rand = &countingReader{read: func(b []byte) (int, error) {
		if boom {
			panic("boom")
		}
		return rand.Read(b)
	}}
	l := w.create(t)
	a := mustDo(t, l, enrolment(t, "a@shop.example", w))
	boom = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("control: nothing panicked")
			}
		}()
		l.Member(t.Context(), dpo, a.Member, Look{Reason: "r", What: "state"})
	}()
	boom = false
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := l.Do(ctx, writer, leave(t, "a@shop.example")); err != nil {
		t.Fatalf("after a panic the member cannot be used: %v", err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberWithTooManyReferencesIsRefusedAndStopsNobody(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	mustDo(t, l, order(t, "a@shop.example", "first", w))
	m, err := l.acquire(t.Context(), l.pathOf(memberID(t, "a@shop.example")))
	if err != nil {
		t.Fatal(err)
	}
	rec, keys := m.rec, m.keys
	i := len(rec.Keys) - 1
	m.rec = m.rec.Clone()
	for len(m.rec.Keys) < maxMemberKeys {
		k := rec.Keys[i]
		k.Reference = fmt.Sprint("r", len(m.rec.Keys))
		m.rec.Keys, m.keys = append(m.rec.Keys, k), append(m.keys[:len(m.keys):len(m.keys)], newMemberKey(&k))
	}
	l.release(m)
	if _, err := l.Do(t.Context(), writer, order(t, "a@shop.example", "one-more", w)); !isRefusal(err) {
		t.Errorf("one too many: %v, want a refusal", err)
	}
	if err := l.Health(); err != nil {
		t.Errorf("one member's order stopped the ledger: %v", err)
	}
	if m, err = l.acquire(t.Context(), m.path); err != nil {
		t.Fatal(err)
	}
	m.rec, m.keys = rec, keys
	l.release(m)
	verifyAll(t, l)
}

func TestASweepWaitsForPlacesInTheQueue(t *testing.T) {
	w := newWorld(t)
	w.queue = 8
	l := w.create(t)
	defer func() { l.Close() }()
	for i := range 40 {
		mustDo(t, l, enrolment(t, memberName(i), w))
		mustDo(t, l, order(t, memberName(i), "o", w))
	}
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	if n, err := l.Sweep(t.Context()); err != nil || n != 40 {
		t.Errorf("sweep: %d, %v", n, err)
	}
	verifyAll(t, l)
}

func TestOneMemberDoesNotTakeEveryPlace(t *testing.T) {
	w := newWorld(t)
	w.queue = 3 * maxWaiters
	l := w.create(t)
	defer func() { l.Close() }()
	mustDo(t, l, enrolment(t, "hot@shop.example", w))
	mustDo(t, l, enrolment(t, "other@shop.example", w))
	l.gate.Lock()
	results := make(chan error, 2*maxWaiters)
	for i := range 2 * maxWaiters {
		go func() {
			_, err := l.Do(t.Context(), writer, order(t, "hot@shop.example", fmt.Sprint("o", i), w))
			results <- err
		}()
	}
	var busy int
	for range maxWaiters - 1 {
		if err := <-results; errors.Is(err, ErrBusy) {
			busy++
		}
	}
	p, err := l.Submit(t.Context(), writer, order(t, "other@shop.example", "o", w))
	l.gate.Unlock()
	if err != nil {
		t.Errorf("another member: %v", err)
	} else if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if busy != maxWaiters-1 {
		t.Errorf("%d of the hot member's calls were turned away, want %d", busy, maxWaiters-1)
	}
	for range maxWaiters + 1 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	verifyAll(t, l)
}

func TestVerifyOfALogWithOneWildKeyComesToAnEnd(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	mustDo(t, l, enrolment(t, "a@shop.example", w))
	key := l.PublicKey()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	editDB(t, w, func(x store.Writer) error { return x.Put(mapEntries, indexKey(1<<44), make([]byte, 300)) })
	s, err := w.openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if found := verifyStore(t, s, w.dir, key); len(found) == 0 {
		t.Error("an entry far beyond the log is not found")
	}
}
