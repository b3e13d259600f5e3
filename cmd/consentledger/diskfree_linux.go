package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskFree is how much room this user has left on the filesystem of a path.
func diskFree(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("how much room is left: %w", err)
	}
	return st.Bavail * uint64(st.Frsize), nil //nolint:gosec // a size is not negative
}
