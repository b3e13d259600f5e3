package ledger

import (
	"slices"
	"testing"
)

// Entries are found and read some at a time; where one lot ends, none may be lost or come twice.
func TestAMemberIsReadWholeHoweverManyEntriesThereAre(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	const id = "a@shop.example"
	var all []uint64 // of the class of the membership
	one := func(again bool) {
		c := enrolment(t, id, w)
		c.Decisions, c.Enrol = c.Decisions[:1], !again
		for _, e := range mustDo(t, l, c).Entries {
			all = append(all, e.Index)
		}
	}
	one(false)
	for n := 1; n <= 2*readAhead+1; n++ {
		if slices.Contains([]int{1, readAhead - 1, readAhead, readAhead + 1, 2 * readAhead, 2*readAhead + 1}, n) {
			rec, err := l.keys.Member(1)
			if err != nil {
				t.Fatal(err)
			}
			opened, keys, err := l.openMember(rec)
			if err != nil {
				t.Fatal(err)
			}
			var read []uint64
			for _, e := range opened {
				read = append(read, e.Index)
			}
			if !slices.Equal(read, all) || len(all) != n || keys[0].count != uint64(n) {
				t.Errorf("of %d entries %d are read, or others, and the key counts %d", n, len(read), keys[0].count)
			}
		}
		one(true)
	}
}
