package witnessdir

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"

	"consentledger/ledger/chain"
)

// Keys with plus signs in their base64, too; and transparency-dev/formats reads the file.
func TestAKeyFileIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	plus := 0
	for i := range byte(60) {
		var seed [seedSize]byte
		copy(seed[:], bytes.Repeat([]byte{i + 1, 0xfb}, 16))
		_, vkey, err := chain.NewCosigner("witness.example/w1", seed, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "key")
		if err := writeKey(path, vkey, seed); err != nil {
			t.Fatal(err)
		}
		if strings.Count(vkey, "+") > 2 {
			plus++
		}
		signer, got, err := readKey(path, time.Now)
		if err != nil || got != vkey {
			t.Fatalf("%v\n%s\n%s", err, got, vkey)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := fnote.NewSignerForCosignatureV1(strings.TrimSuffix(string(b), "\n"))
		if err != nil || theirs.KeyHash() != signer.KeyHash() || theirs.Name() != signer.Name() {
			t.Fatalf("as others read it: %v", err)
		}
		if i == 0 {
			// One bit of any byte, and it is refused.
			for at := range b {
				bad := bytes.Clone(b)
				bad[at] ^= 1
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, _, err := readKey(path, time.Now); err == nil {
					t.Errorf("byte %d was changed, and it was read", at)
				} else if strings.Contains(err.Error(), string(b[len(b)-20:len(b)-1])) {
					t.Errorf("the error shows the key: %v", err)
				}
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if plus == 0 {
		t.Error("no key had a plus sign in its base64")
	}
}
