package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// hardened says what the kernel says of a process: whether its memory is open
// to others of its user, and how large a core file it may leave. What is in
// /proc/PID of a process that is not dumpable belongs to root, whoever runs it.
func hardened(t *testing.T, pid int, uid uint32) (closed bool, core string) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", pid)
	info, err := os.Stat(proc + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^Max core file size +(\S+ +\S+)`).FindSubmatch(limits)
	if m == nil {
		t.Fatalf("%s", limits)
	}
	return info.Sys().(*syscall.Stat_t).Uid != uid, string(regexp.MustCompile(` +`).ReplaceAll(m[1], []byte(" ")))
}

func TestNobodyElseReadsTheMemoryOfAServerAndItLeavesNoCore(t *testing.T) {
	dir := t.TempDir()
	uid := uint32(os.Getuid())
	bin := "consentledger"
	var as *syscall.Credential
	if uid == 0 { // of whom everything in /proc is anyway: run it as somebody else
		uid = 65534
		as = &syscall.Credential{Uid: uid, Gid: uid}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		bin = filepath.Join(dir, "consentledger") // by which name the test's binary is the command
		if err := os.WriteFile(bin, b, 0o755); err != nil {
			t.Fatal(err)
		}
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, int(uid), int(uid)); err != nil {
			t.Fatal(err)
		}
	}
	start := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	data := filepath.Join(dir, "data")
	cmd := start(bin, "serve", "--init", "--dir", data, "--accept-weak-root", "--listen", "127.0.0.1:0", "--min-free-bytes", "0")
	waitFor(t, "a control socket", func() bool { _, err := os.Stat(filepath.Join(data, "control.sock")); return err == nil })
	if closed, core := hardened(t, cmd.Process.Pid, uid); !closed || core != "0 0" {
		t.Errorf("its memory is closed: %v; its core files may have %s bytes", closed, core)
	}
	// The control: a process that does nothing for it.
	if closed, _ := hardened(t, start("sleep", "60").Process.Pid, uid); closed {
		t.Error("the memory of any process is found to be closed")
	}
}
