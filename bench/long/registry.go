package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A check is one that has a long version.
type check struct {
	name, about string
	run         func(ctx context.Context, out io.Writer, args []string) error
}

// checks are all there are, in the order in which they are listed.
var checks = []check{
	{"speed", "every figure of bench/README.md, in one run, against its target", speed},
}

// tests is a check that is a test of a package. Where the test finds LongVar in
// its environment it does all that it can, not only what fits into a short run.
func tests(pkg, pattern string, within time.Duration) func(context.Context, io.Writer, []string) error {
	return func(ctx context.Context, out io.Writer, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("this check has no options, and %q was given", args[0])
		}
		return runTests(ctx, out, pkg, pattern, within)
	}
}

// LongVar is set to 1 for tests that run as a long check.
const LongVar = "CONSENTLEDGER_LONG"

// nothingRan is what go test says when a pattern fits no test. That is no check that holds.
var nothingRan = []byte("no tests to run")

func runTests(ctx context.Context, out io.Writer, pkg, pattern string, within time.Duration) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-run", pattern, "-count=1", "-timeout", within.String(), pkg)
	cmd.Env = append(os.Environ(), LongVar+"=1")
	var seen bytes.Buffer
	cmd.Stdout = io.MultiWriter(out, &seen)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case bytes.Contains(seen.Bytes(), nothingRan):
		return fmt.Errorf("no test of %s has a name that fits %s: nothing was checked", pkg, pattern)
	case errors.As(err, &exit):
		return errMiss
	case err != nil:
		return fmt.Errorf("run the tests of %s: %w", pkg, err)
	case !bytes.Contains(seen.Bytes(), []byte("--- PASS: ")):
		return fmt.Errorf("every test of %s that fits %s was skipped: nothing was checked", pkg, pattern)
	}
	return nil
}
