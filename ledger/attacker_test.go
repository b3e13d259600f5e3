package ledger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"consentledger/ledger/internal/crashfs"
)

// attacker is somebody who has every byte that was ever written to every file of a ledger, and
// one or more root keys. It is written from FORMAT.md alone and shares no code with the ledger:
// what it can reach, anybody can.
type attacker struct {
	id      [16]byte
	origin  string
	pages   map[string]map[string]bool // position → sealed images
	entries map[[16]byte][][]byte      // tag → entries
	raw     [][]byte                   // every byte that was written, in runs of adjacent writes
	marks   map[string]bool            // rows of idempotency keys
	waits   map[string]bool            // rows of waiting certificates
}

// loot is what an attacker got to.
type loot struct {
	keys    map[[32]byte]bool   // page keys aside: member keys, their days, system keys
	ids     map[[16]byte]bool   // paths of member ids
	slots   map[[2]uint64]bool  // slot and nonce: a member ref
	entries map[[32]byte]string // leaf → body
	system  map[string][32]byte
	seen    map[string]bool
	epochs  map[epochLoot]bool // keys that move on with time
}

const pageSize = 4096

// newAttacker takes every write to every file but the root file.
func newAttacker(t testing.TB, ops []crashfs.Op, isRoot func(path string) bool, id [16]byte, origin string) *attacker {
	a := &attacker{id: id, origin: origin, pages: map[string]map[string]bool{}, entries: map[[16]byte][][]byte{}, marks: map[string]bool{}, waits: map[string]bool{}}
	var run []byte
	var at, end int64
	var file uint64
	flush := func() {
		if run != nil {
			a.raw = append(a.raw, run)
			a.readPages(run, at)
		}
		run = nil
	}
	for _, op := range ops {
		if op.Kind != crashfs.Write || isRoot(op.Path) {
			continue
		}
		if run == nil || op.File != file || op.Offset != end {
			flush()
			file, at, end = op.File, op.Offset, op.Offset
		}
		run = append(run, op.Data...)
		end += int64(len(op.Data))
	}
	flush()
	if len(a.pages) == 0 || len(a.entries) == 0 {
		t.Fatal("the attacker found no page or no entry in what was written: it would find nothing ever")
	}
	return a
}

// readPages parses bbolt's leaf pages out of raw bytes.
func (a *attacker) readPages(b []byte, offset int64) {
	for i := int64(0); i+pageSize <= int64(len(b)); i += pageSize {
		p := b[i:]
		if binary.LittleEndian.Uint64(p) == uint64((offset+i)/pageSize) && binary.LittleEndian.Uint16(p[8:]) == 2 {
			a.readLeaf(p)
		}
	}
}

func (a *attacker) readLeaf(p []byte) {
	count := int(binary.LittleEndian.Uint16(p[10:]))
	for i := range count {
		el := 16 + 16*i
		if el+16 > len(p) {
			return
		}
		flags := binary.LittleEndian.Uint32(p[el:])
		pos := el + int(binary.LittleEndian.Uint32(p[el+4:]))
		ks, vs := int(binary.LittleEndian.Uint32(p[el+8:])), int(binary.LittleEndian.Uint32(p[el+12:]))
		if pos < 0 || ks < 0 || vs < 0 || pos+ks+vs > len(p) {
			continue
		}
		k, v := p[pos:pos+ks], p[pos+ks:pos+ks+vs]
		if flags&1 != 0 {
			if vs > 32 {
				a.readLeaf(v[16:]) // a small bucket stands inside its parent's page
			}
			continue
		}
		if ks >= 1 && ks == 1+(int(k[0])+1)/2 {
			if a.pages[string(k)] == nil {
				a.pages[string(k)] = map[string]bool{}
			}
			a.pages[string(k)][string(v)] = true
		}
		if ks == 12 && vs >= 53 {
			a.marks[string(v)] = true
		}
		if ks == 8 && vs >= 4+92 && v[0] == 0 {
			a.waits[string(v)] = true
		}
		if ks == 8 && vs >= 149 && v[0] == 1 {
			tag := [16]byte(v[41:])
			known := false
			for _, have := range a.entries[tag] {
				known = known || bytes.Equal(have, v)
			}
			if !known {
				a.entries[tag] = append(a.entries[tag], bytes.Clone(v))
			}
		}
	}
}

func gcm(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return g
}

func hmac256(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func expand(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic(err)
	}
	return out
}

// attack opens whatever the roots lead to, to a fixed point.
func (a *attacker) attack(roots ...[]byte) *loot {
	l := &loot{keys: map[[32]byte]bool{}, ids: map[[16]byte]bool{}, slots: map[[2]uint64]bool{}, entries: map[[32]byte]string{}, system: map[string][32]byte{}, seen: map[string]bool{}, epochs: map[epochLoot]bool{}}
	for _, root := range roots {
		for sealed := range a.pages["\x00"] {
			if len(sealed) < 48 {
				continue
			}
			key := hmac256(root, []byte("consentledger/top/v1"), []byte(sealed[:32]))
			if plain, ok := a.openPage(key, []byte{0}, []byte(sealed[32:])); ok && len(plain) > 8 {
				a.readPage(l, nil, plain[8:])
			}
		}
	}
	for _, key := range l.system {
		a.openEntries(l, key[:], func(int64) [][]byte { return [][]byte{key[:]} })
	}
	return l
}

func (a *attacker) openPage(key, pos, sealed []byte) ([]byte, bool) {
	aad := append([]byte("consentledger/page/v1"), a.id[:]...)
	plain, err := gcm(key).Open(nil, make([]byte, 12), sealed, append(aad, pos...))
	return plain, err == nil
}

func (a *attacker) readPage(l *loot, path, b []byte) {
	if b[0] == 1 {
		n := int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		for range n {
			ks := int(b[0])
			key := b[1 : 1+ks]
			vs := int(binary.BigEndian.Uint32(b[1+ks+16:]))
			a.readRecord(l, key, b[1+ks+20:1+ks+20+vs])
			b = b[1+ks+20+vs:]
		}
		return
	}
	n := int(b[1])
	path = append(bytes.Clone(path), b[2:2+n]...)
	used := binary.BigEndian.Uint16(b[2+n:])
	b = b[4+n:]
	for i := range 16 {
		if used&(1<<i) == 0 {
			continue
		}
		key := b[:32]
		b = b[48:]
		child := append(bytes.Clone(path), byte(i))
		pos := []byte{byte(len(child))}
		for j := 0; j < len(child); j += 2 {
			x := child[j] << 4
			if j+1 < len(child) {
				x |= child[j+1]
			}
			pos = append(pos, x)
		}
		mark := string(pos) + string(key)
		if l.seen[mark] {
			continue
		}
		l.seen[mark] = true
		for sealed := range a.pages[string(pos)] {
			if plain, ok := a.openPage(key, pos, []byte(sealed)); ok {
				a.readPage(l, child, plain)
			}
		}
	}
}

func (a *attacker) readRecord(l *loot, key, v []byte) {
	switch key[0] {
	case 0:
		name := string(bytes.TrimRight(key[1:], "\x00"))
		l.system[name] = [32]byte(v)
		if len(v) == 36 {
			l.epochs[epochLoot{name, binary.BigEndian.Uint32(v[32:]), [32]byte(v)}] = true
		}
		l.keys[[32]byte(v)] = true
	case 1:
		l.ids[[16]byte(key[1:])] = true
	case 2:
		l.slots[[2]uint64{binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(v)}] = true
		v = v[24:]
		v = v[1+int(v[0]):]
		n := int(binary.BigEndian.Uint16(v[17:]))
		v = v[19:]
		for range n {
			v = v[1+int(v[0]):]
			v = v[2+int(binary.BigEndian.Uint16(v)):]
			k := bytes.Clone(v[:32])
			l.keys[[32]byte(k)] = true
			ratchet := v[48] == 1
			v = v[49:]
			if !ratchet {
				a.openEntries(l, k, func(int64) [][]byte { return [][]byte{k} })
				continue
			}
			tagKey, day := v[:32], int64(int32(binary.BigEndian.Uint32(v[32:])))
			v = v[36:]
			a.openEntries(l, tagKey, func(unixMs int64) [][]byte {
				// Seoul is nine hours ahead, and has no summer time.
				want := (unixMs/1000 + 9*3600) / 86400
				var out [][]byte
				for at, k := day, k; at <= want; at++ {
					l.keys[[32]byte(k)] = true
					if at >= want-1 {
						out = append(out, k)
					}
					next, err := hkdf.Expand(sha256.New, k, "consentledger/ratchet/v1", 32)
					if err != nil {
						panic(err)
					}
					k = next
				}
				return out
			})
		}
	}
}

// openEntries computes a key's tags one after the other and opens what carries them.
func (a *attacker) openEntries(l *loot, tagKey []byte, keys func(unixMs int64) [][]byte) {
	kt := expand(tagKey, nil, "consentledger/tag/v1", 32)
	for i := uint64(0); ; i++ {
		tag := [16]byte(hmac256(kt, binary.BigEndian.AppendUint64(nil, i)))
		found := a.entries[tag]
		if len(found) == 0 {
			return
		}
		for _, e := range found {
			for _, k := range keys(int64(binary.BigEndian.Uint64(e[1:]))) {
				if body, ok := a.openEntry(k, e); ok {
					l.entries[sha256.Sum256(append([]byte{0}, e...))] = string(body)
				}
			}
		}
	}
}

func (a *attacker) openEntry(key, e []byte) ([]byte, bool) {
	salt, commitment, nonce := e[57:89], e[89:121], e[121:133]
	okm := expand(key, salt, "consentledger/entry/v1"+a.origin, 64)
	if !bytes.Equal(okm[32:], commitment) {
		return nil, false
	}
	aad := append([]byte{e[0]}, e[41:121]...)
	plain, err := gcm(okm[:32]).Open(nil, nonce, e[133:], aad)
	return plain, err == nil
}

// search says which of some byte strings, of 16 bytes or more, stand anywhere in what was written.
func (a *attacker) search(needles [][]byte) (found [][]byte) {
	byHead := make(map[uint64][][]byte, len(needles))
	var filter [1 << 13]uint64 // which low 19 bits occur: most places are passed over by this alone
	for _, n := range needles {
		h := binary.LittleEndian.Uint64(n)
		byHead[h] = append(byHead[h], n)
		filter[h&(1<<19-1)/64] |= 1 << (h % 64)
	}
	for _, run := range a.raw {
		for i := 0; i+16 <= len(run); i++ {
			h := binary.LittleEndian.Uint64(run[i:])
			if filter[h&(1<<19-1)/64]&(1<<(h%64)) == 0 {
				continue
			}
			for _, n := range byHead[h] {
				if bytes.HasPrefix(run[i:], n) {
					found = append(found, n)
				}
			}
		}
	}
	return found
}
