package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
	"consentledger/ledger/internal/crashfs"
	"consentledger/ledger/store"
)

// long says whether the tests run at the size named in the project's promises.
var long = os.Getenv("CONSENTLEDGER_LONG") != ""

// onRecord is a world on a file system that records every write.
func onRecord(t testing.TB) (*world, *crashfs.FS) {
	t.Helper()
	if ok, why := crashfs.Available(); !ok {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the recording file system is not available: %s", why)
		}
		t.Skipf("the recording file system is not available: %s", why)
	}
	w := newWorld(t)
	fs := crashfs.Start(t, t.TempDir())
	w.dir = filepath.Join(fs.Path(), "data")
	w.root = filepath.Join(fs.Path(), "root", "root.key")
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return w, fs
}

func isRootFile(path string) bool { return strings.Contains(path, "root.key") }

// truth is what the test knows of every key and entry, dead or alive.
type truth struct {
	mu      sync.Mutex
	members map[int]*memberTruth
}

type memberTruth struct {
	id      string
	path    [16]byte
	slot    uint64
	nonce   uint64
	gone    bool // membership withdrawn
	keys    map[[32]byte]keyTruth
	entries map[[32]byte][32]byte // leaf → key it was sealed under
}

type keyTruth struct {
	class string
	day   consent.Day // of a ratchet
}

func raw(k seal.Key) [32]byte { return [32]byte(k.AppendTo(nil)) }

// note records the keys that a member has now, and which of them sealed an answer's entries.
func (tr *truth) note(t testing.TB, l *Ledger, i int, a *Answer) {
	slot, nonce := l.refs.open(a.Member)
	rec, err := l.keys.Member(slot)
	if err != nil || rec == nil {
		t.Fatalf("a member just written to has no record: %v", err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	m := tr.members[i]
	if m == nil || m.slot != slot {
		m = &memberTruth{id: memberName(i), path: rec.Path, slot: slot, nonce: nonce, keys: map[[32]byte]keyTruth{}, entries: map[[32]byte][32]byte{}}
		tr.members[i] = m
	}
	today := l.register.Load().Day(a.RecordedAt)
	byClass := map[string][32]byte{}
	for j := range rec.Keys {
		k := &rec.Keys[j]
		key, day := k.Key, consent.Day(0)
		if k.Ratchet {
			for day = consent.Day(k.Day); day < today; day++ {
				key = key.Next()
			}
		}
		m.keys[raw(key)] = keyTruth{k.Class, day}
		byClass[consent.ClassID(k.Class).Name()] = raw(key)
	}
	for _, e := range a.Entries {
		if key, ok := byClass[e.Class]; ok {
			m.entries[e.LeafHash] = key
		}
	}
}

// living is every key that can still be had from the ledger itself.
func living(t testing.TB, l *Ledger, tr *truth) map[[32]byte]bool {
	t.Helper()
	alive := map[[32]byte]bool{}
	slots, err := l.keys.SlotsFromDisk(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	bySlot := map[uint64]map[string]consent.Day{}
	for _, s := range slots {
		bySlot[s.Number] = map[string]consent.Day{}
		for i := range s.Member.Keys {
			k := &s.Member.Keys[i]
			alive[raw(k.Key)] = true
			if k.Ratchet {
				bySlot[s.Number][k.Class] = consent.Day(k.Day)
			}
		}
	}
	for _, m := range tr.members {
		for key, kt := range m.keys {
			if oldest, ok := bySlot[m.slot][kt.class]; ok && kt.day >= oldest {
				alive[key] = true
			}
		}
	}
	return alive
}

// findings counts what an attacker reached, of what should be gone and of what should be there.
type findings struct {
	deadKeys, deadEntries, deadIDs, deadRefs     int // reached, and destroyed
	destroyedKeys, destroyedEntries, destroyed   int // how many there are
	missedKeys, missedEntries                    int // alive, and not reached
	livingKeys, livingEntries, rawHits, expiries int
}

func (f findings) dead() int { return f.deadKeys + f.deadEntries + f.deadIDs + f.deadRefs + f.rawHits }

func (f findings) String() string {
	return fmt.Sprintf("reached of the dead: %d of %d keys, %d of %d entries, %d ids and %d refs of %d members, %d raw; ratchet days expired: %d; of the living missed: %d of %d keys, %d of %d entries",
		f.deadKeys, f.destroyedKeys, f.deadEntries, f.destroyedEntries, f.deadIDs, f.deadRefs, f.destroyed, f.rawHits, f.expiries, f.missedKeys, f.livingKeys, f.missedEntries, f.livingEntries)
}

func compare(a *attacker, l *loot, tr *truth, alive map[[32]byte]bool, searchRaw bool) (f findings) {
	var needles [][]byte
	for _, m := range tr.members {
		anyAlive := false
		used := map[[32]byte]bool{}
		for _, key := range m.entries {
			used[key] = true
		}
		for key, kt := range m.keys {
			if kt.day != 0 && !used[key] {
				continue // a day on which nothing was sealed: its key opens nothing
			}
			if alive[key] {
				anyAlive = true
				f.livingKeys++
				if !l.keys[key] {
					f.missedKeys++
				}
				continue
			}
			f.destroyedKeys++
			if kt.day != 0 {
				f.expiries++
			}
			if l.keys[key] {
				f.deadKeys++
			}
			needles = append(needles, key[:])
		}
		for leaf, key := range m.entries {
			_, reached := l.entries[leaf]
			if alive[key] {
				f.livingEntries++
				if !reached {
					f.missedEntries++
				}
				continue
			}
			f.destroyedEntries++
			if reached {
				f.deadEntries++
			}
		}
		if anyAlive {
			continue
		}
		f.destroyed++
		if l.ids[m.path] {
			f.deadIDs++
		}
		if l.slots[[2]uint64{m.slot, m.nonce}] {
			f.deadRefs++
		}
	}
	if searchRaw {
		f.rawHits = len(a.search(needles))
	}
	return f
}

// closureRun is a ledger's life with enrolments, orders and destructions, crashes among them.
type closureRun struct {
	tr       *truth
	office   *truth // of these, the members of the office's days
	attacker *attacker
	alive    map[[32]byte]bool
	root     []byte
	oldRoots [][]byte // of the generations before, as the root file held them
	refs     refCipher
	told     []byte   // the root while the answers to the last destructions could still be had
	openings [][]byte // of the commitments in the destructions' entries, as the answers had them
}

// rootKeys reads the keys out of a root file's raw bytes, by the layout in FORMAT.md.
func rootKeys(t testing.TB, path string) (keys [][]byte) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for slot := 0; slot+4096 <= len(b); slot += 4096 {
		if strings.HasPrefix(string(b[slot:]), "clroot\n") {
			keys = append(keys, b[slot+32:slot+64])
		}
	}
	return keys
}

// lastToLeave is how many leave at the end, and have their answers while a root is noted.
const lastToLeave = 12

func runClosure(t testing.TB, members, destructions int, spoil func(w *world)) *closureRun {
	w, fs := onRecord(t)
	if spoil != nil {
		spoil(w)
	}
	crash := &crasher{}
	w.wrap = crash.store
	w.wrapRoot = crash.keeper
	l := w.createWith(t, officePolicy())
	defer func() { l.Close() }()
	run := &closureRun{tr: &truth{members: map[int]*memberTruth{}}, office: &truth{members: map[int]*memberTruth{}}}
	tr := run.tr
	together := func(from, to int, f func(i int) Call) {
		var wg sync.WaitGroup
		sem := make(chan struct{}, 64)
		for i := from; i < to; i++ {
			wg.Add(1)
			sem <- struct{}{}
			go func() {
				defer wg.Done()
				defer func() { <-sem }()
				c := f(i)
				a, err := l.Do(t.Context(), under(writer, fmt.Sprintf("%T of %d", c, i), "a call"), c)
				if err != nil {
					t.Error(err)
					return
				}
				if wd, ok := c.(*consent.Withdrawal); ok && wd.Membership {
					tr.mu.Lock()
					tr.members[i].gone = true
					run.openings = append(run.openings, bytes.Clone(a.opening[:]))
					tr.mu.Unlock()
					return
				}
				tr.note(t, l, i, a)
			}()
		}
		wg.Wait()
	}
	enrol := func(i int) Call { return enrolment(t, memberName(i), w) }
	buy := func(i int) Call { return order(t, memberName(i), fmt.Sprintf("order-%d", i), w) }
	quit := func(i int) Call { return leave(t, memberName(i)) }
	noNews := func(i int) Call {
		return &consent.Withdrawal{Member: memberID(t, memberName(i)), Purposes: []string{"newsletter"}}
	}

	// Half of the members, some of whom buy; then destructions singly, with enrolments between.
	half := members / 2
	together(0, half, enrol)
	together(0, half/8, buy)
	next, gone := half, half/16 // from here on members leave in order: some with orders, most without
	left := 0
	for left < destructions/3 {
		run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
		together(gone, gone+1, quit)
		gone, left = gone+1, left+1
		if left%4 == 0 && next < members*3/4 {
			together(next, next+3, enrol)
			next += 3
		}
	}
	// In groups, with appends and enrolments in the same commits.
	for left < destructions*2/3 {
		n := min(16, destructions-left)
		run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
		var wg sync.WaitGroup
		wg.Go(func() { together(gone, gone+n, quit) })
		wg.Go(func() { together(gone+n+64, gone+n+80, noNews) })
		if next+8 < members {
			wg.Go(func() { together(next, next+8, enrol) })
		}
		wg.Wait()
		gone, left, next = gone+n, left+n, next+8
	}
	// A crash before and after each step of the protocol, with appends between.
	for _, step := range crashSteps {
		together(next, next+1, enrol)
		next++
		crash.set(step)
		_, err := l.Do(t.Context(), writer, leave(t, memberName(gone)))
		if err == nil {
			t.Fatalf("%s: the crash did not happen", step)
		}
		crash.set("")
		if err := l.Close(); err != nil && !crash.expected(err) {
			t.Fatalf("%s: close: %v", step, err)
		}
		if l, err = w.open(); err != nil {
			t.Fatalf("%s: the ledger does not open after a crash: %v", step, err)
		}
		_, _, err = l.Lookup(t.Context(), writer, memberID(t, memberName(gone)))
		if errors.Is(err, ErrUnknownMember) {
			tr.members[gone].gone = true
			gone, left = gone+1, left+1
		} else {
			together(gone, gone+1, quit)
			gone, left = gone+1, left+1
		}
	}
	together(next, members, enrol)
	for day := range 2 {
		base := members + day*officeMembers
		officeDay(t, w, l, fmt.Sprint("day-", day), func(i int) string { return memberName(base + i) }, func(i int, a *Answer, gone bool) {
			run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
			switch {
			case i >= 0 && gone:
				tr.members[base+i].gone = true
			case i >= 0:
				tr.note(t, l, base+i, a)
				run.office.members[base+i] = tr.members[base+i]
			}
		}, func(then func(*Ledger) error) {
			if err := then(l); err != nil {
				t.Error(err)
			}
		})
	}
	// Six years on, the days of orders and of looks expire.
	for range 3 {
		w.clock.Advance(2 * 366 * 24 * time.Hour)
		together(half-20, half-10, func(i int) Call { return order(t, memberName(i), fmt.Sprintf("late-%d", w.clock.Now().Year()), w) })
		run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
		if _, err := l.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for left < destructions {
		n := min(32, destructions-left)
		run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
		together(gone, gone+n, quit)
		gone, left = gone+n, left+n
	}
	// Once the answers have had their day, and what waits its thirty, nobody can test a guess. What falls
	// due meanwhile waits in turn.
	together(gone, gone+lastToLeave, quit)
	run.told = rootKeys(t, w.root)[0]
	for n := 1; n > 0; {
		run.oldRoots = append(run.oldRoots, rootKeys(t, w.root)...)
		w.clock.Advance((waitingDays + 2) * 24 * time.Hour)
		n = sweep(t, l)
	}
	verifyAll(t, l)
	run.alive = living(t, l, tr)
	keys := rootKeys(t, w.root)
	if len(keys) != 1 {
		t.Fatalf("the root file holds %d keys, want 1", len(keys))
	}
	run.root = keys[0]
	run.refs = l.refs
	id, origin := l.id.ID, l.id.Origin
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	run.attacker = newAttacker(t, fs.Ops(t), isRootFile, id, origin)
	return run
}

func closureSize() (members, destructions int) {
	if long {
		return 2400, 240
	}
	return 600, 60
}

func TestNothingEverWrittenLeadsToADestroyedKey(t *testing.T) {
	members, destructions := closureSize()
	run := runClosure(t, members, destructions, nil)
	f := compare(run.attacker, run.attacker.attack(run.root), run.tr, run.alive, true)
	t.Log("with today's root: ", f)
	if f.dead() != 0 {
		t.Errorf("destroyed data was reached: %v", f)
	}
	if f.missedKeys != 0 || f.missedEntries != 0 {
		t.Errorf("the attacker misses living data, so what it does not find proves nothing: %v", f)
	}
	if f.destroyedKeys == 0 || f.destroyedEntries == 0 || f.expiries == 0 || f.destroyed == 0 {
		t.Errorf("the run destroyed too little to show anything: %v", f)
	}
	names := slices.Clone(run.openings)
	for _, m := range run.tr.members {
		names = append(names, []byte(m.id), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, m.slot), m.nonce))
	}
	if hits := run.attacker.search(names); len(hits) != 0 {
		t.Errorf("%d member ids or refs stand in the clear in what was written", len(hits))
	}
	if hits := run.attacker.search([][]byte{run.attacker.raw[len(run.attacker.raw)/2][100:140]}); len(hits) == 0 {
		t.Error("control: the search does not find what is there")
	}
	guesses := run.guesses()
	if sure, openings, commitments := run.attacker.confirm(run.attacker.attack(run.root), guesses); sure != 0 || openings != 0 || commitments < destructions {
		t.Errorf("with today's root %d guesses of whose a destruction is are sure, with %d openings and %d commitments", sure, openings, commitments)
	}
	if sure, openings, _ := run.attacker.confirm(run.attacker.attack(run.told), guesses); sure < lastToLeave {
		t.Errorf("control: with the root from before the answers' time was up, %d openings are found and %d guesses are sure: the attacker could not test one", openings, sure)
	} else {
		t.Logf("control, with the root from before the answers' time was up: %d openings make %d guesses sure", openings, sure)
	}
	// Control: one old root, had it been kept, gives what was alive then.
	f = compare(run.attacker, run.attacker.attack(run.root, run.oldRoots[len(run.oldRoots)/2]), run.tr, run.alive, false)
	t.Log("control, with an old root as well: ", f)
	if f.deadKeys == 0 || f.deadEntries == 0 || f.deadIDs == 0 || f.deadRefs == 0 {
		t.Errorf("control: the attacker finds nothing with an old root, so the test proves nothing: %v", f)
	}
	all := compare(run.attacker, run.attacker.attack(append(run.oldRoots, run.root)...), run.tr, run.alive, false)
	t.Log("control, with every old root that was seen: ", all)
	if all.deadKeys <= f.deadKeys {
		t.Errorf("control: every old root gives no more than one: %v", all)
	}
	office := compare(run.attacker, run.attacker.attack(append(run.oldRoots, run.root)...), run.office, run.alive, false)
	t.Log("control, of the office's days, with every old root: ", office)
	if office.deadKeys != office.destroyedKeys || office.deadEntries == 0 || office.livingKeys == 0 || office.destroyed == 0 {
		t.Errorf("control: what an office destroys is not found with the roots of then: %v", office)
	}
}

func TestAPageKeyKeptOnARewriteWouldBeFound(t *testing.T) {
	run := runClosure(t, 300, 30, func(w *world) {
		fixed := []byte("one page key for every page ever")
		w.rand = &countingReader{read: func(p []byte) (int, error) {
			if len(p) == 32 && calledFrom("keyring.(*Batch).sealKids") {
				return copy(p, fixed), nil
			}
			return rand.Read(p)
		}}
	})
	f := compare(run.attacker, run.attacker.attack(run.root), run.tr, run.alive, false)
	t.Log(f)
	if f.deadKeys == 0 || f.deadEntries == 0 {
		t.Errorf("control: page keys were kept on every rewrite, and the attacker found nothing: %v", f)
	}
}

// calledFrom says whether a function is among the callers.
func calledFrom(name string) bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// crashSteps are the steps of the protocol, each before and after it happened.
var crashSteps = []string{"stage/failed", "stage/happened", "update/failed", "update/happened", "settle/failed", "settle/happened", "keep/failed", "keep/happened"}

// crasher makes one step fail. The ledger then stops writing, as it would had the process died.
type crasher struct {
	mu   sync.Mutex
	step string
}

var errCrash = errors.New("the power went")

func (c *crasher) set(step string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step = step
}

func (c *crasher) expected(err error) bool { return errors.Is(err, errCrash) }

func (c *crasher) do(step string, f func() error) error {
	c.mu.Lock()
	at := c.step
	c.mu.Unlock()
	switch at {
	case step + "/failed":
		return errCrash
	case step + "/happened":
		return errors.Join(f(), errCrash)
	}
	return f()
}

func (c *crasher) store(s store.Store) store.Store { return &crashingStore{s, c} }
func (c *crasher) keeper(k RootKeeper) RootKeeper  { return &crashingKeeper{k, c} }

type crashingStore struct {
	store.Store
	c *crasher
}

func (s *crashingStore) Update(f func(store.Writer) error) error {
	return s.c.do("update", func() error { return s.Store.Update(f) })
}
func (s *crashingStore) Settle() error { return s.c.do("settle", s.Store.Settle) }

type crashingKeeper struct {
	RootKeeper
	c *crasher
}

func (k *crashingKeeper) Stage(g uint64, key seal.Key) error {
	return k.c.do("stage", func() error { return k.RootKeeper.Stage(g, key) })
}

func (k *crashingKeeper) Keep(g uint64) error {
	return k.c.do("keep", func() error { return k.RootKeeper.Keep(g) })
}
