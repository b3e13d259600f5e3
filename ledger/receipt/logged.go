package receipt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
)

// Logged is what a file has of the log: one entry as it is stored, what opens
// it, and the proof that it is there.
type Logged struct {
	Origin     string    `json:"origin"`
	Index      uint64    `json:"index"`
	LeafHash   string    `json:"leaf_hash"` // lower-case hex
	RecordedAt time.Time `json:"recorded_at"`
}

// A Disclosure opens one entry, and proves it to be in the log.
type Disclosure struct {
	Entry []byte `json:"entry"` // base64
	PRK   []byte `json:"prk"`   // base64 of HKDF's PRK of this entry
	Proof string `json:"proof"` // C2SP tlog-proof, with its checkpoint
}

// Entry is what a receipt or certificate is made of.
type Entry struct {
	Bytes []byte
	PRK   [sha256.Size]byte
	Proof chain.Proof
}

func (e Entry) logged(origin string) (Logged, Disclosure, error) {
	parsed, err := chain.Parse(e.Bytes)
	if err != nil {
		return Logged{}, Disclosure{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	leaf := chain.LeafHash(e.Bytes)
	return Logged{origin, e.Proof.Index, hex.EncodeToString(leaf[:]), time.UnixMilli(parsed.RecordedAtUnixMs).UTC()},
		Disclosure{e.Bytes, e.PRK[:], string(e.Proof.Marshal())}, nil
}

// Format prints nothing of what opens an entry.
func (Entry) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[entry]")) }

// Format prints nothing of what opens an entry.
func (Disclosure) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[disclosure]")) }

// A Checked says what was found good of the log in a file.
type Checked struct {
	Size      uint64        // of the checkpoint: how many entries the log had
	Cosigned  []Cosignature // by the witnesses whose keys were given
	Unchecked []string      // names on the checkpoint whose keys were not given: they show nothing
}

// A Cosignature is a witness's word that at a time by its clock the log was as
// the checkpoint says, and continued all that the witness had seen of it.
type Cosignature struct {
	Name string
	At   time.Time
}

// Keys are what a file is checked with.
type Keys struct {
	Log note.Verifier // of the ledger
	// Witnesses are those that must have signed, by chain.ParseWitnessKey. A
	// cosignature of nobody here is reported as unchecked.
	// One that is given twice counts once.
	Witnesses []note.Verifier
}

// once returns each of some verifiers once: of two alike package note takes neither.
func once(all []note.Verifier) (out []note.Verifier) {
	for _, w := range all {
		if !slices.ContainsFunc(out, func(o note.Verifier) bool { return o.Name() == w.Name() && o.KeyHash() == w.KeyHash() }) {
			out = append(out, w)
		}
	}
	return out
}

// check opens the entry, and returns its body.
func (d *Disclosure) check(l *Logged, k Keys) (body []byte, c Checked, err error) {
	if l.Origin != k.Log.Name() {
		return nil, c, fmt.Errorf("%w: it says %s, and the key is that of %s", ErrOtherLedger, l.Origin, k.Log.Name())
	}
	entry, err := chain.Parse(d.Entry)
	if err != nil {
		return nil, c, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	leaf := chain.LeafHash(d.Entry)
	if hex.EncodeToString(leaf[:]) != l.LeafHash {
		return nil, c, fmt.Errorf("%w: its leaf hash is %x, and the file says %s", ErrEntry, leaf[:], l.LeafHash)
	}
	if at := time.UnixMilli(entry.RecordedAtUnixMs); !at.Equal(l.RecordedAt) {
		return nil, c, fmt.Errorf("%w: it was recorded at %s, and the file says %s", ErrEntry, at.UTC().Format(time.RFC3339Nano), l.RecordedAt.UTC().Format(time.RFC3339Nano))
	}
	if c, err = d.checkProof(l, leaf, k); err != nil {
		return nil, c, err
	}
	if len(d.PRK) != sha256.Size {
		return nil, c, fmt.Errorf("%w: it has %d bytes instead of %d", ErrPRK, len(d.PRK), sha256.Size)
	}
	body, err = seal.NewBox(l.Origin).OpenPRK(nil, chain.Version, [sha256.Size]byte(d.PRK), entry.Sealed)
	switch {
	case errors.Is(err, seal.ErrWrongKey):
		return nil, c, fmt.Errorf("%w: it is that of another entry", ErrPRK)
	case err != nil:
		return nil, c, fmt.Errorf("%w: %w", ErrPRK, err)
	}
	return body, c, nil
}

func (d *Disclosure) checkProof(l *Logged, leaf chain.Hash, k Keys) (c Checked, err error) {
	p, err := chain.ParseProof([]byte(d.Proof))
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if p.Index != l.Index {
		return c, fmt.Errorf("%w: the proof is that of entry %d, and the file is about entry %d", ErrProof, p.Index, l.Index)
	}
	witnesses := once(k.Witnesses)
	known := append([]note.Verifier{k.Log}, witnesses...)
	head, err := p.Open(leaf, note.VerifierList(known...), l.Origin)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrProof, err)
	}
	c.Size = head.Size
	n, err := note.Open(p.Checkpoint, note.VerifierList(known...))
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrProof, err) // Open has just taken it
	}
	for _, w := range witnesses {
		at, err := signedBy(n, w)
		if err != nil {
			return c, err
		}
		c.Cosigned = append(c.Cosigned, Cosignature{w.Name(), at})
	}
	for _, s := range n.UnverifiedSigs {
		c.Unchecked = append(c.Unchecked, s.Name)
	}
	return c, nil
}

// signedBy is when a witness signed a note that was opened.
func signedBy(n *note.Note, w note.Verifier) (time.Time, error) {
	for _, s := range n.Sigs {
		if s.Name == w.Name() && s.Hash == w.KeyHash() {
			at, err := chain.CosignedAt(s)
			if err != nil {
				return at, fmt.Errorf("%w: %w", ErrCosignature, err)
			}
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %s, whose key was given, has not signed the checkpoint", ErrCosignature, w.Name())
}
