package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/remote/tilestest"
)

// A rewriting is what an operator can do who has every key, every file and all
// backups: the ledger is put back to what it was, with its root key and its
// head file, and another history is written from there on. Nothing inside it
// shows that; only what somebody else has kept of the first history does.
type rewriting struct {
	first  string // the directory with the history that was shown to the world
	second string // the one with the history that took its place; at least as long
	head   []byte // the last checkpoint of the first
	twin   []byte // one of the second, of the same size
	key    string // the public key of both
}

func rewriteHistory(t *testing.T) rewriting {
	t.Helper()
	return rewriteFrom(t, newLedger(t, 270))
}

// rewriteFrom writes two histories of a closed ledger, which goes on as the first of them.
func rewriteFrom(t *testing.T, ledger string) rewriting {
	t.Helper()
	r := rewriting{first: ledger}
	r.second = filepath.Join(t.TempDir(), "L")
	for from, to := range map[string]string{r.first: r.second, filepath.Dir(datadir.DefaultRoot(r.first)): filepath.Dir(datadir.DefaultRoot(r.second))} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return os.Chmod(path, 0o600)
		}); err != nil {
			t.Fatal(err)
		}
	}
	enrolMore(t, r.first, "first", 5)
	enrolMore(t, r.second, "second", 5)
	r.head, r.key = publishedBy(t, r.first)
	var other string
	if r.twin, other = publishedBy(t, r.second); other != r.key {
		t.Fatal("the histories have two keys: this is no rewriting")
	}
	if entriesOf(t, string(r.twin)) != entriesOf(t, string(r.head)) || bytes.Equal(r.twin, r.head) {
		t.Fatalf("these are not two heads of one size:\n%s\n%s", r.head, r.twin)
	}
	enrolMore(t, r.second, "later", 3)
	return r
}

// enrolMore adds members to a closed ledger.
func enrolMore(t *testing.T, dir, name string, n int) {
	t.Helper()
	l, err := datadir.Open(dir, datadir.DefaultRoot(dir), datadir.Options{AcceptWeakRoot: true, SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id, err := consent.ParseMemberID(fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Submit(t.Context(), ledger.Caller{KeyID: "local", Role: ledger.RoleWriter, From: "test"}, &consent.Consent{
			Member: id, Enrol: true, MemberKind: "member", Policy: "haim", PolicyVersion: "2025-01-01",
			Decisions: []consent.Decision{{Purpose: "membership", Granted: true}},
			Method:    "checkbox", Locale: "en", OccurredAt: time.Now(), MinimumAgeConfirmed: true,
		})
		if err == nil {
			_, err = p.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// publishedBy is the last published checkpoint of a closed ledger, and its public key.
func publishedBy(t *testing.T, dir string) (head []byte, key string) {
	t.Helper()
	s, err := datadir.OpenReadOnly(datadir.Database(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	src, id, err := ledger.NewLogSource(s, dir)
	if err != nil {
		t.Fatal(err)
	}
	if head, err = src.Checkpoint(); err != nil || head == nil {
		t.Fatalf("no checkpoint was published: %v", err)
	}
	return bytes.Clone(head), id.PublicKey
}

// logOf opens a closed ledger's log until the test ends.
func logOf(t *testing.T, dir string) (*ledger.LogSource, ledger.Identity) {
	t.Helper()
	s, err := datadir.OpenReadOnly(datadir.Database(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	src, id, err := ledger.NewLogSource(s, dir)
	if err != nil {
		t.Fatal(err)
	}
	return src, id
}

// publish serves a log's tiles, and returns the URL.
func publish(t *testing.T, src chain.Source) string {
	t.Helper()
	s := httptest.NewServer(tilestest.Handler(src))
	t.Cleanup(s.Close)
	return s.URL
}

// verifyBinary runs verify --json as a process of its own.
func verifyBinary(t *testing.T, args ...string) (rc int, a answer, stderr string) {
	t.Helper()
	cmd := exec.Command("consentledger", append([]string{"verify", "--json"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if x := (*exec.ExitError)(nil); !errors.As(err, &x) {
			t.Fatal(err)
		}
	}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return cmd.ProcessState.ExitCode(), a, errs.String()
}

func selfConsistentOnly(a answer) bool {
	return a.Intact && slices.ContainsFunc(a.Unchecked, func(s string) bool { return strings.Contains(s, "more than that the log is self-consistent") })
}

func kinds(a answer) (list []string) {
	for _, f := range a.Findings {
		list = append(list, f.Kind)
	}
	return list
}

func TestARewrittenHistoryIsCaughtByAnOldCheckpoint(t *testing.T) {
	r := rewriteHistory(t)
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, r.head, 0o600); err != nil {
		t.Fatal(err)
	}
	places := func(dir string) map[string][]string {
		src, _ := logOf(t, dir)
		return map[string][]string{
			"--dir": {"--dir", dir}, "--file": {"--file", datadir.Database(dir)}, "--url": {"--url", publish(t, src)},
		}
	}
	for flag, where := range places(r.second) {
		where = append(where, "--key", r.key)
		// Control: without it nothing is amiss, and that is all that is said.
		if rc, a, msg := verifyBinary(t, where...); rc != exitDone || !selfConsistentOnly(a) {
			t.Errorf("%s, nothing from outside: exit code %d, %+v, %s", flag, rc, a, msg)
		}
		rc, a, msg := verifyBinary(t, append(where, "--checkpoint", kept)...)
		if rc != exitNo || !slices.Contains(kinds(a), string(chain.CheckpointRoot)) {
			t.Errorf("%s: exit code %d, %+v, %s", flag, rc, a.Findings, msg)
		}
	}
	// Control: the first history agrees with its own checkpoint.
	for flag, where := range places(r.first) {
		if rc, a, msg := verifyBinary(t, append(where, "--key", r.key, "--checkpoint", kept)...); rc != exitDone || selfConsistentOnly(a) {
			t.Errorf("%s, the first history: exit code %d, %+v, %s", flag, rc, a, msg)
		}
	}
}

// The database is replaced by one with another history, and by a shorter one,
// and the head file outside it stays: the server does not start.
func TestAServerDoesNotStartOnAHistoryThatItsHeadFileDoesNotKnow(t *testing.T) {
	r := rewriteHistory(t)
	serve := func(dir string) string {
		out, err := exec.Command("timeout", "20", "consentledger", "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--accept-weak-root").CombinedOutput()
		if x := (*exec.ExitError)(nil); !errors.As(err, &x) || x.ExitCode() != exitCould {
			return fmt.Sprintf("exit %v: %s", err, out)
		}
		return string(out)
	}
	head, err := os.ReadFile(filepath.Join(r.second, "head"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(r.first, "head"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(dir string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "head"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(r.second, first)
	if got := serve(r.second); !strings.Contains(got, "differ from those that were published") {
		t.Errorf("another history: %s", got)
	}
	put(r.first, head)
	if got := serve(r.first); !strings.Contains(got, "entries, and a checkpoint of") {
		t.Errorf("a shorter history: %s", got)
	}
	// Control: each with its own head opens.
	put(r.first, first)
	put(r.second, head)
	for _, dir := range []string{r.first, r.second} {
		if rc, a, msg := verifyBinary(t, "--deep", "--dir", dir, "--accept-weak-root"); rc != exitDone {
			t.Errorf("control: %d, %+v, %s", rc, a, msg)
		}
	}
}

func TestARemoteLogThatDoesNotAnswerIsNoFindingAndFlagsThatDoNotFitAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"nobody there": {"--url", "not-a-url"},
		"two logs":     {"--url", "http://127.0.0.1:1", "--file", "x"},
		"deep":         {"--url", "http://127.0.0.1:1", "--deep"},
		"too many":     {"--url", "http://127.0.0.1:1", "--jobs", "1000"},
	} {
		if rc, a, msg := verifyBinary(t, args...); rc != exitCould || msg == "" || a.Findings != nil {
			t.Errorf("%s: exit code %d, %+v, %q", name, rc, a, msg)
		}
	}
	src, _ := logOf(t, newLedger(t, 3))
	url := publish(t, src)
	const otherKey = "ledger.example/consent+24389b90+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
	if rc, a, msg := verifyBinary(t, "--url", url, "--key", otherKey); rc != exitNo || !slices.Equal(kinds(a), []string{string(chain.CheckpointOrigin)}) {
		t.Errorf("another log's key: exit code %d, %+v, %s", rc, a, msg)
	}
	if rc, a, msg := verifyBinary(t, "--url", url); rc != exitDone || !slices.Contains(a.Unchecked, "signatures: the log's public key was not given") {
		t.Errorf("no key: exit code %d, %+v, %s", rc, a, msg)
	}
}
