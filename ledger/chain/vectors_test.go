package chain

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// vectors are what testdata/vectors.py made from the format page.
type vectors struct {
	Origin      string   `json:"origin"`
	PaddedSizes [][2]int `json:"padded_sizes"`
	EntrySizes  []int    `json:"entry_sizes"`
	Sealed      []struct {
		Key             hexBytes `json:"key"`
		Counter         uint64   `json:"counter"`
		Salt            hexBytes `json:"salt"`
		Nonce           hexBytes `json:"nonce"`
		Body            hexBytes `json:"body"`
		PRK             hexBytes `json:"prk"`
		KE              hexBytes `json:"k_e"`
		Commitment      hexBytes `json:"commitment"`
		KTag            hexBytes `json:"k_tag"`
		Tag             hexBytes `json:"tag"`
		AAD             hexBytes `json:"aad"`
		PlaintextSHA256 hexBytes `json:"plaintext_sha256"`
		Sealed          hexBytes `json:"sealed"`
	} `json:"sealed"`
	Entries []struct {
		RecordedAtUnixMs int64    `json:"recorded_at_unix_ms"`
		Entry            hexBytes `json:"entry"`
		LeafHash         hexBytes `json:"leaf_hash"`
	} `json:"entries"`
	EntriesRoot       hexBytes            `json:"entries_root"`
	EntriesVkey       string              `json:"entries_vkey"`
	EntriesCheckpoint string              `json:"entries_checkpoint"`
	Ratchet           []hexBytes          `json:"ratchet"`
	Roots             map[string]hexBytes `json:"roots"`
	Tiles300          map[string]struct {
		Size   int      `json:"size"`
		SHA256 hexBytes `json:"sha256"`
	} `json:"tiles_300"`
	Tiles70000 map[string]hexBytes `json:"tiles_70000_sha256"`
	Bundles300 map[string]struct {
		Size   int      `json:"size"`
		SHA256 hexBytes `json:"sha256"`
		Begins hexBytes `json:"begins"`
	} `json:"bundles_300"`
	Vkey          string     `json:"vkey"`
	Checkpoint300 string     `json:"checkpoint_300"`
	Checkpoint0   string     `json:"checkpoint_0"`
	Inclusion     []hexBytes `json:"inclusion_299_of_300"`
	Paths         [][4]any   `json:"paths"`
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
	return v
}

func opaque(i int) []byte { return fmt.Appendf(nil, "opaque-ciphertext-%d", i) }

func TestEntriesOfTheVectorsParseAndChain(t *testing.T) {
	v := readVectors(t)
	l := &memLog{tiles: map[tileKey][]byte{}, checkpoint: []byte(v.EntriesCheckpoint)}
	var prev Hash
	for i, want := range v.Entries {
		b := AppendHeader(nil)
		b = append(b, v.Sealed[i].Sealed...)
		Complete(b, want.RecordedAtUnixMs, prev)
		if !bytes.Equal(b, want.Entry) {
			t.Errorf("entry %d is built otherwise", i)
		}
		e, err := Parse(want.Entry)
		if err != nil {
			t.Fatal(err)
		}
		if e.RecordedAtUnixMs != want.RecordedAtUnixMs || e.Prev != prev || !bytes.Equal(e.Tag[:], v.Sealed[i].Tag) || !bytes.Equal(e.Sealed, v.Sealed[i].Sealed) {
			t.Errorf("entry %d parses to %+v", i, e)
		}
		if prev = LeafHash(want.Entry); !bytes.Equal(prev[:], want.LeafHash) {
			t.Errorf("leaf hash of entry %d is %x", i, prev)
		}
		l.entries = append(l.entries, want.Entry)
	}
	verifier, err := note.NewVerifier(v.EntriesVkey)
	if err != nil {
		t.Fatal(err)
	}
	r := verify(t, l, VerifyOptions{Verifier: verifier})
	if !r.Intact || !bytes.Equal(r.Root[:], v.EntriesRoot) {
		t.Fatalf("%+v", r)
	}
}

func TestSealedBodiesOfTheVectorsOpenWithTheStandardLibrary(t *testing.T) {
	v := readVectors(t)
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, s := range v.Sealed {
		prk := must(hkdf.Extract(sha256.New, s.Key, s.Salt))
		okm := must(hkdf.Expand(sha256.New, prk, "consentledger/entry/v1"+v.Origin, 64))
		kTag := must(hkdf.Key(sha256.New, s.Key, nil, "consentledger/tag/v1", 32))
		h := hmac.New(sha256.New, kTag)
		_ = binary.Write(h, binary.BigEndian, s.Counter)
		aad := bytes.Join([][]byte{{1}, s.Tag, s.Salt, s.Commitment}, nil)
		for _, c := range []struct {
			name      string
			got, want []byte
		}{
			{"PRK", prk, s.PRK},
			{"K_e", okm[:32], s.KE},
			{"commitment", okm[32:], s.Commitment},
			{"K_tag", kTag, s.KTag},
			{"tag", h.Sum(nil)[:16], s.Tag},
			{"AAD", aad, s.AAD},
			{"beginning", s.Sealed[:108-16], bytes.Join([][]byte{s.Tag, s.Salt, s.Commitment, s.Nonce}, nil)},
		} {
			if !bytes.Equal(c.got, c.want) {
				t.Errorf("body %d: %s is %x, want %x", i, c.name, c.got, c.want)
			}
		}
		block, err := aes.NewCipher(okm[:32])
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		plain := must(aead.Open(nil, s.Nonce, s.Sealed[92:], aad))
		n := binary.BigEndian.Uint32(plain)
		if !bytes.Equal(plain[4:4+n], s.Body) || len(plain) != paddedSize(4+len(s.Body)) || bytes.Trim(plain[4+n:], "\x00") != nil && len(bytes.Trim(plain[4+n:], "\x00")) > 0 {
			t.Errorf("body %d: plaintext is %x", i, plain)
		}
		if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], s.PlaintextSHA256) {
			t.Errorf("body %d: another plaintext", i)
		}
	}
	for i := range len(v.Ratchet) - 1 {
		if next := must(hkdf.Expand(sha256.New, v.Ratchet[i], "consentledger/ratchet/v1", 32)); !bytes.Equal(next, v.Ratchet[i+1]) {
			t.Errorf("ratchet: key %d leads to %x", i, next)
		}
	}
}

func TestSizesAreThoseOfTheVectors(t *testing.T) {
	v := readVectors(t)
	for _, c := range v.PaddedSizes {
		if got := paddedSize(c[0]); got != c[1] {
			t.Errorf("%d bytes are padded to %d, want %d", c[0], got, c[1])
		}
	}
	var sizes []int
	for n := range MaxEntry + 1 {
		if n >= MinEntry && isPaddedSize(n-HeaderSize-sealedOverhead) {
			sizes = append(sizes, n)
		}
	}
	if diff := cmp.Diff(v.EntrySizes, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestRootsTilesAndPathsAreThoseOfTheVectors(t *testing.T) {
	v := readVectors(t)
	tree := NewTree()
	full := map[tileKey][]byte{}
	ask := func(level int, n uint64, width int) ([]byte, error) {
		if width == TileHashes {
			return full[tileKey{level, n}], nil
		}
		var b []byte
		for i := range width {
			h := LeafHash(opaque(int(n)*TileHashes + i))
			b = append(b, h[:]...)
		}
		return b, nil
	}
	check := func(path string, want hexBytes) {
		t.Helper()
		level, n, width, err := ParseTilePath(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ReadTile(level, n, width, ask)
		if sum := sha256.Sum256(b); err != nil || !bytes.Equal(sum[:], want) {
			t.Errorf("%s: %x, %v", path, sum, err)
		}
	}
	for size := 0; size <= 70000; size++ {
		if want, ok := v.Roots[strconv.Itoa(size)]; ok {
			if root := tree.Root(); !bytes.Equal(root[:], want) {
				t.Errorf("root at size %d is %x", size, root)
			}
		}
		if size == 300 {
			for path, want := range v.Tiles300 {
				check(path, want.SHA256)
			}
			proof, err := tlog.ProveRecord(300, 299, TileReader(300, ask))
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range v.Inclusion {
				if len(proof) != len(v.Inclusion) || !bytes.Equal(proof[i][:], h) {
					t.Fatalf("inclusion of 299 in 300: %x", proof)
				}
			}
		}
		tree.Append(LeafHash(opaque(size)))
		tree.TakeFullTiles(func(level int, n uint64, data []byte) { full[tileKey{level, n}] = data })
	}
	for path, want := range v.Tiles70000 {
		check(path, want)
	}
	for _, p := range v.Paths {
		if got := TilePath(int(p[0].(float64)), uint64(p[1].(float64)), int(p[2].(float64))); got != p[3] {
			t.Errorf("%s, want %s", got, p[3])
		}
	}
}

func TestBundlesAreThoseOfTheVectors(t *testing.T) {
	v := readVectors(t)
	for n, part := range [][2]int{{0, 256}, {256, 300}} {
		var b []byte
		for i := part[0]; i < part[1]; i++ {
			b = AppendBundled(b, opaque(i))
		}
		want, ok := v.Bundles300[EntriesPath(uint64(n), part[1]-part[0])]
		if sum := sha256.Sum256(b); !ok || len(b) != want.Size || !bytes.HasPrefix(b, want.Begins) || !bytes.Equal(sum[:], want.SHA256) {
			t.Errorf("bundle %d: %d bytes, %x", n, len(b), sum)
		}
	}
}

// The log, its key and its checkpoint as other people's tools have them: a
// test vector from outside this project.
const (
	interopVkey       = "ledger.example/consent+24389b90+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	interopCheckpoint = "ledger.example/consent\n300\nLvodQLTHdskkq2kQWJ5ltnHVc1jx6YUwA3Yk6tY91Us=\n\n" +
		"— ledger.example/consent JDibkGl/3behyE+v8pRnQnAArRoLN84wSJfncbm+ffuSEcYfSJxVeSFGNKJSXi0HJHJdMVvShG1HXaPIK95v7UGBzgc=\n"
	interopCosignature = "— witness.example/w1 3xwKNQAAAABrAtHOD4NOf0ED0UbsF3D3GmmuiZrRMoiAaQrEuvhcZ0hm1gAKGjinz6odMOdFBPgEZgm6IQ7Eiv+20yBVSkkf+7ceDA==\n"
	interopEmptyRoot   = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
)

func TestTheInteropVectorComesOutByteForByte(t *testing.T) {
	v := readVectors(t)
	if v.Vkey != interopVkey || v.Checkpoint300 != interopCheckpoint {
		t.Error("testdata/vectors.json says otherwise")
	}
	s, vkey, err := NewSigner(testOrigin, testSeed(1))
	if err != nil {
		t.Fatal(err)
	}
	if vkey != interopVkey {
		t.Errorf("verifier key %s", vkey)
	}
	tree := NewTree()
	if root := tlog.Hash(tree.Root()).String(); root != interopEmptyRoot {
		t.Errorf("root of the empty tree %s", root)
	}
	empty, err := Checkpoint{testOrigin, 0, tree.Root()}.Sign(s)
	if err != nil || string(empty) != v.Checkpoint0 {
		t.Errorf("checkpoint of the empty log: %v\n%s", err, empty)
	}
	for i := range 300 {
		tree.Append(LeafHash(opaque(i)))
	}
	c := Checkpoint{testOrigin, tree.Size(), tree.Root()}
	msg, err := c.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(interopCheckpoint, string(msg)); diff != "" {
		t.Error(diff)
	}
	verifier, err := note.NewVerifier(interopVkey)
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []string{interopCheckpoint, interopCheckpoint + interopCosignature} {
		got, err := OpenCheckpoint([]byte(msg), note.VerifierList(verifier), testOrigin)
		if err != nil || got != c {
			t.Errorf("opened: %+v, %v", got, err)
		}
	}
	for level, want := range []int{1408, 32} {
		if n := len(tree.Partial(level)); n != want {
			t.Errorf("the partial tile of level %d has %d bytes, want %d", level, n, want)
		}
	}
	tree.TakeFullTiles(func(level int, n uint64, data []byte) {
		if level != 0 || n != 0 || len(data) != 8192 {
			t.Errorf("full tile %d/%d of %d bytes", level, n, len(data))
		}
	})
	if b := AppendBundled(nil, opaque(0)); !bytes.HasPrefix(b, []byte{0x00, 0x13, 0x6f, 0x70, 0x61, 0x71, 0x75, 0x65}) {
		t.Errorf("a bundle starts % x", b[:8])
	}
}

func TestTheFormatPageShowsTheVectors(t *testing.T) {
	page, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, ok := bytes.Cut(page, []byte("\n## Test vectors\n"))
	if !ok {
		t.Fatal("the page has no test vectors")
	}
	if shown, _, ok = bytes.Cut(shown, []byte("\n## ")); ok {
		t.Log("other sections follow")
	}
	known, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	values := regexp.MustCompile(`[0-9a-f]{24,}`).FindAll(shown, -1)
	if len(values) < 30 {
		t.Fatalf("the page shows %d values", len(values))
	}
	for _, v := range values {
		if !bytes.Contains(known, v) {
			t.Errorf("%s is not among the vectors", v)
		}
	}
	v := readVectors(t)
	if !bytes.Contains(shown, []byte(v.Vkey+"\n\n"+v.Checkpoint300)) {
		t.Error("the checkpoint is another")
	}
}
