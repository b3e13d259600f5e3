package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"consentledger/ledger/chain"
)

// filled is a bundle's stand-in: as long as one, and of one byte.
func filled(n uint64, buffer *[]byte) {
	*buffer = append((*buffer)[:0], bytes.Repeat([]byte{byte(n)}, 100+int(n%7))...)
}

// readers take, keep and give back at random, and say how often somebody saw a bundle that is not theirs.
func readers(s *shelf) (wrong, kept int64) {
	var bad, held atomic.Int64
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 20_000 {
				n := rand.Uint64N(40)
				b := s.take(n)
				if b == nil {
					buffer := s.blank()
					filled(n, buffer)
					if b = s.keep(n, buffer); b == nil {
						s.leave(buffer)
						continue
					}
				}
				held.Add(1)
				for range 3 {
					for _, c := range *b.buffer {
						if c != byte(n) {
							bad.Add(1)
							break
						}
					}
				}
				s.giveBack(b)
			}
		})
	}
	work.Wait()
	return bad.Load(), held.Load()
}

func TestABundleOnTheShelfStaysAsItIsWhileSomebodyReadsIt(t *testing.T) {
	s := &shelf{max: 2_000}
	wrong, kept := readers(s)
	if wrong != 0 || kept == 0 {
		t.Errorf("%d of %d saw another bundle", wrong, kept)
	}
	total := 0
	for i, b := range s.all {
		if b.readers != 0 || b.place != i || s.at[b.n] != b {
			t.Errorf("bundle %d: %d readers, place %d of %d", b.n, b.readers, b.place, i)
		}
		total += cap(*b.buffer)
	}
	if total != s.bytes || total > s.max || len(s.at) != len(s.all) || len(s.all) < 2 {
		t.Errorf("%d bytes in %d bundles, counted as %d of %d", total, len(s.all), s.bytes, s.max)
	}
}

// Control: whoever reads on after giving a bundle back does see another.
func TestABundleThatIsGivenBackIsWrittenOver(t *testing.T) {
	s := &shelf{max: 150} // room for one
	put := func(n uint64) *shelved {
		buffer := s.blank()
		filled(n, buffer)
		b := s.keep(n, buffer)
		if b == nil {
			t.Fatal("there is no room beside what nobody reads")
		}
		s.giveBack(b)
		return b
	}
	for n := uint64(0); n < 3_000; n += 3 {
		b := put(n)
		put(n + 1)
		put(n + 2)
		if (*b.buffer)[0] != byte(n) {
			return
		}
	}
	t.Error("no buffer was used again, so the test above finds nothing")
}

func TestTheShelfHoldsNoMoreThanItsBytesAndNothingThatIsRead(t *testing.T) {
	s := &shelf{max: 1_000}
	put := func(n uint64, size int) *shelved {
		b := make([]byte, size)
		return s.keep(n, &b)
	}
	first := put(1, 600)
	if first == nil || s.take(1) != first || s.take(2) != nil {
		t.Fatal("what was kept is not there, or something else is")
	}
	if put(1, 10) != nil || put(2, 600) != nil || s.take(2) != nil {
		t.Error("there was room beside what two read")
	}
	s.giveBack(first)
	if put(2, 600) != nil {
		t.Error("there was room beside what one reads")
	}
	s.giveBack(first)
	if put(2, 600) == nil || s.take(1) != nil || s.bytes != 600 {
		t.Errorf("there was no room in place of what nobody reads: %d bytes", s.bytes)
	}
	if (&shelf{max: 10 * keptBuffer}).keep(1, func() *[]byte { b := make([]byte, keptBuffer+1); return &b }()) != nil {
		t.Error("a bundle of large entries was kept")
	}
}

// Everybody who reads a log at once gets the log, however little of it fits in memory.
func TestBundlesAreTheEntriesWhileTheyComeAndGo(t *testing.T) {
	const bundles = 3
	s, address := grownTo(t, bundles*256)
	s.server.shelf.max = 300_000 // one or two of them
	want := map[string][]byte{}
	for n := range uint64(bundles) {
		b, err := s.ledger.PublishedEntries(nil, n, 256)
		if err != nil {
			t.Fatal(err)
		}
		want["/"+chain.EntriesPath(n, 256)] = b
	}
	var work sync.WaitGroup
	failed := make(chan string, 100)
	for range 4 {
		work.Go(func() {
			for range 3 {
				for path, entries := range want {
					res, err := http.Get(address + path)
					if err != nil {
						failed <- err.Error()
						return
					}
					b, err := io.ReadAll(res.Body)
					res.Body.Close()
					if err != nil || res.StatusCode != 200 || !bytes.Equal(b, entries) {
						failed <- fmt.Sprintf("%s: %d, %d bytes, %v", path, res.StatusCode, len(b), err)
						return
					}
				}
			}
		})
	}
	work.Wait()
	close(failed)
	for why := range failed {
		t.Error(why)
	}
	if on := len(s.server.shelf.all); on == 0 || on == bundles || s.server.shelf.bytes > s.server.shelf.max {
		t.Errorf("%d bundles of %d bytes are on the shelf", on, s.server.shelf.bytes)
	}
}
