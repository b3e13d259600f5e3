package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"consentledger/crypto/seal"
)

// numbered is a source whose every block can be computed again from its number, so that nobody
// has to remember a key in order to look for it.
type numbered struct{ n uint64 }

func block(n uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("memory test, page key"), n))
}

func (s *numbered) Read(p []byte) (int, error) {
	b := block(s.n)
	s.n++
	return copy(p, b[:]), nil
}

// memorySlot leaves gaps, so that a leaf holds several members, and has to forget one of them.
func memorySlot(n uint64) uint64 { return n/4*16 + n%4 }

// memoryReplaced says of a destroyed key whether another one took its place, and its member stayed.
func memoryReplaced(n uint64) bool { return n%2 == 1 }

func memberKeyBytes(n uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("memory test, member key"), n))
}

func memoryPath(n uint64) IDPath {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("memory test, id"), n))
	return IDPath(h[:16])
}

func memoryMember(t *testing.T, n uint64) *Member {
	raw := memberKeyBytes(n)
	key, err := seal.KeyFromBytes(raw[:])
	must(t, err)
	return &Member{Keys: []MemberKey{{Class: "haim/membership", Key: key}}}
}

// What is destroyed must leave the process as well, as far as a Go program can see to it: the
// keyring must hold on to nothing of it, in any version, list or buffer, once a garbage collection
// has run. The test looks for the bytes in a dump of the heap.
func TestNothingDestroyedStaysOnTheHeap(t *testing.T) {
	const members, destroyed = 300, 40
	source := &numbered{}
	m := newMemPages()
	made := make(chan *Keyring)
	go func() { // so that no stack remembers anything
		root, err := seal.NewKey(source)
		must(t, err)
		k := New(testLedger, m, Options{Rand: source, CacheBytes: 16 << 20})
		for n := uint64(1); n <= members; n++ {
			if n == members/2 { // from here on with pages that were read, not only written
				k, err = Open(testLedger, m, root, Options{Rand: source, CacheBytes: 16 << 20})
				must(t, err)
				_, err := k.scan(mapSlot, slotKey(0), members, false)
				must(t, err)
			}
			b := k.Begin()
			must(t, b.PutMember(memorySlot(n), memoryMember(t, n)))
			must(t, b.PutID(memoryPath(n), IDRecord{Slot: memorySlot(n)}))
			pages, err := b.Seal(root)
			must(t, err)
			must(t, b.Commit(func() error { return m.write(pages) }))
		}
		for n := uint64(7); n <= 7*destroyed; n += 7 {
			b := k.Begin()
			if memoryReplaced(n) {
				must(t, b.PutMember(memorySlot(n), memoryMember(t, members+n)))
			} else {
				must(t, b.DeleteMember(memorySlot(n)))
				must(t, b.DeleteID(memoryPath(n)))
			}
			root, err = seal.NewKey(source)
			must(t, err)
			pages, err := b.Seal(root)
			must(t, err)
			must(t, b.Commit(func() error { return m.write(pages) }))
		}
		made <- k
	}()
	k := <-made
	for range 3 { // a sync.Pool lets go of what it holds after two
		runtime.GC()
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "heap"))
	must(t, err)
	debug.WriteHeapDump(f.Fd())
	must(t, f.Close())
	dump, err := os.ReadFile(f.Name())
	must(t, err)

	found, lost := 0, 0
	look := func(secret []byte, dead bool) {
		switch there := bytes.Contains(dump, secret); {
		case dead && there:
			found++
		case !dead && !there:
			lost++
		}
	}
	for n := uint64(1); n <= members; n++ {
		dead := n%7 == 0 && n <= 7*destroyed
		raw, path := memberKeyBytes(n), memoryPath(n)
		look(raw[:], dead)
		look(path[:], dead && !memoryReplaced(n))
		if dead && memoryReplaced(n) {
			raw := memberKeyBytes(members + n)
			look(raw[:], false)
		}
	}
	if found > 0 {
		t.Errorf("%d secrets of %d destroyed keys are in memory", found, destroyed)
	}
	if lost > 0 {
		t.Errorf("%d living keys are not in memory, where the cache should have them: the test misses things", lost)
	}
	current := make(map[string]bool)
	var walk func(n *node)
	walk = func(n *node) {
		for i := range n.kids {
			if r := n.kids[i].ref; r != nil {
				current[string(r.key.AppendTo(nil))] = true
				if c := r.node.Load(); c != nil {
					walk(c)
				}
			}
		}
	}
	walk(k.current.Load().top)
	old, oldFound, currentFound := 0, 0, 0
	for n := range source.n {
		b := block(n)
		there := bytes.Contains(dump, b[:])
		switch {
		case current[string(b[:])]:
			if there {
				currentFound++
			}
		default: // page keys, roots and salts that are out of use; the last salt is in the store
			old++
			if there {
				oldFound++
			}
		}
	}
	if currentFound != len(current) || currentFound == 0 {
		t.Errorf("%d of %d page keys in use are in memory: the test misses things", currentFound, len(current))
	}
	if oldFound > 1 {
		t.Errorf("%d of %d page keys, roots and salts that are out of use are in memory", oldFound, old)
	}
	t.Logf("a dump of %d bytes: %d page keys in use, %d out of use", len(dump), currentFound, old)
	runtime.KeepAlive(k)
}
