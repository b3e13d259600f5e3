package keyring

import (
	"encoding/binary"
	"fmt"
	"testing"

	"consentledger/crypto/seal"
)

// grown is a keyring of so many members, each with the keys that one consent of a usual policy
// gives: membership, a class kept for a time, access.
func grown(b *testing.B, members int) (*Keyring, *memPages, seal.Key, []IDPath) {
	b.Helper()
	src := seeded(30)
	m := newMemPages()
	root := drawKey(src)
	k := New(testLedger, m, Options{Rand: src, CacheBytes: 256 << 20})
	paths := make([]IDPath, 1, members+1) // by slot
	for len(paths) <= members {
		batch := k.Begin()
		for range min(1024, members+1-len(paths)) {
			p, mb := benchMember(src)
			must(b, batch.PutMember(uint64(len(paths)), mb))
			must(b, batch.PutID(p, IDRecord{Slot: uint64(len(paths))}))
			paths = append(paths, p)
		}
		batch.SetNextSlot(uint64(len(paths)))
		commit(b, batch, m, root)
	}
	return k, m, root, paths
}

func benchMember(src interface{ Read([]byte) (int, error) }) (IDPath, *Member) {
	var raw [24]byte
	src.Read(raw[:])
	draw := func() seal.Key {
		k, err := seal.NewKey(src)
		if err != nil {
			panic(err)
		}
		return k
	}
	mb := &Member{Nonce: binary.BigEndian.Uint64(raw[16:]), Path: IDPath(raw[:16]), Kind: "standard", Keys: []MemberKey{
		{Class: "haim/membership", Key: draw()},
		{Class: "haim/contracts", Key: draw(), Due: 1900000000, Ratchet: true, TagKey: draw(), Day: 20000},
		{Class: "haim/access", Key: draw(), Due: 1850000000, Ratchet: true, TagKey: draw(), Day: 20000},
	}}
	return mb.Path, mb
}

// written counts what a batch puts into the store.
type written struct{ pages, bytes int }

func (w *written) add(pages []Page) {
	for _, p := range pages {
		if p.Sealed != nil {
			w.pages++
			w.bytes += len(p.Position) + len(p.Sealed)
		}
	}
}

func (w *written) report(b *testing.B, perOp int) {
	n := float64(b.N)
	b.ReportMetric(float64(w.pages)/n, "pages/op")
	b.ReportMetric(float64(w.bytes)/n/1024, "KiB/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/n/float64(perOp), "µs/member")
}

var benchSizes = []int{10_000, 100_000}

func BenchmarkEnrol(b *testing.B) {
	for _, members := range benchSizes {
		k, m, root, paths := grown(b, members)
		next := uint64(len(paths))
		src := seeded(31)
		for _, group := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("members=%d/group=%d", members, group), func(b *testing.B) {
				var w written
				b.ReportAllocs()
				for b.Loop() {
					batch := k.Begin()
					for range group {
						p, mb := benchMember(src)
						must(b, batch.PutMember(next, mb))
						must(b, batch.PutID(p, IDRecord{Slot: next}))
						next++
					}
					batch.SetNextSlot(next)
					pages, err := batch.Seal(root)
					must(b, err)
					must(b, batch.Commit(func() error { return m.write(pages) }))
					w.add(pages)
				}
				w.report(b, group)
			})
		}
	}
}

// A destruction empties a slot and removes an id. Each round puts the same members back, which is
// not counted.
func BenchmarkDestroy(b *testing.B) {
	for _, members := range benchSizes {
		k, m, _, paths := grown(b, members)
		src := seeded(32)
		for _, group := range []int{1, 16, 1000} {
			b.Run(fmt.Sprintf("members=%d/group=%d", members, group), func(b *testing.B) {
				var w written
				at, stride := 0, 7919
				b.ReportAllocs()
				for b.Loop() {
					root := drawKey(src)
					batch := k.Begin()
					for i := range group {
						slot := uint64(1 + (at+i*stride)%(len(paths)-1))
						must(b, batch.DeleteMember(slot))
						must(b, batch.DeleteID(paths[slot]))
					}
					pages, err := batch.Seal(root)
					must(b, err)
					must(b, batch.Commit(func() error { return m.write(pages) }))
					w.add(pages)

					b.StopTimer()
					batch = k.Begin()
					for i := range group {
						slot := uint64(1 + (at+i*stride)%(len(paths)-1))
						p, mb := benchMember(src)
						paths[slot] = p
						must(b, batch.PutMember(slot, mb))
						must(b, batch.PutID(p, IDRecord{Slot: slot}))
					}
					commit(b, batch, m, root)
					at += group * stride
					b.StartTimer()
				}
				w.report(b, group)
			})
		}
	}
}

func BenchmarkMember(b *testing.B) {
	k, m, root, paths := grown(b, 100_000)
	cold, err := Open(testLedger, m, root, Options{CacheBytes: 256 << 10})
	must(b, err)
	for _, c := range []struct {
		name string
		k    *Keyring
	}{{"in memory", k}, {"from the store", cold}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			slot := uint64(1)
			for b.Loop() {
				slot = 1 + (slot*7919)%uint64(len(paths)-1)
				if mb, err := c.k.Member(slot); err != nil || mb == nil {
					b.Fatal(err)
				}
			}
		})
	}
}
