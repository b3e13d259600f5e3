package server

import (
	"math/rand/v2"
	"sync"
)

// A shelf keeps full bundles of entries that were fetched lately, up to a number of bytes. They never
// change, and everybody who follows the log fetches the same ones. To read one takes as long as net/http
// does for all the rest: 256 values are found in the database and copied.
//
// What is on it is as public as the log is, and is no more than that.
type shelf struct {
	max int // bytes

	buffers sync.Pool // of *[]byte that nobody uses

	mu    sync.Mutex
	at    map[uint64]*shelved
	all   []*shelved // those in at
	bytes int
}

// shelfBytes is room for some 270 bundles of usual entries.
const shelfBytes = 32 << 20

// shelved is a bundle in memory. Its bytes stay as they are while anybody reads them, and are written over after that.
type shelved struct {
	n       uint64
	buffer  *[]byte
	readers int // guarded by the shelf
	place   int // in all; guarded by the shelf
}

// keptBuffer is the largest buffer that is used again: a bundle of the largest entries is 16 MB.
const keptBuffer = 512 << 10

// blank is a buffer to read a bundle into. A bundle of usual entries is 105 kB: made anew for each request
// it costs more than all else that is done for it, most of it clearing and collecting.
func (s *shelf) blank() *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// leave takes back a buffer that nobody reads.
func (s *shelf) leave(b *[]byte) {
	if cap(*b) <= keptBuffer {
		s.buffers.Put(b)
	}
}

// take returns a bundle if it is there. Whoever takes it gives it back.
func (s *shelf) take(n uint64) *shelved {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.at[n]
	if b != nil {
		b.readers++
	}
	return b
}

func (s *shelf) giveBack(b *shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.readers--
}

// keep puts a bundle onto the shelf, if there is room, and takes it: then its buffer is the shelf's. Otherwise
// it returns nil. Which
// ones make room for it is left to chance: whoever reads a whole log from its beginning would find that of
// those that were read longest ago just the next one is gone.
func (s *shelf) keep(n uint64, buffer *[]byte) *shelved {
	size := cap(*buffer)
	if size > keptBuffer {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at[n] != nil { // somebody was faster
		return nil
	}
	for s.bytes+size > s.max {
		if !s.drop() {
			return nil
		}
	}
	if s.at == nil {
		s.at = make(map[uint64]*shelved)
	}
	b := &shelved{n: n, buffer: buffer, readers: 1, place: len(s.all)}
	s.at[n], s.all, s.bytes = b, append(s.all, b), s.bytes+size
	return b
}

// drop takes away one that nobody reads, if it finds it by a few tries.
func (s *shelf) drop() bool {
	for range 8 {
		if len(s.all) == 0 {
			return false
		}
		b := s.all[rand.IntN(len(s.all))]
		if b.readers > 0 {
			continue
		}
		last := len(s.all) - 1
		s.all[b.place] = s.all[last]
		s.all[b.place].place = b.place
		s.all[last] = nil
		s.all = s.all[:last]
		delete(s.at, b.n)
		s.bytes -= cap(*b.buffer)
		s.buffers.Put(b.buffer)
		return true
	}
	return false
}
