package main

import (
	"bytes"
	"os"
	"testing"

	"consentledger/cmd/consentledger/datadir"
)

// benchMembers is how many members, with one entry each, the ledgers of the
// benchmarks have.
const benchMembers = 20_000

func benchVerify(b *testing.B, args ...string) {
	b.Helper()
	info, err := os.Stat(datadir.Database(args[0]))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		var out, errs bytes.Buffer
		if rc := run(append([]string{"verify", "--dir"}, args...), &out, &errs); rc != exitDone {
			b.Fatal(rc, out.String(), errs.String())
		}
	}
	b.ReportMetric(float64(benchMembers)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkVerify reads a ledger that no server has open, structure and all.
func BenchmarkVerify(b *testing.B) { benchVerify(b, newLedger(b, benchMembers)) }

// BenchmarkVerifyBesideAServer reads the same by the control socket.
func BenchmarkVerifyBesideAServer(b *testing.B) {
	dir := newLedger(b, benchMembers)
	serveControl(b, dir)
	benchVerify(b, dir)
}

// BenchmarkVerifyDeep opens every entry, too.
func BenchmarkVerifyDeep(b *testing.B) {
	benchVerify(b, newLedger(b, benchMembers), "--deep", "--accept-weak-root")
}

// BenchmarkInit makes a ledger: what the first command waits for.
func BenchmarkInit(b *testing.B) {
	for b.Loop() {
		newLedger(b, 0)
	}
}
