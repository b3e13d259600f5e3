package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAServerIsAliveAndNotReadyWhileItsLedgerIsBeingOpened holds the lock of the
// database, so that opening it takes until the lock is let go of. The server
// waits 200 ms for that: an attempt in which this machine was slower is made again.
func TestAServerIsAliveAndNotReadyWhileItsLedgerIsBeingOpened(t *testing.T) {
	dir := t.TempDir()
	policy, err := filepath.Abs("../../testdata/policies/haim.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("consentledger", "init", "--dir", filepath.Join(dir, "data"), "--origin", "test.example", "--policy", policy, "--accept-weak-root").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	ask := func(url string) (int, string) {
		t.Helper()
		res, err := http.Get(url)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for attempt := range 20 {
		lock, err := os.OpenFile(filepath.Join(dir, "data", "ledger.db"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		url, out, log, end := activate(t, dir, 1, `LISTEN_PID=$$ LISTEN_FDS=1`)
		ready, why := ask(url + "/readyz")
		alive, _ := ask(url + "/livez")
		_ = lock.Close()
		opened := func() bool { return strings.Contains(out(), "listening on ") }
		waitFor(t, "an open ledger, or an end", func() bool { return opened() || strings.Contains(log(), "consentledger: ") })
		if !opened() {
			if !strings.Contains(log(), "another process has the ledger open") {
				t.Fatal(log())
			}
			t.Logf("attempt %d: too slow", attempt)
			_ = end()
			continue
		}
		if ready != 503 || !strings.Contains(why, `"code":"starting"`) || alive != 200 {
			t.Errorf("while it was opened: /readyz %d %s, /livez %d", ready, why, alive)
		}
		if ready, why := ask(url + "/readyz"); ready != 200 { // the control
			t.Errorf("once it was open: %d %s", ready, why)
		}
		if err := end(); err != nil {
			t.Errorf("%v %s", err, log())
		}
		return
	}
	t.Fatal("twenty times it took longer than the server waits")
}
