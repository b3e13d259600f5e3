package server

import (
	"net/http"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// The register of witnesses. Package server/witness brings them the heads.

func getWitnesses(x *exchange) *problem {
	reg := x.s.book.Witnesses()
	out := api.Witnesses{Witnesses: make([]api.Witness, len(reg.All)), Required: uint64(reg.Required)}
	for i, w := range reg.All {
		state := x.s.book.WitnessState(w.ID)
		row := api.Witness{ID: w.ID, Name: w.Name, URL: w.URL, Key: w.Key, AddedAt: w.AddedAt.UTC()}
		row.SignedAt, row.AwaySince = instant(state.SignedAt), instant(state.AwaySince)
		if row.SignedAt != nil {
			row.Size = &state.Size
		}
		out.Witnesses[i] = row
	}
	return x.answerJSON(http.StatusOK, out)
}

// instant is nil for a time that is not there.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func postWitness(x *exchange) *problem {
	in, p := decodeNewWitness(x.body)
	if p != nil {
		return p
	}
	id, written, err := x.s.book.ChangeWitnesses(x.s.uncut, x.caller, ledger.WitnessChange{URL: in.URL, Key: in.Key, Required: in.Required})
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.WitnessAnswer{ID: id, Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}

func decodeNewWitness(b []byte) (in api.NewWitness, p *problem) {
	if p := decodeInto(shapeNewWitness, b, &in); p != nil {
		return in, p
	}
	switch {
	case in.URL != "" && in.Key == "":
		return in, newProblem("missing_field", "key", "A witness is a URL and a key; send both.")
	case in.URL == "" && (in.Key != "" || in.Required == nil):
		return in, newProblem("missing_field", "url", "Send a witness, url and key, or required, or all three.")
	}
	return in, nil
}

func deleteWitness(x *exchange) *problem {
	written, err := x.s.book.RemoveWitness(x.s.uncut, x.caller, x.params[0].Value)
	if err != nil {
		return x.registerProblem(err)
	}
	return x.answerJSON(http.StatusOK, api.RemovedWitness{Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}
