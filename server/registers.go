package server

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"time"
	"unicode/utf8"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

func apiEntries(entries []ledger.EntryRef) []api.Entry {
	out := make([]api.Entry, len(entries))
	for i, e := range entries {
		out[i] = api.Entry{Index: e.Index, LeafHash: hex.EncodeToString(e.LeafHash[:]), Class: e.Class}
	}
	return out
}

func postPolicy(x *exchange) *problem {
	if len(bytes.TrimSpace(x.body)) == 0 {
		return newProblem("empty_body", "", "Send the policy file.")
	}
	if !utf8.Valid(x.body) {
		return newProblem("invalid_utf8", "", "The policy file is not valid UTF-8.")
	}
	// The register keeps the policy's source for good: it gets bytes of its own.
	p, written, err := x.s.book.AddPolicy(x.s.uncut, x.caller, bytes.Clone(x.body))
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.PolicyAnswer{
		Policy: p.ID(), Version: p.Version(), Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

// registerProblem is for writes that submit and wait in one.
func (x *exchange) registerProblem(err error) *problem {
	p := x.problemOf(err)
	if p.code == "internal_error" {
		return newProblem("outcome_unknown", "", outcomeUnknown)
	}
	return p
}

func getRecipients(x *exchange) *problem {
	all := x.s.book.Rules().Recipients()
	if all == nil {
		all = []consent.RecipientState{}
	}
	for i := range all {
		r := &all[i]
		r.From, r.PostedAt = r.From.UTC(), r.PostedAt.UTC()
		if r.Until != nil {
			until := r.Until.UTC()
			r.Until = &until
		}
	}
	return x.answerJSON(http.StatusOK, api.Recipients{Recipients: all})
}

func postRecipient(x *exchange) *problem {
	c, p := decodeRecipientChange(x.body)
	if p != nil {
		return p
	}
	written, err := x.s.book.AddRecipient(x.s.uncut, x.caller, c)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.RecipientAnswer{
		Policy: c.Policy, ID: c.ID, Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

var (
	csvType         = []string{"text/csv; charset=utf-8"}
	processingForms = [][]string{jsonType, csvType}
)

// getProcessing gives the register of processing, which comes out of the policies.
func getProcessing(x *exchange) *problem {
	rows, err := x.s.book.Processing(x.caller)
	if err != nil {
		return x.problemOf(err)
	}
	if x.offer[0] != csvType[0] {
		return x.answerJSON(http.StatusOK, api.ProcessingRegister{Processing: rows})
	}
	var b bytes.Buffer
	if err := consent.WriteProcessingCSV(&b, rows); err != nil {
		return x.problemOf(err)
	}
	return x.send(http.StatusOK, csvType, b.Bytes())
}

func getKeys(x *exchange) *problem {
	keys, err := x.s.book.APIKeys(x.caller)
	if err != nil {
		return x.problemOf(err)
	}
	out := api.Keys{Keys: make([]api.Key, len(keys))}
	for i, k := range keys {
		out.Keys[i] = api.Key{ID: k.ID, Role: string(k.Role), Name: k.Name, CreatedAt: k.CreatedAt.UTC(), Policies: k.Policies, Certificate: k.Certificate}
		if !k.LastUsed.IsZero() {
			out.Keys[i].LastUsed = k.LastUsed.Format(time.DateOnly)
		}
		if !k.RevokedAt.IsZero() {
			at := k.RevokedAt.UTC()
			out.Keys[i].RevokedAt = &at
		}
	}
	return x.answerJSON(http.StatusOK, out)
}

func postKey(x *exchange) *problem {
	in, p := decodeNewKey(x.body)
	if p != nil {
		return p
	}
	k, token, written, err := x.s.book.CreateAPIKey(x.s.uncut, x.caller, ledger.NewAPIKey{
		Role: ledger.Role(in.Role), Name: in.Name, Policies: in.Policies, Certificate: in.Certificate,
	})
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.CreatedKey{
		ID: k.ID, Key: token, Role: string(k.Role), Name: k.Name, Policies: k.Policies, Certificate: k.Certificate,
		Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

func decodeNewKey(b []byte) (in api.NewKey, p *problem) {
	p = decodeInto(shapeNewKey, b, &in)
	return in, p
}

func deleteKey(x *exchange) *problem {
	written, err := x.s.book.RevokeAPIKey(x.s.uncut, x.caller, x.params[0].Value)
	if err != nil {
		return x.registerProblem(err)
	}
	return x.answerJSON(http.StatusOK, api.RevokedKey{Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}
