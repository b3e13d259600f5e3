package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/internal/crashfs"
)

// acknowledged is what a caller was told, in the order in which they were told.
type acknowledged struct {
	mu    sync.Mutex
	facts []fact
	again atomic.Int64 // calls that were made again and answered as before
}

type fact struct {
	entries []EntryRef
	id      string
	gone    bool
	then    func(*Ledger) error // nil, or what is so from then on
}

// crashRun is a recorded life of a ledger: appends, enrolments and destructions, singly and in
// groups, and an office's day, with a mark in the record after every answer.
func crashRun(t *testing.T, rounds int, wrapRoot func(RootKeeper) RootKeeper) ([]crashfs.Op, *acknowledged) {
	w, fs := onRecord(t)
	w.wrapRoot = wrapRoot
	l := w.createWith(t, officePolicy())
	defer func() { l.Close() }()
	known := &acknowledged{}
	ack := func(f fact) {
		known.mu.Lock()
		defer known.mu.Unlock()
		known.facts = append(known.facts, f)
		fs.Mark(t, "ack "+strconv.Itoa(len(known.facts)))
	}
	do := func(id string, c Call, gone bool) {
		who := under(writer, fmt.Sprintf("%T of %s", c, id), "a call")
		a, err := l.Do(t.Context(), who, c)
		if err != nil {
			t.Error(err)
			return
		}
		f := fact{entries: a.Entries, id: id, gone: gone}
		if strings.HasSuffix(id, "0@shop.example") || strings.HasSuffix(id, "1@shop.example") {
			f.then = func(l *Ledger) error { return known.answeredBefore(t, l, who, c, a) }
		}
		ack(f)
	}
	fs.Mark(t, "ack 0")
	for r := range rounds {
		name := func(i int) string { return memberName(r*100 + i) }
		do(name(0), enrolment(t, name(0), w), false)
		do(name(0), order(t, name(0), "order-1", w), false)
		var wg sync.WaitGroup
		for i := 1; i < 6; i++ {
			wg.Go(func() { do(name(i), enrolment(t, name(i), w), false) })
		}
		wg.Wait()
		do(name(1), leave(t, name(1)), true)
		wg.Go(func() { do(name(2), leave(t, name(2)), true) })
		wg.Go(func() { do(name(3), leave(t, name(3)), true) })
		wg.Go(func() { do(name(6), enrolment(t, name(6), w), false) })
		wg.Go(func() { do(name(4), order(t, name(4), "order-1", w), false) })
		wg.Wait()
		officeDay(t, w, l, fmt.Sprint("day-", r), func(i int) string { return name(50 + i) }, func(i int, a *Answer, gone bool) {
			f := fact{entries: a.Entries, gone: gone}
			if i >= 0 {
				f.id = name(50 + i)
			}
			ack(f)
		}, func(then func(*Ledger) error) { ack(fact{then: then}) })
		if r == rounds/2 {
			if err := l.publish(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fs.Ops(t), known
}

// answeredBefore makes a call again that was acknowledged, as long as its key is known. It must be
// answered as it was, or be known as done.
func (k *acknowledged) answeredBefore(t *testing.T, l *Ledger, who Caller, c Call, first *Answer) error {
	if monthOf(l.now()) > monthOf(first.RecordedAt)+markMonths {
		return nil // so long ago that the key may be forgotten
	}
	a, err := l.Do(t.Context(), who, c)
	switch {
	case errors.Is(err, ErrAlreadyDone):
		return nil
	case err != nil:
		return fmt.Errorf("an acknowledged call is not known under its idempotency key: %w", err)
	case !a.Replayed || !slices.Equal(a.Entries, first.Entries):
		return errors.New("an acknowledged call was made again")
	}
	k.again.Add(1)
	return nil
}

// checkState opens what a power cut left and compares it with what was acknowledged before.
func checkState(t *testing.T, disk *crashfs.Disk, dir string, known []fact, deep bool) (err error) {
	if err := disk.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.dir, w.root = filepath.Join(dir, "data"), filepath.Join(dir, "root", "root.key")
	l, err := w.open()
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	gone := map[string]bool{}
	for _, f := range known {
		for _, e := range f.entries {
			b, err := l.entry(e.Index)
			if err != nil {
				return fmt.Errorf("an acknowledged entry is lost: %w", err)
			}
			if chain.LeafHash(b) != e.LeafHash {
				return fmt.Errorf("acknowledged entry %d is another one", e.Index)
			}
		}
		if f.then != nil {
			if err := f.then(l); err != nil {
				return err
			}
		}
		if f.id != "" {
			gone[f.id] = f.gone
		}
	}
	for id, gone := range gone {
		_, _, err := l.Lookup(t.Context(), writer, memberID(t, id))
		if gone && !errors.Is(err, ErrUnknownMember) {
			return fmt.Errorf("an acknowledged destruction came back to life: %v", err)
		}
		if !gone && err != nil {
			// The one destruction that was under way when the power went may have come through.
			if !errors.Is(err, ErrUnknownMember) || !deep {
				continue
			}
		}
	}
	if deep {
		if _, err := l.Sweep(t.Context()); err != nil {
			return err
		}
		r, err := l.VerifyDeep(t.Context(), admin, nil)
		if err != nil {
			return err
		}
		if !r.Intact {
			return fmt.Errorf("verify --deep: %+v", r.Findings)
		}
	}
	return nil
}

// eachState tries the states that a cut can leave, one in every `every` of them.
func eachState(t *testing.T, ops []crashfs.Op, known *acknowledged, every int, onError func(name string, err error) bool) (tried int) {
	created := slices.IndexFunc(ops, func(o crashfs.Op) bool { return o.Label == "ack 0" })
	if created < 0 {
		t.Fatal("the record has no mark")
	}
	acks := make([]int, len(ops)+1)
	for i, op := range ops {
		acks[i+1] = acks[i]
		if n, ok := strings.CutPrefix(op.Label, "ack "); ok {
			acks[i+1], _ = strconv.Atoi(n)
		}
	}
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "crash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	stop := errors.New("stop")
	seen := 0
	err = crashfs.Rules{Seed: 7}.All(ops, func(cut int, name string, d *crashfs.Disk) error {
		if cut <= created {
			return nil
		}
		if seen++; seen%every != 0 {
			return nil
		}
		tried++
		if err := checkState(t, d, dir, known.facts[:acks[cut]], tried%20 == 0); err != nil && !onError(fmt.Sprintf("cut %d, %s", cut, name), err) {
			return stop
		}
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return tried
}

func TestEveryStateThatAPowerCutCanLeaveOpensAndKeepsWhatWasAcknowledged(t *testing.T) {
	rounds, every, want := 2, 31, 300
	if long {
		rounds, every, want = 8, 3, 5000
	}
	ops, known := crashRun(t, rounds, nil)
	bad := 0
	tried := eachState(t, ops, known, every, func(name string, err error) bool {
		bad++
		t.Errorf("%s: %v", name, err)
		return bad < 10
	})
	t.Logf("%d operations on record, %d answers, %d states tried, %d bad", len(ops), len(known.facts), tried, bad)
	if tried < want && bad == 0 {
		t.Errorf("only %d states were tried, want %d", tried, want)
	}
	if known.again.Load() == 0 {
		t.Error("no call was made again, so nothing of that was tested")
	}
}

// hastyKeeper forgets the old root as soon as the new one is staged: step 4 before step 2.
type hastyKeeper struct{ RootKeeper }

func (k hastyKeeper) Stage(g uint64, key seal.Key) error {
	if err := k.RootKeeper.Stage(g, key); err != nil {
		return err
	}
	return k.RootKeeper.Keep(g)
}

func TestForgettingTheOldRootTooEarlyWouldBeFound(t *testing.T) {
	ops, known := crashRun(t, 1, func(k RootKeeper) RootKeeper { return hastyKeeper{k} })
	bad := 0
	eachState(t, ops, known, 3, func(string, error) bool { bad++; return bad < 3 })
	if bad == 0 {
		t.Error("control: the old root is forgotten before the commit, and no state fails to open")
	}
}
