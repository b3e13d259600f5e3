package server

import (
	"context"
	"net/http"
	"time"

	"consentledger/ledger"
)

// flushEvery is how long a row of a stream may wait for others.
const flushEvery = 200 * time.Millisecond

// postBreachQuery streams a line for each member who is affected. An answer
// that is whole ends with its last row; one that is not ends with a problem, or
// is cut off.
func postBreachQuery(x *exchange) *problem {
	q, p := decodeBreachQuery(x.body)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithCancel(x.s.uncut)
	defer cancel()
	go func(stop <-chan struct{}) { // it takes as long as there are members, and a server that stops does not wait for that
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}(x.s.stop)
	out := rows{x: x, rc: http.NewResponseController(x.w), sent: x.s.now()}
	_ = out.rc.SetReadDeadline(time.Time{}) // the body has been read
	err := x.s.book.Breach(ctx, x.caller, x.look, q, func(row ledger.BreachRow) error {
		if !x.lives() { // the key, the operator or the session has ended
			return ledger.ErrUnauthorized
		}
		x.out = appendAffected(x.out, row)
		if len(x.out) < 16<<10 && x.s.now().Sub(out.sent) < flushEvery {
			return nil
		}
		return out.send()
	})
	switch {
	case out.failed:
		x.left = true
		panic(http.ErrAbortHandler) // a proper end would say that the answer is whole
	case err == nil:
		_ = out.send()
		return nil
	case x.s.stopping():
		p = newProblem("shutting_down", "", "The server stops before the answer is whole. Ask again after the time in Retry-After.")
	default:
		p = x.problemOf(err)
	}
	if x.status == 0 { // nothing has been sent
		clear(x.out)
		x.out = x.out[:0]
		return p
	}
	x.out = append(append(p.appendTo(append(x.out, '{'), x.id, languageOf(x.r.Header["Accept-Language"])), '}'), '\n')
	_ = out.send()
	return nil
}

// rows are the lines of a stream, which wait in the exchange's out.
type rows struct {
	x      *exchange
	rc     *http.ResponseController
	sent   time.Time
	failed bool
}

// send sends what waits. The client has as long for it as one of a batch has.
func (r *rows) send() error {
	x := r.x
	_ = r.rc.SetWriteDeadline(time.Now().Add(x.s.o.StallTimeout))
	if x.status == 0 {
		h := x.w.Header()
		h["Content-Type"], h["Cache-Control"] = ndjsonType, noStore
		x.status = http.StatusOK
		x.w.WriteHeader(x.status)
	}
	_, err := x.w.Write(x.out)
	clear(x.out)
	x.out, r.sent = x.out[:0], x.s.now()
	if err == nil {
		err = r.rc.Flush()
	}
	r.failed = err != nil
	return err
}
