package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"consentledger/server"
)

func head(lines int) resultsHead {
	return resultsHead{Import: resultsVersion, Origin: "o", SHA256: "s", Lines: lines}
}

func statesOf(r *results) string {
	var b strings.Builder
	for _, s := range r.states {
		b.WriteByte("lsrx"[s])
	}
	return b.String()
}

// TestAnImportGoesOnFromWhateverACrashLeaves cuts the results at every byte.
// What is taken to be recorded or refused was answered so; what was sent and has
// no answer is never taken for not sent.
func TestAnImportGoesOnFromWhateverACrashLeaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	r, err := openResults(path, head(6))
	if err != nil {
		t.Fatal(err)
	}
	answer := func(line, status int) string {
		return fmt.Sprintf(`{"line":%d,"status":%d,"code":"c","detail":"d"}`+"\n", line, status)
	}
	if err := errorsOf(
		r.sending([]int{0, 1, 2}),
		r.answers([]int{0, 1, 2}, []byte(answer(1, 201)+answer(2, 422)+answer(3, 201))),
		r.sending([]int{3, 4, 5}),
	); err != nil {
		t.Fatal(err)
	}
	// The server stops: one line has its answer, of one nobody knows, one was not read.
	err = r.answers([]int{3, 4, 5}, []byte(answer(1, 201)+answer(2, 500)+answer(3, 503)))
	if err == nil || !strings.Contains(err.Error(), "line 5") || statesOf(r) != "rxrrsl" {
		t.Fatalf("%v, %s", err, statesOf(r))
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n') + 1
	seen := map[string]bool{}
	for cut := first; cut <= len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openResults(path, head(6))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got := statesOf(r)
		seen[got] = true
		for i, s := range []byte("rxrrsl") {
			sent := bytes.Contains(whole[:bytes.LastIndexByte(whole[:cut], '\n')+1], fmt.Appendf(nil, `"sent":[%d,`, i/3*3+1))
			if c := got[i]; c != s && c != 's' && (c != 'l' || sent) {
				t.Fatalf("cut at %d: line %d counts as %c; it was %c", cut, i+1, c, s)
			}
		}
		// And it can be written on.
		if err := errorsOf(r.sending([]int{5}), r.answers([]int{5}, []byte(answer(1, 201))), r.close()); err != nil {
			t.Fatal(err)
		}
		again, err := openResults(path, head(6))
		if err != nil || again.states[5] != lineRecorded {
			t.Fatalf("cut at %d, gone on with: %v", cut, err)
		}
		_ = again.close()
	}
	for _, want := range []string{"llllll", "ssslll", "rxrsss", "rxrrsl"} {
		if !seen[want] {
			t.Errorf("no cut led to %s: the test sees little", want)
		}
	}
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestTwoImportsDoNotShareTheirResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	r, err := openResults(path, head(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openResults(path, head(1)); err == nil || !strings.Contains(err.Error(), "another import") {
		t.Fatalf("%v", err)
	}
	_ = r.close()
	if r, err = openResults(path, head(1)); err != nil { // the control
		t.Fatal(err)
	}
	_ = r.close()
}

func TestLinesAreReadAsTheServerCountsThem(t *testing.T) {
	long := strings.Repeat("x", 3*lineBytes)
	for text, want := range map[string][]string{
		"": nil, "\n": {""}, "a": {"a"}, "a\n": {"a"}, "a\n\nb": {"a", "", "b"}, "a\r\n": {"a\r"},
		long + "\nb\n": {long[:lineBytes+1], "b"}, long: {long[:lineBytes+1]},
		long[:lineBytes] + "\nb": {long[:lineBytes], "b"},
	} {
		path := filepath.Join(t.TempDir(), "lines")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := newLines(f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			line, more, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			got = append(got, string(line))
		}
		f.Close()
		if !slices.Equal(got, want) {
			t.Errorf("%.20q… gives %d lines of %v bytes", text, len(got), lengths(got))
		}
	}
	if p := server.CheckLine([]byte(long[:lineBytes+1])); p == nil || p.Code != "line_too_large" {
		t.Errorf("a line that was cut is %+v", p)
	}
}

func lengths(list []string) (out []int) {
	for _, s := range list {
		out = append(out, len(s))
	}
	return out
}

// TestAnImportOfManyLinesIsWholeAndInOrder goes over several pieces, through a running server.
func TestAnImportOfManyLinesIsWholeAndInOrder(t *testing.T) {
	dir := t.TempDir()
	defer startServer(t, dir, "--init").stop(t, syscall.SIGTERM)
	const members = 900
	var file bytes.Buffer
	for i := range members {
		c := consentCall(fmt.Sprintf("import-%d", i), true)
		c["type"] = "consent"
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(b, '\n'))
		fmt.Fprintf(&file, `{"type":"activity","member_id":"import-%d","occurred_at":%q}`+"\n", i, time.Now().UTC().Format(time.RFC3339))
	}
	name := filepath.Join(t.TempDir(), "calls.ndjson")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"import", "--dir", filepath.Join(dir, "data"), name, "--json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	var got imported
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got.Recorded != 2*members || got.Left+got.Unknown+got.Refused != 0 {
		t.Fatalf("%v %s", err, stdout.String())
	}
	b, err := os.ReadFile(name + ".results")
	if err != nil {
		t.Fatal(err)
	}
	line := 0
	for row := range bytes.Lines(b) {
		var a answered
		if err := json.Unmarshal(row, &a); err != nil {
			t.Fatalf("%v: %s", err, row)
		}
		if a.Line != 0 {
			if line++; a.Line != line || a.Status != 201 {
				t.Fatalf("answer %d is %s", line, row)
			}
		}
		if bytes.Contains(row, []byte("import-")) {
			t.Fatalf("the results hold a member's id: %s", row)
		}
	}
	if line != 2*members {
		t.Fatalf("%d answers", line)
	}
}

func TestALineGetsAnIdempotencyKeyWhereItHasNoneAndRoom(t *testing.T) {
	long := `{"type":"x","member_id":"` + strings.Repeat("x", lineBytes-30) + `"}`
	for line, want := range map[string]string{
		`{"type":"activity"}`:                         `{"idempotency_key":"file-A-3","type":"activity"}`,
		` {"type":"activity"}`:                        `{"idempotency_key":"file-A-3","type":"activity"}`,
		`{"idempotency_key":"own","type":"activity"}`: `{"idempotency_key":"own","type":"activity"}`,
		`{}`: `{}`, ``: ``, `no json`: `no json`, long: long,
	} {
		if got := string(withKey([]byte(line), "file-A", 2)); got != want {
			t.Errorf("%.60s becomes %.60s", line, got)
		}
	}
}
