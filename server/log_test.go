package server

import (
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/consent"
)

func TestAQueryThatCannotBeReadIsRefused(t *testing.T) {
	for query, code := range map[string]string{
		"cursor=%zz": "invalid_parameter", "cursor=5;limit=1": "invalid_parameter", "limit=%": "invalid_parameter",
		"other=1": "unknown_parameter", "cursor=5&limit=1": "",
	} {
		d := &double{}
		r := request(route{method: "GET", label: "/v1/members/:ref/history", look: true}, ledger.RoleDPO)
		r.URL.RawQuery = query
		w := do(newDouble(t, d).Handler(), r)
		if code != "" {
			wantProblem(t, w, 400, code)
			if d.reached != 0 {
				t.Errorf("%s: the ledger was asked", query)
			}
		} else if w.Code != 200 { // the control
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestWhatPassesByItselfIsNotLoggedAsAnError(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		logged bool
	}{
		{ledger.ErrBusy, 503, false},
		{ledger.ErrClosed, 503, false},
		{ledger.ErrReadOnly, 503, true}, // the control
	} {
		var l logTo
		s := newServer(&double{submitErr: c.err}, Options{Log: l.logger()})
		w := do(s.Handler(), request(route{method: "POST", label: "/v1/consents", media: mediaJSON}, ledger.RoleWriter))
		if w.Code != c.status {
			t.Fatalf("%v: %d %s", c.err, w.Code, w.Body)
		}
		if logged := strings.Contains(l.String(), "level=ERROR"); logged != c.logged {
			t.Errorf("%v: logged %v: %s", c.err, logged, l.String())
		}
	}
	var l logTo
	s := newServer(&double{}, Options{Log: l.logger(), MaxBatches: 1})
	s.batches <- struct{}{}
	w := do(s.Handler(), request(route{method: "POST", label: "/v1/batch", media: mediaNDJSON}, ledger.RoleWriter))
	wantProblem(t, w, 503, "too_many_batches")
	if strings.Contains(l.String(), "level=ERROR") {
		t.Error(l.String())
	}
}

func TestWhoIsTurnedAwayIsLoggedWithoutWhatWasSentAndWithoutEnd(t *testing.T) {
	var l logTo
	at := time.Unix(0, 0)
	s := newServer(&double{}, Options{Log: l.logger(), Now: func() time.Time { return at }})
	send := func(role ledger.Role) {
		do(s.Handler(), request(route{method: "POST", label: "/v1/keys", media: mediaJSON}, role))
	}
	send("secret-" + memberInTests)
	send(ledger.RoleWriter)
	for _, want := range []string{"code=unauthorized", "code=role_not_allowed key_id=key_writer", "route=/v1/keys"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%s is not in %s", want, l.String())
		}
	}
	if strings.Contains(l.String(), memberInTests) {
		t.Error("what was sent is in the log")
	}
	for range 3 * denialsPerMinute {
		send("")
	}
	if n := strings.Count(l.String(), "turned away"); n != denialsPerMinute {
		t.Errorf("%d lines in a minute", n)
	}
	at = at.Add(time.Minute)
	send("")
	if !strings.Contains(l.String(), "left_out="+itoa(2*denialsPerMinute+2)) {
		t.Error("what was left out is not counted")
	}
	before := strings.Count(l.String(), "turned away")
	send(ledger.RoleAdmin) // the control
	if strings.Count(l.String(), "turned away") != before {
		t.Error("who may is logged as turned away")
	}
}

func TestADeepCheckIsNotCalledSlow(t *testing.T) {
	for path, slow := range map[string]bool{"POST /control/verify-deep": false, "GET /control/info": true} {
		var l logTo
		var now atomic.Int64
		s := newServer(&double{}, Options{Log: l.logger(), Now: func() time.Time { return time.Unix(now.Add(10), 0) }})
		method, target, _ := strings.Cut(path, " ")
		do(s.ControlHandler(), httptest.NewRequest(method, target, nil))
		if logged := strings.Contains(l.String(), "answered slowly"); logged != slow {
			t.Errorf("%s: logged %v: %s", path, logged, l.String())
		}
	}
}

func TestTheDocumentsSayHowLargeAPolicyMayBe(t *testing.T) {
	for _, name := range []string{"API.md", "ERRORS.md"} {
		if want := strconv.Itoa(consent.MaxPolicyBytes>>10) + " KiB"; !strings.Contains(readDocument(t, name), want) {
			t.Errorf("%s does not say %s", name, want)
		}
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
