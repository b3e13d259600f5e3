package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/bench/internal/workload"
)

func server(t *testing.T, h http.HandlerFunc) Target {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	target, err := ParseTarget(s.URL, "the-key")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestOnlyLoopbackAddressesAreTargets(t *testing.T) {
	for _, good := range []string{"http://127.0.0.1:8787", "http://127.9.9.9:1/", "http://[::1]:8787", "http://localhost:8787"} {
		if _, err := ParseTarget(good, "k"); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"http://192.0.2.1:80", "http://example.com:80", "http://0.0.0.0:80", "http://[2001:db8::1]:80", "http://localhost.example:80"} {
		if _, err := ParseTarget(bad, "k"); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	for _, bad := range []string{"https://127.0.0.1:1", "http://127.0.0.1", "http://127.0.0.1:1/v1", "127.0.0.1:1", "http://u:p@127.0.0.1:1"} {
		if _, err := ParseTarget(bad, "k"); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestTheServerSeesTheRequestsThatWereMade(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/decisions" || r.Header.Get("Authorization") != "Bearer the-key" || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, "not as it should be", http.StatusTeapot)
			return
		}
		mu.Lock()
		seen[string(body)]++
		mu.Unlock()
		fmt.Fprint(w, `{}`)
	})
	d := NewDriver(target)
	d.UseMembers("m", 1000)
	r, err := d.Run(context.Background(), "decision", Plan{Conns: 4, Duration: time.Minute, Count: 100})
	if err != nil || r.Failed() != "" {
		t.Fatal(err, r.Failed())
	}
	if r.Requests != 100 || len(seen) != 100 {
		t.Errorf("%d requests were counted and %d different bodies arrived, want 100 of both", r.Requests, len(seen))
	}
	if want := `{"member_id":"m-0000000919","purpose":"terms_of_use"}`; seen[want] != 1 { // 7919 mod 1000
		t.Errorf("%s arrived %d times", want, seen[want])
	}
}

func TestEntriesAreThoseThatTheAnswersName(t *testing.T) {
	target := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"entries":[{"index":1},{"index":2}]}`)
	})
	d := NewDriver(target)
	r, err := d.Run(context.Background(), "consent-new", Plan{Conns: 2, Duration: time.Minute, Count: 10})
	if err != nil || r.Entries != 20 {
		t.Errorf("%d entries were counted, want 20 (error %v)", r.Entries, err)
	}
}

func TestEveryAnswerThatIsNotSuccessIsCountedByItsStatus(t *testing.T) {
	var n atomic.Int64
	target := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	r, err := NewDriver(target).Run(context.Background(), "consent-new", Plan{Conns: 1, Duration: time.Minute, Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 5 || r.Status[503] != 5 || r.Failed() != "5 × status 503" {
		t.Errorf("%d requests, %v, %q", r.Requests, r.Status, r.Failed())
	}
}

func TestAConnectionThatBreaksIsAnErrorAndIsMadeAnew(t *testing.T) {
	var n atomic.Int64
	target := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 3 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	})
	r, err := NewDriver(target).Run(context.Background(), "consent-new", Plan{Conns: 1, Duration: time.Minute, Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 9 || r.Failed() != "1 × connection failed" {
		t.Errorf("%d requests, %q", r.Requests, r.Failed())
	}
}

func TestAnswersOfAnotherShapeAreErrors(t *testing.T) {
	for name, answer := range map[string]string{
		"chunked":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no length":     "HTTP/1.1 200 OK\r\n\r\n",
		"two answers":   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
		"informational": "HTTP/1.1 100 Continue\r\n\r\nContent-Length: 0\r\n\r\n",
		"other":         "SMTP 220 hello and welcome\r\n\r\n",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, answer)
				defer c.Close()
			}
		}()
		target, err := ParseTarget("http://"+ln.Addr().String(), "k")
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewDriver(target).Run(context.Background(), "consent-new", Plan{Conns: 1, Duration: time.Minute, Count: 1})
		if err != nil || r.Requests != 0 || r.Failed() == "" {
			t.Errorf("%s: %d requests, %q, error %v", name, r.Requests, r.Failed(), err)
		}
		ln.Close()
	}
}

// A server that stops for a while keeps everybody waiting who would have come
// meanwhile. A closed loop of one connection sees one slow answer of a hundred;
// an open one must see as many as were due.
func TestAnOpenLoopCountsThoseWhoWaitedBehindAStall(t *testing.T) {
	stalling := func() http.HandlerFunc {
		var n atomic.Int64
		return func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1) == 10 {
				time.Sleep(300 * time.Millisecond)
			}
			w.WriteHeader(http.StatusCreated)
		}
	}
	plan := Plan{Conns: 1, Duration: time.Second}
	closed, err := NewDriver(server(t, stalling())).Run(context.Background(), "consent-new", plan)
	if err != nil {
		t.Fatal(err)
	}
	plan.Rate = 100
	open, err := NewDriver(server(t, stalling())).Run(context.Background(), "consent-new", plan)
	if err != nil {
		t.Fatal(err)
	}
	if open.Requests != 100 {
		t.Errorf("%d requests were answered, want 100", open.Requests)
	}
	// Of 100 requests, one every 10 ms, those due in the 300 ms waited: about 30, half of them over 150 ms.
	if p := open.Latency(0, 90); p < 100*time.Millisecond {
		t.Errorf("open loop: 90 %% took less than %v", p)
	}
	if p := closed.Latency(0, 90); p > 50*time.Millisecond {
		t.Errorf("closed loop: 90 %% took up to %v, so the comparison shows nothing", p)
	}
}

func TestABatchCountsTheAnswersOfItsLines(t *testing.T) {
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/x-ndjson" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		for i, line := range strings.SplitAfter(strings.TrimSuffix(string(body), "\n"), "\n") {
			switch {
			case !strings.Contains(line, `"type":"consent"`):
				fmt.Fprintf(w, `{"line":%d,"status":400}`+"\n", i+1)
			case i == 0:
				fmt.Fprintf(w, `{"line":%d,"title":"a name that is so long that the status comes after the start","status":422}`+"\n", i+1)
			default:
				fmt.Fprintf(w, `{"line":%d,"status":201,"entries":[{"index":%d}]}`+"\n", i+1, i)
			}
		}
	})
	d := NewDriver(target)
	r, err := d.Run(context.Background(), "batch-new", Plan{Streams: 1, Duration: time.Minute, Count: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 999 || r.Entries != 999 || r.Failed() != "1 × status 422" {
		t.Errorf("%d lines, %d entries, %q", r.Requests, r.Entries, r.Failed())
	}
	if err := d.Enrol(context.Background(), 100); err == nil {
		t.Error("members count as enrolled though a line was refused")
	}
}

func TestABatchThatIsCutOffIsAnError(t *testing.T) {
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `{"line":1,"status":201,"entries":[{"index":1}]}`+"\n")
	})
	r, err := NewDriver(target).Run(context.Background(), "batch-new", Plan{Streams: 1, Duration: time.Minute, Count: 10})
	if err != nil || r.Failed() != "1 × a stream of 10 lines had 1 answers" {
		t.Errorf("%q, error %v", r.Failed(), err)
	}
}

func TestTheMixHasItsShareOfWithdrawalsAndEachMemberLeavesOnce(t *testing.T) {
	var mu sync.Mutex
	paths := make(map[string]int)
	gone := make(map[string]int)
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/batch" {
			for i := range strings.Count(string(body), "\n") {
				fmt.Fprintf(w, `{"line":%d,"status":201}`+"\n", i+1)
			}
			return
		}
		mu.Lock()
		paths[r.URL.Path]++
		if r.URL.Path == "/v1/withdrawals" {
			gone[string(body)]++
		}
		mu.Unlock()
		w.WriteHeader(http.StatusCreated)
	})
	d := NewDriver(target)
	d.UseMembers("m", 1000)
	r, err := d.Run(context.Background(), "mix", Plan{Conns: 3, Duration: time.Minute, Count: 1000, Withdrawals: 2})
	if err != nil || r.Failed() != "" {
		t.Fatal(err, r.Failed())
	}
	if paths["/v1/withdrawals"] != 20 || paths["/v1/consents"] != 980 || len(gone) != 20 {
		t.Errorf("%v, %d members gone, want 20 withdrawals of 20 members and 980 consents", paths, len(gone))
	}
}

func TestFilesAreFetchedByTheirNumbers(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	large := make([]byte, 105_000)
	target := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.ContentLength != 0 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		mu.Lock()
		seen[r.URL.Path]++
		mu.Unlock()
		w.Header().Set("Content-Length", strconv.Itoa(len(large)))
		_, _ = w.Write(large)
	})
	d := NewDriver(target)
	for path, want := range map[string][]string{
		"/tile/NNN.p/255": {"/tile/007.p/255", "/tile/008.p/255", "/tile/009.p/255"},
		"/checkpoint":     {"/checkpoint"},
	} {
		clear(seen)
		r, err := d.Fetch(context.Background(), path, 7, uint64(len(want)), Plan{Conns: 2, Duration: time.Minute, Count: 30})
		if err != nil || r.Failed() != "" || r.Requests != 30 || len(seen) != len(want) {
			t.Fatalf("%s: %d requests, %q, %v, %v", path, r.Requests, r.Failed(), seen, err)
		}
		for _, one := range want {
			if seen[one] != 30/len(want) {
				t.Errorf("%s was asked for %d times", one, seen[one])
			}
		}
	}
}

func TestAMembersNumberHasItsPlaceInARequest(t *testing.T) {
	target, err := ParseTarget("http://127.0.0.1:1", "k")
	if err != nil {
		t.Fatal(err)
	}
	c := target.NewCall("/v1/consents", workload.ConsentBody("m", false, time.Now()), true)
	workload.SetMember(c.request, c.at, 1234567890)
	if !strings.Contains(string(c.request), `"member_id":"m-1234567890"`) {
		t.Errorf("%s", c.request)
	}
}
