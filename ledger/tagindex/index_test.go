package tagindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

func tagOf(i uint64) Tag {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
	return Tag(h[:16])
}

// entries stands for the log: the tags of the entries below size.
func entries(size *uint64) func(from, to uint64, f func(uint64, Tag) error) error {
	return func(from, to uint64, f func(uint64, Tag) error) error {
		if to > *size {
			return fmt.Errorf("asked for entry %d of %d", to, *size)
		}
		for i := from; i < to; i++ {
			if err := f(i, tagOf(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func openSmall(t tester, dir string, size *uint64, run uint64) *Index {
	t.Helper()
	x, err := open(dir, *size, run, slog.New(slog.DiscardHandler), entries(size))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// check holds the whole index against the log, and against tags that are in no entry.
func check(t tester, x *Index, size uint64) {
	t.Helper()
	for i := range size {
		got, ok, err := x.Find(tagOf(i))
		if err != nil || !ok || got != i {
			t.Fatalf("entry %d of %d: found %v at %d, %v", i, size, ok, got, err)
		}
	}
	for i := size; i < size+50; i++ {
		if got, ok, err := x.Find(tagOf(i)); ok || err != nil {
			t.Fatalf("a tag of no entry is found at %d, %v", got, err)
		}
	}
	if at, ok, err := x.Check(); !ok || err != nil {
		t.Fatalf("Check: entry %d, %v", at, err)
	}
}

func TestEveryTagIsFoundWhateverWasWrittenMergedOrReopened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tags")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		run := rapid.Uint64Range(1, 40).Draw(t, "run length")
		var size uint64
		x := openSmall(t, dir, &size, run)
		for range rapid.IntRange(1, 6).Draw(t, "starts") {
			for range rapid.IntRange(0, 200).Draw(t, "appends") {
				size++
				if err := x.Add(size-1, tagOf(size-1)); err != nil {
					t.Fatal(err)
				}
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x = openSmall(t, dir, &size, run)
			check(t, x, size)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRunsOfLikeSizeAreMerged(t *testing.T) {
	dir := t.TempDir()
	var size uint64
	x := openSmall(t, dir, &size, 10)
	for size < 10*fanIn*fanIn {
		size++
		if err := x.Add(size-1, tagOf(size-1)); err != nil {
			t.Fatal(err)
		}
		x.work.Wait()
	}
	check(t, x, size)
	if n := len(x.runs); n > 2*fanIn {
		t.Errorf("%d runs for %d tags", n, size)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 2*fanIn {
		t.Errorf("%d files: merged runs stay behind", len(files))
	}
}

func TestALostBadOrHalfWrittenRunIsMadeAgain(t *testing.T) {
	harm := map[string]func(path string) error{
		"lost":  os.Remove,
		"cut":   func(p string) error { return os.Truncate(p, 100) },
		"empty": func(p string) error { return os.Truncate(p, 0) },
		"grown": func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return os.WriteFile(p, append(b, 0), 0o600)
		},
		"renamed":     func(p string) error { return os.Rename(p, filepath.Join(filepath.Dir(p), runName(3, 13))) },
		"half merged": func(p string) error { return os.Rename(p, p+tempSuffix) },
	}
	for i := range 8 {
		harm[fmt.Sprintf("with bit %d flipped", i)] = func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b[(len(b)-1)*i/7] ^= 1 << i
			return os.WriteFile(p, b, 0o600)
		}
	}
	for what, do := range harm {
		dir := t.TempDir()
		size := uint64(75)
		x := openSmall(t, dir, &size, 10)
		x.work.Wait()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 {
			t.Fatal(len(files), err)
		}
		if err := do(filepath.Join(dir, files[1].Name())); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		x, err = open(dir, size, 10, slog.New(slog.NewTextHandler(&log, nil)), entries(&size))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		check(t, x, size)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARunOfALongerLogIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	size := uint64(60)
	x := openSmall(t, dir, &size, 10)
	x.work.Wait()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	size = 25
	x = openSmall(t, dir, &size, 10)
	defer x.Close()
	check(t, x, size)
}

func TestARunThatLiesIsFoundByCheck(t *testing.T) {
	dir := t.TempDir()
	// A whole run with a right checksum, made of other tags.
	var recs []pair
	for i := range uint64(10) {
		recs = append(recs, pair{tagOf(i + 1000), i})
	}
	r, err := writeRun(dir, 0, 10, recs)
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	size := uint64(15)
	x := openSmall(t, dir, &size, 10)
	defer x.Close()
	if at, ok, err := x.Check(); ok || at != 0 || err != nil {
		t.Errorf("Check says %v at %d, %v", ok, at, err)
	}
}

func TestTagsAreAddedInOrderOnly(t *testing.T) {
	var size uint64
	x := openSmall(t, t.TempDir(), &size, 10)
	defer x.Close()
	if err := x.Add(1, tagOf(1)); !errors.Is(err, ErrOrder) {
		t.Errorf("out of order: %v", err)
	}
}

func TestADiskThatRefusesARunLosesNoTag(t *testing.T) {
	dir := t.TempDir()
	var size uint64
	x := openSmall(t, dir, &size, 10)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for size < 100 {
		size++
		if err := x.Add(size-1, tagOf(size-1)); err != nil {
			t.Fatal(err)
		}
	}
	x.work.Wait()
	check(t, x, size)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkFindInRuns(b *testing.B) {
	size := uint64(4 * RunLength)
	x, err := Open(b.TempDir(), size, slog.New(slog.DiscardHandler), entries(&size))
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	x.work.Wait()
	var i uint64
	b.ReportAllocs()
	for b.Loop() {
		i = (i*2862933555777941757 + 3037000493) % size
		if _, ok, err := x.Find(tagOf(i)); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var size uint64
	x, err := Open(b.TempDir(), 0, slog.New(slog.DiscardHandler), entries(&size))
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	tags := make([]Tag, b.N+1)
	for i := range tags {
		tags[i] = tagOf(uint64(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := x.Add(uint64(i), tags[i]); err != nil {
			b.Fatal(err)
		}
	}
}
