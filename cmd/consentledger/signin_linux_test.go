package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/sys/unix"
)

// Somebody who was invited enrols from a terminal, on which nothing of what they type is shown, or from a
// script, and signs in with what they chose.
func TestSomebodyEnrolsFromATerminalAndFromAScript(t *testing.T) {
	const password = "five words of somebody here"
	dir := t.TempDir()
	bin := clockedBinary(t)
	clock := filepath.Join(dir, "clock")
	if err := writeClock(clock, rowsBegin); err != nil {
		t.Fatal(err)
	}
	env := []string{"CONSENTLEDGER_TEST_CLOCK=" + clock}
	s := startBinary(t, bin, env, dir, "--init")
	data := filepath.Join(dir, "data")
	run := func(code int, stdin string, args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Env = append(cmd.Environ(), env...)
		cmd.Stdin = strings.NewReader(stdin)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("%s: %v, want exit %d: %s", args[0], err, code, errs.String())
		}
		return out.String(), errs.String()
	}
	jsonOf := func(out string) (v map[string]any) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, onTerminal := range []bool{false, true} {
		out, _ := run(0, "Kim Min-ji\n", "operator", "add", "--dir", data, "--role", "dpo", "--name", "-", "--json")
		operator := jsonOf(out)["id"].(string)
		out, _ = run(0, "", "operator", "invite", "--dir", data, "--json", operator)
		invitation := jsonOf(out)["invitation"].(string)
		args := []string{"sign-in", "--url", s.url, "--operator", operator, "--enrol", "--json"}

		// What is wrong is refused, and leaves the invitation as it was.
		run(1, "cl_inv_aaaa\n"+password+"\n123456\n", args...)
		if _, said := run(2, invitation+"\n", args...); !strings.Contains(said, "password") {
			t.Errorf("without a password it says %q", said)
		}
		run(2, invitation+"\n"+password+"\n", args...)
		run(2, invitation+"\nshort\n000000\n", args...)

		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Env = append(cmd.Environ(), env...)
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var typed io.Writer
		var hidden func()
		shown := func() string { return "" }
		if onTerminal {
			master, name := openTerminal(t)
			side, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer side.Close()
			cmd.Stdin, typed = side, master
			hidden = func() { // a person types once they are asked, which is after the echo has ended
				t.Helper()
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					mode, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS)
					if err != nil {
						t.Fatal(err)
					}
					if mode.Lflag&unix.ECHO == 0 {
						return
					}
					if time.Now().After(end) {
						t.Fatal("what is typed would be shown")
					}
				}
			}
			shown = func() string {
				// The control: the terminal shows what is typed once the command is done.
				if _, err := io.WriteString(master, "control\n"); err != nil {
					t.Fatal(err)
				}
				var b []byte
				for !bytes.Contains(b, []byte("control")) {
					piece := make([]byte, 256)
					n, err := master.Read(piece)
					if err != nil {
						t.Fatal(err)
					}
					b = append(b, piece[:n]...)
				}
				return string(b)
			}
		} else {
			if typed, err = cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			hidden = func() {}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		asked := bufio.NewReader(stderr)
		said := ""
		write := func(prompt, line string) {
			t.Helper()
			for !strings.HasSuffix(said, prompt+": ") {
				c, err := asked.ReadByte()
				if err != nil {
					t.Fatalf("it ends before it asks for %s: %q", prompt, said)
				}
				said += string(c)
			}
			hidden()
			if _, err := io.WriteString(typed, line+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		write("the invitation", invitation)
		write("a password of at least 12 characters", password)
		// Wait for the app's secret and give its code.
		for !strings.HasSuffix(said, "the app's code: ") {
			c, err := asked.ReadByte()
			if err != nil {
				t.Fatalf("it ends before it shows a secret: %q", said)
			}
			said += string(c)
		}
		_, after, _ := strings.Cut(said, "put this secret into the app: ")
		secret, _, _ := strings.Cut(after, "\n")
		at := time.Now()
		code, err := totp.GenerateCode(secret, at)
		if err != nil {
			t.Fatalf("the secret is none: %v", err)
		}
		write("the app's code", code)
		rest, _ := io.ReadAll(asked)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, rest)
		}
		for _, screen := range []string{shown(), said + string(rest)} {
			if strings.Contains(screen, password) || strings.Contains(screen, invitation) || strings.Contains(screen, code) {
				t.Error("what was typed is shown")
			}
		}
		enrolled := jsonOf(stdout.String())
		if codes, _ := enrolled["recovery_codes"].([]any); len(codes) != 10 || enrolled["operator"] != operator {
			t.Fatalf("it answers with %d recovery codes", len(codes))
		}
		// The invitation is used up, and what was chosen signs in; the app's code of the enrolment does not.
		run(1, invitation+"\n"+password+"\n"+code+"\n", args...)
		signIn := []string{"sign-in", "--url", s.url, "--operator", operator}
		run(1, password+"\n"+code+"\n", signIn...)
		later, err := totp.GenerateCode(secret, at.Add(30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := run(0, password+"\n"+later+"\n", signIn...); !strings.Contains(out, "session  cl_sess_") || !strings.Contains(out, "role     dpo") {
			t.Error("signing in answers without a session or role")
		}
	}
	s.stop(t, syscall.SIGTERM)
	verifyClocked(t, bin, env, dir)
}
