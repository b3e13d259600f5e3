package server

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// answerJSON sends what is not on the hot path.
func (x *exchange) answerJSON(status int, v any) *problem {
	b, err := json.Marshal(v)
	if err != nil {
		return x.problemOf(err)
	}
	x.out = append(append(x.out, b...), '\n')
	clear(b)
	return x.answer(status)
}

// memberRef reads the ref in the path. What is no ref is no member.
func (x *exchange) memberRef() (ledger.Ref, *problem) {
	ref, err := ledger.ParseRef(x.params[0].Value)
	if err != nil {
		return ref, problemOf(ledger.ErrUnknownMember)
	}
	return ref, nil
}

func getMember(x *exchange) *problem {
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	x.look.What = "state"
	view, err := x.s.book.Member(x.s.uncut, x.caller, ref, x.look)
	if err != nil {
		return x.problemOf(err)
	}
	return x.answerJSON(http.StatusOK, view)
}

const (
	historyRows    = 100
	maxHistoryRows = 500
)

// cut reads which page of a list is asked for: the entries before an index, 0 for the newest.
func (x *exchange) cut() (before uint64, limit int, p *problem) {
	limit = historyRows
	if x.r.URL.RawQuery == "" {
		return before, limit, nil
	}
	q := x.r.URL.Query()
	if q.Has("cursor") {
		var err error
		if before, err = decimal(q.Get("cursor")); err != nil || before == 0 {
			return 0, 0, newProblem("invalid_parameter", "cursor", "Send the `next` of the page before as it is.")
		}
	}
	if q.Has("limit") {
		n, err := decimal(q.Get("limit"))
		if err != nil || n < 1 || n > maxHistoryRows {
			return 0, 0, newProblem("invalid_parameter", "limit", "Send a number from 1 to %d.", maxHistoryRows)
		}
		limit = int(n)
	}
	return before, limit, nil
}

func (x *exchange) answerPage(rows []ledger.HistoryRow, next uint64) *problem {
	out := api.History{Entries: historyEntries(rows)}
	if next != 0 {
		out.Next = strconv.FormatUint(next, 10)
	}
	return x.answerJSON(http.StatusOK, out)
}

func getHistory(x *exchange) *problem {
	before, limit, p := x.cut()
	if p != nil {
		return p
	}
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	x.look.What = "history"
	rows, next, err := x.s.book.History(x.s.uncut, x.caller, ref, x.look, before, limit)
	if err != nil {
		return x.problemOf(err)
	}
	return x.answerPage(rows, next)
}

func historyEntries(rows []ledger.HistoryRow) []api.HistoryEntry {
	out := make([]api.HistoryEntry, len(rows))
	for i, row := range rows {
		out[i] = api.HistoryEntry{
			Index: row.Index, LeafHash: hex.EncodeToString(row.LeafHash[:]), Class: row.Class,
			RecordedAt: row.RecordedAt.UTC(), Event: row.Event.View(),
		}
	}
	return out
}

// exportForms are those of an export, and ldType is the one that is not plain JSON.
var (
	ldType      = []string{"application/ld+json"}
	exportForms = [][]string{jsonType, ldType}
)

func getExport(x *exchange) *problem {
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	get := x.s.book.Export
	switch complete := x.r.URL.Query()["complete"]; {
	case complete == nil:
	case complete[0] != "true":
		return newProblem("invalid_parameter", "complete", "Send complete=true, or leave it out.")
	case x.offer[0] == ldType[0]:
		return newProblem("invalid_parameter", "complete", "Only the export as application/json can be checked against the log: leave out complete, or ask for that.")
	default:
		get = x.s.book.CompleteExport
	}
	e, err := get(x.s.uncut, x.caller, ref, x.look)
	if err != nil {
		return x.problemOf(err)
	}
	if x.offer[0] != ldType[0] {
		return x.answerJSON(http.StatusOK, e)
	}
	b, err := e.JSONLD()
	if err != nil {
		return x.problemOf(err)
	}
	defer clear(b)
	return x.send(http.StatusOK, ldType, b)
}

func getEntry(x *exchange) *problem {
	index, err := decimal(x.params[0].Value)
	if err != nil {
		return problemOf(ledger.ErrUnknownEntry)
	}
	e, err := x.s.book.Entry(x.s.uncut, x.caller, index)
	if err != nil {
		return x.problemOf(err)
	}
	out := api.EntryProof{
		Index: e.Index, Entry: e.Entry, LeafHash: hex.EncodeToString(e.LeafHash[:]),
		Proof: make([]string, len(e.Proof)), Checkpoint: string(e.Checkpoint),
	}
	for i, h := range e.Proof {
		out.Proof[i] = hex.EncodeToString(h[:])
	}
	return x.answerJSON(http.StatusOK, out)
}

func getDestruction(x *exchange) *problem {
	index, err := decimal(x.params[0].Value)
	if err != nil {
		return problemOf(ledger.ErrUnknownDestruction)
	}
	d, err := x.s.book.Destruction(index)
	if err != nil {
		return x.problemOf(err)
	}
	status := "provisional"
	if d.Final {
		status = "final"
	}
	return x.answerJSON(http.StatusOK, api.Destruction{
		Index: d.Index, LeafHash: hex.EncodeToString(d.LeafHash[:]), RecordedAt: d.RecordedAt.UTC(), Status: status,
		Keys: d.Keys, Entries: d.Entries, Generations: api.Generations{From: d.From, To: d.To}, Grade: d.Grade,
	})
}

func getPolicies(x *exchange) *problem {
	rules := x.s.book.Rules()
	policies := rules.Policies()
	out := api.Policies{Policies: make([]api.Policy, len(policies))}
	for i, p := range policies {
		row := api.Policy{
			Policy: p.ID(), Version: p.Version(), Announced: p.Announced(), Reason: p.Reason(),
			PostedAt: p.PostedAt.UTC(), EffectiveAt: p.EffectiveAt.UTC(),
			Purposes: []string{}, Texts: map[string]string{}, Source: string(p.Source()),
			Changes: rules.Changes(p.ID(), p.Version()), Reconsent: rules.Reconsent(p.ID(), p.Version()),
		}
		if row.Changes == nil {
			row.Changes = []consent.PolicyChange{}
		}
		if row.Reconsent == nil {
			row.Reconsent = []string{}
		}
		for _, purpose := range p.Purposes() {
			row.Purposes = append(row.Purposes, purpose.ID)
		}
		for _, lang := range p.Languages() {
			if d, ok := p.TextDigest(lang); ok {
				row.Texts[lang] = hex.EncodeToString(d[:])
			}
		}
		out.Policies[i] = row
	}
	return x.answerJSON(http.StatusOK, out)
}

func getCheckpoint(x *exchange) *problem {
	c := x.s.book.Checkpoint()
	if len(c) == 0 {
		return newProblem("no_checkpoint", "", "No tree head has been published yet; ask again in a second.")
	}
	if x.rt.public {
		x.w.Header()["Cache-Control"] = []string{"public, max-age=1"}
	}
	return x.send(http.StatusOK, []string{"text/plain; charset=utf-8"}, c)
}

// decimal reads a number as it is written canonically: digits, no sign, no leading zeros.
func decimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = strconv.ErrSyntax
	}
	return n, err
}

func itoa(n int) string { return strconv.Itoa(n) }
