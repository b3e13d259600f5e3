package chain

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"consentledger/crypto/digest"
)

func BenchmarkLeafHash(b *testing.B) {
	for _, padded := range []int{256, 512, 4096} {
		e := newLog(b, 1, padded).entries[0]
		b.Run(fmt.Sprintf("%dBytes", len(e)), func(b *testing.B) {
			b.SetBytes(int64(len(e)))
			b.ReportAllocs()
			for b.Loop() {
				LeafHash(e)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	e := newLog(b, 1).entries[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	tree := NewTree()
	leaf := Hash{1}
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(leaf)
		leaf[0]++
		if tree.Size()%4096 == 0 {
			tree.TakeFullTiles(func(int, uint64, []byte) {})
		}
	}
}

func BenchmarkTreeRoot(b *testing.B) {
	tree := NewTree()
	for i := range 1<<17 - 1 { // every level has an edge: the dearest root
		tree.Append(Hash{byte(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		tree.Root()
	}
}

func BenchmarkTreeClone(b *testing.B) {
	tree := NewTree()
	for i := range 1<<17 - 1 {
		tree.Append(Hash{byte(i)})
	}
	tree.TakeFullTiles(func(int, uint64, []byte) {})
	b.ReportAllocs()
	for b.Loop() {
		tree.Clone()
	}
}

func BenchmarkNodeHash(b *testing.B) {
	l, r := Hash{1}, Hash{2}
	for b.Loop() {
		l = nodeHash(&l, &r)
	}
}

const benchEntries = 128 * TileHashes

// BenchmarkVerify and BenchmarkVerifyFloor belong together: the ratio of their
// MB/s is what verifying costs beside the hashing that nobody can leave out.
func BenchmarkVerify(b *testing.B) {
	l := newLog(b, benchEntries)
	for _, jobs := range []int{1, 2} {
		b.Run(fmt.Sprintf("Jobs%d", jobs), func(b *testing.B) {
			o := withKey(b, l.checkpoint)
			o.Jobs = jobs
			b.SetBytes(int64(benchEntries * len(l.entries[0])))
			b.ReportAllocs()
			for b.Loop() {
				r, err := Verify(context.Background(), l, o)
				if err != nil || !r.Intact {
					b.Fatal(err, r.Findings)
				}
			}
		})
	}
}

// BenchmarkVerifyFloor hashes the same entries, laid out for it with the leaf
// prefix before them, and as many nodes, in as many goroutines.
func BenchmarkVerifyFloor(b *testing.B) {
	l := newLog(b, benchEntries)
	leaves := make([][]byte, len(l.entries))
	for i, e := range l.entries {
		leaves[i] = append([]byte{leafPrefix}, e...)
	}
	for _, jobs := range []int{1, 2} {
		b.Run(fmt.Sprintf("Jobs%d", jobs), func(b *testing.B) {
			b.SetBytes(int64(benchEntries * len(l.entries[0])))
			for b.Loop() {
				var wg sync.WaitGroup
				for j := range jobs {
					wg.Go(func() {
						var node [1 + 2*HashSize]byte
						for _, leaf := range leaves[j*len(leaves)/jobs : (j+1)*len(leaves)/jobs] {
							h := digest.Sum256(leaf)
							copy(node[1:], h[:])
							digest.Sum256(node[:])
						}
					})
				}
				wg.Wait()
			}
		})
	}
}
