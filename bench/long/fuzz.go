package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A target is one fuzz test of a package.
type target struct{ dir, name string }

var (
	fuzzFunction = regexp.MustCompile(`(?m)^func (Fuzz[A-Z]\w*)\(`)
	execs        = regexp.MustCompile(`execs: (\d+)`)
	baseline     = regexp.MustCompile(`baseline coverage: \d+/(\d+)`)
)

// fuzz runs every fuzz target for a time, and keeps some of what it found worth keeping beside the tests.
func fuzz(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	within := flags.Duration("time", 10*time.Minute, "how long each target runs")
	only := flags.String("only", "", "run only the targets whose names fit this")
	keep := flags.Int("keep", 20, "how many new inputs of each target are kept in testdata/fuzz, the shortest first")
	root := flags.String("root", ".", "where the module is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fits, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	all, err := fuzzTargets(*root)
	if err != nil {
		return err
	}
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env GOCACHE: %w", err)
	}
	ran, misses := 0, 0
	for _, t := range all {
		if !fits.MatchString(t.name) {
			continue
		}
		ran++
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", within.String(), "./"+t.dir)
		cmd.Dir = *root
		said, err := cmd.CombinedOutput()
		seeds, runs := number(baseline, said), number(execs, said)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			misses++
			fmt.Fprintf(out, "MISS  %-28s %s\n%s\n", t.name, t.dir, said)
			continue
		case seeds < 1 || runs < 100: // a target that has lost its seeds, or hardly runs, is no test
			misses++
			fmt.Fprintf(out, "MISS  %-28s %s: %d seeds and %d executions are too few\n", t.name, t.dir, seeds, runs)
			continue
		}
		kept, err := keepCorpus(filepath.Join(strings.TrimSpace(string(cache)), "fuzz", "consentledger", t.dir, t.name), filepath.Join(*root, t.dir, "testdata", "fuzz", t.name), *keep)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "ok    %-28s %s: %d inputs to begin with, %d executions, %d inputs kept\n", t.name, t.dir, seeds, runs, kept)
	}
	switch {
	case ran == 0:
		return fmt.Errorf("no fuzz target has a name that fits %q", *only)
	case misses > 0:
		return fmt.Errorf("%w: %d of %d targets", errMiss, misses, ran)
	}
	return nil
}

// fuzzTargets finds every fuzz test below a directory.
func fuzzTargets(root string) (all []target, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range fuzzFunction.FindAllSubmatch(b, -1) {
			all = append(all, target{dir, string(m[1])})
		}
		return err
	})
	return all, err
}

// number is the last of its kind in what a command said.
func number(of *regexp.Regexp, said []byte) int {
	all := of.FindAllSubmatch(said, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(all[len(all)-1][1]))
	return n
}

// longest is how long an input may be that is kept.
const longest = 2 << 10

// keepCorpus copies the shortest of the inputs that Go keeps in its cache to where go test takes them from.
func keepCorpus(from, to string, most int) (kept int, err error) {
	found, err := os.ReadDir(from)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	inputs := map[string][]byte{}
	names := make([]string, 0, len(found))
	for _, f := range found {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return 0, err
		}
		if len(b) <= longest && bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
			inputs[f.Name()] = b
			names = append(names, f.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(inputs[a])-len(inputs[b]), strings.Compare(a, b)) })
	for _, name := range names[:min(most, len(names))] {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return kept, err
		}
		if err := os.WriteFile(filepath.Join(to, name), inputs[name], 0o644); err != nil {
			return kept, err
		}
		kept++
	}
	return kept, nil
}
