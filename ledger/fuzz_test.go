package ledger

import (
	"bytes"
	"strings"
	"testing"

	"consentledger/crypto/seal"
	"consentledger/ledger/receipt"
)

// tokenOf writes a token as CreateAPIKey does.
func tokenOf(id string, secret [secretBytes]byte) string {
	body := tokenPrefix + id + "_" + tokenEncoding.EncodeToString(secret[:])
	return body + checksum(body)
}

func TestASecretHasOneSpelling(t *testing.T) {
	good := tokenOf("abcdefghijklmnop", [secretBytes]byte{1, 2, 3})
	if _, _, ok := parseToken(good); !ok { // the control
		t.Fatal("a token is not read")
	}
	// Another last letter of the secret that decodes to the same bytes, with a checksum that is right.
	body := good[:len(good)-checksumChars]
	last := strings.IndexByte("abcdefghijklmnopqrstuvwxyz234567", body[len(body)-1])
	other := body[:len(body)-1] + string("abcdefghijklmnopqrstuvwxyz234567"[last|1])
	if _, _, ok := parseToken(other + checksum(other)); ok {
		t.Fatal("a second spelling of a secret is taken")
	}
}

// FuzzToken: what is read as a token is the only way to write it.
func FuzzToken(f *testing.F) {
	f.Add(tokenOf("abcdefghijklmnop", [secretBytes]byte{1, 2, 3}))
	f.Add(tokenOf("2222222222222222", [secretBytes]byte{31: 0xff}))
	f.Add("cl_live_abcdefghijklmnop_")
	f.Add("cl_live_" + strings.Repeat("_", 80))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		for _, token := range []string{s, s + checksum(s)} { // the checksum is not what keeps anybody out
			id, secret, ok := parseToken(token)
			if ok && tokenOf(strings.TrimPrefix(id, "key_"), secret) != token {
				t.Fatalf("%q is read, and written otherwise", token)
			}
		}
	})
}

// FuzzRef: a ref has one spelling, and an operator's is none of a member's.
func FuzzRef(f *testing.F) {
	f.Add(Ref{}.String())
	f.Add(Ref{1, 2, 3, 15: 0xff}.String())
	f.Add(operatorID(Ref{9}))
	f.Add("mbr_")
	f.Add("mbr_" + strings.Repeat("7", 26))
	f.Add(strings.ToUpper(Ref{5}.String()))
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err == nil && r.String() != s {
			t.Fatalf("%q is read as %s", s, r)
		}
		if o, wrong := parseOperatorID(s); wrong == nil && (operatorID(o) != s || err == nil) {
			t.Fatalf("%q is an operator's, and read as %s", s, operatorID(o))
		}
	})
}

// FuzzHeadSlot: a slot of the head file is taken only whole.
func FuzzHeadSlot(f *testing.F) {
	f.Add([]byte(headMagic))
	f.Add(append([]byte(headMagic), make([]byte, 100)...))
	f.Add(append([]byte(headMagic), 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff))
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, note, ok := parseHeadSlot(b); ok && len(note) > len(b) {
			t.Fatal("a note is longer than its slot")
		}
	})
}

// FuzzHeadRow: a row that is read is written as it was, and no row is taken that this root did not write.
func FuzzHeadRow(f *testing.F) {
	key, err := seal.KeyFromBytes(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(headRow{size: 3, generation: 2, version: 1, recordedAt: 5}.encode(key.Derive(headLabel)))
	f.Add(make([]byte, headRowSize))
	f.Add(make([]byte, headRowSize-1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHead(b)
		if err != nil {
			return
		}
		again := h.encode(key.Derive(headLabel))
		if !bytes.Equal(again[:headRowSize-32], b[:headRowSize-32]) {
			t.Fatal("a head row is written otherwise than it was read")
		}
		if checkHead(b, key) == nil && !bytes.Equal(again, b) {
			t.Fatal("a head row is taken that this root did not write")
		}
	})
}

// ownBodies are one of each kind of entry that is the ledger's own.
func ownBodies() []any {
	return []any{&receipt.Destruction{}, &registerBody{}, &endingBody{}, &noticeBody{}, &operatorBody{}, &recipientBody{}, &eventBody{}, &onceAnswer{}}
}

// FuzzOwnBodies: what the ledger reads of its own entries has one encoding.
func FuzzOwnBodies(f *testing.F) {
	for _, v := range append(ownBodies(), operatorBody{Role: "dpo", Responsible: true, AtMs: 7}) {
		b, err := bodyEncoding.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 0xff})
	f.Add([]byte{0xa2, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range ownBodies() {
			if decodeBody(b, v) != nil {
				continue
			}
			if again, err := bodyEncoding.Marshal(v); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%T: %x is read, and written as %x", v, b, again)
			}
		}
	})
}
