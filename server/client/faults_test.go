package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/server/client"
)

// cutter forwards connections to the server, and cuts the answer of each of the first ones after so many of its bytes; a
// negative number cuts the connection before the server has got anything.
func (s *shop) cutter(after ...int) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	var conns sync.WaitGroup
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			limit := int64(1 << 40)
			if n < len(after) {
				limit = int64(after[n])
			}
			conns.Add(1)
			go func() {
				defer conns.Done()
				defer c.Close()
				if limit < 0 {
					return
				}
				back, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					return
				}
				defer back.Close()
				conns.Add(1)
				go func() {
					defer conns.Done()
					_, _ = io.Copy(back, c)
					_ = back.(*net.TCPConn).CloseWrite()
				}()
				answer := bufio.NewReader(back)
				if _, err := answer.Peek(1); err != nil { // so that the call has been made
					return
				}
				_, _ = io.CopyN(c, answer, limit)
			}()
		}
	}()
	s.t.Cleanup(func() {
		_ = ln.Close()
		<-accepted
		conns.Wait()
	})
	return "http://" + ln.Addr().String()
}

// first makes a fault for the first n calls of a path, and lets the others through.
func first(n int, fault func(next http.Handler, w http.ResponseWriter, r *http.Request)) func(http.Handler) http.Handler {
	var mu sync.Mutex
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n--
			faulty := n >= 0
			mu.Unlock()
			if faulty {
				fault(next, w, r)
			} else {
				next.ServeHTTP(w, r)
			}
		})
	}
}

func answers(status int, code, retryAfter string) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		if code == "" {
			http.Error(w, "<html>a gateway</html>", status)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"urn:consentledger:problem:%s","title":"t","status":%d,"code":"%s","detail":"d","request_id":"req_x"}`, code, status, code)
	}
}

// done makes the call, and then answers something else.
func done(f func(http.Handler, http.ResponseWriter, *http.Request)) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		f(next, w, r)
	}
}

// hangs makes the call and never answers it.
func hangs(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	<-r.Context().Done()
}

func keyless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Idempotency-Key")
		next.ServeHTTP(w, r)
	})
}

func TestAWriteWhoseAnswerIsLostIsRecordedOnce(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct {
		url      string
		replayed bool
	}{
		"nothing is lost":                         {s.url, false},
		"the connection ends before the call":     {s.cutter(-1, -1), false},
		"the answer never comes":                  {s.cutter(0, 0), true},
		"half of the header comes":                {s.cutter(40), true},
		"the answer lacks its last bytes":         {s.cutter(300), true},
		"the server does not know":                {s.behind(first(2, done(answers(500, "outcome_unknown", "")))), true},
		"a gateway gives up":                      {s.behind(first(1, done(answers(504, "", "")))), true},
		"a gateway breaks":                        {s.behind(first(1, done(answers(502, "", "")))), true},
		"it is slow":                              {s.behind(first(1, hangs)), true},
		"it is under way":                         {s.behind(first(2, answers(409, "idempotency_in_progress", "1"))), false},
		"it is busy":                              {s.behind(first(3, answers(503, "busy", "1"))), false},
		"there are too many":                      {s.behind(first(3, answers(429, "too_many_requests", "2"))), false},
		"the answer is lost, and then it is busy": {s.behind(first(1, func(n http.Handler, w http.ResponseWriter, r *http.Request) { done(answers(503, "busy", "1"))(n, w, r) })), true},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.ledger.Size()
			var replayed bool
			o := client.Options{}
			if name == "it is slow" {
				o.AttemptTimeout = 2 * time.Second
			}
			got, err := s.to(c.url, o).Consent(t.Context(), enrolment(name), client.Replayed(&replayed))
			if err != nil {
				t.Fatal(err)
			}
			if n := s.ledger.Size() - before; n != 1 || replayed != c.replayed {
				t.Errorf("%d entries, replayed %v", n, replayed)
			}
			if found, err := s.as(ledger.RoleWriter).Lookup(t.Context(), client.Lookup{MemberID: name}); err != nil || found.Member != got.Member {
				t.Errorf("%+v and %+v, %v", got, found, err)
			}
		})
	}
	// The control: without the key that stays the same it is recorded twice, and the count shows it.
	before := s.ledger.Size()
	fault := first(1, done(answers(500, "outcome_unknown", "")))
	if _, err := s.to(s.behind(func(next http.Handler) http.Handler { return fault(keyless(next)) }), client.Options{}).Consent(t.Context(), enrolment("control")); err != nil {
		t.Fatal(err)
	}
	if n := s.ledger.Size() - before; n != 2 {
		t.Errorf("control: %d entries", n)
	}
}

func TestACallThatNobodyKnowsOfCanBeMadeAgainLater(t *testing.T) {
	s := newShop(t)
	before := s.ledger.Size()
	c := s.to(s.cutter(0, 0, 0), client.Options{Attempts: 3})
	_, err := c.Consent(t.Context(), enrolment("kim"))
	var u *client.Unknown
	if !errors.As(err, &u) || u.IdempotencyKey == "" || u.Attempts != 3 {
		t.Fatalf("%v", err)
	}
	var replayed bool
	if _, err := c.Consent(t.Context(), enrolment("kim"), client.IdempotencyKey(u.IdempotencyKey), client.Replayed(&replayed)); err != nil || !replayed {
		t.Errorf("made again: %v, replayed %v", err, replayed)
	}
	if n := s.ledger.Size() - before; n != 1 {
		t.Errorf("%d entries", n)
	}
	if _, err := c.Consent(t.Context(), enrolment("lee"), client.IdempotencyKey(u.IdempotencyKey)); !client.HasCode(err, "idempotency_key_reused") || errors.As(err, &u) {
		t.Errorf("another call under the key: %v", err)
	}
}

// What was lost stays unknown, whatever later attempts meet that says nothing of it.
func TestALostWriteStaysUnknownUntilAnAnswerSettlesIt(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct {
		then    func(http.Handler, http.ResponseWriter, *http.Request)
		unknown bool
		code    string
	}{
		"it is busy":                {answers(503, "busy", "1"), true, "busy"},
		"the key was revoked":       {answers(401, "unauthorized", ""), true, "unauthorized"},
		"the role was changed":      {answers(403, "role_not_allowed", ""), true, "role_not_allowed"},
		"a gateway refuses":         {answers(403, "", ""), true, ""},
		"it breaks":                 {answers(500, "internal_error", ""), true, "internal_error"},
		"it was recorded":           {answers(409, "already_done", ""), false, "already_done"},
		"it is against the rules":   {answers(422, "purpose_not_stated", ""), false, "purpose_not_stated"},
		"it was never of this form": {answers(400, "invalid_value", ""), false, "invalid_value"},
	} {
		t.Run(name, func(t *testing.T) {
			lost := first(1, func(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			url := s.behind(func(next http.Handler) http.Handler {
				return lost(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.then(next, w, r) }))
			})
			_, err := s.to(url, client.Options{}).Activity(t.Context(), client.Activity{MemberID: "kim", OccurredAt: testNow})
			var u *client.Unknown
			if errors.As(err, &u) != c.unknown || !client.HasCode(err, c.code) {
				t.Errorf("%v", err)
			}
			// The control: without what was lost the same answer leaves nothing unknown.
			url = s.behind(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.then(next, w, r) })
			})
			if _, err = s.to(url, client.Options{}).Activity(t.Context(), client.Activity{MemberID: "kim", OccurredAt: testNow}); errors.As(err, &u) {
				t.Errorf("control: %v", err)
			}
		})
	}
}

func TestADeleteThatWasLostAndFindsNothingIsToldAsUnknown(t *testing.T) {
	s := newShop(t)
	admin := s.as(ledger.RoleAdmin)
	made, err := admin.CreateKey(t.Context(), client.NewKey{Role: client.NewKeyRoleReader, Name: "till"})
	if err != nil {
		t.Fatal(err)
	}
	c := s.to(s.cutter(0), client.Options{Key: s.keys[ledger.RoleAdmin]})
	var u *client.Unknown
	if _, err := c.RevokeKey(t.Context(), made.ID); !errors.As(err, &u) || !client.HasCode(err, "unknown_key") || u.IdempotencyKey != "" {
		t.Errorf("%v", err)
	}
	if _, err := admin.RevokeKey(t.Context(), made.ID); !client.HasCode(err, "unknown_key") || errors.As(err, new(*client.Unknown)) {
		t.Errorf("one that is not there, and was not lost: %v", err)
	}
}

func TestAReadIsSentAgainAndIsNeverUnknown(t *testing.T) {
	s := newShop(t)
	q := client.Question{MemberID: "kim", Purpose: "membership"}
	if got, err := s.to(s.cutter(0, 0), client.Options{}).Decide(t.Context(), q); err != nil || got.Reason != client.DecidedReasonUnknownMember {
		t.Errorf("%+v %v", got, err)
	}
	var u *client.Unknown
	if _, err := s.to(s.cutter(0, 0), client.Options{Attempts: 2}).Decide(t.Context(), q); err == nil || errors.As(err, &u) {
		t.Errorf("%v", err)
	}
}

func TestAttemptsWaitAsTheServerAsksAndLongerEachTime(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct {
		fault func(http.Handler, http.ResponseWriter, *http.Request)
		want  []time.Duration
	}{
		"nothing is asked for": {answers(503, "busy", ""), []time.Duration{75 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond}},
		"seconds":              {answers(429, "too_many_requests", "2"), []time.Duration{2075 * time.Millisecond, 2150 * time.Millisecond, 2300 * time.Millisecond}},
		"a date":               {answers(503, "busy", testNow.Add(7*time.Second).Format(http.TimeFormat)), []time.Duration{7075 * time.Millisecond, 7150 * time.Millisecond, 7300 * time.Millisecond}},
		"of a gateway":         {answers(503, "", "1"), []time.Duration{1075 * time.Millisecond, 1150 * time.Millisecond, 1300 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			n := &naps{}
			o := client.Options{Sleep: n.sleep, FirstWait: 100 * time.Millisecond, Jitter: func() float64 { return 0.5 }, Now: func() time.Time { return testNow }}
			if _, err := s.to(s.behind(first(3, c.fault)), o).Consent(t.Context(), enrolment(name)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(n.all, c.want) {
				t.Errorf("it waited %v, want %v", n.all, c.want)
			}
		})
	}
}

func TestWhatCannotComeInTimeIsNotWaitedFor(t *testing.T) {
	s := newShop(t)
	n := &naps{}
	url := s.behind(first(100, answers(503, "read_only", "60")))
	_, err := s.to(url, client.Options{Sleep: n.sleep}).Consent(t.Context(), enrolment("kim"))
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != "read_only" || p.RetryAfter != time.Minute || len(n.all) != 0 {
		t.Errorf("longer than MaxWait: %v after %v", err, n.all)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := s.to(url, client.Options{Sleep: n.sleep, MaxWait: time.Hour}).Consent(ctx, enrolment("kim")); !client.HasCode(err, "read_only") || len(n.all) != 0 {
		t.Errorf("longer than the context: %v after %v", err, n.all)
	}
	if _, err := s.to(url, client.Options{Sleep: n.sleep, MaxWait: time.Hour, Attempts: 4}).Consent(t.Context(), enrolment("kim")); !client.HasCode(err, "read_only") || len(n.all) != 3 {
		t.Errorf("control: %v after %v", err, n.all)
	}
}

func TestAContextThatEndsEndsTheCall(t *testing.T) {
	s := newShop(t)
	gone := errors.New("the shop closes")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	url := s.behind(first(100, func(next http.Handler, _ http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		cancel(gone)
		<-r.Context().Done()
	}))
	_, err := s.to(url, client.Options{}).Consent(ctx, enrolment("kim"))
	var u *client.Unknown
	if !errors.As(err, &u) || !errors.Is(err, gone) || u.Attempts != 1 {
		t.Fatalf("%v", err)
	}
	var replayed bool
	if _, err := s.as(ledger.RoleWriter).Consent(t.Context(), enrolment("kim"), client.IdempotencyKey(u.IdempotencyKey), client.Replayed(&replayed)); err != nil || !replayed {
		t.Errorf("made again: %v, replayed %v", err, replayed)
	}
	// While it waits, too.
	ctx2, cancel2 := context.WithCancel(t.Context())
	o := client.Options{Sleep: func(ctx context.Context, d time.Duration) error { cancel2(); <-ctx.Done(); return ctx.Err() }}
	if _, err := s.to(s.behind(first(100, answers(503, "busy", "1"))), o).Consent(ctx2, enrolment("lee")); !client.HasCode(err, "busy") {
		t.Errorf("%v", err)
	}
}

func TestManyCallsUnderOneKeyAreOneEntryAndOneAnswer(t *testing.T) {
	s := newShop(t)
	before := s.ledger.Size()
	c := s.to(s.cutter(0, 30, 0, 30), client.Options{Attempts: 50, Sleep: func(ctx context.Context, _ time.Duration) error { time.Sleep(time.Millisecond); return ctx.Err() }})
	var wg sync.WaitGroup
	refs := make([]string, 50)
	for i := range refs {
		wg.Go(func() {
			got, err := c.Consent(t.Context(), enrolment("kim"), client.IdempotencyKey("order-7"))
			if err != nil {
				t.Error(err)
				return
			}
			refs[i] = got.Member
		})
	}
	wg.Wait()
	if n := s.ledger.Size() - before; n != 1 || len(slices.Compact(refs)) != 1 {
		t.Errorf("%d entries, members %v", n, refs)
	}
}
