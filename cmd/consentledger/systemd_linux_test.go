package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// activate serves a ledger on sockets that are passed as systemd passes them:
// from descriptor 3 on, and to the process that LISTEN_PID names.
func activate(t *testing.T, dir string, sockets int, env string) (url string, out, log func() string, end func() error) {
	t.Helper()
	args := `--dir "` + dir + `/data" --accept-weak-root --listen 127.0.0.1:0 --init`
	cmd := exec.Command("sh", "-c", env+` exec consentledger serve `+args)
	for range sockets {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		url = "http://" + ln.Addr().String()
		_ = ln.Close()
		t.Cleanup(func() { _ = f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	files := [2]*os.File{}
	for i := range files {
		var err error
		if files[i], err = os.Create(filepath.Join(dir, fmt.Sprint("output", i))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = files[i].Close() })
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	read := func(i int) func() string {
		return func() string { b, _ := os.ReadFile(files[i].Name()); return string(b) }
	}
	return url, read(0), read(1), func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(30 * time.Second):
			return fmt.Errorf("it did not end")
		}
	}
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to this: " + what)
		}
	}
}

func TestAServerServesOnTheSocketThatSystemdPassesAndSaysHowItIs(t *testing.T) {
	dir := t.TempDir()
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	hear := func() string {
		t.Helper()
		b := make([]byte, 1000)
		_ = notified.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := notified.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	url, out, log, end := activate(t, dir, 1, `LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET="`+dir+`/n"`)
	if got := hear(); got != "READY=1" {
		t.Errorf("systemd was told %q when the ledger was open", got)
	}
	res, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out(), log())
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 200 || !strings.Contains(out(), "listening on "+url+"\n") {
		t.Errorf("%d %s; %s", res.StatusCode, b, out())
	}
	if err := end(); err != nil {
		t.Errorf("%v: %s", err, log())
	}
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q at the end", got)
	}
}

func TestASocketThatIsAnotherProcessesIsNotTaken(t *testing.T) {
	url, out, _, end := activate(t, t.TempDir(), 1, `LISTEN_PID=1 LISTEN_FDS=1`)
	waitFor(t, "listening", func() bool { return strings.Contains(out(), "listening on ") })
	if strings.Contains(out(), url+"\n") {
		t.Error("it took a socket that was not passed to it")
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestMoreThanOneSocketIsRefused(t *testing.T) {
	_, _, log, end := activate(t, t.TempDir(), 2, `LISTEN_PID=$$ LISTEN_FDS=2`)
	waitFor(t, "a refusal", func() bool { return strings.Contains(log(), "consentledger: ") })
	if !strings.Contains(log(), "systemd passed 2 sockets") || !strings.Contains(log(), "one ListenStream=") {
		t.Error(log())
	}
	if err := end(); err == nil {
		t.Error("it ended well")
	}
}

func TestASocketThatOthersReachNeedsTLS(t *testing.T) {
	far, near := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}, &net.TCPAddr{IP: net.IPv6loopback, Port: 443}
	for _, c := range []struct {
		l    listening
		a    net.Addr
		want bool
	}{
		{listening{}, far, false},
		{listening{}, &net.TCPAddr{IP: net.IPv6unspecified}, false},
		{listening{}, near, true},
		{listening{}, &net.UnixAddr{Name: "/run/x"}, true},
		{listening{TLSCert: "cert.pem"}, far, true},
		{listening{AllowPlaintext: true}, far, true},
	} {
		if err := c.l.mayShow(c.a); (err == nil) != c.want {
			t.Errorf("%+v on %v: %v", c.l, c.a, err)
		}
	}
}

// units copies the units to a directory with a program and a user that are there.
func units(t *testing.T, edit func(service string) string) (service, socket string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no systemd-analyze here")
		}
		t.Skip("there is no systemd-analyze here")
	}
	dir := t.TempDir()
	for _, name := range []string{"consentledger.service", "consentledger.socket"} {
		b, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		s := strings.NewReplacer("/usr/local/bin/consentledger ", "/bin/true ", "User=consentledger", "User=daemon", "Group=consentledger", "Group=daemon").Replace(string(b))
		if name == "consentledger.service" {
			s = edit(s)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SYSTEMD_UNIT_PATH", dir+":")
	return filepath.Join(dir, "consentledger.service"), filepath.Join(dir, "consentledger.socket")
}

func TestSystemdUnderstandsTheUnits(t *testing.T) {
	service, socket := units(t, func(s string) string { return s })
	if out, err := exec.Command("systemd-analyze", "verify", service, socket).CombinedOutput(); err != nil || strings.Contains(string(out), "consentledger.") {
		t.Errorf("%v %s", err, out)
	}
	service, socket = units(t, func(s string) string { return strings.Replace(s, "PrivateTmp=", "PrivatTmp=", 1) })
	if out, _ := exec.Command("systemd-analyze", "verify", service, socket).CombinedOutput(); !strings.Contains(string(out), "PrivatTmp") { // the control
		t.Errorf("a key that is none is not found: %s", out)
	}
}

func TestTheServiceIsLittleExposed(t *testing.T) {
	exposed := func(edit func(string) string) error {
		service, _ := units(t, edit)
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", service).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := exposed(func(s string) string { return s }); err != nil {
		t.Errorf("the README says 1.5 of 10: %v", err)
	}
	if err := exposed(func(s string) string { return strings.Replace(s, "CapabilityBoundingSet=", "#", 1) }); err == nil { // the control
		t.Error("a service with every capability is not found to be exposed")
	}
}

// TestTheServicesCommandLineIsOne: with the paths of the unit, which are not here.
func TestTheServicesCommandLineIsOne(t *testing.T) {
	b, err := os.ReadFile("systemd/consentledger.service")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(b), "\nExecStart=/usr/local/bin/consentledger ")
	line, _, _ = strings.Cut(line, "\n")
	dir := t.TempDir()
	args := strings.Fields(strings.ReplaceAll(line, "/var/lib", dir))
	out, err := exec.Command("consentledger", args...).CombinedOutput()
	if !found || err == nil || !strings.Contains(string(out), "there is no ledger at "+dir+"/consentledger/data") {
		t.Errorf("%v: %v %s", args, err, out)
	}
	out, _ = exec.Command("consentledger", append(args, "--no-such-flag")...).CombinedOutput()
	if strings.Contains(string(out), "there is no ledger") { // the control
		t.Errorf("%s", out)
	}
}
