package datadir_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"consentledger/cmd/consentledger/datadir"
)

// The last step is the one that can fail after everything is made: a mount
// point cannot be replaced.
func TestACreateOntoAMountPointLeavesNothing(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "L")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if _, err := datadir.Create(dir, filepath.Join(base, "r", "root.key"), genesis(), options); !errors.Is(err, datadir.ErrExists) {
		t.Errorf("Create: %v", err)
	}
	if left := names(t, base); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
