package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"consentledger/crypto/seal"
)

// memoryRun is one run of the test below. All that it draws can be computed again from the run's
// number, so that nobody has to remember a secret in order to look for it; and nothing is the same
// in two runs.
type memoryRun struct {
	run, drawn uint64 // how many blocks were drawn as page keys, roots and salts
	lastRoot   uint64
}

func (r *memoryRun) block(label string, n uint64) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("memory test, "+label), r.run)
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, n))
}

// Read makes a run the source that its keyring draws from.
func (r *memoryRun) Read(p []byte) (int, error) {
	b := r.block("drawn", r.drawn)
	r.drawn++
	return copy(p, b[:]), nil
}

func (r *memoryRun) root(t *testing.T) seal.Key {
	r.lastRoot = r.drawn
	key, err := seal.NewKey(r)
	must(t, err)
	return key
}

func (r *memoryRun) memberKey(n uint64) [32]byte { return r.block("member key", n) }

// path begins alike in every run, so that the trees have one shape.
func (r *memoryRun) path(n uint64) IDPath {
	shape := (&memoryRun{}).block("id", n)
	own := r.block("id", n)
	return IDPath(append(shape[:4:4], own[:12]...))
}

func (r *memoryRun) member(t *testing.T, n uint64) *Member {
	raw := r.memberKey(n)
	key, err := seal.KeyFromBytes(raw[:])
	must(t, err)
	return &Member{Keys: []MemberKey{{Class: "haim/membership", Key: key}}}
}

// memorySlot leaves gaps, so that a leaf holds several members, and has to forget one of them.
func memorySlot(n uint64) uint64 { return n/4*16 + n%4 }

// memoryReplaced says of a destroyed key whether another one took its place, and its member stayed.
func memoryReplaced(n uint64) bool { return n%2 == 1 }

const memoryMembers, memoryDestroyed = 300, 40

// build enrols members one by one, and destroys every seventh.
func (r *memoryRun) build(t *testing.T) *Keyring {
	m := newMemPages()
	o := Options{Rand: r, CacheBytes: 16 << 20}
	root := r.root(t)
	k := New(testLedger, m, o)
	for n := uint64(1); n <= memoryMembers; n++ {
		if n == memoryMembers/2 { // from here on with pages that were read, not only written
			var err error
			k, err = Open(testLedger, m, root, o)
			must(t, err)
			_, err = k.scan(mapSlot, slotKey(0), memoryMembers, false)
			must(t, err)
		}
		b := k.Begin()
		must(t, b.PutMember(memorySlot(n), r.member(t, n)))
		must(t, b.PutID(r.path(n), IDRecord{Slot: memorySlot(n)}))
		commit(t, b, m, root)
	}
	for n := uint64(7); n <= 7*memoryDestroyed; n += 7 {
		b := k.Begin()
		if memoryReplaced(n) {
			must(t, b.PutMember(memorySlot(n), r.member(t, memoryMembers+n)))
		} else {
			must(t, b.DeleteMember(memorySlot(n)))
			must(t, b.DeleteID(r.path(n)))
		}
		commit(t, b, m, r.root(t))
	}
	return k
}

// look searches a dump of the heap for all that the run ever drew. It returns the names of what is
// dead and there, and of what is alive and not there.
func (r *memoryRun) look(t *testing.T) (dead, lost map[string]bool) {
	made := make(chan *Keyring)
	go func() { made <- r.build(t) }() // so that no stack remembers anything
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

	dead, lost = make(map[string]bool), make(map[string]bool)
	check := func(name string, n uint64, secret []byte, alive bool) {
		switch there := bytes.Contains(dump, secret); {
		case there && !alive:
			dead[fmt.Sprint(name, " ", n)] = true
		case !there && alive:
			lost[fmt.Sprint(name, " ", n)] = true
		}
	}
	for n := uint64(1); n <= memoryMembers; n++ {
		destroyed := n%7 == 0 && n <= 7*memoryDestroyed
		raw, path := r.memberKey(n), r.path(n)
		check("member key", n, raw[:], !destroyed)
		check("id", n, path[4:], !destroyed || memoryReplaced(n))
		if destroyed && memoryReplaced(n) {
			raw := r.memberKey(memoryMembers + n)
			check("new member key", n, raw[:], true)
		}
	}
	current := make(map[[32]byte]bool)
	var walk func(n *node)
	walk = func(n *node) {
		for i := range n.kids {
			if ref := n.kids[i].ref; ref != nil {
				current[[32]byte(ref.key.AppendTo(nil))] = true
				if c := ref.node.Load(); c != nil {
					walk(c)
				}
			}
		}
	}
	walk(k.current.Load().top)
	if len(current) < 20 {
		t.Fatalf("only %d page keys are in use", len(current))
	}
	for n := range r.drawn - 1 { // the last salt is in the store, where everybody may see it
		if b := r.block("drawn", n); n != r.lastRoot {
			check("drawn", n, b[:], current[b])
		}
	}
	t.Logf("run %d: a dump of %d bytes, %d page keys in use, %d blocks drawn, %d dead ones found", r.run, len(dump), len(current), r.drawn, len(dead))
	runtime.KeepAlive(k)
	return dead, lost
}

// What is destroyed must leave the process as well, as far as a Go program can see to it: the
// keyring must hold on to nothing of it, in any version, list or buffer, once a garbage collection
// has run. The test looks for the bytes in dumps of the heap.
//
// Freed memory that was used again for something a little smaller keeps its last bytes, so a few
// dead secrets turn up at random. What the keyring holds on to turns up every time.
func TestNothingDestroyedStaysOnTheHeap(t *testing.T) {
	var always map[string]bool
	for run := range uint64(4) {
		dead, lost := (&memoryRun{run: run + 1}).look(t)
		if len(lost) > 0 {
			t.Errorf("%d living secrets are not in memory, where the cache should have them: the test misses things", len(lost))
		}
		if run == 0 {
			always = dead
		}
		maps.DeleteFunc(always, func(name string, _ bool) bool { return !dead[name] })
	}
	if len(always) > 0 {
		names := slices.Sorted(maps.Keys(always))
		t.Errorf("%d dead secrets are in memory in every run, such as %q", len(names), names[:min(len(names), 5)])
	}
}
