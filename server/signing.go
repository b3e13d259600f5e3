package server

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
	"consentledger/server/signin"
)

// Here people get in: an admin invites, the invited person chooses a password and sets up an app, and
// signs in with both. signin/SIGNIN.md says what that holds against.

// people is what the server remembers of those who sign in. It is in memory alone.
type people struct {
	throttle *signin.Throttle
	guesses  atomic.Int64 // passwords that are looked at or wait for it

	mu      sync.Mutex
	pending map[string]pendingSecret // by operator: shown, and not yet confirmed
}

type pendingSecret struct {
	invitation string // for which it was shown
	secret     []byte
	until      time.Time
}

func newPeople() *people { return &people{throttle: newThrottle()} }

func newThrottle() *signin.Throttle { return &signin.Throttle{} }

const (
	pendingFor = 15 * time.Minute
	maxPending = 1000

	// guessesAtOnce bounds how many strangers wait for the two hashes that are worked out at a time: who has
	// signed in from where they are before comes in, however many addresses guess.
	guessesAtOnce = 16
)

func (p *people) show(operator, invitation string, secret []byte, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, v := range p.pending {
		if !now.Before(v.until) {
			delete(p.pending, k)
		}
	}
	if p.pending == nil || len(p.pending) >= maxPending {
		p.pending = map[string]pendingSecret{}
	}
	p.pending[operator] = pendingSecret{invitation, secret, now.Add(pendingFor)}
}

func (p *people) shown(operator, invitation string, now time.Time) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.pending[operator]; ok && v.invitation == invitation && now.Before(v.until) {
		return v.secret
	}
	return nil
}

// taken forgets what was shown: the ledger has it now.
func (p *people) taken(operator string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, operator)
}

func postInvitation(x *exchange) *problem {
	id := x.params[0].Value
	r, token, err := signin.Invite(x.s.o.Rand, x.s.now())
	if err != nil {
		return x.problemOf(err)
	}
	raw, err := r.Encode()
	if err != nil {
		return x.problemOf(err)
	}
	written, told, err := x.s.book.InviteOperator(x.s.uncut, x.caller, id, raw, token)
	if err != nil {
		return x.registerProblem(err)
	}
	x.s.sessions.endOf(id)
	x.replayed(written.Replayed)
	return x.answerJSON(http.StatusCreated, api.Invitation{
		Operator: id, Invitation: told, ExpiresAt: written.RecordedAt.Add(signin.InvitationFor).UTC(),
		Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

// try slows guessing down. What it lets through counts as failed until it is known to be right.
func (x *exchange) try(operator string, sure bool) *problem {
	wait := x.s.people.throttle.Try(operator, withoutPort(x.r.RemoteAddr), sure, x.s.now())
	if wait == 0 {
		return nil
	}
	return throttled(wait)
}

func throttled(wait time.Duration) *problem {
	p := newProblem("sign_in_throttled", "", "Too many tries have failed from here, or for this person. Try again after the time in Retry-After; a recovery code does not wait for the failures of others.")
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return p
}

func (x *exchange) succeeded(operator string, sure bool) {
	x.s.people.throttle.Succeeded(operator, withoutPort(x.r.RemoteAddr), sure, x.s.now())
}

// undone takes back that a try was counted, of who has not failed.
func (x *exchange) undone(operator string, sure bool) {
	x.s.people.throttle.Undone(operator, withoutPort(x.r.RemoteAddr), sure)
}

// recordOf reads what an operator signs in with. Nobody has an empty one: who is not there, or has
// ended, is answered like who guesses wrong.
func (x *exchange) recordOf(operator string) (*signin.Record, []byte, *problem) {
	raw, err := x.s.book.SignInRecord(x.s.uncut, operator)
	if errors.As(err, new(*consent.Refusal)) || errors.Is(err, ledger.ErrUnknownMember) || err == nil && raw == nil {
		return &signin.Record{}, nil, nil
	}
	if err != nil {
		return nil, nil, x.problemOf(err)
	}
	r, err := signin.Decode(raw)
	if err != nil {
		return nil, nil, x.problemOf(err)
	}
	return r, raw, nil
}

func signInFailed() *problem {
	return newProblem("sign_in_failed", "", "The person, the password or the code is not right, or the code was used before. Wait for the app's next code and try again.")
}

func invitationInvalid() *problem {
	return newProblem("invitation_invalid", "", "The invitation is not this person's, was used, or is too old. Ask an admin for another: POST /v1/operators/{id}/invitations.")
}

// invited reads the record of who shows an invitation. Only one that is right goes before the failures of
// others: a wrong one is a guess like any.
func (x *exchange) invited(operator, invitation string) (*signin.Record, []byte, *problem) {
	r, raw, p := x.recordOf(operator)
	if p != nil {
		return nil, nil, p
	}
	is := r.Invited(invitation, x.s.now())
	if p = x.try(operator, is); p == nil && !is {
		p = invitationInvalid()
	}
	return r, raw, p
}

func decodeEnrolment(b []byte) (in api.NewEnrolment, p *problem) {
	p = decodeInto(shapeEnrolment, b, &in)
	return in, p
}

func postEnrolment(x *exchange) *problem {
	in, p := decodeEnrolment(x.body)
	if p != nil {
		return p
	}
	if _, _, p := x.invited(in.Operator, in.Invitation); p != nil {
		return p
	}
	secret, err := signin.NewSecret(x.s.o.Rand)
	if err != nil {
		return x.problemOf(err)
	}
	x.s.people.show(in.Operator, in.Invitation, secret, x.s.now())
	x.undone(in.Operator, true)
	return x.answerJSON(http.StatusCreated, api.Enrolment{Secret: signin.SecretText(secret), URI: signin.SecretURI(secret, in.Operator)})
}

func decodeConfirmation(b []byte) (in api.Confirmation, p *problem) {
	if p = decodeInto(shapeConfirmation, b, &in); p == nil && signin.CheckPassword(in.Password) != nil {
		p = newProblem("invalid_password", "password", "A password has at least 12 characters, and at most 256 bytes; a few words are easier to remember than signs.")
	}
	return in, p
}

func postConfirmation(x *exchange) *problem {
	in, p := decodeConfirmation(x.body)
	if p != nil {
		return p
	}
	r, raw, p := x.invited(in.Operator, in.Invitation)
	if p != nil {
		return p
	}
	now := x.s.now()
	secret := x.s.people.shown(in.Operator, in.Invitation, now)
	if secret == nil {
		return newProblem("enrolment_not_begun", "", "POST /v1/enrolments first, put the secret into the app within 15 minutes, and send its code.")
	}
	next, recovery, err := r.Enrol(x.s.o.Rand, in.Password, secret, in.Code, now)
	if errors.Is(err, signin.ErrCode) {
		return signInFailed()
	}
	if err != nil {
		return x.problemOf(err)
	}
	written, p := x.change(in.Operator, raw, next, true)
	if p != nil {
		return p
	}
	x.s.people.taken(in.Operator)
	x.succeeded(in.Operator, true)
	x.s.sessions.endOf(in.Operator)
	return x.answerJSON(http.StatusCreated, api.Enrolled{Operator: in.Operator, RecoveryCodes: recovery, Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC()})
}

// change makes durable what somebody signs in with from now on: a code is used before it is of any use.
func (x *exchange) change(operator string, have []byte, next *signin.Record, fresh bool) (ledger.Written, *problem) {
	raw, err := next.Encode()
	if err != nil {
		return ledger.Written{}, x.problemOf(err)
	}
	written, err := x.s.book.ChangeSignIn(x.s.uncut, operator, have, raw, fresh)
	if errors.Is(err, ledger.ErrSignInChanged) || errors.As(err, new(*consent.Refusal)) {
		return written, signInFailed() // somebody used the same code, or the person has ended
	}
	if err != nil {
		return written, x.registerProblem(err)
	}
	return written, nil
}

func decodeSignIn(b []byte) (in api.SignIn, p *problem) {
	if p = decodeInto(shapeSignIn, b, &in); p == nil && (in.Code == "") == (in.RecoveryCode == "") {
		p = newProblem("invalid_value", "code", "Send the app's code, or a recovery_code in its place.")
	}
	return in, p
}

func postSession(x *exchange) *problem {
	in, p := decodeSignIn(x.body)
	if p != nil {
		return p
	}
	recovery := in.RecoveryCode != ""
	moment := x.s.sessions.moment(in.Operator)
	r, raw, p := x.recordOf(in.Operator)
	if p != nil {
		return p
	}
	// Only a recovery code that is right goes before the others: a wrong one is a guess like any.
	var next *signin.Record
	if recovery {
		next = r.Recover(in.RecoveryCode)
	}
	sure := next != nil
	if p := x.try(in.Operator, sure); p != nil {
		return p
	}
	now := x.s.now()
	if x.s.people.guesses.Add(1) > guessesAtOnce && !sure && !x.s.people.throttle.Known(in.Operator, withoutPort(x.r.RemoteAddr), now) {
		x.s.people.guesses.Add(-1)
		x.undone(in.Operator, sure)
		return throttled(time.Second)
	}
	knows := r.Knows(in.Password)
	x.s.people.guesses.Add(-1)
	if !recovery {
		next = r.Use(in.Code, now)
	}
	if !knows || next == nil {
		return signInFailed()
	}
	written, p := x.change(in.Operator, raw, next, false)
	if p != nil {
		return p
	}
	who, err := x.s.book.OperatorCaller(in.Operator, "")
	if err != nil {
		return signInFailed()
	}
	token, err := x.s.sessions.begin(x.s.o.Rand, in.Operator, moment, now)
	if errors.Is(err, errEnded) {
		return signInFailed()
	}
	if err != nil {
		return x.problemOf(err)
	}
	x.succeeded(in.Operator, sure)
	return x.answerJSON(http.StatusCreated, api.Session{
		Session: token, Operator: in.Operator, Role: string(who.Role),
		IdleSeconds: int(sessionIdle.Seconds()), ExpiresAt: now.Add(sessionLongest).UTC(),
		Entries: apiEntries(written.Entries), RecordedAt: written.RecordedAt.UTC(),
	})
}

// deleteSession signs out. A key has no session, and nothing to end.
func deleteSession(x *exchange) *problem {
	if x.session != "" {
		x.s.sessions.end(x.session)
	}
	return x.answerJSON(http.StatusOK, api.SignedOut{SignedOut: x.session != "" || strings.HasPrefix(x.caller.KeyID, "opr_")})
}
