// Package digest is the one seam through which this module computes SHA-256
// (FIPS 180-4) over data that it holds whole.
//
// Two implementations stand behind [Sum256]: github.com/minio/sha256-simd where
// the processor has SHA extensions (SHA-NI on x86-64, SHA2 on arm64), and
// crypto/sha256 everywhere else. Both give the same bytes; a property test
// holds them to it, and the package's benchmarks print both.
//
// Only sha256-simd's one-shot Sum256 is used, and only on those processors:
//
//   - without SHA extensions its Sum256 is plain Go, two to three times slower
//     than crypto/sha256, which has AVX2 code;
//   - its AVX-512 server (NewAvx512Server, NewAvx512) gave wrong hashes when it was
//     written to in small pieces, because it hands the caller's buffer to another
//     goroutine and goes on using it. It must never be used here.
//
// The package holds no key and no state. Everything in it may be called from
// several goroutines at once.
package digest

import (
	"crypto/sha256"
	"runtime"

	"github.com/klauspost/cpuid/v2"
	simd "github.com/minio/sha256-simd"
)

// Size is the length of a SHA-256 digest in bytes.
const Size = sha256.Size

// hasSHAExtensions says whether sha256-simd would take its hardware path. It is
// the same question, put to the same library, as sha256-simd asks itself; where
// sha256-simd also reads /proc/cpuinfo (old arm64 kernels) this says no, and
// crypto/sha256 runs instead.
var hasSHAExtensions = func() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)
	case "arm64":
		return cpuid.CPU.Has(cpuid.SHA2)
	}
	return false
}()

// Sum256 returns the SHA-256 digest of b. It does not keep or change b, and does
// not allocate.
func Sum256(b []byte) [Size]byte {
	if hasSHAExtensions {
		return simd.Sum256(b)
	}
	return sha256.Sum256(b)
}

// Name names the implementation that Sum256 uses on this processor:
// "sha256-simd" or "crypto/sha256".
func Name() string {
	if hasSHAExtensions {
		return "sha256-simd"
	}
	return "crypto/sha256"
}
