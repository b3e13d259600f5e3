package floors

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"consentledger/ledger/chain"
)

// What is answered for a tile, for a bundle of entries that hold usual consents, and for a checkpoint: bytes
// of no meaning. They are not zeroes, of which the kernel may keep one page for all.
var (
	tile       = noise(chain.TileSize)
	bundle     = noise(chain.TileHashes * (2 + EntryBytes))
	checkpoint = noise(CheckpointBytes)
)

// CheckpointBytes is about as long as a checkpoint that nobody has cosigned.
const CheckpointBytes = 190

func length(b []byte) []string { return []string{strconv.Itoa(len(b))} }

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// serveLog answers what is fetched of a log, under the headers that the server sends.
func serveLog(m *httprouter.Router) {
	answer := func(w http.ResponseWriter, media, caching, length []string, b []byte) {
		h := w.Header()
		h["Content-Type"], h["Cache-Control"], h["Content-Length"], h["X-Request-Id"] = media, caching, length, requestID
		_, _ = w.Write(b) // who has gone away does not hear it
	}
	tileLength, bundleLength, checkpointLength := length(tile), length(bundle), length(checkpoint)
	m.GET("/tile/*path", func(w http.ResponseWriter, _ *http.Request, params httprouter.Params) {
		if strings.HasPrefix(params[0].Value, "/entries/") {
			answer(w, octetStream, immutable, bundleLength, bundle)
			return
		}
		answer(w, octetStream, immutable, tileLength, tile)
	})
	m.GET("/checkpoint", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		answer(w, plainText, brief, checkpointLength, checkpoint)
	})
}

var (
	octetStream = []string{"application/octet-stream"}
	plainText   = []string{"text/plain; charset=utf-8"}
	immutable   = []string{"public, max-age=31536000, immutable"}
	brief       = []string{"public, max-age=1"}
	requestID   = []string{"req_aaaaaaaaaaaaaaaa"}
)
