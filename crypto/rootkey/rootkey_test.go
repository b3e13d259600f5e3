package rootkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentledger/crypto/seal"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ledger = LedgerID{0xA1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// weak lets the tests run wherever the machine keeps its temporary files. What is
// refused where is tested by itself.
var weak = Options{AcceptWeak: true}

// keyBytes is the key of a generation: random to look at, so that it is found in a
// raw file only where it was written.
func keyBytes(generation uint64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "key of generation %d", generation))
	return sum[:]
}

func key(t testing.TB, generation uint64) seal.Key {
	t.Helper()
	k, err := seal.KeyFromBytes(keyBytes(generation))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustCreate(t testing.TB, path string, generation uint64) *File {
	t.Helper()
	f, err := Create(path, ledger, generation, key(t, generation), weak)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path, ledger, weak)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func raw(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	do(t, err)
	return b
}

// holds says whether f's valid slots are exactly those generations, each with its
// own key.
func holds(t testing.TB, f *File, generations ...uint64) {
	t.Helper()
	var want []Slot
	for _, g := range generations {
		want = append(want, Slot{g, key(t, g)})
	}
	if diff := cmp.Diff(want, f.Slots()); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

func temporary(t testing.TB) string { return filepath.Join(t.TempDir(), "root.key") }

func TestAKeyIsThereAfterReopening(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 7)
	holds(t, f, 7)
	do(t, f.Close())
	holds(t, mustOpen(t, path), 7)
}

func TestAReplacementKeepsOneKeyAtEveryMoment(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	for g := uint64(2); g < 8; g++ {
		do(t, f.Stage(g, key(t, g)))
		holds(t, f, g-1, g)
		do(t, f.Close())
		f = mustOpen(t, path)
		holds(t, f, g-1, g)
		do(t, f.Keep(g))
		holds(t, f, g)
		do(t, f.Close())
		f = mustOpen(t, path)
		holds(t, f, g)
	}
}

func TestAStagedKeyCanBeGivenUp(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(1))
	holds(t, f, 1)
	if bytes.Contains(raw(t, path), keyBytes(2)) {
		t.Error("the key that was given up is still in the file")
	}
	do(t, f.Stage(2, key(t, 2)))
	holds(t, f, 1, 2)
}

func TestNoOldKeyIsInTheFileAfterKeep(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	for g := uint64(2); g < 25; g++ {
		do(t, f.Stage(g, key(t, g)))
		for _, there := range []uint64{g - 1, g} { // the control
			if !bytes.Contains(raw(t, path), keyBytes(there)) {
				t.Fatalf("before Keep(%d) the search does not find the key of generation %d", g, there)
			}
		}
		do(t, f.Keep(g))
		content := raw(t, path)
		for old := uint64(1); old < g; old++ {
			for at := 0; at+8 <= seal.KeySize; at++ {
				if bytes.Contains(content, keyBytes(old)[at:at+8]) {
					t.Fatalf("after Keep(%d) bytes %d to %d of the key of generation %d are in the file", g, at, at+8, old)
				}
			}
		}
		if !bytes.Contains(content, keyBytes(g)) || len(content) != fileSize {
			t.Fatalf("after Keep(%d) the file is not what it should be", g)
		}
	}
}

func TestTheFileIsNeverReplacedOrResized(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	before, err := os.Stat(path)
	do(t, err)
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(2))
	after, err := os.Stat(path)
	do(t, err)
	if !os.SameFile(before, after) || after.Size() != fileSize {
		t.Error("it is another file, or of another size")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	do(t, err)
	if len(entries) != 1 {
		t.Errorf("%d files stand beside it", len(entries)-1)
	}
}

// The layout, written out by hand from the package documentation.
func TestASlotHasItsDocumentedBytes(t *testing.T) {
	path := temporary(t)
	mustCreate(t, path, 0x0102030405060708)
	want := make([]byte, 8192)
	copy(want, "clroot\n\x01")
	copy(want[8:], ledger[:])
	binary.BigEndian.PutUint64(want[24:], 0x0102030405060708)
	copy(want[32:], keyBytes(0x0102030405060708))
	sum := sha256.Sum256(want[:64])
	copy(want[64:], sum[:])
	if diff := cmp.Diff(want, raw(t, path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCreateMakesPrivateDirectoriesAndFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one", "two", "root.key")
	mustCreate(t, path, 1)
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
		info, err := os.Stat(name)
		do(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", filepath.Base(name), got, want)
		}
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	path := temporary(t)
	mustCreate(t, path, 1)
	before := raw(t, path)
	if _, err := Create(path, ledger, 2, key(t, 2), weak); !errors.Is(err, ErrExists) {
		t.Errorf("a root-key file: %v", err)
	}
	if !bytes.Equal(raw(t, path), before) {
		t.Error("Create changed the file that was there")
	}
	if _, err := Create(filepath.Dir(path), ledger, 1, key(t, 1), weak); !errors.Is(err, ErrExists) {
		t.Errorf("a directory: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	do(t, os.Symlink(filepath.Join(filepath.Dir(link), "nowhere"), link))
	if _, err := Create(link, ledger, 1, key(t, 1), weak); !errors.Is(err, ErrExists) {
		t.Errorf("a dangling link: %v", err)
	}
}

func TestCreateRefusesAKeyOrLedgerThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "root.key")
	if _, err := Create(path, ledger, 1, seal.Key{}, weak); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("the zero key: %v", err)
	}
	if _, err := Create(path, LedgerID{}, 1, key(t, 1), weak); err == nil {
		t.Error("a zero ledger id was accepted")
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused Create left something: %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithAFileAndLeavesItAlone(t *testing.T) {
	slot := func(g uint64, id LedgerID) []byte {
		var b block
		Slot{g, key(t, g)}.encode(&b, id)
		return b[:]
	}
	zero := make([]byte, slotSize)
	resum := func(b []byte) []byte { // a valid checksum over changed bytes
		sum := sha256.Sum256(b[:64])
		copy(b[64:], sum[:])
		return b
	}
	newer := slot(1, ledger)
	newer[7] = 2
	noKey := slot(1, ledger)
	clear(noKey[32:64])
	for name, c := range map[string]struct {
		content []byte
		want    error
		says    string
	}{
		"both slots empty":         {append(zero, zero...), ErrDamaged, "creation was interrupted"},
		"no bytes":                 {nil, ErrDamaged, "has 0 bytes"},
		"one slot":                 {slot(1, ledger), ErrDamaged, "has 4096 bytes"},
		"a byte too many":          {append(append(slot(1, ledger), zero...), 0), ErrDamaged, "has 8193 bytes"},
		"garbage":                  {bytes.Repeat([]byte{0xAA}, fileSize), ErrDamaged, "no slot holds a valid key"},
		"a zero key":               {append(resum(noKey), zero...), ErrDamaged, "no slot holds a valid key"},
		"another ledger's":         {append(slot(1, LedgerID{9}), zero...), ErrOtherLedger, LedgerID{9}.String()},
		"another ledger's second":  {append(slot(1, ledger), slot(2, LedgerID{9})...), ErrOtherLedger, LedgerID{9}.String()},
		"a newer version":          {append(resum(newer), slot(1, ledger)...), errNewerVersion, "version 2"},
		"generations far apart":    {append(slot(1, ledger), slot(3, ledger)...), ErrDamaged, "1 and 3"},
		"the same generation both": {append(slot(4, ledger), slot(4, ledger)...), ErrDamaged, "4 and 4"},
	} {
		t.Run(name, func(t *testing.T) {
			path := temporary(t)
			do(t, os.WriteFile(path, c.content, 0o600))
			_, err := Open(path, ledger, weak)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not say %q and where", err, c.says)
			}
			if !bytes.Equal(raw(t, path), c.content) {
				t.Error("Open changed the file")
			}
		})
	}
}

func TestOpenRefusesWhatIsNotAPrivateRegularFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "nothing"), ledger, weak); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Open created a file")
	}
	if _, err := Open(dir, ledger, weak); err == nil {
		t.Error("a directory was opened")
	}
	path := filepath.Join(dir, "root.key")
	do(t, mustCreate(t, path, 1).Close())
	link := filepath.Join(dir, "link")
	do(t, os.Symlink(path, link))
	if _, err := Open(link, ledger, weak); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o601} {
		do(t, os.Chmod(path, mode))
		if _, err := Open(path, ledger, weak); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	do(t, os.Chmod(path, 0o600))
	mustOpen(t, path)
}

func TestOnlyOneProcessHasTheFile(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	if _, err := Open(path, ledger, weak); !errors.Is(err, ErrBusy) {
		t.Errorf("beside the one that created it: %v", err)
	}
	do(t, f.Close())
	f = mustOpen(t, path)
	if _, err := Open(path, ledger, weak); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another one: %v", err)
	}
	do(t, f.Close())
	do(t, f.Close())
	mustOpen(t, path)
}

func TestStageRefusesWhatWouldLoseAKey(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 5)
	before := raw(t, path)
	for name, c := range map[string]struct {
		generation uint64
		key        seal.Key
		want       error
	}{
		"the same generation": {5, key(t, 6), ErrGeneration},
		"an older one":        {4, key(t, 6), ErrGeneration},
		"one too far":         {7, key(t, 6), ErrGeneration},
		"no key":              {6, seal.Key{}, seal.ErrNoKey},
		"the same key":        {6, key(t, 5), ErrGeneration},
	} {
		if err := f.Stage(c.generation, c.key); !errors.Is(err, c.want) || errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if !bytes.Equal(raw(t, path), before) {
		t.Error("a refused Stage wrote")
	}
	do(t, f.Stage(6, key(t, 6)))
	before = raw(t, path)
	for _, g := range []uint64{5, 6, 7} {
		if err := f.Stage(g, key(t, 70+g)); !errors.Is(err, ErrUnsettled) {
			t.Errorf("Stage(%d) while both slots are in use: %v", g, err)
		}
	}
	if !bytes.Equal(raw(t, path), before) {
		t.Error("a refused Stage wrote")
	}
	do(t, f.Keep(6)) // none of the refusals ended its use
}

func TestKeepRefusesAGenerationThatNoSlotHolds(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 5)
	do(t, f.Stage(6, key(t, 6)))
	before := raw(t, path)
	for _, g := range []uint64{0, 4, 7} {
		if err := f.Keep(g); !errors.Is(err, ErrGeneration) || errors.Is(err, ErrUncertain) {
			t.Errorf("Keep(%d): %v", g, err)
		}
	}
	if !bytes.Equal(raw(t, path), before) {
		t.Error("a refused Keep wrote")
	}
	do(t, f.Keep(6))
}

// Every way in which a 4 KiB write can be cut short at a sector, over a cleared
// slot and over an old key.
func TestATornSlotIsNotValidAndKeepOverwritesIt(t *testing.T) {
	var old, staged, current block
	Slot{1, key(t, 1)}.encode(&old, ledger)
	Slot{3, key(t, 3)}.encode(&staged, ledger)
	Slot{2, key(t, 2)}.encode(&current, ledger)
	mix := func(from, to block, n int) block { copy(from[:n], to[:n]); return from }
	var torn []block
	for _, n := range []int{1, 7, 8, 31, 33, 63, 64, 80, 95} {
		torn = append(torn, mix(cleared, staged, n), mix(old, cleared, n))
	}
	for n := 512; n < slotSize; n += 512 {
		b := current // something that was never ours behind a valid head
		clear(b[usedSize:])
		b[n] = 1
		torn = append(torn, b)
	}
	for i, b := range torn {
		for _, at := range []int{0, 1} {
			path := temporary(t)
			content := append(bytes.Clone(b[:]), current[:]...)
			if at == 1 {
				content = append(bytes.Clone(current[:]), b[:]...)
			}
			do(t, os.WriteFile(path, content, 0o600))
			f := mustOpen(t, path)
			holds(t, f, 2)
			if err := f.Stage(3, key(t, 3)); !errors.Is(err, ErrUnsettled) {
				t.Errorf("torn %d: Stage beside a torn slot: %v", i, err)
			}
			do(t, f.Keep(2))
			want := append(bytes.Clone(cleared[:]), current[:]...)
			if at == 1 {
				want = append(bytes.Clone(current[:]), cleared[:]...)
			}
			if !bytes.Equal(raw(t, path), want) {
				t.Errorf("torn %d in slot %d: Keep did not clear it", i, at)
			}
			do(t, f.Stage(3, key(t, 3)))
			do(t, f.Close())
		}
	}
}

func TestAFileThatWasReplacedWhileOpenIsNotWrittenTo(t *testing.T) {
	path := temporary(t)
	f := mustCreate(t, path, 1)
	do(t, os.Rename(path, path+".moved"))
	before := raw(t, path+".moved")
	if err := f.Stage(2, key(t, 2)); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUncertain) {
		t.Errorf("renamed: %v", err)
	}
	do(t, os.WriteFile(path, before, 0o600))
	if err := f.Stage(2, key(t, 2)); err == nil || errors.Is(err, ErrUncertain) {
		t.Errorf("replaced: %v", err)
	}
	if !bytes.Equal(raw(t, path+".moved"), before) {
		t.Error("Stage wrote to a file that the next start would not find")
	}
	do(t, os.Rename(path+".moved", path))
	do(t, f.Stage(2, key(t, 2)))
}

func TestAFileDoesNotPrintItsKeys(t *testing.T) {
	f := mustCreate(t, temporary(t), 1)
	shown := strings.Trim(fmt.Sprint(keyBytes(1)), "[]")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, f); got != "[root-key file]" {
			t.Errorf("%s gives %s", verb, got)
		}
		for _, v := range []any{f.Slots(), struct{ F *File }{f}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, shown) {
				t.Errorf("%s of %T shows the key", verb, v)
			}
		}
	}
	if got := fmt.Sprintf("%v", f.Slots()); got != "[{1 [key]}]" {
		t.Errorf("slots print as %s", got)
	}
	if b, err := json.Marshal(f.Slots()); err == nil {
		t.Errorf("slots were marshalled: %s", b)
	}
}

func TestAClosedFileHasNoKeysAndDoesNothing(t *testing.T) {
	f := mustCreate(t, temporary(t), 1)
	do(t, f.Close())
	if s := f.Slots(); s != nil {
		t.Errorf("slots %v", s)
	}
	if err := f.Stage(2, key(t, 2)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Stage: %v", err)
	}
	if err := f.Keep(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Keep: %v", err)
	}
	for _, s := range f.slot {
		if !s.Key.IsZero() {
			t.Error("a key is still in memory")
		}
	}
}

func TestASlotDecodesToWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, err := seal.KeyFromBytes(append([]byte{1}, rapid.SliceOfN(rapid.Byte(), 31, 31).Draw(t, "key")...))
		if err != nil {
			t.Fatal(err)
		}
		id := LedgerID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		s := Slot{rapid.Uint64().Draw(t, "generation"), k}
		var b block
		s.encode(&b, id)
		got, owner, ok, err := decode(&b)
		if err != nil || !ok || owner != id || got.Generation != s.Generation || !got.Key.Equal(k) {
			t.Fatalf("ok %v, error %v", ok, err)
		}
		b[rapid.IntRange(0, slotSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, _, ok, err := decode(&b); ok || err != nil {
			t.Fatalf("a flipped bit: ok %v, error %v", ok, err)
		}
	})
}

// FuzzDecode: what decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	var b block
	Slot{1, key(f, 1)}.encode(&b, ledger)
	f.Add(b[:], true)
	f.Add(b[:usedSize], false)
	f.Add(cleared[:], false)
	f.Fuzz(func(t *testing.T, content []byte, resum bool) {
		var b block
		copy(b[:], content)
		if resum { // lets the fuzzer past the checksum
			sum := sha256.Sum256(b[:sumAt])
			copy(b[sumAt:], sum[:])
		}
		s, id, ok, err := decode(&b)
		if !ok || err != nil {
			return
		}
		var again block
		s.encode(&again, id)
		if again != b {
			t.Fatalf("%x decodes, and encodes to %x", b[:usedSize], again[:usedSize])
		}
	})
}

func BenchmarkReplacement(b *testing.B) {
	f := mustCreate(b, temporary(b), 1)
	b.Logf("grade %s", f.Grade())
	k, g := key(b, 1), uint64(1)
	for b.Loop() {
		k, g = k.Next(), g+1
		if err := errors.Join(f.Stage(g, k), f.Keep(g)); err != nil {
			b.Fatal(err)
		}
	}
}
