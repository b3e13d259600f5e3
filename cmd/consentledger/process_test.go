package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// long says whether the tests run at the size named in the project's promises.
var long = os.Getenv("CONSENTLEDGER_LONG") != ""

// process is the real binary, serving a ledger in a directory of the test's.
type process struct {
	dir      string
	url      string
	key      string // a writer's
	admin    string
	cmd      *exec.Cmd
	ended    chan error
	out, log *os.File
	client   *http.Client
}

var (
	writerKey = regexp.MustCompile(`(?m)^writer key\s+(\S+)$`)
	adminKey  = regexp.MustCompile(`(?m)^admin key\s+(\S+)$`)
)

// startServer serves, with --init the first time, and waits until it listens.
func startServer(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return startBinary(t, "consentledger", nil, dir, args...)
}

// startBinary does so with a binary and an environment of the test's.
func startBinary(t testing.TB, bin string, env []string, dir string, args ...string) *process {
	t.Helper()
	s := &process{dir: dir, ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}}
	var err error
	if s.out, err = os.OpenFile(filepath.Join(dir, "stdout"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "data"), "--accept-weak-root"}, args...)...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		b, err := os.ReadFile(s.out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := ready.FindSubmatch(b); m != nil {
			s.url = string(m[1])
			if k := writerKey.FindSubmatch(b); k != nil {
				s.key = string(k[1])
				s.admin = string(adminKey.FindSubmatch(b)[1])
			}
			return s
		}
		select {
		case err := <-s.ended:
			l, _ := os.ReadFile(s.log.Name())
			t.Fatalf("the server ended before it was ready: %v\n%s", err, l)
		default:
		}
		if time.Now().After(end) {
			s.cmd.Process.Kill()
			t.Fatal("the server was not ready within a minute")
		}
	}
}

func (s *process) stop(t testing.TB, sig syscall.Signal) {
	t.Helper()
	// The server waits some seconds for connections on which nothing was sent yet.
	s.client.CloseIdleConnections()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(60 * time.Second):
		t.Fatalf("the server did not end within a minute of %v", sig)
	}
	if b, err := os.ReadFile(s.log.Name()); err == nil {
		leaked.Said("the log of a server", string(b))
	}
	s.out.Close()
	s.log.Close()
	s.client.CloseIdleConnections()
}

// call posts JSON and decodes the answer.
func (s *process) call(method, path, key string, body, answer any) (status int, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		leaked.Body(b)
		r = bytes.NewReader(b)
	}
	leaked.Secret("key", key)
	req, err := http.NewRequest(method, s.url+path, r)
	if err != nil {
		return 0, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if answer != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, answer); err != nil {
			return 0, err
		}
	}
	if resp.StatusCode < 300 {
		leaked.Answer(b)
	} else {
		leaked.Said("a problem", string(b))
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	return resp.StatusCode, err
}

// consentCall is a consent as a shop would send it.
func consentCall(id string, enrol bool) map[string]any {
	return map[string]any{
		"member_id": id, "enrol": enrol, "member_kind": "member", "policy": "haim", "policy_version": "2025-01-01",
		"decisions": []any{
			map[string]any{"purpose": "membership", "decision": "granted"},
			map[string]any{"purpose": "terms_of_use", "decision": "granted"},
			map[string]any{"purpose": "marketing", "decision": "granted"},
		},
		"method": "checkbox", "locale": "en", "occurred_at": time.Now().UTC().Format(time.RFC3339), "minimum_age_confirmed": true,
	}
}

type consentAnswer struct {
	Member  string `json:"member"`
	Entries []struct {
		Index    uint64 `json:"index"`
		LeafHash string `json:"leaf_hash"`
	} `json:"entries"`
}

// verifyDir runs the real verify on a ledger that no server holds.
func verifyDir(t testing.TB, dir string, deep bool) {
	t.Helper()
	args := []string{"verify", "--dir", filepath.Join(dir, "data"), "--json"}
	if deep {
		args = append(args, "--deep", "--accept-weak-root")
	}
	out, err := exec.Command("consentledger", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("consentledger %v: %v\n%s", args[:1], err, out)
	}
}
