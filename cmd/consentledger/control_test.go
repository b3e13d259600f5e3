package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentledger/server"
)

// A server that hangs is said to hang; a deep check, which says nothing until
// it has something to say, is waited for.
func TestAServerThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	dir := t.TempDir()
	ln, err := server.ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // taken, and never answered
		}
	}()
	c := newControl(dir, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.do(ctx, http.MethodGet, "/control/info", "", nil); err == nil || !strings.Contains(err.Error(), "it does not answer") || ctx.Err() != nil {
		t.Fatalf("%v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := deepRunning(ctx, c, func(uint64, uint64) {}); err == nil || ctx.Err() == nil {
		t.Fatalf("the deep check was given up: %v", err)
	}
	_ = ln.Close()
	<-ended
}
