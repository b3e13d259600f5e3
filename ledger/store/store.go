// Package store is the contract between the ledger and whatever keeps its
// bytes: named, ordered maps of bytes to bytes, changed by atomic and durable
// updates, read as consistent snapshots.
//
// The contract is small on purpose, so that an embedded database (package
// bolt) and a database server can both keep it. Package storetest holds every
// promise made here as a test.
package store

import (
	"errors"
	"fmt"
)

// Map is the name of one map of keys to values. Maps exist from the creation
// of the store on; no call creates one.
type Map string

// Limits of every store. An entry of the ledger is at most 65,535 bytes and a
// keyring page at most twice that, so a value never needs more.
const (
	MaxKeyBytes   = 1024
	MaxValueBytes = 128 << 10
)

// Reader reads one consistent snapshot. It belongs to the goroutine that was
// given it: it is not for concurrent use and must not outlive the function it
// was given to; later calls return ErrEnded.
//
// Every slice a Reader hands out is read-only and valid until that function
// returns. It may point into a memory-mapped file: a store turns a failure to
// read it into ErrCorrupt only in the goroutine that runs the function.
type Reader interface {
	// Get returns the value of key, or nil if there is none. A value of
	// length zero is not nil.
	Get(m Map, key []byte) ([]byte, error)

	// Scan calls f for every key in [from, to), in ascending byte order. A
	// nil from is the beginning, a nil to is the end of the map. Scan returns
	// the first error of f, unwrapped; if that is ErrStop it returns nil. In
	// an Update, f may read, but changing the map that is being scanned is
	// refused with ErrScanning; other maps may be changed.
	Scan(m Map, from, to []byte, f func(key, value []byte) error) error

	// Last returns the greatest key and its value, or two nils if the map is
	// empty.
	Last(m Map) (key, value []byte, err error)
}

// Writer is a Reader that sees its own changes.
type Writer interface {
	Reader

	// Put sets the value of key. The store may keep both slices without
	// copying them: the caller must not change them until Update returns.
	Put(m Map, key, value []byte) error

	// Delete removes key. Removing a key that is not there is no error.
	Delete(m Map, key []byte) error
}

// Store keeps maps. It is safe for concurrent use. Views run beside each
// other and beside an Update; Updates run one after the other. Neither may be
// started from inside the other or from inside itself.
type Store interface {
	// View calls f with a snapshot: all of every Update that returned before
	// View was called, nothing of one that had not committed when f started,
	// and no change while f runs. View returns f's error, unwrapped. A view
	// keeps the pages it sees from being reused, so it must never be held
	// while talking to a network.
	View(f func(Reader) error) error

	// Update calls f and then makes all that it put and deleted durable, or
	// nothing of it.
	//
	//   - f returns an error: nothing has changed; that error is returned,
	//     unwrapped.
	//   - f panics: nothing has changed; the panic goes on.
	//   - A Put or Delete in f was refused: nothing has changed, even if f
	//     returns nil; the refusal is returned.
	//   - Update returns nil: all of it is durable and visible to every View
	//     that starts from now on.
	//   - Update returns an error that wraps ErrUncertain: f returned nil, but
	//     whether its changes are or will be on the disk is unknown. They are
	//     there all or not at all. From now on every Update and Settle returns
	//     ErrPoisoned, for as long as this store is open: what an operating
	//     system says about a file after a failed fsync can't be trusted.
	//     Opening the store again shows what happened.
	Update(f func(Writer) error) error

	// Settle returns when nothing that can happen to the newest header on
	// the disk can make the store fall back to a state before the last
	// Update. A failed Settle poisons the store like a failed Update; the
	// last Update is durable all the same. A database with a log of its own
	// has nothing to do here.
	Settle() error

	// Check reads everything that a reader could reach and returns an error
	// that wraps ErrCorrupt unless the structure is intact. It can't tell
	// whether a value is the one that was put. Updates wait while it runs.
	Check() error

	// Size is what the store takes up, in bytes.
	Size() (int64, error)

	// Close waits for running Views and Updates and frees everything. Calls
	// after it return ErrClosed, but for Close itself, which returns nil.
	Close() error
}

var (
	// ErrStop, returned by the function given to Scan, ends the Scan without
	// an error.
	ErrStop = errors.New("stop")

	// ErrUncertain says that an update may or may not have become durable.
	ErrUncertain = errors.New("the outcome of the update is unknown; open the store again to see it")

	// ErrPoisoned says that an earlier update ended in ErrUncertain, so this
	// one was not tried.
	ErrPoisoned = errors.New("an earlier update of the store failed with an unknown outcome; open the store again before writing")

	// ErrCorrupt says that what is stored can't be a store: it was damaged,
	// or it never was one.
	ErrCorrupt = errors.New("the store is damaged")

	ErrReadOnly   = errors.New("the store was opened for reading only")
	ErrClosed     = errors.New("the store is closed")
	ErrEnded      = errors.New("the view or update this reader belongs to has ended")
	ErrScanning   = errors.New("a map can't be changed while it is being scanned; collect the changes and make them after the scan")
	ErrUnknownMap = errors.New("the store has no such map")
	ErrKeySize    = fmt.Errorf("a key must have 1 to %d bytes", MaxKeyBytes)
	ErrValueSize  = fmt.Errorf("a value must have at most %d bytes", MaxValueBytes)
)

// CheckPut returns the refusal that every store gives for a key or a value of
// impossible size.
func CheckPut(m Map, key, value []byte) error {
	if err := CheckKey(m, key); err != nil {
		return err
	}
	if len(value) > MaxValueBytes {
		return fmt.Errorf("map %q: %w, not %d", m, ErrValueSize, len(value))
	}
	return nil
}

// CheckKey returns the refusal that every store gives for a key of impossible
// size, in Put, Delete and Get.
func CheckKey(m Map, key []byte) error {
	if len(key) == 0 || len(key) > MaxKeyBytes {
		return fmt.Errorf("map %q: %w, not %d", m, ErrKeySize, len(key))
	}
	return nil
}
