package server

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/ledger"
)

func ask(s *Server, path string) *httptest.ResponseRecorder {
	return do(s.Handler(), httptest.NewRequest("GET", path, nil))
}

func TestUntilItsLedgerIsOpenAServerIsAliveAndNothingElse(t *testing.T) {
	s := Starting(Options{})
	ctx, stop := context.WithCancel(t.Context())
	ln, ended := serve(t, ctx, s)
	defer func() { stop(); <-ended }()
	if w := ask(s, "/livez"); w.Code != 200 || !strings.Contains(w.Body.String(), `"starting"`) {
		t.Errorf("/livez: %d %s", w.Code, w.Body)
	}
	for _, rt := range s.routes() {
		if rt.label == "/livez" {
			continue
		}
		w := do(s.Handler(), request(rt, ledger.RoleDPO))
		wantProblem(t, w, 503, "starting")
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", rt.label)
		}
	}
	wantProblem(t, ask(s, "/control/info"), 503, "starting")
	d := &double{}
	s.open(d)
	if w := ask(s, "/readyz"); w.Code != 200 { // the control
		t.Errorf("/readyz of %s: %d %s", ln.Addr(), w.Code, w.Body)
	}
	if w := do(s.Handler(), request(route{method: "POST", label: "/v1/consents", media: mediaJSON}, ledger.RoleWriter)); w.Code != 201 || len(d.calls) != 1 {
		t.Errorf("a consent: %d %s", w.Code, w.Body)
	}
}

func TestALedgerThatHasStoppedWritingIsNotReady(t *testing.T) {
	var l logTo
	d := &double{err: ledger.ErrReadOnly}
	s := newServer(d, Options{Log: l.logger()})
	wantProblem(t, ask(s, "/readyz"), 503, "read_only")
	if w := ask(s, "/livez"); w.Code != 200 {
		t.Errorf("/livez: %d", w.Code)
	}
	if strings.Contains(l.String(), "level=ERROR") {
		t.Errorf("each probe is an error in the log: %s", l.String())
	}
}

func TestOnALowDiskOnlyWithdrawalsAreTaken(t *testing.T) {
	var l logTo
	var free atomic.Uint64
	var fails atomic.Bool
	var now atomic.Int64
	d := &double{}
	s := newServer(d, Options{
		Log: l.logger(), MinFree: 1000, Now: func() time.Time { return time.Unix(now.Add(10), 0) },
		DiskFree: func() (uint64, error) {
			if fails.Load() {
				return 0, errors.New("stale file handle")
			}
			return free.Load(), nil
		},
	})
	writes := func() (taken, refused []string) {
		for _, rt := range s.routes() {
			if !rt.writes || rt.stream {
				continue
			}
			for _, role := range []ledger.Role{ledger.RoleDPO, ledger.RoleAdmin} {
				w := do(s.Handler(), request(rt, role))
				switch {
				case w.Code == 403:
				case w.Code == 503:
					wantProblem(t, w, 503, "low_disk")
					refused = append(refused, rt.label)
				case w.Code < 300:
					taken = append(taken, rt.label)
				default:
					t.Errorf("%s: %d %s", rt.label, w.Code, w.Body)
				}
			}
		}
		return taken, refused
	}
	for _, c := range []struct {
		free  uint64
		fails bool
		low   bool
	}{{1000, false, false}, {999, false, true}, {1 << 40, false, false}, {1 << 40, true, true}, {0, false, true}, {1001, false, false}} {
		free.Store(c.free)
		fails.Store(c.fails)
		d.reached = 0
		if w := ask(s, "/readyz"); c.low {
			wantProblem(t, w, 503, "low_disk")
		} else if w.Code != 200 {
			t.Errorf("with %d bytes: /readyz says %d", c.free, w.Code)
		}
		if d.reached != 0 && c.low {
			t.Error("the ledger was asked")
		}
		taken, refused := writes()
		switch {
		case !c.low && len(refused) > 0:
			t.Errorf("with %d bytes %v are refused", c.free, refused)
		case c.low && (len(taken) != 1 || taken[0] != "/v1/withdrawals" || len(refused) < 15):
			t.Errorf("with %d bytes %v are taken, %v refused", c.free, taken, refused)
		}
		r := request(route{method: "POST", label: "/v1/batch", media: mediaNDJSON}, ledger.RoleWriter)
		if w := do(s.Handler(), r); (w.Code == 503) != c.low {
			t.Errorf("with %d bytes a batch is answered %d", c.free, w.Code)
		}
		if w := do(s.Handler(), request(route{method: "POST", label: "/v1/decisions", media: mediaJSON}, ledger.RoleWriter)); w.Code != 200 {
			t.Errorf("a decision: %d", w.Code)
		}
	}
	if n := strings.Count(l.String(), "level=ERROR"); n != 2 {
		t.Errorf("it became low twice, and the log says so %d times", n)
	}
}

func TestTheDiskIsAskedOnceASecond(t *testing.T) {
	asked := 0
	at := time.Unix(1, 0)
	s := newServer(&double{}, Options{MinFree: 1, Now: func() time.Time { return at }, DiskFree: func() (uint64, error) { asked++; return 9, nil }})
	for range 5 {
		ask(s, "/readyz")
	}
	if asked != 1 {
		t.Errorf("asked %d times within a second", asked)
	}
	at = at.Add(time.Second)
	ask(s, "/readyz")
	if asked != 2 {
		t.Errorf("asked %d times in two seconds", asked)
	}
	at = at.Add(-time.Hour) // a clock that is set back must not leave an old answer standing
	ask(s, "/readyz")
	if asked != 3 {
		t.Errorf("after the clock was set back: asked %d times", asked)
	}
}

// TestALineOfABatchIsRefusedWhenTheDiskRunsLow: a batch may have begun while there was room.
func TestALineOfABatchIsRefusedWhenTheDiskRunsLow(t *testing.T) {
	var now atomic.Int64
	var asked atomic.Int64
	s := newServer(&double{}, Options{
		MinFree: 2, Now: func() time.Time { return time.Unix(now.Add(10), 0) },
		DiskFree: func() (uint64, error) {
			if asked.Add(1) == 1 {
				return 2, nil
			}
			return 1, nil
		},
	})
	r := request(route{method: "POST", label: "/v1/batch", media: mediaNDJSON}, ledger.RoleWriter)
	r.Body = io.NopCloser(strings.NewReader(consentLine() + "\n" + `{"type":"withdrawal","member_id":"kim-1","scope":"membership"}` + "\n"))
	w := do(s.Handler(), r)
	lines := strings.Split(w.Body.String(), "\n")
	if w.Code != 200 || !strings.Contains(lines[0], `"code":"low_disk"`) || !strings.Contains(lines[1], `"status":201`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
