package server

import (
	"net/http"
	"sync"
	"time"
)

// bodyGrace is how long after a stop a body that is on its way may still take.
const bodyGrace = time.Second

// bodiesUnderWay are the requests whose bodies are being read, so that a server
// that stops need not wait for a client who sends slowly.
type bodiesUnderWay struct {
	mu      sync.Mutex
	reading map[*exchange]struct{}
	until   time.Time // zero: as long as they may
}

func (u *bodiesUnderWay) add(x *exchange) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reading == nil {
		u.reading = map[*exchange]struct{}{}
	}
	u.reading[x] = struct{}{}
	if !u.until.IsZero() {
		x.readUntil(u.until)
	}
}

func (u *bodiesUnderWay) done(x *exchange) (cut bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.reading, x)
	return !u.until.IsZero()
}

// cutAfter ends every read of a body that is not over in time. The first call counts.
func (u *bodiesUnderWay) cutAfter(grace time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.until.IsZero() {
		return
	}
	u.until = time.Now().Add(grace)
	for x := range u.reading {
		x.readUntil(u.until)
	}
}

// readUntil does nothing where there is no connection.
func (x *exchange) readUntil(t time.Time) {
	_ = http.NewResponseController(x.w).SetReadDeadline(t)
}
