package main

import (
	"os"
	"os/exec"
	"syscall"
)

// withoutNetwork gives a command a network of its own, in which there is nothing, not even a loopback that
// is up.
func withoutNetwork(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
}
