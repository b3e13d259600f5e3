package rootkey

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountOptionsAreThoseOfTheDevice(t *testing.T) {
	const mountinfo = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:35 / /tmp/a\040b rw shared:7 - tmpfs tmpfs rw,size=10k
43 27 7:1 / /mnt/j rw,relatime master:1 propagate_from:2 - ext4 /dev/loop1 rw,nodelalloc,data=journal
44 27 7:10 / /mnt/o rw,relatime - ext3 /dev/loop10 rw,data=ordered
45 27 7:2 / /mnt/bad rw
`
	for device, want := range map[string]string{"254:0": "ext4 rw", "7:1": "ext4 rw,nodelalloc,data=journal", "7:10": "ext3 rw,data=ordered", "7:2": "", "7:100": "", "": ""} {
		kind, options, found := mountOptions(mountinfo, device)
		got := strings.TrimSpace(kind + " " + strings.Join(options, ","))
		if got != want || found != (want != "") {
			t.Errorf("%s: %q, found %v, want %q", device, got, found, want)
		}
	}
}

func TestOnlyPlainBlocksOfTheFilesOwnAreInPlace(t *testing.T) {
	plain := []fiemapExtent{{logical: 0, physical: 1 << 20, length: 4096, flags: 0}, {logical: 4096, physical: 9 << 20, length: 8192, flags: extentLast | extentMerged}}
	where, why := place(plain)
	if why != "" || where[0] != 1<<20 || where[7] != 1<<20+3584 || where[8] != 9<<20 || where[15] != 9<<20+3584 {
		t.Errorf("two plain extents: %q, %v", why, where)
	}
	// The flags of linux/fiemap.h.
	for flag, says := range map[uint32]string{
		0x2: "plainly", 0x4: "plainly", 0x8: "plainly", 0x80: "plainly", 0x100: "plainly", 0x200: "inline", 0x400: "plainly", 0x800: "plainly", 0x2000: "clone",
	} {
		for i := range plain {
			extents := append([]fiemapExtent(nil), plain...)
			extents[i].flags |= flag
			if where, why := place(extents); !strings.Contains(why, says) || where != (layout{}) {
				t.Errorf("flag %#x in extent %d: %q", flag, i, why)
			}
		}
	}
	for name, extents := range map[string][]fiemapExtent{"none": nil, "only the first slot": plain[:1], "only the second": plain[1:]} {
		if _, why := place(extents); !strings.Contains(why, "hole") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// onDisk gives a path on a filesystem that overwrites in place, or skips.
func onDisk(t *testing.T) string {
	t.Helper()
	path := temporary(t)
	probe, err := os.Create(path + ".probe")
	do(t, err)
	defer probe.Close()
	_, err = probe.Write(make([]byte, fileSize))
	do(t, err)
	do(t, probe.Sync())
	if p := locate(probe); p.kind != inPlace {
		t.Skipf("temporary files are where overwriting in place is not shown: %s", p.why)
	}
	do(t, os.Remove(probe.Name()))
	return path
}

func TestADiskThatOverwritesInPlaceNeedsNoFlag(t *testing.T) {
	path := onDisk(t)
	f, err := Create(path, ledger, 1, key(t, 1), Options{})
	do(t, err)
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(2))
	if g := f.Grade(); g != "overwritten-in-place/read-back-direct" && g != "overwritten-in-place/read-back-cached" {
		t.Errorf("grade %q", g)
	}
	do(t, f.Close())
	f, err = Open(path, ledger, Options{})
	do(t, err)
	holds(t, f, 2)
	do(t, f.Close())
}

func TestReadingBackThroughTheCacheIsALowerGrade(t *testing.T) {
	f, err := Create(onDisk(t), ledger, 1, key(t, 1), Options{})
	do(t, err)
	defer f.Close()
	d := f.dev.(*osDevice)
	if d.direct == nil {
		t.Skip("no direct I/O here")
	}
	do(t, d.direct.Close())
	d.direct = nil
	if g := f.Grade(); g != "overwritten-in-place/read-back-cached" {
		t.Errorf("grade %q", g)
	}
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(2))
}

func TestMemoryIsRefusedUnlessItIsAccepted(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "rootkey")
	if err != nil {
		t.Skip("no /dev/shm")
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "made", "root.key")
	if _, err := Create(path, ledger, 1, key(t, 1), Options{}); !errors.Is(err, ErrFilesystem) || !strings.Contains(err.Error(), "memory") {
		t.Fatalf("Create: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused Create left something: %v", err)
	}
	f, err := Create(path, ledger, 1, key(t, 1), weak)
	do(t, err)
	if f.Grade() != "memory" {
		t.Errorf("grade %q", f.Grade())
	}
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(2))
	do(t, f.Close())
	before := raw(t, path)
	if _, err := Open(path, ledger, Options{}); !errors.Is(err, ErrFilesystem) {
		t.Errorf("Open: %v", err)
	}
	if string(raw(t, path)) != string(before) {
		t.Error("a refused Open changed the file")
	}
}

func TestAFileThatMovedOnItsDiskIsNotTrusted(t *testing.T) {
	f, err := Create(onDisk(t), ledger, 1, key(t, 1), Options{})
	do(t, err)
	defer f.Close()
	d := f.dev.(*osDevice)
	d.place.layout[3] ^= 1 << 30 // as if it had been there when it was opened
	if err := f.Stage(2, key(t, 2)); !errors.Is(err, ErrFilesystem) || errors.Is(err, ErrUncertain) || !strings.Contains(err.Error(), "moved") {
		t.Errorf("Stage: %v", err)
	}
	d.acceptWeak = true
	do(t, f.Stage(2, key(t, 2)))
	do(t, f.Keep(2))
	if g := f.Grade(); !strings.HasPrefix(g, "overwriting-not-shown/") {
		t.Errorf("grade %q", g)
	}
}

func TestAFileWhoseDataIsJournalledIsRefused(t *testing.T) {
	path := onDisk(t)
	f, err := Create(path, ledger, 1, key(t, 1), Options{})
	do(t, err)
	defer f.Close()
	fd := int(f.dev.(*osDevice).file.Fd())
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	do(t, err)
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags|journalDataFlag)); err != nil {
		t.Skipf("the attribute j can't be set here: %v", err)
	}
	if err := f.Stage(2, key(t, 2)); !errors.Is(err, ErrFilesystem) || !strings.Contains(err.Error(), "journal") {
		t.Errorf("Stage: %v", err)
	}
	do(t, f.Close())
	if _, err := Open(path, ledger, Options{}); !errors.Is(err, ErrFilesystem) {
		t.Errorf("Open: %v", err)
	}
}
