// Package ledger orders what happens: entries and keys become one commit, the answer comes after
// it is durable, and a destruction is answered only when its keys can no longer be had.
//
// It is the only place that writes entries and keys together. What entries mean is decided in
// ledger/consent, how they are chained in ledger/chain, how keys die in crypto/keyring.
//
// A Ledger may be used by any number of goroutines.
package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/crypto/keyring"
	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
	"consentledger/ledger/tagindex"
)

// RootKeeper is where root keys live. *rootkey.File is one.
type RootKeeper interface {
	Slots() []rootkey.Slot                     // the valid ones
	Stage(generation uint64, k seal.Key) error // durable beside the present one
	Keep(generation uint64) error              // every other one is gone when it returns
	Grade() string
	Close() error
}

// Options say what a ledger works with. Store, Root and Dir are the ledger's from Open on and are
// closed with it.
type Options struct {
	Dir        string // of the head file and the tag runs
	Store      store.Store
	Root       RootKeeper
	Clock      func() time.Time                     // absent: the system's
	After      func(time.Duration) <-chan time.Time // absent: time.After. The sweep waits by it, so that it follows Clock
	Rand       io.Reader                            // absent: the system's. Safe for concurrent use
	Log        *slog.Logger                         // absent: nothing is logged
	CacheBytes int64                                // members in memory; absent: 256 MiB
	QueueCalls int                                  // calls that may wait for a commit; absent: 8192
	Ask        func(*Ledger) error                  // absent: nobody is asked. Asks the witnesses, before anything is signed; an error keeps the ledger shut
	SweepEvery time.Duration                        // how often what is due is destroyed; absent: an hour; negative: only when Sweep is called
}

const (
	defaultCacheBytes = 256 << 20
	defaultQueueCalls = 8192
	defaultSweepEvery = time.Hour
	publishEvery      = time.Second
	keyringCacheBytes = 256 << 20
)

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.QueueCalls == 0 {
		o.QueueCalls = defaultQueueCalls
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = defaultSweepEvery
	}
	return o
}

// Ledger is one open ledger.
type Ledger struct {
	o         Options
	id        Identity
	box       seal.Box
	keys      *keyring.Keyring
	tags      *tagindex.Index
	refs      refCipher
	pathKey   seal.Key
	apiKey    seal.Key
	requests  refCipher
	endingKey seal.Key
	signer    note.Signer
	verifier  note.Verifier
	headFile  *headFile

	register  atomic.Pointer[consent.Register]
	apiKeys   atomic.Pointer[map[string]apiKeyRow]
	operators atomic.Pointer[consent.Operators]
	witnesses atomic.Pointer[Witnesses]
	regMu     sync.Mutex // one change to a register at a time
	asks      openAsks
	endings   endings

	keyUse  keyUse
	claims  claims
	answers epochs // by the hour
	waiting epochs // of certificates, by the day
	marks   markTable

	sweepMu sync.Mutex // one sweep at a time
	tasked  int64      // whose task came up to this time have been looked at; owned by the sweep

	members memberTable
	queue   queue

	commit committer  // owned by the commit loop
	gate   sync.Mutex // held by the loop while it works, and by a check that needs it at rest

	size       atomic.Uint64 // entries that are durable
	final      atomic.Uint64 // the generation whose root key is the only one
	recordedAt atomic.Int64  // of the newest of them, Unix ms
	nextSlot   atomic.Uint64
	durable    atomic.Pointer[durableHead]

	publishMu sync.Mutex
	published atomic.Pointer[publishedHead]
	cosigning cosigning
	proving   proving

	watcher atomic.Pointer[func(Commit)]
	sweptAt atomic.Int64 // Unix ms

	poison   atomic.Pointer[error]
	closing  chan struct{}
	loops    sync.WaitGroup
	closeMu  sync.Mutex
	isClosed bool
}

// The ledger's own keys in the keyring.
const (
	systemPath        = "path"
	systemRef         = "ref"
	systemAPI         = "api"
	systemSeed        = "signing-seed"
	topicRegisters    = "t/registers"
	topicDestructions = "t/destructions"
	topicNotices      = "t/notices"    // of nobody in particular
	topicEvents       = "t/events"     // that ended for everybody
	topicStatistics   = "t/statistics" // disclosures of data that identifies nobody
)

// ownTopics are the ledger's own sequences of entries.
var ownTopics = []string{topicRegisters, topicDestructions, topicNotices, topicEvents, topicStatistics}

// Open opens an existing ledger, finishes what a crash left half done, and starts serving.
//
// It refuses a database that is older than what was published, a root file that does not fit, and
// anything that contradicts itself; nothing is changed by a refusal.
func Open(o Options) (_ *Ledger, err error) {
	o = o.withDefaults()
	l := &Ledger{o: o, closing: make(chan struct{})}
	defer func() {
		if err != nil {
			l.closeFiles()
		}
	}()
	if l.id, err = Identify(o.Store); err != nil {
		return nil, err
	}
	l.box = seal.NewBox(l.id.Origin)
	if l.verifier, err = note.NewVerifier(l.id.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: the public key in the database cannot be read: %w", ErrCorrupt, err)
	}
	head, rawHead, err := l.readHead()
	if err != nil {
		return nil, err
	}
	tree, err := l.restoreTree(head.size)
	if err != nil {
		return nil, err
	}
	if tree.Root() != head.root {
		return nil, fmt.Errorf("%w: the entries and tiles do not add up to the head row: run verify", ErrCorrupt)
	}
	// The database must be the newest before any slot of the root file is touched.
	if err := l.checkPublished(tree); err != nil {
		return nil, err
	}
	root, err := l.recoverRoot(head.generation)
	if err != nil {
		return nil, err
	}
	if err := checkHead(rawHead, root); err != nil {
		return nil, err
	}
	if err := l.openKeyring(root, head); err != nil {
		return nil, err
	}
	l.size.Store(head.size)
	l.recordedAt.Store(head.recordedAt)
	l.nextSlot.Store(l.keys.NextSlot())
	l.durable.Store(&durableHead{size: head.size, root: head.root, edges: tree.Edges()})
	if l.tags, err = tagindex.Open(filepath.Join(o.Dir, "tags"), head.size, o.Log, l.eachTag); err != nil {
		return nil, err
	}
	if err := l.commit.init(l, head, root, tree); err != nil {
		return nil, err
	}
	if err := l.marks.open(l.now()); err != nil {
		return nil, err
	}
	l.members.init(o.CacheBytes)
	l.queue.init(o.QueueCalls)
	if err := l.loadRegisters(); err != nil {
		return nil, err
	}
	if err := l.loadTopics(); err != nil {
		return nil, err
	}
	// Before anything is signed or written: a witness may know that this is an old database.
	if o.Ask != nil {
		if err := o.Ask(l); err != nil {
			return nil, err
		}
	}
	l.start()
	return l, nil
}

func (l *Ledger) readHead() (head headRow, raw []byte, err error) {
	err = l.o.Store.View(func(r store.Reader) error {
		b, err := r.Get(mapMeta, keyHead)
		if err != nil {
			return err
		}
		raw = append(raw, b...)
		if head, err = decodeHead(raw); err != nil {
			return err
		}
		k, _, err := r.Last(mapEntries)
		if err != nil {
			return err
		}
		var have uint64
		if k != nil {
			have = indexOf(k) + 1
		}
		if have != head.size {
			return fmt.Errorf("%w: the head row covers %d entries and the database has %d", ErrCorrupt, head.size, have)
		}
		return nil
	})
	if err != nil {
		return headRow{}, nil, fmt.Errorf("read the head row: %w", err)
	}
	return head, raw, nil
}

// ErrRollback says that the database is not the newest one.
var ErrRollback = errors.New("the database is not the newest one of this ledger")

// checkPublished compares the database with the last checkpoint that was shown to anybody.
func (l *Ledger) checkPublished(tree *chain.Tree) error {
	h, raw, err := openHeadFile(l.o.Dir)
	if err != nil {
		return err
	}
	l.headFile = h
	if raw == nil {
		return nil
	}
	cp, err := chain.OpenCheckpoint(raw, note.VerifierList(l.verifier), l.id.Origin)
	if err != nil {
		return fmt.Errorf("%w: the checkpoint in the head file is not one of this ledger: %w", ErrCorrupt, err)
	}
	if cp.Size > tree.Size() {
		return fmt.Errorf("%w: it has %d entries, and a checkpoint of %d was published: put the newer database back", ErrRollback, tree.Size(), cp.Size)
	}
	if cp.Size < tree.Size() {
		if tree, err = l.restoreTree(cp.Size); err != nil {
			return err
		}
	}
	if tree.Root() != cp.Root {
		return fmt.Errorf("%w: its first %d entries differ from those that were published: put the right database back, and run verify", ErrRollback, cp.Size)
	}
	l.show(l.newPublishedHead(cp.Size, raw, time.Time{}, tree.Edges()))
	return nil
}

// recoverRoot finds the root key of the database's generation and finishes a rotation that a
// crash cut short (steps 3 and 4 of the protocol, see commit.go).
func (l *Ledger) recoverRoot(generation uint64) (seal.Key, error) {
	var root seal.Key
	slots := l.o.Root.Slots()
	var have []uint64
	for _, s := range slots {
		have = append(have, s.Generation)
		if s.Generation == generation {
			root = s.Key
		}
	}
	if root.IsZero() {
		return seal.Key{}, fmt.Errorf("%w: the database is of key generation %d and the root file holds %v; nothing in it can be read. If an older copy of either was put back, put back the newest of both",
			ErrCorrupt, generation, have)
	}
	if len(slots) > 1 {
		// An older key beside it: the rotation was committed, but not yet final. A newer one: it
		// was staged and never committed.
		if err := l.o.Store.Settle(); err != nil {
			return seal.Key{}, fmt.Errorf("finish a rotation of the root key: %w", err)
		}
	}
	// Torn slots are cleared too: they may hold most of a key.
	if err := l.o.Root.Keep(generation); err != nil {
		return seal.Key{}, fmt.Errorf("finish a rotation of the root key: %w", err)
	}
	return root, nil
}

func (l *Ledger) openKeyring(root seal.Key, head headRow) error {
	var err error
	o := keyring.Options{Rand: l.o.Rand, CacheBytes: keyringCacheBytes, Top: head.top}
	if l.keys, err = keyring.Open(l.id.ID, pageReader{l.o.Store}, root, o); err != nil {
		return fmt.Errorf("open the keyring: %w", err)
	}
	if l.pathKey, err = l.keys.System(systemPath); err != nil {
		return err
	}
	if l.apiKey, err = l.keys.System(systemAPI); err != nil {
		return err
	}
	refKey, err := l.keys.System(systemRef)
	if err != nil {
		return err
	}
	if l.refs, err = newRefCipher(refKey); err != nil {
		return err
	}
	if l.requests, err = newRefCipher(refKey.Derive("consentledger/request/v1")); err != nil {
		return err
	}
	l.endingKey = refKey.Derive("consentledger/ending/v1")
	l.answers.name, l.marks.name, l.waiting.name = systemAnswers, systemMarks, systemWaiting
	l.marks.dir, l.marks.log, l.marks.store = filepath.Join(l.o.Dir, "marks"), l.o.Log, l.o.Store
	if err := errors.Join(l.answers.load(l.keys), l.marks.load(l.keys), l.waiting.load(l.keys)); err != nil {
		return err
	}
	seed, err := l.keys.System(systemSeed)
	if err != nil {
		return err
	}
	var raw [32]byte
	seed.AppendTo(raw[:0])
	signer, vkey, err := chain.NewSigner(l.id.Origin, raw)
	clear(raw[:])
	if err != nil {
		return err
	}
	if vkey != l.id.PublicKey {
		return fmt.Errorf("%w: the public key in the database is not that of the signing key", ErrCorrupt)
	}
	l.signer = signer
	return nil
}

// pageReader reads the keyring's pages, each in a snapshot of its own.
type pageReader struct{ s store.Store }

func (p pageReader) Page(position []byte) (page []byte, err error) {
	err = p.s.View(func(r store.Reader) error {
		b, err := r.Get(mapKeyring, position)
		if b != nil {
			page = append([]byte(nil), b...)
		}
		return err
	})
	return page, err
}

func (l *Ledger) start() {
	l.loops.Add(2)
	go func() { defer l.loops.Done(); l.commitLoop() }()
	go func() { defer l.loops.Done(); l.publishLoop() }()
	if l.o.SweepEvery > 0 {
		l.loops.Add(1)
		go func() { defer l.loops.Done(); l.sweepLoop() }()
	}
	for _, h := range l.endings.unfinished() {
		l.startEnding(h)
	}
}

// Close lets what is queued become durable, publishes the last head, and closes everything. Calls
// after it fail with ErrClosed.
func (l *Ledger) Close() error {
	l.closeMu.Lock()
	defer l.closeMu.Unlock()
	if l.isClosed {
		return nil
	}
	l.isClosed = true
	if err := l.recordKeyUse(context.Background(), true); err != nil && !errors.Is(err, ErrReadOnly) {
		l.o.Log.Warn("on which day API keys were last used could not be recorded", "err", err)
	}
	l.queue.close()
	close(l.closing)
	l.loops.Wait()
	err := l.publish(0)
	if errors.Is(err, ErrReadOnly) {
		err = nil // said before, and readyz fails
	}
	return errors.Join(err, l.closeFiles())
}

func (l *Ledger) closeFiles() error {
	var err error
	if l.tags != nil {
		err = errors.Join(err, l.tags.Close())
	}
	err = errors.Join(err, l.marks.close())
	if l.headFile != nil {
		err = errors.Join(err, l.headFile.close())
	}
	return errors.Join(err, l.o.Root.Close(), l.o.Store.Close())
}

// stop makes the ledger read-only for good, because the state of the disk is in doubt.
func (l *Ledger) stop(why error) {
	if l.poison.CompareAndSwap(nil, &why) {
		l.o.Log.Error("writing has stopped: the state of the disk is in doubt; restart once it is mended", "why", why)
	}
}

// Health is nil while the ledger takes writes, and says why once it does not.
func (l *Ledger) Health() error {
	if p := l.poison.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrReadOnly, *p)
	}
	return nil
}

// Origin is the ledger's public name.
func (l *Ledger) Origin() string { return l.id.Origin }

// PublicKey is the verifier key of the ledger's checkpoints, as a signed note has it.
func (l *Ledger) PublicKey() string { return l.id.PublicKey }

// Size is the number of durable entries.
func (l *Ledger) Size() uint64 { return l.size.Load() }

// Grade says how surely the keeper of the root key forgets old ones.
func (l *Ledger) Grade() string { return l.o.Root.Grade() }

// now is the ledger's time: the clock, but never before what is already recorded.
func (l *Ledger) now() time.Time {
	t := l.o.Clock()
	if last := l.recordedAt.Load(); t.UnixMilli() < last {
		return time.UnixMilli(last)
	}
	return t
}
