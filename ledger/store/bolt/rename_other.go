//go:build !linux

package bolt

import "os"

// renameNew renames a file. Create has looked a moment ago that it replaces
// no other.
func renameNew(from, to string) error { return os.Rename(from, to) }
