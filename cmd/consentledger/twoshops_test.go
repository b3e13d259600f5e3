package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// typist types what a page says, in a shell.
type typist struct {
	t       *testing.T
	dir     string
	printed string            // all of it, for the keys that the page shortens
	ports   map[string]string // of the page, and those that are used here
	running map[string]*typed // what does not end by itself, by its directory
	last    map[string]string // what a command printed when it was typed before
}

type typed struct {
	cmd   *exec.Cmd
	out   string // a file
	ended chan error
}

var (
	pageAddress = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	shortened   = regexp.MustCompile(`\S+\+…`)
	itsDir      = regexp.MustCompile(`--(?:dir|state) (\S+)`)
	pageParts   = regexp.MustCompile("(?s)```console\n.*?```|[Ss]top shop A's server \\(Ctrl-C\\)")
)

// here puts free ports in place of those of the page.
func (y *typist) here(s string) string {
	return pageAddress.ReplaceAllStringFunc(s, func(a string) string {
		if y.ports[a] == "" {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				y.t.Fatal(err)
			}
			y.ports[a] = ln.Addr().String()
			ln.Close()
		}
		return y.ports[a]
	})
}

// whole puts keys, as they were printed, in place of shortened ones.
func (y *typist) whole(command string) string {
	return shortened.ReplaceAllStringFunc(command, func(key string) string {
		m := regexp.MustCompile(regexp.QuoteMeta(strings.TrimSuffix(key, "…")) + `[0-9a-f]{8}\+[A-Za-z0-9+/=]+`).FindString(y.printed)
		if m == "" {
			y.t.Fatalf("%s: no such key was printed", command)
		}
		return m
	})
}

func (y *typist) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	cmd.Dir = y.dir
	cmd.Env = append(os.Environ(), "CONSENTLEDGER_ACCEPT_WEAK_ROOT=true")
	return cmd
}

// types types one command of the page, and fails unless it prints what the page says. What is there a
// second or two later is waited for; what was typed before must print something else by now.
func (y *typist) types(tr transcript) {
	y.t.Helper()
	says, line := y.here(tr.prints), y.whole(y.here(tr.command))
	if strings.Contains(says, "listening on") {
		y.start(tr.command, line, says)
		return
	}
	var out []byte
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(y.t.Context(), 20*time.Second)
		var err error
		out, err = y.command(ctx, line).CombinedOutput()
		cancel()
		wantRC := "0"
		if strings.Contains(says, "\nconsentledger: ") {
			wantRC = "2"
		}
		if rc := exitOf(err); rc != wantRC {
			y.t.Fatalf("%s: exit code %s instead of %s\n%s", tr.command, rc, wantRC, out)
		}
		if before, again := y.last[line]; matches(says, string(out)) && (!again || string(out) != before) {
			break
		}
		asks := strings.HasPrefix(tr.command, "curl ") || strings.Contains(tr.command, " list ")
		if !asks || time.Now().After(end) {
			y.t.Fatalf("%s prints\n%s\nand the page says\n%s", tr.command, out, says)
		}
	}
	y.printed += string(out)
	y.last[line] = string(out)
}

// start starts what does not end by itself.
func (y *typist) start(command, line, says string) {
	y.t.Helper()
	dir := itsDir.FindStringSubmatch(line)[1]
	if y.running[dir] != nil {
		y.t.Fatalf("%s: the page does not say that the one before is to be stopped", command)
	}
	f, err := os.Create(filepath.Join(y.t.TempDir(), "out"))
	if err != nil {
		y.t.Fatal(err)
	}
	defer f.Close()
	p := &typed{cmd: y.command(context.Background(), line), out: f.Name(), ended: make(chan error, 1)}
	var log bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = f, &log
	if err := p.cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	y.running[dir] = p
	go func() { p.ended <- p.cmd.Wait() }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(p.out)
		if err != nil {
			y.t.Fatal(err)
		}
		if ready.Match(b) {
			if !matches(says, string(b)) {
				y.t.Fatalf("%s prints\n%s\nand the page says\n%s", command, b, says)
			}
			y.printed += string(b)
			return
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			y.t.Fatalf("%s: %v\n%s%s", command, err, b, log.String())
		default:
		}
		if time.Now().After(end) {
			y.t.Fatalf("%s does not listen: %s", command, b)
		}
	}
}

// ctrlC ends what runs on a directory.
func (y *typist) ctrlC(dir string) {
	y.t.Helper()
	p := y.running[dir]
	if p == nil {
		y.t.Fatalf("nothing runs on %s", dir)
	}
	delete(y.running, dir)
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-p.ended:
		if err != nil {
			y.t.Errorf("what runs on %s ended with %v", dir, err)
		}
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		y.t.Errorf("what runs on %s does not end", dir)
	}
}

// TestTwoShopsWatchEachOther types the page, as it stands, from its first command to its last.
func TestTwoShopsWatchEachOther(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the page's calls are made with curl, which is not here")
	}
	page, err := os.ReadFile(filepath.Join(repository(t), "server", "witness", "TWOSHOPS.md"))
	if err != nil {
		t.Fatal(err)
	}
	y := &typist{t: t, dir: t.TempDir(), ports: map[string]string{}, running: map[string]*typed{}, last: map[string]string{}}
	defer func() {
		for dir := range y.running {
			y.ctrlC(dir)
		}
	}()
	count := map[string]int{}
	for _, part := range pageParts.FindAllString(string(page), -1) {
		if !strings.HasPrefix(part, "```") {
			y.ctrlC("shop-a")
			count["Ctrl-C"]++
			continue
		}
		for _, tr := range transcriptsOf(part) {
			words := strings.Fields(tr.command)
			for _, w := range []string{"serve", "add", "list", "require", "init", "curl", "verify"} {
				if slices.Contains(words[:min(3, len(words))], w) {
					count[w]++
				}
			}
			y.types(tr)
		}
	}
	// The page does what it is for: so a change of it that loses a part is seen.
	if got, want := fmt.Sprint(count), fmt.Sprint(map[string]int{"serve": 7, "init": 2, "add": 2, "require": 1, "list": 1, "curl": 4, "verify": 1, "Ctrl-C": 2}); got != want {
		t.Errorf("the page has %s, and had %s", got, want)
	}
}
