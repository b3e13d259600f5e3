package main

import (
	"bytes"
	"regexp"
	"testing"
)

func TestTheQuickRunOfDecisionsMeasuresWhatHasATarget(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts servers")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, checks, []string{"decisions", "-quick", "-dir", t.TempDir()}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, line := range []string{
		`a decision, the member in memory +median [0-9.]+ µs`,
		`… beside more and more others +[0-9.]+ µs beside 10, [0-9.]+ µs beside 100, [0-9.]+ µs beside 1000`,
		`a decision, the member not in memory, 20 entries +median [0-9.]+ µs`,
		`… beside more and more others +[0-9.]+ µs beside 10, [0-9.]+ µs beside 100, [0-9.]+ µs beside 1000`,
		`decisions over HTTP +[1-9][0-9]*/s beside [1-9][0-9]*/s`,
	} {
		at := regexp.MustCompile(`(?m)^(ok|MISS) +` + line).FindIndex(out.Bytes())
		if at == nil {
			t.Fatalf("no line fits %s in what follows, or the lines are in another order:\n%s", line, out.String())
		}
		out.Next(at[1])
	}
}
