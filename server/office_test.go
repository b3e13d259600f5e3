package server

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
	"consentledger/server/api"
)

func TestHowFarAheadTheOfficerLooks(t *testing.T) {
	d := &double{}
	at := time.Date(2025, 1, 15, 12, 0, 0, 0, time.UTC)
	s := newServer(d, Options{Now: func() time.Time { return at }})
	const day = 24 * time.Hour
	for query, want := range map[string]time.Duration{
		"": 30 * day, "within=30d": 30 * day, "within=1d": day, "within=7": 7 * day, "within=1mo": 31 * day, "within=1y": 365 * day,
		"within=200y": at.AddDate(200, 0, 0).Sub(at),
		"within=":     0, "within=0": 0, "within=0d": 0, "within=-1d": 0, "within=1w": 0, "within=201y": 0, "within=30d&within=1d": 0,
		"within=99999999999999999999": 0, "within=1.5d": 0, "within=1%20d": 0, "days=3": 0,
	} {
		r := request(route{method: "GET", label: "/v1/due", look: true}, ledger.RoleDPO)
		r.URL.RawQuery = query
		w := do(s.Handler(), r)
		if want == 0 && query != "within=" {
			if w.Code != 400 {
				t.Errorf("%q: %d", query, w.Code)
			}
			continue
		}
		if want == 0 {
			want = 30 * day
		}
		if w.Code != 200 || d.within != want {
			t.Errorf("%q: %d, %v; want %v", query, w.Code, d.within, want)
		}
	}
}

func TestWhatIsDueNamesTheMemberWhereThereIsOne(t *testing.T) {
	w := do(newDouble(t, &double{}).Handler(), request(route{method: "GET", label: "/v1/due", look: true}, ledger.RoleDPO))
	var got api.DueList
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Due) != 2 || !got.More {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if got.Due[0].Member != (ledger.Ref{1}).String() || got.Due[0].ID != "rqt_1" || got.Due[1].Member != "" || strings.Count(w.Body.String(), `"member"`) != 1 {
		t.Fatalf("%s", w.Body)
	}
}

// breachLines asks on a real connection, and gives the lines of the answer and the error at its end.
func breachLines(t *testing.T, s *Server) (status int, lines []string, err error) {
	t.Helper()
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", ts.URL+"/v1/breaches/query", strings.NewReader(bodies["/v1/breaches/query"]))
	r.Header.Set("Content-Type", mediaJSON)
	r.Header.Set("Authorization", "Bearer dpo")
	r.Header.Set("Access-Reason", "a leak")
	defer http.DefaultClient.CloseIdleConnections()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	return res.StatusCode, lines, in.Err()
}

func TestABreachIsAnsweredLineByLine(t *testing.T) {
	status, lines, err := breachLines(t, newDouble(t, &double{affected: 5000}))
	if status != 200 || err != nil || len(lines) != 5000 {
		t.Fatalf("%d %v, %d lines", status, err, len(lines))
	}
	for i, l := range lines {
		var a api.Affected
		if err := json.Unmarshal([]byte(l), &a); err != nil || len(a.Entries) != 1 || a.Entries[0] != uint64(i) {
			t.Fatalf("line %d: %v: %s", i, err, l)
		}
	}
	if status, lines, err := breachLines(t, newDouble(t, &double{})); status != 200 || err != nil || len(lines) != 0 {
		t.Fatalf("nobody affected: %d %v %v", status, err, lines)
	}
}

func TestABreachQueryThatFailsSaysSoAtItsEnd(t *testing.T) {
	status, lines, err := breachLines(t, newDouble(t, &double{affected: 5000, breachErr: ledger.ErrReadOnly}))
	if status != 200 || err != nil || len(lines) != 5001 || !strings.Contains(lines[5000], `"code":"read_only"`) {
		t.Fatalf("%d %v, %d lines, the last is %s", status, err, len(lines), lines[len(lines)-1])
	}
	// Before the first row there is a status to say it with.
	status, lines, _ = breachLines(t, newDouble(t, &double{affected: 3, breachErr: ledger.ErrReadOnly}))
	if status != 503 || len(lines) != 1 || strings.Contains(lines[0], "mbr_") {
		t.Fatalf("%d %v", status, lines)
	}
}

func TestAStoppingServerEndsABreachQuery(t *testing.T) {
	s := newDouble(t, &double{affected: 5000, durable: make(chan struct{})})
	go func() {
		for s.inFlight.n.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		s.stopOnce.Do(func() { close(s.stop) })
	}()
	status, lines, err := breachLines(t, s)
	if status != 200 || err != nil || !strings.Contains(lines[len(lines)-1], `"code":"shutting_down"`) {
		t.Fatalf("%d %v, %d lines", status, err, len(lines))
	}
}

func TestAClientWhoTakesNoRowsIsCutOff(t *testing.T) {
	s := newServer(&double{affected: 1 << 30}, Options{StallTimeout: 200 * time.Millisecond})
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := bodies["/v1/breaches/query"]
	_, _ = conn.Write([]byte("POST /v1/breaches/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dpo\r\nAccess-Reason: a leak\r\nContent-Type: application/json\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body))
	until(t, func() bool { return s.inFlight.n.Load() == 1 })
	if !s.inFlight.wait(20 * time.Second) {
		t.Fatal("it goes on for a client who takes nothing")
	}
}

func TestAnEventIsEndedForOneMemberOrForEverybody(t *testing.T) {
	d := &double{}
	h := newDouble(t, d).Handler()
	rt := route{method: "POST", label: "/v1/events", media: mediaJSON}
	if w := do(h, request(rt, ledger.RoleWriter)); w.Code != 201 || !strings.Contains(w.Body.String(), `"destroyed":{`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(strings.Replace(bodies["/v1/events"], `"member_id":"`+memberInTests+`",`, "", 1)))
	r.Header = request(rt, ledger.RoleWriter).Header
	w := do(h, r)
	var got api.Recorded
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 202 || len(got.Entries) != 1 || strings.Contains(w.Body.String(), "destroyed") {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	if one, all := d.calls[0].(*consent.EventEnd), d.calls[1].(*consent.EventEnd); one.Member.IsZero() || !all.Member.IsZero() || all.Reference != "order-1" {
		t.Fatalf("%v %v", one, all)
	}
}

func TestABatchTakesTheCallsOfAMembersTime(t *testing.T) {
	d := &double{}
	const at = `"occurred_at":"2025-01-02T03:04:05Z"`
	body := `{"type":"activity","member_id":"m",` + at + `}
{"type":"signal","member_id":"m","signal":"gpc","value":true,` + at + `}
{"type":"delivered","member_id":"m","reference":"o",` + at + `}
{"type":"event_ended","member_id":"m","reference":"raffle",` + at + `}
{"type":"event_ended","reference":"raffle",` + at + `}
{"type":"delivered","member_id":"m","reference":"o","idempotency_key":"a b",` + at + `}
{"type":"event","member_id":"m","reference":"o",` + at + `}
`
	got := runBatch(t, newDouble(t, d).Handler(), strings.NewReader(body))
	for i, want := range []struct {
		status int
		code   string
	}{{201, ""}, {201, ""}, {201, ""}, {201, ""}, {400, "missing_field"}, {400, "idempotency_key_invalid"}, {400, "invalid_value"}} {
		if got[i].Status != want.status || got[i].Code != want.code {
			t.Errorf("line %d: %+v", i+1, got[i])
		}
	}
	if len(d.calls) != 4 || d.calls[2].(*consent.EventEnd).Type != consent.EventDelivered || d.calls[3].(*consent.EventEnd).Type != consent.EventEnded {
		t.Fatalf("%d calls", len(d.calls))
	}
}
