package main

import (
	"bytes"
	"regexp"
	"testing"
)

func TestTheQuickRunOfReceiptsMeasuresWhatHasATarget(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a ledger")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, checks, []string{"receipts", "-quick", "-dir", t.TempDir()}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !regexp.MustCompile(`(?m)^(ok|MISS) +a receipt beyond its look +median -?[0-9]+ µs`).Match(out.Bytes()) {
		t.Fatalf("no line says what a receipt costs:\n%s", out.String())
	}
}
