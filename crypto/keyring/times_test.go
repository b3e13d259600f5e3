package keyring

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsPutOffIsDueWhenThatEnds(t *testing.T) {
	for _, c := range []struct{ due, notBefore, want int64 }{
		{0, 0, 0},
		{5, 0, 5},
		{5, 9, 9},
		{9, 5, 9},
		{0, 9, 0}, // no clock starts because something is put off
		{-5, 0, -5},
		{-5, -3, -3},
	} {
		k := MemberKey{Due: c.due, NotBefore: c.notBefore}
		if got := k.DueAt(); got != c.want {
			t.Errorf("due %d, not before %d: due at %d, want %d", c.due, c.notBefore, got, c.want)
		}
	}
	for _, c := range []struct {
		m    Member
		want int64
	}{
		{Member{}, 0},
		{Member{Task: 3}, 0},
		{Member{Wake: 7}, 7},
		{Member{Wake: 7, Keys: []MemberKey{{Due: 5}}}, 5},
		{Member{Wake: 7, Keys: []MemberKey{{Due: 5, NotBefore: 8}}}, 7},
		{Member{Keys: []MemberKey{{Due: 5, NotBefore: 8}, {Due: 6}, {NotBefore: 1}}}, 6},
	} {
		if got := c.m.Due(); got != c.want {
			t.Errorf("%+v is due at %d, want %d", c.m, got, c.want)
		}
	}
}

// timed is a keyring of members whose slots are found by their times, opened with nothing in
// memory, and a count of the pages that it reads from then on.
func timed(t *testing.T, members int, at func(slot uint64) Member) (k *Keyring, read *int) {
	t.Helper()
	src := seeded(40)
	m := newMemPages()
	root := drawKey(src)
	k = New(testLedger, m, Options{Rand: src, CacheBytes: 16 << 20})
	b := k.Begin()
	for slot := uint64(1); slot <= uint64(members); slot++ {
		mb := at(slot)
		mb.Keys = append(mb.Keys, MemberKey{Class: "haim/membership", Key: drawKey(src)})
		must(t, b.PutMember(slot, &mb))
	}
	commit(t, b, m, root)
	k, err := Open(testLedger, m, root, Options{Rand: src, CacheBytes: 16 << 20})
	must(t, err)
	read = new(int)
	m.onRead = func([]byte) { *read++ }
	return k, read
}

func TestMembersAreFoundWhenTheirTimesHaveCome(t *testing.T) {
	k, _ := timed(t, 200, func(slot uint64) Member {
		switch slot {
		case 20:
			return Member{Wake: 100}
		case 30:
			return Member{Task: 100}
		case 40:
			return Member{Keys: []MemberKey{{Class: "haim/access", Key: drawKey(seeded(41)), Due: 50, NotBefore: 101}}}
		case 50:
			return Member{Task: 100, Wake: 101}
		}
		return Member{Task: 1000, Wake: 1000}
	})
	for _, c := range []struct {
		name string
		got  func() ([]uint64, error)
		want []uint64
	}{
		{"due at 99", func() ([]uint64, error) { return k.Due(99, 10) }, nil},
		{"due at 100", func() ([]uint64, error) { return k.Due(100, 10) }, []uint64{20}},
		{"due at 101", func() ([]uint64, error) { return k.Due(101, 10) }, []uint64{20, 40, 50}},
		{"due at 101 behind slot 20", func() ([]uint64, error) { return k.DueFrom(101, 21, 10) }, []uint64{40, 50}},
		{"tasks until 99", func() ([]uint64, error) { return k.Tasks(0, 99, 0, 10) }, nil},
		{"tasks until 100", func() ([]uint64, error) { return k.Tasks(0, 100, 0, 10) }, []uint64{30, 50}},
		{"tasks behind slot 30", func() ([]uint64, error) { return k.Tasks(0, 100, 31, 10) }, []uint64{50}},
		{"one task", func() ([]uint64, error) { return k.Tasks(0, 100, 0, 1) }, []uint64{30}},
		{"no task", func() ([]uint64, error) { return k.Tasks(0, 100, 0, 0) }, nil},
		{"tasks after 100", func() ([]uint64, error) { return k.Tasks(100, 1000, 29, 3) }, []uint64{29, 31, 32}},
	} {
		if got, err := c.got(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// A sweep that finds nothing to change in the first slots that are due must get to those behind.
func TestGoingOnFromASlotGetsThroughAllThatIsDue(t *testing.T) {
	const members = 300
	k, _ := timed(t, members, func(slot uint64) Member { return Member{Wake: 1, Task: 1} })
	for name, next := range map[string]func(from uint64) ([]uint64, error){
		"due":   func(from uint64) ([]uint64, error) { return k.DueFrom(1, from, 7) },
		"tasks": func(from uint64) ([]uint64, error) { return k.Tasks(0, 1, from, 7) },
	} {
		var all []uint64
		for from := uint64(0); len(all) <= members; from = all[len(all)-1] + 1 {
			page, err := next(from)
			must(t, err)
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		if len(all) != members || !slices.IsSorted(all) || all[0] != 1 || all[members-1] != members {
			t.Errorf("%s: %d slots: %v", name, len(all), all)
		}
	}
}

func TestWhereNothingIsToBeDoneNoPageIsRead(t *testing.T) {
	const members = 3000
	at := func(slot uint64) Member {
		if slot == 1500 {
			return Member{Wake: 100, Task: 100}
		}
		return Member{Wake: 1000, Task: 1000}
	}
	for _, c := range []struct {
		name   string
		find   func(k *Keyring, until int64) ([]uint64, error)
		lonely int64
	}{
		{"due", func(k *Keyring, until int64) ([]uint64, error) { return k.Due(until, members) }, 100},
		{"tasks", func(k *Keyring, until int64) ([]uint64, error) { return k.Tasks(0, until, 0, members) }, 100},
	} {
		k, read := timed(t, members, at)
		if got, err := c.find(k, 99); err != nil || len(got) != 0 || *read != 0 {
			t.Errorf("%s before everything: %v, %v, %d pages read", c.name, got, err, *read)
		}
		if got, err := c.find(k, 100); err != nil || !slices.Equal(got, []uint64{1500}) || *read > 8 {
			t.Errorf("%s, one of them: %v, %v, %d pages read", c.name, got, err, *read)
		}
		// Control: to find them all, all pages are read.
		if got, err := c.find(k, 1000); err != nil || len(got) != members || *read < members/10 {
			t.Errorf("%s, all of them: %d, %v, %d pages read", c.name, len(got), err, *read)
		}
	}
}

func TestSlotsComeFromMemoryWhereItHasThem(t *testing.T) {
	const members = 500
	k, read := timed(t, members, func(slot uint64) Member { return Member{Nonce: slot, Task: int64(slot)} })
	all := func(page func(from uint64, limit int) ([]Slot, error)) (out []Slot) {
		for from := uint64(0); ; from = out[len(out)-1].Number + 1 {
			slots, err := page(from, 60)
			must(t, err)
			if len(slots) == 0 {
				return out
			}
			out = append(out, slots...)
		}
	}
	first := all(k.Slots)
	if len(first) != members || first[members-1].Number != members || first[41].Member.Nonce != 42 {
		t.Fatalf("%d slots", len(first))
	}
	*read = 0
	again := all(k.Slots)
	if *read != 0 {
		t.Errorf("%d pages were read that are in memory", *read)
	}
	cold := all(k.SlotsFromDisk)
	if *read == 0 {
		t.Error("from the disk no page was read: the count counts nothing")
	}
	if diff := cmp.Diff(first, again) + cmp.Diff(first, cold); diff != "" {
		t.Error(diff)
	}
}

// Such a record would never be found when its time comes, so reading all slots tells.
func TestARecordWhosePageSaysOtherTimesIsDamaged(t *testing.T) {
	src := seeded(42)
	mb := Member{Wake: 7, Task: 9, Keys: []MemberKey{{Class: "haim/membership", Key: drawKey(src)}}}
	for _, c := range []struct {
		at   times
		good bool
	}{
		{times{due: 7, task: 9}, true},
		{times{due: 8, task: 9}, false},
		{times{due: 7}, false},
	} {
		m := newMemPages()
		k := New(testLedger, m, Options{Rand: src})
		b := k.Begin()
		must(t, b.set(slotKey(1), mb.encode(), c.at))
		commit(t, b, m, drawKey(src))
		for name, read := range map[string]func(uint64, int) ([]Slot, error){"memory": k.Slots, "disk": k.SlotsFromDisk} {
			slots, err := read(0, 10)
			if good := err == nil && len(slots) == 1; good != c.good || !good && !errors.Is(err, ErrDamaged) {
				t.Errorf("%+v from %s: %v", c.at, name, err)
			}
		}
	}
}
