package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAStopAnswersWhatIsUnderWayAndThenAcceptsNoMore(t *testing.T) {
	d := &double{durable: make(chan struct{})}
	s := newDouble(t, d)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	post := func() (*http.Response, error) {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+ln.Addr().String()+"/v1/consents", strings.NewReader(bodies["/v1/consents"]))
		r.Header.Set("Content-Type", mediaJSON)
		r.Header.Set("Authorization", "Bearer writer")
		return c.Do(r)
	}
	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1)
	go func() {
		res, err := post()
		if err != nil {
			answered <- result{0, err}
			return
		}
		_ = res.Body.Close()
		answered <- result{res.StatusCode, nil}
	}()
	until(t, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.calls) == 1 })
	stop()
	until(t, s.stopping)
	select {
	case err := <-ended:
		t.Fatalf("it stopped (%v) while a write was under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	if w := do(s.Handler(), request(route{method: "GET", label: "/readyz"}, "")); w.Code != 503 {
		t.Errorf("/readyz says %d while the server stops", w.Code)
	}
	close(d.durable)
	if a := <-answered; a.err != nil || a.status != 201 {
		t.Fatalf("the write under way was answered with %d, %v", a.status, a.err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if res, err := post(); err == nil {
		res.Body.Close()
		t.Fatal("a stopped server answered")
	}
}

func TestAStopThatTakesTooLongSaysSo(t *testing.T) {
	d := &double{durable: make(chan struct{})}
	s := newServer(d, Options{ShutdownWithin: 100 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := bodies["/v1/consents"]
	fmt.Fprintf(conn, "POST /v1/consents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	until(t, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.calls) == 1 })
	stop()
	if err := <-ended; !errors.Is(err, ErrUnfinished) {
		t.Fatalf("%v", err)
	}
}

func TestWhoSendsTooSlowlyIsCutOff(t *testing.T) {
	s := newServer(&double{}, Options{ReadHeaderTimeout: 100 * time.Millisecond, ReadTimeout: 300 * time.Millisecond, IdleTimeout: 200 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	for name, c := range map[string]struct{ sent, answer string }{
		"a header that never ends":          {"POST /v1/lookups HTTP/1.1\r\nHost: x\r\nX: ", ""},
		"a body that never ends":            {"POST /v1/lookups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "request_timeout"},
		"a second request that never comes": {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, c.sent)
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			got, err := io.ReadAll(conn)
			if err != nil {
				t.Fatalf("the connection was not ended: %v", err)
			}
			if !strings.Contains(string(got), c.answer) {
				t.Fatalf("the answer is %q", got)
			}
		})
	}
	// The control: who is quick enough is answered.
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/lookups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(bodies["/v1/lookups"]), bodies["/v1/lookups"])
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", res, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestAHeaderThatIsTooLargeIsRefused(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, newDouble(t, &double{}))
	for size, status := range map[int]int{8 << 10: 200, 40 << 10: 431} {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", size))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != status {
			t.Errorf("%d bytes: %v %v", size, res, err)
		}
		_ = conn.Close()
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
