package digest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	simd "github.com/minio/sha256-simd"
	"pgregory.net/rapid"
)

// implementations are everything that may ever stand behind Sum256, whatever
// this processor would choose.
var implementations = map[string]func([]byte) [32]byte{
	"Sum256":        Sum256,
	"crypto/sha256": sha256.Sum256,
	"sha256-simd":   simd.Sum256,
}

// Answers from FIPS 180-4's examples and NIST's CAVP SHA256ShortMsg file.
var known = []struct{ message, digest string }{
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
	},
	{
		strings.Repeat("a", 1_000_000),
		"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
	},
}

func TestPublishedMessagesHaveTheirPublishedDigests(t *testing.T) {
	for name, sum := range implementations {
		for _, v := range known {
			got := sum([]byte(v.message))
			if hex.EncodeToString(got[:]) != v.digest {
				t.Errorf("%s of %d bytes = %x, want %s", name, len(v.message), got, v.digest)
			}
		}
	}
}

func TestBothImplementationsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "bytes")
		// A slice that does not start where its array does: the assembly must
		// not need alignment.
		skip := rapid.IntRange(0, len(b)).Draw(t, "skip")
		b = b[skip:]
		before := bytes.Clone(b)
		want := sha256.Sum256(b)
		for name, sum := range implementations {
			if got := sum(b); got != want {
				t.Fatalf("%s of %d bytes = %x, want %x", name, len(b), got, want)
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("hashing changed its input")
		}
	})
}

func TestEveryLengthAroundABlockAgrees(t *testing.T) {
	b := make([]byte, 3*64+1)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	for n := range b {
		want := sha256.Sum256(b[:n])
		for name, sum := range implementations {
			if got := sum(b[:n]); got != want {
				t.Errorf("%s of %d bytes = %x, want %x", name, n, got, want)
			}
		}
	}
}

func TestConcurrentCallsDoNotDisturbOneAnother(t *testing.T) {
	const callers, calls = 4, 500
	done := make(chan error, callers)
	for c := range callers {
		go func() {
			b := bytes.Repeat([]byte{byte(c)}, 500+c)
			want := sha256.Sum256(b)
			for range calls {
				if got := Sum256(b); got != want {
					done <- fmt.Errorf("caller %d: %x, want %x", c, got, want)
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestSum256DoesNotAllocate(t *testing.T) {
	b := make([]byte, 405)
	if n := testing.AllocsPerRun(100, func() { Sum256(b) }); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}

func TestNameSaysWhichImplementationRuns(t *testing.T) {
	want := "crypto/sha256"
	if hasSHAExtensions {
		want = "sha256-simd"
	}
	if Name() != want {
		t.Errorf("Name() = %q, want %q", Name(), want)
	}
}

// The wrong hashes of sha256-simd came from its AVX-512 server, and its New
// returns a streaming digest that nobody here needs.
func TestOnlyTheOneShotOfSHA256SIMDIsUsed(t *testing.T) {
	forbidden := func(source string) bool {
		for line := range strings.Lines(source) {
			code, _, _ := strings.Cut(line, "//")
			if strings.Contains(code, "simd.") && !strings.Contains(code, "simd.Sum256(") {
				return true
			}
		}
		return false
	}
	if !forbidden("d := simd.New()\n") || !forbidden("s := simd.NewAvx512Server()\n") {
		t.Fatal("the check does not find what it looks for")
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if forbidden(string(source)) {
			t.Errorf("%s uses more of sha256-simd than Sum256", name)
		}
		checked++
	}
	if checked == 0 {
		t.Fatal("no source file was checked")
	}
}

func FuzzBothImplementationsAgree(f *testing.F) {
	for _, v := range known[:3] {
		f.Add([]byte(v.message))
	}
	f.Add(make([]byte, 405))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := sha256.Sum256(b)
		for name, sum := range implementations {
			if got := sum(b); got != want {
				t.Fatalf("%s of %d bytes = %x, want %x", name, len(b), got, want)
			}
		}
	})
}

// BenchmarkSum256 prints both implementations beside what Sum256 chose, for a
// tree node, a usual entry and the largest entry.
func BenchmarkSum256(b *testing.B) {
	b.Logf("Sum256 uses %s here", Name())
	for _, size := range []int{65, 405, 65_535} {
		for _, name := range []string{"Sum256", "crypto/sha256", "sha256-simd"} {
			b.Run(fmt.Sprintf("bytes=%d/%s", size, name), func(b *testing.B) {
				sum, in := implementations[name], make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					sum(in)
				}
			})
		}
	}
}
