package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/server/witness"
)

// The ledger has a witness, and the operator rewrites what the witness has signed. The new history gets
// no signature of the witness, the server does not start or writes no more while the witness is in its
// register, and who knows the witness's key sees that it is missing.
func TestARewrittenHistoryIsCaughtByAWitness(t *testing.T) {
	state, witnessKey := newWitness(t)
	theirs, err := fnote.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := newLedger(t, 20)
	_, publicKey := publishedBy(t, dir)
	ours, err := note.NewVerifier(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	cosigned := func(head string) bool { // as somebody sees it who has both keys
		n, err := note.Open([]byte(head), note.VerifierList(ours, theirs))
		return err == nil && len(n.Sigs) == 2
	}
	watch, url := startWitness(t, state, publicKey)
	told := func() string {
		b, err := os.ReadFile(watch.Stderr.(*os.File).Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	register := func(dir string, args ...string) {
		t.Helper()
		if out, err := exec.Command("consentledger", append([]string{"witness", args[0], "--dir", dir, "--accept-weak-root"}, args[1:]...)...).CombinedOutput(); err != nil {
			t.Fatalf("witness %s: %v\n%s", args[0], err, out)
		}
	}
	register(dir, "add", url, witnessKey)
	r := rewriteFrom(t, dir)

	// The first history is shown, and signed.
	s := serveCopy(t, r.first)
	shown := s.headUntil(t, cosigned)
	s.stop(t, syscall.SIGTERM)
	if !strings.HasPrefix(shown, headText(string(r.head))) {
		t.Fatalf("what was signed is not the head of the first history:\n%s\n%s", shown, r.head)
	}
	size := entriesOf(t, shown)

	// The witness gives no other head of this size its name, nor a larger one that does not continue it,
	// whoever asks; and says what it has seen.
	larger, _ := publishedBy(t, r.second)
	for what, c := range map[string]struct {
		head   []byte
		old    uint64
		status int
	}{
		"another head of this size":   {r.twin, size, http.StatusConflict},
		"from the beginning":          {larger, 0, http.StatusConflict},
		"a larger one without proof":  {larger, size, http.StatusUnprocessableEntity},
		"control: what was signed":    {r.head, size, http.StatusOK},
		"control: after all of these": {[]byte(shown), size, http.StatusOK},
	} {
		resp, err := http.Post(url+"/add-checkpoint", "text/plain", bytes.NewReader(witness.Request{Old: c.old, Note: c.head}.Marshal()))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s: %d %s %v", what, resp.StatusCode, b, err)
		}
		if c.status == http.StatusConflict && (string(b) != fmt.Sprintf("%d\n", size) || resp.Header.Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("%s: %q of type %q", what, b, resp.Header.Get("Content-Type"))
		}
	}
	if log := told(); strings.Count(log, "signed two heads of one size") != 1 || !strings.Contains(log, fmt.Sprintf("cosigned=%q offered=%q", rootOf(shown), rootOf(string(r.twin)))) {
		t.Errorf("the witness does not say which two heads it has seen:\n%s", log)
	}

	// A server with this witness in its register does not start on the second history.
	serve := exec.Command("timeout", "30", "consentledger", "serve", "--listen", "127.0.0.1:0", "--dir", r.second, "--accept-weak-root")
	if out, err := serve.CombinedOutput(); exitOf(err) != "2" || !strings.Contains(string(out), fmt.Sprintf("witness.example/w1 has signed a head of %d entries of test.example that is not the beginning of this log", size)) {
		t.Errorf("it starts: %v\n%s", err, out)
	}

	// Without it the server runs, and by itself the log is in order. But its heads bear no signature of the
	// witness, and who knows the witness's key sees that.
	register(r.second, "remove", "wit_"+strings.Split(witnessKey, "+")[1])
	s = serveCopy(t, r.second)
	if rc, a, msg := verifyBinary(t, "--url", s.url, "--key", r.key); rc != exitDone || !selfConsistentOnly(a) {
		t.Errorf("control: nothing from outside: exit code %d, %+v, %s", rc, a, msg)
	}
	forged := s.headUntil(t, func(head string) bool { return head != "" })
	if entriesOf(t, forged) <= size || cosigned(forged) {
		t.Errorf("the witness has signed the second history:\n%s", forged)
	}

	// Back in the register, it ends all writing.
	register(filepath.Join(s.dir, "data"), "add", url, witnessKey)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, body, err := s.text("/readyz")
		if err == nil && status == http.StatusServiceUnavailable && strings.Contains(body, "read_only") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it goes on: %d %s %v", status, body, err)
		}
	}
	if head := s.headUntil(t, func(head string) bool { return head != "" }); cosigned(head) {
		t.Errorf("the witness has signed the second history:\n%s", head)
	}
	s.stop(t, syscall.SIGTERM)
}

// serveCopy serves a copy of a closed ledger until the test ends it.
func serveCopy(t *testing.T, ledger string) *process {
	t.Helper()
	dir := t.TempDir()
	copyWhole(t, ledger, filepath.Join(dir, "data"))
	copyWhole(t, filepath.Dir(datadir.DefaultRoot(ledger)), filepath.Dir(datadir.DefaultRoot(filepath.Join(dir, "data"))))
	return startServer(t, dir)
}

// headUntil is the server's newest head that is as wanted.
func (s *process) headUntil(t *testing.T, wanted func(head string) bool) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, head, err := s.text("/checkpoint")
		if err == nil && status == http.StatusOK && wanted(head) {
			return head
		}
		if time.Now().After(end) {
			t.Fatalf("no such head: %d %v\n%s", status, err, head)
		}
	}
}

// headText is what is signed of a head.
func headText(head string) string {
	text, _, _ := strings.Cut(head, "\n\n")
	return text
}

func rootOf(head string) string { return strings.Split(head, "\n")[2] }
