package server

import (
	"errors"
	"net/http"

	"consentledger/ledger"
	"consentledger/ledger/chain"
)

// What a tile holds never changes, but a partial one is soon replaced by one that holds more.
var (
	fullTile    = []string{"public, max-age=31536000, immutable"}
	partialTile = []string{"public, max-age=600"}
)

// getTile serves the log as C2SP tlog-tiles. What is not there is 404 and no other status: clients
// fall back from a partial tile to the full one on 404 alone.
func getTile(x *exchange) *problem {
	path := "tile" + x.params[0].Value
	var data []byte
	n, width, err := chain.ParseEntriesPath(path)
	if err == nil {
		data, err = x.s.book.PublishedEntries(n, width)
	} else {
		var level int
		if level, n, width, err = chain.ParseTilePath(path); err == nil {
			data, err = x.s.book.PublishedTile(level, n, width)
		}
	}
	switch {
	case errors.Is(err, chain.ErrPath), errors.Is(err, ledger.ErrUnknownTile):
		return newProblem("unknown_tile", "", "There is no tile or bundle of this path under the newest checkpoint.")
	case err != nil:
		return x.problemOf(err)
	}
	switch {
	case !x.rt.public: // what a key has read is for no cache
	case width < chain.TileHashes:
		x.w.Header()["Cache-Control"] = partialTile
	default:
		x.w.Header()["Cache-Control"] = fullTile
	}
	return x.send(http.StatusOK, octetStream, data)
}
