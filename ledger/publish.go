package ledger

import (
	"fmt"
	"time"

	"consentledger/ledger/chain"
)

// publishedHead is a checkpoint that may be shown: its entries are durable, and so is itself.
type publishedHead struct {
	size uint64
	note []byte
	at   time.Time // zero: before this start

	edges edges
}

// durableHead is the head of what is durable, signed or not.
type durableHead struct {
	size uint64
	root chain.Hash
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
	l.published.Store(&publishedHead{size: cp.Size, note: note, at: l.o.Clock()})
	l.cosigning.published(cp.Size, note)
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
