package rootkey

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRawImages makes filesystems of its own and looks for old keys in their raw
// images: the experiment on which the package's rules rest. It needs root, loop
// devices and e2fsprogs, and mounts things, so it runs only if
// CONSENTLEDGER_TEST_MOUNTS is set. A filesystem that is refused must be one in
// which the old keys are found, else the search proves nothing.
func TestRawImages(t *testing.T) {
	if os.Getenv("CONSENTLEDGER_TEST_MOUNTS") == "" {
		t.Skip("set CONSENTLEDGER_TEST_MOUNTS=1, as root, to let it mount filesystems")
	}
	const rotations = 20
	for name, c := range map[string]struct {
		mkfs, tune, mount string
		refused           string // what the refusal says; "" if it is accepted
		grade             string
	}{
		"ext4":                            {mkfs: "mkfs.ext4", grade: "overwritten-in-place/read-back-direct"},
		"ext4 writeback":                  {mkfs: "mkfs.ext4", mount: "data=writeback", grade: "overwritten-in-place/read-back-direct"},
		"ext4 inline_data":                {mkfs: "mkfs.ext4 -O inline_data -I 1024", grade: "overwritten-in-place/read-back-direct"},
		"ext4 1 KiB blocks":               {mkfs: "mkfs.ext4 -b 1024", grade: "overwritten-in-place/read-back-direct"},
		"ext2":                            {mkfs: "mkfs.ext2", grade: "overwritten-in-place/read-back-direct"},
		"ext3":                            {mkfs: "mkfs.ext3", grade: "overwritten-in-place/read-back-direct"},
		"ext4 data=journal":               {mkfs: "mkfs.ext4", mount: "data=journal", refused: "data=journal"},
		"ext4 data=journal by superblock": {mkfs: "mkfs.ext4", tune: "tune2fs -o journal_data", refused: "data=journal"},
		"ext3 data=journal":               {mkfs: "mkfs.ext3", mount: "data=journal", refused: "data=journal"},
		"ext4 attribute j":                {mkfs: "mkfs.ext4", tune: "debugfs -w -R set_inode_field\\x20/\\x20flags\\x200x84000", mount: "nodelalloc", refused: "attribute j"},
		"XFS":                             {mkfs: "mkfs.xfs", grade: "overwritten-in-place/read-back-direct"},
		"btrfs":                           {mkfs: "mkfs.btrfs", refused: "btrfs"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(strings.Fields(c.mkfs)[0]); err != nil {
				t.Skip(err)
			}
			dir := t.TempDir()
			image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
			do(t, os.Mkdir(at, 0o700))
			do(t, os.WriteFile(image, nil, 0o600))
			do(t, os.Truncate(image, 350<<20))
			run := func(command string, args ...string) {
				t.Helper()
				words := append(strings.Fields(command), args...)
				for i := range words {
					words[i] = strings.ReplaceAll(words[i], `\x20`, " ")
				}
				if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", words, err, out)
				}
			}
			run(c.mkfs, image)
			if c.tune != "" {
				run(c.tune, image)
			}
			run("mount -o", strings.TrimSuffix("loop,"+c.mount, ","), image, at)
			mounted := true
			unmount := func() {
				if mounted {
					run("umount", at)
					mounted = false
				}
			}
			t.Cleanup(unmount)

			path := filepath.Join(at, "root.key")
			f, err := Create(path, ledger, 1, key(t, 1), Options{})
			if c.refused != "" {
				if !errors.Is(err, ErrFilesystem) || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("Create: %v", err)
				}
				f, err = Create(path, ledger, 1, key(t, 1), weak)
			}
			do(t, err)
			for g := uint64(2); g <= rotations+1; g++ {
				do(t, f.Stage(g, key(t, g)))
				do(t, f.Keep(g))
			}
			grade := f.Grade()
			do(t, f.Close())
			unmount()

			content, found := raw(t, image), 0
			for g := uint64(1); g <= rotations; g++ {
				if bytes.Contains(content, keyBytes(g)) {
					found++
				}
			}
			t.Logf("%d of %d old keys found, grade %s", found, rotations, grade)
			if !bytes.Contains(content, keyBytes(rotations+1)) {
				t.Error("the current key is not found in the image: the search is worth nothing")
			}
			switch {
			case c.refused == "" && (found != 0 || grade != c.grade):
				t.Errorf("accepted with grade %s, and %d old keys are in the image", grade, found)
			case c.refused != "" && (found == 0 || !strings.HasPrefix(grade, "overwriting-not-shown/")):
				t.Errorf("refused, then accepted with grade %s, and no old key is in the image", grade)
			}
		})
	}
}
