package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"consentledger/ledger"
)

// scrape reads /metrics as Prometheus does.
func (s *shop) scrape(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	_, b := s.call(ledger.RoleAuditor, "GET", "/metrics", "")
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(string(b)))
	if err != nil {
		t.Fatalf("%v: %.300s", err, b)
	}
	return families
}

// value is that of the one metric of a family that has all of the labels.
func value(t testing.TB, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	f := families["consentledger_"+name]
next:
	for _, m := range f.GetMetric() {
		for i := 0; i < len(labels); i += 2 {
			if !slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
				continue next
			}
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	return 0
}

func TestTheMetricsSayWhatHappened(t *testing.T) {
	s := newShop(t)
	before := s.scrape(t)
	if status, b := s.call(ledger.RoleWriter, "POST", "/v1/consents", enrolment("kim-1")); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	if status, b := s.call(ledger.RoleWriter, "POST", "/v1/withdrawals", `{"member_id":"kim-1","scope":"membership"}`); status != 201 {
		t.Fatalf("%d %s", status, b)
	}
	if status, b := s.call(ledger.RoleWriter, "POST", "/v1/withdrawals", `{"member_id":"kim-1","scope":"membership"}`); status != 404 && status != 409 {
		t.Fatalf("%d %s", status, b)
	}
	s.call(ledger.RoleWriter, "POST", "/v1/batch", `{"type":"consent",`+enrolment("kim-2")[1:]+"\n{}\n", "Content-Type", mediaNDJSON)
	s.call("", "GET", "/no/such/route", "")
	after := s.scrape(t)
	grew := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := value(t, after, name, labels...) - value(t, before, name, labels...); got != want {
			t.Errorf("%s %v grew by %v, want %v", name, labels, got, want)
		}
	}
	grew(1, "http_requests_total", "route", "/v1/consents", "method", "POST", "status", "201")
	grew(1, "http_requests_total", "route", "/v1/withdrawals", "method", "POST", "status", "201")
	grew(2, "http_request_duration_seconds", "route", "/v1/withdrawals", "method", "POST")
	grew(1, "http_problems_total", "code", "no_such_route")
	grew(1, "http_unrouted_total")
	grew(1, "batch_lines_total", "outcome", "ok")
	grew(1, "batch_lines_total", "outcome", "failed")
	grew(3, "commits_total", "outcome", "ok")
	grew(3, "commit_calls")
	grew(3, "commit_duration_seconds")
	grew(0, "commits_total", "outcome", "failed")
	grew(1, "destructions_total")
	if keys := value(t, after, "destroyed_keys_total"); keys < 1 {
		t.Errorf("%v keys were destroyed", keys)
	}
	entries := value(t, after, "entries") - value(t, before, "entries")
	grew(entries, "entries_written_total")
	if size := float64(s.ledger.Size()); value(t, after, "entries") != size {
		t.Errorf("%v entries, and the ledger has %v", value(t, after, "entries"), size)
	}
	if value(t, after, "queue_max_calls") != 8192 || value(t, after, "batches_max") != 16 || value(t, after, "writable") != 1 || value(t, after, "ready") != 1 {
		t.Error("the gauges are not those of a ledger that is well")
	}
	for name := range after {
		if name == "consentledger_disk_free_bytes" {
			t.Error("nobody was told how to ask for it")
		}
	}
}

// TestTheMetricsAreWrittenAsPrometheusWantsThem runs what promtool check metrics runs.
func TestTheMetricsAreWrittenAsPrometheusWantsThem(t *testing.T) {
	s := newShop(t)
	s.call(ledger.RoleWriter, "POST", "/v1/consents", enrolment("kim-1"))
	_, b := s.call(ledger.RoleAuditor, "GET", "/metrics", "")
	problems, err := promlint.New(strings.NewReader(string(b))).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	// The control: the same with a counter that is not called one.
	bad := strings.ReplaceAll(string(b), "consentledger_destructions_total", "consentledger_destructions_ms")
	if problems, err = promlint.New(strings.NewReader(bad)).Lint(); err != nil || len(problems) == 0 {
		t.Errorf("the linter finds nothing: %v", err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		for _, l := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			switch l[1] {
			case "route", "method", "status", "code", "outcome", "le", "quantile":
			case "version", "checksum", "path": // of the build
			default:
				t.Errorf("a label that nobody thought about: %s", line)
			}
		}
	}
}

// TestNoMetricGrowsWithWhatCallersSend sends what is different each time, in
// every place that a label could be taken from.
func TestNoMetricGrowsWithWhatCallersSend(t *testing.T) {
	s := newShop(t)
	series := func() int {
		_, b := s.call(ledger.RoleAuditor, "GET", "/metrics", "")
		if strings.Contains(string(b), "plant7q") {
			t.Error("what was sent is in the metrics")
		}
		return strings.Count(string(b), "\n")
	}
	round := func(i int) {
		p := fmt.Sprintf("plant7q%d", i)
		s.call(ledger.RoleDPO, "GET", "/v1/members/"+p, "")
		s.call(ledger.RoleDPO, "GET", "/v1/"+p, "")
		s.call(ledger.RoleDPO, strings.ToUpper(p), "/v1/members/"+p, "")
		s.call(ledger.RoleDPO, strings.ToUpper(p), "/livez", "")
		s.call(ledger.RoleWriter, "POST", "/v1/consents", enrolment(p))
		s.call(ledger.RoleWriter, "POST", "/v1/consents", `{"`+p+`":1}`)
		s.call(ledger.RoleWriter, "POST", "/v1/batch", `{"type":"`+p+`"}`, "Content-Type", mediaNDJSON)
	}
	round(0)
	series() // the scrape's own
	first := series()
	for i := range 20 {
		round(i + 1)
	}
	if last := series(); last != first {
		t.Errorf("%d lines became %d", first, last)
	}
}

func TestCountingARequestAllocatesNothing(t *testing.T) {
	m := newDouble(t, &double{}).metrics
	rt := &route{method: "POST", label: "/v1/consents"}
	count := func() {
		m.answered(rt, 201, 3*time.Millisecond)
		m.line(nil)
		m.committed(ledger.Commit{Calls: 3, Entries: 4, Took: time.Millisecond})
	}
	count()
	if n := testing.AllocsPerRun(1000, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() { i++; m.requests.WithLabelValues(fmt.Sprint(i), "x", "y") }); n == 0 { // the control
		t.Error("nothing is seen to allocate")
	}
}

func TestMetricsArePublicOnlyWhereThatWasAskedFor(t *testing.T) {
	get := func(o Options, key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/metrics", nil)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		return do(newServer(&double{}, o).Handler(), r)
	}
	wantProblem(t, get(Options{}, ""), 401, "unauthorized")
	if w := get(Options{}, "auditor"); w.Code != 200 {
		t.Errorf("with a key: %d", w.Code)
	}
	if w := get(Options{PublicMetrics: true}, ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=") {
		t.Errorf("public: %d %v", w.Code, w.Header())
	}
}

// TestEveryMetricIsDescribed holds METRICS.md and the server to each other.
func TestEveryMetricIsDescribed(t *testing.T) {
	s := newServer(&double{}, Options{DiskFree: func() (uint64, error) { return 1 << 40, nil }})
	have := map[string]bool{}
	for _, c := range []prometheus.Collector{ledgerStats{s}, diskStats{s}, s.metrics.requests, s.metrics.seconds, s.metrics.problems} {
		for d := range described(c) {
			have[d] = true
		}
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Authorization", "Bearer auditor")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (consentledger_[a-z_]+)`).FindAllStringSubmatch(do(s.Handler(), r).Body.String(), -1) {
		have[m[1]] = true
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(consentledger_[a-z_]+)").FindAllStringSubmatch(readDocument(t, "METRICS.md"), -1) {
		listed[m[1]] = true
	}
	for name := range have {
		if !listed[name] {
			t.Errorf("METRICS.md does not list %s", name)
		}
	}
	for name := range listed {
		if !have[name] {
			t.Errorf("METRICS.md lists %s, which is none", name)
		}
	}
	if len(have) < 25 {
		t.Errorf("only %d metrics: the test sees little", len(have))
	}
}

func described(c prometheus.Collector) map[string]bool {
	ch := make(chan *prometheus.Desc, 100)
	c.Describe(ch)
	close(ch)
	names := map[string]bool{}
	for d := range ch {
		names[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	return names
}

func TestTheMetricsSayThatACommitFailed(t *testing.T) {
	s := newDouble(t, &double{})
	s.metrics.committed(ledger.Commit{Calls: 2, Failed: true})
	w := httptest.NewRecorder()
	s.metrics.handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(w.Result().Body)
	if !strings.Contains(string(b), `consentledger_commits_total{outcome="failed"} 1`) || w.Code != http.StatusOK {
		t.Errorf("%s", b)
	}
}

func TestConnectionsAreCountedWhileTheyAreOpen(t *testing.T) {
	s := newServer(&double{}, Options{MaxConnections: 2})
	ctx, stop := context.WithCancel(t.Context())
	ln, ended := serve(t, ctx, s)
	defer func() { stop(); <-ended }()
	counted := func(what string) string {
		w := httptest.NewRecorder()
		s.metrics.handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		m := regexp.MustCompile(`(?m)^consentledger_` + what + ` (\S+)$`).FindStringSubmatch(w.Body.String())
		if m == nil {
			return ""
		}
		return m[1]
	}
	open := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := open(), open()
	until(t, func() bool { return counted("connections") == "2" })
	c := open() // one too many
	until(t, func() bool { return counted(`http_problems_total\{code="too_many_connections"\}`) == "1" })
	_ = c.Close()
	fmt.Fprint(a, "no request\r\n\r\n")
	until(t, func() bool {
		return counted(`http_problems_total\{code="malformed_request"\}`) == "1" && counted("http_unrouted_total") == "1"
	})
	_, _ = a.Close(), b.Close()
	until(t, func() bool { return counted("connections") == "0" })
}
