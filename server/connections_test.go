package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func dial(t *testing.T, address, sent string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, sent)
	return conn
}

// next reads one answer.
func next(t *testing.T, r *bufio.Reader) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestOneConnectionTooManyIsToldAndTheOthersGoOn(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, newServer(&double{}, Options{MaxConnections: 2}))
	address := ln.Addr().String()
	const get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	one, two := dial(t, address, get), dial(t, address, get)
	r := bufio.NewReader(one)
	if status, b := next(t, r); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	next(t, bufio.NewReader(two))
	if got := raws(t, address, get); len(got) != 1 || got[0].code != "too_many_connections" || got[0].header.Get("Retry-After") == "" || !got[0].closed {
		t.Fatalf("%+v", got)
	}
	fmt.Fprint(one, get)
	if status, b := next(t, r); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	two.Close()
	until(t, func() bool { got := raws(t, address, get); return len(got) == 1 && got[0].status == 200 }) // the control: there is room again
	one.Close()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestAStopTellsARequestThatNoHandlerSaw has the moments in which net/http ends a connection without a word.
func TestAStopTellsARequestThatNoHandlerSaw(t *testing.T) {
	d := &double{}
	s := newDouble(t, d)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	whole := fmt.Sprintf("POST /v1/withdrawals HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", lookupHead, len(bodies["/v1/withdrawals"]), bodies["/v1/withdrawals"])
	idle := dial(t, ln.Addr().String(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	half := dial(t, ln.Addr().String(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	silent := dial(t, ln.Addr().String(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	readers := map[net.Conn]*bufio.Reader{}
	for _, c := range []net.Conn{idle, half, silent} {
		readers[c] = bufio.NewReader(c)
		if status, b := next(t, readers[c]); status != 200 {
			t.Fatalf("%d %s", status, b)
		}
	}
	fmt.Fprint(half, whole[:30])
	time.Sleep(50 * time.Millisecond) // net/http waits for the next request on each
	stop()
	until(t, s.stopping)
	time.Sleep(30 * time.Millisecond) // and has closed what was idle
	fmt.Fprint(idle, whole)
	fmt.Fprint(half, whole[30:])
	for name, c := range map[string]net.Conn{"one that was idle": idle, "one with half a head": half} {
		if status, b := next(t, readers[c]); status != 503 {
			t.Errorf("%s: %d %s", name, status, b)
		}
	}
	if rest, err := io.ReadAll(readers[silent]); err != nil || len(rest) > 0 { // the control: who asks nothing hears nothing
		t.Errorf("%q %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(d.calls) != 0 {
		t.Fatal("a call was made that was refused")
	}
}

func TestAStopDoesNotWaitForTheRestOfABodyThatWasRefused(t *testing.T) {
	s := newServer(&double{}, Options{ShutdownWithin: 8 * time.Second})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	// net/http waits for the rest of it before it writes the answer.
	conn := dial(t, ln.Addr().String(), "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nobody\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
	time.Sleep(100 * time.Millisecond)
	started := time.Now()
	stop()
	if status, b := next(t, bufio.NewReader(conn)); status != 401 {
		t.Errorf("%d %s", status, b)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > 6*time.Second {
		t.Fatalf("it took %v", took)
	}
}
