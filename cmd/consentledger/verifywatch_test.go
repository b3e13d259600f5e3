package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"consentledger/ledger/remote"
	"consentledger/ledger/remote/tilestest"
)

func TestARewrittenHistoryIsCaughtByWatch(t *testing.T) {
	r := rewriteHistory(t)
	first, _ := logOf(t, r.first)
	second, _ := logOf(t, r.second)
	one, other := tilestest.Handler(first), tilestest.Handler(second)
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	forged := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Replace(r.head, []byte("\n27"), []byte("\n28"), 1))
	})
	for name, c := range map[string]struct {
		before, after http.Handler
		pause         time.Duration // after is shown for so long, then before again; 0: for ever
		signal        syscall.Signal
		rc            int
		alarm         string
	}{
		"another history":                {before: one, after: other, rc: exitNo, alarm: alarmFork},
		"a shorter history":              {before: other, after: one, rc: exitNo, alarm: alarmRollback},
		"a forged head":                  {before: one, after: forged, rc: exitNo, alarm: alarmSignature},
		"silence":                        {before: one, after: down, rc: exitNo, alarm: alarmSilence},
		"control: nothing happens":       {before: one, after: one, pause: time.Second, signal: syscall.SIGTERM, rc: exitDone},
		"control: away for a moment":     {before: one, after: down, pause: 500 * time.Millisecond, signal: syscall.SIGTERM, rc: exitDone},
		"SIGKILL leaves the state whole": {before: one, after: one, pause: time.Millisecond, signal: syscall.SIGKILL, rc: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var now atomic.Pointer[http.Handler]
			now.Store(&c.before)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { (*now.Load()).ServeHTTP(w, q) }))
			defer s.Close()
			state := filepath.Join(t.TempDir(), "state")
			cmd := exec.Command("consentledger", "verify", "--url", s.URL, "--key", r.key, "--state", state, "--watch", "--every", "100ms", "--silence", "6s")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
			defer stop.Stop()
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(state); err == nil {
					break
				}
			}
			now.Store(&c.after)
			if c.pause > 0 {
				time.Sleep(c.pause)
				now.Store(&c.before)
				time.Sleep(300 * time.Millisecond)
				_ = cmd.Process.Signal(c.signal)
			}
			_ = cmd.Wait()
			if rc := cmd.ProcessState.ExitCode(); rc != c.rc {
				t.Errorf("exit code %d instead of %d: %s%s", rc, c.rc, out.String(), errs.String())
			}
			if kept, err := remote.ReadState(state); err != nil || kept == nil {
				t.Errorf("the state: %v, %v", kept, err)
			}
			if c.alarm == "" {
				if out.Len() > 0 {
					t.Errorf("an alarm of nothing: %s", out.String())
				}
				return
			}
			found := false
			for line := range strings.Lines(out.String()) {
				var a alarm
				if err := json.Unmarshal([]byte(line), &a); err != nil || a.KeptSize == nil || a.Origin != "test.example" {
					t.Errorf("%v: %s", err, line)
				}
				found = found || a.Alarm == c.alarm
			}
			if !found {
				t.Errorf("no alarm %s: %s", c.alarm, out.String())
			}
		})
	}
}
