package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"consentledger/server/api/apitest"
)

// What streams is held against the contract line by line, as far as a prefix of it goes: batches of some
// tests are long.

const prefixBytes = 64 << 10

// prefix keeps the first bytes that pass.
type prefix struct {
	mu  sync.Mutex
	all []byte
}

func (p *prefix) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, b[:min(len(b), prefixBytes-len(p.all))]...)
	return len(b), nil
}

// lines are the whole ones.
func (p *prefix) lines() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := bytes.Split(bytes.Clone(p.all), []byte("\n"))
	return all[:len(all)-1]
}

type lineRecorder struct {
	http.ResponseWriter
	status int
	body   prefix
}

func (r *lineRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *lineRecorder) Write(b []byte) (int, error) {
	_, _ = r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

func (r *lineRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (o observer) serveLines(w http.ResponseWriter, r *http.Request) {
	rec := &lineRecorder{ResponseWriter: w, status: http.StatusOK}
	var asked prefix
	if r.Body != nil {
		r.Body = readCloser{io.TeeReader(r.Body, &asked), r.Body}
	}
	path := r.URL.Path
	defer func() {
		v := recover()
		c, err := o.contract()
		if err != nil {
			o.found.add(err.Error())
		} else {
			for _, err := range c.CheckLines(path, rec.status, asked.lines(), rec.body.lines()) {
				o.found.add(fmt.Sprintf("%s, %d: %s", path, rec.status, firstLines(err.Error())))
			}
		}
		if v != nil {
			panic(v) // a cut answer; its whole lines are lines all the same
		}
	}()
	o.h.ServeHTTP(rec, r)
}

func TestALineThatTheContractDoesNotHaveIsFound(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	const consent = `{"type":"consent","member_id":"m","policy":"p","policy_version":"1","decisions":[{"purpose":"p","decision":"granted"}],"method":"m","locale":"en","occurred_at":"2025-03-01T12:00:00Z"}`
	const answer = `{"line":1,"status":201,"member":"mbr_a","entries":[],"recorded_at":"2025-03-01T12:00:00Z"}`
	const problem = `"type":"t","title":"t","status":404,"code":"c","detail":"d","request_id":"r"`
	for name, x := range map[string]struct {
		path          string
		status        int
		asked, answer string
		right         bool
	}{
		"a recorded line":                    {"/v1/batch", 200, consent, answer, true},
		"a recorded line under a key":        {"/v1/batch", 200, strings.Replace(consent, `{`, `{"idempotency_key":"k",`, 1), answer, true},
		"a line of a type that is none":      {"/v1/batch", 200, strings.Replace(consent, `"consent"`, `"lookup"`, 1), answer, false},
		"a line without what its call needs": {"/v1/batch", 200, strings.Replace(consent, `"policy":"p",`, ``, 1), answer, false},
		"a line with more than its call has": {"/v1/batch", 200, strings.Replace(consent, `{`, `{"more":1,`, 1), answer, false},
		"an answer without its line":         {"/v1/batch", 200, consent, strings.Replace(answer, `"line":1,`, ``, 1), false},
		"an answer with more":                {"/v1/batch", 200, consent, strings.Replace(answer, `{`, `{"more":1,`, 1), false},
		"a refused line":                     {"/v1/batch", 200, `{}`, `{"line":1,` + problem + `}`, true},
		"a problem without its title":        {"/v1/batch", 200, `{}`, `{"line":1,` + strings.Replace(problem, `"title":"t",`, ``, 1) + `}`, false},
		"a refused batch":                    {"/v1/batch", 403, consent, `{` + problem + `}`, true},
		"a refused batch with a line":        {"/v1/batch", 403, consent, `{"line":1,` + problem + `}`, false},
		"who is affected":                    {"/v1/breaches/query", 200, `{}`, `{"member":"mbr_a","items":["email"],"entries":[1]}`, true},
		"nobody who is affected":             {"/v1/breaches/query", 200, `{}`, `{"items":["email"],"entries":[1]}`, false},
		"an answer that could not end":       {"/v1/breaches/query", 200, `{}`, `{` + problem + `}`, true},
		"half a line":                        {"/v1/breaches/query", 200, `{}`, `{"member":`, false},
	} {
		found := &violations{}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.answer+"\n")
		})
		observer{h, func() (*apitest.Contract, error) { return c, nil }, found}.serveLines(httptest.NewRecorder(), httptest.NewRequest("POST", x.path, strings.NewReader(x.asked+"\n")))
		if right := len(found.all) == 0; right != x.right {
			t.Errorf("%s: %v", name, found.all)
		}
	}
}
