package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryKindOfInputHasAFuzzTarget(t *testing.T) {
	all, err := fuzzTargets("../..")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, one := range all {
		there[one.dir+" "+one.name] = true
	}
	for _, want := range []string{
		"server FuzzStrictJSON", "server FuzzBodies", "server FuzzEveryBody", "server FuzzRequest", "ledger/chain FuzzParse", "crypto/keyring FuzzPage",
		"ledger/chain FuzzOpenCheckpoint", "ledger/consent FuzzParsePolicy", "ledger FuzzToken", "ledger FuzzOwnBodies",
	} {
		if !there[want] {
			t.Errorf("%s is gone", want)
		}
	}
}

func TestFuzzingFindsATargetThatFailsAndKeepsWhatItLearnt(t *testing.T) {
	for code, holds := range map[string]bool{"": true, `t.Fatal("found")`: false} {
		dir := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("go.mod", "module consentledger\n\ngo 1.26\n")
		write("a_test.go", "package a\n\nimport \"testing\"\n\nfunc FuzzIt(f *testing.F) {\n\tf.Add([]byte(\"yes\"))\n\tf.Fuzz(func(t *testing.T, b []byte) {\n"+code+"\n\t})\n}\n")
		var out bytes.Buffer
		err := fuzz(context.Background(), &out, []string{"-time", "3000x", "-root", dir})
		if err == nil || errors.Is(err, errMiss) { // -time is a duration
			t.Fatalf("%v", err)
		}
		out.Reset()
		err = fuzz(context.Background(), &out, []string{"-time", "2s", "-root", dir})
		if holds != (err == nil) || !holds && !errors.Is(err, errMiss) || holds != strings.HasPrefix(out.String(), "ok") {
			t.Errorf("holds %v: %v: %s", holds, err, out.String())
		}
	}
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	for name, text := range map[string]string{"a": "go test fuzz v1\nlonger", "b": "go test fuzz v1\nb", "c": "another", "d": "go test fuzz v1\n" + strings.Repeat("x", longest)} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := keepCorpus(from, to, 1); err != nil || kept != 1 {
		t.Fatalf("%d %v", kept, err)
	}
	if _, err := os.Stat(filepath.Join(to, "b")); err != nil {
		t.Fatal(err)
	}
}
