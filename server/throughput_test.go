package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"consentledger/ledger"
)

// The benchmarks here go through real connections to a ledger of real files,
// with their client on the same processors.

func BenchmarkBatchIntoALedger(b *testing.B) {
	s := newShop(b)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	before, after, _ := strings.Cut(strings.Replace(enrolment("@"), "{", `{"type":"consent",`, 1)+"\n", "@")
	go func() {
		w := bufio.NewWriterSize(conn, 64<<10)
		fmt.Fprintf(w, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1099511627776\r\n\r\n", s.keys[ledger.RoleWriter])
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(w, "%sm%d%s", before, i%20_000, after); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 64<<10), nil)
	if err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	size := s.ledger.Size()
	b.ResetTimer()
	for range b.N {
		l, err := lines.ReadSlice('\n')
		if err != nil || !strings.Contains(string(l[:40]), `"status":201`) {
			b.Fatalf("%v %s", err, l)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(s.ledger.Size()-size)/b.Elapsed().Seconds(), "entries/s")
	_ = conn.Close()
	s.server.inFlight.wait(1 << 40)
}

func BenchmarkSingleConsentsIntoALedger(b *testing.B) {
	s := newShop(b)
	before, after, _ := strings.Cut(enrolment("@"), "@")
	b.SetParallelism(32)
	next, failed := make(chan int, 1), make(chan string, 1)
	next <- 0
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		worker := <-next
		next <- worker + 1
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for i := 0; pb.Next(); i++ {
			body := fmt.Sprintf("%sm%d-%d%s", before, worker, i%1000, after)
			fmt.Fprintf(conn, "POST /v1/consents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.keys[ledger.RoleWriter], len(body), body)
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != 201 {
				select {
				case failed <- fmt.Sprint(err, res):
				default:
				}
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	})
	b.StopTimer()
	select {
	case why := <-failed:
		b.Fatal(why)
	default:
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
