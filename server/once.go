package server

import (
	"errors"
	"net/http"

	"consentledger/ledger"
)

// An idempotency key is the caller's promise that two calls which carry it are the same call. The
// ledger keeps it; here it is read and put beside what it stands for.

const (
	idempotencyKey     = "Idempotency-Key"
	idempotentReplayed = "Idempotent-Replayed"
	maxOnceBytes       = 255
	lineOnce           = "idempotency_key" // of a batch's line
)

// onceHeader reads the idempotency key of a call.
func (x *exchange) onceHeader() *problem {
	values, there := x.r.Header[idempotencyKey]
	switch {
	case !there || !x.rt.writes:
		return nil
	case x.rt.method != http.MethodPost:
		return newProblem("idempotency_not_available", idempotencyKey, "A DELETE needs no idempotency key: made again, it finds nothing to delete. Send it without the header.")
	case x.rt.stream:
		return newProblem("idempotency_not_available", idempotencyKey, "A batch has no idempotency key; give each line one of its own, in idempotency_key.")
	case len(values) != 1:
		return onceInvalid(idempotencyKey)
	}
	var p *problem
	x.caller.Once, p = x.once(idempotencyKey, values[0], x.body)
	return p
}

// once puts a key beside the call that it stands for: where it goes to, and its body as it came.
func (x *exchange) once(field, key string, body []byte) (*ledger.Once, *problem) {
	if len(key) == 0 || len(key) > maxOnceBytes {
		return nil, onceInvalid(field)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return nil, onceInvalid(field)
		}
	}
	n := len(x.rt.label) + 1 + len(body)
	for _, p := range x.params {
		n += len(p.Value) + 1
	}
	request := append(append(make([]byte, 0, n), x.rt.label...), 0)
	for _, p := range x.params {
		request = append(append(request, p.Value...), 0)
	}
	return &ledger.Once{Key: key, Request: append(request, body...)}, nil
}

func onceInvalid(field string) *problem {
	return newProblem("idempotency_key_invalid", field, "Send one idempotency key of 1 to %d visible ASCII characters, such as a UUID, with nothing in it that is the member's.", maxOnceBytes)
}

// onceProblem says what is wrong with a call's idempotency key, nil if it is not that.
func onceProblem(err error) *problem {
	switch {
	case errors.Is(err, ledger.ErrKeyReused):
		return newProblem("idempotency_key_reused", idempotencyKey, "Nothing was recorded: this key stands for another call. Send each call with a key of its own, and only the same bytes again with the same key.")
	case errors.Is(err, ledger.ErrInProgress):
		return newProblem("idempotency_in_progress", idempotencyKey, "The first call with this key is still under way. Send it again after the time in Retry-After.")
	case errors.Is(err, ledger.ErrAlreadyDone):
		return newProblem("already_done", idempotencyKey, "This call was recorded, and is not recorded again; its answer is no longer kept. What is on record is in the member's history.")
	}
	return nil
}

// replayed says in the answer's header that it is the first answer again.
func (x *exchange) replayed(again bool) {
	if again {
		x.w.Header()[idempotentReplayed] = yes
	}
}

var yes = []string{"true"}
