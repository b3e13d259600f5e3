package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// long says whether the tests run at the size named in the project's promises: go run ./bench/long mutated.
var long = os.Getenv("CONSENTLEDGER_LONG") != ""

// An assault sends changed requests to a real server with a real ledger behind
// it, over TCP, and keeps what it finds wrong.
type assault struct {
	*shop
	address string
	grew    uint64 // entries that 2xx answers said
	answers map[int]int
	found   []string
}

// besiege serves a shop with its time-outs. In place of the handler stands what plant makes of it.
func besiege(t *testing.T, plant func(*shop, http.Handler) http.Handler) (a *assault, stop func()) {
	t.Helper()
	s := newShopWith(t, 1<<20) // little, so that it does not hide what else grows
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := s.server.Handler()
	if plant != nil {
		h = plant(s, h)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.serveOn(ctx, ln, h, nil) }()
	return &assault{shop: s, address: ln.Addr().String(), answers: map[int]int{}}, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// finds keeps what is wrong, without the key that the request had.
func (a *assault) finds(format string, args ...any) {
	a.found = append(a.found, bearer.ReplaceAllString(fmt.Sprintf(format, args...), "cl_live_…"))
}

var bearer = regexp.MustCompile(`cl_live_[a-z0-9_]+`)

// send sends one changed request and looks at everything that comes back, and at what it did to the ledger.
func (a *assault) send(route, how string, sent []byte) {
	before := a.ledger.Size()
	said, settles := uint64(0), false
	got, err := a.exchange(sent)
	switch {
	case err != nil:
		a.finds("%s, %s: %v", route, how, err)
	case len(got) == 0:
		a.finds("%s, %s: no answer", route, how)
	}
	for _, g := range got {
		a.answers[g.status/100]++
		switch {
		case g.status >= 500:
			a.finds("%s, %s: %d %s", route, how, g.status, g.body)
		case g.status >= 400:
			var p api.Problem
			d := json.NewDecoder(bytes.NewReader(g.body))
			d.DisallowUnknownFields()
			if d.Decode(&p) != nil || p.Status != g.status || p.Code == "" || g.header.Get("Content-Type") != "application/problem+json" {
				a.finds("%s, %s: %d is no problem document: %s", route, how, g.status, g.body)
			}
		case g.status >= 300:
			a.finds("%s, %s: %d", route, how, g.status)
		default:
			n := entriesSaid(route, g)
			said += n
			settles = settles || g.status == http.StatusAccepted // what ends for everybody is destroyed soon after
		}
	}
	a.grew += said
	grown := a.ledger.Size() - before
	if settles {
		for quiet := 0; quiet < 20; quiet++ {
			time.Sleep(2 * time.Millisecond)
			if now := a.ledger.Size() - before; now != grown {
				grown, quiet = now, 0
			}
		}
		a.grew += grown - said
		if grown < said || grown > said+2 {
			a.finds("%s, %s: %d entries said, %d recorded", route, how, said, grown)
		}
	} else if grown != said {
		a.finds("%s, %s: %d entries said, %d recorded: %q", route, how, said, grown, sent)
	}
}

// entriesSaid is how many entries a 2xx answer says that there are now: those
// that it names, and an access entry for each member whom it shows.
func entriesSaid(route string, g rawAnswer) (n uint64) {
	if bytes.HasPrefix(g.body, []byte("consentledger/receipt/")) || strings.HasSuffix(route, "/certificate") && g.status == 200 {
		return 1
	}
	if g.header.Get("Idempotent-Replayed") != "" || !strings.Contains(g.header.Get("Content-Type"), "json") {
		return 0
	}
	if strings.HasPrefix(route, "GET /v1/members/") && !bytes.HasPrefix(g.body, []byte(`{"status"`)) { // which is /livez
		return 1
	}
	shown := map[string]bool{}
	for line := range bytes.Lines(g.body) {
		var answer struct {
			Entries []json.RawMessage
			Member  string
			Due     json.RawMessage
		}
		if json.Unmarshal(line, &answer) != nil {
			continue
		}
		switch {
		case route == "POST /v1/breaches/query":
			shown[answer.Member] = true
		case !strings.HasPrefix(route, "GET "):
			n += uint64(len(answer.Entries))
		}
		var due []struct{ Member string }
		if json.Unmarshal(answer.Due, &due) == nil {
			for _, d := range due {
				shown[d.Member] = true
			}
		}
	}
	delete(shown, "")
	return n + uint64(len(shown))
}

// exchange sends bytes over a connection of their own and reads every answer until the server ends it.
func (a *assault) exchange(sent []byte) (out []rawAnswer, err error) {
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = conn.Write(sent) // it may be refused before it is all there
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	defer func() { <-written }()
	r := bufio.NewReader(conn)
	for {
		if _, err := r.Peek(1); err != nil {
			return out, nil
		}
		method := "GET"
		if bytes.HasPrefix(sent, []byte("HEAD ")) {
			method = "HEAD"
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return out, fmt.Errorf("the answer is no HTTP: %w", err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return out, fmt.Errorf("the answer breaks off: %w", err)
		}
		if res.StatusCode >= 200 { // 100 Continue is no answer
			out = append(out, rawAnswer{status: res.StatusCode, header: res.Header, body: b, closed: res.Close})
		}
	}
}

// run sends so many changed requests, to every route in turn, or only to those whose path is only.
func (a *assault) run(seed uint64, requests int, only string) {
	r := rand.New(rand.NewPCG(seed, 4))
	all := slices.DeleteFunc(a.server.routes(), func(rt route) bool { return only != "" && rt.label != only })
	for i := range requests {
		c := a.good(all[i%len(all)])
		if r.IntN(10) == 0 {
			a.send(c.route, "unchanged", c.raw())
			continue
		}
		sent, how := mutate(r, c)
		a.send(c.route, how, sent)
	}
}

// standing is what the process has in memory and in flight once everything is at rest: no more
// goroutines than so many, or for a while no fewer.
func standing(goroutines int) (heap uint64, running int) {
	running = runtime.NumGoroutine()
	for quiet := 0; running > goroutines && quiet < 50; quiet++ {
		time.Sleep(10 * time.Millisecond)
		if now := runtime.NumGoroutine(); now != running {
			running, quiet = now, 0
		}
	}
	runtime.GC()
	runtime.GC() // the second one empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, running
}

func TestTenThousandMutatedRequestsAreAnsweredForWhatTheyAre(t *testing.T) {
	requests := 600
	if long {
		requests = 10_000
	}
	seed := uint64(20261125)
	if long {
		seed = uint64(time.Now().UnixNano())
	}
	a, stop := besiege(t, nil)
	defer stop()
	a.run(1, len(a.server.routes()), "") // pools, caches and connections of the setup are there
	a.client.CloseIdleConnections()
	heap, running := standing(0)
	first, begun := a.ledger.Size(), len(a.found)
	a.run(seed, requests, "")
	a.client.CloseIdleConnections()
	heapAfter, runningAfter := standing(running)
	t.Logf("seed %d: %d requests; answers by hundreds %v; entries %d to %d; heap %d to %d KiB, goroutines %d to %d",
		seed, requests, a.answers, first, a.ledger.Size(), heap>>10, heapAfter>>10, running, runningAfter)
	for i, f := range a.found {
		if i < 20 {
			t.Errorf("%.600s", f)
		}
	}
	if n := len(a.found) - begun; n > 20 {
		t.Errorf("and %d more", n-20)
	}
	if a.answers[2] < requests/20 || a.answers[4] < requests/4 {
		t.Errorf("the requests were too good or too bad to see much: %v", a.answers)
	}
	if runningAfter > running {
		t.Errorf("%d goroutines run, and %d did before", runningAfter, running)
	}
	// Registers and tags stay in memory, some of each, and what the search for leaks keeps; the cache of members is bounded.
	if bound := heap + 6<<20 + 256*(a.ledger.Size()-first) + uint64(requests)<<10; heapAfter > bound {
		t.Errorf("the heap has %d KiB; at most %d were expected", heapAfter>>10, bound>>10)
	}
	report, err := a.ledger.VerifyDeep(t.Context(), ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin}, nil)
	if err != nil || !report.Intact {
		t.Fatalf("%+v %v", report, err)
	}
}

// TestAServerThatAnswersMutatedRequestsWronglyIsFound is the control: servers with one fault each.
func TestAServerThatAnswersMutatedRequestsWronglyIsFound(t *testing.T) {
	local := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin}
	names := 0
	on := func(path string, fault http.HandlerFunc) func(*shop, http.Handler) http.Handler {
		return func(s *shop, h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == path && r.Method == "POST" {
					fault(w, r)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
	}
	for name, c := range map[string]struct {
		plant func(*shop, http.Handler) http.Handler
		want  string
	}{
		"none":          {nil, ""},
		"a panic":       {on("/v1/lookups", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "POST /v1/lookups, [^:]*: no answer"},
		"an answer 500": {on("/v1/lookups", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), "POST /v1/lookups, [^:]*: 500"},
		"a plain 400":   {on("/v1/lookups", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 400) }), "POST /v1/lookups, [^:]*: 400 is no problem document"},
		"a redirect":    {on("/v1/lookups", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/"); w.WriteHeader(308) }), "POST /v1/lookups, [^:]*: 308"},
		"a silent record": {func(s *shop, h http.Handler) http.Handler {
			return on("/v1/decisions", func(w http.ResponseWriter, r *http.Request) {
				names++
				if _, _, _, err := s.ledger.CreateAPIKey(r.Context(), local, ledger.NewAPIKey{Role: ledger.RoleReader, Name: fmt.Sprint("name-", names)}); err != nil {
					t.Error(err)
				}
				h.ServeHTTP(w, r)
			})(s, h)
		}, "POST /v1/decisions, [^:]*: 0 entries said, 1 recorded"},
		"an answer without its entry": {on("/v1/activity", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, `{"entries":[{"index":1}],"recorded_at":"2025-03-01T12:00:00Z"}`)
		}), "POST /v1/activity, [^:]*: 1 entries said, 0 recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			a, stop := besiege(t, c.plant)
			defer stop()
			only, _, _ := strings.Cut(strings.TrimPrefix(c.want, "POST "), ",")
			a.run(7, 24, only)
			found := strings.Join(a.found, "\n")
			if c.want == "" && found != "" || c.want != "" && !regexp.MustCompile(c.want).MatchString(found) {
				t.Errorf("found: %.2000s", found)
			}
		})
	}
	// And a goroutine or memory that stays.
	stay := make(chan struct{})
	var hoard [][]byte
	a, stop := besiege(t, on("/v1/lookups", func(w http.ResponseWriter, _ *http.Request) {
		hoard = append(hoard, make([]byte, 8<<20))
		go func() { <-stay }()
		w.WriteHeader(204)
	}))
	a.client.CloseIdleConnections()
	heap, running := standing(0)
	for range 10 {
		a.send("", "", a.good(route{method: "POST", label: "/v1/lookups", media: mediaJSON}).raw())
	}
	a.client.CloseIdleConnections()
	heapAfter, runningAfter := standing(running)
	if runningAfter <= running || heapAfter < heap+8<<20 {
		t.Errorf("goroutines %d to %d, heap %d to %d KiB with %d MiB hoarded: neither is found", running, runningAfter, heap>>10, heapAfter>>10, 8*len(hoard))
	}
	close(stay)
	stop()
}
