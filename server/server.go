// Package server is the ledger's HTTP side: routes, keys, strict input,
// problems, limits and time-outs. API.md shows every call, ERRORS.md every
// code. It decides nothing about consents; that is ledger/consent's.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"consentledger/ledger"
)

// Options are what a server can be told. The zero value is ready to use.
type Options struct {
	Log  *slog.Logger     // default: nothing is logged
	Now  func() time.Time // default: time.Now
	Rand io.Reader        // for request ids; default: crypto/rand.Reader
	TLS  *tls.Config      // default: none

	ReadHeaderTimeout time.Duration // default 10 s
	ReadTimeout       time.Duration // of a whole request; default 30 s
	WriteTimeout      time.Duration // from the request's header to the answer's end; default 60 s
	IdleTimeout       time.Duration // between two requests; default 2 min
	StallTimeout      time.Duration // how long a batch's client may neither send nor take anything; default 30 s

	DrainDelay     time.Duration // between /readyz failing and the listener's end; default 0
	ShutdownWithin time.Duration // how long requests under way may take to end; default 20 s
	SlowAfter      time.Duration // what takes longer is logged; default 1 s
	MaxBatches     int           // batches at once; default 16
	MaxConnections int           // of a listener, at once; one more is answered 503; default 4096
	RateLimit      RateLimit     // of each key; default: none

	DiskFree      func() (bytes uint64, err error) // room where the ledger writes; default: nobody asks
	MinFree       uint64                           // with less than that the server is not ready and takes no writes but withdrawals
	PublicMetrics bool                             // /metrics needs no key
	PrivateLog    bool                             // checkpoint, tiles, policies, recipients, destructions and witnesses need one
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.ReadHeaderTimeout, 10 * time.Second},
		{&o.ReadTimeout, 30 * time.Second},
		{&o.WriteTimeout, time.Minute},
		{&o.IdleTimeout, 2 * time.Minute},
		{&o.StallTimeout, 30 * time.Second},
		{&o.ShutdownWithin, 20 * time.Second},
		{&o.SlowAfter, time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if o.MaxBatches <= 0 {
		o.MaxBatches = 16
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 4096
	}
}

const maxHeaderBytes = 16 << 10

// maxStreams is how many requests one connection of HTTP/2 may have under way. A shop's backend that wants more
// opens another connection, which is counted.
const maxStreams = 32

// A Server answers for one ledger. It is safe for concurrent use.
type Server struct {
	book    book
	o       Options
	log     *slog.Logger
	now     func() time.Time
	handler http.Handler
	control http.Handler

	sessions sessions
	people   *people

	batches  chan struct{} // a token for each batch under way
	lines    *semaphore.Weighted
	limits   limits
	inFlight inFlight
	stop     chan struct{} // closed when the server begins to stop
	stopOnce sync.Once
	bodies   bodiesUnderWay
	metrics  *metrics
	disk     diskWatch
	opened   atomic.Bool // book is there

	connections atomic.Int64
	shelf       shelf

	denials   denials
	wires     wires
	lingering inFlight // connections that are told of the stop

	// uncut ends when connections are cut. What was submitted is waited for under
	// it, not under the request's context: net/http ends that one also when a client
	// has only ended its own half of the connection, and still wants the answer.
	uncut context.Context
	cut   context.CancelFunc
}

// New makes a server of a ledger. It neither listens nor closes the ledger.
func New(l *ledger.Ledger, o Options) *Server { return newServer(ledgerBook{l}, o) }

// observe, if not nil, stands before the public routes of every server. Tests set it, to hold what goes in
// and out against the document.
var observe func(http.Handler) http.Handler

// watch, if not nil, sees every server that is made. Tests set it, to search its log and its metrics.
var watch func(*Server)

func newServer(b book, o Options) *Server {
	s := starting(o)
	s.open(b)
	return s
}

func starting(o Options) *Server {
	o.defaults()
	s := &Server{
		people: newPeople(),
		o:      o, log: o.Log, now: o.Now,
		batches: make(chan struct{}, o.MaxBatches), lines: semaphore.NewWeighted(linesInFlight), stop: make(chan struct{}),
	}
	s.limits.init(o.RateLimit)
	s.shelf.max = shelfBytes
	s.uncut, s.cut = context.WithCancel(context.Background())
	s.metrics = newMetrics(s)
	s.handler = s.router(s.routes(), false)
	if observe != nil {
		s.handler = observe(s.handler)
	}
	s.control = s.router(append(s.routes(), s.controlRoutes()...), true)
	if watch != nil {
		watch(s)
	}
	return s
}

// Handler answers the public routes. Serve gives it its time-outs.
func (s *Server) Handler() http.Handler { return s.handler }

// ControlHandler answers the same routes without a key, and those under
// /control. Only the control socket may serve it: whoever reaches it may do anything.
func (s *Server) ControlHandler() http.Handler { return s.control }

// Serve answers on ln until ctx ends, and then stops: /readyz fails, the
// listener closes, requests under way are answered, batches stop reading and
// answer every line that they have read; a body that does not come within a
// second more is not waited for. It returns nil when everybody has been
// answered and no handler runs any more, so that the ledger can be closed. It
// closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.serveOn(ctx, ln, s.handler, s.o.TLS)
}

// ServeControl is Serve for the control socket. Give it the same ctx.
func (s *Server) ServeControl(ctx context.Context, ln net.Listener) error {
	return s.serveOn(ctx, ln, s.control, nil)
}

// ErrUnfinished means that requests were still running when their time to end
// was over, and that their connections were cut without an answer.
var ErrUnfinished = errors.New("requests were still running when the server stopped")

func (s *Server) serveOn(ctx context.Context, ln net.Listener, h http.Handler, tlsConfig *tls.Config) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.o.ReadHeaderTimeout,
		ReadTimeout:       s.o.ReadTimeout,
		WriteTimeout:      s.o.WriteTimeout,
		IdleTimeout:       s.o.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		TLSConfig:         tlsConfig,
		ErrorLog:          log.New(acceptErrors{s.log}, "", 0),

		DisableGeneralOptionsHandler: true,

		// Connections are what is bounded by configuration, so what one of HTTP/2 can hold is bounded here.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     128 << 10,
		},

		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, wireKey{}, c) },
	}
	ln = s.limited(ln, tlsConfig == nil)
	ended := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(wireListener{ln, s})
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", ln.Addr().Network(), err)
	case <-ctx.Done():
	}
	s.stopOnce.Do(func() { close(s.stop) })
	if s.o.DrainDelay > 0 {
		time.Sleep(s.o.DrainDelay)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.ShutdownWithin)
	defer cancel()
	s.bodies.cutAfter(min(bodyGrace, s.o.ShutdownWithin/4))
	shut := make(chan struct{})
	go s.wires.cutStalled(min(bodyGrace, s.o.ShutdownWithin/4), shut)
	err := srv.Shutdown(within)
	close(shut)
	if err != nil {
		s.cut()
		// Cutting the connections ends whatever waits for its client; what waits
		// for the disk ends when the disk has answered.
		_ = srv.Close()
	}
	<-ended
	s.lingering.wait(4 * lingerFor)
	if !s.inFlight.wait(s.o.ShutdownWithin) || errors.Is(err, context.DeadlineExceeded) {
		return ErrUnfinished
	}
	if err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	return nil
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// inFlight counts the handlers that run.
type inFlight struct{ n atomic.Int64 }

func (f *inFlight) Add(n int64) { f.n.Add(n) }
func (f *inFlight) Done()       { f.n.Add(-1) }

// wait asks again and again, as net/http does: a WaitGroup may not be waited for while it can grow from zero.
func (f *inFlight) wait(within time.Duration) bool {
	for end := time.Now().Add(within); f.n.Load() > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

var requestIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// requestID is random, so that it says nothing of who asked when.
func (s *Server) requestID() string {
	var raw [10]byte
	if _, err := io.ReadFull(s.o.Rand, raw[:]); err != nil {
		return "req_unavailable"
	}
	b := append(make([]byte, 0, 20), "req_"...)
	return string(requestIDs.AppendEncode(b, raw[:]))
}

// acceptErrors lets through what net/http says of its listener. The rest of
// what it would log is about single connections, with their addresses.
type acceptErrors struct{ log *slog.Logger }

func (a acceptErrors) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "http: Accept error") {
		a.log.Error("accepting connections fails", "error", strings.TrimSpace(string(b)))
	}
	return len(b), nil
}
