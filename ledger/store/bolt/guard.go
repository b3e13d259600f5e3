package bolt

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"unsafe"

	"consentledger/ledger/store"
)

// A damaged or truncated file makes bbolt panic, or makes reading the mapped
// file fault. faultsPanic turns faults into panics for this goroutine, and
// returns what puts the setting back; catch and catchFaults turn panics into
// errors.
func faultsPanic() (restore func()) {
	old := debug.SetPanicOnFault(true)
	if old {
		return func() {}
	}
	return turnFaultsOff
}

func turnFaultsOff() { debug.SetPanicOnFault(false) }

// catch, deferred around calls into bbolt and nothing else, makes any panic
// an error. bbolt's panics speak of page numbers and sizes, never of keys or
// values.
func catch(r *reader, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", store.ErrCorrupt, p)
		if r != nil && r.refused == nil {
			r.refused = *err
		}
	}
}

// catchFaults, deferred around the caller's own function, makes an error only
// of a fault at an address of the mapped file, which is what touching a
// slice of a truncated file gives. Every other panic is the caller's and goes
// on.
func catchFaults(r *reader, err *error) {
	p := recover()
	if p == nil {
		return
	}
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || !r.mapped(fault.Addr()) {
		panic(p)
	}
	*err = fmt.Errorf("%w: the file ends before a value does, or the disk can't read it", store.ErrCorrupt)
}

// mapped says whether an address lies in the mapping of the file.
func (r *reader) mapped(addr uintptr) bool {
	return addr >= r.base && addr < r.base+r.mapBytes
}

// plausible says whether a slice that bbolt read from its file lies inside
// the file. Outside the mapping lie values put in this very update, and maps
// small enough to live in another page, which bbolt may copy; Open has seen
// that those are whole.
func (r *reader) plausible(b *bucket, s []byte) bool {
	if len(s) == 0 {
		return true
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	if !r.mapped(start) {
		return b.inline || r.tx.Writable()
	}
	return start-r.base+uintptr(len(s)) <= r.fileBytes
}
