package ledger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

func logKeys(t testing.TB, l *Ledger) receipt.Keys {
	t.Helper()
	v, err := note.NewVerifier(l.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Keys{Log: v}
}

func TestAReceiptIsGoodForEachEntryOfAMemberAndStaysSoAfterTheirDestruction(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	ref := mustDo(t, l, enrolment(t, "m@shop.example", w)).Member
	mustDo(t, l, order(t, "m@shop.example", "o-1", w))
	mustDo(t, l, &consent.Withdrawal{Member: memberID(t, "m@shop.example"), Purposes: []string{"shop/newsletter"}})
	mustDo(t, l, enrolment(t, "other@shop.example", w))
	look := Look{Reason: "she asked for it"}
	rows, _, err := l.History(t.Context(), dpo, ref, look, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 5 {
		t.Fatalf("only %d entries to make receipts of", len(rows))
	}
	files, kinds := map[uint64][]byte{}, map[string]bool{}
	for _, row := range rows {
		r, file, err := l.Receipt(t.Context(), dpo, ref, look, "", row.Index)
		if err != nil {
			t.Fatalf("entry %d: %v", row.Index, err)
		}
		if r.Index != row.Index || r.Member != ref.String() || r.Class != row.Class || r.Event.Kind != row.Event.Kind.String() {
			t.Errorf("entry %d: the receipt says %d, %s, %s", row.Index, r.Index, r.Class, r.Event.Kind)
		}
		kinds[r.Event.Kind] = r.Record != nil
		files[row.Index] = file
	}
	for kind, record := range map[string]bool{"consent": true, "access": false} {
		if has, ok := kinds[kind]; !ok || has != record {
			t.Errorf("a receipt of a %s: made %v, with a record %v", kind, ok, has)
		}
	}
	if now, _, _ := l.History(t.Context(), dpo, ref, look, 0, 500); !slices.ContainsFunc(now, func(r HistoryRow) bool {
		return r.Event.Kind == consent.KindAccess && strings.HasPrefix(r.Event.What, "receipt:")
	}) {
		t.Error("no look was recorded that says of which entry a receipt was made")
	}
	mustDo(t, l, leave(t, "m@shop.example"))
	for index, file := range files {
		if r, _, err := receipt.Open(file, logKeys(t, l)); err != nil || r.Index != index {
			t.Errorf("the receipt of entry %d, after its member has left: %v", index, err)
		}
	}
	if _, _, err := l.Receipt(t.Context(), dpo, ref, look, "", rows[0].Index); !errors.Is(err, ErrUnknownMember) && !errors.Is(err, ErrWithdrawn) {
		t.Errorf("a receipt of who has left: %v", err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAReceiptIsOfOnesOwnEntryOnly(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	a := mustDo(t, l, enrolment(t, "a@shop.example", w))
	b := mustDo(t, l, enrolment(t, "b@shop.example", w))
	look := Look{Reason: "to try"}
	if _, _, err := l.Receipt(t.Context(), dpo, a.Member, look, "", a.Entries[0].Index); err != nil {
		t.Fatal(err) // the control
	}
	size := l.Size()
	for what, index := range map[string]uint64{"another member's entry": b.Entries[0].Index, "the ledger's own entry": 0, "an entry to come": 1 << 40} {
		if _, _, err := l.Receipt(t.Context(), dpo, a.Member, look, "", index); !errors.Is(err, ErrUnknownEntry) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if l.Size() != size {
		t.Error("a look of which nothing came was recorded")
	}
	for _, who := range []Caller{writer, admin, {KeyID: "key_auditor", Role: RoleAuditor}} {
		if _, _, err := l.Receipt(t.Context(), who, a.Member, look, "", a.Entries[0].Index); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s may have a receipt: %v", who.Role, err)
		}
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOfWhoHasLeftTheOfficerHasReceiptsOnTheGroundThatKeepsThem(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	ref := mustDo(t, l, enrolment(t, "m@shop.example", w)).Member
	bought := mustDo(t, l, order(t, "m@shop.example", "o-1", w))
	look := Look{Reason: "claim 12"}
	index := uint64(0)
	for _, e := range bought.Entries {
		if e.Class == "purchase" {
			index = e.Index
		}
	}
	if _, _, err := l.Receipt(t.Context(), dpo, ref, look, "purchase", index); !isRefusal(err) {
		t.Errorf("on a ground, of a member who is active: %v", err)
	}
	mustDo(t, l, leave(t, "m@shop.example"))
	if _, _, err := l.Receipt(t.Context(), dpo, ref, look, "", index); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("without a ground: %v", err)
	}
	r, file, err := l.Receipt(t.Context(), dpo, ref, look, "purchase", index)
	if err != nil || r.Event.Reference != "o-1" {
		t.Fatalf("on the ground that keeps it: %v", err)
	}
	if _, _, err := receipt.Open(file, logKeys(t, l)); err != nil {
		t.Error(err)
	}
	if kept, err := l.Kept(t.Context(), dpo, ref, look, "access"); err != nil || !slices.ContainsFunc(kept.Entries, func(r HistoryRow) bool { return r.Event.What == "kept:purchase" }) {
		t.Errorf("the look says not on which ground: %v", err)
	}
	size := l.Size()
	for what, ground := range map[string]string{"another ground": "access", "a ground that keeps nothing": "newsletter"} {
		if _, _, err := l.Receipt(t.Context(), dpo, ref, look, ground, index); !errors.Is(err, ErrUnknownEntry) && !errors.Is(err, ErrUnknownGround) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := l.Receipt(t.Context(), Caller{KeyID: "key_reader", Role: RoleReader}, ref, look, "purchase", index); !errors.Is(err, ErrForbidden) {
		t.Errorf("a reader: %v", err)
	}
	if l.Size() != size {
		t.Error("a look of which nothing came was recorded")
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNoReceiptIsHandedOutWhileWitnessesAreAwayAndNoLookIsRecorded(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	a := mustDo(t, l, enrolment(t, "m@shop.example", w))
	look := Look{Reason: "she asked for it"}
	if _, _, err := l.Receipt(t.Context(), dpo, a.Member, look, "", a.Entries[0].Index); err != nil {
		t.Fatal(err) // the control
	}
	_, key, err := chain.NewCosigner("witness.example/w1", [32]byte{3}, w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	required := uint64(1)
	if _, _, err := l.ChangeWitnesses(t.Context(), admin, WitnessChange{URL: "https://witness.example", Key: key, Required: &required}); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := l.Receipt(ctx, dpo, a.Member, look, "", a.Entries[0].Index); !errors.Is(err, ErrWitnessesAway) {
		t.Errorf("%v", err)
	}
	if l.Size() != size {
		t.Error("a look of which nothing came was recorded")
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheGroundOfAHoldIsInNoReceiptButTheOfficers(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	ref := mustDo(t, l, enrolment(t, "m@shop.example", w)).Member
	held, err := l.PlaceHold(t.Context(), dpo, ref, &consent.Hold{Classes: []string{"shop/newsletter"}, Until: w.clock.Now().Add(240 * time.Hour), Ground: "a court's order"})
	if err != nil {
		t.Fatal(err)
	}
	reader := Caller{KeyID: "key_reader", Role: RoleReader}
	look := Look{Reason: "to try"}
	index := held.Entries[0].Index
	if _, _, err := l.Receipt(t.Context(), reader, ref, look, "", index); !errors.Is(err, ErrForbidden) {
		t.Errorf("a reader gets it: %v", err)
	}
	if _, _, err := l.Receipt(t.Context(), reader, ref, look, "", index-1); err != nil {
		t.Errorf("the control, an entry that is no hold: %v", err)
	}
	if r, _, err := l.Receipt(t.Context(), dpo, ref, look, "", index); err != nil || r.Event.Ground != "a court's order" {
		t.Errorf("the officer's receipt: %v", err)
	}
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// What a receipt costs beyond the look that it records.
func BenchmarkReceiptBeyondItsLook(b *testing.B) {
	w := newWorld(b)
	l := w.create(b)
	// A text as long as a real one: it stands in the receipt.
	w.clock.Advance(24 * time.Hour)
	longer := strings.NewReplacer(`version: "2025-01-01"`, `version: "2025-04-02"`, `announced: "2024-12-01"`, `announced: "2025-03-02"`, "what members see", strings.Repeat("what members see ", 700)).Replace(testPolicy)
	if _, _, err := l.AddPolicy(b.Context(), admin, []byte(longer)); err != nil {
		b.Fatal(err)
	}
	w.clock.Advance(32 * 24 * time.Hour)
	c := enrolment(b, "m@shop.example", w)
	c.PolicyVersion = "2025-04-02"
	first := mustDo(b, l, c)
	for i := range 300 {
		e := enrolment(b, memberName(i), w)
		e.PolicyVersion = "2025-04-02"
		mustDo(b, l, e)
	}
	checkpoint, err := l.CosignedCheckpoint(b.Context(), l.Size())
	if err != nil {
		b.Fatal(err)
	}
	m, err := l.acquire(b.Context(), l.pathOf(memberID(b, "m@shop.example")))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		of, err := l.disclose(m, first.Entries[0].Index)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := l.makeReceipt(first.Member, of, checkpoint); err != nil {
			b.Fatal(err)
		}
	}
	l.release(m)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
