package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// openPost sends a call's header and a part of its body, of which it says that it is whole.
func openPost(t *testing.T, ln net.Listener, path string, part, whole int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, whole, bodies[path][:part])
	return conn
}

func TestAClientWhoEndsItsHalfOfTheConnectionHearsTheAnswer(t *testing.T) {
	d := &double{durable: make(chan struct{})}
	s := newDouble(t, d)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	n := len(bodies["/v1/withdrawals"])
	conn := openPost(t, ln, "/v1/withdrawals", n, n)
	_ = conn.(*net.TCPConn).CloseWrite()
	until(t, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.calls) == 1 })
	time.Sleep(100 * time.Millisecond) // net/http hears of the end meanwhile
	close(d.durable)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 201 {
		t.Fatalf("%d %s", res.StatusCode, b)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestAStopDoesNotWaitForABodyThatDoesNotCome(t *testing.T) {
	d := &double{}
	s := newDouble(t, d)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	conn := openPost(t, ln, "/v1/withdrawals", 5, 100)
	until(t, func() bool { s.bodies.mu.Lock(); defer s.bodies.mu.Unlock(); return len(s.bodies.reading) == 1 })
	// The control: who is on the way is waited for.
	quick := openPost(t, ln, "/v1/consents", 5, len(bodies["/v1/consents"]))
	until(t, func() bool { s.bodies.mu.Lock(); defer s.bodies.mu.Unlock(); return len(s.bodies.reading) == 2 })
	started := time.Now()
	stop()
	until(t, s.stopping)
	fmt.Fprint(quick, bodies["/v1/consents"][5:])
	for c, want := range map[net.Conn]int{conn: 503, quick: 201} {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != want || want == 503 && !strings.Contains(string(b), `"shutting_down"`) {
			t.Fatalf("%d %s", res.StatusCode, b)
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > s.o.ShutdownWithin/2 {
		t.Fatalf("it took %v", took)
	}
	if len(d.calls) != 1 {
		t.Fatalf("%d calls were made", len(d.calls))
	}
}

func TestAStopDoesNotWaitForABatchThatIsNotRead(t *testing.T) {
	s := newServer(&double{forgets: true}, Options{ShutdownWithin: 2 * time.Second})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	deaf := dialBatch(t, ln.Addr().String())
	part := strings.Repeat(withdrawalLine("m"), 500)
	for {
		_ = deaf.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if chunk(deaf, part) != nil {
			break
		}
	}
	started := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > s.o.ShutdownWithin {
		t.Fatalf("it took %v", took)
	}
}
