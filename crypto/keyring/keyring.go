// Package keyring is a map of keys with secure deletion.
//
// The map is a tree of pages. Each page is encrypted under a key of its own, which sits in its
// parent; the top page's key comes from the root key, which is kept elsewhere (crypto/rootkey).
// Every rewrite of a page draws a fresh key, so a parent pins the one current version of each
// child. Destroying a key rewrites the pages from it up to the top, under a fresh root: whoever
// then has every page ever written, and today's root, has no path to it. The construction is that
// of Reardon, Ritzdorf, Basin and Capkun, "Secure Data Deletion from Persistent Media" (CCS 2013).
//
// Who learns what, and which test shows it, is in crypto/THREATMODEL.md. The bytes of pages and
// records are described in ledger/FORMAT.md, and built without this package in testdata/vectors.py.
//
// The package knows pages and generations, not consents. It stores nothing itself: pages come
// from and go to the caller, who makes their writing atomic and durable.
//
// A Keyring may be read by any number of goroutines. One Batch at a time may be in progress.
package keyring

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"consentledger/crypto/seal"
)

// Pages is where sealed pages are read from. Page returns nil for a position that has none; what
// it returns is the caller's to keep.
type Pages interface {
	Page(position []byte) ([]byte, error)
}

// Keyring is the map. Its zero value is not usable; see New and Open.
type Keyring struct {
	ledger  [16]byte
	pages   Pages
	rand    io.Reader
	current atomic.Pointer[state]
	batches atomic.Uint64 // begun so far
	commit  sync.RWMutex  // held while what the store holds may be newer than current
	unknown bool          // a commit failed; guarded by commit
	cache   cache
}

// state is one published version of the tree.
type state struct {
	top      *node
	nextSlot uint64
}

// Options bound what a keyring keeps in memory, and say where its randomness comes from.
type Options struct {
	Rand       io.Reader // page keys and salts: a cryptographic source, all rests on it
	CacheBytes int64     // decrypted pages kept in memory
	Top        [32]byte  // for Open: the TopHash that is expected; all zero: any
}

// New makes an empty keyring for a new ledger.
func New(ledger [16]byte, pages Pages, o Options) *Keyring {
	k := &Keyring{ledger: ledger, pages: pages, rand: o.Rand}
	k.cache.limit = o.CacheBytes
	k.current.Store(&state{top: &node{}, nextSlot: 1})
	return k
}

// Open reads the top page with the root key. It fails with ErrDamaged if the page is not there, is
// not the one of Options.Top, or was sealed under another root. Only Options.Top tells a top page
// from an older one of the same root.
func Open(ledger [16]byte, pages Pages, root seal.Key, o Options) (*Keyring, error) {
	k := New(ledger, pages, o)
	sealed, err := pages.Page(position(nil))
	if err != nil {
		return nil, fmt.Errorf("read the keyring's top page: %w", err)
	}
	if sealed == nil {
		return nil, fmt.Errorf("%w: the top page is missing", ErrDamaged)
	}
	if o.Top != [32]byte{} && TopHash(sealed) != o.Top {
		return nil, fmt.Errorf("%w: the top page is not the one that was written last: it was altered, or an older version was put in its place", ErrDamaged)
	}
	st, err := openState(ledger, root, sealed)
	if err != nil {
		return nil, err
	}
	k.current.Store(st)
	return k, nil
}

func openState(ledger [16]byte, root seal.Key, sealed []byte) (*state, error) {
	plain, err := openTop(root, appendAAD(nil, ledger, position(nil)), sealed)
	if err != nil || len(plain) < 8 {
		return nil, fmt.Errorf("%w: the top page does not open with the root key", ErrDamaged)
	}
	top, err := parsePage(plain[8:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the top page: %w", ErrDamaged, err)
	}
	st := &state{top: top, nextSlot: binary.BigEndian.Uint64(plain)}
	if top.branch {
		clear(plain) // its keys were copied
	}
	return st, nil
}

// Format implements [fmt.Formatter]: [keyring], whatever the verb. Without it some verbs follow
// pointers down to the pages, and print the bytes of keys.
func (*Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, "[keyring]") }

// Format implements [fmt.Formatter]: [keyring batch], whatever the verb.
func (*Batch) Format(f fmt.State, _ rune) { io.WriteString(f, "[keyring batch]") }

// TopHash is what a head row says of a top page, so that an old one cannot be put back.
func TopHash(sealed []byte) [32]byte { return sha256.Sum256(sealed) }

// TopPosition is where the top page is stored.
func TopPosition() []byte { return position(nil) }

// NextSlot is the first slot that was never given out.
func (k *Keyring) NextSlot() uint64 { return k.current.Load().nextSlot }

// read runs f on the current state. If a page does not open, the reason may be that a commit has
// just put a newer version in its place, so f is tried again while no commit can be under way.
func (k *Keyring) read(f func(*state) error) error {
	err := f(k.current.Load())
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	k.commit.RLock()
	defer k.commit.RUnlock()
	err = f(k.current.Load())
	if k.unknown && errors.Is(err, ErrDamaged) {
		// What was read may be what the commit wrote, so nothing is known to be damaged.
		return ErrUnknownCommit
	}
	return err
}

// ErrUnknownCommit says that a commit failed, so that what the store holds is not known: the
// keyring must be opened again.
var ErrUnknownCommit = errors.New("a commit of the keyring failed, and whether it was written is not known: open the keyring again")

func (k *Keyring) get(key []byte) (val []byte, err error) {
	err = k.read(func(st *state) error {
		r, err := k.find(st, key, false)
		if r != nil {
			val = r.val
		}
		return err
	})
	return val, err
}

// scan returns up to limit records of one map, from a key on. With cold set every page is read
// from the source, whatever memory holds of it.
func (k *Keyring) scan(m byte, from []byte, limit int, cold bool) ([]record, error) {
	var out []record
	err := k.read(func(st *state) error {
		out = out[:0]
		_, err := k.walk(st.top, nil, from, cold, func(times) bool { return true }, func(r *record) bool {
			if r.key[0] != m {
				return r.key[0] < m
			}
			out = append(out, *r)
			return len(out) < limit
		})
		return err
	})
	return out, err
}

// Due returns up to limit slots, in order, whose [Member.Due] is now or before.
func (k *Keyring) Due(now int64, limit int) ([]uint64, error) { return k.DueFrom(now, 0, limit) }

// DueFrom is Due for the slots from one on. Who goes on behind the last slot that was returned
// gets through, even if a slot stays due whatever is done about it.
func (k *Keyring) DueFrom(now int64, from uint64, limit int) ([]uint64, error) {
	passed := func(t times) bool { return t.due != 0 && t.due <= now }
	return k.slotsWhere(from, limit, passed, passed)
}

// Tasks returns up to limit slots from one on, in order, whose [Member.Task] is later than after
// and not later than until.
func (k *Keyring) Tasks(after, until int64, from uint64, limit int) ([]uint64, error) {
	enter := func(t times) bool { return t.task != 0 && t.task <= until }
	return k.slotsWhere(from, limit, enter, func(t times) bool { return enter(t) && t.task > after })
}

// slotsWhere returns up to limit slots from one on whose times are wanted. Subtrees whose earliest
// times enter says no of are passed over.
func (k *Keyring) slotsWhere(from uint64, limit int, enter, wanted func(times) bool) ([]uint64, error) {
	if limit <= 0 {
		return nil, nil
	}
	var out []uint64
	err := k.read(func(st *state) error {
		out = out[:0]
		// Slots are the last map, so from one of them on there is nothing else.
		_, err := k.walk(st.top, nil, slotKey(from), false, enter, func(r *record) bool {
			if wanted(r.times) {
				out = append(out, binary.BigEndian.Uint64(r.key[1:]))
			}
			return len(out) < limit
		})
		return err
	})
	return out, err
}

// Batch is a set of changes that become one version of the tree. A change that returns an error has
// changed nothing. It is not for concurrent use.
type Batch struct {
	k        *Keyring
	number   uint64
	base     *state
	top      *node
	nextSlot uint64
	replaced []*ref // versions that this batch takes out of use
	gone     [][]byte
	written  []*ref // what this batch has sealed, for the cache
	next     *state // once sealed
}

// Begin starts a batch on the current version. The one before it must have been committed, or be
// given up.
func (k *Keyring) Begin() *Batch {
	st := k.current.Load()
	return &Batch{k: k, number: k.batches.Add(1), base: st, top: st.top, nextSlot: st.nextSlot}
}

// errSealed guards against what would be published without being written.
var errSealed = errors.New("keyring: the batch was sealed, and takes no more changes")

// set takes key and val, and clears them when they are replaced or removed.
func (b *Batch) set(key, val []byte, at times) error {
	if b.next != nil {
		return errSealed
	}
	top, err := b.put(b.top, 0, record{key: key, times: at, val: val})
	if err != nil {
		return err
	}
	b.top = top
	return nil
}

func (b *Batch) delete(key []byte) error {
	if b.next != nil {
		return errSealed
	}
	top, found, err := b.remove(b.top, 0, key)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: a key to be removed is not there", ErrDamaged)
	}
	if top == nil {
		top = &node{owner: b.number}
	}
	b.top = top
	return nil
}

// SetNextSlot records that slots below n were given out. It comes before Seal.
func (b *Batch) SetNextSlot(n uint64) {
	if n > b.nextSlot && b.next == nil {
		b.nextSlot = n
		b.top = b.own(b.top)
	}
}

// Changed says whether the batch holds anything to write.
func (b *Batch) Changed() bool { return b.top.owner == b.number }

// Page is one sealed page; Sealed is nil where the page is to be removed.
type Page struct {
	Position []byte
	Sealed   []byte
}

// Seal encrypts every page that changed, each under a fresh key, the top page under the root. The
// pages are in order of writing (removals first); the last is the top page. To destroy what the
// batch removed, root must be new, and the old one must not outlive the commit.
func (b *Batch) Seal(root seal.Key) ([]Page, error) {
	if b.next != nil {
		return nil, errSealed
	}
	b.top = b.own(b.top)
	pages := make([]Page, 0, len(b.gone)+8)
	for _, pos := range b.gone {
		pages = append(pages, Page{Position: pos})
	}
	pages, err := b.sealKids(b.top, make([]byte, 0, maxPath), pages)
	if err != nil {
		return nil, err
	}
	pos := position(nil)
	room := make([]byte, topSalt, topSalt+8+b.top.size()+gcmTag)
	room = binary.BigEndian.AppendUint64(room, b.nextSlot)
	room = b.top.appendTo(room)
	sealed, err := sealTop(b.k.rand, root, appendAAD(nil, b.k.ledger, pos), room)
	if err != nil {
		clear(room)
		return nil, err
	}
	b.next = &state{top: b.top, nextSlot: b.nextSlot}
	return append(pages, Page{Position: pos, Sealed: sealed}), nil
}

func (b *Batch) sealKids(n *node, path []byte, pages []Page) ([]Page, error) {
	if !n.branch {
		return pages, nil
	}
	path = append(path, n.prefix...)
	var aad [len(pageLabel) + 16 + 1 + maxPath/2]byte
	for i := range n.kids {
		kd := &n.kids[i]
		if kd.ref == nil {
			continue
		}
		c := kd.ref.node.Load()
		if c == nil || c.owner != b.number {
			continue
		}
		var err error
		child := append(path, byte(i))
		if pages, err = b.sealKids(c, child, pages); err != nil {
			return nil, err
		}
		if kd.ref.key, err = seal.NewKey(b.k.rand); err != nil {
			return nil, fmt.Errorf("draw a page key: %w", err)
		}
		kd.times = c.earliest()
		pos := position(child)
		plain := c.appendTo(make([]byte, 0, c.size()+gcmTag))
		pages = append(pages, Page{Position: pos, Sealed: sealPage(kd.ref.key, appendAAD(aad[:0], b.k.ledger, pos), plain)})
		b.written = append(b.written, kd.ref)
	}
	return pages, nil
}

var (
	errNotSealed = errors.New("keyring: the batch has changes and was not sealed")
	errStale     = errors.New("keyring: another batch was committed since this one began")
)

// Commit runs write, which must make the sealed pages durable, and then shows the new version to
// readers. If write fails nothing is shown, and every later commit fails with ErrUnknownCommit.
func (b *Batch) Commit(write func() error) error {
	k := b.k
	k.commit.Lock()
	defer k.commit.Unlock()
	switch {
	case k.unknown:
		return ErrUnknownCommit
	case b.next == nil && b.Changed():
		return errNotSealed
	case b.next != nil && b.base != k.current.Load():
		return errStale
	}
	if err := write(); err != nil {
		k.unknown = true
		return err
	}
	if b.next == nil {
		return nil
	}
	k.current.Store(b.next)
	k.cache.replace(b.replaced, b.written)
	b.base, b.replaced, b.written = nil, nil, nil // whoever keeps the batch does not keep old versions
	return nil
}
