package remote

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// direct is an http.RoundTripper for GET over HTTP/1.1 that writes the request
// and reads the answer in the goroutine that asks. http.Transport has two more
// goroutines for each connection; handing a request and an answer over to them
// takes longer than checking what came, and on a loopback a fifth of the time of
// a whole check. Parsing is net/http's. It is for as many goroutines as there are
// connections, all under one context.
type direct struct {
	ctx    context.Context // ends everything
	header time.Duration   // how long an answer's header may take
	whole  time.Duration   // how long all of it may
	mu     sync.Mutex
	idle   []*directConn
}

func newDirect(ctx context.Context) *direct {
	return &direct{ctx: ctx, header: headerTimeout, whole: requestTimeout}
}

type directConn struct {
	net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	left int64 // how much may still be read before it is too much
	got  bool  // some of the answer
	stop func() bool
}

const (
	dialTimeout  = 30 * time.Second
	maxInterim   = 5 // answers 1xx before the one that counts
	noEnd        = int64(1) << 62
	maxIdleConns = 256
)

var errHeader = fmt.Errorf("its header is longer than %d bytes", maxHeader)

// goesDirect reports whether nothing is needed that only http.Transport does:
// a proxy, or a host name that has to be translated.
func goesDirect(base string) bool {
	u, err := url.Parse(base)
	if err != nil || strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return proxy == nil && err == nil
}

// RoundTrip implements http.RoundTripper.
func (d *direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if c := d.kept(); c != nil {
		resp, err := c.ask(d, req)
		if err == nil || c.got {
			return resp, err
		}
		// The server has closed it meanwhile, as it may.
	}
	c, err := d.dial(req.URL)
	if err != nil {
		return nil, err
	}
	return c.ask(d, req)
}

func (d *direct) kept() *directConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.idle) == 0 {
		return nil
	}
	c := d.idle[len(d.idle)-1]
	d.idle = d.idle[:len(d.idle)-1]
	return c
}

func (d *direct) keep(c *directConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.idle) >= maxIdleConns {
		c.end()
		return
	}
	d.idle = append(d.idle, c)
}

// CloseIdleConnections is called by http.Client's.
func (d *direct) CloseIdleConnections() {
	for c := d.kept(); c != nil; c = d.kept() {
		c.end()
	}
}

func (d *direct) dial(u *url.URL) (*directConn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dialTimeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var conn net.Conn
	var err error
	address := net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "https" {
		t := tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}, RootCAs: rootCAs, MinVersion: tls.VersionTLS12}}
		conn, err = t.DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	c := &directConn{Conn: conn}
	c.r, c.w = bufio.NewReader(c), bufio.NewWriter(conn)
	c.stop = context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	return c, nil
}

// ask makes one request. Whoever closes the answer's body, read to its end,
// gives the connection back; after an error it is closed.
func (c *directConn) ask(d *direct, req *http.Request) (_ *http.Response, err error) {
	defer func() {
		if err != nil {
			c.end()
		}
	}()
	begin := time.Now()
	c.got, c.left = false, maxHeader
	if err := c.SetDeadline(begin.Add(d.header)); err != nil {
		return nil, err
	}
	if err := req.Write(c.w); err != nil {
		return nil, err
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	for range maxInterim {
		resp, err := http.ReadResponse(c.r, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 {
			continue
		}
		if err := c.SetDeadline(begin.Add(d.whole)); err != nil {
			return nil, err
		}
		c.left = noEnd // the one who reads the body knows how long it may be
		resp.Body = &directBody{ReadCloser: resp.Body, d: d, c: c, last: resp.Close}
		return resp, nil
	}
	return nil, errors.New("it sent interim answers only")
}

// Read is for the bufio.Reader.
func (c *directConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeader
	}
	n, err := c.Conn.Read(b)
	c.left -= int64(n)
	c.got = c.got || n > 0
	return n, err
}

func (c *directConn) end() {
	c.stop()
	_ = c.Conn.Close()
}

type directBody struct {
	io.ReadCloser
	d     *direct
	c     *directConn
	last  bool // the server closes the connection
	ended bool
}

func (b *directBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close gives the connection back, if nothing is left in it that a next answer
// could be taken for.
func (b *directBody) Close() error {
	if b.c == nil {
		return nil
	}
	if b.ended && !b.last && b.c.r.Buffered() == 0 {
		b.d.keep(b.c)
	} else {
		b.c.end()
	}
	b.c = nil
	return nil
}
