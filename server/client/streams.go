package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// The calls that stream: batches, and the query after a breach. They are sent once; what they were asked
// beyond the answers that came is for the caller to send again.

const (
	ndjson  = "application/x-ndjson"
	maxLine = 1 << 20 // of an answer
)

// A Line is one call of a batch.
type Line struct {
	// IdempotencyKey lets the same line be sent again after a batch that broke, and be recorded once. Empty: one
	// of its own is made up, which is of use against nothing but a network that repeats itself.
	IdempotencyKey string

	// Call is a Consent, Withdrawal, Correction, Disclosure, Activity, Signal or EventEnd (of one member).
	Call any
}

// A LineAnswer is the answer to a line. Status says what became of it; from 400 on Problem says why not.
type LineAnswer struct {
	Line       int       `json:"line"` // from 1
	Status     int       `json:"status"`
	Member     string    `json:"member"`     // of a consent
	Correction string    `json:"correction"` // of a correction
	Entries    []Entry   `json:"entries"`
	Destroyed  Destroyed `json:"destroyed"` // of a withdrawal, or the end of an event
	Kept       []Kept    `json:"kept"`
	Notify     []Holder  `json:"notify"`
	RecordedAt time.Time `json:"recorded_at"`
	Replayed   bool      `json:"idempotent_replayed"`

	Certificate      string `json:"certificate"`       // of destruction
	CertificateLater bool   `json:"certificate_later"` // it can be had by sending the line again under its key

	Problem *Problem `json:"-"`
}

// Batch sends lines and yields their answers in order, while it still sends: lines is ranged over in a goroutine
// of its own, which ends before the loop over the answers does. Lines of one member are recorded in their order.
// A wrong line is its own answer. An error ends the loop; lines that were not answered before it have an unknown
// outcome, and may be sent again with the same idempotency keys.
func (c *Client) Batch(ctx context.Context, lines iter.Seq[Line]) iter.Seq2[LineAnswer, error] {
	return func(yield func(LineAnswer, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		body, feed := io.Pipe()
		fed := make(chan error, 1)
		sent := 0
		go func() {
			n, err := c.feed(feed, lines)
			_ = feed.CloseWithError(err)
			sent = n
			fed <- err
		}()
		stop := func() error {
			cancel()
			_ = body.Close()
			return <-fed
		}
		var last LineAnswer
		var failed error
		answered := 0
		k := call{method: http.MethodPost, path: "/v1/batch", media: ndjson}
		for line, err := range c.stream(ctx, &k, body) {
			if failed = err; err == nil {
				if last, failed = lineAnswer(line); failed == nil && last.Line != answered+1 {
					failed = errNotLedgers
				}
			}
			if failed != nil {
				break
			}
			answered++
			if !yield(last, nil) {
				_ = stop()
				return
			}
		}
		// What is wrong with a line of ours breaks the connection, and is told instead.
		if err := stop(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			failed = err
		}
		// A last line that says why is one answer, too; who counts errors alone must still hear of the rest.
		if failed == nil && answered < sent {
			failed = errors.New("consentledger: the answer ended before the lines did")
		}
		if failed != nil {
			yield(LineAnswer{}, failed)
		}
	}
}

// feed writes lines, and says how many.
func (c *Client) feed(w io.Writer, lines iter.Seq[Line]) (n int, err error) {
	for l := range lines {
		b, err := l.encode(c.o.NewIdempotencyKey)
		if err != nil {
			return n, fmt.Errorf("consentledger: line %d: %w", n+1, err)
		}
		if _, err := w.Write(b); err != nil {
			return n, io.ErrClosedPipe
		}
		n++
	}
	return n, nil
}

func (l Line) encode(key func() string) ([]byte, error) {
	kind := ""
	switch v := l.Call.(type) {
	case Consent:
		kind = "consent"
	case Withdrawal:
		kind = "withdrawal"
	case Correction:
		kind = "correction"
	case Disclosure:
		kind = "disclosure"
	case Activity:
		kind = "activity"
	case Signal:
		kind = "signal"
	case EventEnd:
		if v.MemberID == "" {
			return nil, errors.New("the end of an event for everybody is no line of a batch; use EndEvent")
		}
	default:
		return nil, fmt.Errorf("a %T is no line of a batch", l.Call)
	}
	head := struct {
		Type           string `json:"type,omitempty"` // an EventEnd has its own
		IdempotencyKey string `json:"idempotency_key"`
	}{kind, l.IdempotencyKey}
	if head.IdempotencyKey == "" {
		head.IdempotencyKey = key()
	}
	front, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	rest, err := json.Marshal(l.Call)
	if err != nil {
		return nil, err
	}
	front[len(front)-1] = ','
	return append(append(front, rest[1:]...), '\n'), nil
}

func lineAnswer(line []byte) (LineAnswer, error) {
	var a LineAnswer
	if err := json.Unmarshal(line, &a); err != nil || a.Status == 0 {
		return a, errNotLedgers
	}
	if a.Status >= 400 {
		a.Problem = &Problem{}
		if err := json.Unmarshal(line, a.Problem); err != nil {
			return a, errNotLedgers
		}
	}
	return a, nil
}

var errNotLedgers = errors.New("consentledger: a line of the answer is not the ledger's")

// Breach yields the members whom a leak touches. An answer that ends without an error is whole.
func (c *Client) Breach(ctx context.Context, query BreachQuery, reason string) iter.Seq2[Affected, error] {
	return func(yield func(Affected, error) bool) {
		k := posting("/v1/breaches/query", query).because(reason)
		if err := c.prepare(&k, nil); err != nil {
			yield(Affected{}, err)
			return
		}
		for line, err := range c.stream(ctx, &k, bytes.NewReader(k.body)) {
			var row struct {
				Affected
				Problem
			}
			if err == nil && json.Unmarshal(line, &row) != nil {
				err = errNotLedgers
			}
			if err == nil && row.Code != "" {
				err = &row.Problem
			}
			if !yield(row.Affected, err) || err != nil {
				return
			}
		}
	}
}

// stream sends a call once and yields the lines of its answer.
func (c *Client) stream(ctx context.Context, k *call, body io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r, err := c.request(ctx, k, body)
		if err != nil {
			yield(nil, err)
			return
		}
		res, err := c.http.Do(r)
		if err != nil {
			yield(nil, fmt.Errorf("consentledger: %w", err))
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != ndjson {
			yield(nil, c.problem(res))
			return
		}
		s := bufio.NewScanner(res.Body)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			if !yield(s.Bytes(), nil) {
				return
			}
		}
		if s.Err() != nil {
			yield(nil, fmt.Errorf("consentledger: the answer broke off: %w", s.Err()))
		}
	}
}
