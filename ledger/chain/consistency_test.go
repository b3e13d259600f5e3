package chain

import (
	"errors"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// The proofs are those of github.com/transparency-dev/merkle.
func TestAConsistencyProofIsHeldAgainstBothHeads(t *testing.T) {
	const most = 70
	tree := testonly.New(rfc6962.DefaultHasher)
	other := testonly.New(rfc6962.DefaultHasher)
	for i := range most {
		tree.AppendData(fmt.Appendf(nil, "leaf %d", i))
		other.AppendData(fmt.Appendf(nil, "other %d", i))
	}
	head := func(t *testonly.Tree, n uint64) Checkpoint {
		return Checkpoint{Origin: testOrigin, Size: n, Root: Hash(t.HashAt(n))}
	}
	for n := range uint64(most + 1) {
		for m := range n + 1 {
			raw, err := tree.ConsistencyProof(m, n)
			if err != nil {
				t.Fatal(err)
			}
			var proof []Hash
			for _, h := range raw {
				proof = append(proof, Hash(h))
			}
			if err := CheckConsistency(head(tree, m), head(tree, n), proof); err != nil {
				t.Fatalf("from %d to %d: %v", m, n, err)
			}
			if m > 0 {
				if err := CheckConsistency(head(other, m), head(tree, n), proof); !errors.Is(err, ErrInconsistent) {
					t.Fatalf("from another %d to %d: %v", m, n, err)
				}
				if err := CheckConsistency(head(tree, m), head(other, n), proof); !errors.Is(err, ErrInconsistent) {
					t.Fatalf("from %d to another %d: %v", m, n, err)
				}
			}
			if m < n {
				if err := CheckConsistency(head(tree, n), head(tree, m), proof); !errors.Is(err, ErrInconsistent) {
					t.Fatalf("from %d back to %d: %v", n, m, err)
				}
			}
			if err := CheckConsistency(head(tree, m), head(tree, n), append(proof, Hash{})); !errors.Is(err, ErrInconsistent) {
				t.Fatalf("from %d to %d with a hash too many: %v", m, n, err)
			}
			for i := range proof {
				proof[i][i%32] ^= 4
				if err := CheckConsistency(head(tree, m), head(tree, n), proof); !errors.Is(err, ErrInconsistent) {
					t.Fatalf("from %d to %d with hash %d changed: %v", m, n, i, err)
				}
				proof[i][i%32] ^= 4
			}
		}
	}
	if err := CheckConsistency(EmptyHead(testOrigin), Checkpoint{Origin: testOrigin, Root: Hash{1}}, nil); !errors.Is(err, ErrInconsistent) {
		t.Errorf("an empty log with another root hash: %v", err)
	}
}
