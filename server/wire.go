package server

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// This file has what is decided of a request before it is one of ours: bytes
// that are no HTTP, heads that are too large or never end, and framing of which
// a proxy in front may think otherwise. net/http answers the first of these by
// itself, in plain text and partly with 501 and 505; here they are told as
// everything else is. Where TLS is on, net/http needs the TLS connection itself,
// and its plain text stays.

// maxHeaders is how many header lines a request may have. Browsers and proxies send some thirty.
const maxHeaders = 100

// A wireListener gives connections that tell net/http's own refusals as problems.
type wireListener struct {
	net.Listener
	s *Server
}

func (l wireListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &wireConn{Conn: c, s: l.s}
	l.s.wires.add(w)
	return w, nil
}

type wireConn struct {
	net.Conn
	s *Server
	unheard
	reading sync.Mutex
	writing atomic.Int64 // since when, in Unix nanoseconds; 0: not
	closing atomic.Bool  // what is told from now on is not net/http's
	joined  joined
}

// NetConn is the connection itself.
func (c *wireConn) NetConn() net.Conn { return c.Conn }

// CloseWrite is what net/http ends an answer with that the client may not have read yet.
func (c *wireConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *wireConn) Write(b []byte) (int, error) {
	if c.closing.Load() {
		return 0, errEnding
	}
	c.asked.Store(false)
	c.writing.Store(time.Now().UnixNano())
	defer c.writing.Store(0)
	p := plainRefusal(b)
	if p == nil {
		return c.joined.write(c.Conn, b)
	}
	c.s.metrics.unrouted(p)
	if _, err := c.Conn.Write(p.alone(c.s.requestID())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// What net/http writes without asking a handler, each in one piece. No answer of ours begins like
// that: none is text/plain and ends the connection, and none is 417.
var (
	plainHead   = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	expectation = []byte(" 417 Expectation Failed\r\n")
)

// plainRefusal is the problem that net/http's own words in b mean; nil if they are none.
func plainRefusal(b []byte) *problem {
	const version = len("HTTP/1.1")
	if len(b) < version || string(b[:5]) != "HTTP/" {
		return nil
	}
	if bytes.HasPrefix(b[version:], expectation) {
		return newProblem("malformed_request", "Expect", "This server knows no expectation but 100-continue; send the request without the header.")
	}
	end := bytes.IndexByte(b, '\r')
	if end < 0 || !bytes.HasPrefix(b[end:], plainHead) {
		return nil
	}
	if bytes.HasPrefix(b[version:], []byte(" 431 ")) {
		return headersTooLarge()
	}
	return newProblem("malformed_request", "", "This is not a request of HTTP/1.1 (RFC 9112) that can be read in one way only; a well-kept HTTP library sends one.")
}

func headersTooLarge() *problem {
	return newProblem("headers_too_large", "", "Send at most %d bytes and %d lines of headers.", maxHeaderBytes, maxHeaders)
}

// alone is a whole answer, for a request that no handler saw. Its language is not known.
func (p *problem) alone(requestID string) []byte {
	body := append(p.appendTo([]byte{'{'}, requestID, english), '}', '\n')
	b := append(make([]byte, 0, 1<<10), "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(p.status)...)
	b = append(b, "\r\nContent-Type: application/problem+json\r\nContent-Language: en\r\nCache-Control: no-store\r\nX-Request-Id: "...)
	b = append(b, requestID...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\nConnection: close"...)
	if p.retryAfter > 0 {
		b = strconv.AppendInt(append(b, "\r\nRetry-After: "...), int64(p.retryAfter), 10)
	}
	return append(append(b, "\r\n\r\n"...), body...)
}

// ambiguous says whether a proxy may think that this request ends elsewhere than net/http does:
// one with a Transfer-Encoding may also have had a Content-Length, and one of HTTP/1.0 may have had a
// Transfer-Encoding, which net/http takes away without a word. RFC 9112 section 6.1 has the
// connection closed after them, so that nothing that follows is taken for a request.
func ambiguous(r *http.Request) bool {
	return r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0)
}

// headersFit counts the header lines, as they came.
func headersFit(h http.Header) bool {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n <= maxHeaders
}

// encoded says whether a request's path is written otherwise than a route's. httprouter would route on what it decodes to.
func encoded(r *http.Request) bool {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return strings.IndexByte(path, '%') >= 0 || r.URL.RawPath != ""
}
