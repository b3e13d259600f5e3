package server

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"consentledger/server/leaks"
)

// This file searches what every server of the package's tests has logged, told in
// problems and counted in metrics for every member id, item value, reason and
// secret that any of the tests sent or got.

var (
	leaked  leaks.Search
	watched struct {
		mu  sync.Mutex
		all []*Server
	}
)

// Metrics of so many servers are searched: each has some hundred series, and only their labels can leak.
const mostWatched = 200

func init() {
	watch = func(s *Server) {
		if fuzzes() { // what is fuzzed is as long as it likes, and searched by nobody
			return
		}
		s.log = slog.New(leakHandler{s.log.Handler(), &leaked, nil})
		s.handler = leakWatcher{s.handler, &leaked}
		watched.mu.Lock()
		defer watched.mu.Unlock()
		if len(watched.all) < mostWatched {
			watched.all = append(watched.all, s)
		}
	}
}

func fuzzes() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// leakHandler hands every line of a log to the search, at every level.
type leakHandler struct {
	slog.Handler
	to    *leaks.Search
	attrs []slog.Attr
}

func (h leakHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h leakHandler) Handle(ctx context.Context, r slog.Record) error {
	var b bytes.Buffer
	if err := slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}).WithAttrs(h.attrs).Handle(ctx, r); err != nil {
		return err
	}
	h.to.Said("a log", b.String())
	if h.Handler.Enabled(ctx, r.Level) {
		return h.Handler.Handle(ctx, r)
	}
	return nil
}

func (h leakHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leakHandler{h.Handler.WithAttrs(attrs), h.to, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h leakHandler) WithGroup(name string) slog.Handler {
	return leakHandler{h.Handler.WithGroup(name), h.to, h.attrs}
}

// leakWatcher hands what a request holds to the search as secrets, and a problem as what was said.
type leakWatcher struct {
	h  http.Handler
	to *leaks.Search
}

// mostWatchedBytes of a body or an answer are looked at: every single call, and the first lines of a batch.
// To search more of a batch takes longer, under the race detector, than the server may take to stop.
const mostWatchedBytes = 128 << 10

func (l leakWatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.Header {
		for _, v := range values {
			switch name {
			case "Authorization":
				if _, token, ok := strings.Cut(v, " "); ok {
					l.to.Secret("key", token)
				}
			case "Access-Reason", "Idempotency-Key", "Cookie":
				l.to.Secret(name, v)
			}
		}
	}
	l.to.Answer([]byte(r.URL.Path))
	var body, answer bounded
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = readCloser{io.TeeReader(r.Body, &body), r.Body}
	}
	rec := &leakRecorder{ResponseWriter: w, answer: &answer, status: http.StatusOK}
	defer func() {
		l.to.Body(body.Bytes())
		if rec.status >= 400 {
			l.to.Said("a problem", answer.String())
			l.to.Said("the headers of a problem", fmt.Sprint(w.Header()))
		} else {
			l.to.Answer(answer.Bytes())
		}
	}()
	l.h.ServeHTTP(rec, r)
}

type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) <= mostWatchedBytes {
		b.Buffer.Write(p)
	}
	return len(p), nil
}

type leakRecorder struct {
	http.ResponseWriter
	answer *bounded
	status int
}

func (r *leakRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *leakRecorder) Write(b []byte) (int, error) {
	_, _ = r.answer.Write(b)
	return r.ResponseWriter.Write(b)
}

func (r *leakRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ownWords are what the server says of itself: its source, in English and Korean, and its pages. A test
// that sends a word of them cannot tell it from the server's own. What only tests have is not in it.
func ownWords() string {
	var b strings.Builder
	for _, dir := range []string{".", "../ledger", "../ledger/consent"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			panic(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
				text, err := os.ReadFile(dir + "/" + f.Name())
				if err != nil {
					panic(err)
				}
				b.Write(text)
			}
		}
	}
	return b.String()
}

// searchLeaks runs once all tests of the package have.
func searchLeaks() (clean bool) {
	watched.mu.Lock()
	defer watched.mu.Unlock()
	for _, s := range watched.all {
		sayMetrics(&leaked, s)
	}
	secrets, lines := leaked.Counts()
	found := leaked.Found(ownWords())
	for i, f := range found {
		if i < 20 {
			fmt.Println("LEAK:", f)
		}
	}
	if len(found) > 0 {
		fmt.Printf("%d leaks of %d secrets in %d lines\n", len(found), secrets, lines)
	}
	all := flag.Lookup("test.run").Value.String() == "" && !fuzzes() && flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	if all && !testing.Short() && (secrets < 1000 || lines < 300) {
		fmt.Printf("only %d secrets were searched for in %d lines: the search sees little\n", secrets, lines)
		return false
	}
	return len(found) == 0
}

func sayMetrics(to *leaks.Search, s *Server) {
	w := httptest.NewRecorder()
	s.metrics.handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	// A count of six digits is somebody's code now and then: what is counted is no leak, and what it is
	// counted by would be.
	to.Said("a metric", sampleValue.ReplaceAllString(w.Body.String(), " n"))
}

var sampleValue = regexp.MustCompile(`(?m) [0-9.e+-]+$`)

// TestALeakThatIsPlantedIsFound is the control of the search: a server that says in a log, a problem or a metric what it was sent.
func TestALeakThatIsPlantedIsFound(t *testing.T) {
	const member = "zebra-4711@privat.example"
	body := strings.ReplaceAll(bodies["/v1/lookups"], memberInTests, member)
	for where, plant := range map[string]func(s *Server, w http.ResponseWriter, sent string){
		"a log":           func(s *Server, _ http.ResponseWriter, sent string) { s.log.Debug("looked up", "body", sent) },
		"a log's name":    func(s *Server, _ http.ResponseWriter, sent string) { s.log.With("sent", sent).Debug("looked up") },
		"a problem":       func(_ *Server, w http.ResponseWriter, sent string) { http.Error(w, sent, 400) },
		"a metric":        func(s *Server, _ http.ResponseWriter, sent string) { s.metrics.problems.WithLabelValues(sent).Inc() },
		"nothing of them": func(*Server, http.ResponseWriter, string) {},
	} {
		var search leaks.Search
		s := newServer(&double{}, Options{})
		s.log = slog.New(leakHandler{slog.DiscardHandler, &search, nil})
		h := leakWatcher{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			plant(s, w, string(sent))
		}), &search}
		do(h, httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(body)))
		sayMetrics(&search, s)
		s.metrics.problems.Reset() // the search of all tests, which comes later, is not to find it
		if found := search.Found(""); (len(found) > 0) != (where != "nothing of them") {
			t.Errorf("%s: found %q", where, found)
		}
	}
}
