package server

import (
	"net/http"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// The officer's calls: holds, notices, requests, what is kept apart, what is due.

func postNotice(x *exchange) *problem {
	call, p := decodeNotice(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postRequest(x *exchange) *problem {
	call, p := decodeRequest(x.body)
	if p != nil {
		return p
	}
	return x.submit(call)
}

func postRequestOutcome(x *exchange) *problem {
	call, p := decodeRequestOutcome(x.body, x.params[0].Value)
	if p != nil {
		return p
	}
	a, err := x.s.book.RequestOutcome(x.s.uncut, x.caller, call)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(a.Replayed)
	return x.answerJSON(http.StatusCreated, api.Recorded{Entries: apiEntries(a.Entries), RecordedAt: a.RecordedAt.UTC()})
}

func postHold(x *exchange) *problem {
	h, p := decodeHold(x.body)
	if p != nil {
		return p
	}
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	a, err := x.s.book.PlaceHold(x.s.uncut, x.caller, ref, h)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(a.Replayed)
	return x.answerJSON(http.StatusCreated, api.HoldAnswer{Hold: a.Hold, Entries: apiEntries(a.Entries), RecordedAt: a.RecordedAt.UTC()})
}

func deleteHold(x *exchange) *problem {
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	a, err := x.s.book.ReleaseHold(x.s.uncut, x.caller, ref, x.params[1].Value)
	if err != nil {
		return x.registerProblem(err)
	}
	return x.answerJSON(http.StatusOK, api.ReleaseAnswer{
		Entries: apiEntries(a.Entries), Destroyed: api.Destroyed{Keys: a.DestroyedKeys, Entries: a.DestroyedEntries}, RecordedAt: a.RecordedAt.UTC(),
	})
}

func getKept(x *exchange) *problem {
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	k, err := x.s.book.Kept(x.s.uncut, x.caller, ref, x.look, x.ground)
	if err != nil {
		return x.problemOf(err)
	}
	if k.Holds == nil {
		k.Holds = []consent.HoldView{}
	}
	return x.answerJSON(http.StatusOK, api.KeptApart{
		State: string(k.State), Class: k.Class, Basis: k.Basis, Until: k.Until, Entries: historyEntries(k.Entries), Holds: k.Holds,
	})
}

// getNotices shows the notices of no member, and getAnonymised the disclosures: no look at anybody.
func getNotices(x *exchange) *problem { return x.ownPage(x.s.book.Notices) }

func getAnonymised(x *exchange) *problem { return x.ownPage(x.s.book.Anonymised) }

func (x *exchange) ownPage(read func(ledger.Caller, uint64, int) ([]ledger.HistoryRow, uint64, error)) *problem {
	before, limit, p := x.cut()
	if p != nil {
		return p
	}
	rows, next, err := read(x.caller, before, limit)
	if err != nil {
		return x.problemOf(err)
	}
	return x.answerPage(rows, next)
}

func getDue(x *exchange) *problem {
	ahead, p := within(x.r.URL.Query().Get("within"), x.s.now())
	if p != nil {
		return p
	}
	rows, more, err := x.s.book.Due(x.s.uncut, x.caller, x.look, ahead)
	if err != nil {
		return x.problemOf(err)
	}
	out := api.DueList{Due: make([]api.Due, len(rows)), More: more}
	for i, r := range rows {
		out.Due[i] = api.Due{Kind: r.Kind, ID: r.ID, At: r.At.UTC()}
		if r.Member != (ledger.Ref{}) {
			out.Due[i].Member = r.Member.String()
		}
	}
	return x.answerJSON(http.StatusOK, out)
}
