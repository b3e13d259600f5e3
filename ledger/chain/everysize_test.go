package chain

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"
)

// long says whether every pair of numbers is tried: go run ./bench/long proofs.
var long = os.Getenv("CONSENTLEDGER_LONG") != ""

// A judge says whether a proof holds. ours and the two others are asked the same.
type judge struct {
	name      string
	inclusion func(index, size uint64, leaf, root Hash, path []Hash) error
	continues func(m, n uint64, older, newer Hash, path []Hash) error
}

var judges = []judge{
	{
		"ours",
		func(index, size uint64, leaf, root Hash, path []Hash) error {
			return Proof{Index: index, Hashes: path}.under(Checkpoint{testOrigin, size, root}, leaf)
		},
		func(m, n uint64, older, newer Hash, path []Hash) error {
			return CheckConsistency(Checkpoint{testOrigin, m, older}, Checkpoint{testOrigin, n, newer}, path)
		},
	},
	{
		"merkle",
		func(index, size uint64, leaf, root Hash, path []Hash) error {
			return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], rows(path), root[:])
		},
		func(m, n uint64, older, newer Hash, path []Hash) error {
			return proof.VerifyConsistency(rfc6962.DefaultHasher, m, n, rows(path), older[:], newer[:])
		},
	},
	{
		"tlog",
		func(index, size uint64, leaf, root Hash, path []Hash) error {
			return tlog.CheckRecord(tlogPath(path), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf))
		},
		func(m, n uint64, older, newer Hash, path []Hash) error {
			return tlog.CheckTree(tlogPath(path), int64(n), tlog.Hash(newer), int64(m), tlog.Hash(older))
		},
	},
}

func tlogPath(path []Hash) (out []tlog.Hash) {
	for _, h := range path {
		out = append(out, tlog.Hash(h))
	}
	return out
}

func pathOf[H ~[32]byte](hashes []H) (out []Hash) {
	for _, h := range hashes {
		out = append(out, Hash(h))
	}
	return out
}

func pathOfRows(hashes [][]byte) (out []Hash) {
	for _, h := range hashes {
		out = append(out, Hash(h))
	}
	return out
}

// atEverySize is a log whose proofs are made by three: through our tiles, by merkle's own tree, and by
// tlog from hashes that it has stored itself.
type atEverySize struct {
	*grown
	t      *testing.T
	merkle *testonly.Tree
	proofs int
}

// same fails unless all three made the same proof.
func (a *atEverySize) same(what string, ours, merkle, tlog []Hash) {
	a.t.Helper()
	a.proofs++
	if !slices.Equal(ours, merkle) || !slices.Equal(ours, tlog) {
		a.t.Fatalf("%s: ours has %d hashes, merkle's %d, tlog's %d, and they differ", what, len(ours), len(merkle), len(tlog))
	}
}

// tried says who takes what is proved, and fails unless it is everybody or nobody.
func (a *atEverySize) tried(what string, holds bool, hold func(judge) error) {
	a.t.Helper()
	for _, j := range judges {
		if err := hold(j); (err == nil) != holds {
			a.t.Fatalf("%s: %s says %v, want it to hold: %v", what, j.name, err, holds)
		}
	}
}

func flipped(h Hash) Hash {
	n := rand.IntN(8 * HashSize)
	h[n/8] ^= 1 << (n % 8)
	return h
}

func flippedIn(path []Hash) []Hash {
	path = slices.Clone(path)
	n := rand.IntN(len(path))
	path[n] = flipped(path[n])
	return path
}

func (a *atEverySize) inclusion(index, size uint64, ourReader tlog.HashReader) {
	a.t.Helper()
	what := fmt.Sprintf("entry %d of %d", index, size)
	ours, err1 := tlog.ProveRecord(int64(size), int64(index), ourReader)
	theirs, err2 := a.merkle.InclusionProof(index, size)
	third, err3 := tlog.ProveRecord(int64(size), int64(index), a.tlog)
	if err1 != nil || err2 != nil || err3 != nil {
		a.t.Fatal(what, err1, err2, err3)
	}
	path := pathOf(ours)
	a.same(what, path, pathOfRows(theirs), pathOf(third))
	leaf, root := Hash(a.merkle.LeafHash(index)), Hash(a.merkle.HashAt(size))
	a.tried(what, true, func(j judge) error { return j.inclusion(index, size, leaf, root, path) })
	a.tried(what+", another root", false, func(j judge) error { return j.inclusion(index, size, leaf, flipped(root), path) })
	a.tried(what+", another entry", false, func(j judge) error { return j.inclusion(index, size, flipped(leaf), root, path) })
	a.tried(what+", a hash too many", false, func(j judge) error { return j.inclusion(index, size, leaf, root, append(slices.Clone(path), root)) })
	if len(path) > 0 {
		a.tried(what+", another hash", false, func(j judge) error { return j.inclusion(index, size, leaf, root, flippedIn(path)) })
		a.tried(what+", a hash less", false, func(j judge) error { return j.inclusion(index, size, leaf, root, path[1:]) })
		a.tried(what+", as its neighbour", false, func(j judge) error { return j.inclusion(index^1, size, leaf, root, path) })
	}
}

func (a *atEverySize) consistency(m, n uint64, ourReader tlog.HashReader) {
	a.t.Helper()
	what := fmt.Sprintf("from %d to %d", m, n)
	ours, err1 := tlog.ProveTree(int64(n), int64(m), ourReader)
	theirs, err2 := a.merkle.ConsistencyProof(m, n)
	third, err3 := tlog.ProveTree(int64(n), int64(m), a.tlog)
	if err1 != nil || err2 != nil || err3 != nil {
		a.t.Fatal(what, err1, err2, err3)
	}
	path := pathOf(ours)
	a.same(what, path, pathOfRows(theirs), pathOf(third))
	older, newer := Hash(a.merkle.HashAt(m)), Hash(a.merkle.HashAt(n))
	a.tried(what, true, func(j judge) error { return j.continues(m, n, older, newer, path) })
	a.tried(what+", another old root", false, func(j judge) error { return j.continues(m, n, flipped(older), newer, path) })
	a.tried(what+", another new root", false, func(j judge) error { return j.continues(m, n, older, flipped(newer), path) })
	a.tried(what+", a hash too many", false, func(j judge) error { return j.continues(m, n, older, newer, append(slices.Clone(path), newer)) })
	if len(path) > 0 {
		a.tried(what+", another hash", false, func(j judge) error { return j.continues(m, n, older, newer, flippedIn(path)) })
		a.tried(what+", a hash less", false, func(j judge) error { return j.continues(m, n, older, newer, path[1:]) })
	}
}

// some are numbers up to, not including, n, at which proofs are shaped differently, and a few by chance;
// in a long run all.
func some(n uint64) (all []uint64) {
	if long {
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	for _, i := range []uint64{0, n - 1, n - 2, n / 2, 255, 256, rand.Uint64N(n), rand.Uint64N(n)} {
		if i < n && !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	return all
}

func TestProofsAtEverySizeAreThoseOfTwoOtherImplementationsAndOneFlippedBitIsFound(t *testing.T) {
	a := &atEverySize{grown: newGrown(), t: t, merkle: testonly.New(rfc6962.DefaultHasher)}
	empty := Hash(rfc6962.DefaultHasher.EmptyRoot())
	if root := a.tree.Root(); root != empty || !bytes.Equal(a.merkle.HashAt(0), empty[:]) {
		t.Fatalf("the empty tree's root is %x", root)
	}
	for size := uint64(1); size <= 1025; size++ {
		a.grow(t)
		leaf := a.leaves[size-1]
		a.merkle.Append(leaf[:])
		a.checkRoots(t)
		ourReader := TileReader(size, a.tile(t, size))
		for _, i := range some(size) {
			a.inclusion(i, size, ourReader)
			a.consistency(i+1, size, ourReader)
		}
		// From nothing, there is nothing to prove: tlog does not take the question.
		if err := CheckConsistency(EmptyHead(testOrigin), Checkpoint{testOrigin, size, a.tree.Root()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d proofs at sizes 1 to 1025: each made the same three times, taken three times, and refused three times with one bit changed", a.proofs)
}
