package client_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/client"
)

func enrolments(n int) []client.Line {
	out := make([]client.Line, n)
	for i := range out {
		out[i] = client.Line{IdempotencyKey: fmt.Sprint("line-", i), Call: enrolment(fmt.Sprint("m-", i))}
	}
	return out
}

func TestABatchYieldsAnAnswerForEveryLineWhileItSends(t *testing.T) {
	s := newShop(t)
	c := s.as(ledger.RoleWriter)
	lines := append(enrolments(3000), client.Line{Call: client.Activity{MemberID: "nobody", OccurredAt: testNow}})
	lines = slices.Insert(lines, 7, client.Line{Call: client.Withdrawal{MemberID: "m-3", Scope: client.WithdrawalScopeMembership}})
	before := s.ledger.Size()
	n := 0
	overlap := make(chan struct{})
	waiting := func(yield func(client.Line) bool) {
		for i, l := range lines {
			if i == len(lines)-1 { // the two directions must overlap
				<-overlap
			}
			if !yield(l) {
				return
			}
		}
	}
	for a, err := range c.Batch(t.Context(), waiting) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			close(overlap)
		}
		switch {
		case a.Line != n:
			t.Fatalf("answer %d is of line %d", n, a.Line)
		case n == len(lines):
			if a.Status != 404 || a.Problem == nil || a.Problem.Code != "unknown_member" || a.Problem.RequestID == "" {
				t.Errorf("who is not there: %+v", a)
			}
		case n == 8:
			if a.Status != 201 || a.Destroyed.Keys == 0 {
				t.Errorf("a withdrawal: %+v", a)
			}
		case a.Status != 201 || a.Problem != nil || a.Member == "" || len(a.Entries) != 1:
			t.Fatalf("line %d: %+v", n, a)
		}
	}
	if n != len(lines) {
		t.Errorf("%d answers to %d lines", n, len(lines))
	}
	if grown := s.ledger.Size() - before; grown < 3000 {
		t.Errorf("%d entries", grown)
	}
}

func TestABatchThatBrokeCanBeSentAgain(t *testing.T) {
	s := newShop(t)
	before := s.ledger.Size()
	answered := 0
	var failed error
	for a, err := range s.to(s.cutter(20_000), client.Options{}).Batch(t.Context(), slices.Values(enrolments(500))) {
		if failed = err; err == nil && a.Status == 201 {
			answered++
		}
	}
	if failed == nil || answered == 0 || answered == 500 {
		t.Fatalf("%d answers, then %v", answered, failed)
	}
	replayed := 0
	for a, err := range s.as(ledger.RoleWriter).Batch(t.Context(), slices.Values(enrolments(500))) {
		if err != nil || a.Status != 201 {
			t.Fatalf("%+v %v", a, err)
		}
		if a.Replayed {
			replayed++
		}
	}
	if grown := s.ledger.Size() - before; grown != 500 || replayed < answered {
		t.Errorf("%d entries of 500 lines, %d answered, %d answered again", grown, answered, replayed)
	}
}

func TestABatchThatTheCallerLeavesEnds(t *testing.T) {
	s := newShop(t)
	ended := false
	endless := iter.Seq[client.Line](func(yield func(client.Line) bool) {
		defer func() { ended = true }()
		for yield(client.Line{Call: client.Activity{MemberID: "nobody", OccurredAt: testNow}}) {
		}
	})
	for a, err := range s.as(ledger.RoleWriter).Batch(t.Context(), endless) {
		if err != nil || a.Line != 1 {
			t.Errorf("%+v %v", a, err)
		}
		break
	}
	if !ended {
		t.Error("the lines are still ranged over")
	}
}

func TestABatchTellsWhatIsWrongWithItself(t *testing.T) {
	s := newShop(t)
	fail := func(c *client.Client, lines ...client.Line) (n int, failed error) {
		for _, err := range c.Batch(t.Context(), slices.Values(lines)) {
			if failed = err; err == nil {
				n++
			}
		}
		return n, failed
	}
	w := s.as(ledger.RoleWriter)
	if _, err := fail(w, client.Line{Call: enrolment("kim")}, client.Line{Call: client.Lookup{MemberID: "kim"}}); err == nil || !strings.Contains(err.Error(), "line 2: a client.Lookup is no line") {
		t.Errorf("%v", err)
	}
	if _, err := fail(w, client.Line{Call: client.EventEnd{Type: client.EventEndTypeDelivered, Reference: "o", OccurredAt: testNow}}); err == nil || !strings.Contains(err.Error(), "EndEvent") {
		t.Errorf("%v", err)
	}
	if _, err := fail(s.as(ledger.RoleReader), client.Line{Call: enrolment("kim")}); !client.HasCode(err, "role_not_allowed") {
		t.Errorf("%v", err)
	}
	url := s.behind(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = w.Write([]byte(`{"line":1,"status":201}` + "\n"))
		})
	})
	if n, err := fail(s.to(url, client.Options{}), enrolments(2)...); n != 1 || err == nil {
		t.Errorf("an answer that is too short: %d, %v", n, err)
	}
	if n, err := fail(w, client.Line{Call: enrolment("lee")}, client.Line{Call: client.EventEnd{Type: client.EventEndTypeDelivered, MemberID: "lee", Reference: "o", OccurredAt: testNow}}); n != 2 || err != nil {
		t.Errorf("control: %d, %v", n, err)
	}
}

func TestABreachAnswerThatIsNotWholeIsAnError(t *testing.T) {
	s := newShop(t)
	ask := func(url string) (n int, failed error) {
		c := s.to(url, client.Options{Key: s.keys[ledger.RoleDPO]})
		for row, err := range c.Breach(t.Context(), client.BreachQuery{From: testNow, To: testNow.Add(time.Hour)}, "breach 3") {
			if failed = err; err == nil && row.Member != "" {
				n++
			}
		}
		return n, failed
	}
	row := `{"member":"mbr_a","items":["email"],"entries":[7]}` + "\n"
	says := func(text string, whole bool) string {
		return s.behind(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/x-ndjson")
				_, _ = w.Write([]byte(text))
				w.(http.Flusher).Flush()
				if !whole {
					panic(http.ErrAbortHandler)
				}
			})
		})
	}
	if n, err := ask(says(row+`{"type":"t","title":"t","status":503,"code":"shutting_down","detail":"d","request_id":"r"}`+"\n", true)); n != 1 || !client.HasCode(err, "shutting_down") {
		t.Errorf("a problem at its end: %d %v", n, err)
	}
	if n, err := ask(says(row, false)); n != 1 || err == nil {
		t.Errorf("cut: %d %v", n, err)
	}
	if n, err := ask(says(row+row, true)); n != 2 || err != nil {
		t.Errorf("control: %d %v", n, err)
	}
	c := s.as(ledger.RoleDPO)
	for _, err := range c.Breach(t.Context(), client.BreachQuery{From: testNow, To: testNow.Add(time.Hour)}, "") {
		if err == nil {
			t.Error("no reason")
		}
	}
}

// A server that answers fewer lines than it was sent, or others, has not said what became of the rest.
func TestABatchWhoseAnswerIsShortOrOutOfOrderIsAnError(t *testing.T) {
	s := newShop(t)
	refused := func(line int) string {
		return fmt.Sprintf(`{"line":%d,"type":"t","title":"t","status":422,"code":"unknown_purpose","detail":"d","request_id":"r"}`+"\n", line)
	}
	done := func(line int) string {
		return fmt.Sprintf(`{"line":%d,"status":201,"entries":[],"recorded_at":"2025-03-01T12:00:00Z"}`+"\n", line)
	}
	for name, c := range map[string]struct {
		answer string
		failed bool
	}{
		"control: each line is answered":  {done(1) + refused(2) + done(3), false},
		"it ends after a refused line":    {done(1) + refused(2), true},
		"it ends after a recorded line":   {done(1) + done(2), true},
		"a line is answered twice":        {done(1) + done(1) + done(2), true},
		"a line is passed over":           {done(1) + done(3) + done(4), true},
		"there is nothing in the answer":  {"", true},
		"it is not one line of a problem": {`{"line":1,"status":201}{"line":2,"status":201}` + "\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			url := s.behind(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Type", "application/x-ndjson")
					_, _ = io.WriteString(w, c.answer)
				})
			})
			var failed error
			line := client.Line{Call: client.Activity{MemberID: "m1", OccurredAt: testNow}}
			for _, err := range s.to(url, client.Options{Key: s.keys[ledger.RoleWriter]}).Batch(t.Context(), slices.Values([]client.Line{line, line, line})) {
				failed = err
			}
			if (failed != nil) != c.failed {
				t.Errorf("error: %v", failed)
			}
		})
	}
}

// A 2xx that says nothing, or more than can be read, is nobody's word that the call was recorded, nor that it was not.
func TestAnAnswerToAWriteThatSaysNothingLeavesTheOutcomeUnknown(t *testing.T) {
	s := newShop(t)
	for name, answer := range map[string]string{"nothing": "", "null": "null", "an empty object": "{}", "a list": "[]", "too much": `{"a":"` + strings.Repeat("a", 64<<20) + `"}`} {
		url := s.behind(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, answer)
			})
		})
		a, err := s.to(url, client.Options{Key: s.keys[ledger.RoleWriter]}).Activity(t.Context(), client.Activity{MemberID: "m1", OccurredAt: testNow})
		var unknown *client.Unknown
		if a != nil || !errors.As(err, &unknown) || unknown.IdempotencyKey == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
