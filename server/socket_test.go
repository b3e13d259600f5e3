package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"consentledger/server/api"
)

// controlClient speaks HTTP to the control socket of dir.
func controlClient(t *testing.T, dir string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return DialControl(ctx, dir) }}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, path string) (int, []byte) {
	t.Helper()
	res, err := c.Get("http://control" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}

func TestTheControlSocketWorksInDirectoriesOfAnyDepth(t *testing.T) {
	short, err := os.MkdirTemp("", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	for name, dir := range map[string]string{
		"short": short, "just too long": filepath.Join(short, strings.Repeat("d", maxSocketPath-len(short)-len(socketName)-1)),
		"long": filepath.Join(short, strings.Repeat("a", 200), strings.Repeat("b", 200)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := DialControl(t.Context(), dir); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("dialling where nobody ever was: %v", err)
			}
			ln, err := ListenControl(dir)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(filepath.Join(dir, socketName))
			if err != nil || info.Mode() != os.ModeSocket|0o600 {
				t.Fatalf("the socket is %v, %v", info, err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- newDouble(t, &double{size: 3}).ServeControl(ctx, ln) }()

			if _, err := ListenControl(dir); !errors.Is(err, ErrControlInUse) {
				t.Fatalf("a second server: %v", err)
			}
			c := controlClient(t, dir)
			status, b := get(t, c, "/control/info")
			var in api.Info
			if err := json.Unmarshal(b, &in); err != nil || status != 200 || in.Size != 3 || in.Origin != "ledger.example/test" || in.Checkpoint != "a note\n" {
				t.Fatalf("%d %s", status, b)
			}
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 && name != "short" {
				t.Fatalf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestOnlyASocketThatNobodyAnswersIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, socketName)

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if _, err := DialControl(t.Context(), dir); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialling a stale socket: %v", err)
	}
	ln, err := ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Another server's socket has taken the name: closing must not remove it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := ListenControl(dir); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Fatalf("a file in the socket's place: %v", err)
	}
}

func TestTheControlRoutesHandOutTheLogInPieces(t *testing.T) {
	h := newDouble(t, &double{size: 3}).ControlHandler()
	for path, want := range map[string]string{
		"/control/log":                strings.Repeat("\x00\x00\x00\x05entry", 3),
		"/control/log?from=1&limit=1": "\x00\x00\x00\x05entry",
		"/control/log?from=2":         "\x00\x00\x00\x05entry",
		"/control/log?from=3":         "",
		"/control/log?from=99999":     "",
		"/control/tile/0/0":           strings.Repeat("\x00", 8192),
	} {
		r := request(route{method: "GET", label: path}, "")
		if w := do(h, r); w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	for path, code := range map[string]string{
		"/control/log?from=-1": "invalid_parameter", "/control/log?limit=0": "invalid_parameter", "/control/log?limit=4097": "invalid_parameter",
		"/control/log?x=1": "unknown_parameter", "/control/log?from=1&from=2": "unknown_parameter",
	} {
		wantProblem(t, do(h, request(route{method: "GET", label: path}, "")), 400, code)
	}
	for _, path := range []string{"/control/tile/0/1", "/control/tile/64/0", "/control/tile/x/0", "/control/tile/0/00"} {
		wantProblem(t, do(h, request(route{method: "GET", label: path}, "")), 404, "unknown_tile")
	}
	w := do(h, request(route{method: "POST", label: "/control/verify-deep"}, ""))
	lines := bytes.Split(bytes.TrimSpace(w.Body.Bytes()), []byte("\n"))
	if len(lines) < 2 || !bytes.HasPrefix(lines[0], []byte(`{"done":`)) || !bytes.HasPrefix(lines[len(lines)-1], []byte(`{"report":{`)) {
		t.Errorf("%s", w.Body)
	}
	w = do(newDouble(t, &double{err: io.ErrUnexpectedEOF}).ControlHandler(), request(route{method: "POST", label: "/control/verify-deep"}, ""))
	if !strings.Contains(w.Body.String(), `"code":"internal_error"`) {
		t.Errorf("%s", w.Body)
	}
}
