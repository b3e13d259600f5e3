package chain

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Verify checks a log: that every entry parses, links to the one before and
// was not recorded before it; that the stored full tiles of every level are
// those that the entries give; that the log's own checkpoint, and each from
// outside, is signed by the log and has the root that the entries give at its
// size. It needs no secret. Where something is wrong it names the first bad
// place, the same however many goroutines look.
//
// A Report that is not Intact is an answer, not an error. An error means that
// the log could not be read to its end or ctx was cancelled: nothing is known
// of it. The entries that are there when it begins are verified; the log may
// grow meanwhile. It reads each entry and tile once, and holds some 10 KiB for
// each of four blocks of 256 entries a job.
//
// The checks are those of RFC 6962 section 2.1 and ledger/FORMAT.md. When a
// link is broken, one of two entries is wrong: the stored tile says which;
// where there is none yet, a checkpoint that the entries would fit if that
// one were as its successor says; else whether the later of the two is itself
// what its successor links to.
func Verify(ctx context.Context, src Source, o VerifyOptions) (Report, error) {
	// The checkpoint first: a log that grows has no fewer entries later.
	own, err := src.Checkpoint()
	if err != nil {
		return Report{}, fmt.Errorf("verifying: reading the log's checkpoint: %w", err)
	}
	size, err := src.Size()
	if err != nil {
		return Report{}, fmt.Errorf("verifying: reading the log's size: %w", err)
	}
	if size > maxSize {
		return Report{}, fmt.Errorf("verifying: the log claims %d entries, the largest size is %d", size, uint64(maxSize))
	}
	c := newCollector(src, size, openHeads(own, o))
	if err := c.run(ctx, o); err != nil {
		return Report{}, fmt.Errorf("verifying: %w", err)
	}
	if err := c.beyond(); err != nil {
		return Report{}, fmt.Errorf("verifying: %w", err)
	}
	return c.report(o), nil
}

// progressBlocks is how many blocks are done between two calls of Progress.
const progressBlocks = 64

// run has the blocks scanned by several goroutines and collects them in order.
func (c *collector) run(ctx context.Context, o VerifyOptions) error {
	blocks := (c.size + TileHashes - 1) / TileHashes
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = int(min(uint64(jobs), max(blocks, 1)))
	window := 4 * jobs

	g, ctx := errgroup.WithContext(ctx)
	free := make(chan *block, window) // blocks to be filled; bounds the memory
	work := make(chan *block)
	done := make(chan *block, window) // never full, so a worker never waits on it
	for range window {
		free <- new(block)
	}
	g.Go(func() error {
		defer close(work)
		for n := range blocks {
			// Blocks are given out in order, so the one that the collector
			// waits for always has a worker, and frees another when done.
			select {
			case b := <-free:
				b.n, b.count = n, int(min(TileHashes, c.size-n*TileHashes))
				select {
				case work <- b:
				case <-ctx.Done():
					return ctx.Err()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range jobs {
		g.Go(func() error {
			s := scanner{src: c.src}
			for b := range work {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := s.scan(b); err != nil {
					return err
				}
				done <- b
			}
			return nil
		})
	}
	g.Go(func() error {
		early := make(map[uint64]*block, window)
		for next := uint64(0); next < blocks; {
			b, ok := early[next]
			if !ok {
				select {
				case b := <-done:
					early[b.n] = b
				case <-ctx.Done():
					return ctx.Err()
				}
				continue
			}
			delete(early, next)
			if err := c.take(b); err != nil {
				return err
			}
			free <- b
			if next++; o.Progress != nil && (next%progressBlocks == 0 || next == blocks) {
				o.Progress(min(next*TileHashes, c.size), c.size)
			}
		}
		return nil
	})
	return g.Wait()
}
