package crashfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Records are written down here as a program would make them; what may be on
// the disk was worked out by hand from the rules in the documentation.

func create(path string, file uint64) Op { return Op{Kind: Create, Path: path, File: file} }

func write(file uint64, at int64, data string) Op {
	return Op{Kind: Write, File: file, Offset: at, Data: []byte(data)}
}
func truncate(file uint64, size int64) Op { return Op{Kind: Truncate, File: file, Size: size} }
func fsync(file uint64, covers int) Op    { return Op{Kind: Fsync, File: file, Covers: covers} }
func fsyncDir(path string, covers int) Op { return Op{Kind: FsyncDir, Path: path, Covers: covers} }

// shown returns a disk as "path=content path=content".
func shown(d *Disk) string {
	var all []string
	for _, p := range d.Paths() {
		b, _ := d.File(p)
		all = append(all, p+"="+strings.ReplaceAll(string(b), "\x00", "0"))
	}
	return strings.Join(all, " ")
}

// outcomes returns everything that may be on the disk after the whole record.
func outcomes(t *testing.T, r Rules, ops ...Op) []string {
	t.Helper()
	set := map[string]bool{}
	if err := r.States(ops, len(ops), func(_ string, d *Disk) error {
		set[shown(d)] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(set))
}

func TestWhatMayBeOnTheDisk(t *testing.T) {
	// A file that is there, durably and empty.
	there := []Op{create("f", 1), fsyncDir(".", 1), fsync(1, 1)}
	ext4 := Rules{NamesWithFile: true}
	for _, c := range []struct {
		name  string
		rules Rules
		ops   []Op
		want  []string
	}{
		{"NothingIfNothingHappened", Rules{}, nil, []string{""}},
		{"AnUnsyncedWriteOrNot", Rules{}, append(there, write(1, 0, "a")), []string{"f=", "f=a"}},
		{"ASyncedWrite", Rules{}, append(there, write(1, 0, "a"), fsync(1, 4)), []string{"f=a"}},
		{"AWriteThatTheFsyncDoesNotCover", Rules{}, append(there, write(1, 0, "a"), write(1, 1, "b"), fsync(1, 4)), []string{"f=a", "f=ab"}},
		{"WritesInAnyOrder", Rules{}, append(there, write(1, 0, "a"), write(1, 1, "b")), []string{"f=", "f=0b", "f=a", "f=ab"}},
		{"AFsyncOfAnotherFile", Rules{}, append(there, write(1, 0, "a"), fsync(2, 4)), []string{"f=", "f=a"}},
		{
			"AFailedFsyncIsNotMadeGoodByALaterOne",
			Rules{},
			append(there, write(1, 0, "a"), Op{Kind: FsyncLost, File: 1, Covers: 4}, write(1, 1, "b"), fsync(1, 6)),
			[]string{"f=0b", "f=ab"},
		},
		{
			"ALostWriteStaysUnderALaterOne",
			Rules{},
			append(there, write(1, 0, "aa"), Op{Kind: FsyncLost, File: 1, Covers: 4}, write(1, 1, "b"), fsync(1, 6)),
			[]string{"f=0b", "f=ab"},
		},
		{"ATruncateOrNot", Rules{}, append(there, write(1, 0, "ab"), fsync(1, 4), truncate(1, 1)), []string{"f=a", "f=ab"}},
		{"ZerosAfterATruncateAndGrowth", Rules{}, append(there, write(1, 0, "ab"), truncate(1, 1), truncate(1, 2), fsync(1, 6)), []string{"f=a0"}},
		{"ANameOrNot", Rules{}, []Op{create("f", 1), write(1, 0, "a"), fsync(1, 2)}, []string{"", "f=a"}},
		{"ANameWithItsFile", ext4, []Op{create("f", 1), write(1, 0, "a"), fsync(1, 2)}, []string{"f=a"}},
		{"ANameWithoutItsData", Rules{}, []Op{create("f", 1), write(1, 0, "a"), fsyncDir(".", 2)}, []string{"f=", "f=a"}},
		{
			"TheOldOrTheNewFileAfterARename",
			Rules{},
			append(there, create("g", 2), write(2, 0, "b"), fsync(2, 5), fsyncDir(".", 6), Op{Kind: Rename, Path: "g", NewPath: "f"}),
			[]string{"f= g=b", "f=b"},
		},
		{
			"AnEmptyFileAfterARenameWithoutFsync",
			Rules{},
			append(there, create("g", 2), write(2, 0, "b"), Op{Kind: Rename, Path: "g", NewPath: "f"}, fsyncDir(".", 6)),
			[]string{"f=", "f=b"},
		},
		{"AnUnlinkedFileOrNot", Rules{}, append(there, Op{Kind: Unlink, Path: "f"}), []string{"", "f="}},
		{
			"NoFileInADirectoryThatIsNotThere",
			Rules{},
			[]Op{{Kind: Mkdir, Path: "d"}, create("d/f", 1), fsyncDir("d", 2), fsync(1, 2)},
			[]string{"", "d/f="},
		},
		{
			"ARenameBetweenDirectoriesNeedsBoth",
			Rules{},
			append(there, Op{Kind: Mkdir, Path: "d"}, fsyncDir(".", 4), Op{Kind: Rename, Path: "f", NewPath: "d/f"}, fsyncDir("d", 6)),
			[]string{"d/f=", "f="},
		},
		{
			"ARenamedDirectoryTakesItsFilesAlong",
			Rules{},
			[]Op{{Kind: Mkdir, Path: "d"}, create("d/f", 1), fsyncDir("d", 2), fsyncDir(".", 2), {Kind: Rename, Path: "d", NewPath: "e"}, fsyncDir(".", 5)},
			[]string{"e/f="},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, outcomes(t, c.rules, c.ops...)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAnUnsyncedWriteMayBeTornBetweenSectors(t *testing.T) {
	// 100 bytes to the first sector boundary, one whole sector, 100 bytes.
	ops := []Op{create("f", 1), fsyncDir(".", 1), write(1, 412, strings.Repeat("a", 100)+strings.Repeat("b", 512)+strings.Repeat("c", 100))}
	seen := map[string]bool{}
	err := Rules{Random: 200}.States(append(ops, write(1, 2000, "x")), 4, func(_ string, d *Disk) error {
		b, _ := d.File("f")
		b = append(b, make([]byte, 2000-min(len(b), 2000))...)
		for _, part := range []string{string(b[412:512]), string(b[512:1024]), string(b[1024:1124])} {
			if strings.Trim(part, part[:1]) != "" {
				return fmt.Errorf("a sector is torn inside: %q", part)
			}
		}
		seen[strings.ReplaceAll(string([]byte{b[412], b[512], b[1024]}), "\x00", "-")] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"---", "--c", "-b-", "-bc", "a--", "a-c", "ab-", "abc"}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(seen))); d != "" {
		t.Error(d)
	}
}

func TestAllTriesEachCutAndNamesWhatFails(t *testing.T) {
	ops := []Op{create("f", 1), fsyncDir(".", 1), write(1, 0, "a"), {Kind: Marked, Label: "m"}, fsync(1, 4)}
	seen := map[int][]string{}
	if err := (Rules{}).All(ops, func(cut int, _ string, d *Disk) error {
		seen[cut] = append(seen[cut], shown(d))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[int][]string{
		0: {""},
		1: {"f="},        // without it: as before
		2: {"f="},        // durable now
		3: {"f=a"},       // without it: as before
		4: {"f=a", "f="}, // again: there is a mark now
		5: {"f=a"},
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
	errBad := errors.New("bad")
	err := (Rules{}).All(ops, func(cut int, _ string, _ *Disk) error {
		if cut == 3 {
			return errBad
		}
		return nil
	})
	if !errors.Is(err, errBad) || !strings.Contains(err.Error(), `after operation 2, write`) || !strings.Contains(err.Error(), `state "all unsynced kept"`) {
		t.Errorf("All returned %v", err)
	}
}

func TestADiskIsWrittenOverAnotherOne(t *testing.T) {
	dir := t.TempDir()
	hole := string(make([]byte, 3*4096))
	for _, ops := range [][]Op{
		{create("a", 1), write(1, 0, "first"+hole+"last"), {Kind: Mkdir, Path: "d"}, create("d/b", 2), write(2, 0, "b")},
		{create("a", 1), write(1, 0, "x"), {Kind: Mkdir, Path: "e"}, {Kind: Mkdir, Path: "e/e"}, create("e/e/c", 2), write(2, 0, hole+"c"+hole)},
		{},
	} {
		if err := States(ops, len(ops), func(name string, d *Disk) error {
			if err := d.WriteTo(dir); err != nil {
				return err
			}
			got := &Disk{files: map[string][]byte{}}
			if err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				path, _ := filepath.Rel(dir, name) // both are absolute
				got.files[path], err = os.ReadFile(name)
				return err
			}); err != nil {
				return err
			}
			if g, w := shown(got), shown(d); g != w {
				return fmt.Errorf("on the disk is %q, want %q", g, w)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
