package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// hmacOf is HMAC-SHA-256 of the standard library, over what FORMAT.md names.
func hmacOf(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// A mark is read here by FORMAT.md alone, with the standard library, from the keys that the keyring gives.
func TestAMarkIsWhatTheFormatSays(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	a := mustDoOnce(t, l, writer, "a key", enrolment(t, "format@shop.example", w))
	row := marksOf(t, l)[0]
	now := a.RecordedAt.Unix()
	epochKey := func(name string, epoch uint32) []byte {
		t.Helper()
		first, key, err := l.keys.Epoch(name)
		if err != nil {
			t.Fatal(err)
		}
		k := key.AppendTo(nil)
		for ; first < epoch; first++ {
			if k, err = hkdf.Expand(sha256.New, k, "consentledger/ratchet/v1", 32); err != nil {
				t.Fatal(err)
			}
		}
		return k
	}
	month, hour := uint32(now/(30*24*3600)), uint32(now/3600)
	monthKey, hourKey := epochKey("marks", month), epochKey("answers", hour)

	tag := hmacOf(monthKey, []byte("tag\x00id/key_writer\x00a key"))[:16]
	body := hmacOf(monthKey, []byte("body\x00"), tag, []byte("*consent.Consent"))[:16]
	if string(row[:16]) != string(tag) || string(row[16:32]) != string(body) || binary.BigEndian.Uint32(row[32:]) != hour {
		t.Fatalf("tag, body or hour of %x", row[:36])
	}
	rec, err := l.keys.Member(1)
	if err != nil || int(row[52]) != len(a.Entries) {
		t.Fatalf("%d keys in the row, %v", row[52], err)
	}
	rest := row[53:]
	answer := [][]byte{[]byte("consentledger/answer/v1"), tag}
	for range a.Entries {
		found := false
		for i := range rec.Keys {
			k := rec.Keys[i].Key.AppendTo(nil)
			if id := hmacOf(k, []byte("consentledger/answer-id/v1"), tag)[:8]; string(id) == string(rest[:8]) {
				answer, found = append(answer, k), true
			}
		}
		if !found {
			t.Fatalf("no key has the id %x", rest[:8])
		}
		rest = rest[8:]
	}
	answerKey := hmacOf(hourKey, answer...)
	mask := hmacOf(answerKey, []byte("place"), tag)
	place := make([]byte, 16)
	for i := range place {
		place[i] = row[36+i] ^ mask[i]
	}
	if first := binary.BigEndian.Uint64(place); first != a.Entries[0].Index || int64(binary.BigEndian.Uint64(place[8:])) != a.RecordedAt.UnixMilli() {
		t.Errorf("the place is %d, and the first entry %d", first, a.Entries[0].Index)
	}
	// tag [16] | salt [32] | commitment [32] | nonce [12] | ciphertext, as in an entry
	salt, commitment, nonce, ciphertext := rest[16:48], rest[48:80], rest[80:92], rest[92:]
	prk, err := hkdf.Extract(sha256.New, answerKey, salt)
	if err != nil {
		t.Fatal(err)
	}
	okm, err := hkdf.Expand(sha256.New, prk, "consentledger/entry/v1"+"ledger.example/shop", 64)
	if err != nil {
		t.Fatal(err)
	}
	if string(okm[32:]) != string(commitment) {
		t.Fatal("the commitment is another")
	}
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, nonce, ciphertext, append(append(append([]byte{0x81}, tag...), salt...), commitment...))
	if err != nil {
		t.Fatal(err)
	}
	var got map[int]any
	if _, err := cbor.UnmarshalFirst(plain[4:4+binary.BigEndian.Uint32(plain)], &got); err != nil {
		t.Fatal(err)
	}
	if member, ok := got[1].([]byte); !ok || string(member) != string(a.Member[:]) || len(got[2].([]any)) != len(a.Entries) {
		t.Errorf("the sealed answer is %v", got)
	}
	verifyAll(t, l)
}
