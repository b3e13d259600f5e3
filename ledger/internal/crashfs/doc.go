// Package crashfs is for tests: it records what a program does to its files,
// makes chosen operations fail, and works out what could be on the disk had
// the power been cut.
//
// The recording half is a FUSE file system over a backing directory. It is
// served by a child process, the test binary run again: a process that maps a
// file of a file system that it serves itself can wait for itself for ever,
// because a page fault stops a thread without Go's scheduler knowing.
//
// The replaying half, Rules and Disk, needs no FUSE and no mount.
package crashfs

import "fmt"

// Kind is the kind of an operation.
type Kind string

// The operations on record. Each is there once it has happened, in an order
// in which they could have happened one after the other.
const (
	Create   Kind = "create"
	Write    Kind = "write"
	Truncate Kind = "truncate" // to Size, which may be larger than before
	Fsync    Kind = "fsync"    // or fdatasync
	Rename   Kind = "rename"
	Unlink   Kind = "unlink" // or rmdir
	Mkdir    Kind = "mkdir"
	FsyncDir Kind = "fsyncdir"

	// FsyncLost is an fsync that failed and did nothing. What it should have
	// made durable may be on the disk or not, and no later fsync helps: the
	// kernel has forgotten that it was unwritten.
	FsyncLost Kind = "fsynclost"

	// Marked is a label that the test put between operations.
	Marked Kind = "mark"

	// Read is never on record, but can be made to fail.
	Read Kind = "read"
)

// Op is one operation. Paths are relative to the mount, with "." for itself.
type Op struct {
	Kind    Kind
	Path    string
	NewPath string // of a rename
	File    uint64 // which file, whatever it is called by now; 0 for operations on names
	Offset  int64  // of a write
	Data    []byte // of a write
	Size    int64  // of a truncate
	Covers  int    // of an fsync: it covers the operations before this place in the record
	Label   string // of a mark
}

func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("write %s at %d, %d bytes", o.Path, o.Offset, len(o.Data))
	case Truncate:
		return fmt.Sprintf("truncate %s to %d bytes", o.Path, o.Size)
	case Rename:
		return fmt.Sprintf("rename %s to %s", o.Path, o.NewPath)
	case Marked:
		return fmt.Sprintf("mark %q", o.Label)
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Path)
}
