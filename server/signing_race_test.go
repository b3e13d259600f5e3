package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"consentledger/ledger"
)

// A hookedBook is a ledger that does something before each row of a breach query, and after it was read what
// somebody signs in with.
type hookedBook struct {
	book
	affected func()
	looked   func()
}

func (b hookedBook) SignInRecord(ctx context.Context, id string) ([]byte, error) {
	raw, err := b.book.SignInRecord(ctx, id)
	if b.looked != nil {
		b.looked()
	}
	return raw, err
}

func (b hookedBook) Breach(ctx context.Context, who ledger.Caller, look ledger.Look, q *ledger.BreachAsk, emit func(ledger.BreachRow) error) error {
	return b.book.Breach(ctx, who, look, q, func(row ledger.BreachRow) error {
		b.affected()
		return emit(row)
	})
}

// A session that has ended is no way to the rest of a long answer.
func TestALongAnswerEndsWithItsSession(t *testing.T) {
	for _, signsOut := range []bool{true, false} {
		d := newDesk(t, "dpo")
		for range 3 {
			_, ref := d.person()
			d.call(ledger.RoleReader, "GET", "/v1/members/"+ref, "") // whoever was looked at may be affected
		}
		session := d.signIn()
		rows := 0
		d.server.book = hookedBook{book: d.server.book, affected: func() {
			if rows++; rows == 2 && signsOut {
				d.server.sessions.end(session)
			}
		}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", d.url+"/v1/breaches/query", strings.NewReader(`{"from":"2025-01-01T00:00:00Z","to":"2030-01-01T00:00:00Z"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+session)
		r.Header.Set("Access-Reason", "what leaked")
		r.Header.Set("Content-Type", mediaJSON)
		res, err := d.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		members := len(refsIn(string(b)))
		switch {
		case signsOut && (res.StatusCode != 401 || members != 0):
			t.Errorf("after its person signed out it goes on: %d with %d members", res.StatusCode, members)
		case !signsOut && (res.StatusCode != 200 || members != 3):
			t.Errorf("control: %d with %d members", res.StatusCode, members)
		}
	}
}

// Somebody's sessions are ended while somebody signs in: theirs alone fails, and the other's code is not lost.
func TestEndingSomebodysSessionsFailsNobodyElsesSignIn(t *testing.T) {
	d := newDesk(t, "dpo")
	add := func(responsible string) string {
		return textOf(t, d.made(ledger.RoleAdmin, "/v1/operators", `{"name":"Choi Ha-eun","role":"dpo","responsible":`+responsible+`}`), "id")
	}
	giver, taker := add("true"), add("false")
	var method, path, body string
	d.server.book = hookedBook{book: d.server.book, looked: func() {
		if status, b := d.call(ledger.RoleAdmin, method, path, body); status != 201 && status != 200 {
			t.Errorf("%s %s: %d %s", method, path, status, b)
		}
	}}
	handover := func(from, to string) (string, string, string) {
		return "POST", "/v1/operators/" + from + "/handover", `{"to":"` + to + `","at":"2025-03-01T00:00:00Z"}`
	}
	others := func(what string) {
		t.Helper()
		if status, said := d.try(d.operator, passwordInTests, d.next()); status != 201 {
			t.Errorf("%s of somebody else, meanwhile: %d %s", what, status, said)
		}
	}
	method, path, body = handover(giver, taker)
	others("a handover")
	method, path, body = "POST", "/v1/operators/"+taker+"/invitations", ""
	others("an invitation")
	method, path = "DELETE", "/v1/operators/"+giver
	others("an end")
	// The control: a handover leaves what the holder signs in with as it was, and ends their own sessions.
	method, path, body = handover(taker, d.operator)
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 401 || said != "sign_in_failed" {
		t.Errorf("control: a handover to who signs in, meanwhile: %d %s", status, said)
	}
}

// A call that is sent again changes nothing, and so ends no session that has begun since.
func TestARepeatedHandoverEndsNoSession(t *testing.T) {
	d := newDesk(t, "dpo")
	giver := textOf(t, d.made(ledger.RoleAdmin, "/v1/operators", `{"name":"Choi Ha-eun","role":"dpo","responsible":true}`), "id")
	handOver := func() {
		t.Helper()
		body := `{"to":"` + d.operator + `","at":"2025-03-01T00:00:00Z"}`
		if status, b := d.call(ledger.RoleAdmin, "POST", "/v1/operators/"+giver+"/handover", body, idempotencyKey, "one-handover"); status != 201 {
			t.Fatalf("%d %s", status, b)
		}
	}
	session := d.signIn()
	handOver()
	if d.as(session, "GET", "/v1/operators") != 401 {
		t.Error("control: a handover ends no session")
	}
	session = d.signIn()
	size := d.ledger.Size()
	handOver()
	if d.ledger.Size() != size {
		t.Error("control: it was written again")
	}
	if d.as(session, "GET", "/v1/operators") != 200 {
		t.Error("it ends a session that began after it")
	}
}

// Many connections, one thing that is to be used once.
func TestWhatIsUsedOnceIsUsedOnceByHoweverMany(t *testing.T) {
	d := newDesk(t, "dpo")
	const n = 5 // as many as one address may have under way
	race := func(path string, body func(i int) string) map[int]int {
		t.Helper()
		d.server.people.throttle = newThrottle()
		var wg sync.WaitGroup
		got := make(chan int, n)
		for i := range n {
			wg.Go(func() {
				client := &http.Client{Transport: &http.Transport{}} // a connection of its own
				defer client.CloseIdleConnections()
				r, _ := http.NewRequestWithContext(t.Context(), "POST", d.url+path, strings.NewReader(body(i)))
				r.Header.Set("Content-Type", mediaJSON)
				res, err := client.Do(r)
				if err != nil {
					got <- 0
					return
				}
				res.Body.Close()
				got <- res.StatusCode
			})
		}
		wg.Wait()
		by := map[int]int{}
		for range n {
			by[<-got]++
		}
		return by
	}
	once := func(what string, by map[int]int) {
		t.Helper()
		if by[201] != 1 || by[401]+by[403] != n-1 {
			t.Errorf("%s: answers by status %v", what, by)
		}
	}
	code := d.next()
	once("a code", race("/v1/sessions", func(int) string {
		return fmt.Sprintf(`{"operator":%q,"password":%q,"code":%q}`, d.operator, passwordInTests, code)
	}))
	once("a recovery code", race("/v1/sessions", func(int) string {
		return fmt.Sprintf(`{"operator":%q,"password":%q,"recovery_code":%q}`, d.operator, passwordInTests, d.recovery[0])
	}))
	// Five confirm one invitation, each with a password of their own: one of them is in, and only with theirs.
	other, invitation := d.shop.invited()
	secret := d.shop.secret(other, invitation)
	once("an invitation", race("/v1/enrolments/confirm", func(i int) string {
		return strings.Replace(confirmation(other, invitation, secret, d.now()), passwordInTests, fmt.Sprint(passwordInTests, i), 1)
	}))
	in := 0
	d.next()
	for i := range n {
		d.server.people.throttle = newThrottle()
		if status, _ := d.try(other, fmt.Sprint(passwordInTests, i), codeOf(secret, d.now())); status == 201 {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d of those who confirmed one invitation sign in", in)
	}
	// The control: what is used once each may be used by all of them, one after the other.
	for i := range 2 {
		if status, said := d.try(d.operator, passwordInTests, d.recovery[1+i]); status != 201 {
			t.Errorf("control: another recovery code: %d %s", status, said)
		}
	}
}

// Whoever was shown a secret for an invitation that is void has nothing of it.
func TestASecretBelongsToItsInvitation(t *testing.T) {
	d := newDesk(t, "dpo")
	other, first := d.shop.invited()
	secret := d.shop.secret(other, first)
	second := d.shop.invite(other)
	if status, b := d.call("", "POST", "/v1/enrolments/confirm", confirmation(other, second, secret, d.now())); status != 409 {
		t.Errorf("a secret that was shown for an older invitation: %d %s", status, b)
	}
	if status, _ := d.call("", "POST", "/v1/enrolments/confirm", confirmation(other, first, secret, d.now())); status != 403 {
		t.Error("an invitation that was replaced is good")
	}
	third := d.shop.invite(other)
	d.made("", "/v1/enrolments/confirm", confirmation(other, third, d.shop.secret(other, third), d.now()))
	if d.server.people.pending[other].secret != nil {
		t.Error("the secret stays in memory after the enrolment")
	}
}

// Whoever is invited, or has a recovery code, is not kept out by those who fail for them from everywhere.
func TestWhoHasWhatCannotBeGuessedDoesNotWaitForStrangers(t *testing.T) {
	d := newDesk(t, "dpo")
	other, invitation := d.shop.invited()
	d.server.people.throttle = newThrottle()
	for i := range 200 {
		d.server.people.throttle.Try(other, fmt.Sprintf("2001:db8:1:%x::1", i), false, d.now())
	}
	if status, b := d.call("", "POST", "/v1/enrolments", `{"operator":"`+other+`","invitation":"`+invitation+`"}`); status != 201 {
		t.Errorf("who is invited: %d %s", status, b)
	}
	if status, b := d.call("", "POST", "/v1/enrolments", `{"operator":"`+other+`","invitation":"cl_inv_x"}`); status != 429 {
		t.Errorf("control: a guessed invitation does not wait: %d %s", status, b)
	}
	// As many strangers as may wait for their passwords to be looked at.
	d.server.people.throttle = newThrottle()
	d.server.people.guesses.Add(guessesAtOnce)
	defer d.server.people.guesses.Add(-guessesAtOnce)
	if status, said := d.try(d.operator, passwordInTests, d.recovery[0]); status != 201 {
		t.Errorf("who has a recovery code, during a flood: %d %s", status, said)
	}
	d.server.people.throttle = newThrottle() // not known from here
	for range sourceTries {
		if status, said := d.try(d.operator, passwordInTests, d.next()); status != 429 {
			t.Fatalf("control: a stranger, during a flood: %d %s", status, said)
		}
	}
	d.server.people.guesses.Add(-guessesAtOnce)
	defer d.server.people.guesses.Add(guessesAtOnce)
	if status, said := d.try(d.operator, passwordInTests, d.next()); status != 201 {
		t.Errorf("who was only told to come back waits as if they had failed: %d %s", status, said)
	}
}

const sourceTries = 8 // more than an address may fail
