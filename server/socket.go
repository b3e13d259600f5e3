package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	socketName = "control.sock"

	// sun_path of unix(7) holds 108 bytes, the last one a zero.
	maxSocketPath = 107
)

// ErrControlInUse means that a running server answers on the control socket.
var ErrControlInUse = errors.New("another server is running on this data directory; stop it first, or use it")

// ListenControl listens on control.sock in dir, which only this user can open
// (mode 0600, from its first moment on). A socket that nobody answers is
// replaced; anything else that has its name is an error. Closing the listener
// removes the socket. Paths longer than a socket address can hold work, by way
// of /proc/self/fd.
func ListenControl(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("listen on %s: a file that is not a socket has this name; move it away", path)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := DialControl(ctx, dir)
		cancel()
		if err == nil {
			_ = conn.Close()
			return nil, ErrControlInUse
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("listen on %s: it cannot be told whether another server has it: %w", path, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}

	// The socket is made in a directory that is nobody else's, and renamed when its mode is right.
	private, err := os.MkdirTemp(dir, ".control-")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	short, done, err := shortPath(private, "s")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: short})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false) // it would go by the first name
	made := filepath.Join(private, "s")
	info, err := os.Lstat(made)
	if err == nil {
		err = os.Chmod(made, 0o600)
	}
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return &controlListener{UnixListener: ln, path: path, info: info}, nil
}

// controlListener removes the socket when it closes, if it is still its own.
type controlListener struct {
	*net.UnixListener
	path string
	info os.FileInfo
	once sync.Once
}

func (l *controlListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

// DialControl connects to the server that runs on the data directory dir. An
// error that is os.ErrNotExist or syscall.ECONNREFUSED means that none does.
func DialControl(ctx context.Context, dir string) (net.Conn, error) {
	short, done, err := shortPath(dir, socketName)
	if err != nil {
		return nil, fmt.Errorf("connect to the control socket: %w", err)
	}
	defer done()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", filepath.Join(dir, socketName), err)
	}
	return conn, nil
}

// shortPath names a file in dir by a path that a socket address can hold. It
// is good until done is called.
func shortPath(dir, name string) (path string, done func(), err error) {
	if path = filepath.Join(dir, name); len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	path = "/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		_ = d.Close()
		return "", nil, fmt.Errorf("the path is longer than a socket address holds (%d bytes), and there is no /proc to shorten it with: use a data directory with a shorter path, or mount /proc", maxSocketPath)
	}
	return path, func() { _ = d.Close() }, nil
}
