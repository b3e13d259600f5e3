package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// Somebody opens connections to a witness and says nothing: one more than there are places is closed at
// once, and a log is served as soon as there is a place again.
func TestAWitnessHoldsSoManyConnectionsAndNoMore(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	answer := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "here\n") })
	go func() { ended <- serveWitness(ctx, ln, answer, nil, slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	open := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// closedSoon says whether the other side closes a connection on which nothing was said.
	closedSoon := func(c net.Conn, within time.Duration) bool {
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		return !ok || !timeout.Timeout()
	}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range witnessConnections {
		held = append(held, open())
	}
	for range 50 {
		c := open()
		if !closedSoon(c, 5*time.Second) {
			t.Error("one more is held")
		}
		c.Close()
	}
	for _, c := range held[:20] { // control
		if closedSoon(c, time.Millisecond) {
			t.Error("one that has a place was closed")
		}
	}
	held[0].Close()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get("http://" + ln.Addr().String() + "/")
		if err == nil {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != "here\n" {
				t.Errorf("%q, %v", b, err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("there is a place, and nobody answers: %v", err)
		}
	}
}
