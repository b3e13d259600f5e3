package rootkey

import (
	"fmt"
	"io"
	"io/fs"
	"sync"

	"consentledger/crypto/seal"
)

// Options says what Create and Open accept.
type Options struct {
	// AcceptWeak accepts a place where overwriting in place cannot be shown. The
	// grade then says so.
	AcceptWeak bool
}

// A File is an open root-key file, locked against every other process. Its methods
// may be called from several goroutines at once, one of them works at a time.
type File struct {
	mu     sync.Mutex
	dev    device
	id     LedgerID
	slot   [slots]state
	synced bool  // everything in slot is known to be durable
	failed error // a write failed: the disk's state is unknown
	closed bool
}

// state is what is known of one slot.
type state struct {
	Slot
	what what
}

type what byte

const (
	isTorn what = iota
	isCleared
	isValid
)

// device is the file as far as this package needs it, so that tests can let each
// call fail. Every error of writeAt and sync leaves the outcome unknown.
type device interface {
	writeAt(b *block, offset int64) error
	sync() error
	// readBack reads from the medium where the filesystem can, from its cache
	// elsewhere.
	readBack(b *block, offset int64) error
	// check says whether the file is still at its path, and still where on the
	// disk it was when it was opened.
	check() error
	grade() string
	close() error
}

// Create makes a root-key file that holds one key, and opens it. The file is made
// with mode 0600, missing directories with 0700, and when Create returns nil all of
// them are durable. Where it returns an error, it has removed what it made, as far as
// the operating system let it; no key is written before the place is known to be
// acceptable.
//
// Its errors are ErrExists, ErrFilesystem, seal.ErrNoKey, and those of the
// operating system.
func Create(path string, id LedgerID, generation uint64, key seal.Key, o Options) (*File, error) {
	if id == (LedgerID{}) {
		return nil, fmt.Errorf("rootkey: creating %s: the ledger id is all zero: give a random one", path)
	}
	if key.IsZero() {
		return nil, fmt.Errorf("rootkey: creating %s: %w", path, seal.ErrNoKey)
	}
	dev, err := createDevice(path, o)
	if err != nil {
		return nil, err
	}
	f, err := create(dev, id, Slot{generation, key})
	if err != nil {
		dev.remove()
		dev.close()
		return nil, fmt.Errorf("rootkey: creating %s: %w", path, err)
	}
	return f, nil
}

// create writes the first key into a device whose slots are cleared.
func create(dev device, id LedgerID, s Slot) (*File, error) {
	f := &File{dev: dev, id: id, slot: [slots]state{{what: isCleared}, {what: isCleared}}}
	if err := f.write(0, s); err != nil {
		return nil, err
	}
	if err := f.expectCleared(1); err != nil {
		return nil, err
	}
	f.synced = true
	return f, nil
}

// Open opens the root-key file of ledger id. It never creates or changes one: call
// Keep next, which settles what a crash may have left.
//
// Its errors are ErrMissing, ErrBusy, ErrOtherLedger, ErrFilesystem, ErrDamaged,
// and those of the operating system. Each says what to do next.
func Open(path string, id LedgerID, o Options) (*File, error) {
	dev, err := openDevice(path, o)
	if err != nil {
		return nil, err
	}
	f, err := open(dev, id)
	if err != nil {
		dev.close()
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return f, nil
}

func open(dev device, id LedgerID) (*File, error) {
	f := &File{dev: dev, id: id}
	var b block
	defer clear(b[:])
	valid, empty := 0, 0
	for i := range f.slot {
		if err := dev.readBack(&b, offset(i)); err != nil {
			return nil, fmt.Errorf("rootkey: reading slot %d: %w", i, err)
		}
		s, owner, ok, err := decode(&b)
		switch {
		case err != nil:
			return nil, fmt.Errorf("rootkey: slot %d: %w", i, err)
		case ok && owner != id:
			return nil, fmt.Errorf("%w: it is of %s, and the ledger is %s: give the path of this ledger's own file", ErrOtherLedger, owner, id)
		case ok:
			f.slot[i] = state{s, isValid}
			valid++
		case b == cleared:
			f.slot[i] = state{what: isCleared}
			empty++
		}
	}
	if empty == slots {
		return nil, fmt.Errorf("%w: both slots are empty, so its creation was interrupted or it was wiped: if nothing was ever recorded, remove the file and create it again; otherwise put the ledger's own file back", ErrDamaged)
	}
	if valid == 0 {
		return nil, fmt.Errorf("%w: no slot holds a valid key: do not remove or change it, put the ledger's own file back from its mirror if there is one, and check the disk", ErrDamaged)
	}
	if a, b := f.slot[0], f.slot[1]; valid == slots && a.Generation+1 != b.Generation && b.Generation+1 != a.Generation {
		return nil, fmt.Errorf("%w: its slots hold generations %d and %d, which never stand side by side: something else wrote to it; put the ledger's own file back", ErrDamaged, a.Generation, b.Generation)
	}
	return f, nil
}

func offset(slot int) int64 { return int64(slot) * slotSize }

// Slots returns the valid slots, one or two, the older generation first: as they
// were when the file was opened, and after each Stage and Keep that returned nil.
// After Close there are none.
func (f *File) Slots() []Slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s []Slot
	for _, st := range f.slot {
		if st.what == isValid {
			s = append(s, st.Slot)
		}
	}
	if len(s) == 2 && s[0].Generation > s[1].Generation {
		s[0], s[1] = s[1], s[0]
	}
	return s
}

// Stage writes the next generation's key into the spare slot. When it returns nil
// the key is durable and was read back; the current one is untouched.
//
// The other slot must hold the generation before, and the spare one must be
// cleared: ErrGeneration and ErrUnsettled, and ErrFilesystem if the file moved since
// it was opened, mean that nothing was written. Any other error is ErrUncertain, and
// then, and after a failed Keep, every further Stage and Keep is refused until the
// file is opened again.
func (f *File) Stage(generation uint64, key seal.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(); err != nil {
		return fmt.Errorf("rootkey: staging generation %d: %w", generation, err)
	}
	current, spare := 0, 1
	if f.slot[current].what != isValid {
		current, spare = 1, 0
	}
	switch s := f.slot[spare]; {
	case s.what == isValid:
		return fmt.Errorf("%w: it holds generation %d, beside %d: Keep one of them first", ErrUnsettled, s.Generation, f.slot[current].Generation)
	case s.what == isTorn:
		return fmt.Errorf("%w: a write to it was cut short: Keep generation %d first", ErrUnsettled, f.slot[current].Generation)
	case generation != f.slot[current].Generation+1:
		return fmt.Errorf("%w: %d cannot be staged beside %d, only the one after it", ErrGeneration, generation, f.slot[current].Generation)
	case key.IsZero():
		return fmt.Errorf("rootkey: staging generation %d: %w", generation, seal.ErrNoKey)
	case key.Equal(f.slot[current].Key):
		return fmt.Errorf("%w: %d has the key of the generation before it, which would destroy nothing: give a new one", ErrGeneration, generation)
	}
	if err := f.dev.check(); err != nil {
		return fmt.Errorf("rootkey: staging generation %d: %w", generation, err)
	}
	if err := f.write(spare, Slot{generation, key}); err != nil {
		return f.fail(fmt.Errorf("staging generation %d: %w", generation, err))
	}
	return nil
}

// Keep overwrites, in place, every slot but the one that holds generation. When it
// returns nil, what they held is gone as far as Grade says, and generation's key is
// durable: both were read back.
//
// ErrGeneration means that no valid slot holds that generation, and that nothing was
// written. Any other error is ErrUncertain, and then every further Stage and Keep is
// refused until the file is opened again.
func (f *File) Keep(generation uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(); err != nil {
		return fmt.Errorf("rootkey: keeping generation %d: %w", generation, err)
	}
	kept := -1
	for i, s := range f.slot {
		if s.what == isValid && s.Generation == generation {
			kept = i
		}
	}
	if kept < 0 {
		return fmt.Errorf("%w: no slot holds %d, so keeping it would destroy every key: look which data directory belongs to this root-key file", ErrGeneration, generation)
	}
	if err := f.keep(kept); err != nil {
		return f.fail(fmt.Errorf("keeping generation %d: %w", generation, err))
	}
	return nil
}

func (f *File) keep(kept int) error {
	if err := f.dev.check(); err != nil {
		return err
	}
	// What a process that died wrote may still be in the cache only.
	if !f.synced {
		if err := f.dev.sync(); err != nil {
			return fmt.Errorf("fsync: %w", err)
		}
		f.synced = true
	}
	// The last look before the other key goes.
	if err := f.expectSlot(kept); err != nil {
		return err
	}
	other := 1 - kept
	if f.slot[other].what != isCleared {
		if err := f.dev.writeAt(&cleared, offset(other)); err != nil {
			return fmt.Errorf("overwriting slot %d: %w", other, err)
		}
		if err := f.dev.sync(); err != nil {
			return fmt.Errorf("fsync: %w", err)
		}
	}
	if err := f.expectCleared(other); err != nil {
		return err
	}
	if err := f.dev.check(); err != nil {
		return err
	}
	f.slot[other].Key.Clear()
	f.slot[other] = state{what: isCleared}
	return nil
}

// write makes s the durable content of a slot, and reads it back.
func (f *File) write(slot int, s Slot) error {
	var b block
	defer clear(b[:])
	s.encode(&b, f.id)
	if err := f.dev.writeAt(&b, offset(slot)); err != nil {
		return fmt.Errorf("writing slot %d: %w", slot, err)
	}
	if err := f.dev.sync(); err != nil {
		return fmt.Errorf("fsync: %w", err)
	}
	f.slot[slot] = state{s, isValid}
	return f.expectSlot(slot)
}

// expectSlot reads a slot back and compares it with what it should hold.
func (f *File) expectSlot(slot int) error {
	var want, got block
	defer func() { clear(want[:]); clear(got[:]) }()
	f.slot[slot].encode(&want, f.id)
	if err := f.dev.readBack(&got, offset(slot)); err != nil {
		return fmt.Errorf("reading slot %d back: %w", slot, err)
	}
	if got != want {
		return fmt.Errorf("slot %d does not hold generation %d: the disk did not keep what it said it wrote, or something else wrote to the file", slot, f.slot[slot].Generation)
	}
	return nil
}

func (f *File) expectCleared(slot int) error {
	var got block
	defer clear(got[:])
	if err := f.dev.readBack(&got, offset(slot)); err != nil {
		return fmt.Errorf("reading slot %d back: %w", slot, err)
	}
	if got != cleared {
		return fmt.Errorf("slot %d is not cleared: the disk did not keep what it said it wrote, or something else wrote to the file", slot)
	}
	return nil
}

func (f *File) usable() error {
	if f.closed {
		return fs.ErrClosed
	}
	if f.failed != nil {
		return fmt.Errorf("%w (earlier: %w)", ErrUncertain, f.failed)
	}
	return nil
}

func (f *File) fail(err error) error {
	f.failed = err
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// Grade says what is known of the destruction of an old key here. The values are
// those in the package documentation.
func (f *File) Grade() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dev.grade()
}

// Close forgets the keys and gives up the lock. A second Close does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	for i := range f.slot {
		f.slot[i].Key.Clear()
		f.slot[i] = state{}
	}
	if err := f.dev.close(); err != nil {
		return fmt.Errorf("rootkey: closing: %w", err)
	}
	return nil
}

// Format implements [fmt.Formatter], because fmt would read the keys by reflection.
func (f *File) Format(s fmt.State, _ rune) { io.WriteString(s, "[root-key file]") }

// Inspect returns the grade that a root-key file has where it is, as [File.Grade] does. It needs no
// lock and looks at no key, so that it works beside whoever has the file open.
func Inspect(path string) (grade string, err error) { return inspectDevice(path) }
