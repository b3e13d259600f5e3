package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"consentledger/crypto/seal"
)

// vectors.json comes from vectors.py, which shares no code with this package.
type vectorFile struct {
	Ledger, Root hexBytes
	NextSlot     uint64 `json:"next_slot"`
	Systems      map[string]hexBytes
	Members      []struct {
		Slot    uint64
		Record  memberVector
		Encoded hexBytes
		Due     int64
	}
	IDs []struct {
		Path    hexBytes
		Slot    uint64
		Kept    []uint64
		Encoded hexBytes
	}
	Stream  string
	Pages   []pageVector
	TopHash hexBytes `json:"top_hash"`
	Small   struct {
		Stream        string
		Plain, Sealed hexBytes
	}
}

type memberVector struct {
	Nonce uint64
	Path  hexBytes
	Kind  string
	Ended bool
	Wake  int64
	Task  int64
	Keys  []struct {
		Class, Reference string
		Key              hexBytes
		Due              int64
		NotBefore        int64 `json:"not_before"`
		Ratchet          bool
		TagKey           hexBytes `json:"tag_key"`
		Day              int32
	}
}

type pageVector struct {
	Kind                               string
	Path, Position, Key, Plain, Sealed hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	*h = b
	return err
}

func loadVectors(t testing.TB) *vectorFile {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	must(t, err)
	var v vectorFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	must(t, d.Decode(&v))
	if len(v.Pages) < 10 || len(v.Members) < 10 || len(v.IDs) < 10 {
		t.Fatalf("only %d pages, %d members, %d ids", len(v.Pages), len(v.Members), len(v.IDs))
	}
	return &v
}

func keyFrom(t testing.TB, b []byte) seal.Key {
	t.Helper()
	k, err := seal.KeyFromBytes(b)
	must(t, err)
	return k
}

func (v *memberVector) member(t testing.TB) *Member {
	m := &Member{Nonce: v.Nonce, Path: IDPath(v.Path), Kind: v.Kind, Ended: v.Ended, Wake: v.Wake, Task: v.Task, Keys: []MemberKey{}}
	for _, k := range v.Keys {
		mk := MemberKey{Class: k.Class, Reference: k.Reference, Key: keyFrom(t, k.Key), Due: k.Due, NotBefore: k.NotBefore, Ratchet: k.Ratchet, Day: k.Day}
		if k.Ratchet {
			mk.TagKey = keyFrom(t, k.TagKey)
		}
		m.Keys = append(m.Keys, mk)
	}
	return m
}

// labelled gives the blocks that vectors.py draws: SHA-256(label | u64 number).
type labelled struct {
	label string
	n     uint64
}

func (s *labelled) Read(p []byte) (int, error) {
	b := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.label), s.n))
	s.n++
	return copy(p, b[:]), nil
}

func TestRecordsAreWrittenAsTheVectorsSay(t *testing.T) {
	v := loadVectors(t)
	for _, mv := range v.Members {
		m := mv.Record.member(t)
		if got := m.encode(); !bytes.Equal(got, mv.Encoded) {
			t.Errorf("slot %d:\n%x\nwant\n%x", mv.Slot, got, mv.Encoded)
		}
		if m.Due() != mv.Due {
			t.Errorf("slot %d: due %d, want %d", mv.Slot, m.Due(), mv.Due)
		}
		got, err := decodeMember(mv.Encoded)
		must(t, err)
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("slot %d: %s", mv.Slot, diff)
		}
	}
	for _, iv := range v.IDs {
		rec := IDRecord{Slot: iv.Slot, Kept: iv.Kept}
		if got := rec.encode(); !bytes.Equal(got, iv.Encoded) {
			t.Errorf("%x, want %x", got, iv.Encoded)
		}
		got, err := decodeID(iv.Encoded)
		must(t, err)
		if got.Slot != iv.Slot || !cmp.Equal(append([]uint64{}, got.Kept...), iv.Kept) {
			t.Errorf("%v, want %v", got, rec)
		}
	}
}

func TestPagesAreReadAsTheVectorsSay(t *testing.T) {
	v := loadVectors(t)
	for _, pv := range v.Pages {
		path := string(pv.Path)
		if got := position(pv.Path); !bytes.Equal(got, pv.Position) {
			t.Errorf("%x: position %x, want %x", path, got, pv.Position)
		}
		aad := appendAAD(nil, [16]byte(v.Ledger), pv.Position)
		var plain []byte
		var err error
		if top := strings.HasPrefix(pv.Kind, "top "); top {
			plain, err = openTop(keyFrom(t, v.Root), aad, pv.Sealed)
			must(t, err)
			if binary.BigEndian.Uint64(plain) != v.NextSlot {
				t.Errorf("the top page says next slot %x", plain[:8])
			}
			plain = plain[8:]
		} else {
			plain, err = openPage(keyFrom(t, pv.Key), aad, pv.Sealed)
			must(t, err)
		}
		if !bytes.Equal(plain, pv.Plain) {
			t.Errorf("%x opens to\n%x\nwant\n%x", path, plain, pv.Plain)
		}
		n, err := parsePage(plain, pv.Path)
		must(t, err)
		if strings.HasSuffix(pv.Kind, "branch") != n.branch {
			t.Errorf("%x is a %s, and branch is %v", path, pv.Kind, n.branch)
		}
		if got := n.appendTo(nil); !bytes.Equal(got, pv.Plain) || n.size() != len(got) {
			t.Errorf("%x encodes to\n%x\nwant\n%x", path, got, pv.Plain)
		}
	}
}

func TestATreeIsWrittenAsTheVectorsSay(t *testing.T) {
	v := loadVectors(t)
	for _, order := range []string{"forwards", "backwards", "in two batches"} {
		t.Run(order, func(t *testing.T) {
			k := New([16]byte(v.Ledger), newMemPages(), Options{Rand: seeded(1), CacheBytes: 1 << 20})
			var puts []func(b *Batch) error
			for name, raw := range v.Systems {
				puts = append(puts, func(b *Batch) error { return b.PutSystem(name, keyFrom(t, raw)) })
			}
			for _, iv := range v.IDs {
				puts = append(puts, func(b *Batch) error {
					return b.PutID(IDPath(iv.Path), IDRecord{Slot: iv.Slot, Kept: iv.Kept})
				})
			}
			for _, mv := range v.Members {
				puts = append(puts, func(b *Batch) error {
					b.SetNextSlot(mv.Slot + 1)
					return b.PutMember(mv.Slot, mv.Record.member(t))
				})
			}
			if order == "backwards" {
				for i, j := 0, len(puts)-1; i < j; i, j = i+1, j-1 {
					puts[i], puts[j] = puts[j], puts[i]
				}
			}
			b := k.Begin()
			if order == "in two batches" { // the second rewrites all that the first wrote
				for _, put := range puts[:len(puts)/2] {
					must(t, put(b))
				}
				_, err := b.Seal(keyFrom(t, v.Root))
				must(t, err)
				must(t, b.Commit(func() error { return nil }))
				b = k.Begin()
			}
			for _, put := range puts {
				must(t, put(b))
			}
			k.rand = &labelled{label: v.Stream}
			pages, err := b.Seal(keyFrom(t, v.Root))
			must(t, err)
			got := make(map[string]string)
			for _, p := range pages {
				if p.Sealed != nil {
					got[hex.EncodeToString(p.Position)] = hex.EncodeToString(p.Sealed)
				}
			}
			want := make(map[string]string)
			for _, pv := range v.Pages {
				want[hex.EncodeToString(pv.Position)] = hex.EncodeToString(pv.Sealed)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if h := TopHash(pages[len(pages)-1].Sealed); !bytes.Equal(h[:], v.TopHash) {
				t.Errorf("top hash %x, want %x", h, v.TopHash)
			}
		})
	}
}

func TestASmallKeyringIsOnePageAsTheVectorSays(t *testing.T) {
	v := loadVectors(t)
	m := newMemPages()
	k := New([16]byte(v.Ledger), m, Options{Rand: &labelled{label: v.Small.Stream}})
	b := k.Begin()
	for name, raw := range v.Systems {
		must(t, b.PutSystem(name, keyFrom(t, raw)))
	}
	commit(t, b, m, keyFrom(t, v.Root))
	if got := m.pages[string(TopPosition())]; len(m.pages) != 1 || !bytes.Equal(got, v.Small.Sealed) {
		t.Errorf("%d pages; the top page is\n%x\nwant\n%x", len(m.pages), got, v.Small.Sealed)
	}
	k, err := Open([16]byte(v.Ledger), m, keyFrom(t, v.Root), Options{})
	must(t, err)
	for name, raw := range v.Systems {
		if key, err := k.System(name); err != nil || !key.Equal(keyFrom(t, raw)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
