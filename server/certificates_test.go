package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/receipt"
	"consentledger/server/api"
)

// certified sends a call and reads its certificate, if the answer has one.
func (s *shop) certified(h http.Handler, role ledger.Role, path, key, body string) (c *receipt.Certificate, a api.WithdrawalAnswer) {
	s.t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", mediaJSON)
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+s.keys[role])
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := do(h, r)
	if w.Code != 201 {
		s.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		s.t.Fatal(err)
	}
	if a.Certificate == "" {
		return nil, a
	}
	return s.openCertificate(a.Certificate), a
}

func (s *shop) openCertificate(file string) *receipt.Certificate {
	s.t.Helper()
	v, err := note.NewVerifier(s.ledger.PublicKey())
	if err != nil {
		s.t.Fatal(err)
	}
	c, _, err := receipt.OpenCertificate([]byte(file), receipt.Keys{Log: v})
	if err != nil {
		s.t.Fatalf("%v:\n%s", err, file)
	}
	return c
}

func TestWhatDestroyedKeysIsAnsweredWithACertificate(t *testing.T) {
	s := newShop(t)
	h, control := s.server.Handler(), s.server.ControlHandler()
	w := ledger.RoleWriter
	id, _ := s.person()
	const leaves = `","scope":"membership"}`
	c, a := s.certified(h, w, "/v1/withdrawals", "leaves", `{"member_id":"`+id+leaves)
	if c == nil || c.IsOf([]byte(id)) != nil || c.Of != receipt.SubjectID || !errors.Is(c.IsOf([]byte(id+"x")), receipt.ErrOtherMember) {
		t.Fatalf("the certificate is of nobody, or of somebody else: %v", a)
	}
	last := a.Entries[len(a.Entries)-1]
	if c.Index != last.Index || c.LeafHash != last.LeafHash || int(c.Destroyed.Keys) != a.Destroyed.Keys || int(c.Destroyed.Entries) != a.Destroyed.Entries ||
		c.Status != receipt.StatusFinal || c.Cause != "withdrawal" || c.Grade != s.ledger.Grade() || len(c.Kept) != len(a.Kept) || len(c.Kept) == 0 {
		t.Errorf("the certificate says %+v of %+v", *c, a)
	}
	for i, k := range a.Kept {
		if got := c.Kept[i]; got.Class != k.Class || got.Basis != k.Basis || got.Event != k.Event || (got.Until == nil) != (k.Until == nil) || k.Until != nil && !got.Until.Equal(*k.Until) {
			t.Errorf("kept is %+v, and the answer says %+v", got, k)
		}
	}
	again, _ := s.certified(h, w, "/v1/withdrawals", "leaves", `{"member_id":"`+id+leaves)
	if again == nil || string(again.Opening) != string(c.Opening) || again.IsOf([]byte(id)) != nil {
		t.Error("sent again, the call has another certificate")
	}

	// By ref, at a terminal, it is of the ref.
	_, ref := s.person()
	c, _ = s.certified(control, "", "/control/members/"+ref+"/withdrawals", "", `{"scope":"membership"}`)
	if c == nil || c.IsOf([]byte(ref)) != nil || c.Of != receipt.SubjectRef {
		t.Error("a withdrawal by ref has no certificate of the ref")
	}
	// The other calls that destroy, and one that does not.
	id, _ = s.person()
	c, _ = s.certified(h, w, "/v1/events", "", `{"type":"delivered","member_id":"`+id+`","reference":"order of `+id+`","occurred_at":"2025-03-01T12:00:00Z"}`)
	if c == nil || c.IsOf([]byte(id)) != nil || c.Cause != "event" {
		t.Error("the end of an order has no certificate")
	}
	cor := textOf(t, s.made(w, "/v1/corrections", `{"member_id":"`+id+`","changes":[{"item":"email","old":"a","new":"b"}]}`), "correction")
	c, _ = s.certified(h, w, "/v1/corrections/"+cor+"/outcome", "", `{"member_id":"`+id+`","outcome":"rejected"}`)
	if c == nil || c.IsOf([]byte(id)) != nil || c.Cause != "correction" {
		t.Error("the outcome that destroyed the values has no certificate")
	}
	if c, a = s.certified(h, w, "/v1/activity", "", `{"member_id":"`+id+`","occurred_at":"2025-03-01T12:00:00Z"}`); c != nil || a.CertificateLater {
		t.Error("a call that destroyed nothing has a certificate")
	}

	// A line of a batch.
	id, _ = s.person()
	status, b := s.batch(`{"type":"withdrawal","idempotency_key":"line","member_id":"` + id + leaves + "\n")
	var line api.WithdrawalAnswer
	if err := json.Unmarshal(b, &line); status != 200 || err != nil || line.Certificate == "" || s.openCertificate(line.Certificate).IsOf([]byte(id)) != nil {
		t.Errorf("a line: %d %s", status, b)
	}
}

func (s *shop) batch(body string) (int, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+"/v1/batch", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.keys[ledger.RoleWriter])
	r.Header.Set("Content-Type", mediaNDJSON)
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, b
}

// Witnesses who are away delay no withdrawal for long, and cost nobody the certificate who can send the
// call again.
func TestACertificateWaitsForItsWitnessesAndTheWithdrawalDoesNot(t *testing.T) {
	s := newShop(t)
	h := s.server.Handler()
	local := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "test"}
	cosigner, vkey, err := chain.NewCosigner("witness.example/w1", [32]byte{7}, func() time.Time { return testNow })
	if err != nil {
		t.Fatal(err)
	}
	one := uint64(1)
	wit, _, err := s.ledger.ChangeWitnesses(t.Context(), local, ledger.WitnessChange{URL: "https://witness.example/1", Key: vkey, Required: &one})
	if err != nil {
		t.Fatal(err)
	}
	leave := func(id, key string) (*receipt.Certificate, api.WithdrawalAnswer) {
		t.Helper()
		c, a := s.certified(h, ledger.RoleWriter, "/v1/withdrawals", key, `{"member_id":"`+id+`","scope":"membership"}`)
		return c, a
	}
	first, _ := s.person()
	begun := time.Now()
	if c, a := leave(first, "first"); c != nil || !a.CertificateLater || a.Destroyed.Keys == 0 {
		t.Errorf("nobody has signed: %+v", a)
	}
	if took := time.Since(begun); took < certificateWithin || took > certificateWithin+3*time.Second {
		t.Errorf("the answer came after %v", took)
	}
	s.ledger.WitnessAway(wit, "it does not answer")
	begun = time.Now()
	second, _ := s.person()
	if c, a := leave(second, ""); c != nil || a.CertificateLater {
		t.Errorf("there is no key to send the call again under: %+v", a)
	}
	if took := time.Since(begun); took > certificateWithin/2 {
		t.Errorf("it is known that nobody answers, and the answer came after %v", took)
	}
	head, msg, err := s.ledger.Head()
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(msg), "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, cosigner)
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(signed), "\n\n")
	if err := s.ledger.Cosign(head.Size, vkey, []byte(lines)); err != nil {
		t.Fatal(err)
	}
	c, a := leave(first, "first")
	if c == nil || a.CertificateLater || c.IsOf([]byte(first)) != nil {
		t.Fatalf("the witness has signed: %+v", a)
	}
	v, err := note.NewVerifier(s.ledger.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	w, err := chain.ParseWitnessKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, checked, err := receipt.OpenCertificate([]byte(a.Certificate), receipt.Keys{Log: v, Witnesses: []note.Verifier{w}}); err != nil || len(checked.Cosigned) != 1 {
		t.Errorf("the witness's signature: %+v, %v", checked, err)
	}
}

func TestTheOfficerFetchesWhatNobodyAskedForUntilItIsDelivered(t *testing.T) {
	s := newShop(t)
	var indexes []uint64
	for range 3 {
		indexes = append(indexes, s.unasked())
	}
	list := func(query string) (a api.Awaiting) {
		t.Helper()
		if status, b := s.call(ledger.RoleDPO, "GET", "/v1/destructions"+query, ""); status != 200 || json.Unmarshal(b, &a) != nil || strings.Contains(string(b), "mbr_") {
			t.Fatalf("%d %s", status, b)
		}
		return a
	}
	var listed []uint64
	for query := "?limit=2"; query != ""; {
		a := list(query)
		query = ""
		if a.Next != "" {
			query = "?limit=2&cursor=" + a.Next
		}
		for _, d := range a.Destructions {
			listed = append(listed, d.Index)
			if d.Cause != "hold_release" || d.Keys != 1 || d.Until.Sub(d.RecordedAt) < 30*24*time.Hour || d.Until.Sub(d.RecordedAt) > 31*24*time.Hour {
				t.Errorf("the list says %+v", d)
			}
		}
	}
	if !slices.Equal(listed, indexes) {
		t.Errorf("listed are %d, made %d", listed, indexes)
	}
	fetch := func(role ledger.Role, index uint64) (int, string, api.WaitingCertificate) {
		t.Helper()
		var a api.WaitingCertificate
		status, b := s.call(role, "GET", fmt.Sprintf("/v1/destructions/%d/certificate", index), "", "Access-Reason", "the notice")
		if status == 200 {
			if err := json.Unmarshal(b, &a); err != nil {
				t.Fatal(err)
			}
		}
		return status, string(b), a
	}
	size := s.ledger.Size()
	_, _, first := fetch(ledger.RoleDPO, indexes[0])
	c := s.openCertificate(first.Certificate)
	if c.IsOf([]byte(first.Member)) != nil || c.Index != indexes[0] || c.Of != receipt.SubjectRef || len(c.Kept) == 0 || s.ledger.Size() != size+1 {
		t.Errorf("fetched: %+v, %d entries more", first, s.ledger.Size()-size)
	}
	if _, _, again := fetch(ledger.RoleDPO, indexes[0]); again.Member != first.Member {
		t.Errorf("fetched again: %+v", again)
	}
	if _, _, other := fetch(ledger.RoleDPO, indexes[1]); other.Member == first.Member || c.IsOf([]byte(other.Member)) == nil {
		t.Error("two destructions are of one member")
	}
	if status, _, _ := fetch(ledger.RoleWriter, indexes[0]); status != 403 {
		t.Errorf("a writer: %d", status)
	}
	s.made(ledger.RoleDPO, "/v1/notices", fmt.Sprintf(`{"kind":"destruction_done","destruction":%d,"channel":"email","sent_at":"2025-03-01T12:00:00Z","outcome":"delivered"}`, indexes[0]))
	size = s.ledger.Size()
	if status, b, _ := fetch(ledger.RoleDPO, indexes[0]); status != 404 || !strings.Contains(b, "no_certificate") || s.ledger.Size() != size {
		t.Errorf("once it was delivered: %d %s, %d entries more", status, b, s.ledger.Size()-size)
	}
	if a := list(""); len(a.Destructions) != 2 {
		t.Errorf("%d are listed", len(a.Destructions))
	}
	id, _ := s.person()
	_, a := s.certified(s.server.Handler(), ledger.RoleWriter, "/v1/withdrawals", "", `{"member_id":"`+id+`","scope":"membership"}`)
	if status, b, _ := fetch(ledger.RoleDPO, a.Entries[len(a.Entries)-1].Index); status != 404 || !strings.Contains(b, "no_certificate") {
		t.Errorf("that of a withdrawal, which its answer had: %d %s", status, b)
	}
	if status, b, _ := fetch(ledger.RoleDPO, 0); status != 404 || !strings.Contains(b, "unknown_entry") {
		t.Errorf("of no destruction: %d %s", status, b)
	}
}
