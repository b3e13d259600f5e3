package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"consentledger/ledger/chain"
)

// An auditor's machine that verifies again and again with a state file catches
// a rewritten history by itself, and a damaged file is refused.
func TestARewrittenHistoryIsCaughtByAStateFile(t *testing.T) {
	r := rewriteHistory(t)
	first, _ := logOf(t, r.first)
	second, _ := logOf(t, r.second)
	one, other := publish(t, first), publish(t, second)
	state := filepath.Join(t.TempDir(), "state")
	with := func(url string) []string { return []string{"--url", url, "--key", r.key, "--state", state} }
	read := func() []byte {
		t.Helper()
		b, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if rc, a, msg := verifyBinary(t, with(one)...); rc != exitDone || !selfConsistentOnly(a) {
		t.Fatalf("the first time: %d, %+v, %s", rc, a, msg)
	}
	if rc, a, msg := verifyBinary(t, with(one)...); rc != exitDone || selfConsistentOnly(a) {
		t.Fatalf("control: the same history again: %d, %+v, %s", rc, a, msg)
	}
	kept := read()
	if rc, a, msg := verifyBinary(t, with(other)...); rc != exitNo || !slices.Contains(kinds(a), string(chain.CheckpointRoot)) {
		t.Errorf("another history: %d, %+v, %s", rc, a, msg)
	}
	if !bytes.Equal(read(), kept) {
		t.Error("the state was changed by a history that does not continue it")
	}
	// A rollback: the state knows of more than the log has.
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	if rc, a, msg := verifyBinary(t, with(other)...); rc != exitDone {
		t.Fatalf("control: the other history alone: %d, %+v, %s", rc, a, msg)
	}
	if rc, a, msg := verifyBinary(t, with(one)...); rc != exitNo || !slices.Contains(kinds(a), string(chain.Truncated)) {
		t.Errorf("a shorter log: %d, %+v, %s", rc, a, msg)
	}
	bad := read()
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(state, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if rc, a, msg := verifyBinary(t, with(one)...); rc != exitCould || a.Findings != nil || msg == "" || !bytes.Equal(read(), bad) {
		t.Errorf("a damaged state: %d, %+v, %s", rc, a, msg)
	}
	if rc, _, msg := verifyBinary(t, "--url", one, "--state", state); rc != exitCould || msg == "" {
		t.Errorf("without a key: %d, %s", rc, msg)
	}
}
