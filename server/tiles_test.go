package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

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
		if b, err := s.ledger.PublishedTile(nil, c.level, c.n, c.width); err == nil {
			t.Errorf("level %d, number %d, width %d: %d bytes", c.level, c.n, c.width, len(b))
		}
	}
	for _, n := range []uint64{1, 1 << 56, ^uint64(0), ^uint64(0) / 256} {
		if b, err := s.ledger.PublishedEntries(nil, n, 256); err == nil {
			t.Errorf("bundle %d: %d bytes", n, len(b))
		}
	}
	must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", "/v1/entries/0", "") // publishes a head
	if b, err := s.ledger.PublishedTile(nil, 0, 0, 1); err != nil || len(b) != 32 {
		t.Errorf("control: %d bytes, %v", len(b), err)
	}
}
