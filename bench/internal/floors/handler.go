// Package floors is what nothing can be faster than: an HTTP server that does
// nothing, a database that only commits, a processor that only hashes.
package floors

import (
	"net"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

// decision is as long as the answer to a question.
var decision = []byte(`{"allowed":true,"reason":"consent_in_force","index":100000,"policy_version":"2025-01-01"}` + "\n")

// answer is as long as that to a consent.
var answer = []byte(`{"member":"mbr_aaaaaaaaaaaaaaaaaaaaaaaaaa","entries":[{"index":100000,"leaf_hash":"0000000000000000000000000000000000000000000000000000000000000000","class":"membership"}],"recorded_at":"2026-01-01T00:00:00.000Z"}` + "\n")

// Serve answers every consent and decision, and every fetch of a log's files,
// on ln with a fixed answer that it has not looked at the request for: net/http and the router do what they must,
// and nothing else is done. The server's settings are those of package server.
func Serve(ln net.Listener) error {
	m := httprouter.New()
	m.RedirectTrailingSlash, m.RedirectFixedPath = false, false
	empty := func(status int, answer []byte) httprouter.Handle {
		return func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
			w.Header()["Content-Type"] = contentType
			w.WriteHeader(status)
			_, _ = w.Write(answer) // who has gone away does not hear it
		}
	}
	m.POST("/v1/consents", empty(http.StatusCreated, answer))
	m.POST("/v1/decisions", empty(http.StatusOK, decision))
	serveLog(m)
	m.GET(ReadyPath, func(http.ResponseWriter, *http.Request, httprouter.Params) {})
	srv := &http.Server{
		Handler:           m,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,

		DisableGeneralOptionsHandler: true,
	}
	return srv.Serve(ln)
}

// ReadyPath is answered with 200 once Serve runs.
const ReadyPath = "/readyz"

var contentType = []string{"application/json"}
