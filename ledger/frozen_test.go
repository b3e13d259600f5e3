package ledger

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// A frozen ledger is a whole one, with its root file and what was handed out of it, as a version of the
// format left it. It is made once, when the version freezes, and never again: what cannot read it any
// more has broken a promise.
const (
	frozenV1 = "testdata/frozen/v1.tar.gz"
	// freezeVar set to 1 makes it, if it is not there.
	freezeVar = "CONSENTLEDGER_FREEZE"
)

var (
	frozenLiving = "frozen-living@shop.example"
	frozenGone   = "frozen-gone@shop.example"
)

// freeze makes a ledger that has one of everything: a full tile, members who live, one who has left and
// of whom something is kept, one who has gone, a receipt, a certificate, a head.
func freeze(t *testing.T, file string) {
	t.Helper()
	w := newWorld(t)
	l := w.create(t)
	mustDo(t, l, enrolment(t, frozenLiving, w))
	mustDo(t, l, order(t, frozenLiving, "o-1", w))
	gone := mustDo(t, l, enrolment(t, frozenGone, w))
	for i := range 300 {
		mustDo(t, l, enrolment(t, memberName(i), w))
	}
	_, r, err := l.Receipt(t.Context(), dpo, gone.Member, Look{Reason: "she asked for it"}, "", gone.Entries[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	left := mustDo(t, l, leave(t, frozenGone))
	c, err := l.CertificateOf(t.Context(), left)
	if err != nil {
		t.Fatal(err)
	}
	head, err := l.CosignedCheckpoint(t.Context(), l.Size())
	if err != nil {
		t.Fatal(err)
	}
	key := l.PublicKey()
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(w.dir)
	for name, b := range map[string][]byte{"receipt.txt": r, "certificate.txt": c, "checkpoint": head, "key": []byte(key)} {
		if err := os.WriteFile(filepath.Join(base, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	tw := tar.NewWriter(z)
	if err := errors.Join(tw.AddFS(os.DirFS(base)), tw.Close(), z.Close(), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// thaw unpacks a frozen ledger into a world's place.
func thaw(t *testing.T, w *world, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(w.dir)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(base, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(name, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestALedgerOfVersion1OpensForEver(t *testing.T) {
	if _, err := os.Stat(frozenV1); errors.Is(err, fs.ErrNotExist) && os.Getenv(freezeVar) == "1" {
		freeze(t, frozenV1)
	}
	w := newWorld(t)
	w.clock.Advance(time.Hour)
	thaw(t, w, frozenV1)
	beside := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(filepath.Dir(w.dir), name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v, err := note.NewVerifier(string(beside("key")))
	if err != nil {
		t.Fatal(err)
	}
	k := receipt.Keys{Log: v}
	if r, _, err := receipt.Open(beside("receipt.txt"), k); err != nil || r.Event.Kind != "consent" {
		t.Errorf("the receipt: %v", err)
	}
	c, _, err := receipt.OpenCertificate(beside("certificate.txt"), k)
	if err != nil {
		t.Fatalf("the certificate: %v", err)
	}
	if err := c.IsOf([]byte(frozenGone)); err != nil {
		t.Errorf("whose certificate it is: %v", err)
	}
	if err := c.IsOf([]byte(frozenLiving)); !errors.Is(err, receipt.ErrOtherMember) {
		t.Errorf("it is somebody else's, too: %v", err)
	}
	l, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	report, err := chain.Verify(t.Context(), liveSource{l}, chain.VerifyOptions{Verifier: v, Checkpoints: [][]byte{beside("checkpoint")}})
	if err != nil || !report.Intact {
		t.Errorf("the log does not continue its head: %v %+v", err, report.Findings)
	}
	for id, want := range map[string]string{frozenLiving: consent.ReasonConsentInForce, frozenGone: consent.ReasonWithdrawn, "nobody": consent.ReasonUnknownMember} {
		a, err := l.Decide(t.Context(), writer, &consent.Question{Member: memberID(t, id), Purpose: "shop/newsletter", Items: []string{"email"}})
		if err != nil || a.Reason != want {
			t.Errorf("%s: %v %v, want %s", id, a.Reason, err, want)
		}
	}
	mustDo(t, l, order(t, frozenLiving, "o-2", w))
	verifyAll(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
