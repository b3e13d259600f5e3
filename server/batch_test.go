package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// batchLine is what every line of an answer has.
type batchLine struct {
	Line     int
	Status   int
	Code     string
	Field    string
	Entries  []api.Entry
	Replayed bool `json:"idempotent_replayed"`
}

// runBatch sends a body as it is, and returns the lines of the answer.
func runBatch(t *testing.T, h http.Handler, body io.Reader) []batchLine {
	t.Helper()
	ts := httptest.NewServer(h)
	defer ts.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", ts.URL+"/v1/batch", body)
	r.Header.Set("Content-Type", mediaNDJSON)
	r.Header.Set("Authorization", "Bearer writer")
	defer http.DefaultClient.CloseIdleConnections()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != mediaNDJSON {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	return readLines(t, res.Body)
}

func readLines(t *testing.T, r io.Reader) (out []batchLine) {
	t.Helper()
	s := bufio.NewScanner(r)
	for s.Scan() {
		var l batchLine
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("line %d of the answer: %v: %s", len(out)+1, err, s.Bytes())
		}
		out = append(out, l)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out
}

func withdrawalLine(member string) string {
	return `{"type":"withdrawal","member_id":"` + member + `","scope":"membership"}` + "\n"
}

func TestABatchAnswersEveryLineInItsOrder(t *testing.T) {
	const members, lines = 7, 5000
	d := &double{}
	var body strings.Builder
	for i := range lines {
		fmt.Fprintf(&body, `{"member_id":"m%d","type":"withdrawal","purposes":["p%d"]}`+"\n", i%members, i)
	}
	got := runBatch(t, newDouble(t, d).Handler(), strings.NewReader(body.String()))
	if len(got) != lines {
		t.Fatalf("%d answers to %d lines", len(got), lines)
	}
	for i, l := range got {
		if l.Line != i+1 || l.Status != 201 || len(l.Entries) != 1 {
			t.Fatalf("answer %d is %+v", i, l)
		}
		// The answer is that of this line's call.
		if want := fmt.Sprintf("p%d", i); d.calls[l.Entries[0].Index].(*consent.Withdrawal).Purposes[0] != want {
			t.Fatalf("line %d was answered with another line's entry", i+1)
		}
	}
	last := map[string]int{}
	for _, c := range d.calls {
		w := c.(*consent.Withdrawal)
		var n int
		fmt.Sscanf(w.Purposes[0], "p%d", &n)
		m := string(w.Member.Bytes())
		if before, seen := last[m]; seen && n < before {
			t.Fatalf("a line of a member overtook the one before it")
		}
		last[m] = n
	}
}

func TestABadLineIsAnAnswerAndNotTheEnd(t *testing.T) {
	good := withdrawalLine("m")
	long := `{"type":"withdrawal","member_id":"` + strings.Repeat("x", maxLineBytes) + `"}` + "\n"
	body := good +
		"not json\n" +
		"\n" +
		`{"type":"other","member_id":"m"}` + "\n" +
		`{"member_id":"m","scope":"membership"}` + "\n" +
		`{"type":"withdrawal","member_id":"m","scope":"membership","scope":"membership"}` + "\n" +
		`{"type":"withdrawal","idempotency_key":"a b","member_id":"m","scope":"membership"}` + "\n" +
		long +
		`{"t\u0079pe":"withdrawal","memb\u0065r_id":"\u006d","scope":"membership"}` + "\r\n" +
		`{"type":"disclosure","recipient":"r","purpose":"p","items":["i"],"occurred_at":"yesterday","member_id":"m"}` + "\n" +
		strings.Repeat(" ", maxLineBytes-len(good)+1) + good + // exactly the limit
		`{"type":"withdrawal","member_id":"m","scope":"membership"}` // the last line needs no end
	want := []batchLine{
		{Status: 201},
		{Status: 400, Code: "malformed_json"},
		{Status: 400, Code: "empty_body"},
		{Status: 400, Code: "invalid_value", Field: "type"},
		{Status: 400, Code: "invalid_value", Field: "type"},
		{Status: 400, Code: "duplicate_field", Field: "scope"},
		{Status: 400, Code: "idempotency_key_invalid", Field: "idempotency_key"},
		{Status: 413, Code: "line_too_large"},
		{Status: 201},
		{Status: 400, Code: "invalid_time", Field: "occurred_at"},
		{Status: 201},
		{Status: 201},
	}
	for name, r := range map[string]io.Reader{"at once": strings.NewReader(body), "byte by byte": trickle{strings.NewReader(body)}} {
		t.Run(name, func(t *testing.T) {
			d := &double{}
			got := runBatch(t, newDouble(t, d).Handler(), r)
			if len(got) != len(want) {
				t.Fatalf("%d answers; want %d: %+v", len(got), len(want), got)
			}
			for i, l := range got {
				if l.Line != i+1 || l.Status != want[i].Status || l.Code != want[i].Code || l.Field != want[i].Field {
					t.Errorf("line %d: %+v; want %+v", i+1, l, want[i])
				}
			}
			if len(d.calls) != 4 {
				t.Errorf("%d calls were made", len(d.calls))
			}
		})
	}
}

// trickle gives small pieces, so that lines are cut at every place.
type trickle struct{ r io.Reader }

func (t trickle) Read(b []byte) (int, error) { return t.r.Read(b[:min(len(b), 997)]) }

func TestAFullQueueMakesABatchWaitAndRefusesNoLine(t *testing.T) {
	d := &double{busy: 5}
	got := runBatch(t, newDouble(t, d).Handler(), strings.NewReader(strings.Repeat(withdrawalLine("m"), 20)))
	for _, l := range got {
		if l.Status != 201 {
			t.Fatalf("%+v", l)
		}
	}
	if len(got) != 20 || d.busy != 0 {
		t.Fatalf("%d answers, %d refusals left", len(got), d.busy)
	}
}

// dialBatch opens a batch on a connection of its own, whose body has no length.
func dialBatch(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", mediaNDJSON)
	return conn
}

func chunk(w io.Writer, s string) error {
	_, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(s), s)
	return err
}

func TestAnswersComeWhileTheBatchIsStillBeingSent(t *testing.T) {
	ts := httptest.NewServer(newDouble(t, &double{}).Handler())
	defer ts.Close()
	conn := dialBatch(t, ts.Listener.Addr().String())
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	var lines *bufio.Reader
	for i := range 5 {
		if err := chunk(conn, withdrawalLine("m")); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			lines = bufio.NewReader(res.Body)
		}
		if l, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(l, fmt.Sprintf(`{"line":%d,`, i+1)) {
			t.Fatalf("%q %v", l, err)
		}
	}
	fmt.Fprint(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Fatalf("%q %v", rest, err)
	}
}

func TestALineThatWasCutOffIsNotTaken(t *testing.T) {
	d := &double{}
	s := newDouble(t, d)
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	conn := dialBatch(t, ts.Listener.Addr().String())
	// Cut in the middle of the second line, where what has come is a whole call by itself.
	whole := strings.TrimSuffix(withdrawalLine("m"), "\n")
	_ = chunk(conn, whole+"\n"+whole)
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.ReadAll(conn)
	if !s.inFlight.wait(10 * time.Second) {
		t.Fatal("the batch did not end")
	}
	if len(d.calls) != 1 {
		t.Fatalf("%d calls were made", len(d.calls))
	}
}

// TestAClientWhoReadsNothingStopsItsOwnReader: what is in flight stays bounded,
// and when nothing moves any more, the batch ends.
func TestAClientWhoReadsNothingStopsItsOwnReader(t *testing.T) {
	d := &double{forgets: true}
	s := newServer(d, Options{StallTimeout: 500 * time.Millisecond})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	conn := dialBatch(t, ts.Listener.Addr().String())
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	part := strings.Repeat(withdrawalLine("m"), 500)
	sent := 0
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if err := chunk(conn, part); err != nil {
			break
		}
		if sent += len(part); sent > 1<<30 {
			t.Fatal("a gigabyte was taken, and no answer was read")
		}
	}
	runtime.ReadMemStats(&during)
	if grown := int64(during.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if !s.inFlight.wait(10 * time.Second) {
		t.Fatal("the batch did not end")
	}
}

// TestAClientWhoReadsNothingStopsNobodyElse: what one batch cannot deliver takes
// nothing of what all of them share.
func TestAClientWhoReadsNothingStopsNobodyElse(t *testing.T) {
	s := newServer(&double{forgets: true}, Options{StallTimeout: 10 * time.Second})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	deaf := dialBatch(t, ts.Listener.Addr().String())
	part := strings.Repeat(withdrawalLine("m"), 500)
	for {
		_ = deaf.SetWriteDeadline(time.Now().Add(time.Second))
		if chunk(deaf, part) != nil {
			break // nothing of it is taken any more
		}
	}
	body := strings.Repeat(withdrawalLine("m"), 2*linesInFlight)
	started := time.Now()
	if got := runBatch(t, s.Handler(), strings.NewReader(body)); len(got) != 2*linesInFlight {
		t.Fatalf("%d answers", len(got))
	}
	if len(s.batches) != 1 {
		t.Fatalf("the batch that is not read has ended after %v: this proves nothing", time.Since(started))
	}
	_ = deaf.Close()
	until(t, func() bool { return s.inFlight.n.Load() == 0 })
}

func TestAClientWhoSendsNothingIsToldThatItsTimeIsUp(t *testing.T) {
	ts := httptest.NewServer(newServer(&double{}, Options{StallTimeout: 200 * time.Millisecond}).Handler())
	defer ts.Close()
	conn := dialBatch(t, ts.Listener.Addr().String())
	_ = chunk(conn, withdrawalLine("m")+`{"type":`)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := readLines(t, res.Body)
	if len(got) != 2 || got[0].Status != 201 || got[1].Line != 2 || got[1].Code != "request_timeout" {
		t.Fatalf("%+v", got)
	}
}

func TestBatchesBeyondTheLimitAreRefusedWhole(t *testing.T) {
	d := &double{durable: make(chan struct{})}
	s := newServer(d, Options{MaxBatches: 1})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	conn := dialBatch(t, ts.Listener.Addr().String())
	_ = chunk(conn, withdrawalLine("m"))
	until(t, func() bool { return len(s.batches) == 1 })
	w := do(s.Handler(), request(route{method: "POST", label: "/v1/batch", media: mediaNDJSON}, ledger.RoleWriter))
	wantProblem(t, w, 503, "too_many_batches")
	fmt.Fprint(conn, "0\r\n\r\n")
	close(d.durable)
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return len(s.batches) == 0 })
}

func until(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to that")
		}
	}
}

func TestAStoppingServerAnswersTheLinesThatItHasRead(t *testing.T) {
	d := &double{durable: make(chan struct{})}
	s := newDouble(t, d)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, ended := serve(t, ctx, s)
	conn := dialBatch(t, ln.Addr().String())
	_ = chunk(conn, strings.Repeat(withdrawalLine("m"), 3)+`{"type":`)
	until(t, func() bool { d.mu.Lock(); defer d.mu.Unlock(); return len(d.calls) == 3 })
	stop()
	until(t, s.stopping)
	close(d.durable)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := readLines(t, res.Body)
	if len(got) != 4 || got[0].Status != 201 || got[2].Status != 201 || got[3].Code != "shutting_down" || got[3].Line != 4 {
		t.Fatalf("%+v", got)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// serve runs a server as it is run in production.
func serve(t *testing.T, ctx context.Context, s *Server) (net.Listener, chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	return ln, ended
}

func TestPeekFindsWhatTheStrictReaderReads(t *testing.T) {
	for in, want := range map[string]struct {
		kind   lineKind
		member string
	}{
		`{"type":"consent","member_id":"a"}`:                                                                               {lineConsent, "a"},
		` { "items" : ["type", {"member_id":"no"}] , "member_id":"b", "type" : "disclosure" }`:                             {lineDisclosure, "b"},
		`{"reason":"\"member_id\":\"no\"","type":"correction","member_id":"c\""}`:                                          {lineCorrection, `c"`},
		`{"changes":[{"item":"member_id","old":"}]\\","new":"type"}],"m\u0065mber_id":"\uD83D\uDE00","type":"withdrawal"}`: {lineWithdrawal, "😀"},
		`{"type":"consent"}`: {lineConsent, ""},
	} {
		k, m := peek([]byte(in))
		if k != want.kind || want.member != "" && m != fnv1a([]byte(want.member)) {
			t.Errorf("%s: kind %d", in, k)
		}
	}
	for _, in := range []string{"", "{", `{"`, `{"type`, `{"type"`, `{"type":`, `{"type":"`, `{"type":"x"`, `{"a":[`, `{"a":"\`, `[]`, `{"a":}`, `{"a":]`, "{,"} {
		peek([]byte(in)) // must only come back
	}
}
