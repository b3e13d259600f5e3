//go:build !linux

package crashfs

import "testing"

// Main does nothing where there is no recording file system.
func Main() {}

// Available says that this system has none.
func Available() (ok bool, why string) { return false, "it needs FUSE on Linux" }

// FS is the recording file system of Linux.
type FS struct{}

// Start fails the test: Available said no.
func Start(t testing.TB, _ string) *FS {
	t.Fatal("the recording file system needs Linux")
	return nil
}

// Path is of Linux only, as is all that follows.
func (*FS) Path() string             { return "" }
func (*FS) Ops(testing.TB) []Op      { return nil }
func (*FS) Mark(testing.TB, string)  {}
func (*FS) Inject(testing.TB, Fault) {}
func (*FS) Clear(testing.TB)         {}
