package keyring

import "sync"

// cache bounds the decrypted pages in memory. The page that came first goes first, unless it was
// used since it came or was last looked at: then it has a second chance. So pages near the top
// stay, and reading takes no lock.
//
// It is a list through the refs themselves, so that a version taken out of use leaves it at once,
// with its key. Otherwise the keys of destroyed pages would stay in memory for as long as it took
// to push them out.
type cache struct {
	mu             sync.Mutex
	limit          int64
	used           int64
	oldest, newest *ref
}

// inCache is what the cache knows of a ref; cache.mu guards it.
type inCache struct {
	older, newer *ref
	size         int64
	listed       bool
	dead         bool // taken out of use: never to be listed again
}

// memory is about what a page takes in memory.
func (n *node) memory() int64 {
	const perNode, perRecord, perKid = 200, 72, 104
	return perNode + int64(n.size()) + perRecord*int64(len(n.recs)) + perKid*int64(len(n.kids))
}

// keep remembers what a page held when it was read. A reader that began before a commit may come
// here after it, with a version that the commit took out of use: that one is not kept.
func (c *cache) keep(r *ref, n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.dead || r.listed {
		return
	}
	r.node.Store(n)
	c.list(r, n)
	c.shrink()
}

// replace makes room for the pages that a batch wrote, and forgets those that it took out of use.
func (c *cache) replace(dead, born []*ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range dead {
		r.dead = true
		r.node.Store(nil)
		c.unlist(r)
	}
	for _, r := range born {
		c.list(r, r.node.Load())
	}
	c.shrink()
}

func (c *cache) list(r *ref, n *node) {
	r.listed, r.size = true, n.memory()
	c.used += r.size
	r.older = c.newest
	if c.newest != nil {
		c.newest.newer = r
	} else {
		c.oldest = r
	}
	c.newest = r
}

func (c *cache) unlist(r *ref) {
	if !r.listed {
		return
	}
	c.used -= r.size
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		c.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		c.newest = r.older
	}
	r.inCache = inCache{dead: r.dead}
}

// shrink keeps the newest page whatever the limit, so that a read can go on from it.
func (c *cache) shrink() {
	for chances := 64; c.used > c.limit && c.oldest != c.newest; {
		r := c.oldest
		if n := r.node.Load(); n != nil && chances > 0 && r.used.Swap(false) {
			chances--
			c.unlist(r)
			c.list(r, n)
			continue
		}
		c.unlist(r)
		r.node.Store(nil)
	}
}
