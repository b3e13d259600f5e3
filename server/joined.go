package server

import (
	"net"
	"net/http"
)

// net/http writes an answer that is larger than its buffer in two pieces: the head with as much of the
// body as fits, and the rest. That is one system call, one packet and one wake-up of the client more than
// are needed, and of a tile's 8 KB they cost more than everything that is done to find it. Here the first
// piece waits for the second, and both go out together.

// netHTTPBuffer is how large net/http's buffer of a connection is. Were it another, answers would only go
// out in as many pieces as without this file.
const netHTTPBuffer = 4 << 10

// joined is what of an answer waits for its rest. It belongs to the goroutine that serves the connection.
type joined struct {
	on   bool // more is about to be written
	held []byte
}

// joinWrites holds back the first piece of what is written to a request's connection from now on, until
// the second comes or done is called, which must be before the handler returns. Under TLS net/http has
// the connection to itself, and nothing is held.
func joinWrites(r *http.Request) (done func()) {
	c, ok := r.Context().Value(wireKey{}).(*wireConn)
	if !ok {
		return func() {}
	}
	c.joined.on = true
	return func() {
		c.joined.on = false
		if len(c.joined.held) > 0 {
			_, _ = c.Write(nil) // who has gone away does not hear it
		}
	}
}

// write writes b, or keeps it until there is more.
func (j *joined) write(to net.Conn, b []byte) (int, error) {
	held := j.held
	switch {
	case j.on && len(held) == 0 && len(b) <= netHTTPBuffer:
		j.held = append(held, b...) // its owner uses it again
		return len(b), nil
	case len(held) == 0:
		return to.Write(b)
	}
	j.held = held[:0]
	if under, ok := to.(interface{ NetConn() net.Conn }); ok {
		to = under.NetConn() // which can take several pieces in one system call
	}
	both := net.Buffers{held, b}
	n, err := both.WriteTo(to)
	clear(held) // it may be about a member
	return max(0, int(n)-len(held)), err
}
