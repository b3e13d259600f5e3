package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// ErrDamaged says that a page is missing or cannot be opened with the key that its parent holds:
// it was altered, replaced by an older version of itself, or the disk has rotted.
var ErrDamaged = errors.New("the keyring is damaged")

// load returns the page that a reference names, from memory or from the source.
func (k *Keyring) load(r *ref, path []byte, cold bool) (*node, error) {
	if !cold {
		if n := r.node.Load(); n != nil {
			return n, nil
		}
	}
	pos := position(path)
	sealed, err := k.pages.Page(pos)
	if err != nil {
		return nil, fmt.Errorf("read %s of the keyring: %w", describe(path), err)
	}
	if sealed == nil {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, describe(path))
	}
	plain, err := openPage(r.key, appendAAD(nil, k.ledger, pos), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not open with the key that its parent holds: it was altered, or an older version was put in its place",
			ErrDamaged, describe(path))
	}
	n, err := parsePage(plain, path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, describe(path), err)
	}
	if n.branch {
		clear(plain) // its keys were copied
	}
	if !cold {
		k.cache.keep(r, n)
	}
	return n, nil
}

// pathOf is the first n half bytes of a key.
func pathOf(key []byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = nibble(key, i)
	}
	return p
}

func (k *Keyring) find(st *state, key []byte, cold bool) (*record, error) {
	n, depth := st.top, 0
	for n.branch {
		for _, p := range n.prefix {
			if nibble(key, depth) != p {
				return nil, nil
			}
			depth++
		}
		r := n.kids[nibble(key, depth)].ref
		depth++
		if r == nil {
			return nil, nil
		}
		var err error
		if !cold {
			if n = r.node.Load(); n != nil {
				if !r.used.Load() { // a write for each read would be a line of memory that all processors fight for
					r.used.Store(true)
				}
				continue
			}
		}
		if n, err = k.load(r, pathOf(key, depth), cold); err != nil {
			return nil, err
		}
	}
	i, found := n.search(key)
	if !found {
		return nil, nil
	}
	return &n.recs[i], nil
}

func (n *node) search(key []byte) (int, bool) {
	return sort.Find(len(n.recs), func(i int) int { return bytes.Compare(key, n.recs[i].key) })
}

// walk visits records with keys from `from` on, in order, until visit returns false. Subtrees of
// which enter says no are passed over.
func (k *Keyring) walk(n *node, path, from []byte, cold bool, enter func(below times) bool, visit func(*record) bool) (more bool, err error) {
	if !n.branch {
		for i := range n.recs {
			if bytes.Compare(n.recs[i].key, from) >= 0 && !visit(&n.recs[i]) {
				return false, nil
			}
		}
		return true, nil
	}
	path = append(path, n.prefix...)
	for i := range n.kids {
		r := n.kids[i].ref
		if r == nil || !enter(n.kids[i].times) {
			continue
		}
		child := append(path[:len(path):len(path)], byte(i))
		if before(child, from) {
			continue
		}
		c, err := k.load(r, child, cold)
		if err != nil {
			return false, err
		}
		if more, err := k.walk(c, child, from, cold, enter, visit); err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// before says whether every key below path is smaller than from.
func before(path, from []byte) bool {
	for i, p := range path {
		if i >= nibbles(from) {
			return false
		}
		if f := nibble(from, i); p != f {
			return p < f
		}
	}
	return false
}

// own returns a version of n that this batch may change. What it changes no reader has seen.
func (b *Batch) own(n *node) *node {
	if n.owner == b.number {
		return n
	}
	return &node{owner: b.number, branch: n.branch, prefix: n.prefix, kids: slices.Clone(n.kids), recs: cloneRecords(n.recs, 1)}
}

// cloneRecords copies the values too: a page in memory is one buffer, and a destroyed key must not
// live on because its neighbour is in use.
func cloneRecords(recs []record, spare int) []record {
	if len(recs) == 0 {
		return nil
	}
	size := 0
	for i := range recs {
		size += len(recs[i].key) + len(recs[i].val)
	}
	buf := make([]byte, 0, size)
	out := make([]record, len(recs), len(recs)+spare)
	for i, r := range recs {
		buf = append(buf, r.key...)
		r.key = buf[len(buf)-len(r.key) : len(buf) : len(buf)]
		buf = append(buf, r.val...)
		r.val = buf[len(buf)-len(r.val) : len(buf) : len(buf)]
		out[i] = r
	}
	return out
}

func fresh(n *node) *ref {
	r := &ref{}
	r.node.Store(n)
	return r
}

// child is the page that a key's first depth half bytes lead to.
func (b *Batch) child(r *ref, key []byte, depth int) (*node, error) {
	if n := r.node.Load(); n != nil {
		return n, nil
	}
	return b.k.load(r, pathOf(key, depth), false)
}

// replace hangs the new version of a page in place of the one that was loaded.
func (b *Batch) replace(kd *kid, was, is *node) {
	if was.owner != b.number {
		b.replaced = append(b.replaced, kd.ref)
	}
	switch {
	case is == nil:
		*kd = kid{}
	case is != was:
		*kd = kid{ref: fresh(is)}
	}
}

func (b *Batch) put(n *node, depth int, rec record) (*node, error) {
	n = b.own(n)
	if !n.branch {
		i, found := n.search(rec.key)
		if found {
			clear(n.recs[i].val)
			n.recs[i] = rec
		} else {
			n.recs = slices.Insert(n.recs, i, rec)
		}
		return b.split(n, depth), nil
	}
	for i, p := range n.prefix {
		if nibble(rec.key, depth+i) == p {
			continue
		}
		// The key leaves the compressed path: a new branch takes this page's position, and this
		// page moves below it. Its children stay where they are.
		above := newBranch(b.number, n.prefix[:i:i])
		n.prefix = n.prefix[i+1:]
		above.kids[p] = kid{ref: fresh(n)}
		above.kids[nibble(rec.key, depth+i)] = kid{ref: fresh(&node{owner: b.number, recs: []record{rec}})}
		return above, nil
	}
	depth += len(n.prefix)
	kd := &n.kids[nibble(rec.key, depth)]
	depth++
	if kd.ref == nil {
		*kd = kid{ref: fresh(&node{owner: b.number, recs: []record{rec}})}
		return n, nil
	}
	c, err := b.child(kd.ref, rec.key, depth)
	if err != nil {
		return nil, err
	}
	changed, err := b.put(c, depth, rec)
	if err != nil {
		return nil, err
	}
	b.replace(kd, c, changed)
	return n, nil
}

// split turns a leaf that has grown too large into a branch of leaves.
func (b *Batch) split(n *node, depth int) *node {
	if len(n.recs) < 2 || n.size() <= leafLimit {
		return n
	}
	first, last := n.recs[0].key, n.recs[len(n.recs)-1].key
	common := commonNibbles(first, last, depth)
	br := newBranch(b.number, pathOf(first, depth+common)[depth:])
	depth += common
	for start := 0; start < len(n.recs); {
		nb := nibble(n.recs[start].key, depth)
		end := start + 1
		for end < len(n.recs) && nibble(n.recs[end].key, depth) == nb {
			end++
		}
		// Each leaf has a buffer of its own, see cloneRecords.
		leaf := &node{owner: b.number, recs: cloneRecords(n.recs[start:end], 0)}
		br.kids[nb] = kid{ref: fresh(b.split(leaf, depth+1))}
		start = end
	}
	for i := range n.recs {
		clear(n.recs[i].val)
	}
	return br
}

// remove deletes a key and returns the page without it, or nil if nothing is left in it.
func (b *Batch) remove(n *node, depth int, key []byte) (*node, bool, error) {
	if !n.branch {
		i, found := n.search(key)
		if !found {
			return n, false, nil
		}
		n = b.own(n)
		clear(n.recs[i].val)
		clear(n.recs[i].key)
		n.recs = slices.Delete(n.recs, i, i+1)
		if len(n.recs) == 0 {
			return nil, true, nil
		}
		return n, true, nil
	}
	for i, p := range n.prefix {
		if nibble(key, depth+i) != p {
			return n, false, nil
		}
	}
	depth += len(n.prefix)
	i := nibble(key, depth)
	depth++
	if n.kids[i].ref == nil {
		return n, false, nil
	}
	c, err := b.child(n.kids[i].ref, key, depth)
	if err != nil {
		return nil, false, err
	}
	changed, found, err := b.remove(c, depth, key)
	if err != nil || !found {
		return n, found, err
	}
	n = b.own(n)
	b.replace(&n.kids[i], c, changed)
	if changed != nil {
		return n, true, nil
	}
	b.gone = append(b.gone, position(pathOf(key, depth)))
	for j := range n.kids {
		if n.kids[j].ref != nil {
			return n, true, nil
		}
	}
	return nil, true, nil
}
