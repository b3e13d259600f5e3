package server

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"consentledger/ledger"
	"consentledger/ledger/chain"
)

// What a tile holds never changes, but a partial one is soon replaced by one that holds more.
var (
	fullTile    = []string{"public, max-age=31536000, immutable"}
	partialTile = []string{"public, max-age=600"}
)

// tileBuffers are what tiles are read into, before a read transaction ends, and sent from.
var tileBuffers = sync.Pool{New: func() any { b := make([]byte, 0, chain.TileSize); return &b }}

// getTile serves the log as C2SP tlog-tiles. What is not there is 404 and no other status: clients
// fall back from a partial tile to the full one on 404 alone.
func getTile(x *exchange) *problem {
	path := "tile" + x.params[0].Value
	if strings.HasPrefix(path, "tile/entries/") {
		n, width, err := chain.ParseEntriesPath(path)
		if err != nil {
			return x.noTile(err)
		}
		return x.bundle(n, width)
	}
	level, n, width, err := chain.ParseTilePath(path)
	if err != nil {
		return x.noTile(err)
	}
	buffer := tileBuffers.Get().(*[]byte)
	defer tileBuffers.Put(buffer)
	data, err := x.s.book.PublishedTile((*buffer)[:0], level, n, width)
	if err != nil {
		return x.noTile(err)
	}
	*buffer = data
	return x.sendTile(width, data)
}

// bundle sends entries: a full bundle from the shelf, or onto it.
func (x *exchange) bundle(n uint64, width int) *problem {
	shelf := &x.s.shelf
	if width == chain.TileHashes {
		if b := shelf.take(n); b != nil { // under some published head, so under the newest
			defer shelf.giveBack(b)
			return x.sendTile(width, *b.buffer)
		}
	}
	buffer := shelf.blank()
	data, err := x.s.book.PublishedEntries((*buffer)[:0], n, width)
	if err != nil {
		shelf.leave(buffer)
		return x.noTile(err)
	}
	*buffer = data
	if width == chain.TileHashes {
		if b := shelf.keep(n, buffer); b != nil {
			defer shelf.giveBack(b)
			return x.sendTile(width, data)
		}
	}
	defer shelf.leave(buffer)
	return x.sendTile(width, data)
}

func (x *exchange) sendTile(width int, data []byte) *problem {
	switch {
	case !x.rt.public: // what a key has read is for no cache
	case width < chain.TileHashes:
		x.w.Header()["Cache-Control"] = partialTile
	default:
		x.w.Header()["Cache-Control"] = fullTile
	}
	return x.send(http.StatusOK, octetStream, data)
}

func (x *exchange) noTile(err error) *problem {
	if errors.Is(err, chain.ErrPath) || errors.Is(err, ledger.ErrUnknownTile) {
		return newProblem("unknown_tile", "", "There is no tile or bundle of this path under the newest checkpoint.")
	}
	return x.problemOf(err)
}
