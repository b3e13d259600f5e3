package server

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
)

// This file bounds how many connections there are, and ends them so that nobody
// is left in doubt: net/http closes idle connections when the server stops, and
// drops a request that it had begun to read, without a word. Here such a request
// is told that nothing was recorded. What no handler saw was not recorded, also
// where TLS hides from this file what a connection carries.

// lingerFor is how long a connection that was idle when the server stopped is listened to: a request
// may be on its way.
const lingerFor = 300 * time.Millisecond

// limitListener holds at most so many connections. One more is told so and closed.
type limitListener struct {
	net.Listener
	s     *Server
	plain bool // not TLS, so a problem can be told
	open  chan struct{}
}

func (s *Server) limited(ln net.Listener, plain bool) net.Listener {
	return limitListener{Listener: ln, s: s, plain: plain, open: make(chan struct{}, s.o.MaxConnections)}
}

func (l limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			l.s.connections.Add(1)
			return &heldConn{Conn: c, leave: sync.OnceFunc(func() { l.s.connections.Add(-1); <-l.open })}, nil
		default:
		}
		l.s.metrics.problems.WithLabelValues("too_many_connections").Inc()
		if l.plain {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // nothing was written yet, so it does not block
			_, _ = c.Write(newProblem("too_many_connections", "", "Nothing was recorded. Keep connections and use them again, or send it after the time in Retry-After.").alone(l.s.requestID()))
		}
		_ = c.Close()
	}
}

// heldConn gives its place back when it is closed.
type heldConn struct {
	net.Conn
	leave func()
}

func (c *heldConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// NetConn is the connection itself.
func (c *heldConn) NetConn() net.Conn { return c.Conn }

// CloseWrite is what net/http ends an answer with that the client may not have read yet.
func (c *heldConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unheard is what a connection has sent that no handler saw yet.
type unheard struct {
	asked   atomic.Bool // something came since the last answer
	handled atomic.Bool // a handler runs, and reads what comes
	spoilt  atomic.Bool // what comes may be the rest of a body that was not read
}

var errEnding = &net.OpError{Op: "read", Err: net.ErrClosed}

func (c *wireConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closing.Load() {
		return 0, errEnding
	}
	n, err := c.Conn.Read(b)
	if n > 0 && !c.handled.Load() {
		c.asked.Store(true)
	}
	return n, err
}

// wires are the connections that are open.
type wires struct {
	mu   sync.Mutex
	open map[*wireConn]struct{}
}

func (w *wires) add(c *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[*wireConn]struct{}{}
	}
	w.open[c] = struct{}{}
}

func (w *wires) remove(c *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, c)
}

// cutStalled ends, until done, what would hold up a stop after the grace: heads and the rests
// of refused bodies that do not come, and answers of which nothing was taken for as long.
func (w *wires) cutStalled(grace time.Duration, done <-chan struct{}) {
	for wait := grace; ; wait = grace / 10 {
		select {
		case <-done:
			return
		case <-time.After(wait):
		}
		w.mu.Lock()
		for c := range w.open {
			if !c.handled.Load() {
				_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
			}
			if since := c.writing.Load(); since != 0 && time.Since(time.Unix(0, since)) > grace {
				_ = c.Conn.SetWriteDeadline(time.Unix(1, 0))
			}
		}
		w.mu.Unlock()
	}
}

type wireKey struct{}

// heard marks what came as a handler's, until done is called. After a panic it is not: what was
// answered then breaks off, and nothing may be written behind it. Nor is what is left of a body that
// may have been too long to be read.
func heard(r *http.Request) (done func()) {
	c, ok := r.Context().Value(wireKey{}).(*wireConn)
	if !ok {
		return func() {}
	}
	c.handled.Store(true)
	c.asked.Store(false)
	c.spoilt.Store(r.ContentLength < 0 || r.ContentLength > consent.MaxPolicyBytes)
	return func() { c.handled.Store(false) }
}

// Close lingers while the server stops. It does not block: net/http holds a lock. From then on
// net/http reads and writes nothing more here.
func (c *wireConn) Close() error {
	c.s.wires.remove(c)
	if !c.s.stopping() || c.handled.Load() || c.spoilt.Load() {
		return c.Conn.Close()
	}
	if !c.closing.Swap(true) {
		c.s.lingering.Add(1)
		go c.linger()
	}
	return nil
}

func (c *wireConn) linger() {
	defer c.s.lingering.Done()
	defer c.Conn.Close()
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // ends the read of net/http that waits for a request
	c.reading.Lock()
	defer c.reading.Unlock()
	var some [4 << 10]byte
	_ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor))
	asked := c.asked.Load()
	if !asked {
		n, _ := c.Conn.Read(some[:])
		asked = n > 0
	}
	if !asked {
		return
	}
	_ = c.Conn.SetWriteDeadline(time.Now().Add(lingerFor))
	if _, err := c.Conn.Write(problemOf(ledger.ErrClosed).alone(c.s.requestID())); err != nil {
		return
	}
	_ = c.CloseWrite()
	// What is left unread would reset the connection, and the answer with it.
	for _ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor)); ; {
		if _, err := c.Conn.Read(some[:]); err != nil {
			return
		}
	}
}
