package chain

import (
	"context"
	"fmt"
	"runtime"
	"sync"

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
	if o.Start != nil {
		if err := c.start(*o.Start); err != nil {
			return Report{}, fmt.Errorf("verifying: %w", err)
		}
	}
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
	first, blocks := c.from/TileHashes, (c.size+TileHashes-1)/TileHashes
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	jobs = int(min(uint64(jobs), blocks-first))
	g, ctx := errgroup.WithContext(ctx)
	q := &blockQueue{
		collector: c,
		progress:  o.Progress,
		each:      o.Each,
		blocks:    blocks,
		given:     first,
		taken:     first,
		ring:      make([]ringBlock, min(4*uint64(jobs), blocks-first)),
	}
	q.room.L = &q.mu
	defer context.AfterFunc(ctx, q.stop)()
	for range jobs {
		g.Go(func() error { return q.work(ctx) })
	}
	return g.Wait()
}

// A blockQueue gives blocks out in order and collects them in order. Whoever
// finishes the block that is next to be collected collects it, and what is
// ready after it: collecting is short, and handing it to a goroutine of its
// own costs more.
type blockQueue struct {
	collector *collector
	progress  func(done, total uint64)
	each      func(index uint64, entry []byte, leaf Hash)
	blocks    uint64

	mu      sync.Mutex
	room    sync.Cond // the ring has room, or stopped is set
	stopped bool
	given   uint64 // blocks given out
	taken   uint64 // blocks collected
	ring    []ringBlock
}

// A ringBlock is the place of every len(ring)-th block; that there are so few
// bounds the memory.
type ringBlock struct {
	block
	ready bool
}

func (q *blockQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.room.Broadcast()
}

func (q *blockQueue) work(ctx context.Context) error {
	s := scanner{src: q.collector.src, each: q.each}
	for {
		b := q.next()
		if err := ctx.Err(); b == nil || err != nil {
			return err
		}
		if err := s.scan(&b.block); err != nil {
			return err
		}
		if err := q.collect(b); err != nil {
			return err
		}
	}
}

// next gives out a block, nil if there are no more or it is time to stop. It
// waits while the ring is full; the block that holds it up always has a worker.
func (q *blockQueue) next() *ringBlock {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.stopped && q.given < q.blocks && q.given-q.taken == uint64(len(q.ring)) {
		q.room.Wait()
	}
	if q.stopped || q.given == q.blocks {
		return nil
	}
	b := &q.ring[q.given%uint64(len(q.ring))]
	b.n, b.count = q.given, int(min(TileHashes, q.collector.size-q.given*TileHashes))
	q.given++
	return b
}

// collect marks b as ready and collects what is next and ready.
func (q *blockQueue) collect(b *ringBlock) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.ready = true
	for !q.stopped && q.taken < q.given {
		next := &q.ring[q.taken%uint64(len(q.ring))]
		if !next.ready {
			break
		}
		if err := q.collector.take(&next.block); err != nil {
			return err
		}
		next.ready = false
		q.taken++
		q.room.Broadcast()
		if q.progress != nil && (q.taken%progressBlocks == 0 || q.taken == q.blocks) {
			q.progress(min(q.taken*TileHashes, q.collector.size), q.collector.size)
		}
	}
	return nil
}
