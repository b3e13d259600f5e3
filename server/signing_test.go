package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// desk is a shop whose server goes by a clock that the test turns, and a person who signs in there.
type desk struct {
	*shop
	at       atomic.Int64 // Unix seconds
	operator string
	secret   string
	recovery []string
}

func newDesk(t *testing.T, role string) *desk {
	t.Helper()
	d := &desk{shop: newShop(t)}
	d.at.Store(1_772_000_010)
	d.server.now = func() time.Time { return time.Unix(d.at.Load(), 0) }
	d.operator = textOf(t, d.made(ledger.RoleAdmin, "/v1/operators", `{"name":"Kim Min-ji","role":"`+role+`","responsible":false}`), "id")
	d.enrol()
	return d
}

func (d *desk) now() time.Time { return time.Unix(d.at.Load(), 0) }

func (d *desk) enrol() {
	d.t.Helper()
	invitation := textOf(d.t, d.made(ledger.RoleAdmin, "/v1/operators/"+d.operator+"/invitations", ""), "invitation")
	d.shop.keys[""] = ""
	d.secret = d.shop.secret(d.operator, invitation)
	var e api.Enrolled
	if err := json.Unmarshal(d.made("", "/v1/enrolments/confirm", confirmation(d.operator, invitation, d.secret, d.now())), &e); err != nil || len(e.RecoveryCodes) != 10 {
		d.t.Fatalf("%v %v", e, err)
	}
	d.recovery = e.RecoveryCodes
}

// try signs in and returns the status, the problem's code or the session.
func (d *desk) try(operator, password, second string) (int, string) {
	d.t.Helper()
	field := "code"
	if len(second) > 6 {
		field = "recovery_code"
	}
	status, b := d.call("", "POST", "/v1/sessions", fmt.Sprintf(`{"operator":%q,"password":%q,%q:%q}`, operator, password, field, second))
	if status == 201 {
		return status, textOf(d.t, b, "session")
	}
	return status, textOf(d.t, b, "code")
}

// next waits until the app shows another code, and returns it.
func (d *desk) next() string {
	d.at.Add(30)
	return codeOf(d.secret, d.now())
}

func (d *desk) signIn() (session string) {
	d.t.Helper()
	status, session := d.try(d.operator, passwordInTests, d.next())
	if status != 201 || !strings.HasPrefix(session, "cl_sess_") {
		d.t.Fatalf("%d %s", status, session)
	}
	return session
}

// as makes a call with a session and returns its status.
func (d *desk) as(session, method, path string) int {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+session)
	r.Header.Set("Access-Reason", "a question")
	res, err := d.client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestAPersonSignsInAndTheirLooksNameThem(t *testing.T) {
	d := newDesk(t, "dpo")
	_, ref := d.person()
	session := d.signIn()
	if status := d.as(session, "GET", "/v1/members/"+ref); status != 200 {
		t.Fatal(status)
	}
	d.wantLook(ref, d.operator, "state", "a question", false)
	// The role is that of the register, and no more.
	if status := d.as(session, "GET", "/v1/keys"); status != 403 {
		t.Errorf("an officer reads the keys: %d", status)
	}
	if status := d.as(session, "DELETE", "/v1/sessions"); status != 200 {
		t.Errorf("signing out: %d", status)
	}
	if status := d.as(session, "GET", "/v1/members/"+ref); status != 401 {
		t.Errorf("after signing out: %d", status)
	}
}

func TestNothingButThePasswordWithANewCodeSignsIn(t *testing.T) {
	d := newDesk(t, "dpo")
	code := d.next()
	fails := func(what, operator, password, second string) {
		t.Helper()
		d.server.people.throttle = newThrottle() // this is not about how often
		size := d.ledger.Size()
		if status, said := d.try(operator, password, second); status != 401 || said != "sign_in_failed" || d.ledger.Size() != size {
			t.Errorf("%s: %d %s, %d entries", what, status, said, d.ledger.Size()-size)
		}
	}
	fails("another password", d.operator, passwordInTests+" ", code)
	fails("another code", d.operator, passwordInTests, "000000")
	fails("nobody", operatorInTests, passwordInTests, code)
	fails("no id at all", "kim", passwordInTests, code)
	fails("a code of long ago", d.operator, passwordInTests, codeOf(d.secret, d.now().Add(-2*time.Minute)))
	fails("a recovery code that nobody has", d.operator, passwordInTests, "aaaa-aaaa-aaaa-aaaa")
	fails("a recovery code and another password", d.operator, "not the password at all", d.recovery[0])
	if status, said := d.try(d.operator, passwordInTests, code); status != 201 {
		t.Fatalf("control: what is right is refused: %d %s", status, said)
	}
	fails("the same code again", d.operator, passwordInTests, code)
	if status, said := d.try(d.operator, passwordInTests, d.recovery[0]); status != 201 {
		t.Fatalf("control: a recovery code is refused: %d %s", status, said)
	}
	fails("the same recovery code again", d.operator, passwordInTests, d.recovery[0])
	if status, _ := d.call("", "POST", "/v1/sessions", `{"operator":"`+d.operator+`","password":"`+passwordInTests+`"}`); status != 400 {
		t.Errorf("a password alone: %d", status)
	}
	if status, _ := d.call("", "POST", "/v1/sessions", `{"operator":"`+d.operator+`","code":"`+d.next()+`"}`); status != 400 {
		t.Errorf("a code alone: %d", status)
	}
}

func TestOneCodeThatIsSentSeveralTimesAtOnceSignsInOnce(t *testing.T) {
	d := newDesk(t, "dpo")
	d.server.people.throttle = newThrottle()
	code := d.next()
	in := make(chan int, 4)
	for range cap(in) {
		go func() {
			r, _ := http.NewRequestWithContext(t.Context(), "POST", d.url+"/v1/sessions", strings.NewReader(fmt.Sprintf(`{"operator":%q,"password":%q,"code":%q}`, d.operator, passwordInTests, code)))
			r.Header.Set("Content-Type", mediaJSON)
			res, err := d.client.Do(r)
			if err != nil {
				in <- 0
				return
			}
			res.Body.Close()
			in <- res.StatusCode
		}()
	}
	got := map[int]int{}
	for range cap(in) {
		got[<-in]++
	}
	if got[201] != 1 || got[401] != cap(in)-1 {
		t.Errorf("answers by status: %v", got)
	}
}

func TestASessionEndsByItselfAndWithWhateverMadeIt(t *testing.T) {
	d := newDesk(t, "dpo")
	looks := func(session string) bool { return d.as(session, "GET", "/v1/operators") == 200 }
	session := d.signIn()
	d.at.Add(int64(sessionIdle.Seconds()) - 1)
	if !looks(session) {
		t.Error("control: it ends before it is idle for 15 minutes")
	}
	d.at.Add(int64(sessionIdle.Seconds()))
	if looks(session) {
		t.Error("it outlives 15 minutes without a call")
	}
	session = d.signIn()
	for range 12*6 - 1 {
		d.at.Add(600)
		if !looks(session) {
			t.Fatal("control: it ends while it is used, before twelve hours")
		}
	}
	d.at.Add(600)
	if looks(session) {
		t.Error("it outlives twelve hours")
	}
	session = d.signIn()
	d.made(ledger.RoleAdmin, "/v1/operators/"+d.operator+"/invitations", "")
	if looks(session) {
		t.Error("it outlives an invitation")
	}
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 401 || said != "sign_in_failed" {
		t.Errorf("what was signed in with before the invitation still does: %d %s", status, said)
	}
	d.enrol()
	session = d.signIn()
	if !looks(session) {
		t.Error("control: a new session is none")
	}
	if status, b := d.call(ledger.RoleAdmin, "DELETE", "/v1/operators/"+d.operator, ""); status != 200 {
		t.Fatalf("%s", b)
	}
	if looks(session) {
		t.Error("it outlives the operator")
	}
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 401 || said != "sign_in_failed" {
		t.Errorf("who has ended signs in: %d %s", status, said)
	}
	for _, forged := range []string{"cl_sess_", "cl_sess_" + strings.Repeat("a", 52), session[:len(session)-1], session + "a"} {
		if looks(forged) {
			t.Error("a token that was not given out is a session")
		}
	}
}

func TestAnInvitationLetsOnePersonInOnce(t *testing.T) {
	d := newDesk(t, "dpo")
	other := textOf(t, d.made(ledger.RoleAdmin, "/v1/operators", operatorBody), "id")
	invitation := textOf(t, d.made(ledger.RoleAdmin, "/v1/operators/"+other+"/invitations", ""), "invitation")
	begin := func(operator, token string) int {
		t.Helper()
		d.server.people.throttle = newThrottle()
		status, _ := d.call("", "POST", "/v1/enrolments", `{"operator":"`+operator+`","invitation":"`+token+`"}`)
		return status
	}
	if begin(d.operator, invitation) != 403 || begin(other, invitation+"a") != 403 || begin(operatorInTests, invitation) != 403 {
		t.Error("an invitation is another person's, too")
	}
	confirm := confirmation(other, invitation, "GEZDGNBVGY3TQOJQ", d.now())
	if status, b := d.call("", "POST", "/v1/enrolments/confirm", confirm); status != 409 {
		t.Errorf("an enrolment that has not begun: %d %s", status, b)
	}
	secret := d.shop.secret(other, invitation)
	if status, _ := d.call("", "POST", "/v1/enrolments/confirm", confirm); status != 401 {
		t.Errorf("a code of another secret: %d", status)
	}
	short := strings.Replace(confirmation(other, invitation, secret, d.now()), passwordInTests, "short", 1)
	if status, b := d.call("", "POST", "/v1/enrolments/confirm", short); status != 400 || textOf(t, b, "code") != "invalid_password" {
		t.Errorf("a short password: %d %s", status, b)
	}
	d.made("", "/v1/enrolments/confirm", confirmation(other, invitation, secret, d.now()))
	if begin(other, invitation) != 403 {
		t.Error("an invitation is used twice")
	}
	late := textOf(t, d.made(ledger.RoleAdmin, "/v1/operators/"+other+"/invitations", ""), "invitation")
	d.at.Add(24 * 3600)
	if begin(other, late) != 403 {
		t.Error("an invitation is used after a day")
	}
}

func TestWhoGuessesWaitsAndTheHolderDoesNot(t *testing.T) {
	d := newDesk(t, "dpo")
	var status int
	var said string
	for range 12 {
		status, said = d.try(d.operator, "not the password at all", "000000")
	}
	if status != 429 || said != "sign_in_throttled" {
		t.Errorf("the twelfth guess is answered with %d %s", status, said)
	}
	d.at.Add(31) // this address is the holder's, too
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 201 {
		t.Errorf("the holder: %d %s", status, said)
	}
}

// A flood of guesses from many addresses takes the places of strangers, and not the holder's.
func TestAFloodOfGuessesKeepsOnlyStrangersWaiting(t *testing.T) {
	d := newDesk(t, "dpo")
	d.server.people.guesses.Store(guessesAtOnce)
	defer d.server.people.guesses.Store(0)
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 201 {
		t.Errorf("the holder: %d %s", status, said)
	}
	d.server.people.throttle = newThrottle() // from now on this address is a stranger's
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 429 || said != "sign_in_throttled" {
		t.Errorf("a stranger: %d %s", status, said)
	}
	d.server.people.guesses.Store(guessesAtOnce - 1)
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 201 {
		t.Errorf("control: a stranger when there is room: %d %s", status, said)
	}
	if n := d.server.people.guesses.Load(); n != guessesAtOnce-1 {
		t.Errorf("%d places are taken", n)
	}
}

// An invitation that comes between the look at the password and the session ends the session too.
func TestASessionIsNotBegunBehindAnInvitation(t *testing.T) {
	var s sessions
	now := time.Unix(0, 0)
	moment := s.moment("kim")
	if token, err := s.begin(rand.Reader, "kim", moment, now); err != nil || token == "" {
		t.Fatalf("control: %v", err)
	}
	s.endOf("lee")
	if token, err := s.begin(rand.Reader, "kim", moment, now); err != nil || token == "" {
		t.Errorf("somebody else's end is no matter: %v", err)
	}
	s.endOf("kim")
	if token, err := s.begin(rand.Reader, "kim", moment, now); !errors.Is(err, errEnded) || token != "" {
		t.Errorf("a session was begun: %v", err)
	}
	if len(s.all) != 0 {
		t.Errorf("there are %d sessions", len(s.all))
	}
}
