package keyring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"consentledger/crypto/seal"
)

func leafOf(recs ...record) []byte { return (&node{recs: recs}).appendTo(nil) }

func branchOf(prefix []byte, kids ...int) []byte {
	n := newBranch(0, prefix)
	for _, i := range kids {
		n.kids[i] = kid{ref: &ref{key: drawKey(seeded(uint64(i)))}}
	}
	return n.appendTo(nil)
}

func slotRecord(slot uint64) record { return record{key: slotKey(slot), val: []byte("value")} }

func TestAPageHasOneReadingOnly(t *testing.T) {
	slotPath := pathOf(slotKey(1), 2*slotKeySize)
	edit := func(b []byte, f func(b []byte) []byte) []byte { return f(bytes.Clone(b)) }
	two := leafOf(slotRecord(1), slotRecord(2))
	for _, c := range []struct {
		name string
		path []byte
		page []byte
		good bool
	}{
		{"a leaf", []byte{0, 2}, two, true},
		{"a leaf at the end of a key", slotPath, leafOf(slotRecord(1)), true},
		{"an empty top leaf", nil, leafOf(), true},
		{"a branch", []byte{0, 2}, branchOf([]byte{0, 15}, 0, 15), true},
		{"a top branch without a prefix", nil, branchOf(nil, 0), true},
		{"a top branch over three maps", nil, branchOf([]byte{0}, 0, 1, 2), true},
		{"a branch by the last half byte", slotPath[:5], branchOf(slotPath[5:17], 1), true},

		{"nothing", nil, nil, false},
		{"a kind that is not known", nil, []byte{3, 0, 0}, false},
		{"kind zero", nil, []byte{0, 0, 0}, false},
		{"an empty leaf below the top", []byte{0}, leafOf(), false},
		{"a byte more", []byte{0, 2}, append(bytes.Clone(two), 0), false},
		{"a byte less", []byte{0, 2}, two[:len(two)-1], false},
		{"records out of order", []byte{0, 2}, leafOf(slotRecord(2), slotRecord(1)), false},
		{"a record twice", []byte{0, 2}, leafOf(slotRecord(1), slotRecord(1)), false},
		{"a record of another map", []byte{0, 2}, leafOf(record{key: idKey(IDPath{})}, slotRecord(1)), false},
		{"a record that belongs to the next page", append(bytes.Clone(slotPath[:17]), 2), leafOf(slotRecord(1)), false},
		{"a record of no map", nil, leafOf(record{key: append([]byte{3}, make([]byte, 8)...)}), false},
		{"a key that is too short", nil, leafOf(record{key: slotKey(1)[:8]}), false},
		{"a key that is too long", nil, leafOf(record{key: append(slotKey(1), 0)}), false},
		{"an empty key", nil, leafOf(record{}), false},
		{"a path longer than the key", append(bytes.Clone(slotPath), 0), leafOf(slotRecord(1)), false},
		{"fewer records than counted", []byte{0, 2}, edit(two, func(b []byte) []byte { b[2]++; return b }), false},
		{"a count beyond any page", []byte{0, 2}, edit(two, func(b []byte) []byte { b[1] = 255; return b }), false},
		{"a value longer than the page", []byte{0, 2}, edit(leafOf(slotRecord(1)), func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[3+1+slotKeySize+timesSize:], math.MaxUint32)
			return b
		}), false},
		{"a branch without children", []byte{0, 2}, branchOf([]byte{1}), false},
		{"a prefix of more than half bytes", []byte{0, 2}, branchOf([]byte{16}, 1), false},
		{"a prefix longer than the page", []byte{0, 2}, []byte{pageBranch, 200, 1}, false},
		{"a branch below the end of every key", slotPath, branchOf(nil, 1), false},
		{"a branch that leaves nothing to decide by", slotPath[:5], branchOf(slotPath[5:], 1), false},
		{"a branch of no map", nil, branchOf([]byte{0, 3}, 1), false},
		{"a branch of no map, one half byte on", nil, branchOf([]byte{1}, 1), false},
		{"a child without a key", []byte{0, 2}, edit(branchOf(nil, 1), func(b []byte) []byte { clear(b[4 : 4+32]); return b }), false},
		{"a child without its task", []byte{0, 2}, edit(branchOf(nil, 1), func(b []byte) []byte { return b[:len(b)-8] }), false},
		{"a child too few", []byte{0, 2}, edit(branchOf(nil, 1), func(b []byte) []byte { b[3] |= 4; return b }), false},
		{"a child too many", []byte{0, 2}, edit(branchOf(nil, 1, 2), func(b []byte) []byte { b[3] &^= 4; return b }), false},
	} {
		n, err := parsePage(c.page, c.path)
		if good := err == nil; good != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && !bytes.Equal(n.appendTo(nil), c.page) {
			t.Errorf("%s does not encode to what it was read from", c.name)
		}
	}
}

func TestARecordHasOneReadingOnly(t *testing.T) {
	src := seeded(20)
	m := &Member{Kind: "clinic", Wake: -2, Task: 1 << 62, Keys: []MemberKey{
		{Class: "a", Reference: "order", Key: drawKey(src)},
		{Class: "b", Key: drawKey(src), Ratchet: true, TagKey: drawKey(src), Day: -1, Due: -1, NotBefore: -3},
	}}
	good := m.encode()
	if cap(good) != len(good) || m.size() != len(good) {
		t.Errorf("a member of %d bytes was written into %d, and %d were expected", len(good), cap(good), m.size())
	}
	if _, err := decodeMember(good); err != nil {
		t.Fatal(err)
	}
	endedAt := 8 + 16 + 1 + len(m.Kind)
	countAt := endedAt + 1 + 8 + 8
	ratchetAt := countAt + 2 + 1 + 1 + 2 + len("order") + 32 + 8 + 8
	keyAt := ratchetAt - 8 - 8 - 32
	for name, bad := range map[string]func(b []byte) []byte{
		"nothing":                         func([]byte) []byte { return nil },
		"a byte less":                     func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":                     func(b []byte) []byte { return append(b, 0) },
		"a flag that is not known":        func(b []byte) []byte { b[endedAt] = 2; return b },
		"another flag that is not known":  func(b []byte) []byte { b[ratchetAt] = 2; return b },
		"a key of zeros":                  func(b []byte) []byte { clear(b[keyAt : keyAt+32]); return b },
		"a tag key of zeros":              func(b []byte) []byte { clear(b[len(b)-36 : len(b)-4]); return b },
		"more keys than there can be":     func(b []byte) []byte { b[countAt] = 255; return b },
		"a key more than there is":        func(b []byte) []byte { b[countAt+1]++; return b },
		"a kind longer than the record":   func(b []byte) []byte { b[8+16] = 255; return b },
		"a class longer than the record":  func(b []byte) []byte { b[countAt+2] = 255; return b },
		"a key fewer than there are":      func(b []byte) []byte { b[countAt+1]--; return b },
		"half of it":                      func(b []byte) []byte { return b[:len(b)/2] },
		"a reference beyond the record":   func(b []byte) []byte { b[countAt+2+2] = 255; return b },
		"only what stands before the key": func(b []byte) []byte { return b[:keyAt] },
	} {
		if _, err := decodeMember(bad(bytes.Clone(good))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range 30 {
		_, err := decodeID(make([]byte, n))
		if good := n > 0 && n%8 == 0; good != (err == nil) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("an id record of %d bytes: %v", n, err)
		}
	}
}

func TestASystemKeyThatIsNotThereIsAnError(t *testing.T) {
	m := newMemPages()
	k := New(testLedger, m, Options{Rand: seeded(21)})
	if _, err := k.System("path"); !errors.Is(err, ErrNoKey) {
		t.Errorf("%v", err)
	}
	b := k.Begin()
	must(t, b.set(systemKey("path"), []byte("short"), times{}))
	must(t, b.set(systemKey("ref"), make([]byte, 32), times{}))
	commit(t, b, m, drawKey(seeded(22)))
	for _, name := range []string{"path", "ref"} {
		if _, err := k.System(name); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACopyOfAMemberSharesNothingThatChanges(t *testing.T) {
	src := seeded(23)
	key := drawKey(src)
	m := &Member{Keys: []MemberKey{{Class: "a", Key: key, Due: 5}}}
	c := m.Clone()
	c.Keys[0].Key, c.Keys[0].Due = drawKey(src), 9
	if !m.Keys[0].Key.Equal(key) || m.Due() != 5 || c.Due() != 9 {
		t.Error("a change to the copy changed the member")
	}
}

func FuzzPage(f *testing.F) {
	for _, p := range loadVectors(f).Pages {
		f.Add([]byte(p.Plain), []byte(p.Path))
	}
	f.Add(leafOf(), []byte(nil))
	f.Add(leafOf(slotRecord(1), slotRecord(2)), []byte{0, 2})
	f.Add(branchOf([]byte{0}, 0, 1, 2), []byte(nil))
	timed := slotRecord(3)
	timed.times = times{due: 1, task: -1}
	f.Add(leafOf(timed), []byte{0, 2})
	f.Add([]byte{pageBranch, 255}, []byte{0, 1})
	f.Add([]byte{pageLeaf, 255, 255, 9}, []byte{0, 2})
	f.Fuzz(func(t *testing.T, page, path []byte) {
		if len(path) > maxPath {
			return
		}
		for _, p := range path {
			if p > 15 {
				return // a path is made of half bytes by whoever asks
			}
		}
		n, err := parsePage(bytes.Clone(page), path)
		if err != nil {
			return
		}
		if again := n.appendTo(nil); !bytes.Equal(again, page) || n.size() != len(page) {
			t.Errorf("%x reads and encodes to %x", page, again)
		}
		// Whatever was read can be looked into with any key below it.
		if !n.branch {
			for i := range n.recs {
				if at, found := n.search(n.recs[i].key); !found || at != i {
					t.Errorf("record %d is not found in its page", i)
				}
			}
			return
		}
		for i := range n.kids {
			if r := n.kids[i].ref; r != nil && (r.key == seal.Key{}) {
				t.Error("a child has no key")
			}
		}
		full := append(bytes.Clone(path), n.prefix...)
		if len(full) >= 2 && 2*keySize(full[0]<<4|full[1]) <= len(full) {
			t.Errorf("a branch at %x runs past the end of its keys", full)
		}
	})
}

func FuzzMember(f *testing.F) {
	for _, m := range loadVectors(f).Members {
		f.Add([]byte(m.Encoded))
	}
	f.Add((&Member{}).encode())
	f.Add((&Member{Wake: -1, Task: 1, Keys: []MemberKey{{Key: drawKey(seeded(24)), Due: 5, NotBefore: 9}}}).encode())
	f.Add(make([]byte, len((&Member{}).encode())))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMember(bytes.Clone(b))
		if err != nil {
			return
		}
		if again := m.encode(); !bytes.Equal(again, b) {
			t.Errorf("%x reads and encodes to %x", b, again)
		}
		if err := m.check(); err != nil {
			t.Errorf("what was read could not be written: %v", err)
		}
	})
}

func FuzzID(f *testing.F) {
	for _, r := range loadVectors(f).IDs {
		f.Add([]byte(r.Encoded))
	}
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodeID(bytes.Clone(b))
		if err != nil {
			return
		}
		if again := rec.encode(); !bytes.Equal(again, b) {
			t.Errorf("%x reads and encodes to %x", b, again)
		}
	})
}
