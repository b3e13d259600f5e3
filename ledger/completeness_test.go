package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// held holds an export against the log of a ledger.
func held(t *testing.T, l *Ledger, export any) (kinds []chain.Kind, newer int) {
	t.Helper()
	b, err := json.Marshal(export)
	if err != nil {
		t.Fatal(err)
	}
	x, err := receipt.NewExportCheck(b, l.Origin())
	if err != nil {
		t.Fatal(err)
	}
	report, err := chain.Verify(t.Context(), liveSource{l}, chain.VerifyOptions{Verifier: l.verifier, Jobs: 2, Each: x.Entry})
	if err != nil || !report.Intact {
		t.Fatalf("%v %+v", err, report.Findings)
	}
	found, newer := x.Findings()
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	return kinds, newer
}

func TestAnExportThatLeavesAnythingOutIsFoundByWhoHasTheLog(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	ref := mustDo(t, l, enrolment(t, "m@shop.example", w)).Member
	for i := range 300 {
		mustDo(t, l, enrolment(t, memberName(i), w))
		if i%40 == 0 {
			mustDo(t, l, order(t, "m@shop.example", fmt.Sprintf("o-%d", i), w))
		}
	}
	look := Look{Reason: "she asked for it"}
	take := func() *consent.Export {
		t.Helper()
		x, err := l.CompleteExport(t.Context(), dpo, ref, look)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	whole := take()
	if len(whole.Entries) < 15 || whole.Completeness == nil || len(whole.Completeness.Keys) < 4 {
		t.Fatalf("%d entries: %+v", len(whole.Entries), whole.Completeness)
	}
	if kinds, newer := held(t, l, whole); len(kinds) != 0 || newer != 0 {
		t.Fatalf("the whole export: %v, %d newer", kinds, newer)
	}
	mustDo(t, l, order(t, "m@shop.example", "later", w))
	if kinds, newer := held(t, l, whole); len(kinds) != 0 || newer == 0 {
		t.Errorf("what came since is not told as newer: %v, %d", kinds, newer)
	}
	for i := range whole.Entries {
		x := take()
		x.Entries = slices.Delete(slices.Clone(x.Entries), i, i+1)
		if kinds, _ := held(t, l, x); !slices.Equal(kinds, []chain.Kind{receipt.ExportLacks}) {
			t.Errorf("entry %d left out: %v", i, kinds)
		}
		x = take()
		x.Entries = slices.Clone(x.Entries)
		x.Entries[i].LeafHash = x.Entries[(i+1)%len(x.Entries)].LeafHash
		if kinds, _ := held(t, l, x); !slices.Equal(kinds, []chain.Kind{receipt.ExportStrange}) {
			t.Errorf("entry %d is another: %v", i, kinds)
		}
	}
	// A liar leaves the newest of a key out and says that it has one fewer; the log has one more by its key.
	x := take()
	last := x.Entries[len(x.Entries)-1]
	x.Entries = x.Entries[:len(x.Entries)-1]
	x.Completeness.Keys = slices.Clone(x.Completeness.Keys)
	for i := range x.Completeness.Keys {
		if x.Completeness.Keys[i].Class == last.Class && x.Completeness.Keys[i].Entries > 1 {
			x.Completeness.Keys[i].Entries--
			break
		}
	}
	if kinds, _ := held(t, l, x); !slices.Contains(kinds, receipt.ExportLacks) {
		t.Errorf("the newest left out with its number: %v", kinds)
	}
	// Somebody else's entry put in, and a number too many.
	x = take()
	stranger := x.Entries[0]
	stranger.Index, stranger.LeafHash = x.Entries[0].Index+3, "00" // one of the many who enrolled after her
	x.Entries = append(slices.Clone(x.Entries), stranger)
	x.Completeness.Keys[0].Entries++
	if kinds, _ := held(t, l, x); !slices.Equal(kinds, []chain.Kind{receipt.ExportGap, receipt.ExportStrange}) {
		t.Errorf("an entry of somebody else, and a number too many: %v", kinds)
	}
	ordinary, err := l.Export(t.Context(), dpo, ref, look)
	if err != nil || ordinary.Completeness != nil {
		t.Errorf("what finds a member's entries is in an export that was not asked for it: %v", err)
	}
	b, err := json.Marshal(ordinary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.NewExportCheck(b, l.Origin()); !errors.Is(err, receipt.ErrNotComplete) {
		t.Errorf("an ordinary export: %v", err)
	}
	if _, err := receipt.NewExportCheck(b, "other.example"); !errors.Is(err, receipt.ErrOtherLedger) {
		t.Errorf("an export of another ledger: %v", err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// What a class kept for a time has let go is not in an export, and is not missed.
func TestAnExportIsCompleteWithoutWhatHasRunOut(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	ref := mustDo(t, l, enrolment(t, "m@shop.example", w)).Member
	for i := range 3 {
		mustDo(t, l, order(t, "m@shop.example", fmt.Sprintf("o-%d", i), w))
		w.clock.Advance(400 * 24 * time.Hour)
	}
	w.clock.Advance(3 * 366 * 24 * time.Hour)
	if _, err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, err := l.CompleteExport(t.Context(), dpo, ref, Look{Reason: "she asked for it"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(x.Completeness.Keys, func(k consent.ExportKey) bool { return k.Expired > 0 && k.Expired < k.Entries }) {
		t.Fatalf("nothing has run out: %+v", x.Completeness.Keys[0].Entries)
	}
	if kinds, _ := held(t, l, x); len(kinds) != 0 {
		t.Errorf("%v", kinds)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
