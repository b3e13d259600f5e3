package keyring

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"consentledger/crypto/seal"
)

// The closure test is the promise of the package, tried by an attacker who has every page that was
// ever put, and one root key. He opens whatever any key that he has opens, at any place, takes the
// keys that he finds there, and goes on until nothing new opens.

// story is what was written, and what is to be dead and alive at its end.
type story struct {
	images []image
	roots  []seal.Key      // in order; the last is today's
	dead   map[string]bool // secrets that a destruction took away: keys, ids' paths, nonces
	last   map[string]bool // of these, what the last destruction took
	alive  map[string]bool
}

const secretPrefix = 8

type storyOptions struct {
	members, destructions int
	pageRand              io.Reader
	sameRoot              bool // destroy without a new root
}

type livingMember struct {
	slot uint64
	m    *Member
}

// tell enrols members in groups and destroys in between: whole memberships, single keys, days of
// ratchets, one at a time and in groups.
func tell(t *testing.T, o storyOptions) *story {
	t.Helper()
	pages := newMemPages()
	pages.keep = true
	src := seeded(11) // members' keys; not what pages are sealed under
	pick := rand.New(seeded(12))
	if o.pageRand == nil {
		o.pageRand = seeded(13)
	}
	s := &story{dead: make(map[string]bool), alive: make(map[string]bool)}
	s.roots = []seal.Key{drawKey(src)}
	k := New(testLedger, pages, Options{Rand: o.pageRand, CacheBytes: 64 << 10})
	root := func() seal.Key { return s.roots[len(s.roots)-1] }
	die := func(secret []byte) {
		s.dead[string(secret)] = true
		s.last[string(secret)] = true
	}

	b := k.Begin()
	for _, name := range []string{"path", "ref", "seed"} {
		key := drawKey(src)
		must(t, b.PutSystem(name, key))
		s.alive[string(key.AppendTo(nil))] = true
	}
	commit(t, b, pages, root())

	var living []livingMember
	enrol := func(n int) {
		b := k.Begin()
		for range n {
			m := &Member{Nonce: binary.BigEndian.Uint64(drawKey(src).AppendTo(nil)), Path: IDPath(drawKey(src).AppendTo(nil)[:16]), Kind: "standard"}
			for _, class := range []string{"haim/membership", "haim/contracts", "haim/access"} {
				mk := MemberKey{Class: class, Key: drawKey(src), Due: int64(pick.IntN(1000))}
				if class == "haim/access" {
					mk.Ratchet, mk.TagKey, mk.Day = true, drawKey(src), 20000
				}
				m.Keys = append(m.Keys, mk)
			}
			slot := b.nextSlot
			b.SetNextSlot(slot + 1)
			must(t, b.PutMember(slot, m))
			must(t, b.PutID(m.Path, IDRecord{Slot: slot}))
			living = append(living, livingMember{slot, m})
		}
		commit(t, b, pages, root())
	}
	destroy := func(n int) {
		s.last = make(map[string]bool)
		b := k.Begin()
		for range n {
			i := pick.IntN(len(living))
			l := living[i]
			switch pick.IntN(4) {
			case 0, 1: // all of it
				must(t, b.DeleteMember(l.slot))
				must(t, b.DeleteID(l.m.Path))
				for _, mk := range l.m.Keys {
					die(mk.Key.AppendTo(nil))
					if mk.Ratchet {
						die(mk.TagKey.AppendTo(nil))
					}
				}
				die(l.m.Path[:])
				die(binary.BigEndian.AppendUint64(nil, l.m.Nonce))
				living[i] = living[len(living)-1]
				living = living[:len(living)-1]
			case 2: // one key of several
				m := l.m.Clone()
				if len(m.Keys) > 1 {
					die(m.Keys[0].Key.AppendTo(nil))
					m.Keys = m.Keys[1:]
				}
				must(t, b.PutMember(l.slot, m))
				living[i].m = m
			case 3: // the older days of a ratchet
				m := l.m.Clone()
				for j := range m.Keys {
					if mk := &m.Keys[j]; mk.Ratchet {
						die(mk.Key.AppendTo(nil))
						mk.Key, mk.Day = mk.Key.Next(), mk.Day+1
					}
				}
				must(t, b.PutMember(l.slot, m))
				living[i].m = m
			}
		}
		if !o.sameRoot {
			s.roots = append(s.roots, drawKey(src))
		}
		commit(t, b, pages, root())
	}

	destroyed := 0
	for enrolled := 0; enrolled < o.members; {
		n := min(1+pick.IntN(64), o.members-enrolled)
		enrol(n)
		enrolled += n
		for destroyed*o.members < o.destructions*enrolled {
			n := 1
			if pick.IntN(4) == 0 {
				n = 1 + pick.IntN(12)
			}
			destroy(n)
			destroyed += n
		}
	}
	destroy(3)
	must(t, pages.visit(testLedger, root(), func([]byte, *node) {}))
	for _, l := range living {
		for _, mk := range l.m.Keys {
			s.alive[string(mk.Key.AppendTo(nil))] = true
		}
		s.alive[string(l.m.Path[:])] = true
		s.alive[string(binary.BigEndian.AppendUint64(nil, l.m.Nonce))] = true
	}
	s.images = pages.images
	return s
}

// loot is what the attacker came to.
type loot struct {
	opened            int
	secrets           map[string]bool // of those that are looked for
	dead, alive, last int
}

// attack opens all that can be opened from some roots. With everywhere set each key is tried on
// every image of every position, else only where the tree says that it belongs.
func (s *story) attack(t *testing.T, roots []seal.Key, everywhere bool) loot {
	t.Helper()
	byPrefix := make(map[[secretPrefix]byte][]string)
	for _, set := range []map[string]bool{s.dead, s.alive} {
		for secret := range set {
			p := [secretPrefix]byte([]byte(secret[:secretPrefix]))
			byPrefix[p] = append(byPrefix[p], secret)
		}
	}
	l := loot{secrets: make(map[string]bool)}
	byPosition := make(map[string][]int)
	aads := make([][]byte, len(s.images))
	for i, im := range s.images {
		byPosition[im.pos] = append(byPosition[im.pos], i)
		aads[i] = appendAAD(nil, testLedger, []byte(im.pos))
	}
	open := make([]bool, len(s.images))
	type try struct {
		pos string
		key seal.Key
	}
	var tries []try
	tried := make(map[string]bool)
	add := func(pos string, key seal.Key) {
		id := pos
		if everywhere {
			id = ""
		}
		id += "|" + string(key.AppendTo(nil))
		if !tried[id] {
			tried[id] = true
			tries = append(tries, try{pos, key})
		}
	}

	read := func(i int, plain []byte) {
		open[i] = true
		l.opened++
		for at := range len(plain) - secretPrefix + 1 {
			for _, secret := range byPrefix[[secretPrefix]byte(plain[at:])] {
				if bytes.HasPrefix(plain[at:], []byte(secret)) {
					l.secrets[secret] = true
				}
			}
		}
		path := unpack(t, s.images[i].pos)
		if len(path) == 0 {
			plain = plain[8:]
		}
		n, err := parsePage(bytes.Clone(plain), path)
		if err != nil {
			t.Fatal(err)
		}
		for j := range n.kids {
			if r := n.kids[j].ref; r != nil {
				child := append(append(bytes.Clone(path), n.prefix...), byte(j))
				add(string(position(child)), r.key)
			}
		}
		for _, rec := range n.recs {
			switch rec.key[0] {
			case mapSystem: // as good a key to try as any
				key, err := seal.KeyFromBytes(rec.val)
				must(t, err)
				add(string(TopPosition()), key)
			case mapSlot:
				m, err := decodeMember(rec.val)
				must(t, err)
				for _, mk := range m.Keys {
					key := mk.Key
					for range 10 { // a ratchet's later days are to be had
						if secret := string(key.AppendTo(nil)); s.dead[secret] || s.alive[secret] {
							l.secrets[secret] = true
						}
						if !mk.Ratchet {
							break
						}
						key = key.Next()
					}
				}
			}
		}
	}
	for _, root := range roots {
		for _, i := range byPosition[string(TopPosition())] {
			plain, err := openTop(root, aads[i], s.images[i].sealed)
			if err == nil && !open[i] {
				read(i, plain)
			}
		}
		add(string(TopPosition()), root)
	}
	for len(tries) > 0 {
		next := tries[len(tries)-1]
		tries = tries[:len(tries)-1]
		aead := pageCipher(next.key)
		if !everywhere {
			for _, i := range byPosition[next.pos] {
				if plain, ok := tryOpen(aead, s.images[i].sealed, aads[i]); ok && !open[i] {
					read(i, plain)
				}
			}
			continue
		}
		for i := range s.images {
			if open[i] {
				continue
			}
			if plain, ok := tryOpen(aead, s.images[i].sealed, aads[i]); ok {
				read(i, plain)
			}
		}
	}
	for secret := range l.secrets {
		if s.dead[secret] {
			l.dead++
		}
		if s.alive[secret] {
			l.alive++
		}
		if s.last[secret] {
			l.last++
		}
	}
	return l
}

var zeroNonce [12]byte

func tryOpen(aead cipher.AEAD, sealed, aad []byte) ([]byte, bool) {
	plain, err := aead.Open(nil, zeroNonce[:], sealed, aad)
	return plain, err == nil
}

// unpack is the path that a position names.
func unpack(t *testing.T, pos string) []byte {
	t.Helper()
	var path []byte
	for i := range int(pos[0]) {
		path = append(path, nibble([]byte(pos[1:]), i))
	}
	if string(position(path)) != pos {
		t.Fatalf("position %x is not in canonical form", pos)
	}
	return path
}

func TestNoDestroyedKeyIsReachedFromTheFinalRoot(t *testing.T) {
	s := tell(t, storyOptions{members: 2000, destructions: 220})
	if len(s.dead) < 500 || len(s.last) == 0 {
		t.Fatalf("only %d secrets were destroyed", len(s.dead))
	}
	today := s.roots[len(s.roots)-1:]
	l := s.attack(t, today, !testing.Short())
	t.Logf("%d images, %d opened; %d destroyed secrets, %d reached; %d living ones, %d reached",
		len(s.images), l.opened, len(s.dead), l.dead, len(s.alive), l.alive)
	if l.dead != 0 {
		t.Errorf("%d of %d destroyed secrets are reached from today's root", l.dead, len(s.dead))
	}
	if l.alive != len(s.alive) {
		t.Errorf("%d of %d living secrets are reached from today's root", l.alive, len(s.alive))
	}

	// Controls: with more than today's root the same attacker finds what was destroyed.
	before := s.attack(t, s.roots[len(s.roots)-2:len(s.roots)-1], false)
	if before.last != len(s.last) || before.dead < before.last {
		t.Errorf("from the root before, %d of %d secrets of the last destruction are reached: the attack misses things", before.last, len(s.last))
	}
	all := s.attack(t, s.roots, false)
	if all.dead != len(s.dead) || all.alive != len(s.alive) || all.opened != len(s.images) {
		t.Errorf("from all roots, %d of %d destroyed and %d of %d living secrets are reached, %d of %d images opened: the attack misses things",
			all.dead, len(s.dead), all.alive, len(s.alive), all.opened, len(s.images))
	}
	t.Logf("from the root before: %d destroyed secrets; from all %d roots: %d", before.dead, len(s.roots), all.dead)
}

// always is a broken source: the same bytes again and again.
type always byte

func (a always) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(a)
	}
	return len(p), nil
}

func TestTheAttackFindsPagesThatKeepTheirKey(t *testing.T) {
	s := tell(t, storyOptions{members: 300, destructions: 30, pageRand: always(7)})
	l := s.attack(t, s.roots[len(s.roots)-1:], false)
	if l.dead == 0 {
		t.Error("pages were rewritten under the keys that they had, and the attack found nothing")
	}
	t.Logf("%d of %d destroyed secrets", l.dead, len(s.dead))
}

func TestTheAttackFindsWhatWasDestroyedUnderTheSameRoot(t *testing.T) {
	s := tell(t, storyOptions{members: 300, destructions: 30, sameRoot: true})
	l := s.attack(t, s.roots, false)
	if l.dead != len(s.dead) {
		t.Errorf("the root stayed, and the attack found only %d of %d destroyed secrets", l.dead, len(s.dead))
	}
}
