package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// background is a server that a script has started. Its output stands in
// NAME.out and NAME.err of the script's directory.
type background struct {
	cmd   *exec.Cmd
	ended chan error
}

type serversKey struct{}

var ready = regexp.MustCompile(`(?m)^listening on (https?://\S+)$`)

// cmdServe starts a server and waits until it says that it is listening:
//
//	serve NAME ARGS…     is consentledger serve --listen 127.0.0.1:0 ARGS…
//	serve NAME -- CMD…   is CMD…
//
// It sets URL.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve NAME ARGS…")
	}
	name, rest := args[0], args[1:]
	line := append([]string{"consentledger", "serve", "--listen", "127.0.0.1:0"}, rest...)
	if len(rest) > 0 && rest[0] == "--" {
		line = rest[1:]
	}
	cmd := command(ts, line...)
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	ts.Check(cmd.Start())
	b := &background{cmd, make(chan error, 1)}
	go func() { b.ended <- cmd.Wait() }()
	running(ts)[name] = b
	ts.Defer(func() {
		if _, still := running(ts)[name]; still {
			_ = cmd.Process.Kill()
			<-b.ended
			delete(running(ts), name)
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m := ready.FindStringSubmatch(ts.ReadFile(name + ".out")); m != nil {
			ts.Setenv("URL", m[1])
			return
		}
		select {
		case err := <-b.ended:
			delete(running(ts), name)
			ts.Fatalf("the server ended before it was ready: %v\n%s", err, ts.ReadFile(name+".err"))
		default:
		}
		if time.Now().After(end) {
			ts.Fatalf("the server was not ready within 30 s\n%s", ts.ReadFile(name+".err"))
		}
	}
}

func running(ts *testscript.TestScript) map[string]*background {
	return ts.Value(serversKey{}).(map[string]*background)
}

// cmdHalt sends a server a signal, TERM unless another is named, waits for its
// end and checks its exit code:
//
//	halt NAME [TERM|INT|KILL [RC]]
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: halt NAME [SIGNAL [RC]]")
	}
	b := running(ts)[args[0]]
	if b == nil {
		ts.Fatalf("no server %s is running", args[0])
	}
	sig, want := syscall.SIGTERM, "0"
	if len(args) > 1 {
		switch args[1] {
		case "KILL":
			sig, want = syscall.SIGKILL, "killed"
		case "INT":
			sig = syscall.SIGINT
		}
	}
	if len(args) > 2 {
		want = args[2]
	}
	ts.Check(b.cmd.Process.Signal(sig))
	select {
	case err := <-b.ended:
		delete(running(ts), args[0])
		leaked.Said("the log of a server in a transcript", ts.ReadFile(args[0]+".err"))
		if got := exitOf(err); got != want {
			ts.Fatalf("%s ended with %s instead of %s\n%s", args[0], got, want, ts.ReadFile(args[0]+".err"))
		}
	case <-time.After(60 * time.Second):
		ts.Fatalf("%s did not end within 60 s of its signal", args[0])
	}
}

// exitOf is an exit code, or what ended the process instead.
func exitOf(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit) && exit.Exited():
		return string(rune('0' + exit.ExitCode()))
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return "killed"
	}
	return err.Error()
}

// cmdRC runs a command and checks its exit code, which is the contract:
//
//	rc 2 consentledger serve …
func cmdRC(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: rc CODE COMMAND…")
	}
	cmd := command(ts, args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		ts.Fatalf("it still runs after 60 s")
	}
	_, _ = ts.Stdout().Write(stdout.Bytes())
	_, _ = ts.Stderr().Write(stderr.Bytes())
	if got := exitOf(err); got != args[0] {
		ts.Fatalf("exit code %s instead of %s\n[stdout]\n%s[stderr]\n%s", got, args[0], stdout.String(), stderr.String())
	}
}
