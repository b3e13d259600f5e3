package chain

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// tlogHashes are the stored hashes of golang.org/x/mod/sumdb/tlog.
type tlogHashes []tlog.Hash

func (s tlogHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s)) {
			return nil, errors.New("beyond the tree")
		}
		out[i] = s[x]
	}
	return out, nil
}

func (s *tlogHashes) append(t testing.TB, n int64, leaf Hash) {
	t.Helper()
	more, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf), s)
	if err != nil {
		t.Fatal(err)
	}
	*s = append(*s, more...)
}

func tlogRoot(t testing.TB, leaves []Hash) Hash {
	t.Helper()
	var s tlogHashes
	for i, leaf := range leaves {
		s.append(t, int64(i), leaf)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), s)
	if err != nil {
		t.Fatal(err)
	}
	return Hash(root)
}

// merkleNodes are the nodes of github.com/transparency-dev/merkle.
type merkleNodes map[compact.NodeID][]byte

// grown is a tree that grew to some size, and what two other implementations
// and its tiles say.
type grown struct {
	tree    *Tree
	leaves  []Hash
	tlog    tlogHashes
	merkle  *compact.Range
	nodes   merkleNodes
	tiles   map[tileKey][]byte
	factory *compact.RangeFactory
}

func newGrown() *grown {
	f := &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &grown{tree: NewTree(), merkle: f.NewEmptyRange(0), nodes: merkleNodes{}, tiles: map[tileKey][]byte{}, factory: f}
}

func (g *grown) grow(t testing.TB) {
	t.Helper()
	leaf := LeafHash(fmt.Appendf(nil, "leaf %d", len(g.leaves)))
	g.tlog.append(t, int64(len(g.leaves)), leaf)
	g.nodes[compact.NewNodeID(0, uint64(len(g.leaves)))] = bytes.Clone(leaf[:])
	visit := func(id compact.NodeID, hash []byte) { g.nodes[id] = bytes.Clone(hash) }
	if err := g.merkle.Append(bytes.Clone(leaf[:]), visit); err != nil {
		t.Fatal(err)
	}
	g.leaves = append(g.leaves, leaf)
	g.tree.Append(leaf)
	g.tree.TakeFullTiles(func(level int, n uint64, data []byte) {
		if _, ok := g.tiles[tileKey{level, n}]; ok {
			t.Fatalf("tile %d/%d was given twice", level, n)
		}
		g.tiles[tileKey{level, n}] = data
	})
}

func (g *grown) tile(t testing.TB, size uint64) tileFunc {
	return func(level int, n uint64, width int) ([]byte, error) {
		if width == TileHashes {
			if b, ok := g.tiles[tileKey{level, n}]; ok {
				return b, nil
			}
			t.Errorf("asked for the full tile %d/%d at size %d", level, n, size)
		}
		if level != 0 || n != size/TileHashes || width != int(size%TileHashes) {
			t.Errorf("asked for the partial tile %d/%d of width %d at size %d", level, n, width, size)
		}
		at := n * TileHashes
		return bytesOf(nil, g.leaves[at:at+uint64(width)]), nil
	}
}

// checkRoots compares the root with the two other implementations'.
func (g *grown) checkRoots(t testing.TB) {
	t.Helper()
	want, err := tlog.TreeHash(int64(len(g.leaves)), g.tlog)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.tree.Root(); got != Hash(want) {
		t.Fatalf("root at size %d is %x, tlog has %x", len(g.leaves), got, want)
	}
	other, err := g.merkle.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.leaves) == 0 {
		other = rfc6962.DefaultHasher.EmptyRoot()
	}
	if got := g.tree.Root(); !bytes.Equal(got[:], other) {
		t.Fatalf("root at size %d is %x, merkle has %x", len(g.leaves), got, other)
	}
}

// checkTiles compares the full tiles and the right edges with tlog's.
func (g *grown) checkTiles(t testing.TB) {
	t.Helper()
	full := 0
	for _, tile := range tlog.NewTiles(tileHeight, 0, int64(len(g.leaves))) {
		want, err := tlog.ReadTileData(tile, g.tlog)
		if err != nil {
			t.Fatal(err)
		}
		got := g.tiles[tileKey{tile.L, uint64(tile.N)}]
		if tile.W < TileHashes {
			got = g.tree.Partial(tile.L)
		} else {
			full++
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("at size %d tile %s differs from tlog's", len(g.leaves), tile.Path())
		}
	}
	if full != len(g.tiles) {
		t.Fatalf("at size %d there are %d full tiles, tlog has %d", len(g.leaves), len(g.tiles), full)
	}
}

// checkRestored compares the tree with one rebuilt from its tiles.
func (g *grown) checkRestored(t testing.TB) *Tree {
	t.Helper()
	size := uint64(len(g.leaves))
	r, err := RestoreTree(size, g.tile(t, size))
	if err != nil {
		t.Fatal(err)
	}
	if r.Root() != g.tree.Root() || r.Size() != size {
		t.Fatalf("at size %d the restored tree has another root", size)
	}
	for level := range 8 {
		if !bytes.Equal(r.Partial(level), g.tree.Partial(level)) {
			t.Fatalf("at size %d the restored tree has another right edge at level %d", size, level)
		}
	}
	return r
}

// checkReaders proves through the tiles and checks with the two others.
func (g *grown) checkReaders(t testing.TB, record int64, old int64) {
	t.Helper()
	size := int64(len(g.leaves))
	root := tlog.Hash(g.tree.Root())
	fullOnly := func(level int, n uint64, width int) ([]byte, error) {
		if width != TileHashes {
			t.Errorf("the tree's own reader asked for a partial tile of level %d", level)
		}
		return g.tile(t, uint64(size))(level, n, width)
	}
	for _, r := range []tlog.HashReader{TileReader(uint64(size), g.tile(t, uint64(size))), g.tree.TileReader(fullOnly)} {
		got, err := tlog.TreeHash(size, r)
		if err != nil || got != root {
			t.Fatalf("TreeHash at size %d through tiles: %v, %v", size, got, err)
		}
		rp, err := tlog.ProveRecord(size, record, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(rp, size, root, record, tlog.Hash(g.leaves[record])); err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(record), uint64(size), g.leaves[record][:], rows(rp), root[:]); err != nil {
			t.Fatal(err)
		}
		nodes, err := proof.Inclusion(uint64(record), uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(g.merkleProof(t, nodes), rows(rp)); diff != "" {
			t.Fatalf("inclusion of %d in %d differs from merkle's:\n%s", record, size, diff)
		}
		if old == 0 {
			continue
		}
		oldRoot, err := tlog.TreeHash(old, r)
		if err != nil {
			t.Fatal(err)
		}
		tp, err := tlog.ProveTree(size, old, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(tp, size, root, old, oldRoot); err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), rows(tp), oldRoot[:], root[:]); err != nil {
			t.Fatal(err)
		}
	}
}

func rows[H ~[32]byte](hashes []H) [][]byte {
	out := make([][]byte, 0, len(hashes))
	for _, h := range hashes {
		out = append(out, bytes.Clone(h[:]))
	}
	return out
}

func (g *grown) merkleProof(t testing.TB, nodes proof.Nodes) [][]byte {
	t.Helper()
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		hashes = append(hashes, g.nodes[id])
	}
	out, err := nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheTreeIsThatOfTwoOtherImplementationsAtEverySize(t *testing.T) {
	g := newGrown()
	for size := 0; ; size++ {
		g.checkRoots(t)
		g.checkTiles(t)
		g.checkRestored(t)
		if size > 0 {
			g.checkReaders(t, int64(7919%size), int64(104729%size))
			g.checkReaders(t, int64(size-1), int64(size))
			g.checkReaders(t, int64(size/2), int64(size-size/3))
		}
		if size == 1025 {
			break
		}
		g.grow(t)
	}
}

func TestTheTreeIsThatOfTwoOtherImplementationsWhereTilesOfTilesFill(t *testing.T) {
	g := newGrown()
	for size := 1; size <= 70000; size++ {
		g.grow(t)
		if !slices.Contains([]int{65535, 65536, 65537, 70000}, size) {
			continue
		}
		g.checkRoots(t)
		g.checkTiles(t)
		g.checkRestored(t)
		for _, record := range []int64{0, 255, 256, 40000, 65534, int64(size - 1)} {
			for _, old := range []int64{1, 255, 256, 257, 40000, 65535} {
				g.checkReaders(t, record, old)
			}
		}
	}
}

func TestAReaderOfAnOlderSizeAnswersAsItWasThen(t *testing.T) {
	g := newGrown()
	roots := map[uint64]Hash{}
	for range 66000 {
		g.grow(t)
		roots[g.tree.Size()] = g.tree.Root()
	}
	for _, size := range []uint64{1, 255, 256, 257, 511, 512, 5000, 65280, 65535, 65536, 65999} {
		got, err := tlog.TreeHash(int64(size), TileReader(size, g.tile(t, size)))
		if err != nil || Hash(got) != roots[size] {
			t.Errorf("root at size %d through tiles of a longer log: %v, %v", size, got, err)
		}
		if _, err := tlog.ProveRecord(int64(size)+1, 0, TileReader(size, g.tile(t, size))); err == nil && size&(size+1) != 0 {
			t.Errorf("a reader of size %d proved at a larger size", size)
		}
	}
}

func TestARestoredTreeGoesOnAsTheOriginalWould(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newGrown()
		for range rapid.IntRange(0, 1500).Draw(rt, "size") {
			g.grow(t)
		}
		r := g.checkRestored(t)
		for range rapid.IntRange(0, 600).Draw(rt, "more") {
			g.grow(t)
			r.Append(g.leaves[len(g.leaves)-1])
		}
		if r.Root() != g.tree.Root() {
			rt.Fatal("another root")
		}
		r.TakeFullTiles(func(level int, n uint64, data []byte) {
			if !bytes.Equal(data, g.tiles[tileKey{level, n}]) {
				rt.Fatalf("another tile %d/%d", level, n)
			}
		})
	})
}

func TestACloneIsIndependent(t *testing.T) {
	a := NewTree()
	for i := range 300 {
		a.Append(LeafHash([]byte{byte(i)}))
	}
	b := a.Clone()
	for i := range 300 {
		a.Append(LeafHash([]byte{1, byte(i)}))
		b.Append(LeafHash([]byte{2, byte(i)}))
	}
	tiles := func(t *Tree) (out [][]byte) {
		t.TakeFullTiles(func(_ int, _ uint64, data []byte) { out = append(out, data) })
		return out
	}
	ta, tb := tiles(a), tiles(b)
	if len(ta) != 2 || len(tb) != 2 || !bytes.Equal(ta[0], tb[0]) || bytes.Equal(ta[1], tb[1]) {
		t.Fatal("the clones' tiles are mixed up")
	}
	for _, tc := range []struct {
		tree *Tree
		mark byte
	}{{a, 1}, {b, 2}} {
		var leaves []Hash
		for i := range 300 {
			leaves = append(leaves, LeafHash([]byte{byte(i)}))
		}
		for i := range 300 {
			leaves = append(leaves, LeafHash([]byte{tc.mark, byte(i)}))
		}
		if tc.tree.Root() != tlogRoot(t, leaves) {
			t.Fatalf("clone %d has another root", tc.mark)
		}
	}
}

func TestEdgesStayAsTheyWereWhileTheTreeGrows(t *testing.T) {
	tree := NewTree()
	type kept struct{ edges, copies [][]byte }
	var all []kept
	for i := range 66_000 {
		tree.Append(LeafHash([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
		if i%251 != 0 && i != 65_535 {
			continue
		}
		k := kept{edges: tree.Edges()}
		for level, edge := range k.edges {
			if !bytes.Equal(edge, tree.Partial(level)) {
				t.Fatalf("%d leaves: the edge of level %d is another", i+1, level)
			}
			k.copies = append(k.copies, bytes.Clone(edge))
			if edge = append(edge, 1); len(edge) > 1 && len(tree.Partial(level)) == len(edge) {
				t.Fatalf("%d leaves: what is appended to an edge is in the tree", i+1)
			}
		}
		all = append(all, k)
	}
	for n, k := range all {
		for level := range k.edges {
			if !bytes.Equal(k.edges[level], k.copies[level]) {
				t.Fatalf("the edge of level %d that was taken as number %d has changed", level, n)
			}
		}
	}
	if levels := len(all[len(all)-1].edges); levels != 3 {
		t.Errorf("66,000 leaves have edges on %d levels", levels)
	}
}

func TestAPartialIsACopy(t *testing.T) {
	tree := NewTree()
	tree.Append(Hash{1})
	p := tree.Partial(0)
	p[0] ^= 1
	if bytes.Equal(p, tree.Partial(0)) {
		t.Fatal("changing what Partial returned changed the tree")
	}
	if tree.Partial(-1) != nil || tree.Partial(1) != nil || tree.Partial(99) != nil {
		t.Fatal("a level without hashes gave some")
	}
}

func TestATileOfAnotherLengthIsRefused(t *testing.T) {
	cut := func(_ int, _ uint64, width int) ([]byte, error) { return make([]byte, width*HashSize-1), nil }
	if _, err := RestoreTree(300, cut); err == nil {
		t.Error("RestoreTree took it")
	}
	if _, err := tlog.TreeHash(300, TileReader(300, cut)); err == nil {
		t.Error("TileReader took it")
	}
	missing := errors.New("gone")
	gone := func(int, uint64, int) ([]byte, error) { return nil, missing }
	if _, err := RestoreTree(300, gone); !errors.Is(err, missing) {
		t.Errorf("RestoreTree: %v", err)
	}
	if _, err := tlog.TreeHash(300, TileReader(300, gone)); !errors.Is(err, missing) {
		t.Errorf("TileReader: %v", err)
	}
	if _, err := RestoreTree(1<<63, gone); err == nil || errors.Is(err, missing) {
		t.Errorf("a size that no tree has: %v", err)
	}
}
