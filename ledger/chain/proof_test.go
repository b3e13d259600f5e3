package chain

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// proved is the proof of one entry in a log of some size, signed.
func proved(t testing.TB, g *grown, index uint64) (Proof, Hash) {
	t.Helper()
	s, _ := testSigner(t)
	msg, err := Checkpoint{testOrigin, g.tree.Size(), g.tree.Root()}.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := tlog.ProveRecord(int64(g.tree.Size()), int64(index), g.tlog)
	if err != nil {
		t.Fatal(err)
	}
	p := Proof{Index: index, Checkpoint: msg}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, Hash(h))
	}
	return p, g.leaves[index]
}

func TestAProofIsReadAsOthersReadItAndAtEverySize(t *testing.T) {
	_, v := testSigner(t)
	g := newGrown()
	for size := uint64(1); size <= 1025; size++ {
		g.grow(t)
		for _, index := range []uint64{0, size / 2, size - 1} {
			p, leaf := proved(t, g, index)
			b := p.Marshal()
			got, err := ParseProof(b)
			if err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
			if diff := cmp.Diff(p, got); diff != "" {
				t.Fatal(diff)
			}
			c, err := got.Open(leaf, note.VerifierList(v), testOrigin)
			if err != nil || c.Size != size {
				t.Fatalf("entry %d of %d: %+v, %v", index, size, c, err)
			}
			var theirs proof.TLogProof
			if err := theirs.Unmarshal(b); err != nil {
				t.Fatal(err)
			}
			if theirs.Index != index || !slices.Equal(theirs.Hashes, p.Hashes) || !bytes.Equal(theirs.Checkpoint, p.Checkpoint) || !bytes.Equal(theirs.Marshal(), b) {
				t.Fatalf("entry %d of %d: others read %+v", index, size, theirs)
			}
			rows := make([][]byte, len(theirs.Hashes))
			for i := range theirs.Hashes {
				rows[i] = theirs.Hashes[i][:]
			}
			if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], rows, c.Root[:]); err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
		}
	}
}

func TestEveryChangeOfAProofIsFound(t *testing.T) {
	_, v := testSigner(t)
	g := newGrown()
	for range 300 {
		g.grow(t)
	}
	p, leaf := proved(t, g, 257)
	b := p.Marshal()
	open := func(b []byte) error {
		q, err := ParseProof(b)
		if err != nil {
			return err
		}
		if q.Index != 257 {
			return ErrProof // it is another entry's, as whoever holds the entry sees
		}
		_, err = q.Open(leaf, note.VerifierList(v), testOrigin)
		return err
	}
	if err := open(b); err != nil {
		t.Fatalf("control: %v", err)
	}
	for at := range b {
		for _, flip := range []byte{1, 0x20, 0x80, 0xff} {
			changed := bytes.Clone(b)
			changed[at] ^= flip
			if open(changed) == nil {
				t.Fatalf("byte %d ^ %#x goes unseen", at, flip)
			}
		}
		if open(slices.Delete(bytes.Clone(b), at, at+1)) == nil || open(slices.Insert(bytes.Clone(b), at, b[at])) == nil {
			t.Fatalf("byte %d dropped or doubled goes unseen", at)
		}
	}
	for n := range b {
		if open(b[:n]) == nil {
			t.Fatalf("cut after %d bytes goes unseen", n)
		}
	}
	other := g.leaves[256]
	if _, err := p.Open(other, note.VerifierList(v), testOrigin); !errors.Is(err, ErrProof) {
		t.Errorf("another entry: %v", err)
	}
	beyond := p
	beyond.Index = 300
	if _, err := beyond.Open(leaf, note.VerifierList(v), testOrigin); !errors.Is(err, ErrProof) {
		t.Errorf("an index beyond the checkpoint: %v", err)
	}
	if _, err := p.Open(leaf, note.VerifierList(v), "another.example"); !errors.Is(err, ErrOtherOrigin) {
		t.Errorf("another origin: %v", err)
	}
	_, stranger := signerOf(t, testOrigin, 3)
	if _, err := p.Open(leaf, note.VerifierList(stranger), testOrigin); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}

// FuzzProof: what parses is written the same way again, others read it as we
// do, and what opens is a path that an independent implementation verifies.
func FuzzProof(f *testing.F) {
	_, v := testSigner(f)
	g := newGrown()
	for range 300 {
		g.grow(f)
		if size := g.tree.Size(); size&(size-1) == 0 || size == 300 {
			p, _ := proved(f, g, size/2)
			f.Add(p.Marshal())
		}
	}
	f.Add([]byte(proofHeader + "index 00\n\n" + interopCheckpoint))
	f.Add([]byte(proofHeader + "extra AA==\nindex 0\n\n" + interopCheckpoint))
	f.Add([]byte(proofHeader + "index 7\n\n" + interopCheckpoint + interopCosignature))
	f.Add([]byte(strings.Repeat("\n", 10)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			if !errors.Is(err, ErrProof) {
				t.Fatalf("%v", err)
			}
			return
		}
		if !bytes.Equal(p.Marshal(), b) {
			t.Fatalf("%q is written as %q", b, p.Marshal())
		}
		var theirs proof.TLogProof
		if err := theirs.Unmarshal(b); err != nil || theirs.Index != p.Index || !slices.Equal(theirs.Hashes, p.Hashes) || !bytes.Equal(theirs.Checkpoint, p.Checkpoint) {
			t.Fatalf("others read %q as %+v, %v", b, theirs, err)
		}
		if p.Index >= uint64(len(g.leaves)) {
			return
		}
		leaf := g.leaves[p.Index]
		c, err := p.Open(leaf, note.VerifierList(v), testOrigin)
		if err != nil {
			return
		}
		rows := make([][]byte, len(p.Hashes))
		for i := range p.Hashes {
			rows[i] = p.Hashes[i][:]
		}
		if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf[:], rows, c.Root[:]); err != nil {
			t.Fatalf("%q opens: %v", b, err)
		}
	})
}
