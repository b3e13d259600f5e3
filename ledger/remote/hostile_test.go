package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote/tilestest"
)

// A hostile log answers as a script says. It has the log's key, so that nothing
// ends at a signature. Its answers are the same each time that it is asked.
type hostile struct {
	log   *tilestest.Log
	over  map[string]reply // by path, without the slash
	asked atomic.Int64
	sent  atomic.Int64 // bytes that were taken of bodies
	most  atomic.Int64 // of one body
}

type reply struct {
	status   int
	body     []byte
	kind     string // Content-Type
	endless  bool
	promised int64 // Content-Length, -1: not said
}

func (h *hostile) reply(path string) reply {
	if r, ok := h.over[path]; ok {
		return r
	}
	if h.log == hostileLog() {
		if r, ok := honest.Load(path); ok {
			return r.(reply)
		}
	}
	r := answered(h.log, path)
	if h.log == hostileLog() {
		honest.Store(path, r)
	}
	return r
}

// honest are the answers of hostileLog, and heads those of its beginnings.
var honest, heads sync.Map

// headOf is the head of the honest log's first n entries.
func headOf(t testing.TB, n int) []byte {
	if b, ok := heads.Load(n); ok {
		return b.([]byte)
	}
	b := prefix(t, hostileLog(), n).Head
	heads.Store(n, b)
	return b
}

func answered(l *tilestest.Log, path string) reply {
	rec := httptest.NewRecorder()
	tilestest.Handler(l).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/"+path, nil))
	return reply{status: rec.Code, body: rec.Body.Bytes(), promised: -1}
}

// RoundTrip makes it a server without a network.
func (h *hostile) RoundTrip(req *http.Request) (*http.Response, error) {
	h.asked.Add(1)
	r := h.reply(strings.TrimPrefix(req.URL.Path, "/"))
	resp := &http.Response{StatusCode: r.status, Header: http.Header{}, ContentLength: r.promised, Request: req}
	if r.kind != "" {
		resp.Header.Set("Content-Type", r.kind)
	}
	resp.Body = &counted{h: h, r: bytes.NewReader(r.body), endless: r.endless}
	return resp, nil
}

type counted struct {
	h       *hostile
	r       *bytes.Reader
	endless bool
	n       int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if errors.Is(err, io.EOF) && c.endless {
		clear(b)
		n, err = len(b), nil
	}
	c.n += int64(n)
	c.h.sent.Add(int64(n))
	return n, err
}

func (c *counted) Close() error {
	for most := c.h.most.Load(); c.n > most && !c.h.most.CompareAndSwap(most, c.n); most = c.h.most.Load() {
	}
	return nil
}

// open is Open without a network.
func (h *hostile) open(ctx context.Context) (*Log, error) {
	client := &http.Client{Transport: h, CheckRedirect: sameHost}
	l := &Log{ctx: ctx, client: client, base: "http://log.example/", pause: time.Microsecond}
	return l, l.fetchCheckpoint()
}

// intact checks the log as the command does: from a head on, if one is given.
func (h *hostile) intact(ctx context.Context, v note.Verifier, head []byte) (bool, error) {
	l, err := h.open(ctx)
	if err != nil {
		return false, err
	}
	// The command looks at the checkpoint before it fetches what only that says is there.
	if _, err := chain.OpenCheckpoint(l.checkpoint, note.VerifierList(v), origin); err != nil {
		return false, nil
	}
	o := chain.VerifyOptions{Verifier: v, Jobs: 2}
	if head != nil {
		if o.Start, err = l.Start(Claims(head)); err != nil {
			return false, err
		}
		o.Checkpoints = [][]byte{head}
	}
	r, err := chain.Verify(ctx, l, o)
	if err != nil || !r.Intact || len(l.Findings()) > 0 {
		return false, err
	}
	_, found, err := l.CheckEdge(r.Edges)
	return err == nil && len(found) == 0, err
}

const hostileEntries = 600

var hostileLog = sync.OnceValue(func() *tilestest.Log {
	l, err := tilestest.New(hostileEntries, origin, seed, 0)
	if err != nil {
		panic(err)
	}
	return l
})

func signed(c chain.Checkpoint) []byte {
	signer, _, err := chain.NewSigner(origin, seed)
	if err != nil {
		panic(err)
	}
	b, err := c.Sign(signer)
	if err != nil {
		return []byte("none")
	}
	return b
}

// rebuilt is a log of these entries, tiles and head made anew.
func rebuilt(all [][]byte) *tilestest.Log {
	l := &tilestest.Log{All: all, Tiles: map[string][]byte{}}
	tree := chain.NewTree()
	for _, e := range all {
		tree.Append(chain.LeafHash(e))
	}
	tree.TakeFullTiles(func(level int, n uint64, data []byte) { l.Tiles[chain.TilePath(level, n, chain.TileHashes)] = data })
	l.Head = signed(chain.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()})
	return l
}

// hostilePaths are the files of the whole log, and some that only another has.
func hostilePaths() []string {
	return []string{
		"checkpoint", "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88", "tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2",
		"tile/entries/002", "tile/0/002", "tile/1/000", "tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000.p/44", "tile/0/000.p/44",
	}
}

// The acts of a script, each with a path, a number and some bytes.
const (
	actReplace = iota
	actFlip
	actCut
	actExtend
	actStatus
	actEndless
	actWebPage
	actSwap
	actPromise
	actSign    // a checkpoint of any size and root, signed
	actShorten // the log as it was with fewer entries
	actRewrite // an entry is another, and tiles and head are made anew
	actRelink  // the same, with all entries after it linked anew
	actCount
)

const maxActs = 12

// act does one act, and returns what is left of the script.
func (h *hostile) act(b []byte) []byte {
	if len(b) < 5 {
		return nil
	}
	paths := hostilePaths()
	act, path, number := b[0]%actCount, paths[int(b[1])%len(paths)], int(binary.BigEndian.Uint16(b[2:]))
	data := b[5:min(5+int(b[4]), len(b))]
	rest := b[5+len(data):]
	r := h.reply(path)
	r.body = bytes.Clone(r.body)
	switch act {
	case actReplace:
		r.body, r.status = bytes.Clone(data), http.StatusOK
	case actFlip:
		if len(r.body) == 0 || len(data) == 0 {
			return rest
		}
		r.body[number%len(r.body)] ^= data[0]
	case actCut:
		r.body = r.body[:min(number, len(r.body))]
	case actExtend:
		r.body = append(r.body, data...)
	case actStatus:
		r.status = []int{http.StatusNotFound, http.StatusInternalServerError, http.StatusForbidden, http.StatusNoContent, http.StatusMovedPermanently, http.StatusTooManyRequests, http.StatusUnauthorized}[number%7]
	case actEndless:
		r.endless = true
	case actWebPage:
		r.kind = "text/html"
	case actSwap:
		r = h.reply(paths[number%len(paths)])
	case actPromise:
		r.promised = int64(number) << (len(data) % 48)
	case actSign:
		c := Claims(h.log.Head)
		if len(data) >= 8 {
			c.Size = binary.BigEndian.Uint64(data) & math.MaxInt64
			copy(c.Root[:], data[8:])
		}
		path, r = "checkpoint", reply{status: http.StatusOK, body: signed(c), promised: -1}
	case actShorten:
		p, err := h.log.Prefix(number%(len(h.log.All)+1), origin, seed)
		if err != nil {
			panic(err)
		}
		h.log = p
		return rest
	case actRewrite, actRelink:
		if len(h.log.All) == 0 {
			return rest
		}
		all, at := slices.Clone(h.log.All), number%len(h.log.All)
		all[at] = bytes.Clone(all[at])
		copy(all[at][min(len(all[at]), 41):], data) // what is sealed
		for i := at + 1; act == actRelink && i < len(all); i++ {
			all[i] = bytes.Clone(all[i])
			copy(all[i][9:], bytesOf(chain.LeafHash(all[i-1])))
		}
		h.log = rebuilt(all)
		return rest
	}
	h.over[path] = r
	return rest
}

func bytesOf(h chain.Hash) []byte { return h[:] }

func newHostile(script []byte) *hostile {
	h := &hostile{log: hostileLog(), over: map[string]reply{}}
	for i := 0; i < maxActs && len(script) > 0; i++ {
		script = h.act(script)
	}
	return h
}

// file is what a reader may go by: nil if it is not there or no answer.
func (h *hostile) file(path string) []byte {
	r := h.reply(path)
	if r.status != http.StatusOK || r.kind == "text/html" || r.endless || len(r.body) > maxBundle {
		return nil
	}
	return r.body
}

// edgeFile is a partial file or, if that is not there (404 alone), the full one.
func (h *hostile) edgeFile(path func(width int) string, width int) (b []byte, full bool) {
	if h.reply(path(width)).status == http.StatusNotFound && width < chain.TileHashes {
		return h.file(path(chain.TileHashes)), true
	}
	return h.file(path(width)), false
}

// entries are those of a log that is right in every way, by golang.org/x/mod and
// the C2SP texts instead of by what is tested. Of chain it takes what parses one
// checkpoint and one entry.
func (h *hostile) entries(v note.Verifier) ([][]byte, bool) {
	c, err := chain.OpenCheckpoint(h.file("checkpoint"), note.VerifierList(v), origin)
	if err != nil || c.Size > 2*hostileEntries {
		return nil, false
	}
	size := int(c.Size)
	var all [][]byte
	hashes := map[int64]tlog.Hash{}
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			x, ok := hashes[i]
			if !ok {
				return nil, errors.New("no such hash")
			}
			out = append(out, x)
		}
		return out, nil
	})
	for n := 0; n*256 < size; n++ {
		width := min(256, size-n*256)
		b, full := h.edgeFile(func(w int) string { return chain.EntriesPath(uint64(n), w) }, width)
		count := 0
		for len(b) > 0 {
			if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
				return nil, false
			}
			e := b[2 : 2+int(binary.BigEndian.Uint16(b))]
			if b = b[2+len(e):]; count < width {
				all = append(all, e)
			}
			count++
		}
		if want := map[bool]int{false: width, true: 256}[full]; count != want {
			return nil, false
		}
	}
	prev, last := tlog.Hash{}, int64(0)
	for i, e := range all {
		p, err := chain.Parse(e)
		if err != nil || tlog.Hash(p.Prev) != prev || p.RecordedAtUnixMs < last {
			return nil, false
		}
		prev, last = tlog.RecordHash(e), p.RecordedAtUnixMs
		stored, err := tlog.StoredHashes(int64(i), e, read)
		if err != nil {
			return nil, false
		}
		for j, x := range stored {
			hashes[tlog.StoredHashIndex(0, int64(i))+int64(j)] = x
		}
	}
	root := tlog.Hash(chain.EmptyHead(origin).Root)
	if size > 0 {
		if root, err = tlog.TreeHash(int64(size), read); err != nil {
			return nil, false
		}
	}
	if root != tlog.Hash(c.Root) {
		return nil, false
	}
	for level := 0; size>>(8*level) > 0; level++ {
		for n := 0; n*256 < size>>(8*level); n++ {
			width := min(256, size>>(8*level)-n*256)
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(n), W: width}, read)
			got, full := h.edgeFile(func(w int) string { return chain.TilePath(level, uint64(n), w) }, width)
			if full && len(got) == chain.TileSize {
				got = got[:len(want)]
			}
			if err != nil || !bytes.Equal(got, want) {
				return nil, false
			}
		}
	}
	return all, true
}

// run holds what the check says against what the log is.
func (h *hostile) run(t testing.TB, state int) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v := verifier(t)
	all, right := h.entries(v)
	intact, err := h.intact(ctx, v, nil)
	if intact != right {
		t.Errorf("the log is right: %v; it is found so: %v, %v", right, intact, err)
	}
	head := headOf(t, state)
	since, err := h.intact(ctx, v, head)
	switch {
	case ctx.Err() != nil:
		t.Error("it takes too long")
	case right && len(all) >= state && slices.EqualFunc(all[:state], hostileLog().All[:state], bytes.Equal):
		// What leads to the head, and nothing that a whole check reads, may still be no good.
		if noStart := len(h.over) > 0 && (errors.Is(err, ErrNoStart) || errors.Is(err, ErrUnavailable)); !since && !noStart {
			t.Errorf("a right log that continues the head of %d is not found so: %v", state, err)
		}
	case since && !h.continues(v, state):
		t.Errorf("the log is taken for one that continues the head of %d, and does not", state)
	}
	if n := h.asked.Load(); n > 20_000 {
		t.Errorf("%d requests were made", n)
	}
	if n := h.most.Load(); n > maxBundle+8<<10 {
		t.Errorf("%d bytes were taken of one answer", n)
	}
	runtime.ReadMemStats(&after)
	if used := int64(after.TotalAlloc - before.TotalAlloc); used > 256<<20+8*h.sent.Load() {
		t.Errorf("%d bytes were allocated for %d that were sent", used, h.sent.Load())
	}
}

// continues reports whether the log's head is that of the state's entries, which
// were verified before, and those that the log gives after them.
func (h *hostile) continues(v note.Verifier, state int) bool {
	c, err := chain.OpenCheckpoint(h.file("checkpoint"), note.VerifierList(v), origin)
	if err != nil || c.Size > 2*hostileEntries || int(c.Size) < state {
		return false
	}
	all := slices.Clone(hostileLog().All[:state])
	for n := state / 256; n*256 < int(c.Size); n++ {
		width := min(256, int(c.Size)-n*256)
		b, _ := h.edgeFile(func(w int) string { return chain.EntriesPath(uint64(n), w) }, width)
		entries, err := chain.SplitBundle(b)
		if err != nil || len(entries) < width {
			return false
		}
		for i, e := range entries[:width] {
			if n*256+i >= state {
				all = append(all, e)
			}
		}
	}
	return Claims(rebuilt(all).Head).Root == c.Root
}

func script(act, path byte, number uint16, data ...byte) []byte {
	return append([]byte{act, path, byte(number >> 8), byte(number), byte(len(data))}, data...)
}

// scripts are one or more of each act, and whether the log is right all the same.
func scripts() map[string]struct {
	script []byte
	right  bool
} {
	type s = struct {
		script []byte
		right  bool
	}
	all := map[string]s{
		"honest":                      {nil, true},
		"empty":                       {script(actShorten, 0, 0), true},
		"one entry":                   {script(actShorten, 0, 1), true},
		"one full tile":               {script(actShorten, 0, 256), true},
		"fewer entries":               {script(actShorten, 0, 300), true},
		"more promised":               {script(actPromise, 1, 65535, make([]byte, 40)...), true},
		"partials dropped, full gone": {slices.Concat(script(actShorten, 0, 300), script(actStatus, 11, 0)), false},
		"a partial bundle of others":  {slices.Concat(script(actShorten, 0, 300), script(actSwap, 11, 14)), false},
		"an entry, altered":           {script(actRewrite, 0, 100, 1, 2, 3), false},
		"the last entry, altered":     {script(actRewrite, 0, 599, 1, 2, 3), true},
		"a history, rewritten":        {script(actRelink, 0, 100, 1, 2, 3), true},
		"any root, signed":            {script(actSign, 0, 0, 0, 0, 0, 0, 0, 0, 2, 88, 9), false},
		"an absurd size, signed":      {script(actSign, 0, 0, 127, 255, 255, 255, 255, 255, 255, 255), false},
		"a size that nothing serves":  {script(actSign, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), false},
	}
	for path, name := range hostilePaths()[:8] {
		for what, b := range map[string][]byte{
			"replaced": script(actReplace, byte(path), 0, 0, 0), "flipped": script(actFlip, byte(path), 100, 1), "cut": script(actCut, byte(path), 17),
			"longer": script(actExtend, byte(path), 0, 0, 1, 7), "not there": script(actStatus, byte(path), 0), "500": script(actStatus, byte(path), 1),
			"403": script(actStatus, byte(path), 2), "moved": script(actStatus, byte(path), 4), "endless": script(actEndless, byte(path), 0), "a page": script(actWebPage, byte(path), 0),
			"another": script(actSwap, byte(path), uint16(path+1)%8),
		} {
			all[name+" "+what] = s{b, false}
		}
	}
	return all
}

func TestEveryActOfAHostileLogIsFound(t *testing.T) {
	for name, s := range scripts() {
		h := newHostile(s.script)
		if _, right := h.entries(verifier(t)); right != s.right {
			t.Errorf("%s: the log is right: %v, by what is independent of the check", name, right)
		}
		for _, state := range []int{257, 512} {
			h.run(t, state)
		}
		if t.Failed() {
			t.Fatalf("%s", name)
		}
	}
	// Control: what a check that looks away would say is held against the log.
	h := newHostile(script(actFlip, 1, 1000, 1))
	if _, right := h.entries(verifier(t)); right {
		t.Error("an altered bundle is taken for right")
	}
	if h.continues(verifier(t), 1) {
		t.Error("an altered bundle is taken for a continuation")
	}
}

// FuzzRemote reads a whole log that answers whatever it likes, by a script: the
// first answer as it stands, then acts. Whatever it is, the check ends soon, in
// little memory, and finds nothing only if the log is right.
func FuzzRemote(f *testing.F) {
	for _, s := range scripts() {
		f.Add(uint8(255), []byte{}, s.script, uint16(300))
	}
	for i, p := range hostilePaths() {
		b := newHostile(nil).reply(p).body
		f.Add(uint8(i), b, []byte{}, uint16(600))
		f.Add(uint8(i), b[:len(b)/2], script(actShorten, 0, 300), uint16(257))
	}
	f.Fuzz(func(t *testing.T, at uint8, answer, script []byte, state uint16) {
		h := newHostile(script)
		if paths := hostilePaths(); int(at) < len(paths) {
			h.over[paths[at]] = reply{status: http.StatusOK, body: answer, promised: -1}
		}
		h.run(t, 1+int(state)%hostileEntries)
	})
}
