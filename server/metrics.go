package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"consentledger/ledger"
)

// metrics are what an operator watches. Their labels are routes, statuses and
// codes, of each of which there is a list: none grows with members or callers,
// and none holds what was sent.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec   // by route, method and status
	problems *prometheus.CounterVec   // by code
	seconds  *prometheus.HistogramVec // by route and method
	lines    *prometheus.CounterVec   // of batches, by outcome
	unseen   prometheus.Counter       // what no route had

	commits       *prometheus.CounterVec // by outcome
	commitCalls   prometheus.Histogram
	commitSeconds prometheus.Histogram
	entries       prometheus.Counter
	destructions  prometheus.Counter
	keys          prometheus.Counter
}

const namespace = "consentledger"

func newMetrics(s *Server) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), f)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		requests: counters("http_requests_total", "Requests answered, by route (its pattern), method and status.", "route", "method", "status"),
		problems: counters("http_problems_total", "Requests and lines of batches answered with a problem, by its code (see ERRORS.md).", "code"),
		seconds: prometheus.NewHistogramVec(histogram("http_request_duration_seconds", "Time from the request's header to the end of its handler, by route and method. Batches take as long as they are.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}), []string{"route", "method"}),
		lines:  counters("batch_lines_total", "Lines of batches answered, by outcome.", "outcome"),
		unseen: counter("http_unrouted_total", "Requests that no route has: another path or method, too many headers, or bytes that are no request."),

		commits: counters("commits_total", "Groups of calls committed, by outcome. One that failed stops all writing until a restart.", "outcome"),
		commitCalls: prometheus.NewHistogram(histogram("commit_calls", "Calls in a committed group.",
			prometheus.ExponentialBuckets(1, 2, 13))),
		commitSeconds: prometheus.NewHistogram(histogram("commit_duration_seconds", "Time that it took to make a group durable.",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5})),
		entries:      counter("entries_written_total", "Entries written since the start."),
		destructions: counter("destructions_total", "Calls and expiries since the start that destroyed keys."),
		keys:         counter("destroyed_keys_total", "Keys destroyed since the start."),
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.commits.WithLabelValues(outcome) // there from the start, so that an alert on failed ones can be written
		m.lines.WithLabelValues(outcome)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(m.requests, m.problems, m.seconds, m.lines, m.unseen,
		m.commits, m.commitCalls, m.commitSeconds, m.entries, m.destructions, m.keys,
		gauge("http_requests_in_flight", "Requests that are being answered.", func() float64 { return float64(s.inFlight.n.Load()) }),
		gauge("connections", "Connections that are open, on control.sock too.", func() float64 { return float64(s.connections.Load()) }),
		gauge("batches_in_flight", "Batches that are running.", func() float64 { return float64(len(s.batches)) }),
		gauge("batches_max", "Batches that may run at once.", func() float64 { return float64(cap(s.batches)) }),
		gauge("ready", "1 while /readyz is well, 0 while it is not.", func() float64 { return truth(s.unready() == nil) }),
		ledgerStats{s},
		diskStats{s},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	m.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	return m
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// answered counts a request. It allocates nothing once the route was asked before.
func (m *metrics) answered(rt *route, status int, took time.Duration) {
	m.requests.WithLabelValues(rt.label, rt.method, statusName(status)).Inc()
	m.seconds.WithLabelValues(rt.label, rt.method).Observe(took.Seconds())
}

func (m *metrics) unrouted(p *problem) {
	m.unseen.Inc()
	m.problems.WithLabelValues(p.code).Inc()
}

func (m *metrics) line(p *problem) {
	if p == nil {
		m.lines.WithLabelValues("ok").Inc()
		return
	}
	m.lines.WithLabelValues("failed").Inc()
	m.problems.WithLabelValues(p.code).Inc()
}

func (m *metrics) committed(c ledger.Commit) {
	m.commitSeconds.Observe(c.Took.Seconds())
	if c.Failed {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("ok").Inc()
	m.commitCalls.Observe(float64(c.Calls))
	m.entries.Add(float64(c.Entries))
	m.destructions.Add(float64(c.Destructions))
	m.keys.Add(float64(c.Keys))
}

// statusNames are made once: a status is written with every request.
var statusNames = func() (names [600]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}()

func statusName(status int) string {
	if status < 100 || status >= len(statusNames) {
		return "none" // the client went away before there was an answer
	}
	return statusNames[status]
}

// ledgerStats asks the ledger once for each scrape.
type ledgerStats struct{ s *Server }

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
}

var (
	descEntries     = desc("entries", "Entries of the log that are durable.")
	descPublished   = desc("checkpoint_entries", "Entries that the published checkpoint covers. Less than consentledger_entries for more than a few seconds is wrong.")
	descPublishedAt = desc("checkpoint_timestamp_seconds", "When the published checkpoint was signed; absent if that was before this start. There is a new one only when there are new entries.")
	descQueue       = desc("queue_calls", "Calls that wait for a commit or are in one.")
	descQueueMax    = desc("queue_max_calls", "Calls that may; one more is answered busy.")
	descOverdue     = desc("sweep_overdue_members", "Members of whom something is due and not yet destroyed; counted up to 1000.")
	descSwept       = desc("sweep_timestamp_seconds", "When the last sweep ended well; absent if none did since the start.")
	descWitnesses   = desc("witnesses", "Witnesses in the register.")
	descAway        = desc("witnesses_away", "Witnesses that do not sign now.")
	descRequired    = desc("witnesses_required", "Witnesses that must have signed before a receipt is handed out.")
	descCosigned    = desc("cosigned_entries", "Entries that a head covers which as many witnesses as must have signed; absent without witnesses.")
	descWritable    = desc("writable", "1 while the ledger takes writes, 0 once a commit has failed or what it read was damaged.")
)

func (l ledgerStats) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEntries, descPublished, descPublishedAt, descQueue, descQueueMax, descOverdue, descSwept, descWritable, descWitnesses, descAway, descRequired, descCosigned} {
		c <- d
	}
}

func (l ledgerStats) Collect(c chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	st, err := l.s.book.Stats()
	send(descWritable, truth(l.s.book.Health() == nil))
	send(descEntries, float64(st.Entries))
	send(descPublished, float64(st.Published))
	send(descQueue, float64(st.Waiting))
	send(descQueueMax, float64(st.Places))
	if err == nil { // else it is not known, and its absence says so
		send(descOverdue, float64(st.Overdue))
	}
	send(descWitnesses, float64(st.Witnesses))
	send(descAway, float64(st.WitnessesAway))
	send(descRequired, float64(st.Required))
	if st.Witnesses > 0 {
		send(descCosigned, float64(st.Cosigned))
	}
	if !st.PublishedAt.IsZero() {
		send(descPublishedAt, float64(st.PublishedAt.UnixMilli())/1000)
	}
	if !st.SweptAt.IsZero() {
		send(descSwept, float64(st.SweptAt.UnixMilli())/1000)
	}
}

type diskStats struct{ s *Server }

var (
	descDiskFree = desc("disk_free_bytes", "Room that is left where the ledger writes, on the fullest of its filesystems.")
	descDiskMin  = desc("disk_min_free_bytes", "Room below which the server is not ready and takes no writes but withdrawals.")
)

func (d diskStats) Describe(c chan<- *prometheus.Desc) { c <- descDiskFree; c <- descDiskMin }

func (d diskStats) Collect(c chan<- prometheus.Metric) {
	if d.s.o.DiskFree == nil {
		return
	}
	if free, err := d.s.o.DiskFree(); err == nil {
		c <- prometheus.MustNewConstMetric(descDiskFree, prometheus.GaugeValue, float64(free))
	}
	c <- prometheus.MustNewConstMetric(descDiskMin, prometheus.GaugeValue, float64(d.s.o.MinFree))
}

// getMetrics answers in the text format of Prometheus, or in another that Accept prefers.
func getMetrics(x *exchange) *problem {
	x.w.Header()["Cache-Control"] = noStore
	x.status = http.StatusOK
	x.s.metrics.handler.ServeHTTP(x.w, x.r)
	return nil
}
