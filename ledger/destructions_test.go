package ledger

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// heldKeeper overwrites the old root key when it is told how that ends.
type heldKeeper struct {
	RootKeeper
	holds atomic.Bool
	ends  chan error
}

func (k *heldKeeper) Keep(g uint64) error {
	if k.holds.Load() {
		if err := <-k.ends; err != nil {
			return err
		}
	}
	return k.RootKeeper.Keep(g)
}

// destroying makes a ledger in which a member leaves, and returns the index of the destruction, which
// waits for its old root key to be overwritten.
func destroying(t *testing.T) (w *world, l *Ledger, k *heldKeeper, index uint64, left chan error) {
	t.Helper()
	w = newWorld(t)
	k = &heldKeeper{ends: make(chan error, 1)}
	w.wrapRoot = func(r RootKeeper) RootKeeper { k.RootKeeper = r; return k }
	l = w.create(t)
	mustDo(t, l, enrolment(t, "kim", w))
	k.holds.Store(true)
	left = make(chan error, 1)
	index = l.Size() // a withdrawal of the membership leaves a destruction, and nothing else
	go func() {
		_, err := l.Do(t.Context(), writer, leave(t, "kim"))
		left <- err
	}()
	for end := time.Now().Add(10 * time.Second); l.Size() == index; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was recorded")
		}
	}
	return w, l, k, index, left
}

func TestADestructionIsProvisionalUntilTheOldRootKeyIsGone(t *testing.T) {
	w, l, k, index, left := destroying(t)
	d, err := l.Destruction(index)
	if err != nil || d.Final || d.Keys == 0 || d.Entries == 0 || d.To != d.From+1 || d.Index != index || d.Grade == "" {
		t.Fatalf("while the old root key is there: %+v, %v", d, err)
	}
	select {
	case err := <-left:
		t.Fatalf("the withdrawal is answered while the old root key is there: %v", err)
	default:
	}
	close(k.ends)
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	final, err := l.Destruction(index)
	if err != nil || !final.Final {
		t.Fatalf("when the withdrawal is answered: %+v, %v", final, err)
	}
	d.Final = true
	if d != final {
		t.Errorf("it says something else of itself than before: %+v, %+v", d, final)
	}
	for other := range l.Size() + 2 {
		if _, err := l.Destruction(other); other != index && !errors.Is(err, ErrUnknownDestruction) {
			t.Errorf("entry %d, which is none: %v", other, err)
		}
	}
	l = w.reopen(t, l)
	if again, err := l.Destruction(index); err != nil || again != final {
		t.Errorf("after a start: %+v, %v", again, err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// What could not be brought to its end stays provisional, until a start has done so.
func TestADestructionThatFailedHalfwayIsFinalAfterAStart(t *testing.T) {
	w, l, k, index, left := destroying(t)
	k.ends <- errors.New("the disk is on fire")
	if err := <-left; !errors.Is(err, ErrUncertain) {
		t.Fatalf("the withdrawal: %v", err)
	}
	if d, err := l.Destruction(index); err != nil || d.Final {
		t.Fatalf("after a failed overwriting: %+v, %v", d, err)
	}
	close(k.ends)
	_ = l.Close() // it says that it had stopped
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := l.Destruction(index); err != nil || !d.Final {
		t.Errorf("after a start: %+v, %v", d, err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
