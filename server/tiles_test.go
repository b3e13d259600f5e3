package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/server/api"
)

// grownTo is a shop whose published head covers at least so many entries, over real HTTP.
func grownTo(t *testing.T, entries uint64) (*shop, string) {
	t.Helper()
	s := newShop(t)
	for i := 0; s.ledger.Size() < entries; i++ {
		must[api.ConsentAnswer](s, 201, ledger.RoleWriter, "POST", "/v1/consents", enrolment(fmt.Sprint("tiles-", i)))
	}
	last := s.ledger.Size() - 1
	must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", fmt.Sprintf("/v1/entries/%d", last), "") // publishes a head
	return s, s.url
}

// flipping is the server at an address, with one bit of one path's answers changed.
func flipping(t *testing.T, address, path string, change func([]byte)) string {
	t.Helper()
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get(address + r.URL.Path)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if r.URL.Path == path && res.StatusCode == http.StatusOK {
			change(b)
		}
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(b)
	}))
	t.Cleanup(ts.Close)
	return ts.URL
}

func fetched(address, path string) ([]byte, error) {
	res, err := http.Get(address + "/" + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, res.StatusCode)
	}
	return b, err
}

// checksumDB reads a log's tiles as the Go checksum database's client does, which verifies each of them.
type checksumDB struct{ address string }

func (checksumDB) Height() int                     { return 8 }
func (checksumDB) SaveTiles([]tlog.Tile, [][]byte) {}
func (d checksumDB) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		b, err := fetched(d.address, strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// byTlog verifies a whole log with golang.org/x/mod/sumdb.
func byTlog(address, vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	msg, err := fetched(address, "checkpoint")
	if err != nil {
		return err
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return err
	}
	var size int64
	lines := strings.Split(n.Text, "\n")
	if _, err := fmt.Sscan(lines[1], &size); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		return err
	}
	tree := tlog.Tree{N: size, Hash: tlog.Hash(raw)}
	hashes := tlog.TileHashReader(tree, checksumDB{address})
	for at := int64(0); at < size; at += 256 {
		width := int(min(256, size-at))
		bundle, err := fetched(address, chain.EntriesPath(uint64(at/256), width))
		if err != nil {
			return err
		}
		entries, err := chain.SplitBundle(bundle)
		if err != nil || len(entries) != width {
			return fmt.Errorf("bundle %d: %d entries, %v", at/256, len(entries), err)
		}
		for n, entry := range entries {
			i := at + int64(n)
			have, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
			if err != nil {
				return err
			}
			if have[0] != tlog.RecordHash(entry) {
				return fmt.Errorf("entry %d is not the one in the tree", i)
			}
		}
	}
	return nil
}

// byFsck verifies a whole log with Tessera's library, which says what it found in its error.
func byFsck(address, origin, vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	u, err := url.Parse(address + "/")
	if err != nil {
		return err
	}
	f, err := client.NewHTTPFetcher(u, nil)
	if err != nil {
		return err
	}
	leaves := func(bundle []byte) (all [][]byte, err error) {
		entries, err := chain.SplitBundle(bundle)
		for _, e := range entries {
			all = append(all, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return all, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fsck.New(origin, v, f, leaves, fsck.Opts{N: 2}).Check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it can hang
	}
}

func TestVerifiersFromElsewhereVerifyTheRunningServerAndFindAFlippedBit(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of calls")
	}
	s, address := grownTo(t, 515)
	key := s.ledger.PublicKey()
	verifiers := map[string]func(string) error{
		"tlog":    func(a string) error { return byTlog(a, key) },
		"tessera": func(a string) error { return byFsck(a, "ledger.example/shop", key) },
	}
	head, err := fetched(address, "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	var size uint64
	if _, err := fmt.Sscan(strings.Split(string(head), "\n")[1], &size); err != nil || size < 515 {
		t.Fatalf("the head covers %d entries, %v", size, err)
	}
	flip := func(at int) func([]byte) { return func(b []byte) { b[at%len(b)] ^= 4 } }
	for name, verify := range verifiers {
		if err := verify(address); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := verify(flipping(t, address, "/tile/0/001", func([]byte) {})); err != nil {
			t.Errorf("control: %s through what flips bits, when it flips none: %v", name, err)
		}
		for what, lie := range map[string]struct {
			path   string
			change func([]byte)
		}{
			"an entry of a full bundle": {"/tile/entries/001", flip(4000)},
			"the newest entry":          {"/" + chain.EntriesPath(size/256, int(size%256)), flip(2 + 300)},
			"a full tile":               {"/tile/0/001", flip(777)},
			"a partial tile":            {"/" + chain.TilePath(0, size/256, int(size%256)), flip(5)},
			"a tile of level 1":         {"/tile/1/000.p/2", flip(40)},
			"the root of the head":      {"/checkpoint", func(b []byte) { b[bytes.IndexByte(b, '\n')+10] ^= 1 }},
		} {
			if err := verify(flipping(t, address, lie.path, lie.change)); err == nil {
				t.Errorf("%s: a flipped bit in %s was not found", name, what)
			}
		}
	}
}

// What is under the published head is served in every width, and nothing else is, by no other spelling.
func TestATileIsServedUpToThePublishedHeadAndByOnePathOnly(t *testing.T) {
	s, address := grownTo(t, 300)
	size := s.ledger.Size()
	get := func(path string) (int, []byte, http.Header) {
		t.Helper()
		res, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b, res.Header
	}
	status, full, header := get("/tile/0/000")
	if status != 200 || len(full) != 8192 || header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Fatalf("a full tile: %d, %d bytes, %v", status, len(full), header)
	}
	for width := 1; width < 256; width++ {
		if status, b, header := get(fmt.Sprintf("/tile/0/000.p/%d", width)); status != 200 || !bytes.Equal(b, full[:32*width]) || strings.Contains(header.Get("Cache-Control"), "immutable") {
			t.Fatalf("width %d: %d, %d bytes", width, status, len(b))
		}
		status, b, _ := get(fmt.Sprintf("/tile/0/001.p/%d", width))
		if want := 256+uint64(width) <= size; (status == 200) != want || status == 200 && len(b) != 32*width || status != 200 && status != 404 {
			t.Fatalf("width %d of the right edge at size %d: %d, %d bytes", width, size, status, len(b))
		}
		if status, _, _ := get(fmt.Sprintf("/tile/entries/001.p/%d", width)); (status == 200) != (256+uint64(width) <= size) {
			t.Fatalf("bundle of width %d at size %d: %d", width, size, status)
		}
	}
	for _, path := range []string{
		"/tile/", "/tile", "/tile/0", "/tile/0/", "/tile/0/0", "/tile/0/00", "/tile/0/0000", "/tile/00/000", "/tile/+0/000", "/tile/-1/000", "/tile/64/000",
		"/tile/0/001", "/tile/0/002.p/1", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/01", "/tile/0/000.p/", "/tile/0/000/", "/tile/0//000", "/tile/0/x000/000",
		"/tile/1/000", "/tile/1/000.p/2", "/tile/2/000.p/1", "/tile/7/000.p/1", "/tile/8/000.p/1", "/tile/63/000.p/1",
		"/tile/entries/001", "/tile/entries/002", "/tile/entries/", "/tile/entries/0", "/tile/0/x999/x999/x999/x999/x999/x999/999", "/tile/0/000.P/1", "/TILE/0/000",
	} {
		status, b, _ := get(path)
		if status != 404 {
			t.Errorf("%s: %d, %d bytes", path, status, len(b))
		}
	}
	if res, err := http.Head(address + "/tile/1/000.p/1"); err != nil || res.StatusCode != 200 || res.ContentLength != 32 {
		t.Errorf("HEAD: %v %v", res, err)
	}
}

// FuzzTilePath: whatever path is asked for, the answer is what is there or 404.
func FuzzTilePath(f *testing.F) {
	for _, path := range []string{"0/000", "0/000.p/7", "1/000.p/1", "entries/000", "entries/000.p/255", "0/x001/x234/067", "63/000", "0/x000/000", "//", "entries/entries/000"} {
		f.Add(path)
	}
	s := newDouble(f, &double{})
	h := s.Handler()
	f.Fuzz(func(t *testing.T, path string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/tile/" + path}, Header: http.Header{}, RequestURI: "/tile/" + path, Host: "x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(t.Context()))
		level, n, width, errTile := chain.ParseTilePath("tile/" + path)
		_, _, errEntries := chain.ParseEntriesPath("tile/" + path)
		want := http.StatusNotFound
		if errEntries == nil || errTile == nil && level == 0 && n == 0 && width > 0 {
			want = http.StatusOK
		}
		if w.Code != want {
			t.Fatalf("%q: %d", path, w.Code)
		}
	})
}

func TestNoTileIsBeyondThePublishedHead(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		level int
		n     uint64
		width int
	}{{0, 0, 0}, {0, 0, 257}, {-1, 0, 1}, {8, 0, 1}, {64, 0, 1}, {0, 1 << 62, 1}, {0, ^uint64(0), 256}, {0, 1, 256}} {
		if b, err := s.ledger.PublishedTile(c.level, c.n, c.width); err == nil {
			t.Errorf("level %d, number %d, width %d: %d bytes", c.level, c.n, c.width, len(b))
		}
	}
	for _, n := range []uint64{1, 1 << 56, ^uint64(0), ^uint64(0) / 256} {
		if b, err := s.ledger.PublishedEntries(n, 256); err == nil {
			t.Errorf("bundle %d: %d bytes", n, len(b))
		}
	}
	must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", "/v1/entries/0", "") // publishes a head
	if b, err := s.ledger.PublishedTile(0, 0, 1); err != nil || len(b) != 32 {
		t.Errorf("control: %d bytes, %v", len(b), err)
	}
}
