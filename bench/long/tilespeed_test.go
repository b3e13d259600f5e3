package main

import (
	"bytes"
	"regexp"
	"testing"
)

func TestTheQuickRunOfTileSpeedMeasuresWhatHasATarget(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts servers")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, checks, []string{"tilespeed", "-quick", "-dir", t.TempDir()}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, line := range []string{
		`(ok|MISS) +full tiles +[1-9][0-9]*/s beside [1-9][0-9]*/s of an empty handler: [0-9.]+ \(target: at least 0.8\)`,
		`(ok|MISS) +bundles of entries that were fetched lately +[1-9][0-9]*/s beside [1-9][0-9]*/s`,
		` +bundles of entries that are read anew: [1-9][0-9]*/s beside [1-9][0-9]*/s`,
		`(ok|MISS) +checkpoints +[1-9][0-9]*/s beside [1-9][0-9]*/s`,
	} {
		at := regexp.MustCompile(`(?m)^` + line).FindIndex(out.Bytes())
		if at == nil {
			t.Fatalf("no line fits %s in what follows, or the lines are in another order:\n%s", line, out.String())
		}
		out.Next(at[1])
	}
}
