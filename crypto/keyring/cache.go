package keyring

import "sync"

// cache bounds the decrypted pages in memory. The page that came first goes first: pages near the
// top come back at once, and a list in order of use would be a lock on every read.
type cache struct {
	mu    sync.Mutex
	limit int64
	used  int64
	queue []cached
	head  int
}

type cached struct {
	ref  *ref
	size int64
}

// perPage is what a page costs in memory beyond its bytes.
const perPage = 512

func (c *cache) add(r *ref, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	item := cached{ref: r, size: int64(size) + perPage}
	c.queue = append(c.queue, item)
	c.used += item.size
	for c.used > c.limit && c.head < len(c.queue)-1 {
		old := c.queue[c.head]
		c.queue[c.head] = cached{}
		c.head++
		c.used -= old.size
		old.ref.node.Store(nil)
	}
	if c.head > len(c.queue)/2 {
		c.queue = append([]cached(nil), c.queue[c.head:]...)
		c.head = 0
	}
}
