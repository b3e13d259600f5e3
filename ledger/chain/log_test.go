package chain

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

const testOrigin = "ledger.example/consent"

// memLog is a log in memory, and a Source. Its fields are what a test tampers
// with.
type memLog struct {
	entries    [][]byte
	tiles      map[tileKey][]byte
	checkpoint []byte
}

// testSeed fills 32 bytes with b.
func testSeed(b byte) (seed [32]byte) {
	for i := range seed {
		seed[i] = b
	}
	return seed
}

func testSigner(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	return signerOf(t, testOrigin, 1)
}

func signerOf(t testing.TB, origin string, seed byte) (note.Signer, note.Verifier) {
	t.Helper()
	s, vkey, err := NewSigner(origin, testSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// appendSealed appends what looks like a sealed body of the given padded size.
func appendSealed(dst []byte, rnd *rand.ChaCha8, padded int) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, sealedOverhead+padded)...)
	_, _ = rnd.Read(dst[at:])
	return dst
}

// newLog makes a log of n entries with the given padded sizes in turn.
func newLog(t testing.TB, n int, padded ...int) *memLog {
	t.Helper()
	if len(padded) == 0 {
		padded = []int{256}
	}
	rnd := rand.NewChaCha8(testSeed(byte(n)))
	l := &memLog{tiles: make(map[tileKey][]byte)}
	var prev Hash
	for i := range n {
		e := appendSealed(AppendHeader(nil), rnd, padded[i%len(padded)])
		// Groups of three share their time, as the entries of a commit do.
		Complete(e, 1_700_000_000_000+int64(i/3), prev)
		prev = LeafHash(e)
		l.entries = append(l.entries, e)
	}
	l.retile()
	l.sign(t)
	return l
}

// retile makes the tiles anew from the entries.
func (l *memLog) retile() {
	tree := NewTree()
	clear(l.tiles)
	for _, e := range l.entries {
		tree.Append(LeafHash(e))
		tree.TakeFullTiles(func(level int, n uint64, data []byte) { l.tiles[tileKey{level, n}] = data })
	}
}

// relink makes the links anew from entry i on.
func (l *memLog) relink(i int) {
	for ; i < len(l.entries); i++ {
		l.entries[i] = slices.Clone(l.entries[i])
		var prev Hash
		if i > 0 {
			prev = LeafHash(l.entries[i-1])
		}
		Complete(l.entries[i], int64(binary.BigEndian.Uint64(l.entries[i][1:])), prev)
	}
}

// head is the head of the first n entries, by golang.org/x/mod.
func (l *memLog) head(t testing.TB, n int) Checkpoint {
	t.Helper()
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = LeafHash(l.entries[i])
	}
	return Checkpoint{testOrigin, uint64(n), tlogRoot(t, leaves)}
}

// signed is the signed head of the first n entries.
func (l *memLog) signed(t testing.TB, n int) []byte {
	t.Helper()
	s, _ := testSigner(t)
	msg, err := l.head(t, n).Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func (l *memLog) sign(t testing.TB) { l.checkpoint = l.signed(t, len(l.entries)) }

// clone copies the log; the bytes themselves are shared until replaced.
func (l *memLog) clone() *memLog {
	c := &memLog{slices.Clone(l.entries), make(map[tileKey][]byte, len(l.tiles)), l.checkpoint}
	for k, v := range l.tiles {
		c.tiles[k] = v
	}
	return c
}

func (l *memLog) Size() (uint64, error) { return uint64(len(l.entries)), nil }

// Entries leaves out entries that are nil.
func (l *memLog) Entries(from uint64, f func(uint64, []byte) error) error {
	for i := from; i < uint64(len(l.entries)); i++ {
		if l.entries[i] == nil {
			continue
		}
		if err := f(i, l.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) Tile(level int, n uint64) ([]byte, error) { return l.tiles[tileKey{level, n}], nil }
func (l *memLog) Checkpoint() ([]byte, error)              { return l.checkpoint, nil }
