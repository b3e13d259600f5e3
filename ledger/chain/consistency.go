package chain

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrInconsistent says that a proof does not show that one head continues
// another. Every error of CheckConsistency wraps it.
var ErrInconsistent = errors.New("not a continuation")

// MaxConsistency is how many hashes a consistency proof can have.
const MaxConsistency = 63

// CheckConsistency reports whether the log of newer begins with all of the log
// of older, by a consistency proof of RFC 6962, section 2.1.2. The origins are
// not looked at. From an empty log and to an equal size the proof is empty.
func CheckConsistency(older, newer Checkpoint, proof []Hash) error {
	switch {
	case older.Size > newer.Size:
		return fmt.Errorf("%w: %d entries are fewer than %d", ErrInconsistent, newer.Size, older.Size)
	case len(proof) > MaxConsistency:
		return fmt.Errorf("%w: a proof has at most %d hashes", ErrInconsistent, MaxConsistency)
	case (older.Size == 0 && older.Root != emptyRoot()) || (newer.Size == 0 && newer.Root != emptyRoot()):
		return fmt.Errorf("%w: the root hash of a size of 0 is not that of an empty log", ErrInconsistent)
	case (older.Size == 0 || older.Size == newer.Size) && len(proof) > 0:
		return fmt.Errorf("%w: from %d to %d entries nothing is to be proved, and there is a proof", ErrInconsistent, older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return fmt.Errorf("%w: two logs of %d entries with different root hashes", ErrInconsistent, older.Size)
	case older.Size == 0 || older.Size == newer.Size:
		return nil
	}
	hashes := make(tlog.TreeProof, len(proof))
	for i, h := range proof {
		hashes[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(hashes, int64(newer.Size), tlog.Hash(newer.Root), int64(older.Size), tlog.Hash(older.Root)); err != nil {
		return fmt.Errorf("%w: the proof does not lead from %d entries to %d", ErrInconsistent, older.Size, newer.Size)
	}
	return nil
}

// EmptyHead is the head of a log without entries.
func EmptyHead(origin string) Checkpoint { return Checkpoint{Origin: origin, Root: emptyRoot()} }
