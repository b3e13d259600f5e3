package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.etcd.io/bbolt"
)

// cmdCall makes an HTTP call with the key in KEY and checks the status; the
// answer becomes stdout:
//
//	call 201 POST /v1/consents '{"member_id": …}'
//	call 200 GET /v1/members/$REF 'Access-Reason: request of the member'
//
// NOW in a body is the time now, NOW+31d and TODAY what dated says.
func cmdCall(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: call STATUS METHOD PATH [BODY|HEADER: VALUE…]")
	}
	status, answer := callOf(ts, args[1], args[2], args[3:]...)
	_, _ = ts.Stdout().Write(answer)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("status %d instead of %s: %s", status, args[0], answer)
	}
}

// callOf makes a call with a body, a @file of YAML, and headers.
func callOf(ts *testscript.TestScript, method, path string, rest ...string) (status int, answer []byte) {
	req, err := http.NewRequest(method, ts.Getenv("URL")+path, nil)
	ts.Check(err)
	var body []byte
	for _, a := range rest {
		switch name, value, _ := strings.Cut(a, ": "); {
		case strings.HasPrefix(a, "{"):
			body = []byte(dated(ts, a))
			req.Header.Set("Content-Type", "application/json")
		case strings.HasPrefix(a, "@"):
			body = []byte(ts.ReadFile(a[1:]))
			req.Header.Set("Content-Type", "application/yaml")
		default:
			req.Header.Set(name, value)
		}
	}
	if body != nil {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	if key := ts.Getenv("KEY"); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(asTheContractSays(req, body, resp, answer))
	return resp.StatusCode, answer
}

// cmdKeys takes what serve --init printed into ADMIN, WRITER, PUBLIC; KEY
// becomes the writer's.
func cmdKeys(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile(args[0])
	for name, label := range map[string]string{"ADMIN": "admin key", "WRITER": "writer key", "PUBLIC": "public key"} {
		m := regexp.MustCompile(`(?m)^` + label + `\s+(\S+)`).FindStringSubmatch(out)
		if m == nil {
			ts.Fatalf("no %s is printed in %s", label, args[0])
		}
		ts.Setenv(name, m[1])
	}
	ts.Setenv("KEY", ts.Getenv("WRITER"))
}

// cmdCapture takes the first group of a pattern in a file into a variable:
//
//	capture REF stdout '"member":"(mbr_[a-z2-7]+)"'
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: capture NAME FILE PATTERN")
	}
	m := regexp.MustCompile("(?m)" + args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if m == nil {
		ts.Fatalf("%s does not match %s", args[1], args[2])
	}
	ts.Setenv(args[0], m[1])
}

// cmdPaste runs the curl calls printed in a file, one after the other, as a
// person would paste them, and compares each answer with what is printed
// below it, where … stands for anything.
func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: paste FILE COUNT")
	}
	calls := regexp.MustCompile(`(?m)^(curl .*)\n# answers (\d{3}) (.*)$`).FindAllStringSubmatch(ts.ReadFile(args[0]), -1)
	if strconv.Itoa(len(calls)) != args[1] {
		ts.Fatalf("%d calls are printed instead of %s", len(calls), args[1])
	}
	for _, c := range calls {
		status, answer := runCurl(ts, c[1])
		if status != c[2] {
			ts.Fatalf("%s\nstatus %s instead of %s: %s", c[1], status, c[2], answer)
		}
		// A list may have one element or several.
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.ReplaceAll(c[3], ",…]", "…]")), "…", ".*")
		if !regexp.MustCompile(`^` + pattern + `\s*$`).MatchString(answer) {
			ts.Fatalf("%s\nanswers %s\ninstead of %s", c[1], answer, c[3])
		}
		if !json.Valid([]byte(answer)) {
			ts.Fatalf("%s\nanswers what is not JSON: %s", c[1], answer)
		}
	}
}

func runCurl(ts *testscript.TestScript, line string) (status, answer string) {
	if _, err := exec.LookPath("curl"); err != nil {
		return withoutCurl(ts, line)
	}
	cmd := command(ts, "sh", "-c", line+` -w '\n%{http_code}'`)
	out, err := cmd.Output()
	if err != nil {
		ts.Fatalf("%s: %v", line, err)
	}
	i := bytes.LastIndexByte(out, '\n')
	return string(out[i+1:]), string(out[:i])
}

// withoutCurl does what the printed line does.
func withoutCurl(ts *testscript.TestScript, line string) (status, answer string) {
	m := regexp.MustCompile(`^curl -sS (\S+)((?: -H '[^']*')*) -d '([^']*)'$`).FindStringSubmatch(line)
	if m == nil {
		ts.Fatalf("not a call that this test can make without curl: %s", line)
	}
	req, err := http.NewRequest(http.MethodPost, m[1], strings.NewReader(m[3]))
	ts.Check(err)
	for _, h := range regexp.MustCompile(`'([^:]*): ([^']*)'`).FindAllStringSubmatch(m[2], -1) {
		req.Header.Set(h[1], h[2])
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return strconv.Itoa(resp.StatusCode), string(b)
}

// cmdTamper changes the database as somebody with an editor for it would:
//
//	tamper DB flip INDEX     one bit of an entry
//	tamper DB drop INDEX     an entry
//	tamper DB swap I J       two entries
//	tamper DB cut INDEX      every entry from an index on
//	tamper DB append         the last entry once more
func cmdTamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: tamper DB flip|drop|swap|cut|append [INDEX…]")
	}
	number := func(i int) []byte {
		n, err := strconv.ParseUint(args[i], 10, 64)
		ts.Check(err)
		return binary.BigEndian.AppendUint64(nil, n)
	}
	db, err := bbolt.Open(ts.MkAbs(args[0]), 0o600, &bbolt.Options{Timeout: time.Second})
	ts.Check(err)
	defer db.Close()
	ts.Check(db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("entries"))
		get := func(key []byte) []byte {
			v := bytes.Clone(b.Get(key))
			if v == nil {
				ts.Fatalf("the database has no such entry")
			}
			return v
		}
		switch args[1] {
		case "flip":
			e := get(number(2))
			e[len(e)-1] ^= 1
			return b.Put(number(2), e)
		case "drop":
			get(number(2))
			return b.Delete(number(2))
		case "swap":
			x, y := get(number(2)), get(number(3))
			return errors.Join(b.Put(number(2), y), b.Put(number(3), x))
		case "cut":
			c := b.Cursor()
			for k, _ := c.Seek(number(2)); k != nil; k, _ = c.Seek(number(2)) {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			return nil
		case "append":
			k, v := b.Cursor().Last()
			return b.Put(binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(k)+1), bytes.Clone(v))
		}
		return fmt.Errorf("tamper: no such way: %s", args[1])
	}))
}

// cmdTmpfs mounts a small filesystem: tmpfs DIR SIZE.
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	undo, err := mountTmpfs(dir, args[1])
	ts.Check(err)
	ts.Defer(func() { _ = undo() })
}

// cmdRemount makes a mount read-only or not: remount DIR ro|rw.
func cmdRemount(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(remount(ts.MkAbs(args[0]), args[1] == "ro"))
}

// cmdFill writes a file until the disk is full, or has less than LEAVE bytes left: fill FILE [LEAVE].
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	leave := uint64(0)
	if len(args) > 1 {
		leave, err = strconv.ParseUint(args[1], 10, 64)
		ts.Check(err)
	}
	for block := make([]byte, 64<<10); ; {
		free, err := diskFree(filepath.Dir(ts.MkAbs(args[0])))
		ts.Check(err)
		if free < leave {
			return
		}
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			if len(block) == 1 {
				return
			}
			block = block[:1]
		} else if err != nil {
			ts.Fatalf("fill: %v", err)
		}
	}
}

// cmdCut takes the last lines off a file, as a crash would: cut FILE LINES.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE LINES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.SplitAfter(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if n > len(lines) {
		ts.Fatalf("%s has %d lines", args[0], len(lines))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines[:len(lines)-n], "")), 0o600))
}

// cmdConsents enrols members m-FROM, m-FROM+1, … in the sample policy:
//
//	consents FROM COUNT   each must be recorded
//	! consents FROM COUNT  they are sent until one is not, and one must not
//
// RECORDED becomes how many were, STATUS and stdout the last answer.
func cmdConsents(ts *testscript.TestScript, neg bool, args []string) {
	from, err := strconv.Atoi(args[0])
	ts.Check(err)
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	recorded := 0
	for i := range count {
		body := fmt.Sprintf(`{"member_id":"m-%d","enrol":true,"member_kind":"member","policy":"haim","policy_version":"2025-01-01",`+
			`"decisions":[{"purpose":"membership","decision":"granted"},{"purpose":"terms_of_use","decision":"granted"}],`+
			`"method":"checkbox","locale":"en","occurred_at":%q,"minimum_age_confirmed":true}`, from+i, time.Now().UTC().Format(time.RFC3339))
		req, err := http.NewRequest(http.MethodPost, ts.Getenv("URL")+"/v1/consents", strings.NewReader(body))
		ts.Check(err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+ts.Getenv("KEY"))
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		answer, err := io.ReadAll(resp.Body)
		ts.Check(err)
		resp.Body.Close()
		if resp.StatusCode == http.StatusCreated {
			recorded++
			continue
		}
		if !neg {
			ts.Fatalf("m-%d: status %d: %s", from+i, resp.StatusCode, answer)
		}
		ts.Setenv("STATUS", strconv.Itoa(resp.StatusCode))
		_, _ = ts.Stdout().Write(answer)
		break
	}
	ts.Setenv("RECORDED", strconv.Itoa(recorded))
	ts.Setenv("LAST", fmt.Sprintf("m-%d", from+recorded-1))
	if neg && recorded == count {
		ts.Fatalf("all %d were recorded", count)
	}
}

// cmdMode checks permissions: mode 0700 DIR….
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if info.Mode().Perm() != fs.FileMode(want) {
			ts.Fatalf("%s has mode %04o instead of %04o", name, info.Mode().Perm(), want)
		}
	}
}

// cmdOnce checks that a file is one JSON object on one line and nothing else.
func cmdOnce(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil || strings.Count(text, "\n") != 1 {
		ts.Fatalf("%s is not one JSON object: %v\n%s", args[0], err, text)
	}
}

// cmdKept checks that an answer to a withdrawal names exactly these classes as
// kept, each once, each with its end and its law.
func cmdKept(ts *testscript.TestScript, neg bool, args []string) {
	var answer struct {
		Kept []struct {
			Class string     `json:"class"`
			Until *time.Time `json:"until"`
			Event string     `json:"event"`
			Basis string     `json:"basis"`
		} `json:"kept"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &answer))
	var got []string
	for _, k := range answer.Kept {
		got = append(got, k.Class)
		if (k.Until == nil) != (k.Event != "") {
			ts.Fatalf("%s: it must end by a time or by an event", k.Class)
		}
		if k.Until != nil && (k.Basis == "" || !k.Until.After(timeOf(ts))) {
			ts.Fatalf("%s: until %v, basis %q", k.Class, k.Until, k.Basis)
		}
	}
	slices.Sort(got)
	if want := args[1:]; !slices.Equal(got, want) {
		ts.Fatalf("kept is %v instead of %v", got, want)
	}
}
