package crashfs

import (
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// The child is told what it is by its environment, and talks over the
// descriptor that follows the standard ones.
const (
	envBacking = "CRASHFS_BACKING"
	envMount   = "CRASHFS_MOUNT"
	controlFD  = 3
)

// request and response are what parent and child say to each other.
type request struct {
	Label string // a mark, if not empty
	Fault *Fault
	Clear bool
	Ops   bool
	From  int
}

type response struct {
	Err string
	Ops []Op
}

// Main must be called first in TestMain: in the process that serves a mount it
// does that and never returns.
func Main() {
	backing, mount := os.Getenv(envBacking), os.Getenv(envMount)
	if backing == "" || mount == "" {
		return
	}
	// The parent decides when to end, by closing the connection: a ^C on the
	// terminal must not take the mount from under it.
	signal.Ignore(os.Interrupt)
	conn := os.NewFile(controlFD, "control")
	if err := serve(conn, backing, mount); err != nil {
		fmt.Fprintln(os.Stderr, "crashfs:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(conn io.ReadWriter, backing, mount string) error {
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	r := newRecorder()
	err := r.base(backing)
	var server *fuse.Server
	if err == nil {
		server, err = mountOn(r, backing, mount)
	}
	var first response
	if err != nil {
		first.Err = err.Error()
	}
	if e := out.Encode(first); err != nil || e != nil {
		return err
	}
	for {
		var q request
		if err := in.Decode(&q); err != nil { // the parent is done, or dead
			break
		}
		if err := out.Encode(r.answer(q)); err != nil {
			break
		}
	}
	if err := server.Unmount(); err != nil {
		// Somebody still has a file open there. Detach: it goes when they go.
		return syscall.Unmount(mount, syscall.MNT_DETACH)
	}
	return nil
}

func mountOn(r *recorder, backing, mount string) (*fuse.Server, error) {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return nil, err
	}
	n := &node{LoopbackNode: root.(*fs.LoopbackNode), r: r}
	n.RootData.RootNode = n
	return fs.Mount(mount, n, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true,
		FsName:            "crashfs",
		Name:              "crashfs",
	}})
}

func (r *recorder) answer(q request) response {
	r.mu.Lock()
	if q.Label != "" {
		r.add(Op{Kind: Marked, Label: q.Label})
	}
	if q.Clear {
		r.faults = nil
	}
	if q.Fault != nil {
		q.Fault.Nth = max(q.Fault.Nth, 1)
		r.faults = append(r.faults, *q.Fault)
	}
	r.mu.Unlock()
	if q.Ops {
		return response{Ops: r.since(q.From)}
	}
	return response{}
}

// Available says whether a mount can be made here, and if not, why.
func Available() (ok bool, why string) {
	err := probe()
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}

// probe mounts an empty file system and takes it away, unserved.
var probe = sync.OnceValue(func() error {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	dir, err := os.MkdirTemp("", "crashfs-probe-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", dev.Fd(), os.Geteuid(), os.Getegid())
	if err := syscall.Mount("crashfs", dir, "fuse.crashfs", syscall.MS_NOSUID|syscall.MS_NODEV, opts); err != nil {
		return fmt.Errorf("mounting a FUSE file system: %w", err)
	}
	return syscall.Unmount(dir, syscall.MNT_DETACH)
})

// FS is a mounted file system that keeps a record.
type FS struct {
	path string

	mu   sync.Mutex // one question at a time
	conn net.Conn
	in   *gob.Decoder
	out  *gob.Encoder
	ops  []Op // what has been fetched
}

// Start mounts a recording file system over the directory backing, until the
// test ends. What is in backing already counts as durable. From then on
// backing must only be changed through the mount. Without FUSE the test is
// skipped; with CI=true in the environment it fails.
func Start(t testing.TB, backing string) *FS {
	t.Helper()
	if ok, why := Available(); !ok {
		if os.Getenv("CI") == "true" {
			t.Fatalf("crashfs needs FUSE: %s", why)
		}
		t.Skipf("crashfs needs FUSE: %s", why)
	}
	f, stop, err := start(backing)
	if err != nil {
		t.Fatalf("crashfs: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("crashfs: %v", err)
		}
	})
	return f
}

func start(backing string) (_ *FS, stop func() error, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	path, err := os.MkdirTemp("", "crashfs-")
	if err != nil {
		return nil, nil, err
	}
	// A binary whose TestMain does not call Main must not run its tests in
	// the child.
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), envBacking+"="+backing, envMount+"="+path)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, err
	}
	stop = func() error {
		conn.Close()
		err := cmd.Wait()
		if e := os.Remove(path); err == nil {
			err = e
		}
		return err
	}
	_ = theirs.Close() // else the end of the child would not be seen
	f := &FS{path: path, conn: conn, in: gob.NewDecoder(conn), out: gob.NewEncoder(conn)}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, nil, err
	}
	var r response
	if err := f.in.Decode(&r); err != nil {
		_ = stop()
		return nil, nil, fmt.Errorf("the child did not answer (does TestMain call crashfs.Main first?): %w", err)
	}
	if r.Err != "" {
		_ = stop()
		return nil, nil, fmt.Errorf("the child could not mount: %s", r.Err)
	}
	return f, stop, conn.SetReadDeadline(time.Time{})
}

// Path is where the file system is mounted.
func (f *FS) Path() string { return f.path }

func (f *FS) ask(t testing.TB, q request) response {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.askLocked(t, q)
}

func (f *FS) askLocked(t testing.TB, q request) response {
	t.Helper()
	if err := f.out.Encode(q); err != nil {
		t.Fatalf("crashfs: %v", err)
	}
	var r response
	if err := f.in.Decode(&r); err != nil {
		t.Fatalf("crashfs: %v", err)
	}
	return r
}

// Ops returns the record so far. It shares memory with earlier and later
// answers: it must not be changed.
func (f *FS) Ops(t testing.TB) []Op {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops = append(f.ops, f.askLocked(t, request{Ops: true, From: len(f.ops)}).Ops...)
	return f.ops[:len(f.ops):len(f.ops)]
}

// Mark puts a label into the record, after everything that has returned.
func (f *FS) Mark(t testing.TB, label string) {
	t.Helper()
	f.ask(t, request{Label: label})
}

// Inject makes an operation to come fail.
func (f *FS) Inject(t testing.TB, fault Fault) {
	t.Helper()
	f.ask(t, request{Fault: &fault})
}

// Clear takes all faults back.
func (f *FS) Clear(t testing.TB) {
	t.Helper()
	f.ask(t, request{Clear: true})
}
