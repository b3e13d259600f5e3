package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The rows are the promises of the two shops' policies; ledger/consent/RULES.md
// lists them, each with the test that shows it. Every test here drives a real
// binary over HTTP, by a clock that the test turns.

// TestRows runs the transcripts of the rows. A row's id begins the name of its
// file, and so stands in the name of its test.
func TestRows(t *testing.T) {
	bin := clockedBinary(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/rows",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			return errors.Join(setup(env), useClock(env, env.WorkDir, bin, rowsBegin))
		},
		Condition: condition,
		Cmds:      rowCommands(),
	})
}

// A row's transcript ends by checking the ledger, without keys and with them.
func TestRowsEachEndWithAVerifiedLedger(t *testing.T) {
	files := rowScripts(t)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(b), "\n-- ")
		lines := strings.Split(strings.TrimSpace(script), "\n")
		if last := lines[len(lines)-1]; last != "sound" {
			t.Errorf("%s ends with %q and not with sound", filepath.Base(f), last)
		}
	}
	if len(files) == 0 {
		t.Error("there are no transcripts of rows")
	}
}

func rowScripts(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/rows/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// useClock gives an environment the binary that goes by a test's clock, and a
// clock in a directory.
func useClock(env interface {
	Getenv(string) string
	Setenv(string, string)
}, dir, bin string, at time.Time,
) error {
	env.Setenv("PATH", filepath.Dir(bin)+string(os.PathListSeparator)+env.Getenv("PATH"))
	clock := filepath.Join(dir, "clock")
	env.Setenv("CONSENTLEDGER_TEST_CLOCK", clock)
	return writeClock(clock, at)
}

var clockedOnce struct {
	once sync.Once
	path string
	err  error
}

// clockedBinary builds the binary with the test's clock, once a test process.
func clockedBinary(t testing.TB) string {
	t.Helper()
	path, err := clockedPath()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func clockedPath() (string, error) {
	b := &clockedOnce
	b.once.Do(func() {
		var dir string
		if dir, b.err = os.MkdirTemp("", "consentledger-clocked-"); b.err != nil {
			return
		}
		b.path = filepath.Join(dir, "consentledger")
		b.err = buildBinary(b.path, "-tags", "testclock")
	})
	return b.path, b.err
}

func buildBinary(path string, args ...string) error {
	args = append(append([]string{"build"}, args...), "-o", path, ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}
