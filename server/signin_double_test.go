package server

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"sync"
	"time"

	"github.com/pquerna/otp/totp"

	"consentledger/ledger"
	"consentledger/server/signin"
)

const (
	operatorInTests = "opr_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	passwordInTests = "five words of somebody here"
)

// aPerson is who can sign in at a double, and enrol as well.
var aPerson = sync.OnceValue(func() (p struct {
	record     []byte
	invitation string
	recovery   []string
},
) {
	invited, token, err := signin.Invite(rand.Reader, time.Now().Add(23*time.Hour))
	if err != nil {
		panic(err)
	}
	secret, _ := signin.NewSecret(rand.Reader)
	r, recovery, err := invited.Enrol(rand.Reader, passwordInTests, secret, codeOf(signin.SecretText(secret), time.Now()), time.Now())
	if err != nil {
		panic(err)
	}
	r.Invitation, r.InvitationUntil = invited.Invitation, invited.InvitationUntil
	p.invitation, p.recovery = token, recovery
	p.record, _ = r.Encode()
	return p
})

// codeOf is what an app shows at a time, by another implementation's whole path.
func codeOf(secret string, at time.Time) string {
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		panic(err)
	}
	return code
}

// shownSecret is what a double's server has shown to who enrols.
var shownSecret = []byte("12345678901234567890")

func confirmation(operator, invitation, secret string, at time.Time) string {
	return `{"operator":"` + operator + `","invitation":"` + invitation + `","password":"` + passwordInTests + `","code":"` + codeOf(secret, at) + `"}`
}

// signInBody is the body of a call of people who get in, right at this moment at a double.
func signInBody(label string) string {
	switch label {
	case "/v1/enrolments":
		return `{"operator":"` + operatorInTests + `","invitation":"` + aPerson().invitation + `"}`
	case "/v1/enrolments/confirm":
		return confirmation(operatorInTests, aPerson().invitation, base32.StdEncoding.EncodeToString(shownSecret), time.Now())
	case "/v1/sessions":
		return `{"operator":"` + operatorInTests + `","password":"` + passwordInTests + `","recovery_code":"` + aPerson().recovery[0] + `"}`
	}
	return ""
}

func (d *double) InviteOperator(_ context.Context, who ledger.Caller, _ string, _ []byte, token string) (ledger.Written, string, error) {
	return ledger.Written{}, token, d.reach(who)
}

func (d *double) SignInRecord(context.Context, string) ([]byte, error) {
	return aPerson().record, d.err
}

func (d *double) ChangeSignIn(context.Context, string, []byte, []byte, bool) (ledger.Written, error) {
	return ledger.Written{}, d.err
}

func (d *double) OperatorCaller(id, from string) (ledger.Caller, error) {
	return ledger.Caller{KeyID: id, Role: ledger.RoleDPO, From: from}, nil
}
