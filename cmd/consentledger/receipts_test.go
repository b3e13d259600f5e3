package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// TestThePageAboutReceiptsTellsTheTruth types what the page for who has never seen the project says, in the
// folder in which it stands.
func TestThePageAboutReceiptsTellsTheTruth(t *testing.T) {
	dir := filepath.Join(repository(t), "ledger", "receipt")
	all := transcripts(t, filepath.Join(dir, "RECEIPTS.md"))
	if len(all) != 2 {
		t.Fatalf("the page's commands are %+v", all)
	}
	for i, step := range all {
		cmd := exec.Command("sh", "-c", step.command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if !matches(step.prints, string(out)) {
			t.Errorf("%s prints\n%s\nand the page says\n%s", step.command, out, step.prints)
		}
		if want := []string{"0", "1"}[i]; exitOf(err) != want {
			t.Errorf("%s: exit code %s instead of %s", step.command, exitOf(err), want)
		}
	}
	// Each word that a program may read stands on the page.
	page, err := os.ReadFile(filepath.Join(dir, "RECEIPTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range paperFaults {
		if !strings.Contains(string(page), "| `"+f.word+"` |") {
			t.Errorf("the page does not explain %s", f.word)
		}
	}
	if n := len(regexp.MustCompile("(?m)^\\| `").FindAll(page, -1)); n != len(paperFaults)+1 { // and the heading
		t.Errorf("the page has %d rows for %d words", n, len(paperFaults))
	}
}

// receiptOf makes the receipt of a member's newest entry in a closed ledger.
func receiptOf(t *testing.T, dir, member string) []byte {
	t.Helper()
	l, err := datadir.Open(dir, datadir.DefaultRoot(dir), datadir.Options{AcceptWeakRoot: true, SweepEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	id, err := consent.ParseMemberID(member)
	if err != nil {
		t.Fatal(err)
	}
	dpo := ledger.Caller{KeyID: "local", Role: ledger.RoleDPO, From: "test"}
	ref, _, err := l.Lookup(t.Context(), dpo, id)
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := l.History(t.Context(), dpo, ref, ledger.Look{Reason: "test", What: "history"}, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Event.Kind == consent.KindConsent {
			_, file, err := l.Receipt(t.Context(), dpo, ref, ledger.Look{Reason: "test"}, "", row.Index)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	t.Fatal("the member has no consent")
	return nil
}

func TestARewrittenHistoryIsCaughtByAReceipt(t *testing.T) {
	r := rewriteHistory(t)
	kept := filepath.Join(t.TempDir(), "receipt.txt")
	if err := os.WriteFile(kept, receiptOf(t, r.first, "first-4"), 0o600); err != nil {
		t.Fatal(err)
	}
	enrolMore(t, r.second, "second-more", 8)
	for name, dir := range map[string]string{"first": r.first, "second": r.second} {
		src, _ := logOf(t, dir)
		for flag, where := range map[string][]string{
			"--dir": {"--dir", dir}, "--file": {"--file", datadir.Database(dir)}, "--url": {"--url", publish(t, src)},
		} {
			where = append(where, "--key", r.key)
			// Control: without it nothing is amiss, and that is all that is said.
			if rc, a, msg := verifyBinary(t, where...); rc != exitDone || !selfConsistentOnly(a) {
				t.Errorf("%s, %s, nothing from outside: exit code %d, %+v, %s", name, flag, rc, a, msg)
			}
			rc, a, msg := verifyBinary(t, append(where, "--receipt", kept)...)
			switch {
			case name == "first" && (rc != exitDone || selfConsistentOnly(a)):
				t.Errorf("%s: the history that the receipt is of: exit code %d, %+v, %s", flag, rc, a, msg)
			case name == "second" && (rc != exitNo || !slices.Contains(kinds(a), string(chain.CheckpointRoot))):
				t.Errorf("%s: the rewritten history: exit code %d, %+v, %s", flag, rc, a.Findings, msg)
			}
		}
	}
	// The receipt itself stays good: the ledger did record that.
	if out, err := exec.Command("consentledger", "verify", "--receipt", kept, "--key", r.key).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAReceiptVerifiesWithoutALedgerOrANetwork runs the binary where there is neither.
func TestAReceiptVerifiesWithoutALedgerOrANetwork(t *testing.T) {
	dir := newLedger(t, 3)
	enrolMore(t, dir, "m", 2)
	file := receiptOf(t, dir, "m-1")
	_, key := publishedBy(t, dir)
	for _, gone := range []string{dir, datadir.DefaultRoot(dir)} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(t.TempDir(), "receipt.txt")
	alone := func(b []byte, args ...string) (rc int, said struct {
		Genuine  bool
		Receipts []struct{ Why, What, Member string }
	},
	) {
		t.Helper()
		if err := os.WriteFile(kept, b, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("consentledger", append([]string{"verify", "--json", "--receipt", kept, "--key", key}, args...)...)
		withoutNetwork(cmd)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if x := (*exec.ExitError)(nil); !errors.As(cmd.Run(), &x) && cmd.ProcessState == nil {
			t.Fatal("it does not run without a network")
		}
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			t.Fatalf("%v: %s%s", err, out.String(), errs.String())
		}
		return cmd.ProcessState.ExitCode(), said
	}
	rc, said := alone(file)
	if rc != exitDone || !said.Genuine || !strings.HasPrefix(said.Receipts[0].Member, "mbr_") {
		t.Fatalf("exit code %d, %+v", rc, said)
	}
	for i := 0; i < len(file); i += 97 {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if rc, said := alone(changed); rc != exitNo || said.Genuine || said.Receipts[0].Why == "" {
			t.Errorf("byte %d changed: exit code %d, %+v", i, rc, said)
		}
	}
}
