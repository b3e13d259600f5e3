package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"consentledger/ledger/internal/crashfs"
	"consentledger/ledger/store"
)

func TestAFailedCommitStopsAllWritingAndIsNeverCalledAFailure(t *testing.T) {
	for _, happened := range []bool{false, true} {
		w, fs := onRecord(t)
		l := w.create(t)
		mustDo(t, l, enrolment(t, "before@shop.example", w))
		fs.Inject(t, crashfs.Fault{Kind: crashfs.Fsync, PathSuffix: "ledger.db", Nth: 1, Errno: syscall.EIO, Happened: happened})
		a, err := l.Do(t.Context(), writer, enrolment(t, "during@shop.example", w))
		if err == nil {
			t.Fatalf("an fsync failed, and the answer was %+v", a)
		}
		if !errors.Is(err, ErrUncertain) {
			t.Errorf("an fsync failed: %v, want it to say that nobody knows", err)
		}
		if _, err := l.Do(t.Context(), writer, enrolment(t, "after@shop.example", w)); !errors.Is(err, ErrReadOnly) {
			t.Errorf("the next write: %v, want ErrReadOnly", err)
		}
		if err := l.Health(); !errors.Is(err, ErrReadOnly) {
			t.Errorf("health: %v", err)
		}
		if d := decide(t, l, "before@shop.example", "membership"); !d.Allowed {
			t.Errorf("reading goes on: %+v", d)
		}
		l.Close()
		if strings.Contains(w.log.String(), "shop.example") {
			t.Error("a member id is in the log")
		}
		fs.Clear(t)
		if l, err = w.open(); err != nil {
			t.Fatalf("after a failed fsync: %v", err)
		}
		verifyAll(t, l)
		if d := decide(t, l, "before@shop.example", "membership"); !d.Allowed {
			t.Errorf("what was acknowledged: %+v", d)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEachFaultInADestructionIsUncertainAndTheNextStartBringsItToAnEnd(t *testing.T) {
	for _, step := range crashSteps {
		w := newWorld(t)
		c := &crasher{}
		w.wrap, w.wrapRoot = c.store, c.keeper
		l := w.create(t)
		mustDo(t, l, enrolment(t, "leaves@shop.example", w))
		mustDo(t, l, enrolment(t, "stays@shop.example", w))
		c.set(step)
		_, err := l.Do(t.Context(), writer, leave(t, "leaves@shop.example"))
		// What failed before the commit is known not to be recorded; from then on nobody can say.
		certain := strings.HasPrefix(step, "stage/")
		switch {
		case certain && !errors.Is(err, ErrReadOnly):
			t.Errorf("%s: %v, want ErrReadOnly", step, err)
		case !certain && strings.HasPrefix(step, "update/") && !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrUncertain):
			t.Errorf("%s: %v", step, err)
		case !certain && !strings.HasPrefix(step, "update/") && !errors.Is(err, ErrUncertain):
			t.Errorf("%s: %v, want ErrUncertain", step, err)
		}
		c.set("")
		l.Close()
		if l, err = w.open(); err != nil {
			t.Errorf("%s: %v", step, err)
			continue
		}
		if keys := rootKeys(t, w.root); len(keys) != 1 {
			t.Errorf("%s: the root file holds %d keys after recovery, want 1", step, len(keys))
		}
		_, _, err = l.Lookup(t.Context(), writer, memberID(t, "leaves@shop.example"))
		committed := step != "stage/failed" && step != "stage/happened" && step != "update/failed"
		if committed != errors.Is(err, ErrUnknownMember) {
			t.Errorf("%s: committed %v, and the member: %v", step, committed, err)
		}
		if d := decide(t, l, "stays@shop.example", "membership"); !d.Allowed {
			t.Errorf("%s: who stayed: %+v", step, d)
		}
		verifyAll(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// slowStore holds every commit until it is let go.
type slowStore struct {
	store.Store
	gate chan struct{}
}

func (s slowStore) Update(f func(store.Writer) error) error {
	<-s.gate
	return s.Store.Update(f)
}

func TestAFullQueueSaysBusyAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.queue = 8
	gate := make(chan struct{}, 1<<20)
	for range 100 {
		gate <- struct{}{}
	}
	w.wrap = func(s store.Store) store.Store { return slowStore{s, gate} }
	l := w.create(t)
	for len(gate) > 0 {
		<-gate
	}
	var busy, sent int
	var pending []*Pending
	for i := range 40 {
		p, err := l.Submit(t.Context(), writer, enrolment(t, memberName(i), w))
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case err != nil:
			t.Fatal(err)
		default:
			sent++
			pending = append(pending, p)
		}
	}
	if busy != 32 || sent != 8 {
		t.Errorf("%d were busy and %d taken, want 32 and 8", busy, sent)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := pending[0].Wait(ctx); !errors.Is(err, ErrUncertain) {
		t.Errorf("who stops waiting is told %v, want that nobody knows", err)
	}
	close(gate)
	for _, p := range pending {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLosesNothingThatWasTaken(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	var mu sync.Mutex
	acked := map[string]bool{}
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := range 200 {
				id := memberName(c*1000 + i)
				_, err := l.Do(t.Context(), writer, enrolment(t, id, w))
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("while closing: %v", err)
					}
					return
				}
				mu.Lock()
				acked[id] = true
				mu.Unlock()
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for id := range acked {
		if d := decide(t, l, id, "membership"); !d.Allowed {
			t.Fatalf("an acknowledged member is gone: %+v", d)
		}
	}
	if len(acked) == 0 {
		t.Error("nothing was acknowledged before the close")
	}
	verifyAll(t, l)
}

func TestASmallCacheChangesNoAnswer(t *testing.T) {
	w := newWorld(t)
	w.cache = 1 // every member is read anew each time
	l := w.create(t)
	defer func() { l.Close() }()
	for i := range 50 {
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	for i := range 50 {
		mustDo(t, l, order(t, memberName(i), "o", w))
	}
	for i := range 50 {
		if d := decide(t, l, memberName(i), "order"); !d.Allowed {
			t.Fatalf("member %d: %+v", i, d)
		}
		if i%2 == 0 {
			mustDo(t, l, leave(t, memberName(i)))
		}
	}
	verifyAll(t, l)
}

func TestARoleMayOnlyDoWhatItIsFor(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	a := mustDo(t, l, enrolment(t, "a@shop.example", w))
	for _, role := range []Role{RoleReader, RoleAuditor, RoleAdmin, ""} {
		if _, err := l.Do(t.Context(), Caller{Role: role}, leave(t, "a@shop.example")); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q writes: %v", role, err)
		}
	}
	for _, role := range []Role{RoleWriter, RoleAuditor, RoleAdmin, ""} {
		if _, err := l.Member(t.Context(), Caller{Role: role}, a.Member, Look{Reason: "r"}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q looks: %v", role, err)
		}
	}
	for _, role := range []Role{RoleWriter, RoleReader, RoleDPO, RoleAuditor, ""} {
		if _, _, _, err := l.CreateAPIKey(t.Context(), Caller{Role: role}, NewAPIKey{Role: RoleWriter, Name: "x"}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q makes keys: %v", role, err)
		}
	}
	verifyAll(t, l)
}

func TestAnAPIKeyWorksUntilItIsRevokedAndNotAMomentLonger(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	k, token, _, err := l.CreateAPIKey(t.Context(), admin, NewAPIKey{Role: RoleWriter, Name: "shop-backend"})
	if err != nil {
		t.Fatal(err)
	}
	who, err := l.Authenticate(token, "127.0.0.1")
	if err != nil || who.Role != RoleWriter || who.KeyID != k.ID {
		t.Fatalf("%+v, %v", who, err)
	}
	l = w.reopen(t, l)
	if _, err := l.Authenticate(token, ""); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	for i := range token {
		bad := []byte(token)
		bad[i] ^= 1
		if _, err := l.Authenticate(string(bad), ""); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("with byte %d changed: %v", i, err)
		}
	}
	if _, err := l.RevokeAPIKey(t.Context(), admin, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Authenticate(token, ""); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("after revoking: %v", err)
	}
	l = w.reopen(t, l)
	if _, err := l.Authenticate(token, ""); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("after revoking and a restart: %v", err)
	}
	if strings.Contains(w.log.String(), token) {
		t.Error("the token is in the log")
	}
	verifyAll(t, l)
}
