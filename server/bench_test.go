package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"consentledger/server/api"
)

type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}

func BenchmarkStrictJSON(b *testing.B) {
	body := []byte(bodies["/v1/consents"])
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var in api.Consent
		if f := shapeConsent.decode(body, &in); f != nil {
			b.Fatal(f.code)
		}
	}
}

func BenchmarkDecodeConsent(b *testing.B) {
	body := []byte(bodies["/v1/consents"])
	b.ReportAllocs()
	for b.Loop() {
		if _, p := decodeConsent(body); p != nil {
			b.Fatal(p.code)
		}
	}
}

func BenchmarkOneConsent(b *testing.B) {
	h := newDouble(b, &double{forgets: true}).Handler()
	body := strings.NewReader(bodies["/v1/consents"])
	r := httptest.NewRequest("POST", "/v1/consents", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer writer")
	w := &nowhere{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(bodies["/v1/consents"])
		r.Body = io.NopCloser(body)
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

func consentLine() string {
	return `{"type":"consent",` + bodies["/v1/consents"][1:]
}

func BenchmarkBatchLine(b *testing.B) {
	raw := []byte(consentLine())
	b.Run("peek", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if k, _ := peek(raw); k != lineConsent {
				b.Fatal(k)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, p := decodeLine(lineConsent, raw); p != nil {
				b.Fatal(p.code)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		call, _, _ := decodeLine(lineConsent, raw)
		a, _ := doublePending{&double{}, 1}.Wait(b.Context())
		bt := &batch{x: &exchange{s: newDouble(b, &double{})}}
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			out = bt.appendLine(out[:0], 123456, &line{call: call}, a, certificate{})
		}
	})
}

// BenchmarkBatch streams through a real connection on the loopback, its client
// on the same processors, into a book that does nothing: what is left is the
// server's own share.
func BenchmarkBatch(b *testing.B) {
	s := newDouble(b, &double{forgets: true})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	raw := []byte(consentLine() + "\n")
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go func() {
		w := bufio.NewWriterSize(conn, 64<<10)
		io.WriteString(w, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1099511627776\r\n\r\n")
		for {
			if _, err := w.Write(raw); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 64<<10), nil)
	if err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	b.SetBytes(int64(len(raw)))
	b.ResetTimer()
	for range b.N {
		if _, err := lines.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
