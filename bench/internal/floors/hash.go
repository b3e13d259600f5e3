package floors

import (
	"sync"
	"time"

	"consentledger/crypto/digest"
)

// Hash hashes the leaves, which lie one after the other in memory, and as many
// nodes as a Merkle tree over them has, in some goroutines, and says how long
// it took: what nobody can leave out who checks the entries and tiles.
func Hash(leaves [][]byte, jobs int) time.Duration {
	begin := time.Now()
	var work sync.WaitGroup
	for j := range jobs {
		mine := leaves[len(leaves)*j/jobs : len(leaves)*(j+1)/jobs]
		work.Go(func() {
			var node [65]byte
			node[0] = 1
			for _, l := range mine {
				h := digest.Sum256(l)
				copy(node[1:], h[:])
				h = digest.Sum256(node[:])
				copy(node[33:], h[:])
			}
		})
	}
	work.Wait()
	return time.Since(begin)
}
