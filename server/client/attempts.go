package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

const (
	maxAnswer  = 64 << 20
	maxProblem = 64 << 10
)

// result is how one attempt ended.
type result struct {
	media    string
	body     []byte
	err      error
	attempts int

	again   bool // it may be sent again
	unknown bool // it may have been recorded
	settled bool // an error that also says of earlier attempts that they recorded nothing, or what became of them
	after   time.Duration
}

// do sends a call until its answer is known or patience ends.
func (c *Client) do(ctx context.Context, k *call, options []Option) (result, error) {
	if err := c.prepare(k, options); err != nil {
		return result{}, err
	}
	unknown := false
	for n := 1; ; n++ {
		r := c.attempt(ctx, k)
		r.attempts = n
		if r.err == nil {
			return r, nil
		}
		unknown = k.writes && !r.settled && (unknown || r.unknown)
		wait := c.wait(n, r.after)
		if r.again && n < c.o.Attempts && ctx.Err() == nil && r.after <= c.o.MaxWait && c.inTime(ctx, wait) {
			if c.o.Sleep(ctx, wait) == nil {
				continue
			}
		}
		if unknown {
			return r, &Unknown{IdempotencyKey: k.once, Attempts: n, Err: r.err}
		}
		return r, r.err
	}
}

// wait is about twice as long from attempt to attempt, never less than the server asks for, and of no two clients the
// same, so that those that were refused together do not come back together.
func (c *Client) wait(attempt int, after time.Duration) time.Duration {
	d := min(c.o.FirstWait<<min(attempt-1, 20), c.o.MaxWait)
	d = d/2 + time.Duration(c.o.Jitter()*float64(d)/2)
	return after + d
}

// inTime says whether there is time for another attempt: to wait for nothing helps nobody.
func (c *Client) inTime(ctx context.Context, wait time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || c.o.Now().Add(wait).Before(end)
}

func (c *Client) request(ctx context.Context, k *call, body io.Reader) (*http.Request, error) {
	address := c.base + k.path
	if len(k.query) > 0 {
		address += "?" + k.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, k.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("consentledger: making the request: %w", err)
	}
	for name, value := range map[string]string{
		"Content-Type": k.media, "Accept": k.accept, "Accept-Language": c.o.Language, "Access-Reason": k.reason,
		"Access-Ground": k.ground, "Idempotency-Key": k.once, "User-Agent": "consentledger-go/1",
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if !c.o.Key.IsZero() {
		r.Header.Set("Authorization", "Bearer "+c.o.Key.Reveal())
	}
	return r, nil
}

func (c *Client) attempt(ctx context.Context, k *call) result {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.AttemptTimeout, errSlow)
	defer cancel()
	r, err := c.request(ctx, k, bytes.NewReader(k.body))
	if err != nil {
		return result{err: err}
	}
	if k.body == nil {
		r.Body, r.ContentLength = nil, 0
	}
	res, err := c.http.Do(r)
	if err != nil {
		return lost(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		p := c.problem(res)
		return judge(p)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return lost(ctx, err)
	case len(b) > maxAnswer:
		// It was a 2xx: what it answers was recorded, as far as anybody can tell.
		return result{err: fmt.Errorf("consentledger: the answer has more than %d bytes", maxAnswer), unknown: true}
	}
	if k.replayed != nil {
		*k.replayed = res.Header.Get("Idempotent-Replayed") == "true"
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return result{media: media, body: b}
}

var errSlow = errors.New("no answer came in time")

// lost is an attempt whose answer did not arrive.
func lost(ctx context.Context, err error) result {
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return result{err: fmt.Errorf("consentledger: %w", err), again: true, unknown: true}
}

// problem reads a problem document, or makes one of what something else answered.
func (c *Client) problem(res *http.Response) *Problem {
	b, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	var p Problem
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || media != "application/problem+json" || json.Unmarshal(b, &p) != nil || p.Status != res.StatusCode {
		p = Problem{Title: http.StatusText(res.StatusCode), Detail: "this is not the ledger's answer; something before it gave it", Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id")}
	}
	p.RetryAfter = c.retryAfter(res.Header.Get("Retry-After"))
	return &p
}

func (c *Client) retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(c.o.Now()))
	}
	return 0
}

// judge says what a problem means for the next attempt. The ledger promises that nothing was recorded by a call that it
// refuses, but for outcome_unknown; a gateway that gives up on it promises nothing.
func judge(p *Problem) result {
	r := result{err: p, after: p.RetryAfter}
	switch {
	case p.Code == "outcome_unknown", p.Code == "" && p.Status >= 500:
		r.again, r.unknown = true, true
	case p.Code == "idempotency_in_progress":
		r.again, r.unknown = true, true // by the first attempt, which is still under way
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable, p.Status == http.StatusRequestTimeout:
		r.again = true
	case p.Code == "" || p.Status >= 500 || p.Status == http.StatusUnauthorized:
	case p.Code == "role_not_allowed" || p.Code == "policy_not_allowed":
	case p.Status == http.StatusNotFound:
		// A DELETE that was lost and is then not found was done, or had nothing to do.
	default:
		r.settled = true
	}
	return r
}

// ask makes a call that answers in JSON.
func ask[T any](ctx context.Context, c *Client, k call, options []Option) (*T, error) {
	r, err := c.do(ctx, &k, options)
	if err != nil {
		return nil, err
	}
	out := new(T)
	var fields map[string]json.RawMessage // an answer that says nothing is nobody's word that something was recorded
	if err := json.Unmarshal(r.body, &fields); err != nil || len(fields) == 0 || json.Unmarshal(r.body, out) != nil || r.media != "application/json" {
		err := fmt.Errorf("consentledger: %s %s: the answer is not the ledger's (%q)", k.method, k.path, r.media)
		if k.writes {
			return nil, &Unknown{IdempotencyKey: k.once, Attempts: r.attempts, Err: err}
		}
		return nil, err
	}
	return out, nil
}

// posting is a call with a body of JSON.
func posting(path string, body any) call {
	b, err := json.Marshal(body)
	if err != nil {
		err = fmt.Errorf("consentledger: %w", err)
	}
	return call{method: http.MethodPost, path: path, media: "application/json", body: b, err: err}
}

func writing(path string, body any) call {
	k := posting(path, body)
	k.writes = true
	return k
}

func getting(path string) call { return call{method: http.MethodGet, path: path} }
