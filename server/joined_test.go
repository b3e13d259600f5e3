package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/server/api"
)

// pieces is a connection that remembers what was written to it, piece by piece.
type pieces struct {
	net.Conn
	all [][]byte
	err error
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if len(b) > 0 {
		p.all = append(p.all, bytes.Clone(b))
	}
	return len(b), nil
}

func TestWhatIsHeldBackIsWrittenBeforeWhatComesAfterIt(t *testing.T) {
	small, large := bytes.Repeat([]byte{1}, netHTTPBuffer), bytes.Repeat([]byte{2}, 3*netHTTPBuffer)
	for name, c := range map[string]struct {
		writes [][]byte
		first  int // how many of the writes it takes until something is out
	}{
		"head and body":              {[][]byte{small, large}, 2},
		"all in one piece":           {[][]byte{large}, 1},
		"three pieces":               {[][]byte{small, large, small}, 2},
		"small pieces only":          {[][]byte{small[:10], small[:20], small[:30]}, 2},
		"one small piece":            {[][]byte{small}, 2},
		"a small piece after a pair": {[][]byte{small, large, small[:5]}, 2},
	} {
		to := &pieces{}
		c1 := &wireConn{Conn: to}
		r, err := http.NewRequestWithContext(context.WithValue(t.Context(), wireKey{}, c1), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 { // the same connection serves one request after the other
			to.all = nil
			done := joinWrites(r)
			var want []byte
			for i, b := range c.writes {
				mine := slices.Clone(b)
				if n, err := c1.Write(mine); n != len(b) || err != nil {
					t.Fatalf("%s: %d, %v", name, n, err)
				}
				clear(mine) // net/http uses its buffer again
				want = append(want, b...)
				if out := len(to.all) > 0; out != (i+1 >= c.first) {
					t.Errorf("%s, round %d: after %d writes something is out: %v", name, round, i+1, out)
				}
			}
			done()
			if got := bytes.Join(to.all, nil); !bytes.Equal(got, want) {
				t.Errorf("%s, round %d: %d bytes are out, want %d, or they are others", name, round, len(got), len(want))
			}
			if n, err := c1.Write([]byte("after")); n != 5 || err != nil || string(to.all[len(to.all)-1]) != "after" {
				t.Errorf("%s: what is written after it: %d, %v", name, n, err)
			}
		}
	}
	broken := errors.New("broken")
	c := &wireConn{Conn: &pieces{err: broken}}
	r, err := http.NewRequestWithContext(context.WithValue(t.Context(), wireKey{}, c), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := joinWrites(r)
	_, _ = c.Write(small)
	if n, err := c.Write(large); n != 0 || !errors.Is(err, broken) {
		t.Errorf("onto a connection that is broken: %d, %v", n, err)
	}
	done()
	joinWrites(&http.Request{})() // no connection of ours: nothing happens
}

// Requests that were sent without waiting for the answers are answered in order, each in full.
func TestLargeAndSmallAnswersFollowEachOtherOnOneConnection(t *testing.T) {
	s, _ := grownTo(t, 300)
	head := must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", "/v1/entries/0", "")
	if head.Checkpoint == "" {
		t.Fatal("there is no head")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, ln) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	type asked struct {
		method, path string
		want         []byte
	}
	var all []asked
	for _, width := range []int{1, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 200, 255, 256} {
		tile, err := s.ledger.PublishedTile(nil, 0, 0, width)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := s.ledger.PublishedEntries(nil, 0, width)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asked{"GET", chain.TilePath(0, 0, width), tile}, asked{"HEAD", chain.TilePath(0, 0, width), nil},
			asked{"GET", chain.EntriesPath(0, width), entries}, asked{"HEAD", chain.EntriesPath(0, width), nil})
	}
	go func() {
		for range 2 {
			for _, a := range all {
				_, _ = fmt.Fprintf(conn, "%s /%s HTTP/1.1\r\nHost: x\r\n\r\n", a.method, a.path) // the reader notices
			}
		}
	}()
	in := bufio.NewReader(conn)
	for round := range 2 {
		for _, a := range all {
			res, err := http.ReadResponse(in, &http.Request{Method: a.method})
			if err != nil {
				t.Fatalf("round %d, %s %s: %v", round, a.method, a.path, err)
			}
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 || !bytes.Equal(b, a.want) {
				t.Fatalf("round %d, %s %s: %d, %d bytes, %v", round, a.method, a.path, res.StatusCode, len(b), err)
			}
		}
	}
}
