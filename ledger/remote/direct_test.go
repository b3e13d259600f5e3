package remote

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote/tilestest"
)

// raw is a server that does with its n-th connection whatever a test wants.
func raw(t *testing.T, serve func(n int, c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	t.Cleanup(func() { ln.Close(); done.Wait() })
	done.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	return "http://" + ln.Addr().String() + "/"
}

// request reads one, false if there is none.
func request(r *bufio.Reader) (path string, ok bool) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", false
	}
	return req.URL.Path, true
}

func answerWith(w io.Writer, body string) {
	fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func directLog(ctx context.Context, base string) *Log {
	return &Log{ctx: ctx, client: newClient(ctx, base, 4), base: base, pause: time.Millisecond}
}

func TestAWholeLogIsReadOverAsManyConnectionsAsThereAreGoroutines(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(tilestest.Handler(newLog(t, 20_000)))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	if !goesDirect(s.URL) {
		t.Fatal("the environment has a proxy for this machine itself")
	}
	if found, err := check(t, s.URL); err != nil || len(found) > 0 || opened.Load() > 5 {
		t.Errorf("%d connections, %v, %v", opened.Load(), found, err)
	}
}

func TestALogIsReadOverTLSIfItsCertificateIsGood(t *testing.T) {
	s := httptest.NewUnstartedServer(tilestest.Handler(newLog(t, 600)))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if found, err := check(t, s.URL); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v, %v", found, err)
	}
	rootCAs = x509.NewCertPool()
	rootCAs.AddCert(s.Certificate())
	defer func() { rootCAs = nil }()
	if found, err := check(t, s.URL); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	if found, err := check(t, other); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another's name: %v, %v", found, err)
	}
}

func TestAConnectionThatTheServerClosedIsNoFailure(t *testing.T) {
	var asked atomic.Int32
	url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if path, ok := request(r); ok { // one answer, and no word of its being the last
			asked.Add(1)
			answerWith(c, path)
		}
	})
	l := directLog(t.Context(), url)
	l.pause = time.Hour // another attempt would not end
	for i := range int32(5) {
		if b, err := l.get(t.Context(), "a", 10, nil); err != nil || string(b) != "/a" || asked.Load() != i+1 {
			t.Fatalf("%q, %v after %d requests", b, err, asked.Load())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A server that sends more than one answer to one request must not have the
// next request answered by it.
func TestWhatComesUnaskedIsNoAnswer(t *testing.T) {
	url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			path, ok := request(r)
			if !ok {
				return
			}
			var out strings.Builder
			answerWith(&out, path)
			answerWith(&out, "forged")
			_, _ = io.WriteString(c, out.String())
		}
	})
	l := directLog(t.Context(), url)
	for _, path := range []string{"a", "b", "c"} {
		if b, err := l.get(t.Context(), path, 10, nil); err != nil || string(b) != "/"+path {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}

func TestInterimAnswersArePassedOver(t *testing.T) {
	h := tilestest.Handler(newLog(t, 300))
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		h.ServeHTTP(w, r)
	}))
	if found, err := check(t, url); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	for name, interim := range map[string]string{"for ever": "HTTP/1.1 103 Early Hints\r\n\r\n", "of another protocol": "HTTP/1.1 101 Switching Protocols\r\n\r\n"} {
		l := directLog(t.Context(), raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			if _, ok := request(r); ok {
				for range 1000 {
					if _, err := io.WriteString(c, interim); err != nil {
						return
					}
				}
			}
		}))
		if b, err := l.get(t.Context(), "a", 10, nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestAHeaderWithoutEndIsCut(t *testing.T) {
	var sent atomic.Int64
	l := directLog(t.Context(), raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, ok := request(r); !ok {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for range 10_000 {
			n, err := io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	if b, err := l.get(t.Context(), "a", 10, nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "header is longer") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestAnAnswerThatDoesNotComeIsWaitedForSoLongAndNoLonger(t *testing.T) {
	for name, begins := range map[string]string{"nothing": "", "half a header": "HTTP/1.1 200 OK\r\nContent-", "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"} {
		url := raw(t, func(_ int, c net.Conn, r *bufio.Reader) {
			if _, ok := request(r); ok {
				_, _ = io.WriteString(c, begins)
				_, _ = r.ReadByte() // until the other side has had enough
			}
		})
		l := directLog(t.Context(), url)
		d := l.client.Transport.(*direct)
		d.header, d.whole = 20*time.Millisecond, 40*time.Millisecond
		begin := time.Now()
		if b, err := l.get(t.Context(), "a", 10, nil); !errors.Is(err, ErrUnavailable) || time.Since(begin) > 10*time.Second {
			t.Errorf("%s: %q, %v after %v", name, b, err, time.Since(begin))
		}
		// The context ends it sooner.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		begin = time.Now()
		if b, err := directLog(ctx, url).get(ctx, "a", 10, nil); !errors.Is(err, context.Canceled) || time.Since(begin) > 10*time.Second {
			t.Errorf("%s, cancelled: %q, %v after %v", name, b, err, time.Since(begin))
		}
	}
}

func TestALogBehindAProxyIsRead(t *testing.T) {
	var asked atomic.Int32
	h := tilestest.Handler(newLog(t, 600))
	proxy, err := url.Parse(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "log.example" {
			t.Errorf("the proxy is asked for %s", r.URL)
		}
		asked.Add(1)
		h.ServeHTTP(w, r)
	})))
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport(4)
	transport.Proxy = http.ProxyURL(proxy)
	l := &Log{ctx: t.Context(), client: &http.Client{Transport: transport, CheckRedirect: sameHost}, base: "http://log.example/", pause: time.Millisecond}
	defer l.Close()
	if err := l.fetchCheckpoint(); err != nil {
		t.Fatal(err)
	}
	r, err := chain.Verify(t.Context(), l, chain.VerifyOptions{Verifier: verifier(t), Jobs: 4})
	if err != nil || !r.Intact || asked.Load() < 6 {
		t.Errorf("%+v, %v after %d requests", r.Findings, err, asked.Load())
	}
}

func TestAProxyAndAForeignNameAreLeftToHTTPTransport(t *testing.T) {
	for base, want := range map[string]bool{"http://127.0.0.1:1/": true, "http://bücher.example/": false, "http://\x00/": false} {
		if goesDirect(base) != want {
			t.Errorf("%q: %v", base, !want)
		}
	}
	if _, ok := newClient(t.Context(), "http://bücher.example/", 3).Transport.(*http.Transport); !ok {
		t.Error("a name that has to be translated is dialled as it is")
	}
}
