package server

import (
	"net/http"

	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// The register of the people who work with the ledger.

func getOperators(x *exchange) *problem {
	rows, handovers, err := x.s.book.Operators(x.s.uncut, x.caller)
	if err != nil {
		return x.problemOf(err)
	}
	out := api.Operators{Operators: make([]api.Operator, len(rows)), Handovers: make([]api.Handover, len(handovers))}
	for i, r := range rows {
		out.Operators[i] = api.Operator{ID: r.ID, Name: r.Name, Role: r.Role, Responsible: r.Responsible, AddedAt: r.AddedAt.UTC()}
		if !r.EndedAt.IsZero() {
			at := r.EndedAt.UTC()
			out.Operators[i].EndedAt = &at
		}
	}
	for i, h := range handovers {
		out.Handovers[i] = api.Handover{From: h.From, To: h.To, At: h.At.UTC(), RecordedAt: h.RecordedAt.UTC()}
	}
	return x.answerJSON(http.StatusOK, out)
}

func decodeOperator(b []byte) (*consent.NewOperator, *problem) {
	var in api.NewOperator
	if p := decodeInto(shapeNewOperator, b, &in); p != nil {
		return nil, p
	}
	return &consent.NewOperator{Name: in.Name, Role: in.Role, Responsible: in.Responsible}, nil
}

func postOperator(x *exchange) *problem {
	in, p := decodeOperator(x.body)
	if p != nil {
		return p
	}
	id, written, err := x.s.book.AddOperator(x.s.uncut, x.caller, in)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.CreatedOperator{
		ID: id, Role: in.Role, Responsible: in.Responsible, Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

func postHandover(x *exchange) *problem {
	var in api.HandoverOf
	if p := decodeInto(shapeHandover, x.body, &in); p != nil {
		return p
	}
	at, p := timestamp("at", in.At, true)
	if p != nil {
		return p
	}
	written, err := x.s.book.HandOver(x.s.uncut, x.caller, x.params[0].Value, in.To, at)
	if err != nil {
		return x.registerProblem(err)
	}
	if !written.Replayed { // a call that is sent again ends no session that has begun since
		x.s.sessions.endOf(x.params[0].Value)
		x.s.sessions.endOf(in.To)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.Recorded{Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}

func deleteOperator(x *exchange) *problem {
	written, err := x.s.book.EndOperator(x.s.uncut, x.caller, x.params[0].Value)
	if err != nil {
		return x.registerProblem(err)
	}
	x.s.sessions.endOf(x.params[0].Value)
	return x.answerJSON(http.StatusOK, api.Recorded{Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}
