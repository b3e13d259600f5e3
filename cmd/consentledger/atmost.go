package main

import (
	"net"
	"sync"
)

// witnessConnections is how many a witness holds at once. A log needs one.
const witnessConnections = 512

// atMost holds at most so many connections as there are places: one more is
// closed at once, so that somebody who opens them without end costs the witness
// its answers for a while, and not its memory.
type atMost struct {
	net.Listener
	places chan struct{}
}

func (l atMost) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			_ = c.Close()
		}
	}
}

// placed gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is what net/http ends an answer with that the client may not have
// read yet.
func (c *placed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
