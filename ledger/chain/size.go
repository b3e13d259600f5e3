package chain

import "math/bits"

// The sizes that the padded plaintext of an entry's body can have. The rule
// stands here as well as where bodies are sealed, on purpose: a verifier that
// has no key refuses an entry whose size no honest writer can have produced,
// because odd sizes are a channel by which entries could be told apart.

// buckets are the padded sizes up to which the size is one of a few; above the
// last it follows PADMÉ.
var buckets = [...]int{256, 512, 1024, 2048, 4096}

// paddedSize returns the size to which n bytes of plaintext are padded.
func paddedSize(n int) int {
	for _, b := range buckets {
		if n <= b {
			return b
		}
	}
	return padme(n)
}

// isPaddedSize reports whether some plaintext is padded to n bytes.
func isPaddedSize(n int) bool { return n > 0 && paddedSize(n) == n }

// padme rounds n up so that its size says no more than O(log log n) bits:
// Nikitin, Barman, Lueks, Underwood, Hubaux, Ford, "Reducing Metadata Leakage
// from Encrypted Files and Communication with PURBs", PoPETs 2019(4),
// algorithm 1. E = floor(log2 n), S = floor(log2 E) + 1; the low E − S bits
// are rounded up to zero. n is at least 2.
func padme(n int) int {
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}
