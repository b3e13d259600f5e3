package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

func openCertificate(t testing.TB, l *Ledger, file []byte) *receipt.Certificate {
	t.Helper()
	c, _, err := receipt.OpenCertificate(file, receipt.Keys{Log: l.verifier})
	if err != nil {
		t.Fatalf("%v:\n%s", err, file)
	}
	return c
}

// Wherever the process ends between the commit and the answer, the call that is sent again leads to the
// certificate; and where it was not recorded, to that of the second try.
func TestACallThatACrashCutOffLeadsToItsCertificateAllTheSame(t *testing.T) {
	for _, step := range crashSteps {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			crash := &crasher{}
			w.wrap, w.wrapRoot = crash.store, crash.keeper
			l := w.create(t)
			mustDo(t, l, enrolment(t, "kim", w))
			who := under(writer, "k", "*consent.Withdrawal")
			crash.set(step)
			if _, err := l.Do(t.Context(), who, leave(t, "kim")); err == nil {
				t.Fatal("the crash did not happen")
			}
			crash.set("")
			if err := l.Close(); err != nil && !crash.expected(err) {
				t.Fatal(err)
			}
			l, err := w.open()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { l.Close() }()
			_, _, err = l.Lookup(t.Context(), writer, memberID(t, "kim"))
			recorded := errors.Is(err, ErrUnknownMember)
			a, err := l.Do(t.Context(), who, leave(t, "kim"))
			if err != nil || a.Replayed != recorded {
				t.Fatalf("sent again: replayed %v, recorded %v, %v", a != nil && a.Replayed, recorded, err)
			}
			file, err := l.CertificateOf(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			if c := openCertificate(t, l, file); c.IsOf([]byte("kim")) != nil || c.Status != receipt.StatusFinal || c.Destroyed.Keys == 0 {
				t.Errorf("the certificate is not Kim's, or not final: %s", file)
			}
			verifyAll(t, l)
		})
	}
}

func TestACertificateThatIsMadeTooSoonIsProvisional(t *testing.T) {
	w := newWorld(t)
	k := &heldKeeper{ends: make(chan error, 1)}
	w.wrapRoot = func(r RootKeeper) RootKeeper { k.RootKeeper = r; return k }
	l := w.create(t)
	defer func() { l.Close() }()
	mustDo(t, l, enrolment(t, "kim", w))
	mustDo(t, l, order(t, "kim", "o", w))
	w.clock.Advance((5*366 + 1) * 24 * time.Hour)
	size := l.Size()
	k.holds.Store(true)
	swept := make(chan error, 1)
	go func() { _, err := l.Sweep(context.Background()); swept <- err }()
	for end := time.Now().Add(10 * time.Second); l.Size() == size; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was destroyed")
		}
	}
	made := func() *receipt.Certificate {
		t.Helper()
		c, _, err := l.waitingAt(size)
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.certify(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return openCertificate(t, l, file)
	}
	if c := made(); c.Status != receipt.StatusProvisional {
		t.Errorf("while the old root key is there it is %s", c.Status)
	}
	close(k.ends)
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	if c := made(); c.Status != receipt.StatusFinal {
		t.Errorf("once it is gone it is %s", c.Status)
	}
	verifyAll(t, l)
}

// A certificate of one destruction shows nothing of another, nor of another ledger's, whoever holds them.
func TestACertificateIsOfOneMemberOneEntryAndOneLedger(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	l, foreign := w.create(t), other.create(t)
	defer func() { l.Close(); foreign.Close() }()
	var all []*receipt.Certificate
	var files [][]byte
	for i := range 3 {
		id := fmt.Sprintf("member-%d", i)
		mustDo(t, l, enrolment(t, id, w))
		a := mustDo(t, l, leave(t, id))
		file, err := l.CertificateOf(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		all = append(all, openCertificate(t, l, file))
	}
	for i, c := range all {
		for j := range all {
			if is := c.IsOf(fmt.Appendf(nil, "member-%d", j)) == nil; is != (i == j) {
				t.Errorf("certificate %d is of member %d: %v", i, j, is)
			}
		}
		// The holder's PRK opens their own entry and no other.
		for j := range all {
			e, err := l.entry(all[j].Index)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.box.OpenPRK(nil, 1, [32]byte(c.PRK), e[41:]); (err == nil) != (i == j) {
				t.Errorf("what certificate %d discloses opens the entry of %d: %v", i, j, err)
			}
		}
	}
	if _, _, err := receipt.OpenCertificate(files[0], receipt.Keys{Log: foreign.verifier}); !errors.Is(err, receipt.ErrSignature) {
		t.Errorf("under another ledger's key: %v", err)
	}
}

func BenchmarkCertificate(b *testing.B) {
	w := newWorld(b)
	l := w.create(b)
	defer l.Close()
	mustDo(b, l, enrolment(b, "kim", w))
	a := mustDo(b, l, leave(b, "kim"))
	for b.Loop() {
		if _, err := l.CertificateOf(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}

// Who fetches a certificate that waits has looked at somebody: that is on record with whatever is left of
// them, and where nothing is there is nobody to record it with.
func TestFetchingAWaitingCertificateIsALookAtWhoeverIsLeft(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	unasked := func(id string, then func()) (Ref, uint64) {
		t.Helper()
		ref := mustDo(t, l, enrolment(t, id, w)).Member
		held, err := l.PlaceHold(t.Context(), dpo, ref, &consent.Hold{Classes: []string{"newsletter"}, Ground: "a claim", Until: w.clock.Now().AddDate(1, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		then()
		a, err := l.ReleaseHold(t.Context(), dpo, ref, held.Hold)
		if err != nil {
			t.Fatal(err)
		}
		return ref, destructionOf(t, a)
	}
	_, kept := unasked("kept", func() { // left, and an order is kept for years
		mustDo(t, l, order(t, "kept", "o", w))
		mustDo(t, l, &consent.EventEnd{Type: consent.EventDelivered, Member: memberID(t, "kept"), Reference: "o", OccurredAt: w.clock.Now()})
		mustDo(t, l, leave(t, "kept"))
	})
	living, index := unasked("living", func() {
		mustDo(t, l, &consent.Withdrawal{Member: memberID(t, "living"), Purposes: []string{"newsletter"}})
	})
	for name, at := range map[string]uint64{"kept": kept, "living": index} {
		size := l.Size()
		ref, file, err := l.WaitingCertificate(t.Context(), dpo, Look{Reason: "the notice"}, at)
		if err != nil || l.Size() != size+1 {
			t.Fatalf("%s: %d entries more, %v", name, l.Size()-size, err)
		}
		if c := openCertificate(t, l, file); c.IsOf([]byte(ref.String())) != nil || c.Index != at {
			t.Errorf("%s: the certificate is of somebody else", name)
		}
	}
	rows, _, err := l.History(t.Context(), dpo, living, Look{Reason: "r", What: "history"}, 0, 10)
	if err != nil || rows[1].Event.What != fmt.Sprint(consent.LookCertificate, index) || rows[1].Event.Reason != "the notice" || rows[1].Event.Who != dpo.KeyID {
		t.Errorf("on record is %+v, %v", rows, err)
	}
	// The one who had nothing kept is gone, with the looks at them, once their time is up.
	w.clock.Advance(6 * 366 * 24 * time.Hour)
	sweep(t, l)
	var last uint64
	for at := range waitingRows(t, l) {
		if _, ref, err := l.waitingAt(at); err == nil {
			if _, _, _, err := l.resolve(ref); errors.Is(err, ErrUnknownMember) {
				last = at
			}
		}
	}
	if last == 0 {
		t.Fatal("nobody of whom nothing is left has a certificate that waits")
	}
	size := l.Size()
	ref, file, err := l.WaitingCertificate(t.Context(), dpo, Look{Reason: "the notice"}, last)
	if err != nil || l.Size() != size || openCertificate(t, l, file).IsOf([]byte(ref.String())) != nil {
		t.Errorf("of whom nothing is left: %d entries more, %v", l.Size()-size, err)
	}
	if _, _, err := l.WaitingCertificate(t.Context(), writer, Look{Reason: "r"}, last); !errors.Is(err, ErrForbidden) {
		t.Errorf("a writer: %v", err)
	}
	verifyAll(t, l)
}

// Each destruction has a head of its own. What a proof under it is made from was published with it: to
// work it out from what is stored costs 10 ms in a log of some size, and gives the same.
func TestAProofUnderANewHeadIsMadeFromWhatWasPublishedWithIt(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	for i := range 150 { // past the first full tile
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	msg, err := l.CosignedCheckpoint(t.Context(), l.Size())
	if err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	if size <= 256 || l.cosigning.treeOf(size) == nil || l.cosigning.treeOf(size+1) != nil {
		t.Fatalf("of %d entries the published tree is not found, or one is that was not published", size)
	}
	for index := range size {
		p, err := l.prove(index, msg)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tlog.ProveRecord(int64(size), int64(index), chain.TileReader(size, l.tile))
		if err != nil || len(want) != len(p.Hashes) {
			t.Fatalf("entry %d: %d hashes, want %d, %v", index, len(p.Hashes), len(want), err)
		}
		for i := range want {
			if chain.Hash(want[i]) != p.Hashes[i] {
				t.Fatalf("entry %d: hash %d differs", index, i)
			}
		}
	}
}
