package keyring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"consentledger/crypto/seal"
)

var testLedger = [16]byte{'t', 'e', 's', 't', ' ', 'l', 'e', 'd', 'g', 'e', 'r'}

// image is one sealed page as it was put at one time.
type image struct {
	pos    string
	sealed []byte
}

// memPages is a store of pages in memory. With keep set it remembers all that was ever put.
type memPages struct {
	mu     sync.RWMutex
	pages  map[string][]byte
	keep   bool
	images []image
	onRead func(pos []byte) // called after a page was read, outside the lock
}

func newMemPages() *memPages { return &memPages{pages: make(map[string][]byte)} }

func (m *memPages) Page(pos []byte) ([]byte, error) {
	m.mu.RLock()
	p := bytes.Clone(m.pages[string(pos)])
	hook := m.onRead
	m.mu.RUnlock()
	if hook != nil {
		hook(pos)
	}
	return p, nil
}

func (m *memPages) write(pages []Page) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pages {
		if p.Sealed == nil {
			delete(m.pages, string(p.Position))
			continue
		}
		m.pages[string(p.Position)] = p.Sealed
		if m.keep {
			m.images = append(m.images, image{string(p.Position), bytes.Clone(p.Sealed)})
		}
	}
	return nil
}

func (m *memPages) clone() *memPages {
	c := newMemPages()
	for k, v := range m.pages {
		c.pages[k] = bytes.Clone(v)
	}
	return c
}

func seeded(seed uint64) *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
}

func drawKey(r *rand.ChaCha8) seal.Key {
	k, err := seal.NewKey(r)
	if err != nil {
		panic(err)
	}
	return k
}

// commit seals a batch under root and puts it into the store.
func commit(t testing.TB, b *Batch, m *memPages, root seal.Key) {
	t.Helper()
	pages, err := b.Seal(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(func() error { return m.write(pages) }); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visit walks the stored pages from the top, below the code under test, and reports what is not as
// it should be: the tree's shape, earliest times, and pages that nothing leads to.
func (m *memPages) visit(ledger [16]byte, root seal.Key, page func(path []byte, n *node)) error {
	top := m.pages[string(position(nil))]
	plain, err := openTop(root, appendAAD(nil, ledger, position(nil)), top)
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	n, err := parsePage(plain[8:], nil)
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	seen := map[string]bool{string(position(nil)): true}
	var walk func(n *node, path []byte) error
	walk = func(n *node, path []byte) error {
		page(path, n)
		if !n.branch {
			if len(n.recs) > 1 && n.size() > leafLimit {
				return fmt.Errorf("%s: a leaf of %d records has %d bytes", describe(path), len(n.recs), n.size())
			}
			return nil
		}
		for i := range n.kids {
			kd := n.kids[i]
			if kd.ref == nil {
				continue
			}
			child := append(append(bytes.Clone(path), n.prefix...), byte(i))
			pos := position(child)
			if seen[string(pos)] {
				return fmt.Errorf("%s is reached twice", describe(child))
			}
			seen[string(pos)] = true
			plain, err := openPage(kd.ref.key, appendAAD(nil, ledger, pos), m.pages[string(pos)])
			if err != nil {
				return fmt.Errorf("%s: %w", describe(child), err)
			}
			c, err := parsePage(bytes.Clone(plain), child)
			if err != nil {
				return fmt.Errorf("%s: %w", describe(child), err)
			}
			if again := c.appendTo(nil); !bytes.Equal(again, plain) || c.size() != len(plain) {
				return fmt.Errorf("%s does not encode to what it was read from", describe(child))
			}
			if c.earliest() != kd.times {
				return fmt.Errorf("%s has %+v and its parent says %+v", describe(child), c.earliest(), kd.times)
			}
			if err := walk(c, child); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(n, nil); err != nil {
		return err
	}
	for pos := range m.pages {
		if !seen[pos] {
			return fmt.Errorf("nothing leads to the page at position %x", pos)
		}
	}
	return nil
}

// checkCache says whether the cache lists exactly what it may: versions that the current tree
// reaches, each once, and as many bytes as it counts.
func checkCache(k *Keyring) error {
	live := make(map[*ref]bool)
	inMemory := 0
	var walk func(n *node)
	walk = func(n *node) {
		for i := range n.kids {
			if r := n.kids[i].ref; r != nil {
				live[r] = true
				if c := r.node.Load(); c != nil {
					inMemory++
					walk(c)
				}
			}
		}
	}
	walk(k.current.Load().top)
	k.cache.mu.Lock()
	defer k.cache.mu.Unlock()
	var used int64
	listed := 0
	for r := k.cache.oldest; r != nil; r = r.newer {
		if r.dead || !r.listed {
			return fmt.Errorf("the cache lists a version that was taken out of use")
		}
		if r.node.Load() == nil {
			return fmt.Errorf("the cache lists a page that is not in memory")
		}
		listed++
		used += r.size
		if r.newer == nil && r != k.cache.newest {
			return fmt.Errorf("the cache's list is broken")
		}
	}
	if used != k.cache.used {
		return fmt.Errorf("the cache counts %d bytes and holds %d", k.cache.used, used)
	}
	if used > k.cache.limit && listed > 1 {
		return fmt.Errorf("the cache holds %d bytes, more than its limit of %d", used, k.cache.limit)
	}
	if listed < inMemory {
		return fmt.Errorf("%d pages are in memory and %d are listed", inMemory, listed)
	}
	return nil
}
