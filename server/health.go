package server

import (
	"net/http"
	"sync/atomic"

	"consentledger/ledger"
	"consentledger/server/api"
)

// A Server is not ready before its ledger is open, while it stops, when the
// disk is nearly full, and for good after a commit that failed.

// Starting makes a server whose ledger is not open yet. It may serve at once:
// until Open, /livez is well and everything else is answered with 503 starting.
func Starting(o Options) *Server { return starting(o) }

// Open gives a server that was Starting its ledger. It is called once.
func (s *Server) Open(l *ledger.Ledger) { s.open(ledgerBook{l}) }

func (s *Server) open(b book) {
	s.book = b
	b.Watch(s.metrics.committed)
	s.opened.Store(true) // last: whoever sees it finds a ledger
}

// beforeOpen answers while there is no ledger.
func (s *Server) beforeOpen(w http.ResponseWriter, r *http.Request) {
	id := s.requestID()
	w.Header()["X-Request-Id"] = []string{id}
	if r.URL.Path == "/livez" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header()["Content-Type"], w.Header()["Cache-Control"] = jsonType, noStore
		_, _ = w.Write([]byte(`{"status":"starting"}` + "\n"))
		return
	}
	newProblem("starting", "", "Nothing was recorded: the ledger is being opened and checked. Send it again after the time in Retry-After.").
		write(w, id, languageOf(r.Header["Accept-Language"]))
}

// unready says why the server would not take a write, nil if it would.
func (s *Server) unready() *problem {
	if s.stopping() {
		return problemOf(ledger.ErrClosed)
	}
	if err := s.book.Health(); err != nil {
		return problemOf(err)
	}
	if s.disk.low(s) {
		return lowDisk()
	}
	return nil
}

// getLivez says that the process answers.
func getLivez(x *exchange) *problem { return x.answerJSON(http.StatusOK, api.Health{Status: "ok"}) }

// getReadyz says whether a write would be taken.
func getReadyz(x *exchange) *problem {
	if p := x.s.unready(); p != nil {
		x.expected = true // it was logged when it began; a probe every few seconds must not fill the log
		return p
	}
	return x.answerJSON(http.StatusOK, api.Health{Status: "ready"})
}

func lowDisk() *problem {
	return newProblem("low_disk", "", "Nothing was recorded: the server's disk is nearly full. The operator must make room; then send it again. Withdrawals are still taken.")
}

// A diskWatch remembers for a second how much room there is.
type diskWatch struct {
	asked atomic.Int64 // Unix ns
	full  atomic.Bool
}

const diskAsked = 1e9

// low says whether there is less room than Options.MinFree, or nobody can say how much there is.
func (d *diskWatch) low(s *Server) bool {
	if s.o.DiskFree == nil {
		return false
	}
	now, asked := s.now().UnixNano(), d.asked.Load()
	if asked != 0 && now >= asked && now-asked < diskAsked || !d.asked.CompareAndSwap(asked, now) {
		return d.full.Load()
	}
	free, err := s.o.DiskFree()
	full := err != nil || free < s.o.MinFree
	if was := d.full.Swap(full); was != full {
		switch {
		case err != nil:
			s.log.Error("how much room the disk has cannot be told; no writes are taken but withdrawals", "error", err.Error())
		case full:
			s.log.Error("the disk is nearly full; no writes are taken but withdrawals", "free_bytes", free, "min_free_bytes", s.o.MinFree)
		default:
			s.log.Info("the disk has room again; writes are taken", "free_bytes", free)
		}
	}
	return full
}

// roomFor refuses what writes while the disk is nearly full: a commit that fails
// for want of room would stop all writing until a restart. What is left is for
// withdrawals, which destroy, and which nobody may be refused.
//
// A call that is sent again is still told what became of it the first time.
func (x *exchange) roomFor() *problem {
	if x.rt.writes && !x.rt.despiteLowDisk && x.s.disk.low(x.s) {
		if x.caller.Once != nil {
			x.caller.Once.Recorded = true
			return nil
		}
		x.expected = true
		return lowDisk()
	}
	return nil
}
