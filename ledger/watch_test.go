package ledger

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"consentledger/ledger/internal/crashfs"
)

// watching keeps what a ledger says of its commits.
type watching struct {
	mu   sync.Mutex
	seen []Commit
}

func (w *watching) add(c Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, c)
}

func (w *watching) last(t *testing.T) Commit {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		t.Fatal("no commit was seen")
	}
	return w.seen[len(w.seen)-1]
}

func TestWhoWatchesSeesEachCommit(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	var seen watching
	l.Watch(seen.add)
	before := l.Size()
	mustDo(t, l, enrolment(t, "kim@shop.example", w))
	if c := seen.last(t); c.Calls != 1 || c.Entries != int(l.Size()-before) || c.Destructions != 0 || c.Keys != 0 || c.Failed || c.Took <= 0 {
		t.Errorf("an enrolment: %+v", c)
	}
	before = l.Size()
	a := mustDo(t, l, leave(t, "kim@shop.example"))
	if c := seen.last(t); c.Calls != 1 || c.Entries != int(l.Size()-before) || c.Destructions != 1 || c.Keys != a.DestroyedKeys || c.Keys == 0 || c.Failed {
		t.Errorf("a withdrawal that destroyed %d keys: %+v", a.DestroyedKeys, c)
	}
}

func TestWhoWatchesSeesThatACommitFailed(t *testing.T) {
	w, fs := onRecord(t)
	l := w.create(t)
	defer l.Close()
	var seen watching
	l.Watch(seen.add)
	fs.Inject(t, crashfs.Fault{Kind: crashfs.Fsync, PathSuffix: "ledger.db", Nth: 1, Errno: syscall.EIO})
	if _, err := l.Do(t.Context(), writer, enrolment(t, "kim@shop.example", w)); err == nil {
		t.Fatal("an fsync failed, and the call did not")
	}
	if c := seen.last(t); !c.Failed || c.Calls != 1 {
		t.Errorf("%+v", c)
	}
}

func TestTheStatsSayWhatIsOverdueAndWhatIsPublished(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer l.Close()
	stats := func() Stats {
		t.Helper()
		s, err := l.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, id := range []string{"a@shop.example", "b@shop.example"} {
		mustDo(t, l, enrolment(t, id, w))
		mustDo(t, l, order(t, id, "order-"+id[:1], w))
		mustDo(t, l, leave(t, id))
	}
	if s := stats(); s.Overdue != 0 || !s.SweptAt.IsZero() || s.Waiting != 0 || s.Places != defaultQueueCalls || s.Entries != l.Size() {
		t.Errorf("nothing is due: %+v", s)
	}
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	if s := stats(); s.Overdue != 2 {
		t.Errorf("two memberships have had their time: %+v", s)
	}
	if _, err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := stats(); s.Overdue != 0 || !s.SweptAt.Equal(w.clock.Now()) {
		t.Errorf("after a sweep at %v: %+v", w.clock.Now(), s)
	}
	if err := l.publish(0); err != nil {
		t.Fatal(err)
	}
	if s := stats(); s.Published != l.Size() || !s.PublishedAt.Equal(w.clock.Now()) {
		t.Errorf("after publishing at %v: %+v", w.clock.Now(), s)
	}
}
