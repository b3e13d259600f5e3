package server

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"consentledger/ledger"
)

func TestAKeyThatAsksTooOftenIsToldWhenToComeBackAndNobodyElseIs(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	h := newServer(&double{}, Options{Now: clock, RateLimit: RateLimit{PerSecond: 2, Burst: 5}}).Handler()
	ask := func(role ledger.Role) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
		r.Header.Set("Content-Type", mediaJSON)
		r.Header.Set("Authorization", "Bearer "+string(role))
		return do(h, r)
	}
	for i := range 5 {
		w := ask(ledger.RoleWriter)
		want := `"key";r=` + strconv.Itoa(4-i) + `;t=`
		if w.Code != 200 || w.Header().Get("RateLimit-Policy") != `"key";q=5;w=3` || !strings.HasPrefix(w.Header().Get("RateLimit"), want) {
			t.Fatalf("request %d: %d %v", i, w.Code, w.Header())
		}
	}
	w := ask(ledger.RoleWriter)
	wantProblem(t, w, http.StatusTooManyRequests, "too_many_requests")
	if w.Header().Get("Retry-After") != "1" || w.Header().Get("RateLimit") != `"key";r=0;t=1` {
		t.Errorf("the sixth: %v", w.Header())
	}
	if w := ask(ledger.RoleReader); w.Code != 200 {
		t.Errorf("another key: %d", w.Code)
	}
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	for range 2 {
		if w := ask(ledger.RoleWriter); w.Code != 200 {
			t.Errorf("a second later: %d", w.Code)
		}
	}
	wantProblem(t, ask(ledger.RoleWriter), http.StatusTooManyRequests, "too_many_requests")
}

func TestNothingIsLimitedUnlessItIsConfigured(t *testing.T) {
	h := newDouble(t, &double{}).Handler()
	for range 1000 {
		r := httptest.NewRequest("POST", "/v1/lookups", strings.NewReader(bodies["/v1/lookups"]))
		r.Header.Set("Content-Type", mediaJSON)
		r.Header.Set("Authorization", "Bearer writer")
		if w := do(h, r); w.Code != 200 || w.Header().Get("RateLimit") != "" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
	}
}
