package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// rowsBegin is when every row's story begins: a morning in Seoul.
var rowsBegin = time.Date(2026, 3, 2, 9, 0, 0, 0, seoul)

var seoul = time.FixedZone("KST", 9*60*60)

// The production build cannot be told the time.
func TestOnlyATestBuildCanBeToldTheTime(t *testing.T) {
	name := []byte("CONSENTLEDGER_TEST_" + "CLOCK")
	shipped := filepath.Join(t.TempDir(), "consentledger")
	if err := buildBinary(shipped); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{shipped: false, clockedBinary(t): true} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(b, name); got != want {
			t.Errorf("built as a test build %v: it knows of the test's clock: %v", want, got)
		}
	}
}

// writeClock sets the time that a test's binaries go by.
func writeClock(file string, at time.Time) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.FormatInt(at.UnixMilli(), 10)), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file) // a reader sees the old time or the new
}

func readClock(file string) (time.Time, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	return time.UnixMilli(ms).In(seoul), err
}

// timeOf is the time of a script: its clock's, or the system's if it has none.
func timeOf(ts *testscript.TestScript) time.Time {
	file := ts.Getenv("CONSENTLEDGER_TEST_CLOCK")
	if file == "" {
		return time.Now().In(seoul)
	}
	at, err := readClock(file)
	ts.Check(err)
	return at
}

var momentPattern = regexp.MustCompile(`\b(NOW|TODAY)([+-][0-9]+(?:mo|[ymdhs]))?\b`)

// dated puts times into a text: NOW, NOW-2h, NOW+31d in full; TODAY, TODAY+1y
// as a day in Seoul. Of the units y and mo go by the calendar, m is a minute.
func dated(ts *testscript.TestScript, text string) string {
	return momentPattern.ReplaceAllStringFunc(text, func(word string) string {
		m := momentPattern.FindStringSubmatch(word)
		at := timeOf(ts)
		if m[2] != "" {
			var err error
			at, err = shift(at, m[2])
			ts.Check(err)
		}
		if m[1] == "TODAY" {
			return at.Format(time.DateOnly)
		}
		return at.Format("2006-01-02T15:04:05.000Z07:00")
	})
}

// shift adds "+31d" or "-1h" to a time.
func shift(at time.Time, by string) (time.Time, error) {
	unit := strings.TrimLeft(by, "+-0123456789")
	n, err := strconv.Atoi(strings.TrimSuffix(by, unit))
	if err != nil {
		return at, fmt.Errorf("%q is not a span of time", by)
	}
	switch unit {
	case "y":
		return at.AddDate(n, 0, 0), nil
	case "mo":
		return at.AddDate(0, n, 0), nil
	case "d":
		return at.AddDate(0, 0, n), nil
	case "h":
		return at.Add(time.Duration(n) * time.Hour), nil
	case "m":
		return at.Add(time.Duration(n) * time.Minute), nil
	case "s":
		return at.Add(time.Duration(n) * time.Second), nil
	}
	return at, fmt.Errorf("%q is not a unit of time", unit)
}

// cmdClocked has a transcript's binaries go by a clock that clock turns, as
// those of the rows do:
//
//	clocked 2026-11-25T09:00:00+09:00
func cmdClocked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clocked TIME")
	}
	begin, err := time.Parse(time.RFC3339, args[0])
	ts.Check(err)
	bin, err := clockedPath()
	ts.Check(err)
	ts.Check(useClock(ts, ts.MkAbs("."), bin, begin))
}

// cmdClock turns the clock, on or to a time:
//
//	clock +31d
//	clock 2026-03-01T00:00:00+09:00
//
// Nothing waits for what a server does at that time; sweep does.
func cmdClock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock +31d|TIME")
	}
	var at time.Time
	var err error
	if strings.HasPrefix(args[0], "+") {
		at, err = shift(timeOf(ts), args[0])
	} else {
		at, err = time.Parse(time.RFC3339, args[0])
	}
	ts.Check(err)
	ts.Check(writeClock(ts.Getenv("CONSENTLEDGER_TEST_CLOCK"), at))
}

// cmdSweep has the running server destroy what is due, without turning the
// clock, and waits until it has.
func cmdSweep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: sweep")
	}
	ts.Check(sweepNow(ts.Getenv("CONSENTLEDGER_TEST_CLOCK")))
}

// sweepNow ends two waits for a sweep: the first sweep has begun after the
// call, and has ended when the second begins.
func sweepNow(clock string) error {
	for range 2 {
		before, err := size(clock + ".waits")
		if err != nil {
			return err
		}
		f, err := os.OpenFile(clock+".poke", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write([]byte{'.'})
		f.Close()
		if err != nil {
			return err
		}
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
			if n, err := size(clock + ".waits"); err != nil || n > before {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("no server has swept within a minute")
			}
		}
	}
	return nil
}

func size(file string) (int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
