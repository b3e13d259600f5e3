package chain

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func recordHash(b []byte) Hash { return Hash(tlog.RecordHash(b)) }

func TestPathsAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.IntRange(0, 63).Draw(t, "level")
		n := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 2_000_000)).Draw(t, "n")
		width := rapid.IntRange(1, 256).Draw(t, "width")
		gotLevel, gotN, gotWidth, err := ParseTilePath(TilePath(level, n, width))
		if err != nil || gotLevel != level || gotN != n || gotWidth != width {
			t.Fatalf("%s reads as %d, %d, %d, %v", TilePath(level, n, width), gotLevel, gotN, gotWidth, err)
		}
		gotN, gotWidth, err = ParseEntriesPath(EntriesPath(n, width))
		if err != nil || gotN != n || gotWidth != width {
			t.Fatalf("%s reads as %d, %d, %v", EntriesPath(n, width), gotN, gotWidth, err)
		}
		if n < 1<<62 { // golang.org/x/mod has the same, with the height before it
			want := tlog.Tile{H: 8, L: level, N: int64(n), W: width}.Path()
			if got := TilePath(level, n, width); got != strings.Replace(want, "tile/8/", "tile/", 1) {
				t.Fatalf("%s, tlog has %s", got, want)
			}
		}
	})
}

var badTilePaths = []string{
	"", "tile", "tile/", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile/00/000", "tile/64/000",
	"tile/-1/000", "tile/+1/000", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/1000", "tile/0/x000/001",
	"tile/0/x001", "tile/0/x001/x002", "tile/0/001/002", "tile/0/x001/2", "tile/0/X001/002", "tile/0/000.p",
	"tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/-1", "tile/0/000.p/+1",
	"tile/0/000.p/1/", "tile/0/000.p/1.p/1", "tile/0/ 000", "tile/0/0x0", "tile/0/00x0", "tile/entries/000",
	"tile/0/x018/x446/x744/x073/x709/x551/616", "tile/0/x999/x999/x999/x999/x999/x999/x999/999", "tile/8/0/000", "tile/0/000\n",
}

func TestAPathWrittenAnotherWayIsRefused(t *testing.T) {
	for _, p := range badTilePaths {
		if level, n, width, err := ParseTilePath(p); !errors.Is(err, ErrPath) {
			t.Errorf("%q reads as %d, %d, %d, %v", p, level, n, width, err)
		}
	}
	for _, p := range []string{"", "tile/entries", "tile/entries/", "tile/entries/0", "tile/entries/000.p/256", "tile/entries/000.p/0", "tile/0/000", "/tile/entries/000", "tile/entries/x000/000"} {
		if n, width, err := ParseEntriesPath(p); !errors.Is(err, ErrPath) {
			t.Errorf("%q reads as %d, %d, %v", p, n, width, err)
		}
	}
}

func FuzzParseTilePath(f *testing.F) {
	for _, p := range badTilePaths {
		f.Add(p)
	}
	f.Add("tile/0/000")
	f.Add("tile/63/x001/x234/067.p/44")
	f.Add("tile/entries/x001/000.p/255")
	f.Fuzz(func(t *testing.T, p string) {
		if level, n, width, err := ParseTilePath(p); err == nil {
			if again := TilePath(level, n, width); again != p {
				t.Fatalf("%q is written %q", p, again)
			}
		}
		if n, width, err := ParseEntriesPath(p); err == nil {
			if again := EntriesPath(n, width); again != p {
				t.Fatalf("%q is written %q", p, again)
			}
		}
	})
}

func TestABundleSplitsIntoItsEntries(t *testing.T) {
	entries := newLog(t, 256, 256, 512).entries
	for _, n := range []int{1, 2, 255, 256} {
		var b []byte
		for _, e := range entries[:n] {
			b = AppendBundled(b, e)
		}
		got, err := SplitBundle(b)
		if err != nil || !slices.EqualFunc(got, entries[:n], bytes.Equal) {
			t.Errorf("%d entries: %d, %v", n, len(got), err)
		}
		for _, bad := range [][]byte{b[:len(b)-1], append(slices.Clone(b), 0), append(slices.Clone(b), 0, 1)} {
			if _, err := SplitBundle(bad); err == nil {
				t.Errorf("%d entries: a cut bundle was split", n)
			}
		}
		if n == 256 {
			if _, err := SplitBundle(AppendBundled(b, entries[0])); err == nil {
				t.Error("a bundle of 257 entries was split")
			}
		}
	}
	if _, err := SplitBundle(nil); err == nil {
		t.Error("an empty bundle was split")
	}
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte{0, 1, 7})
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{0, 2, 7})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := SplitBundle(b)
		own := slices.Clone(b)
		leaves, err2 := SplitLeaves(nil, own)
		if (err == nil) != (err2 == nil) || len(leaves) != len(entries) {
			t.Fatalf("as entries: %d, %v; as leaves: %d, %v", len(entries), err, len(leaves), err2)
		}
		if err != nil {
			if !bytes.Equal(own, b) {
				t.Fatal("a bundle that was refused was changed")
			}
			return
		}
		for i, e := range entries {
			if leaves[i][0] != 0 || !bytes.Equal(leaves[i][1:], e) {
				t.Fatalf("entry %d is %x, and its leaf %x", i, e, leaves[i])
			}
		}
		var again []byte
		for _, e := range entries {
			again = AppendBundled(again, e)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x is written %x", b, again)
		}
	})
}
