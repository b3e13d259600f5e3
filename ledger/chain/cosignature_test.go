package chain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

const interopWitnessVkey = "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"

// interopCosignedAt is the time in the interop vector's cosignature.
const interopCosignedAt = 0x6b02d1ce

func testCosigner(t testing.TB, seconds int64) (note.Signer, note.Verifier) {
	t.Helper()
	s, vkey, err := NewCosigner("witness.example/w1", testSeed(2), func() time.Time { return time.Unix(seconds, 0) })
	if err != nil {
		t.Fatal(err)
	}
	v, err := ParseWitnessKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if v.Name() != s.Name() || v.KeyHash() != s.KeyHash() {
		t.Errorf("the verifier is of %s %08x, the signer of %s %08x", v.Name(), v.KeyHash(), s.Name(), s.KeyHash())
	}
	return s, v
}

func TestACosignatureIsTheInteropVectorsByteForByte(t *testing.T) {
	s, vkey, err := NewCosigner("witness.example/w1", testSeed(2), func() time.Time { return time.Unix(interopCosignedAt, 0) })
	if err != nil {
		t.Fatal(err)
	}
	if vkey != interopWitnessVkey {
		t.Errorf("verifier key %s", vkey)
	}
	_, log := testSigner(t)
	n, err := note.Open([]byte(interopCheckpoint), note.VerifierList(log))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(n, s)
	if err != nil || string(msg) != interopCheckpoint+interopCosignature {
		t.Errorf("%v\n%s", err, msg)
	}
}

func TestACosignatureVerifiesAsOthersVerifyIt(t *testing.T) {
	_, log := testSigner(t)
	_, ours := testCosigner(t, 1)
	theirs, err := fnote.NewVerifierForCosignatureV1(interopWitnessVkey)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []note.Verifier{ours, theirs} {
		n, err := note.Open([]byte(interopCheckpoint+interopCosignature), note.VerifierList(log, v))
		if err != nil || len(n.Sigs) != 2 {
			t.Fatalf("%d signatures, %v", len(n.Sigs), err)
		}
		at, err := CosignedAt(n.Sigs[1])
		if err != nil || at.Unix() != interopCosignedAt {
			t.Errorf("cosigned at %s, %v", at, err)
		}
		if _, err := CosignedAt(n.Sigs[0]); !errors.Is(err, ErrSignature) {
			t.Errorf("the log's signature has a time: %v", err)
		}
		// One flipped bit of the time or of the signature and it is rejected.
		for at := range 72 {
			raw, err := base64.StdEncoding.DecodeString(strings.Fields(interopCosignature)[2])
			if err != nil {
				t.Fatal(err)
			}
			raw[4+at] ^= 1 << (at % 8)
			msg := interopCheckpoint + "— witness.example/w1 " + base64.StdEncoding.EncodeToString(raw) + "\n"
			if _, err := note.Open([]byte(msg), note.VerifierList(log, v)); err == nil {
				t.Errorf("accepted with byte %d changed", at)
			}
		}
	}
	// And what others sign verifies here.
	other, err := fnote.NewSignerForCosignatureV1("PRIVATE+KEY+witness.example/w1+df1c0a35+" + base64.StdEncoding.EncodeToString(append([]byte{4}, bytes.Repeat([]byte{2}, 32)...)))
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(interopCheckpoint), note.VerifierList(log))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(n, other)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(msg, note.VerifierList(log, ours)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("another's cosignature: %v", err)
	}
}

func TestAWitnessSignsCheckpointsAndNothingElse(t *testing.T) {
	s, v := testCosigner(t, interopCosignedAt)
	root := "\nLvodQLTHdskkq2kQWJ5ltnHVc1jx6YUwA3Yk6tY91Us=\n"
	for _, text := range []string{
		"some text\n", "cosignature/v1\ntime 1\na\n1\n", "", "a\n1", "a\n1\n", "a\n1" + root[:len(root)-1], "\n1" + root, "a\n01" + root, "a\n-1" + root, "a\n9223372036854775808" + root,
		"a\n1" + root + "\n", "a\n1" + root + "extension\n\n", "a\n1" + root[:43] + "t=\n", "a\n1\nAAAA\n", strings.Repeat("a", 256) + "\n1" + root, "\xff\n1" + root,
	} {
		if sig, err := s.Sign([]byte(text)); err == nil {
			t.Errorf("signed %q: %x", text, sig)
		}
	}
	// Other people's logs have names and extension lines that ours do not have.
	for _, text := range []string{"go.sum database tree\n1" + root, "a+b\n1" + root + "extension\n"} {
		if sig, err := s.Sign([]byte(text)); err != nil || !v.Verify([]byte(text), sig) {
			t.Errorf("another's checkpoint: %v", err)
		}
	}
	text := Checkpoint{testOrigin, 1, Hash{1}}.text()
	sig, err := s.Sign([]byte(text))
	if err != nil || !v.Verify([]byte(text), sig) {
		t.Fatalf("control: %v", err)
	}
	if v.Verify([]byte(text), append(sig, 0)) || v.Verify([]byte(text), sig[:71]) || v.Verify([]byte(text), nil) {
		t.Error("a cosignature of another length was accepted")
	}
	// The specification's largest time, and the first beyond.
	for seconds, good := range map[uint64]bool{1<<63 - 1: true, 1 << 63: false, 1<<64 - 1: false} {
		sig := append(binary.BigEndian.AppendUint64(nil, seconds), ed25519.Sign(s.(*cosigner).key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text))...)
		if v.Verify([]byte(text), sig) != good {
			t.Errorf("a time of %d: not %v", seconds, good)
		}
	}
	early, _ := testCosigner(t, 0)
	if _, err := early.Sign([]byte(text)); err == nil {
		t.Error("signed without a time")
	}
}

func TestAWitnessKeyThatIsNoneIsRefused(t *testing.T) {
	id := func(name string, typed ...byte) string {
		return fmt.Sprintf("%s+%08x+%s", name, keyID(name, typed), base64.StdEncoding.EncodeToString(typed))
	}
	key := bytes.Repeat([]byte{7}, 32)
	if _, err := ParseWitnessKey(id("w.example", append([]byte{4}, key...)...)); err != nil {
		t.Errorf("control: %v", err)
	}
	for name, vkey := range map[string]string{
		"empty": "", "no key": "w.example", "a log's": interopVkey, "short": id("w.example", append([]byte{4}, key[:31]...)...),
		"long": id("w.example", append([]byte{4, 0}, key...)...), "post-quantum": id("w.example", append([]byte{6}, key...)...),
		"another id": strings.Replace(interopWitnessVkey, "df1c0a35", "df1c0a36", 1), "an id in capitals": strings.Replace(interopWitnessVkey, "df1c0a35", "DF1C0A35", 1),
		"another name": strings.Replace(interopWitnessVkey, "w1", "w2", 1), "stray bits": interopWitnessVkey[:len(interopWitnessVkey)-1] + "V",
		"a line end": interopWitnessVkey + "\n", "a space in the name": id("w example", append([]byte{4}, key...)...), "no type": "w.example+00000000+",
	} {
		if v, err := ParseWitnessKey(vkey); !errors.Is(err, ErrWitnessKey) || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACosignerPrintsNoKey(t *testing.T) {
	s, _ := testCosigner(t, 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "[key]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if _, _, err := NewCosigner("w.example", [32]byte{}, time.Now); err == nil {
		t.Error("a seed of zeroes was taken")
	}
	if _, _, err := NewCosigner("w example", testSeed(1), time.Now); !errors.Is(err, ErrOrigin) {
		t.Errorf("a bad name: %v", err)
	}
}
