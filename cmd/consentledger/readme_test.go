package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// transcript is the commands of a page, with what it says they print; … stands for anything.
type transcript struct{ command, prints string }

func transcripts(t *testing.T, page string) []transcript {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return transcriptsOf(string(b))
}

func transcriptsOf(text string) (out []transcript) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if cmd, ok := strings.CutPrefix(line, "$ "); ok {
				out = append(out, transcript{command: strings.TrimSpace(cmd)})
			} else if len(out) > 0 {
				out[len(out)-1].prints += line
			}
		}
	}
	return out
}

// matches says whether text is what a page says.
func matches(says, text string) bool {
	// A list is shown by its first element; there may be no other.
	says = strings.ReplaceAll(says, "},…]", "}…]")
	parts := strings.Split(strings.TrimSpace(says), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(strings.TrimSpace(text))
}

// TestTheREADMETellsTheTruth runs the commands of the README as they stand there, in a copy of the
// project, and pastes the calls that the first one prints.
func TestTheREADMETellsTheTruth(t *testing.T) {
	root := repository(t)
	all := transcripts(t, filepath.Join(root, "README.md"))
	if len(all) != 4 || all[0].command != "go run ./cmd/consentledger serve --init" || all[3].command != "go test ./..." {
		t.Fatalf("the README's commands are %+v", all)
	}
	work := t.TempDir()
	copyTree(t, root, work)
	shell := func(line string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = work
		// Any free port, so that the test can run beside whatever listens on 8787.
		cmd.Env = append(os.Environ(), "CONSENTLEDGER_LISTEN=127.0.0.1:0", "CONSENTLEDGER_ACCEPT_WEAK_ROOT=true")
		return cmd
	}
	printed := filepath.Join(work, "printed")
	f, err := os.Create(printed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	serve := shell(all[0].command)
	serve.Stdout, serve.Stderr = f, os.Stderr
	serve.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run and what it runs
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	defer func() {
		syscall.Kill(-serve.Process.Pid, syscall.SIGTERM)
		<-ended
	}()
	var out string
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(printed)
		if err != nil {
			t.Fatal(err)
		}
		if out = string(b); ready.MatchString(out) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %s", all[0].command, out)
		}
	}
	says := strings.ReplaceAll(all[0].prints, "127.0.0.1:8787", "127.0.0.1:…")
	if !matches(says, out) {
		t.Errorf("%s prints\n%s\nand the README says\n%s", all[0].command, out, all[0].prints)
	}
	calls := 0
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		calls++
		answer, err := shell(line + ` -w ' %{http_code}'`).CombinedOutput()
		if err != nil {
			t.Fatalf("call %d: %v: %s", calls, err, answer)
		}
		want := strings.TrimPrefix(lines[i+1], "# answers ")
		status, body, _ := strings.Cut(want, " ")
		if !matches(body+" "+status, strings.ReplaceAll(string(answer), "\n", "")) {
			t.Errorf("call %d answers\n%s\nand serve --init says\n%s", calls, answer, want)
		}
	}
	if calls != 3 {
		t.Errorf("serve --init prints %d calls, want 3", calls)
	}
	for _, tr := range all[1:3] {
		b, err := shell(tr.command).Output()
		if err != nil {
			t.Errorf("%s: %v", tr.command, err)
		}
		if !matches(tr.prints, string(b)) {
			t.Errorf("%s prints\n%s\nand the README says\n%s", tr.command, b, tr.prints)
		}
	}
}

// repository is the top folder of the project.
func repository(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// copyTree copies what the commands need: the Go files and what they embed.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"cmd", "crypto", "ledger", "server", "testdata"} {
		if err := os.CopyFS(filepath.Join(to, dir), os.DirFS(filepath.Join(from, dir))); err != nil {
			t.Fatal(err)
		}
	}
}
