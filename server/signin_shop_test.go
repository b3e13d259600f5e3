package server

import (
	"encoding/json"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// invited adds an operator and invites them.
func (s *shop) invited() (operator, invitation string) {
	s.t.Helper()
	operator = textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id")
	return operator, s.invite(operator)
}

func (s *shop) invite(operator string) (invitation string) {
	s.t.Helper()
	s.server.people.throttle = newThrottle() // what failed before, from this one address, slows nobody down
	return textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators/"+operator+"/invitations", ""), "invitation")
}

// secret begins an enrolment.
func (s *shop) secret(operator, invitation string) string {
	s.t.Helper()
	return textOf(s.t, s.made("", "/v1/enrolments", `{"operator":"`+operator+`","invitation":"`+invitation+`"}`), "secret")
}

// enrolled adds an operator who can sign in.
func (s *shop) enrolled(body string) (operator string, recovery []string) {
	s.t.Helper()
	operator = textOf(s.t, s.made(ledger.RoleAdmin, "/v1/operators", body), "id")
	invitation := s.invite(operator)
	var e api.Enrolled
	if err := json.Unmarshal(s.made("", "/v1/enrolments/confirm", confirmation(operator, invitation, s.secret(operator, invitation), time.Now())), &e); err != nil {
		s.t.Fatal(err)
	}
	return operator, e.RecoveryCodes
}
