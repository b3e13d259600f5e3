package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer says which process is at the other end of a socket, and whose it is.
func peer(conn net.Conn) (pid int, uid uint32, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, 0, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return 0, 0, e
	}
	if err != nil {
		return 0, 0, err
	}
	return int(cred.Pid), cred.Uid, nil
}

// lookMachine asks the kernel; pid is the server's, 0 if none runs.
func (f *facts) lookMachine(pid int) {
	var tx unix.Timex
	if state, err := unix.Adjtimex(&tx); err != nil {
		f.notKnown("whether anybody sets the clock", err)
	} else {
		f.unsynced = state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0
	}
	b, err := os.ReadFile("/proc/swaps")
	switch {
	case errors.Is(err, fs.ErrNotExist): // a kernel without swap
	case err != nil:
		f.notKnown("whether memory is swapped", err)
	case !neverSwapped(os.DirFS("/"), pid):
		f.swaps = swapsInTheClear(string(b), func(device string) string {
			// A device is known by the file of its number, whatever name it was given.
			if real, err := filepath.EvalSymlinks(device); err == nil {
				device = real
			}
			uuid, _ := os.ReadFile("/sys/block/" + filepath.Base(device) + "/dm/uuid")
			return string(uuid)
		})
	}
	if pid == 0 {
		return
	}
	proc := fmt.Sprintf("/proc/%d/", pid)
	limits, err1 := os.ReadFile(proc + "limits")
	info, err2 := os.Stat(proc + "mem")
	status, err3 := os.ReadFile(proc + "status")
	if err := errors.Join(err1, err2, err3); err != nil {
		f.notKnown("how the server's process is protected", err)
		return
	}
	f.cores = !noCores.Match(limits)
	// What is in /proc of a process that is not dumpable belongs to root; of root's it cannot be told.
	owner := info.Sys().(*syscall.Stat_t).Uid
	m := effectiveUID.FindSubmatch(status)
	f.dumpable = owner != 0 && m != nil && string(m[1]) == fmt.Sprint(owner)
}

var (
	noCores      = regexp.MustCompile(`(?m)^Max core file size +0 +0 `)
	effectiveUID = regexp.MustCompile(`(?m)^Uid:\t\d+\t(\d+)`)
)

// swapsInTheClear lists what /proc/swaps names, but for memory (zram) and for
// what dm-crypt encrypts: uuid gives the name of a device of the device mapper.
func swapsInTheClear(swaps string, uuid func(device string) string) (open []string) {
	lines := bufio.NewScanner(strings.NewReader(swaps))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "/") || strings.HasPrefix(fields[0], "/dev/zram") ||
			strings.HasPrefix(uuid(fields[0]), "CRYPT-") {
			continue
		}
		open = append(open, fields[0])
	}
	return open
}

// neverSwapped says whether the server's cgroup, or one around it, forbids swapping.
func neverSwapped(root fs.FS, pid int) bool {
	b, err := fs.ReadFile(root, fmt.Sprintf("proc/%d/cgroup", pid))
	if pid == 0 || err != nil {
		return false
	}
	_, path, found := strings.Cut("\n"+string(b), "\n0::/")
	if !found {
		return false
	}
	path, _, _ = strings.Cut(path, "\n")
	for dir := path; ; dir = filepath.Dir(dir) {
		limit, err := fs.ReadFile(root, filepath.Join("sys/fs/cgroup", dir, "memory.swap.max"))
		if err == nil && strings.TrimSpace(string(limit)) == "0" {
			return true
		}
		if dir == "." || dir == "" || dir == "/" {
			return false
		}
	}
}
