// Package child runs the servers that are measured, each in a process of its own.
package child

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Process is a server that runs.
type Process struct {
	Address string
	// Started is how long it took from its start until it was ready.
	Started time.Duration
	cmd     *exec.Cmd
	stderr  *tail
	exited  chan error
}

// tail keeps the end of what a process says on stderr, for when it fails.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > tailBytes {
		t.b = bytes.Clone(t.b[len(t.b)-tailBytes:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// readyWithin is how long a server may take to be ready.
const readyWithin = 2 * time.Minute

// Start runs a program that will listen on address, and waits until GET on path
// is answered with 200.
func Start(address, path, program string, args ...string) (*Process, error) {
	p := &Process{Address: address, cmd: exec.Command(program, args...), stderr: &tail{}, exited: make(chan error, 1)}
	p.cmd.Stderr = p.stderr
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case err := <-p.exited:
			return nil, fmt.Errorf("the server ended before it was ready (%v): %s", err, p.stderr)
		case <-time.After(time.Millisecond):
		}
		resp, err := client.Get("http://" + address + path)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.Started = time.Since(begin)
				return p, nil
			}
		}
		if time.Since(begin) > readyWithin {
			_ = p.cmd.Process.Kill()
			<-p.exited
			return nil, fmt.Errorf("the server was not ready after %v: %s", readyWithin, p.stderr)
		}
	}
}

// URL is what a driver is told.
func (p *Process) URL() string { return "http://" + p.Address }

// Stop ends the server as an operator does, and waits until it is gone.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case err := <-p.exited:
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
			return nil // the floor has no handler for it
		}
		if err != nil {
			return fmt.Errorf("the server ended with %w: %s", err, p.stderr)
		}
		return nil
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("the server did not stop within a minute: %s", p.stderr)
	}
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is the processor time that the process has used, from /proc/PID/stat.
func (p *Process) CPU() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in brackets, which may hold anything.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	u, err1 := strconv.ParseInt(fields[utime], 10, 64)
	s, err2 := strconv.ParseInt(fields[stime], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	return time.Duration(u+s) * (time.Second / ticksPerSecond), nil
}

// FreeAddress is a loopback address that nobody listened on a moment ago.
func FreeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
