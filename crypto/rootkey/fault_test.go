package rootkey

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"consentledger/crypto/seal"
)

// simulated is a device whose n-th call goes wrong in a chosen way, and which
// knows what a loss of power would leave.
type simulated struct {
	durable, cache [slots]block
	calls          []string // the names of the calls so far
	at             int      // which call goes wrong; -1: none
	fault          fault
}

type fault string

const (
	failed    fault = "failed"
	happened  fault = "failed, but happened"
	tornWrite fault = "failed half way"
	lied      fault = "said that it worked, but did nothing"
)

var errInjected = errors.New("injected")

// call does what the device would do, and goes wrong if its turn has come. Half of
// it is done by part, where there is such a thing.
func (d *simulated) call(name string, whole, part func()) error {
	mine := len(d.calls) == d.at
	d.calls = append(d.calls, name)
	if !mine {
		whole()
		return nil
	}
	switch d.fault {
	case lied:
		return nil
	case happened:
		whole()
	case tornWrite:
		part()
	}
	return fmt.Errorf("call %d, %s: %w", d.at, name, errInjected)
}

func nothing() {}

func (d *simulated) writeAt(b *block, offset int64) error {
	to := &d.cache[offset/slotSize]
	return d.call("write", func() { *to = *b }, func() { copy(to[:70], b[:70]) })
}

func (d *simulated) sync() error {
	return d.call("sync", func() { d.durable = d.cache }, func() { d.durable[0] = d.cache[0] })
}

func (d *simulated) readBack(b *block, offset int64) error {
	from := &d.cache[offset/slotSize]
	return d.call("read", func() { *b = *from }, func() { copy(b[:70], from[:70]) })
}

func (d *simulated) check() error  { return d.call("check", nothing, nothing) }
func (d *simulated) close() error  { return d.call("close", nothing, nothing) }
func (d *simulated) grade() string { return "simulated" }

// crash is what is on the disk when the machine is started again. Of what was
// written and not synced, none, all, or a part may be there.
func (d *simulated) crash(unsynced string) *simulated {
	after := *d
	switch unsynced {
	case "lost":
	case "kept":
		after.durable = d.cache
	case "torn":
		for i := range after.durable {
			copy(after.durable[i][:512], d.cache[i][:512])
			copy(after.durable[i][:40], d.durable[i][:40])
		}
	}
	after.cache, after.calls, after.at = after.durable, nil, -1
	return &after
}

// contains says whether at least 8 bytes of a generation's key are anywhere on the
// disk.
func (d *simulated) contains(generation uint64) bool {
	k := keyBytes(generation)
	for _, b := range d.durable {
		for at := 0; at+8 <= seal.KeySize; at++ {
			if bytes.Contains(b[:], k[at:at+8]) {
				return true
			}
		}
	}
	return false
}

func newSimulated(t testing.TB) (*simulated, *File) {
	t.Helper()
	d := &simulated{at: -1}
	f, err := create(d, ledger, Slot{1, key(t, 1)})
	do(t, err)
	d.calls = nil
	return d, f
}

// replace makes three replacements, as a caller does that keeps the generation of
// its own data in database. It stops at the first error.
func replace(t testing.TB, f *File) (database, acknowledged uint64, err error) {
	database, acknowledged = 1, 1
	for g := uint64(2); g <= 4; g++ {
		if err := f.Stage(g, key(t, g)); err != nil {
			return database, acknowledged, err
		}
		database = g
		if err := f.Keep(g); err != nil {
			return database, acknowledged, err
		}
		acknowledged = g
	}
	return database, acknowledged, nil
}

func TestWhateverCallFailsIsReportedAndLosesNoKeyAndBringsNoneBack(t *testing.T) {
	d, f := newSimulated(t)
	if _, acknowledged, err := replace(t, f); err != nil || acknowledged != 4 {
		t.Fatalf("without a fault: %v", err)
	}
	names := d.calls
	kinds := map[string]bool{}
	for _, n := range names {
		kinds[n] = true
	}
	if !kinds["write"] || !kinds["sync"] || !kinds["read"] || !kinds["check"] {
		t.Fatalf("three replacements make the calls %v only", names)
	}

	tornSeen, bothSeen := false, false
	for at, name := range names {
		for _, fault := range []fault{failed, happened, tornWrite} {
			for _, unsynced := range []string{"lost", "kept", "torn"} {
				t.Run(fmt.Sprintf("%d %s %s, unsynced %s", at, name, fault, unsynced), func(t *testing.T) {
					d, f := newSimulated(t)
					d.at, d.fault = at, fault
					database, acknowledged, err := replace(t, f)
					if !errors.Is(err, errInjected) {
						t.Fatalf("the error was swallowed: %v", err)
					}
					// Only a check before Stage's write is a refusal that
					// changes nothing; everything else ends the file's use.
					refusal := name == "check" && database == acknowledged
					if errors.Is(err, ErrUncertain) == refusal {
						t.Errorf("refusal %v, error %v", refusal, err)
					}
					calls := len(d.calls)
					stage, keep := f.Stage(database+1, key(t, database+1)), f.Keep(database)
					if refusal && (stage != nil || keep != nil) {
						t.Errorf("after a refusal: Stage %v, Keep %v", stage, keep)
					}
					if !refusal && (!errors.Is(stage, ErrUncertain) || !errors.Is(keep, ErrUncertain) || len(d.calls) != calls) {
						t.Errorf("a file in an unknown state was used: Stage %v, Keep %v", stage, keep)
					}

					after := d.crash(unsynced)
					for g := uint64(1); g < acknowledged; g++ {
						if after.contains(g) {
							t.Errorf("the key of generation %d is back, after Keep(%d) had been answered", g, acknowledged)
						}
					}
					f, err = open(after, ledger)
					if err != nil {
						t.Fatalf("does not open again: %v", err)
					}
					found := false
					for _, s := range f.Slots() {
						found = found || s.Generation == database && s.Key.Equal(key(t, database))
					}
					if !found {
						t.Fatalf("the data has generation %d, and the slots are %v", database, f.Slots())
					}
					bothSeen = bothSeen || len(f.Slots()) == 2
					tornSeen = tornSeen || f.slot[0].what == isTorn || f.slot[1].what == isTorn
					do(t, f.Keep(database))
					holds(t, f, database)
					for g := uint64(1); g < 8; g++ {
						if after.contains(g) != (g == database) {
							t.Errorf("after Keep(%d): the key of generation %d on the disk: %v", database, g, after.contains(g))
						}
					}
					do(t, f.Stage(database+1, key(t, database+1)))
				})
			}
		}
	}
	if !tornSeen || !bothSeen {
		t.Errorf("no fault left a torn slot (%v) or two valid ones (%v): the test is too easy", tornSeen, bothSeen)
	}
}

func TestADiskThatOnlySaysThatItWroteIsFoundOut(t *testing.T) {
	d, f := newSimulated(t)
	_, _, err := replace(t, f)
	do(t, err)
	found := 0
	for at, name := range d.calls {
		if name != "write" {
			continue // nobody can see through a sync that lies
		}
		d, f := newSimulated(t)
		d.at, d.fault = at, lied
		database, _, err := replace(t, f)
		if !errors.Is(err, ErrUncertain) {
			t.Errorf("write %d did nothing, and the answer is %v", at, err)
		}
		// Found out in time: before the caller's data depends on it.
		f, err = open(d.crash("lost"), ledger)
		do(t, err)
		if s := f.Slots(); s[len(s)-1].Generation < database {
			t.Errorf("write %d did nothing: the data has generation %d, and the slots are %v", at, database, s)
		}
		found++
	}
	if found != 6 {
		t.Errorf("three replacements write %d times", found)
	}
}

// A key that is not on the disk any more must not be kept by clearing the other.
func TestKeepLooksForItsKeyBeforeItOverwritesTheOther(t *testing.T) {
	d, f := newSimulated(t)
	do(t, f.Stage(2, key(t, 2)))
	d.cache[1][40] ^= 1 // rot, after the read-back of Stage
	if err := f.Keep(2); !errors.Is(err, ErrUncertain) {
		t.Fatalf("Keep: %v", err)
	}
	if d.cache[0] == cleared {
		t.Error("the last readable key was overwritten")
	}
}

func TestAFaultDuringCreationIsReported(t *testing.T) {
	d := &simulated{at: -1}
	_, err := create(d, ledger, Slot{1, key(t, 1)})
	do(t, err)
	for at, name := range d.calls {
		for _, fault := range []fault{failed, happened, tornWrite} {
			if _, err := create(&simulated{at: at, fault: fault}, ledger, Slot{1, key(t, 1)}); !errors.Is(err, errInjected) {
				t.Errorf("%d %s %s: %v", at, name, fault, err)
			}
		}
	}
	dirty := &simulated{at: -1}
	dirty.cache[1][9] = 1
	if _, err := create(dirty, ledger, Slot{1, key(t, 1)}); err == nil {
		t.Error("a spare slot that is not cleared was accepted")
	}
}

func TestASlotThatCannotBeReadKeepsTheFileClosed(t *testing.T) {
	for at := range slots {
		d, _ := newSimulated(t)
		d.at, d.fault = at, failed
		if _, err := open(d, ledger); !errors.Is(err, errInjected) {
			t.Errorf("slot %d: %v", at, err)
		}
	}
}

// The process died between write and fsync: the page cache holds what the disk may
// not, and a Keep that finds the spare slot cleared must not believe it.
func TestTheFirstKeepAfterOpeningSyncs(t *testing.T) {
	d, f := newSimulated(t)
	do(t, f.Stage(2, key(t, 2)))
	d.cache[0] = cleared
	f, err := open(d, ledger)
	do(t, err)
	if !d.contains(1) {
		t.Fatal("the old key is gone before Keep: the test shows nothing")
	}
	do(t, f.Keep(2))
	if d.contains(1) {
		t.Error("Keep believed the cache")
	}
}
