package ledger

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// An attacker who has the openings that wait in answers and certificates can test guesses: whose a
// destruction is. This part of the attacker, too, is written from FORMAT.md alone.

// epochLoot is a key that moves on with time, as the keyring held it.
type epochLoot struct {
	name   string
	number uint32
	key    [32]byte
}

// keysAt returns what the epochs of a name give of some numbers.
func (l *loot) keysAt(name string, numbers map[uint32]bool) map[uint32][][]byte {
	out := map[uint32][][]byte{}
	last := uint32(0)
	for n := range numbers {
		last = max(last, n)
	}
	for e := range l.epochs {
		if e.name != name {
			continue
		}
		for n, key := e.number, e.key[:]; n <= last; n++ {
			if numbers[n] {
				out[n] = append(out[n], key)
			}
			next, err := hkdf.Expand(sha256.New, key, "consentledger/ratchet/v1", 32)
			if err != nil {
				panic(err)
			}
			key = next
		}
	}
	return out
}

// openSealed opens a sealed part that is no entry's.
func (a *attacker) openSealed(version byte, key, sealed []byte) (map[int]any, bool) {
	salt, commitment, nonce := sealed[16:48], sealed[48:80], sealed[80:92]
	okm := expand(key, salt, "consentledger/entry/v1"+a.origin, 64)
	if string(okm[32:]) != string(commitment) {
		return nil, false
	}
	plain, err := gcm(okm[:32]).Open(nil, nonce, sealed[92:], append([]byte{version}, sealed[:80]...))
	if err != nil {
		return nil, false
	}
	var body map[int]any
	if err := cbor.Unmarshal(plain[4:4+binary.BigEndian.Uint32(plain)], &body); err != nil {
		panic(err)
	}
	return body, true
}

// openings finds every opening that the loot leads to.
func (a *attacker) openings(l *loot) (found [][]byte) {
	hours, days := map[uint32]bool{}, map[uint32]bool{}
	for row := range a.marks {
		hours[binary.BigEndian.Uint32([]byte(row)[32:])] = true
	}
	for row := range a.waits {
		days[binary.BigEndian.Uint32([]byte(row))] = true
	}
	answers, waiting := l.keysAt("answers", hours), l.keysAt("waiting", days)
	take := func(body map[int]any, key int) {
		if o, ok := body[key].([]byte); ok {
			found = append(found, o)
		}
	}
	for r := range a.marks {
		row := []byte(r)
		n, tag := int(row[52]), row[:16]
		if len(row) < 53+8*n+92 || len(answers[binary.BigEndian.Uint32(row[32:])]) == 0 {
			continue
		}
		// Of a member who is left, the keys that the answer lies under are to be had as well.
		var under []byte
		for i := range n {
			for k := range l.keys {
				if string(hmac256(k[:], []byte("consentledger/answer-id/v1"), tag)[:8]) == string(row[53+8*i:61+8*i]) {
					under = append(under, k[:]...)
					break
				}
			}
		}
		if len(under) != 32*n {
			continue
		}
		for _, hour := range answers[binary.BigEndian.Uint32(row[32:])] {
			key := hmac256(hour, []byte("consentledger/answer/v1"), tag, under)
			if body, ok := a.openSealed(0x81, key, row[53+8*n:]); ok {
				take(body, 13)
			}
		}
	}
	for r := range a.waits {
		row := []byte(r)
		for _, day := range waiting[binary.BigEndian.Uint32(row)] {
			if body, ok := a.openSealed(0x82, day, row[4:]); ok {
				take(body, 1)
			}
		}
	}
	return found
}

// confirm says how many of some guesses the loot makes sure: that a destruction is theirs.
func (a *attacker) confirm(l *loot, guesses [][]byte) (sure, openings, commitments int) {
	committed := map[[32]byte]bool{}
	for _, padded := range l.entries {
		var body map[int]any
		raw := []byte(padded)
		if err := cbor.Unmarshal(raw[4:4+binary.BigEndian.Uint32(raw)], &body); err != nil || body[1] != "destruction" {
			continue
		}
		if c, ok := body[7].([]byte); ok {
			committed[[32]byte(c)] = true
		}
	}
	found := map[string]bool{}
	for _, o := range a.openings(l) {
		found[string(o)] = true
	}
	for o := range found {
		for _, g := range guesses {
			if committed[sha256.Sum256(append([]byte(o), g...))] {
				sure++
				break
			}
		}
	}
	return sure, len(found), len(committed)
}

// guesses are the ids and refs of everybody who ever was there.
func (r *closureRun) guesses() (all [][]byte) {
	for _, i := range slices.Sorted(maps.Keys(r.tr.members)) {
		m := r.tr.members[i]
		all = append(all, []byte(m.id), []byte(r.refs.ref(m.slot, m.nonce).String()))
	}
	return all
}
