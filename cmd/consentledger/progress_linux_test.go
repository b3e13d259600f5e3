package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The bar is for a person: on a terminal it is there, in a file it is not, and
// it never gets into the answer.
func TestProgressIsShownOnATerminalOnly(t *testing.T) {
	dir := newLedger(t, 20)
	terminal, name := openTerminal(t)
	side, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "consentledger", "verify", "--dir", dir, "--json")
	cmd.Stderr = side
	out, err := cmd.Output()
	side.Close()
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(terminal) // EIO at its end
	if !strings.Contains(string(shown), "verify") || !strings.Contains(string(shown), "22") {
		t.Errorf("on a terminal it shows %q", shown)
	}
	if !strings.HasPrefix(string(out), `{"intact":true`) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("it answers %q", out)
	}
	rc, _, stderr := verify(t, "--dir", dir)
	if rc != exitDone || stderr != "" {
		t.Errorf("not on a terminal: exit code %d, %q", rc, stderr)
	}
}

func openTerminal(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	return f, fmt.Sprintf("/dev/pts/%d", n)
}
