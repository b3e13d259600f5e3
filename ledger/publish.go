package ledger

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
)

// publishedHead is a checkpoint that may be shown: its entries are durable, and so is itself.
type publishedHead struct {
	size uint64
	note []byte
	at   time.Time // zero: before this start

	edges [][]byte        // the right edge of each tile level at that size
	tree  tlog.HashReader // for proofs
}

// newPublishedHead takes the right edges from the tree. To work them out from what is stored would cost
// up to 255 full tiles a level, 10 ms, for each head and each proof.
func (l *Ledger) newPublishedHead(size uint64, note []byte, at time.Time, edges [][]byte) *publishedHead {
	return &publishedHead{size, note, at, edges, chain.EdgeReader(size, edges, l.tile)}
}

// durableHead is the head of what is durable, signed or not.
type durableHead struct {
	size  uint64
	root  chain.Hash
	edges [][]byte
}

// publishLoop signs a head once a second at most, while there is something new. The second begins when
// the one before is out: a disk that was slow is not made up for by two heads at a time.
func (l *Ledger) publishLoop() {
	wait := time.NewTimer(publishEvery)
	defer wait.Stop()
	for ; ; wait.Reset(publishEvery) {
		select {
		case <-l.closing:
			return
		case <-wait.C:
			if err := l.publish(0); err != nil {
				l.stop(err)
			}
		}
	}
}

// publish signs the durable head if it is newer than the published one, and at least of a size.
func (l *Ledger) publish(size uint64) error {
	l.publishMu.Lock()
	defer l.publishMu.Unlock()
	durable := l.durable.Load()
	have := l.published.Load()
	if have != nil && (have.size >= durable.size || (size > 0 && have.size >= size)) {
		return nil
	}
	if err := l.Health(); err != nil {
		return err
	}
	cp := chain.Checkpoint{Origin: l.id.Origin, Size: durable.size, Root: durable.root}
	note, err := cp.Sign(l.signer)
	if err != nil {
		return fmt.Errorf("sign the checkpoint: %w", err)
	}
	if err := l.headFile.put(note); err != nil {
		l.stop(err)
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	l.show(l.newPublishedHead(cp.Size, note, l.o.Clock(), durable.edges))
	return nil
}

// Checkpoint returns the newest published signed tree head, with the cosignatures that it has so far, nil
// while nothing was published.
func (l *Ledger) Checkpoint() []byte {
	if h := l.published.Load(); h != nil {
		return l.cosignedNote(h)
	}
	return nil
}
