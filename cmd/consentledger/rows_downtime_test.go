package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRow_C4_a_ledger_that_was_off_for_years_catches_up_while_it_serves has many members leave,
// of whom something is kept for five years, and turns the server off for six. At its start all of
// that is due at once, and those who stayed want to be served at once.
func TestRow_C4_a_ledger_that_was_off_for_years_catches_up_while_it_serves(t *testing.T) {
	t.Parallel()
	left := 300 // more than a sweep takes at once
	if long {
		left = 20_000
	}
	const stayed = 20
	dir := t.TempDir()
	clock := filepath.Join(dir, "clock")
	if err := writeClock(clock, rowsBegin); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
	bin := clockedBinary(t)
	s := startBinary(t, bin, env, dir, "--init")
	key := s.key
	each := func(n int, f func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		jobs := make(chan int)
		for range 32 {
			wg.Go(func() {
				for i := range jobs {
					if err := f(i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range n {
			jobs <- i
		}
		close(jobs)
		wg.Wait()
	}
	write := func(path string, body map[string]any) error {
		_, err := s.call(http.MethodPost, path, key, body, nil)
		return err
	}
	each(stayed, func(i int) error {
		c := consentCall(fmt.Sprintf("stayed-%d", i), true)
		c["occurred_at"] = rowsBegin.Format(time.RFC3339)
		return write("/v1/consents", c)
	})
	each(left, func(i int) error {
		c := consentCall(fmt.Sprintf("left-%d", i), true)
		c["occurred_at"], c["member_kind"], c["reference"] = rowsBegin.Format(time.RFC3339), "purchasing_member", "order-1"
		c["decisions"] = append(c["decisions"].([]any), map[string]any{"purpose": "order", "decision": "granted"})
		return write("/v1/consents", c)
	})
	each(left, func(i int) error {
		return write("/v1/withdrawals", map[string]any{"member_id": fmt.Sprintf("left-%d", i), "scope": "membership"})
	})
	state := func(id string) string {
		t.Helper()
		var a struct{ State string }
		status, err := s.call(http.MethodPost, "/v1/lookups", key, map[string]any{"member_id": id}, &a)
		if status == http.StatusNotFound {
			return "gone"
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.State
	}

	// Control: nothing is due before its time, however often the server starts.
	s.stop(t, syscall.SIGTERM)
	if err := writeClock(clock, rowsBegin.AddDate(5, 0, 0)); err != nil {
		t.Fatal(err)
	}
	s = startBinary(t, bin, env, dir)
	if err := sweepNow(clock); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, left / 2, left - 1} {
		if got := state(fmt.Sprintf("left-%d", i)); got != "withdrawn" {
			t.Errorf("control: on the last day of the five years what is kept of left-%d is %s", i, got)
		}
	}
	s.stop(t, syscall.SIGTERM)

	if err := writeClock(clock, rowsBegin.AddDate(6, 0, 0)); err != nil {
		t.Fatal(err)
	}
	// Control: what is overdue is there, and is found by who looks for it.
	cmd := exec.Command(bin, "verify", "--deep", "--dir", filepath.Join(dir, "data"), "--accept-weak-root")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "kept_past_its_time") {
		t.Errorf("control: a year after its time what is kept is no finding: %v\n%s", err, out)
	}

	s = startBinary(t, bin, env, dir)
	// The last of them by number is the last to go.
	served, slowest := 0, time.Duration(0)
	for end := time.Now().Add(2 * time.Minute); state(fmt.Sprintf("left-%d", left-1)) != "gone"; served++ {
		began := time.Now()
		if got := state(fmt.Sprintf("stayed-%d", served%stayed)); got != "active" {
			t.Fatalf("while it catches up, a member who stayed is %s", got)
		}
		slowest = max(slowest, time.Since(began))
		if time.Now().After(end) {
			t.Fatal("after two minutes it has not caught up")
		}
	}
	if err := sweepNow(clock); err != nil {
		t.Fatal(err)
	}
	each(left, func(i int) error {
		if got := state(fmt.Sprintf("left-%d", i)); got != "gone" {
			return fmt.Errorf("what was kept of left-%d is still there: %s", i, got)
		}
		return nil
	})
	if slowest > 5*time.Second {
		t.Errorf("while it caught up an answer took %v", slowest)
	}
	t.Logf("%d members' keys were due at once; %d calls were answered meanwhile, the slowest in %v", left, served, slowest)
	s.stop(t, syscall.SIGTERM)
	verifyClocked(t, bin, env, dir)
}
