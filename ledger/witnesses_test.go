package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// testWitness signs whatever checkpoint it is given.
type testWitness struct {
	signer note.Signer
	key    string
	url    string
}

// newTestWitness makes one whose clock stands where that of a new world does.
func newTestWitness(t testing.TB, n byte) testWitness {
	return newTestWitnessAt(t, n, time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC))
}

func newTestWitnessAt(t testing.TB, n byte, at time.Time) testWitness {
	var seed [32]byte
	seed[0] = n
	s, key, err := chain.NewCosigner(fmt.Sprintf("witness.example/w%d", n), seed, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return testWitness{s, key, fmt.Sprintf("https://witness.example/w%d", n)}
}

// line is its signature line of a checkpoint.
func (w testWitness) line(t testing.TB, msg []byte) []byte {
	t.Helper()
	text, _, _ := bytes.Cut(msg, []byte("\n\n"))
	signed, err := note.Sign(&note.Note{Text: string(text) + "\n"}, w.signer)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := bytes.Cut(signed, []byte("\n\n"))
	return line
}

func addWitness(t testing.TB, l *Ledger, w testWitness, required *uint64) string {
	t.Helper()
	id, written, err := l.ChangeWitnesses(t.Context(), admin, WitnessChange{URL: w.url, Key: w.key, Required: required})
	if err != nil || len(written.Entries) != 1 {
		t.Fatalf("%+v, %v", written, err)
	}
	return id
}

func number(n uint64) *uint64 { return &n }

func TestTheRegisterOfWitnessesIsPartOfTheLedger(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	a, b := newTestWitness(t, 1), newTestWitness(t, 2)
	refused := func(what string, c WitnessChange, code string) {
		t.Helper()
		size := l.Size()
		_, _, err := l.ChangeWitnesses(t.Context(), admin, c)
		var r *consent.Refusal
		if !errors.As(err, &r) || r.Code != code || l.Size() != size {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}
	if reg := l.Witnesses(); len(reg.All) != 0 || reg.Required != 0 {
		t.Errorf("a new ledger has %+v", reg)
	}
	refused("required of nobody", WitnessChange{Required: number(1)}, "too_many_required")
	idA := addWitness(t, l, a, number(1))
	idB := addWitness(t, l, b, nil)
	refused("a key again", WitnessChange{URL: "https://elsewhere.example", Key: a.key}, "witness_known")
	refused("a URL again", WitnessChange{URL: a.url, Key: newTestWitness(t, 3).key}, "witness_known")
	refused("a log's key", WitnessChange{URL: "https://elsewhere.example", Key: l.PublicKey()}, "invalid_witness_key")
	refused("three of two", WitnessChange{Required: number(3)}, "too_many_required")
	for _, url := range []string{
		"", "witness.example", "http://witness.example", "ftp://witness.example", "https://", "https://u:p@witness.example", "https://witness.example/", "https://witness.example/?q", "https://witness.example/#f",
		"https://witness.example/a b", "HTTPS://witness.example", "https://witness.example/é", "https:witness.example", "http://127.0.0.1.example", "https://witness.example/" + strings.Repeat("a", 512),
	} {
		refused("the URL "+url, WitnessChange{URL: url, Key: newTestWitness(t, 3).key}, "invalid_witness_url")
	}
	for n, url := range []string{"http://127.0.0.1:8788", "http://localhost:8788/w", "http://[::1]:8788", "https://witness.example:444/a/b"} {
		c := newTestWitness(t, byte(10+n))
		c.url = url
		if _, err := l.RemoveWitness(t.Context(), admin, addWitness(t, l, c, nil)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, role := range []Role{RoleWriter, RoleReader, RoleDPO, RoleAuditor} {
		if _, _, err := l.ChangeWitnesses(t.Context(), Caller{Role: role}, WitnessChange{Required: number(0)}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s may change witnesses: %v", role, err)
		}
		if _, err := l.RemoveWitness(t.Context(), Caller{Role: role}, idA); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s may remove witnesses: %v", role, err)
		}
	}
	l = w.reopen(t, l)
	reg := l.Witnesses()
	if len(reg.All) != 2 || reg.All[0].ID != idA || reg.All[0].Key != a.key || reg.All[1].ID != idB || reg.All[1].URL != b.url || reg.Required != 1 {
		t.Errorf("after a start: %+v", reg)
	}
	if _, err := l.RemoveWitness(t.Context(), admin, "wit_00000000"); !errors.Is(err, ErrUnknownWitness) {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := l.RemoveWitness(t.Context(), admin, idB); err != nil {
		t.Error(err)
	}
	var r *consent.Refusal
	if _, err := l.RemoveWitness(t.Context(), admin, idA); !errors.As(err, &r) || r.Code != "witness_needed" {
		t.Errorf("the last that must sign: %v", err)
	}
	if _, _, err := l.ChangeWitnesses(t.Context(), admin, WitnessChange{Required: number(0)}); err != nil {
		t.Error(err)
	}
	if _, err := l.RemoveWitness(t.Context(), admin, idA); err != nil {
		t.Error(err)
	}
	for n := range byte(16) {
		addWitness(t, l, newTestWitness(t, 20+n), nil)
	}
	refused("a seventeenth", WitnessChange{URL: a.url, Key: a.key}, "too_many_witnesses")
	l = w.reopen(t, l)
	if reg := l.Witnesses(); len(reg.All) != 16 || reg.Required != 0 {
		t.Errorf("after a start: %d", len(reg.All))
	}
	verifyAll(t, l)
}

func TestCosignaturesThatVerifyAreJoinedAndNoOthers(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	a, b, stranger := newTestWitness(t, 1), newTestWitness(t, 2), newTestWitness(t, 3)
	addWitness(t, l, a, nil)
	addWitness(t, l, b, number(2))
	size := l.Size()
	away, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.CosignedCheckpoint(away, size); !errors.Is(err, ErrWitnessesAway) {
		t.Fatalf("nobody has signed: %v", err)
	}
	head, msg, err := l.Head()
	if err != nil || head.Size != size {
		t.Fatalf("%+v, %v", head, err)
	}
	got := make(chan []byte)
	go func() {
		msg, err := l.CosignedCheckpoint(t.Context(), size)
		if err != nil {
			t.Error(err)
		}
		got <- msg
	}()
	bad := bytes.Clone(a.line(t, msg))
	bad[len(bad)-10] ^= 1
	other := chain.Checkpoint{Origin: head.Origin, Size: head.Size - 1, Root: head.Root}
	otherMsg, err := other.Sign(l.signer)
	if err != nil {
		t.Fatal(err)
	}
	for what, lines := range map[string][]byte{"another head's": a.line(t, otherMsg), "a flipped bit": bad, "a stranger's": stranger.line(t, msg), "nothing": nil, "the other's": b.line(t, msg), "no line": []byte("hello\n")} {
		if err := l.Cosign(size, a.key, lines); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if string(l.Checkpoint()) != string(msg) {
		t.Error("what does not verify was joined")
	}
	// Beside others, in any order; a line that is sent twice counts once.
	if err := l.Cosign(size, b.key, append(stranger.line(t, msg), b.line(t, msg)...)); err != nil {
		t.Fatal(err)
	}
	if err := l.Cosign(size, b.key, b.line(t, msg)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
		t.Fatal("one of two was enough")
	case <-time.After(20 * time.Millisecond):
	}
	if err := l.Cosign(size, a.key, a.line(t, msg)); err != nil {
		t.Fatal(err)
	}
	want := string(msg) + string(a.line(t, msg)) + string(b.line(t, msg))
	if cosigned := <-got; string(cosigned) != want {
		t.Errorf("the log's own first, then as in the register:\n%s\n%s", cosigned, want)
	}
	if string(l.Checkpoint()) != want {
		t.Error("the published note lacks the signatures")
	}
	// As others read it.
	va, err := fnote.NewVerifierForCosignatureV1(a.key)
	if err != nil {
		t.Fatal(err)
	}
	vb, err := fnote.NewVerifierForCosignatureV1(b.key)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(l.Checkpoint(), note.VerifierList(l.verifier, va, vb)); err != nil || len(n.Sigs) != 3 {
		t.Errorf("%v", err)
	}
	proof, err := l.Entry(t.Context(), admin, 0)
	if err != nil || string(proof.Checkpoint) != want {
		t.Errorf("an entry's proof lacks the signatures: %v", err)
	}
	// The next head has none, and waits for its own.
	if _, _, err := l.ChangeWitnesses(t.Context(), admin, WitnessChange{Required: number(1)}); err != nil {
		t.Fatal(err)
	}
	away, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.CosignedCheckpoint(away, size+1); !errors.Is(err, ErrWitnessesAway) {
		t.Errorf("the next head: %v", err)
	}
	if msg, err := l.CosignedCheckpoint(t.Context(), size); err != nil || string(msg) != want {
		t.Errorf("the head before is signed: %v\n%s", err, msg)
	}
	if st, err := l.Stats(); err != nil || st.Witnesses != 2 || st.Required != 1 || st.Cosigned != size || st.WitnessesAway != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	l.WitnessAway(l.Witnesses().All[0].ID, "it answers 500")
	if st, err := l.Stats(); err != nil || st.WitnessesAway != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if s := l.WitnessState(l.Witnesses().All[0].ID); s.Size != size || s.AwaySince.IsZero() || s.Why == "" {
		t.Errorf("%+v", s)
	}
}

func TestAHeadContinuesEveryOneBefore(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	var heads []chain.Checkpoint
	for n := range byte(12) {
		addWitness(t, l, newTestWitness(t, 1+n), nil)
		if _, err := l.CosignedCheckpoint(t.Context(), l.Size()); err != nil {
			t.Fatal(err)
		}
		head, _, err := l.Head()
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	for i, older := range heads {
		for _, newer := range heads[i:] {
			proof, err := l.Consistency(older.Size, newer.Size)
			if err != nil {
				t.Fatal(err)
			}
			if err := chain.CheckConsistency(older, newer, proof); err != nil {
				t.Fatalf("from %d to %d: %v", older.Size, newer.Size, err)
			}
			older := older
			older.Root[0] ^= 1
			if err := chain.CheckConsistency(older, newer, proof); err == nil {
				t.Fatalf("control: from another %d to %d", older.Size, newer.Size)
			}
		}
	}
	if _, err := l.Consistency(1, l.Size()+1); err == nil {
		t.Error("a proof to a head that is not there")
	}
}

func TestWhoIsContradictedStaysShutOrWritesNoMore(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	head := l.Size()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	w.ask = func(l *Ledger) error {
		asked++
		if c, _, err := l.Head(); err != nil || c.Size != head {
			t.Errorf("asked about %+v, %v", c, err)
		}
		return ErrContradicted
	}
	if _, err := w.open(); !errors.Is(err, ErrContradicted) || asked != 1 {
		t.Fatalf("opened: %v, asked %d times", err, asked)
	}
	w.ask = nil
	l, err := w.open() // control
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addWitness(t, l, newTestWitness(t, 1), nil)
	l.Contradicted(fmt.Errorf("%w: it has signed more", ErrContradicted))
	if err := l.Health(); !errors.Is(err, ErrReadOnly) || !errors.Is(err, ErrContradicted) {
		t.Errorf("health: %v", err)
	}
	if _, _, err := l.ChangeWitnesses(t.Context(), admin, WitnessChange{Required: number(1)}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a write: %v", err)
	}
}
