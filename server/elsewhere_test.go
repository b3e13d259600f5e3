package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	formats "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	tessera "github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"

	"consentledger/server/api"
)

// Here are verifiers that are not ours, each as its users would use it on a log that somebody
// else serves. What they do not do by themselves (ask for a path, cut a bundle) is done here or
// by Tessera's client, and by nothing of package chain: a mistake there would not be seen.

// A servedLog is a running server as it is known to whoever verifies it.
type servedLog struct {
	client      *http.Client
	url         string
	origin, key string
	witness     string // the key of a witness that has signed the head; empty: none has
	token       string // for proofs; empty: none are asked for
	older       []formats.Checkpoint
}

func (l servedLog) get(path string) ([]byte, error) {
	r, err := http.NewRequest("GET", l.url+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "v1/") {
		r.Header.Set("Authorization", "Bearer "+l.token)
	}
	res, err := l.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, res.StatusCode)
	}
	return b, err
}

// tilePath names a tile or, at a level of "entries", a bundle, as C2SP tlog-tiles does.
func tilePath(level string, n uint64, width int) string {
	number := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	path := "tile/" + level + "/" + number
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

// eachTile calls f for every tile or bundle of a level that a log of a size has, the full ones first.
func eachTile(size uint64, level int, f func(n uint64, width int) error) error {
	hashes := size >> (8 * level)
	for n := range hashes / 256 {
		if err := f(n, 256); err != nil {
			return err
		}
	}
	if width := int(hashes % 256); width > 0 {
		return f(hashes/256, width)
	}
	return nil
}

// bundle fetches entries and cuts them as Tessera does.
func (l servedLog) bundle(n uint64, width int) ([][]byte, error) {
	raw, err := l.get(tilePath("entries", n, width))
	if err != nil {
		return nil, err
	}
	var b tessera.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, err
	}
	if len(b.Entries) != width {
		return nil, fmt.Errorf("bundle %d has %d entries instead of %d", n, len(b.Entries), width)
	}
	return b.Entries, nil
}

// proofs asks the server for the proofs of some entries: the first, the last, and two between.
func (l servedLog) proofs(size uint64, check func(p api.EntryProof, head []byte, path []tlog.Hash) error) error {
	if l.token == "" || size == 0 {
		return nil
	}
	for _, i := range slices.Compact([]uint64{0, size / 3, size / 2, size - 1}) {
		raw, err := l.get(fmt.Sprint("v1/entries/", i))
		if err != nil {
			return err
		}
		var p api.EntryProof
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		var path []tlog.Hash
		for _, s := range p.Proof {
			h, err := hex.DecodeString(s)
			if err != nil || len(h) != 32 {
				return fmt.Errorf("a hash of the proof of entry %d has %d bytes: %v", i, len(h), err)
			}
			path = append(path, tlog.Hash(h))
		}
		if p.Index != i {
			return fmt.Errorf("the proof of entry %d is of entry %d", i, p.Index)
		}
		if err := check(p, []byte(p.Checkpoint), path); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func proofRows[H ~[32]byte](hashes []H) (out [][]byte) {
	for _, h := range hashes {
		out = append(out, bytes.Clone(h[:]))
	}
	return out
}

// fsck reports what it does at every turn, and what it found in its error too.
func init() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// byTessera verifies a whole log with Tessera's fsck library, which says what it found in its error.
func (l servedLog) byTessera() error {
	v, err := note.NewVerifier(l.key)
	if err != nil {
		return err
	}
	u, err := url.Parse(l.url + "/")
	if err != nil {
		return err
	}
	f, err := client.NewHTTPFetcher(u, l.client)
	if err != nil {
		return err
	}
	// What cannot be cut into entries is hashed as a whole, which is no leaf of the log: to an error fsck
	// would answer by leaving its workers behind.
	leaves := func(bundle []byte) ([][]byte, error) {
		var b tessera.EntryBundle
		err := b.UnmarshalText(bundle)
		all := slices.Repeat([][]byte{rfc6962.DefaultHasher.HashLeaf(bundle)}, 256)
		if err == nil {
			for i, e := range b.Entries[:min(len(b.Entries), 256)] {
				all[i] = rfc6962.DefaultHasher.HashLeaf(e)
			}
		}
		return all, nil
	}
	// A worker that finds a fault is gone, and without workers fsck waits for ever. One changed bit is at most
	// as many faults as the tree has levels of tiles.
	const workers = 8
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fsck.New(l.origin, v, f, leaves, fsck.Opts{N: workers}).Check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// head is a checkpoint that transparency-dev/formats has opened. Whether the witness signed it is
// asked only where it is what is verified.
func (l servedLog) head(msg []byte) (*formats.Checkpoint, error) {
	v, err := note.NewVerifier(l.key)
	if err != nil {
		return nil, err
	}
	cp, rest, _, err := formats.ParseCheckpoint(msg, l.origin, v)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("the checkpoint has %d bytes more than one has", len(rest))
	}
	return cp, err
}

// byMerkle builds the tree with transparency-dev/merkle from the entries, and holds every tile, the
// head, the server's proofs and the heads of before against it. Who signed the head is what formats
// says, because merkle has no signatures.
func (l servedLog) byMerkle() error {
	msg, err := l.get("checkpoint")
	if err != nil {
		return err
	}
	head, err := l.head(msg)
	if err != nil {
		return err
	}
	nodes := map[compact.NodeID][]byte{}
	visit := func(id compact.NodeID, hash []byte) { nodes[id] = hash }
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	err = eachTile(head.Size, 0, func(n uint64, width int) error {
		entries, err := l.bundle(n, width)
		for _, e := range entries {
			leaf := rfc6962.DefaultHasher.HashLeaf(e)
			visit(compact.NewNodeID(0, tree.End()), leaf)
			if err := tree.Append(leaf, visit); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if head.Size > 0 {
		if root, err = tree.GetRootHash(nil); err != nil {
			return err
		}
	}
	if !bytes.Equal(root, head.Hash) {
		return errors.New("the entries give another root than the head's")
	}
	for level := 0; head.Size>>(8*level) > 0; level++ {
		err := eachTile(head.Size, level, func(n uint64, width int) error {
			raw, err := l.get(tilePath(strconv.Itoa(level), n, width))
			if err != nil {
				return err
			}
			var want []byte
			for i := range uint64(width) {
				want = append(want, nodes[compact.NewNodeID(uint(8*level), n*256+i)]...)
			}
			if !bytes.Equal(raw, want) {
				return fmt.Errorf("tile %d of level %d is not of the tree", n, level)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	rehashed := func(n proof.Nodes) ([][]byte, error) {
		hashes := make([][]byte, len(n.IDs))
		for i, id := range n.IDs {
			hashes[i] = nodes[id]
		}
		return n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	}
	for _, old := range l.older {
		if old.Size == 0 {
			continue // nothing is to be proved of it
		}
		n, err := proof.Consistency(old.Size, head.Size)
		if err != nil {
			return err
		}
		hashes, err := rehashed(n)
		if err != nil {
			return err
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, head.Size, hashes, old.Hash, head.Hash); err != nil {
			return err
		}
	}
	return l.proofs(head.Size, func(p api.EntryProof, msg []byte, path []tlog.Hash) error {
		under, err := l.head(msg)
		if err != nil {
			return err
		}
		return proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, under.Size, rfc6962.DefaultHasher.HashLeaf(p.Entry), proofRows(path), under.Hash)
	})
}

// checksumDB reads a log's tiles as the Go checksum database's client does, which verifies each of them.
type checksumDB struct{ servedLog }

func (checksumDB) Height() int                     { return 8 }
func (checksumDB) SaveTiles([]tlog.Tile, [][]byte) {}
func (d checksumDB) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		b, err := d.get(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// opened opens a checkpoint with x/mod/sumdb/note, and reads it by hand: tlog.ParseTree wants the
// checksum database's own header.
func (l servedLog) opened(msg []byte) (t tlog.Tree, err error) {
	v, err := note.NewVerifier(l.key)
	if err != nil {
		return t, err
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return t, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != l.origin || lines[3] != "" {
		return t, fmt.Errorf("the checkpoint has %d lines, the first of which is %q", len(lines), lines[0])
	}
	if t.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return t, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(raw) != 32 {
		return t, fmt.Errorf("the root hash has %d bytes: %v", len(raw), err)
	}
	t.Hash = tlog.Hash(raw)
	return t, nil
}

// byNote asks x/mod/sumdb/note alone: who signed, and what.
func (l servedLog) byNote() error {
	msg, err := l.get("checkpoint")
	if err == nil {
		_, err = l.opened(msg)
	}
	return err
}

// byTlog verifies a whole log with golang.org/x/mod/sumdb: every tile is read through a reader that
// authenticates it against the head, and every entry is held against its hash there.
func (l servedLog) byTlog() error {
	msg, err := l.get("checkpoint")
	if err != nil {
		return err
	}
	tree, err := l.opened(msg)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, checksumDB{l})
	for level := 1; tree.N>>(8*level) > 0; level++ { // those above are read for leaves too, unless a leaf needs no other
		err := eachTile(uint64(tree.N), level, func(n uint64, width int) error {
			_, err := hashes.ReadHashes(stored(8*level, int64(n), width))
			return err
		})
		if err != nil {
			return err
		}
	}
	err = eachTile(uint64(tree.N), 0, func(n uint64, width int) error {
		entries, err := l.bundle(n, width)
		if err != nil {
			return err
		}
		have, err := hashes.ReadHashes(stored(0, int64(n), width))
		if err != nil {
			return err
		}
		for i, e := range entries {
			if have[i] != tlog.RecordHash(e) {
				return fmt.Errorf("entry %d is not the one in the tree", 256*n+uint64(i))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root, err := tlog.TreeHash(tree.N, hashes); err != nil || root != tree.Hash {
		return fmt.Errorf("the tiles give the root %v: %v", root, err)
	}
	for _, old := range l.older {
		if old.Size == 0 {
			continue
		}
		p, err := tlog.ProveTree(tree.N, int64(old.Size), hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(p, tree.N, tree.Hash, int64(old.Size), tlog.Hash(old.Hash)); err != nil {
			return err
		}
	}
	return l.proofs(uint64(tree.N), func(p api.EntryProof, msg []byte, path []tlog.Hash) error {
		under, err := l.opened(msg)
		if err != nil {
			return err
		}
		return tlog.CheckRecord(path, under.N, under.Hash, int64(p.Index), tlog.RecordHash(p.Entry))
	})
}

// stored are the indexes of a tile's hashes as tlog counts them.
func stored(level int, n int64, width int) (all []int64) {
	for i := range int64(width) {
		all = append(all, tlog.StoredHashIndex(level, 256*n+i))
	}
	return all
}

// byFormats asks transparency-dev/formats: that log and witness signed the head, and that the server's
// proofs, written as proof files, are read as they were given and fit the head.
func (l servedLog) byFormats() error {
	v, err := note.NewVerifier(l.key)
	if err != nil {
		return err
	}
	all := []note.Verifier{v}
	if l.witness != "" {
		w, err := fnote.NewVerifierForCosignatureV1(l.witness)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	head := func(msg []byte) (*formats.Checkpoint, error) {
		cp, rest, n, err := formats.ParseCheckpoint(msg, l.origin, v, all[1:]...)
		if err == nil && (len(n.Sigs) != len(all) || len(rest) > 0) {
			err = fmt.Errorf("%d of %d have signed the checkpoint, and %d bytes stand behind it", len(n.Sigs), len(all), len(rest))
		}
		return cp, err
	}
	msg, err := l.get("checkpoint")
	if err != nil {
		return err
	}
	cp, err := head(msg)
	if err != nil {
		return err
	}
	return l.proofs(cp.Size, func(p api.EntryProof, msg []byte, path []tlog.Hash) error {
		written := fproof.TLogProof{Index: p.Index, Checkpoint: msg}
		for _, h := range path {
			written.Hashes = append(written.Hashes, h)
		}
		var read fproof.TLogProof
		if err := read.Unmarshal(written.Marshal()); err != nil {
			return err
		}
		under, err := head(read.Checkpoint)
		if err != nil {
			return err
		}
		root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, read.Index, under.Size, rfc6962.DefaultHasher.HashLeaf(p.Entry), proofRows(read.Hashes))
		if err == nil && !bytes.Equal(root, under.Hash) {
			err = errors.New("the proof file does not lead to the root of its head")
		}
		return err
	})
}

// elsewhere are all of them.
var elsewhere = []struct {
	name   string
	verify func(servedLog) error
}{
	{"tessera", servedLog.byTessera},
	{"merkle", servedLog.byMerkle},
	{"tlog", servedLog.byTlog},
	{"note", servedLog.byNote},
	{"formats", servedLog.byFormats},
}
