package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"

	"consentledger/ledger/store"
)

// The bbolt file format, as far as it takes to see that bbolt may be let near
// a file. It is defined by bbolt's package internal/common: page.go, meta.go,
// bucket.go; all integers are in the byte order of the machine.
//
//	page    = id u64 | flags u16 | count u16 | overflow u32 | elements | data
//	meta    = magic u32 | version u32 | page size u32 | flags u32 | root bucket | freelist u64 | high water mark u64 | txid u64 | FNV-1a of these
//	bucket  = root page u64 | sequence u64 [| page, when root is 0]
//	branch  = position u32, from here | key size u32 | page u64
//	leaf    = flags u32 | position u32, from here | key size u32 | value size u32
const (
	magic       = 0xED0CDAED
	version     = 2
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64
	bucketSize  = 16
	minPageSize = 1 << 10
	maxPageSize = 64 << 10
	maxDepth    = 32      // of a tree; two children a page would already be 2^32 pages
	maxTreePage = 4 << 20 // bbolt leaves up to four entries, of 128 KiB, in a page when it splits one

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketLeaf = 0x01 // the flag of a leaf element whose value is a bucket

	noFreelist = ^uint64(0)
)

var native = binary.NativeEndian

// header is what one meta page says.
type header struct {
	pageSize       int64
	root, freelist uint64
	pages          uint64 // the high water mark
	txid           uint64
}

// file reads pages with every bound checked.
type file struct {
	r io.ReaderAt
	header
	seen    []uint64             // a bit for each page that something points to
	buffers [maxDepth + 1][]byte // one for each level of a tree, used again and again
}

func damage(format string, args ...any) error {
	return fmt.Errorf("%w: %w", store.ErrCorrupt, fmt.Errorf(format, args...))
}

// checkSkeleton reads what leads to everything else: headers, the list of
// free pages, the maps, and every branch page, which are about one in 100. So
// bbolt can't be sent round in circles, out of the file or out of memory. It
// takes no leaf into account but their number.
func checkSkeleton(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := newestHeader(f, info.Size())
	if err != nil {
		return err
	}
	if int64(h.pages) > info.Size()/h.pageSize {
		return damage("the file has %d bytes and should have %d pages of %d", info.Size(), h.pages, h.pageSize)
	}
	pages := newFile(f, h)
	if err := pages.checkFreelist(); err != nil {
		return err
	}
	return pages.walk(walkBranches)
}

func newFile(r io.ReaderAt, h header) *file {
	return &file{r: r, header: h, seen: make([]uint64, h.pages/64+1)}
}

// newestHeader returns the header that bbolt will use: the valid one with the
// higher transaction id.
func newestHeader(r io.ReaderAt, size int64) (header, error) {
	first, errFirst := readHeader(r, 0)
	if errFirst == nil {
		if second, err := readHeader(r, first.pageSize); err == nil && second.txid > first.txid {
			return second, nil
		}
		return first, nil
	}
	// The page size is in the header that can't be read: try all.
	for at := int64(minPageSize); at <= maxPageSize && at < size; at *= 2 {
		if h, err := readHeader(r, at); err == nil && h.pageSize == at {
			return h, nil
		}
	}
	return header{}, fmt.Errorf("%w: %w: %w", ErrNotBolt, store.ErrCorrupt, errFirst)
}

func readHeader(r io.ReaderAt, at int64) (header, error) {
	var b [pageHeader + metaSize]byte
	if _, err := r.ReadAt(b[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is too short for a header")
		}
		return header{}, err
	}
	m := b[pageHeader:]
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8])
	switch {
	case native.Uint32(m) != magic:
		return header{}, errors.New("no bbolt magic")
	case native.Uint32(m[4:]) != version:
		return header{}, fmt.Errorf("bbolt format %d, not %d", native.Uint32(m[4:]), version)
	case native.Uint64(m[56:]) != sum.Sum64():
		return header{}, errors.New("wrong header checksum")
	}
	h := header{
		pageSize: int64(native.Uint32(m[8:])),
		root:     native.Uint64(m[16:]),
		freelist: native.Uint64(m[32:]),
		pages:    native.Uint64(m[40:]),
		txid:     native.Uint64(m[48:]),
	}
	switch {
	case h.pageSize < minPageSize || h.pageSize > maxPageSize || h.pageSize&(h.pageSize-1) != 0:
		return header{}, fmt.Errorf("a page size of %d", h.pageSize)
	case h.pages < 4 || h.pages > 1<<47/uint64(h.pageSize):
		return header{}, fmt.Errorf("a high water mark of %d pages", h.pages)
	}
	return h, nil
}

// page is one page with its overflow, or a page inside a value.
type page struct {
	id    uint64
	flags uint16
	count int
	b     []byte // all of it, from the page header on
}

// read returns a page, in a buffer of its level, and marks it as seen; a page
// seen before is damage, because nothing in a bbolt file is pointed to twice.
func (f *file) read(id, maxPages uint64, level int) (page, error) {
	if id < 2 || id >= f.pages {
		return page{}, damage("a pointer to page %d of %d", id, f.pages)
	}
	b := f.buffers[level]
	if b == nil {
		b = make([]byte, f.pageSize)
	}
	b = b[:f.pageSize]
	if err := f.readAt(b, id); err != nil {
		return page{}, err
	}
	p := page{id: id, flags: native.Uint16(b[8:]), count: int(native.Uint16(b[10:]))}
	n := uint64(native.Uint32(b[12:])) + 1
	if got := native.Uint64(b); got != id {
		return page{}, damage("page %d says it is page %d", id, got)
	}
	if n > f.pages-id || n > maxPages {
		return page{}, damage("page %d is %d pages long; %d can be", id, n, min(f.pages-id, maxPages))
	}
	for i := id; i < id+n; i++ {
		if err := f.see(i); err != nil {
			return page{}, err
		}
	}
	if n > 1 {
		b = slices.Grow(b, int((n-1)*uint64(f.pageSize)))[:n*uint64(f.pageSize)]
		if err := f.readAt(b[f.pageSize:], id+1); err != nil {
			return page{}, err
		}
	}
	f.buffers[level], p.b = b, b
	return p, nil
}

func (f *file) readAt(b []byte, id uint64) error {
	if _, err := f.r.ReadAt(b, int64(id)*f.pageSize); err != nil {
		return damage("page %d can't be read: %w", id, err)
	}
	return nil
}

func (f *file) isSeen(id uint64) bool { return f.seen[id/64]>>(id%64)&1 != 0 }

func (f *file) see(id uint64) error {
	if f.isSeen(id) {
		return damage("page %d is used twice", id)
	}
	f.seen[id/64] |= 1 << (id % 64)
	return nil
}

// checkFreelist checks what bbolt reads the free pages from, and marks them
// as seen.
func (f *file) checkFreelist() error {
	if f.freelist == noFreelist {
		return nil // bbolt works it out
	}
	p, err := f.read(f.freelist, 8*(f.pages+2)/uint64(f.pageSize)+2, 0) // 8 bytes a page; bbolt rounds up
	if err != nil {
		return err
	}
	ids, count := p.b[pageHeader:], uint64(p.count)
	if p.flags != freelistPage {
		return damage("page %d should list the free pages and is of type %#x", p.id, p.flags)
	}
	if p.count == 0xFFFF { // too many for the field: the first id is the count
		if len(ids) < 8 {
			return damage("page %d lists no number of free pages", p.id)
		}
		ids, count = ids[8:], native.Uint64(ids)
	}
	if count > uint64(len(ids))/8 {
		return damage("page %d lists %d free pages and has room for %d", p.id, count, len(ids)/8)
	}
	for i := range count {
		id := native.Uint64(ids[8*i:])
		switch {
		case id < 2 || id >= f.pages:
			return damage("page %d of %d is listed as free", id, f.pages)
		}
		if err := f.see(id); err != nil {
			return err
		}
	}
	return nil
}

// element is one entry of a page.
type element struct {
	bucket     bool
	child      uint64 // of a branch
	key, value []byte
}

// element returns the i-th entry, whose key and value lie inside the page.
func (p page) element(i int) (element, error) {
	at := uint64(pageHeader + elementSize*i)
	if at+elementSize > uint64(len(p.b)) {
		return element{}, damage("page %d has room for less than its %d entries", p.id, p.count)
	}
	h := p.b[at:]
	var e element
	var pos, keySize, valueSize uint64
	if p.flags == branchPage {
		pos, keySize = uint64(native.Uint32(h)), uint64(native.Uint32(h[4:]))
		e.child = native.Uint64(h[8:])
	} else {
		e.bucket = native.Uint32(h)&bucketLeaf != 0
		pos, keySize, valueSize = uint64(native.Uint32(h[4:])), uint64(native.Uint32(h[8:])), uint64(native.Uint32(h[12:]))
	}
	start := at + pos
	if pos < elementSize || keySize == 0 || start+keySize+valueSize > uint64(len(p.b)) {
		return element{}, damage("page %d: entry %d reaches out of the page", p.id, i)
	}
	e.key = p.b[start : start+keySize]
	e.value = p.b[start+keySize : start+keySize+valueSize]
	return e, nil
}

// How far walk goes.
type depth int

const (
	walkBranches depth = iota // leaves of the maps are not read
	walkAll
)

// walk checks the tree of the maps and the tree of each.
func (f *file) walk(d depth) error {
	var maps [][]byte // copied: the trees of the maps use the same buffers
	// The tree of the maps is read to its leaves in any case.
	if err := f.subtree(f.root, walkAll, nil, nil, 0, func(e element) error {
		if !e.bucket {
			return damage("something that is not a map stands between the maps")
		}
		maps = append(maps, slices.Clone(e.value))
		return nil
	}); err != nil {
		return err
	}
	for _, m := range maps {
		if err := f.checkMap(m, d); err != nil {
			return err
		}
	}
	return nil
}

func noBuckets(e element) error {
	if e.bucket {
		return damage("a map inside a map")
	}
	return nil
}

func (f *file) checkMap(v []byte, d depth) error {
	if len(v) < bucketSize {
		return damage("a map of %d bytes", len(v))
	}
	if root := native.Uint64(v); root != 0 {
		return f.subtree(root, d, nil, nil, 0, noBuckets)
	}
	// A small map lives inside the page of the maps.
	v = v[bucketSize:]
	if len(v) < pageHeader {
		return damage("a map without a page")
	}
	p := page{flags: native.Uint16(v[8:]), count: int(native.Uint16(v[10:])), b: v}
	if p.flags != leafPage {
		return damage("a small map of type %#x", p.flags)
	}
	return p.checkKeys(nil, nil, noBuckets)
}

// checkKeys checks that the keys of a page ascend, from low on and below
// high, and calls each, unless it is nil.
func (p page) checkKeys(low, high []byte, each func(element) error) error {
	var last []byte
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		switch {
		case i == 0 && low != nil && bytes.Compare(e.key, low) < 0,
			i > 0 && bytes.Compare(last, e.key) >= 0,
			high != nil && bytes.Compare(e.key, high) >= 0:
			return damage("page %d: entry %d is out of order", p.id, i)
		}
		last = e.key
		if each == nil {
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// subtree checks a page and everything below it.
func (f *file) subtree(id uint64, d depth, low, high []byte, level int, each func(element) error) error {
	if level > maxDepth {
		return damage("page %d is more than %d levels down", id, maxDepth)
	}
	p, err := f.read(id, maxTreePage/uint64(f.pageSize), level)
	if err != nil {
		return err
	}
	switch p.flags {
	case leafPage:
		return p.checkKeys(low, high, each)
	case branchPage:
		return f.children(p, d, low, high, level, each)
	}
	return damage("page %d is of type %#x, which is not part of a tree", id, p.flags)
}

func (f *file) children(p page, d depth, low, high []byte, level int, each func(element) error) error {
	if p.count == 0 {
		return damage("branch page %d is empty", p.id)
	}
	if err := p.checkKeys(low, high, nil); err != nil {
		return err
	}
	if d == walkBranches {
		// All leaves of a bbolt tree are equally deep. When the first child
		// is one the others are, and have to be in the file and used once.
		if leaf, err := f.isLeaf(p.child(0)); err != nil {
			return err
		} else if leaf {
			return f.skip(p)
		}
	}
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		end := high
		if i+1 < p.count {
			next, err := p.element(i + 1)
			if err != nil {
				return err
			}
			end = next.key
		}
		if err := f.subtree(e.child, d, e.key, end, level+1, each); err != nil {
			return err
		}
	}
	return nil
}

// child returns the page that the i-th entry of a branch page, whose entries
// have been checked, points to.
func (p page) child(i int) uint64 { return native.Uint64(p.b[pageHeader+elementSize*i+8:]) }

func (f *file) isLeaf(id uint64) (bool, error) {
	if id < 2 || id >= f.pages {
		return false, damage("a pointer to page %d of %d", id, f.pages)
	}
	var h [pageHeader]byte
	err := f.readAt(h[:], id)
	return native.Uint16(h[8:]) == leafPage, err
}

// skip marks the leaves below a page as seen without reading them.
func (f *file) skip(p page) error {
	for i := range p.count {
		id := p.child(i)
		if id < 2 || id >= f.pages {
			return damage("a pointer to page %d of %d", id, f.pages)
		}
		if err := f.see(id); err != nil {
			return err
		}
	}
	return nil
}

// unseen returns a page that nothing pointed to, or 0.
func (f *file) unseen() uint64 {
	for id := uint64(2); id < f.pages; id++ {
		if !f.isSeen(id) {
			return id
		}
	}
	return 0
}
