package keyring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Readers must see, for each slot, a version no older than the last one committed before they
// began and no newer than the last one begun when they ended; and never an error.
func TestReadersBesideCommitsSeeOneVersionEach(t *testing.T) {
	for _, cacheBytes := range []int64{0, 8 << 10, 1 << 20} {
		t.Run(fmt.Sprint(cacheBytes), func(t *testing.T) {
			const slots, commits, readers = 200, 150, 4
			m := newMemPages()
			src := seeded(7)
			root := drawKey(src)
			k := New(testLedger, m, Options{Rand: src, CacheBytes: cacheBytes})
			var begun, done [slots]atomic.Uint64
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for i := 0; !stop.Load(); i++ {
						slot := uint64(i*7) % slots
						if i%50 == 0 {
							recs, err := k.scan(mapSlot, slotKey(slot), 20, i%100 == 0)
							if err != nil {
								t.Errorf("scan: %v", err)
								return
							}
							for _, r := range recs {
								if n := binary.BigEndian.Uint64(r.key[1:]); n < slot || n >= slots {
									t.Errorf("scan from %d returned %d", slot, n)
								}
							}
							if _, err := k.Due(1<<40, 10); err != nil {
								t.Errorf("due: %v", err)
								return
							}
							if _, err := k.Tasks(0, 1<<40, slot, 10); err != nil {
								t.Errorf("tasks: %v", err)
								return
							}
						}
						from := done[slot].Load()
						val, err := k.get(slotKey(slot))
						to := begun[slot].Load()
						if err != nil {
							t.Errorf("slot %d: %v", slot, err)
							return
						}
						var version uint64
						if val != nil {
							version = binary.BigEndian.Uint64(val)
						} else if from%5 != 4 && from == to && from != 0 {
							t.Errorf("slot %d has version %d and is empty", slot, from)
						}
						if val != nil && (version < from || version > to) {
							t.Errorf("slot %d: version %d, which is not between %d and %d", slot, version, from, to)
							return
						}
					}
				})
			}
			next := uint64(0)
			for c := range commits {
				b := k.Begin()
				touched := make(map[uint64]uint64)
				for i := range 1 + c%9 {
					slot := uint64(c*13+i*29) % slots
					if _, again := touched[slot]; again {
						continue
					}
					version := begun[slot].Add(1)
					touched[slot] = version
					key := slotKey(slot)
					if version%5 == 4 { // every fifth version is an empty slot
						must(t, b.delete(key))
						continue
					}
					next++
					val := binary.BigEndian.AppendUint64(make([]byte, 0, 200), version)
					must(t, b.set(key, val[:cap(val)], times{due: int64(next), task: int64(next)}))
				}
				if c%3 == 0 {
					root = drawKey(src)
				}
				pages, err := b.Seal(root)
				must(t, err)
				must(t, b.Commit(func() error {
					err := m.write(pages)
					runtime.Gosched() // readers that come now find pages newer than their tree
					return err
				}))
				for slot, version := range touched {
					done[slot].Store(version)
				}
			}
			stop.Store(true)
			wg.Wait()
			must(t, checkCache(k))
			must(t, m.visit(testLedger, root, func([]byte, *node) {}))
		})
	}
}

// twoVersions is a keyring whose first slot is about to change, and the batch that changes it.
func twoVersions(t *testing.T) (*Keyring, *memPages, *Batch, []Page) {
	m := newMemPages()
	src := seeded(8)
	root := drawKey(src)
	k := New(testLedger, m, Options{Rand: src, CacheBytes: 1 << 20})
	fill := func(with byte) *Batch {
		b := k.Begin()
		for slot := range uint64(50) {
			must(t, b.set(slotKey(slot), bytes.Repeat([]byte{with}, 200), times{}))
		}
		return b
	}
	commit(t, fill(1), m, root)
	k, err := Open(testLedger, m, root, Options{Rand: src, CacheBytes: 1 << 20}) // nothing in memory
	must(t, err)
	b := fill(2)
	pages, err := b.Seal(drawKey(src))
	must(t, err)
	return k, m, b, pages
}

func TestAReadThatMeetsACommitIsMadeAgain(t *testing.T) {
	k, m, b, pages := twoVersions(t)
	k.cache.replace(nil, nil)
	for k.cache.oldest != nil { // so that the read has to go to the store
		r := k.cache.oldest
		k.cache.unlist(r)
		r.node.Store(nil)
	}
	before := k.current.Load()
	type answer struct {
		val []byte
		err error
	}
	answers := make(chan answer, 1)
	must(t, b.Commit(func() error {
		must(t, m.write(pages))
		read := make(chan struct{})
		var once sync.Once
		m.mu.Lock()
		m.onRead = func([]byte) { once.Do(func() { close(read) }) }
		m.mu.Unlock()
		go func() {
			val, err := k.get(slotKey(0))
			answers <- answer{val, err}
		}()
		<-read // the reader has the new page, and the key of the old one
		return nil
	}))
	if a := <-answers; a.err != nil || len(a.val) == 0 || a.val[0] != 2 {
		t.Errorf("%.8x, %v", a.val, a.err)
	}
	// Control: what the reader was spared.
	if _, err := k.find(before, slotKey(0), false); !errors.Is(err, ErrDamaged) {
		t.Errorf("the old tree over the new pages: %v", err)
	}
}

func TestAReadThatEndsAfterACommitLeavesNothingOldInMemory(t *testing.T) {
	k, m, b, pages := twoVersions(t)
	for k.cache.oldest != nil {
		r := k.cache.oldest
		k.cache.unlist(r)
		r.node.Store(nil)
	}
	before := k.current.Load()
	read, committed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.onRead = func([]byte) {
		once.Do(func() {
			close(read) // an old page is in the reader's hands …
			<-committed // … and the reader goes on only now
		})
	}
	type answer struct {
		val []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		val, err := k.get(slotKey(0))
		answers <- answer{val, err}
	}()
	<-read
	must(t, b.Commit(func() error { return m.write(pages) }))
	close(committed)
	if a := <-answers; a.err != nil || len(a.val) == 0 {
		t.Fatalf("%.8x, %v", a.val, a.err)
	}
	var walk func(n *node) int
	walk = func(n *node) (inMemory int) {
		for i := range n.kids {
			if r := n.kids[i].ref; r != nil {
				if c := r.node.Load(); c != nil {
					inMemory += 1 + walk(c)
				}
			}
		}
		return inMemory
	}
	if n := walk(before.top); n > 0 {
		t.Errorf("%d pages of a version that is out of use are in memory", n)
	}
	must(t, checkCache(k))
	if walk(k.current.Load().top) == 0 {
		t.Error("no page of the current version is in memory: the test shows nothing")
	}
}
