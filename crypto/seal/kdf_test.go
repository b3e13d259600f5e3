package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"
)

// The standard library is the other implementation: HMAC, Extract and Expand agree with it for any
// key and any message, and a scratch that was used before gives no other answer.
func TestHMACAndHKDFAreThoseOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		msg := rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "message")
		info := rapid.String().Draw(t, "info")
		s := newScratch()
		defer s.free()
		s.msg = append(s.msg, msg...)
		got := s.hmac(&key)
		h := hmac.New(sha256.New, key[:])
		h.Write(msg)
		if want := h.Sum(nil); !bytes.Equal(got[:], want) {
			t.Fatalf("HMAC is %x, want %x", got, want)
		}
		s.key = key
		salt := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt")
		s.extract(salt)
		want, err := hkdf.Extract(sha256.New, key[:], salt)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.prk[:], want) {
			t.Fatalf("Extract is %x, want %x", s.prk, want)
		}
		for blocks := 1; blocks <= 2; blocks++ {
			s.expand(info, blocks)
			want, err := hkdf.Expand(sha256.New, s.prk[:], info, 32*blocks)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.okm[:32*blocks], want) {
				t.Fatalf("Expand to %d bytes is %x, want %x", 32*blocks, s.okm[:32*blocks], want)
			}
		}
	})
}
