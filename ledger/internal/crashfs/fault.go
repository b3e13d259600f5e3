package crashfs

import "syscall"

// Fault is an operation that shall fail.
type Fault struct {
	Kind       Kind
	PathSuffix string        // "" matches every path
	Nth        int           // counted from now, from 1 (0 is 1 too)
	Errno      syscall.Errno // what the caller is told
	Happened   bool          // it happens all the same; the caller can't know
	Sticky     bool          // so do all that match after it
}
