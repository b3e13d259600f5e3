package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
)

// certificates are made anew each time, under the newest head.
var certificates = regexp.MustCompile(`,"certificate":"[^"\\]*(?:\\.[^"\\]*)*"`)

// again makes a call twice under one key, and compares the answers byte for byte.
func (s *shop) again(role ledger.Role, path, media, body, key string) []byte {
	s.t.Helper()
	var first []byte
	for n := range 2 {
		r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+path, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.keys[role])
		r.Header.Set("Content-Type", media)
		r.Header.Set("Idempotency-Key", key)
		size := s.ledger.Size()
		res, err := s.client.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode/100 != 2 {
			s.t.Fatalf("%s: %d %s %v", path, res.StatusCode, b, err)
		}
		replayed := res.Header.Get("Idempotent-Replayed")
		switch {
		case n == 0 && replayed != "":
			s.t.Errorf("%s: the first answer says that it was given before", path)
		case n == 0:
			first = b
		case replayed != "true" || !bytes.Equal(certificates.ReplaceAll(first, nil), certificates.ReplaceAll(b, nil)) || s.ledger.Size() != size && path != "/v1/events": // what ended goes on ending
			s.t.Errorf("%s: replayed %q, %d entries more\nfirst %s\nagain %s", path, replayed, s.ledger.Size()-size, first, b)
		}
	}
	return first
}

func TestEveryWriteThatIsSentAgainIsAnsweredWithTheSameBytes(t *testing.T) {
	s := newShop(t)
	w, d, a := ledger.RoleWriter, ledger.RoleDPO, ledger.RoleAdmin
	const at = `"occurred_at":"2025-03-01T12:00:00Z"`
	tried := map[string]bool{}
	key := 0
	post := func(role ledger.Role, label, path, body string) []byte {
		t.Helper()
		tried[label] = true
		key++
		return s.again(role, path, mediaJSON, body, fmt.Sprint("key-", key))
	}
	b := post(w, "/v1/consents", "/v1/consents", enrolment("kim"))
	ref := valueOf(t, b, "member")
	post(w, "/v1/activity", "/v1/activity", `{"member_id":"kim",`+at+`}`)
	post(w, "/v1/signals", "/v1/signals", `{"member_id":"kim","signal":"gpc","value":true,`+at+`}`)
	cor := valueOf(t, post(w, "/v1/corrections", "/v1/corrections", `{"member_id":"kim","changes":[{"item":"email","new":"x"}]}`), "correction")
	post(w, "/v1/corrections/:id/outcome", "/v1/corrections/"+cor+"/outcome", `{"member_id":"kim","outcome":"corrected"}`)
	post(w, "/v1/disclosures", "/v1/disclosures", `{"member_id":"kim","recipient":"it-vendor","purpose":"membership","items":["email"],`+at+`}`)
	rqt := valueOf(t, post(d, "/v1/requests", "/v1/requests", `{"member_id":"kim","type":"access","channel":"phone","received_at":"2025-03-01T12:00:00Z"}`), "request")
	post(d, "/v1/requests/:id/outcome", "/v1/requests/"+rqt+"/outcome", `{"outcome":"granted"}`)
	post(d, "/v1/notices", "/v1/notices", `{"kind":"policy_change","outcome":"sent","channel":"email","sent_at":"2025-03-01T12:00:00Z"}`)
	post(d, "/v1/members/:ref/holds", "/v1/members/"+ref+"/holds", `{"classes":["newsletter"],"ground":"claim 12","until":"2026-03-01T00:00:00Z"}`)
	post(w, "/v1/events", "/v1/events", `{"type":"event_ended","reference":"raffle",`+at+`}`)
	post(a, "/v1/recipients", "/v1/recipients", `{"policy":"haim","id":"new-vendor","recipient":{"name":"New","business":"IT","kind":"processor","country":"KR","purposes":["membership"],"items":["email"],"from":"2025-06-01"},"announced":"2025-03-02","reason":"a new vendor"}`)
	post(w, "/v1/withdrawals", "/v1/withdrawals", `{"member_id":"kim","scope":"membership"}`)
	post(a, "/v1/keys", "/v1/keys", `{"role":"reader","name":"again"}`)
	post(a, "/v1/witnesses", "/v1/witnesses", bodies["/v1/witnesses"])
	giver := valueOf(t, post(a, "/v1/operators", "/v1/operators", `{"name":"Kim","role":"dpo","responsible":true}`), "id")
	taker := valueOf(t, post(a, "/v1/operators", "/v1/operators", `{"name":"Lee","role":"dpo","responsible":false}`), "id")
	post(a, "/v1/operators/:id/handover", "/v1/operators/"+giver+"/handover", `{"to":"`+taker+`","at":"2025-03-01T12:00:00Z"}`)
	post(a, "/v1/operators/:id/invitations", "/v1/operators/"+taker+"/invitations", "")

	// Each of these is shown elsewhere: a batch by its lines, a policy by its ledger test, a return from
	// dormancy by its being nothing but a write of a member.
	for _, label := range []string{"/v1/batch", "/v1/policies", "/v1/reactivations"} {
		tried[label] = true
	}
	srv := &Server{}
	for _, rt := range srv.routes() {
		if rt.method == "POST" && rt.writes && !tried[rt.label] {
			t.Errorf("%s was not sent twice", rt.label)
		}
	}
}

func valueOf(t testing.TB, body []byte, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(body), `"`+name+`":"`)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("no %s in %s", name, body)
	}
	return value
}

func TestAnIdempotencyKeyIsRefusedWhereItPromisesNothing(t *testing.T) {
	s := newShop(t)
	send := func(method, path, media, body string, keys ...string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		role := ledger.RoleWriter
		if strings.HasPrefix(path, "/v1/keys") {
			role = ledger.RoleAdmin
		}
		r.Header.Set("Authorization", "Bearer "+s.keys[role])
		r.Header.Set("Content-Type", media)
		r.Header["Idempotency-Key"] = keys
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, b
	}
	size := s.ledger.Size()
	for _, c := range []struct {
		method, path, media, body string
		keys                      []string
		code                      string
	}{
		{"POST", "/v1/consents", mediaJSON, enrolment("m"), []string{""}, "idempotency_key_invalid"},
		{"POST", "/v1/consents", mediaJSON, enrolment("m"), []string{"a", "a"}, "idempotency_key_invalid"},
		{"POST", "/v1/consents", mediaJSON, enrolment("m"), []string{"a b"}, "idempotency_key_invalid"},
		{"POST", "/v1/consents", mediaJSON, enrolment("m"), []string{"é"}, "idempotency_key_invalid"},
		{"POST", "/v1/consents", mediaJSON, enrolment("m"), []string{strings.Repeat("k", 256)}, "idempotency_key_invalid"},
		{"POST", "/v1/batch", mediaNDJSON, "", []string{"a"}, "idempotency_not_available"},
		{"DELETE", "/v1/keys/key_x", mediaJSON, "", []string{"a"}, "idempotency_not_available"},
	} {
		if status, b := send(c.method, c.path, c.media, c.body, c.keys...); status != 400 || valueOf(t, b, "code") != c.code {
			t.Errorf("%s %s with %q: %d %s", c.method, c.path, c.keys, status, b)
		}
	}
	if s.ledger.Size() != size {
		t.Error("something was recorded")
	}
	if status, b := send("POST", "/v1/consents", mediaJSON, enrolment("m"), strings.Repeat("k", 255)); status != 201 {
		t.Errorf("control: %d %s", status, b)
	}
	if status, b := send("POST", "/v1/consents", mediaJSON, enrolment("n"), strings.Repeat("k", 255)); status != 422 || valueOf(t, b, "code") != "idempotency_key_reused" {
		t.Errorf("another member under the same key: %d %s", status, b)
	}
}

func TestALineThatIsSentAgainIsRecordedOnce(t *testing.T) {
	s := newShop(t)
	line := func(id, key string) string {
		return `{"type":"consent","idempotency_key":"` + key + `",` + strings.TrimPrefix(enrolment(id), "{") + "\n"
	}
	batch := func(lines string) []batchLine {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/batch", strings.NewReader(lines))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.keys[ledger.RoleWriter])
		r.Header.Set("Content-Type", mediaNDJSON)
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return readLines(t, res.Body)
	}
	size := s.ledger.Size()
	first := batch(line("a", "1") + line("b", "2") + line("a", "1") + strings.Replace(line("b", "2"), "\n", " \n", 1))
	for i, want := range []struct {
		status   int
		code     string
		replayed bool
	}{{201, "", false}, {201, "", false}, {201, "", true}, {422, "idempotency_key_reused", false}} {
		if l := first[i]; l.Status != want.status || l.Code != want.code || l.Replayed != want.replayed {
			t.Errorf("line %d: %+v", i+1, l)
		}
	}
	written := s.ledger.Size() - size
	again := batch(line("b", "2") + line("a", "1"))
	if !again[0].Replayed || !again[1].Replayed || s.ledger.Size()-size != written {
		t.Errorf("a batch again: %+v, %d entries", again, s.ledger.Size()-size-written)
	}
	if written != 4 {
		t.Errorf("%d entries of two members", written)
	}
}

// A call that was recorded is told so also while the disk is nearly full, and nothing else is recorded.
func TestOnALowDiskACallThatIsSentAgainIsStillAnswered(t *testing.T) {
	s := newShop(t)
	var low atomic.Bool
	srv := New(s.ledger, Options{MinFree: 1, DiskFree: func() (uint64, error) {
		if low.Load() {
			return 0, nil
		}
		return 1, nil
	}})
	send := func(key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/consents", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+s.keys[ledger.RoleWriter])
		r.Header.Set("Content-Type", mediaJSON)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		return do(srv.Handler(), r)
	}
	first := send("1", enrolment("kim"))
	if first.Code != 201 {
		t.Fatal(first.Code, first.Body)
	}
	low.Store(true)
	time.Sleep(diskAsked + 10*time.Millisecond)
	size := s.ledger.Size()
	if again := send("1", enrolment("kim")); again.Code != 201 || again.Body.String() != first.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
	wantProblem(t, send("2", enrolment("lee")), 503, "low_disk")
	wantProblem(t, send("", enrolment("lee")), 503, "low_disk")
	wantProblem(t, send("1", enrolment("lee")), 422, "idempotency_key_reused")
	if s.ledger.Size() != size {
		t.Error("something was recorded")
	}
	low.Store(false)
	time.Sleep(diskAsked + 10*time.Millisecond)
	if w := send("2", enrolment("lee")); w.Code != 201 {
		t.Errorf("with room again: %d %s", w.Code, w.Body)
	}
}
