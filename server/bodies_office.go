package server

import (
	"strconv"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// The officer's calls, and the change of a recipient. Which kinds, types and
// outcomes there are, the rules know.

func decodeNotice(b []byte) (*consent.Notice, *problem) {
	var in api.Notice
	if p := decodeInto(shapeNotice, b, &in); p != nil {
		return nil, p
	}
	n := &consent.Notice{
		Kind: in.Kind, Destruction: in.Destruction, Recipient: in.Recipient, Correction: in.Correction,
		Channel: in.Channel, Outcome: in.Outcome, Reason: in.Reason,
	}
	var p *problem
	if in.MemberID != "" {
		if n.Member, p = memberID(in.MemberID); p != nil {
			return nil, p
		}
	}
	if n.SentAt, p = timestamp("sent_at", in.SentAt, true); p != nil {
		return nil, p
	}
	n.DueAt, p = timestamp("due_at", in.DueAt, false)
	return n, p
}

func decodeRequest(b []byte) (*consent.Request, *problem) {
	var in api.Request
	if p := decodeInto(shapeRequest, b, &in); p != nil {
		return nil, p
	}
	r := &consent.Request{Type: in.Type, Channel: in.Channel}
	var p *problem
	if r.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	r.ReceivedAt, p = timestamp("received_at", in.ReceivedAt, true)
	return r, p
}

func decodeRequestOutcome(b []byte, id string) (*consent.RequestOutcome, *problem) {
	var in api.RequestOutcome
	if p := decodeInto(shapeRequestOutcome, b, &in); p != nil {
		return nil, p
	}
	return &consent.RequestOutcome{Request: id, Outcome: in.Outcome, Reason: in.Reason}, nil
}

func decodeHold(b []byte) (*consent.Hold, *problem) {
	var in api.Hold
	if p := decodeInto(shapeHold, b, &in); p != nil {
		return nil, p
	}
	h := &consent.Hold{Classes: in.Classes, Ground: in.Ground}
	var p *problem
	h.Until, p = timestamp("until", in.Until, true)
	return h, p
}

func decodeBreachQuery(b []byte) (*ledger.BreachAsk, *problem) {
	var in api.BreachQuery
	if p := decodeInto(shapeBreachQuery, b, &in); p != nil {
		return nil, p
	}
	q := &ledger.BreachAsk{BreachQuery: consent.BreachQuery{Items: in.Items, Recipient: in.Recipient}}
	var p *problem
	if q.From, p = timestamp("from", in.From, true); p != nil {
		return nil, p
	}
	if q.To, p = timestamp("to", in.To, true); p != nil {
		return nil, p
	}
	if q.To.Before(q.From) {
		return nil, newProblem("invalid_value", "to", "The window ends before it begins; send a `to` that is not before `from`.")
	}
	for i, s := range in.Members {
		ref, err := ledger.ParseRef(s)
		if err != nil {
			return nil, newProblem("invalid_value", "members["+strconv.Itoa(i)+"]", "Send members by their refs, mbr_…; POST /v1/lookups tells them.")
		}
		q.Members = append(q.Members, ref)
	}
	return q, nil
}

func decodeRecipientChange(b []byte) (*consent.RecipientChange, *problem) {
	var in api.RecipientChange
	if p := decodeInto(shapeRecipientChange, b, &in); p != nil {
		return nil, p
	}
	r := in.Recipient
	return &consent.RecipientChange{
		Policy: in.Policy, ID: in.ID, Ended: r.Ended, Announced: in.Announced, Reason: in.Reason,
		Recipient: consent.Recipient{Name: r.Name, Business: r.Business, Kind: r.Kind, Country: r.Country, Purposes: r.Purposes, Items: r.Items, From: r.From},
	}, nil
}

const standardWithin = 30 // days

// within reads how far ahead the officer wants to look: days, or a period by
// the calendar, such as 30d, 6mo or 1y.
func within(s string, now time.Time) (time.Duration, *problem) {
	if s == "" {
		return standardWithin * 24 * time.Hour, nil
	}
	if n, err := decimal(s); err == nil && n > 0 {
		s += "d"
	}
	p, err := consent.ParsePeriod(s)
	if err != nil {
		return 0, newProblem("invalid_parameter", "within", "Send days, or a period such as 30d, 6mo or 1y.")
	}
	return now.AddDate(0, p.Months, p.Days).Sub(now), nil
}
