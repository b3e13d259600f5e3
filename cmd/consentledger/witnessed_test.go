package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// text gets a path without a key.
func (s *process) text(path string) (status int, body string, err error) {
	resp, err := s.client.Get(s.url + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestALedgerThatAWitnessKnowsBetterIsStopped is the operator who puts an old database back, head file
// and root key too, and goes on from there.
func TestALedgerThatAWitnessKnowsBetterIsStopped(t *testing.T) {
	dir := t.TempDir()
	state, witnessKey := newWitness(t)
	theirs, err := fnote.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		t.Fatal(err)
	}

	s := startServer(t, dir, "--init")
	key := s.key
	b, err := os.ReadFile(s.out.Name())
	if err != nil {
		t.Fatal(err)
	}
	publicKey := strings.Fields(string(b[bytes.Index(b, []byte("public key")):]))[2]
	ours, err := note.NewVerifier(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	watch, url := startWitnessAt(t, "127.0.0.1:0", state, publicKey)
	address := strings.TrimPrefix(url, "http://")
	if _, err := s.call(http.MethodPost, "/v1/witnesses", s.admin, map[string]any{"url": url, "key": witnessKey, "required": 1}, nil); err != nil {
		t.Fatal(err)
	}
	grow := func(s *process, n int) {
		t.Helper()
		for i := range n {
			if _, err := s.call(http.MethodPost, "/v1/consents", key, consentCall("witnessed-"+string(rune('a'+i)), true), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	within := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				l, _ := os.ReadFile(s.log.Name())
				t.Fatalf("%s\n%s", what, l)
			}
		}
	}
	cosigned := func(s *process) func() bool {
		return func() bool {
			_, msg, err := s.text("/checkpoint")
			if err != nil {
				t.Fatal(err)
			}
			n, err := note.Open([]byte(msg), note.VerifierList(ours, theirs))
			return err == nil && len(n.Sigs) == 2 && n.Sigs[0].Name == ours.Name()
		}
	}
	within("the head is not cosigned", cosigned(s))
	s.stop(t, syscall.SIGTERM) // which publishes once more
	saved := filepath.Join(dir, "saved")
	for _, name := range []string{"data", "data-root"} {
		copyWhole(t, filepath.Join(dir, name), filepath.Join(saved, name))
	}

	s = startServer(t, dir)
	_, before, err := s.text("/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	grow(s, 3)
	witnessed := uint64(0)
	within("a later head is not cosigned", func() bool {
		_, now, err := s.text("/checkpoint")
		witnessed = entriesOf(t, now)
		return err == nil && witnessed > entriesOf(t, before) && cosigned(s)()
	})
	s.stop(t, syscall.SIGTERM)

	// The old one back, and the newest kept for the control.
	newest := filepath.Join(dir, "newest")
	for _, name := range []string{"data", "data-root"} {
		copyWhole(t, filepath.Join(dir, name), filepath.Join(newest, name))
		replaceWhole(t, filepath.Join(saved, name), filepath.Join(dir, name))
	}
	cmd := exec.Command("consentledger", "serve", "--listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "data"), "--accept-weak-root")
	out, err := cmd.CombinedOutput()
	if exitOf(err) != "2" || !strings.Contains(string(out), "witness.example/w1 has signed a head of ") || !strings.Contains(string(out), "older database was put back") {
		t.Errorf("an old database was not refused: %v\n%s", err, out)
	}

	// With the witness away it starts, and goes on by itself until the witness is back.
	if err := watch.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = watch.Wait()
	s = startServer(t, dir)
	grow(s, 8)
	if status, body, err := s.text("/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("while the witness is away: %d %s %v", status, body, err)
	}
	within("the longer history is not published", func() bool {
		_, now, err := s.text("/checkpoint")
		return err == nil && entriesOf(t, now) > witnessed
	})
	startWitnessAt(t, address, state, publicKey)
	within("the other history was not found out", func() bool {
		status, body, err := s.text("/readyz")
		return err == nil && status == http.StatusServiceUnavailable && strings.Contains(body, "read_only")
	})
	if status, _ := s.call(http.MethodPost, "/v1/consents", key, consentCall("late", true), nil); status != http.StatusServiceUnavailable {
		t.Errorf("it still writes: %d", status)
	}
	s.stop(t, syscall.SIGTERM)
	l, err := os.ReadFile(s.log.Name())
	if err != nil || !strings.Contains(string(l), "not the beginning of this log") {
		t.Errorf("the log does not say what was found: %v\n%s", err, l)
	}

	// Control: the right one starts, and goes on where the witness left it.
	for _, name := range []string{"data", "data-root"} {
		replaceWhole(t, filepath.Join(newest, name), filepath.Join(dir, name))
	}
	s = startServer(t, dir)
	grow(s, 1)
	within("the right database is not cosigned", cosigned(s))
	s.stop(t, syscall.SIGTERM)
}

func entriesOf(t *testing.T, msg string) uint64 {
	t.Helper()
	size, err := strconv.ParseUint(strings.Split(msg, "\n")[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func copyWhole(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-Rp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func replaceWhole(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	copyWhole(t, from, to)
}
