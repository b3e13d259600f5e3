package server

import (
	"errors"
	"net/http"

	"consentledger/ledger"
	"consentledger/ledger/consent"
)

func postConsent(x *exchange) *problem {
	call, p := decodeConsent(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postWithdrawal(x *exchange) *problem {
	call, p := decodeWithdrawal(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postCorrection(x *exchange) *problem {
	call, p := decodeCorrection(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postOutcome(x *exchange) *problem {
	call, p := decodeOutcome(x.body, x.params[0].Value)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postDisclosure(x *exchange) *problem {
	call, p := decodeDisclosure(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postActivity(x *exchange) *problem {
	call, p := decodeActivity(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postReactivation(x *exchange) *problem {
	call, p := decodeReactivation(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postSignal(x *exchange) *problem {
	call, p := decodeSignal(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

// postEvent ends an order or event: of one member at once, of everybody as
// soon as the ledger has come round to them.
func postEvent(x *exchange) *problem {
	call, p := decodeEventEnd(x.body)
	if p != nil {
		return p
	}
	if !call.Member.IsZero() {
		return x.submit(call)
	}
	a, err := x.s.book.EndEvent(x.s.uncut, x.caller, call)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(a.Replayed)
	x.out = append(appendRecordedAt(appendEntries(append(x.out, '{'), a.Entries), a.RecordedAt), '}', '\n')
	return x.answer(http.StatusAccepted)
}

// submit writes a call and answers when it is durable.
func (x *exchange) submit(call ledger.Call) *problem {
	waiting, err := x.s.book.Submit(x.s.uncut, x.caller, call)
	if err != nil {
		return x.problemOf(err)
	}
	a, err := waiting.Wait(x.s.uncut)
	if err != nil {
		return x.waitProblem(err)
	}
	x.replayed(a.Replayed)
	x.out = x.appendCertificate(appendAnswer(append(x.out, '{'), call, a), a)
	x.out = append(x.out, '}', '\n')
	return x.answer(http.StatusCreated)
}

// waitProblem is for an error of Wait. A client who has left hears nothing, and
// that its write then has no answer is no error of the server's.
func (x *exchange) waitProblem(err error) *problem {
	p := waitProblem(err)
	if x.r.Context().Err() != nil {
		x.left = true
	} else if p.code == "outcome_unknown" {
		x.s.log.Error("the outcome of a write is unknown", x.ids("error", err.Error())...)
	}
	return p
}

// waitProblem says what it means that a write that was queued did not become
// durable: unless the ledger says that it was not recorded, nobody knows.
func waitProblem(err error) *problem {
	var refusal *consent.Refusal
	if !errors.Is(err, ledger.ErrUncertain) && (errors.As(err, &refusal) || onceProblem(err) != nil || errors.Is(err, ledger.ErrNotRecorded) ||
		errors.Is(err, ledger.ErrUnknownMember) || errors.Is(err, ledger.ErrUnauthorized) || errors.Is(err, ledger.ErrBusy) || errors.Is(err, ledger.ErrReadOnly) || errors.Is(err, ledger.ErrClosed)) {
		return problemOf(err)
	}
	return newProblem("outcome_unknown", "", outcomeUnknown)
}

func postDecision(x *exchange) *problem {
	q, p := decodeQuestion(x.body)
	if p != nil {
		return p
	}
	a, err := x.s.book.Decide(x.s.uncut, x.caller, q)
	if err != nil {
		return x.problemOf(err)
	}
	x.out = append(appendDecision(x.out, a), '\n')
	return x.answer(http.StatusOK)
}

func postLookup(x *exchange) *problem {
	id, p := decodeLookup(x.body)
	if p != nil {
		return p
	}
	ref, state, err := x.s.book.Lookup(x.s.uncut, x.caller, id)
	if err != nil {
		return x.problemOf(err)
	}
	x.out = append(append(x.out, `{"member":"`...), ref.String()...)
	x.out = appendString(append(x.out, `","state":`...), string(state))
	x.out = append(x.out, '}', '\n')
	return x.answer(http.StatusOK)
}
