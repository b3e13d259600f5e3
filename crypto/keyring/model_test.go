package keyring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"consentledger/crypto/seal"
)

// anyKey draws keys that meet often and share prefixes of every length.
func anyKey(t *rapid.T) []byte {
	switch rapid.IntRange(0, 4).Draw(t, "map") {
	case 0:
		return systemKey(rapid.SampledFrom([]string{"path", "paths", "ref", "registers", "seed"}).Draw(t, "name"))
	case 1:
		var p IDPath
		for i := range p {
			p[i] = rapid.SampledFrom([]byte{0x00, 0x01, 0x10, 0xff}).Draw(t, "half bytes")
		}
		return idKey(p)
	case 2:
		var p IDPath // all equal but for the end
		p[15] = rapid.Byte().Draw(t, "end")
		return idKey(p)
	case 3:
		return slotKey(rapid.Uint64Range(1, 40).Draw(t, "slot"))
	default:
		return slotKey(uint64(1) << rapid.IntRange(0, 63).Draw(t, "far slot"))
	}
}

func anyValue(t *rapid.T) []byte {
	n := rapid.SampledFrom([]int{0, 1, 8, 90, 300, 500, 1000, 1024, 3000}).Draw(t, "size")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, n)
}

type modelValue struct {
	val []byte
	times
}

func anyTime(t *rapid.T, what string) int64 {
	return rapid.SampledFrom([]int64{0, 0, 1, 50, 99, 100, 1 << 40, -7}).Draw(t, what)
}

func TestAKeyringBehavesLikeAPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemPages()
		src := seeded(rapid.Uint64Range(0, 1<<20).Draw(t, "seed"))
		root := drawKey(src)
		o := Options{Rand: src, CacheBytes: rapid.SampledFrom([]int64{0, 3000, 1 << 20}).Draw(t, "cache")}
		k := New(testLedger, m, o)
		model := make(map[string]modelValue)
		nextSlot := uint64(1)
		var top [32]byte

		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			b := k.Begin()
			for range rapid.IntRange(1, 50).Draw(t, "operations") {
				key := anyKey(t)
				if len(model) > 0 && rapid.Bool().Draw(t, "known") {
					key = []byte(rapid.SampledFrom(sortedKeys(model)).Draw(t, "key"))
				}
				switch rapid.IntRange(0, 6).Draw(t, "operation") {
				case 0, 1:
					err := b.delete(bytes.Clone(key))
					if _, ok := model[string(key)]; ok != (err == nil) {
						t.Fatalf("delete %x: there %v, error %v", key, ok, err)
					}
					delete(model, string(key))
				case 2:
					n := rapid.Uint64Range(0, 100).Draw(t, "next slot")
					b.SetNextSlot(n)
					nextSlot = max(nextSlot, n)
				default:
					v := modelValue{anyValue(t), times{due: anyTime(t, "due"), task: anyTime(t, "task")}}
					if err := b.set(bytes.Clone(key), bytes.Clone(v.val), v.times); err != nil {
						t.Fatal(err)
					}
					model[string(key)] = v
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "rotate") == 0 {
				root = drawKey(src)
			}
			pages, err := b.Seal(root)
			if err != nil {
				t.Fatal(err)
			}
			last := pages[len(pages)-1]
			if !bytes.Equal(last.Position, TopPosition()) {
				t.Fatal("the last page is not the top page")
			}
			top = TopHash(last.Sealed)
			if err := b.Commit(func() error { return m.write(pages) }); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "reopen") == 0 {
				o.Top = top
				if k, err = Open(testLedger, m, root, o); err != nil {
					t.Fatal(err)
				}
			}
			if err := compare(t, k, model, nextSlot); err != nil {
				t.Fatal(err)
			}
			if err := checkCache(k); err != nil {
				t.Fatal(err)
			}
			if err := m.visit(testLedger, root, func([]byte, *node) {}); err != nil {
				t.Fatal(err)
			}
		}
		// An emptied keyring is one page.
		b := k.Begin()
		for _, key := range sortedKeys(model) {
			if err := b.delete([]byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		pages, err := b.Seal(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(func() error { return m.write(pages) }); err != nil {
			t.Fatal(err)
		}
		if len(m.pages) != 1 {
			t.Fatalf("%d pages are left of an empty keyring", len(m.pages))
		}
	})
}

func sortedKeys(m map[string]modelValue) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func compare(t *rapid.T, k *Keyring, model map[string]modelValue, nextSlot uint64) error {
	if k.NextSlot() != nextSlot {
		return fmt.Errorf("next slot %d, want %d", k.NextSlot(), nextSlot)
	}
	keys := sortedKeys(model)
	for _, key := range keys {
		val, err := k.get([]byte(key))
		if err != nil || val == nil || !bytes.Equal(val, model[key].val) {
			return fmt.Errorf("get %x: %x, %v", key, val, err)
		}
	}
	for range 10 {
		key := anyKey(t)
		val, err := k.get(key)
		if _, ok := model[string(key)]; err != nil || ok != (val != nil) {
			return fmt.Errorf("get %x: %x, %v", key, val, err)
		}
	}
	from := anyKey(t)
	limit := rapid.SampledFrom([]int{1, 3, 1000}).Draw(t, "limit")
	for _, cold := range []bool{false, true} {
		recs, err := k.scan(from[0], from, limit, cold)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if key[0] != from[0] || key < string(from) {
				continue
			}
			if len(recs) == 0 {
				if limit == 1000 {
					return fmt.Errorf("scan leaves out %x", key)
				}
				break
			}
			if string(recs[0].key) != key || !bytes.Equal(recs[0].val, model[key].val) || recs[0].times != model[key].times {
				return fmt.Errorf("scan says %x where %x should be", recs[0].key, key)
			}
			recs = recs[1:]
		}
		if len(recs) > 0 {
			return fmt.Errorf("scan says %x too much", recs[0].key)
		}
	}
	slotsWhere := func(from uint64, is func(times) bool) []uint64 {
		var want []uint64
		for _, key := range keys {
			if key[0] != mapSlot || !is(model[key].times) {
				continue
			}
			if slot := binary.BigEndian.Uint64([]byte(key[1:])); slot >= from {
				want = append(want, slot)
			}
		}
		return want[:min(len(want), limit)]
	}
	fromSlot := rapid.SampledFrom([]uint64{0, 1, 9, 40, 1 << 32, math.MaxUint64}).Draw(t, "from slot")
	for _, now := range []int64{-8, 0, 1, 99, 100, 1 << 50} {
		passed := func(at times) bool { return at.due != 0 && at.due <= now }
		if got, err := k.Due(now, limit); err != nil || !slices.Equal(got, slotsWhere(0, passed)) {
			return fmt.Errorf("due at %d: %v, %v; want %v", now, got, err, slotsWhere(0, passed))
		}
		want := slotsWhere(fromSlot, passed)
		if got, err := k.DueFrom(now, fromSlot, limit); err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("due at %d from %d: %v, %v; want %v", now, fromSlot, got, err, want)
		}
		for _, after := range []int64{math.MinInt64, 0, 50, 100} {
			want := slotsWhere(fromSlot, func(at times) bool { return at.task != 0 && after < at.task && at.task <= now })
			if got, err := k.Tasks(after, now, fromSlot, limit); err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("tasks in (%d, %d] from %d: %v, %v; want %v", after, now, fromSlot, got, err, want)
			}
		}
	}
	return nil
}

func TestAFailedChangeChangesNothing(t *testing.T) {
	m := newMemPages()
	src := seeded(1)
	root := drawKey(src)
	k := New(testLedger, m, Options{Rand: src})
	b := k.Begin()
	for slot := range uint64(100) {
		must(t, b.set(slotKey(slot), bytes.Repeat([]byte{byte(slot)}, 200), times{}))
	}
	commit(t, b, m, root)

	for _, bad := range []*Member{
		{Kind: string(make([]byte, 256))},
		{Keys: []MemberKey{{Class: string(make([]byte, 256)), Key: drawKey(src)}}},
		{Keys: []MemberKey{{Reference: string(make([]byte, 65536)), Key: drawKey(src)}}},
		{Keys: make([]MemberKey, 65536)},
		{Keys: []MemberKey{{}}},
		{Keys: []MemberKey{{Key: drawKey(src), Ratchet: true}}},
		{Keys: []MemberKey{{Key: drawKey(src), Day: 1}}},
		{Keys: []MemberKey{{Key: drawKey(src), TagKey: drawKey(src)}}},
	} {
		b := k.Begin()
		if err := b.PutMember(7, bad); err == nil {
			t.Error("a member that does not read back as it is was taken")
		}
		if b.Changed() {
			t.Error("a refused change changed something")
		}
	}
	b = k.Begin()
	if err := b.PutSystem("path", seal.Key{}); err == nil {
		t.Error("the zero key was taken")
	}
	if err := b.DeleteMember(100); err == nil {
		t.Error("what is not there was deleted")
	}
	if b.Changed() {
		t.Error("a refused change changed something")
	}
}

func TestABatchIsPublishedOnlyAsItWasWritten(t *testing.T) {
	m := newMemPages()
	src := seeded(2)
	root := drawKey(src)
	k := New(testLedger, m, Options{Rand: src})
	nothing := func() error { return nil }

	b := k.Begin()
	must(t, b.set(slotKey(1), []byte("a"), times{}))
	if err := b.Commit(nothing); !errors.Is(err, errNotSealed) {
		t.Errorf("a batch that was not sealed: %v", err)
	}
	pages, err := b.Seal(root)
	must(t, err)
	if err := b.set(slotKey(2), []byte("b"), times{}); !errors.Is(err, errSealed) {
		t.Errorf("a change after sealing: %v", err)
	}
	if err := b.delete(slotKey(1)); !errors.Is(err, errSealed) {
		t.Errorf("a removal after sealing: %v", err)
	}
	if _, err := b.Seal(root); !errors.Is(err, errSealed) {
		t.Errorf("sealing twice: %v", err)
	}
	other := k.Begin()
	must(t, other.set(slotKey(3), []byte("c"), times{}))
	_, err = other.Seal(root)
	must(t, err)
	must(t, b.Commit(func() error { return m.write(pages) }))
	if err := other.Commit(nothing); !errors.Is(err, errStale) {
		t.Errorf("a batch begun before another one was committed: %v", err)
	}
	if val, err := k.get(slotKey(1)); err != nil || string(val) != "a" {
		t.Errorf("after all: %q, %v", val, err)
	}
}

func TestAfterAFailedCommitNothingIsCalledDamaged(t *testing.T) {
	m := newMemPages()
	src := seeded(3)
	root := drawKey(src)
	k := New(testLedger, m, Options{Rand: src})
	fill := func(with byte) *Batch {
		b := k.Begin()
		for slot := range uint64(50) {
			must(t, b.set(slotKey(slot), bytes.Repeat([]byte{with}, 200), times{}))
		}
		return b
	}
	commit(t, fill(1), m, root)
	b := fill(2)
	pages, err := b.Seal(root)
	must(t, err)
	broken := errors.New("no answer from the disk")
	if err := b.Commit(func() error { must(t, m.write(pages)); return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	unknown := 0
	for slot := range uint64(50) {
		if _, err := k.get(slotKey(slot)); errors.Is(err, ErrUnknownCommit) {
			unknown++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if unknown == 0 {
		t.Error("every page came out of memory: the test shows nothing")
	}
	if err := k.Begin().Commit(func() error { return nil }); !errors.Is(err, ErrUnknownCommit) {
		t.Errorf("a commit after a failed one: %v", err)
	}
}
