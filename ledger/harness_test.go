package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
)

// testPolicy has a class of every kind.
const testPolicy = `policy: shop
version: "2025-01-01"
announced: "2024-12-01"
reason: first version
controller: {name: Shop, contact: privacy@shop.example, time_zone: Asia/Seoul, officer: {name: Officer, contact: officer@shop.example}}
jurisdictions: [KR, EU]
notice_days: 30
minimum_age: 14
minors: refuse
text: {en: "what members see"}
prohibited: [religion]
member_kinds: [member, buyer]
items:
  email: {label: {en: E-mail address}}
  name: {label: {en: Name}}
  address: {label: {en: Address}}
  telephone: {label: {en: Telephone}}
retention:
  membership: {until: withdrawal}
  newsletter: {until: purpose_withdrawal}
  shipping: {until: delivery}
  purchase: {keep: 5y, from: entry, basis: E-Commerce Act}
  buyers: {keep: 5y, from: withdrawal, basis: Framework Act on National Taxes}
purposes:
  membership:
    title: {en: Registration}
    kind: collection
    basis: consent
    items: {mandatory: [email, name], optional: [telephone]}
    retention: {member: membership, buyer: buyers}
    refusal: {en: Registration is not possible.}
  newsletter:
    title: {en: Newsletter}
    kind: marketing
    basis: consent
    items: {mandatory: [email]}
    retention: newsletter
    refusal: {en: You may refuse and lose nothing.}
  order:
    title: {en: Orders}
    kind: collection
    basis: contract
    items: {mandatory: [name, address]}
    retention: purchase
    refusal: {en: Buying is not possible.}
  delivery:
    title: {en: Delivery}
    kind: collection
    basis: contract
    items: {mandatory: [name, address]}
    retention: shipping
    refusal: {en: Delivery is not possible.}
recipients:
  parcel-co: {name: Parcel Co, business: delivery, kind: processor, country: KR, purposes: [order, delivery], items: [name, address], from: "2025-01-01"}
`

// world is what a ledger in a test stands on: real files, and a clock that the test turns.
type world struct {
	dir, root string
	clock     *testClock
	now       func() time.Time // in place of clock
	log       *bytes.Buffer
	rand      *countingReader
	wrap      func(store.Store) store.Store
	wrapRoot  func(RootKeeper) RootKeeper
	cache     int64
	queue     int
	ask       func(*Ledger) error
}

type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newWorld(t testing.TB) *world {
	base := t.TempDir()
	w := &world{
		dir: filepath.Join(base, "data"), root: filepath.Join(base, "root", "root.key"),
		clock: &testClock{t: time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)},
		log:   &bytes.Buffer{},
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) options(s store.Store) Options {
	if w.wrap != nil {
		s = w.wrap(s)
	}
	o := Options{Dir: w.dir, Store: s, Clock: w.clock.Now, SweepEvery: -1, CacheBytes: w.cache, QueueCalls: w.queue, Ask: w.ask, Log: slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil))}
	if w.now != nil {
		o.Clock = w.now
	}
	if w.rand != nil {
		o.Rand = w.rand
	}
	return o
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (w *world) openStore() (store.Store, error) {
	fill := make(map[store.Map]bolt.MapOptions)
	for _, m := range Increasing() {
		fill[m] = bolt.MapOptions{FillPercent: 0.9}
	}
	return bolt.Open(filepath.Join(w.dir, "ledger.db"), bolt.Options{Maps: boltMaps(fill)})
}

func boltMaps(fill map[store.Map]bolt.MapOptions) map[store.Map]bolt.MapOptions {
	for _, m := range Maps() {
		if _, ok := fill[m]; !ok {
			fill[m] = bolt.MapOptions{}
		}
	}
	return fill
}

func (w *world) create(t testing.TB) *Ledger {
	t.Helper()
	l, err := w.tryCreate()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.AddPolicy(t.Context(), admin, []byte(testPolicy)); err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) tryCreate() (*Ledger, error) {
	if err := bolt.Create(filepath.Join(w.dir, "ledger.db"), Maps()); err != nil {
		return nil, err
	}
	s, err := w.openStore()
	if err != nil {
		return nil, err
	}
	return Create(w.options(s), Genesis{Origin: "ledger.example/shop", RootKey: func(id rootkey.LedgerID, g uint64, k seal.Key) (RootKeeper, error) {
		f, err := rootkey.Create(w.root, id, g, k, rootkey.Options{AcceptWeak: true})
		if err != nil {
			return nil, err
		}
		return w.keeper(f), nil
	}})
}

func (w *world) keeper(f *rootkey.File) RootKeeper {
	if w.wrapRoot != nil {
		return w.wrapRoot(f)
	}
	return f
}

func (w *world) open() (*Ledger, error) {
	s, err := w.openStore()
	if err != nil {
		return nil, err
	}
	id, err := Identify(s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	f, err := rootkey.Open(w.root, id.ID, rootkey.Options{AcceptWeak: true})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	o := w.options(s)
	o.Root = w.keeper(f)
	return Open(o)
}

func (w *world) reopen(t testing.TB, l *Ledger) *Ledger {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var (
	admin  = Caller{KeyID: "key_admin", Role: RoleAdmin, From: "test"}
	writer = Caller{KeyID: "key_writer", Role: RoleWriter, From: "test"}
	dpo    = Caller{KeyID: "key_dpo", Role: RoleDPO, From: "test"}
)

func memberID(t testing.TB, s string) consent.MemberID {
	t.Helper()
	id, err := consent.ParseMemberID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func enrolment(t testing.TB, id string, w *world) *consent.Consent {
	return &consent.Consent{
		Member: memberID(t, id), Enrol: true, MemberKind: "member", Policy: "shop", PolicyVersion: "2025-01-01",
		Decisions: []consent.Decision{
			{Purpose: "membership", Granted: true, Items: []string{"email", "name"}},
			{Purpose: "newsletter", Granted: true, Items: []string{"email"}},
		},
		Method: "button", Locale: "en", OccurredAt: w.clock.Now(), MinimumAgeConfirmed: true,
	}
}

func order(t testing.TB, id, reference string, w *world) *consent.Consent {
	return &consent.Consent{
		Member: memberID(t, id), MemberKind: "member", Policy: "shop", PolicyVersion: "2025-01-01",
		Decisions: []consent.Decision{{Purpose: "order", Granted: true, Items: []string{"name", "address"}}, {Purpose: "delivery", Granted: true, Items: []string{"name", "address"}}},
		Method:    "button", Locale: "en", OccurredAt: w.clock.Now(), Reference: reference,
	}
}

func leave(t testing.TB, id string) *consent.Withdrawal {
	return &consent.Withdrawal{Member: memberID(t, id), Membership: true}
}

func mustDo(t testing.TB, l *Ledger, c Call) *Answer {
	t.Helper()
	a, err := l.Do(t.Context(), writer, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// verifyAll is how every test of a ledger ends: the chain, the keyring, the store.
func verifyAll(t testing.TB, l *Ledger) {
	t.Helper()
	deep, err := l.VerifyDeep(t.Context(), admin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !deep.Intact {
		t.Errorf("verify --deep: %+v", deep)
	}
	if err := l.publish(0); err != nil {
		t.Fatal(err)
	}
	report, err := chain.Verify(context.Background(), liveSource{l}, chain.VerifyOptions{Verifier: l.verifier, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Intact {
		t.Errorf("verify: %+v", report.Findings)
	}
	if err := l.o.Store.Check(); err != nil {
		t.Errorf("the database: %v", err)
	}
}

// liveSource reads the log from a running ledger.
type liveSource struct{ l *Ledger }

func (s liveSource) Size() (uint64, error) { return s.l.Size(), nil }
func (s liveSource) Entries(from uint64, f func(uint64, []byte) error) error {
	return s.l.eachEntry(from, s.l.Size(), f)
}
func (s liveSource) Tile(level int, n uint64) ([]byte, error) { return s.l.LogTile(level, n) }
func (s liveSource) Checkpoint() ([]byte, error)              { return s.l.Checkpoint(), nil }

// countingReader is randomness that a test can spoil.
type countingReader struct {
	mu   sync.Mutex
	read func([]byte) (int, error)
}

func (c *countingReader) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(p)
}

func memberName(i int) string { return fmt.Sprintf("member-%d@shop.example", i) }

// isRefusal says whether the rules, and not the ledger, said no.
func isRefusal(err error) bool {
	var r *consent.Refusal
	return errors.As(err, &r)
}
