package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrUnavailable is what errors wrap that say nothing of the log: it did not
// answer, or what answered is no log.
var ErrUnavailable = errors.New("the log could not be read")

// errAbsent says that the server answered 404.
var errAbsent = errors.New("not there")

const (
	attempts     = 6
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
	maxRedirects = 3
	// A request ends after this long; a bundle of the largest size needs
	// 140 KB/s to arrive in time.
	requestTimeout = 2 * time.Minute
	headerTimeout  = 30 * time.Second
	maxHeader      = 64 << 10
	// No more memory than this is taken for an answer before it is there.
	maxPromised = 1 << 20
)

// rootCAs is what TLS certificates are checked with; nil: the system's.
var rootCAs *x509.CertPool

// newClient makes a client for one log. The context ends all that it does.
func newClient(ctx context.Context, base string, connections int) *http.Client {
	if goesDirect(base) {
		return &http.Client{Transport: newDirect(ctx), CheckRedirect: sameHost}
	}
	return &http.Client{Transport: newTransport(connections), Timeout: requestTimeout, CheckRedirect: sameHost}
}

func newTransport(connections int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = connections
	t.MaxConnsPerHost = connections
	t.DisableCompression = true // what is served is what is compared, and a bomb stays small
	t.ResponseHeaderTimeout = headerTimeout
	t.MaxResponseHeaderBytes = maxHeader
	return t
}

// sameHost keeps a log from sending its reader to other machines.
func sameHost(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("%w: it redirects to another host or scheme (%s://%s), which is not followed: give that URL if it is the log's", errRefused, req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: it redirects more than %d times", errRefused, maxRedirects)
	}
	return nil
}

// errRefused marks what another attempt would not change.
var errRefused = errors.New("not followed")

// get reads a path into buf, at most limit+1 bytes: who gets more than limit
// knows that the answer is too long. It tries again where that can help. The
// error is errAbsent, or wraps ErrUnavailable, or is the context's.
func (l *Log) get(ctx context.Context, path string, limit int, buf []byte) ([]byte, error) {
	pause := l.pause
	for i := 1; ; i++ {
		b, wait, err := l.once(ctx, path, limit, buf)
		switch {
		case err == nil || errors.Is(err, errAbsent):
			return b, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case wait < 0:
			return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, path, err)
		case i == attempts:
			return nil, fmt.Errorf("%w: %s: %w (tried %d times): is it up? run this again later", ErrUnavailable, path, err, attempts)
		}
		// Half of it at random, so that many readers do not come back at once.
		wait = max(wait, pause/2+rand.N(pause/2+1))
		pause = min(2*pause, longestPause)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(wait, longestPause)):
		}
	}
}

// once tries once. With an error, wait is negative if trying again is of no
// use, else how long the server asks to be left alone.
func (l *Log) once(ctx context.Context, path string, limit int, buf []byte) (_ []byte, wait time.Duration, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+path, nil)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("User-Agent", "consentledger-verify")
	if l.authorization != nil {
		req.Header["Authorization"] = l.authorization
	}
	resp, err := l.client.Do(req)
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if errors.Is(err, errRefused) || errors.As(err, &certificate) {
			wait = -1
		}
		var u *url.Error // its text repeats the URL
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, wait, err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection is kept
		resp.Body.Close()
	}()
	switch s := resp.StatusCode; {
	case s == http.StatusNotFound:
		return nil, 0, errAbsent
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			wait = time.Duration(min(n, int(longestPause/time.Second))) * time.Second
		}
		return nil, wait, fmt.Errorf("it answered %d", s)
	case s == http.StatusUnauthorized && l.authorization == nil:
		return nil, -1, errors.New("it answered 401: the log is not public, and no key was given: give one that its operator has made for you, in a file with --token-file")
	case s == http.StatusUnauthorized || s == http.StatusForbidden && l.authorization != nil:
		return nil, -1, fmt.Errorf("it answered %d: it does not take this key: ask its operator whether the key is this log's and was not revoked", s)
	case s != http.StatusOK:
		return nil, -1, fmt.Errorf("it answered %d: is this the URL under which the log has its /checkpoint, and is it public?", s)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, -1, errors.New("it answered with a web page: this is not a log, or something stands between")
	}
	b, err := appendAll(buf[:0], resp.Body, limit+1, int(min(resp.ContentLength, maxPromised)))
	if err != nil {
		return nil, 0, fmt.Errorf("its answer broke off: %w", err)
	}
	return b, 0, nil
}

// appendAll reads r, most bytes of it, for whose length expected is a guess.
func appendAll(b []byte, r io.Reader, most, expected int) ([]byte, error) {
	r = io.LimitReader(r, int64(most))
	if need := min(expected, most) + 1; need > cap(b) { // one more, so that the end is read without growing
		b = make([]byte, 0, need)
	}
	for {
		if len(b) == cap(b) { // twice as much, so that what is long is seldom copied
			b = slices.Grow(b, min(max(len(b), 512), most+1-len(b)))
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseBase returns the URL that paths are appended to.
func parseBase(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("it is no URL: give the one under which the log has its /checkpoint, such as https://ledger.example/")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", errors.New("it must begin with https:// or http:// and name a host, such as https://ledger.example/")
	case u.User != nil:
		return "", errors.New("it holds a user name or password: leave them out; the key of a log that is not public goes into a file, --token-file")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", errors.New("it has something behind ? or #: leave that out")
	}
	return strings.TrimRight(u.String(), "/") + "/", nil
}

// mayCarryToken reports whether nobody stands between who sees what is sent.
func mayCarryToken(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
