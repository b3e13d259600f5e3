package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// BenchmarkTiles fetches what a verifier does, over connections that are kept. Beside each stands its
// floor: the same net/http server with a handler that only writes as many bytes under the same headers.
// Both have the same client, on the same processors. go run ./bench/long tilespeed compares them in turn.
func BenchmarkTiles(b *testing.B) {
	s := newShop(b)
	for i := 0; s.ledger.Size() < 8*256+20; i++ {
		must[api.ConsentAnswer](s, 201, ledger.RoleWriter, "POST", "/v1/consents", enrolment(fmt.Sprint("tiles-", i)))
	}
	last := s.ledger.Size() - 1
	must[api.EntryProof](s, 200, ledger.RoleAuditor, "GET", fmt.Sprintf("/v1/entries/%d", last), "") // publishes a head
	// Without those who watch tests.
	s.server.handler = s.server.router(s.server.routes(), false)
	s.server.log = slog.New(slog.DiscardHandler)
	address := served(b, s.server.Serve)
	for _, c := range []struct {
		name  string
		paths []string
	}{
		{"tile", []string{"/tile/0/000", "/tile/0/001", "/tile/0/002", "/tile/0/003", "/tile/0/004", "/tile/0/005", "/tile/0/006", "/tile/0/007"}},
		{"bundle", []string{"/tile/entries/000", "/tile/entries/001", "/tile/entries/002", "/tile/entries/003", "/tile/entries/004", "/tile/entries/005", "/tile/entries/006", "/tile/entries/007"}},
		{"partial", []string{fmt.Sprintf("/tile/0/008.p/%d", (last+1)%256)}},
		{"checkpoint", []string{"/checkpoint"}},
	} {
		b.Run(c.name+"/served", func(b *testing.B) { fetch(b, address, c.paths) })
		res, err := http.Get("http://" + address + c.paths[0])
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		floor := served(b, writing(res.Header, body))
		b.Run(c.name+"/floor", func(b *testing.B) { fetch(b, floor, c.paths) })
	}
}

// served runs a server on loopback until the benchmark ends.
func served(b *testing.B, serve func(context.Context, net.Listener) error) (address string) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// writing is a server that answers everything as one request was answered, without a look.
func writing(header http.Header, body []byte) func(context.Context, net.Listener) error {
	headers := map[string][]string{}
	for _, name := range []string{"Content-Type", "Cache-Control", "Content-Length", "X-Request-Id"} {
		headers[name] = header[name]
	}
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			for name, value := range headers {
				h[name] = value
			}
			_, _ = w.Write(body) // who has gone away does not hear it
		}),
	}
	return func(ctx context.Context, ln net.Listener) error {
		go func() { <-ctx.Done(); _ = srv.Close() }()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// fetch asks for paths in turn from some connections, each asking again when it has been answered.
func fetch(b *testing.B, address string, paths []string) {
	var next atomic.Int64
	b.SetParallelism(16)
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		requests := make([][]byte, len(paths))
		for i, path := range paths {
			requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		}
		in := bufio.NewReaderSize(conn, 64<<10)
		for pb.Next() {
			if _, err := conn.Write(requests[int(next.Add(1))%len(requests)]); err != nil {
				b.Error(err)
				return
			}
			if err := skipAnswer(in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processorTime is what this process has used, client and server: it moves less with what others do.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// skipAnswer reads an answer of 200 and lets go of it.
func skipAnswer(in *bufio.Reader) error {
	length := -1
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if n == 0 && !strings.Contains(string(line), " 200 ") {
			return fmt.Errorf("answered with %s", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := in.Discard(length)
			return err
		}
	}
}
