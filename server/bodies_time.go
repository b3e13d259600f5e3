package server

import (
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// The calls that a member's time runs by.

func decodeActivity(b []byte) (*consent.Activity, *problem) {
	var in api.Activity
	if p := decodeInto(shapeActivity, b, &in); p != nil {
		return nil, p
	}
	return activityOf(&in)
}

func activityOf(in *api.Activity) (a *consent.Activity, p *problem) {
	a = &consent.Activity{}
	if a.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	a.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, true)
	return a, p
}

func decodeReactivation(b []byte) (*consent.Reactivation, *problem) {
	var in api.Reactivation
	if p := decodeInto(shapeReactivation, b, &in); p != nil {
		return nil, p
	}
	r := &consent.Reactivation{Method: in.Method}
	var p *problem
	r.Member, p = memberID(in.MemberID)
	return r, p
}

func decodeSignal(b []byte) (*consent.Signal, *problem) {
	var in api.Signal
	if p := decodeInto(shapeSignal, b, &in); p != nil {
		return nil, p
	}
	return signalOf(&in)
}

func signalOf(in *api.Signal) (s *consent.Signal, p *problem) {
	s = &consent.Signal{Signal: in.Signal, Value: in.Value}
	if s.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	s.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, true)
	return s, p
}

func decodeEventEnd(b []byte) (*consent.EventEnd, *problem) {
	var in api.EventEnd
	if p := decodeInto(shapeEventEnd, b, &in); p != nil {
		return nil, p
	}
	return eventEndOf(&in)
}

// eventEndOf leaves the member zero where none is named: then it is meant for everybody.
func eventEndOf(in *api.EventEnd) (e *consent.EventEnd, p *problem) {
	e = &consent.EventEnd{Type: in.Type, Reference: in.Reference}
	if in.MemberID != "" {
		if e.Member, p = memberID(in.MemberID); p != nil {
			return nil, p
		}
	}
	e.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, true)
	return e, p
}
