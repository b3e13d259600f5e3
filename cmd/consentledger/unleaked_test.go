package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consentledger/server/leaks"
)

// leaked searches the logs of every real server that the tests start, and every
// problem that they get, for the member ids, item values, reasons and keys that
// they sent. What transcripts send stands in their files.
var leaked leaks.Search

// searchLeaks runs once all tests of the package have.
func searchLeaks() (clean bool) {
	sent, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		panic(err)
	}
	for _, name := range sent {
		b, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		leaked.Body(b)
	}
	var words strings.Builder
	for _, dir := range []string{".", "../../server", "../../ledger", "../../ledger/consent"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			panic(err)
		}
		for _, name := range files {
			if b, err := os.ReadFile(name); err == nil && !strings.HasSuffix(name, "_test.go") {
				words.Write(b)
			}
		}
	}
	secrets, lines := leaked.Counts()
	found := leaked.Found(words.String())
	for i, f := range found {
		if i < 20 {
			fmt.Println("LEAK:", f)
		}
	}
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	if all && !testing.Short() && (secrets < 500 || lines < 10) {
		fmt.Printf("only %d secrets were searched for in %d lines: the search sees little\n", secrets, lines)
		return false
	}
	return len(found) == 0
}
