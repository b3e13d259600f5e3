package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/server"
	"consentledger/server/api"
	"consentledger/server/witness"
)

// control is the server that runs on a data directory, reached by its control
// socket. Who may open the socket may do anything; no key is needed.
type control struct {
	dir     string
	client  *http.Client
	patient *http.Client // for what begins to answer when it has something to say
}

// answerWithin is when a server that works has begun to answer: its own limit
// for a whole answer.
const answerWithin = time.Minute

func newControl(dir string, within time.Duration) *control {
	client := func(within time.Duration) *http.Client {
		return &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return server.DialControl(ctx, dir)
			},
			MaxIdleConnsPerHost:   64,
			ResponseHeaderTimeout: within,
		}}
	}
	return &control{dir, client(within), client(0)}
}

// findControl returns the server that runs on dir, nil if none does. A ledger
// that is not there is an error, so that nobody works on a wrong path.
func findControl(ctx context.Context, dir string) (*control, error) {
	if err := datadir.Exists(dir); err != nil {
		return nil, err
	}
	conn, err := server.DialControl(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for a running server: %w: run this as the user that runs the server", err)
	}
	_ = conn.Close() // nothing was sent
	return newControl(dir, answerWithin), nil
}

// withControl calls f with the server that runs on the ledger, or, if none
// does, with one in this process that only f can reach: the same answers
// either way.
//
// Without a server it is this process that asks the witnesses before anything
// is signed.
func (p place) withControl(ctx context.Context, f func(*control) error) error {
	o := p.once()
	o.Ask = askWitnesses(ctx, slog.New(slog.DiscardHandler), new(*witness.Pusher))
	return p.withControlOpening(ctx, o, f)
}

// withControlUnasked is for the register of witnesses: one that is wrong must not keep itself in it.
func (p place) withControlUnasked(ctx context.Context, f func(*control) error) error {
	return p.withControlOpening(ctx, p.once(), f)
}

func (p place) withControlOpening(ctx context.Context, o datadir.Options, f func(*control) error) (err error) {
	running, err := findControl(ctx, p.Dir)
	if err != nil {
		return err
	}
	if running != nil {
		return f(running)
	}
	l, err := datadir.Open(p.Dir, p.root(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	h := server.New(l, server.Options{}).ControlHandler()
	c := &http.Client{Transport: inProcess{h}}
	return f(&control{p.Dir, c, c})
}

// inProcess hands requests to a handler without a network.
type inProcess struct{ h http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.h.ServeHTTP(w, in)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Header: w.header, Request: req,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}, nil
}

// recorder is an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// A refusal is an answer of the server that is not a success.
type refusal struct{ api.Problem }

func (r *refusal) Error() string {
	s := r.Code + ": "
	if r.Field != "" {
		s += r.Field + ": "
	}
	return s + r.Detail
}

// answer says how a refusal ends a command: 403 to 422 is the answer no, the
// rest could not be done.
func (r *refusal) answer() error {
	switch r.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity:
		return no{r}
	}
	return r
}

// maxControlAnswer bounds what is read into memory at once: 4096 of the largest entries.
const maxControlAnswer = 300 << 20

// do makes a call, with headers as names and values, and returns its body. An
// answer that is not 2xx is a *refusal.
func (c *control) do(ctx context.Context, method, path, contentType string, body []byte, headers ...string) ([]byte, error) {
	resp, err := c.send(ctx, c.client, method, path, contentType, body, headers...)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return b, nil
}

func (c *control) send(ctx context.Context, client *http.Client, method, path, contentType string, body []byte, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fmt.Errorf("ask the server that runs on %s: %w: it does not answer, and what was asked may have been done or not: see its log, or stop it and run this again", c.dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server that runs on %s: %w", c.dir, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	r := &refusal{}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(b, &r.Problem) != nil || r.Code == "" {
		return nil, fmt.Errorf("ask the server that runs on %s: it answered %s", c.dir, resp.Status)
	}
	r.Status = resp.StatusCode
	return nil, r
}

// call makes a call with JSON both ways. Its errors say how to end a command.
func (c *control) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	contentType := ""
	switch v := in.(type) {
	case nil:
	case yaml:
		body, contentType = v, "application/yaml"
	case rawJSON:
		body, contentType = v, "application/json"
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		contentType = "application/json"
	}
	b, err := c.do(ctx, method, path, contentType, body)
	var r *refusal
	if errors.As(err, &r) {
		return r.answer()
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the server's answer: %w: are this program and the server of one release?", err)
	}
	return nil
}

// yaml and rawJSON are bodies that are sent as they are.
type (
	yaml    []byte
	rawJSON []byte
)
