package chain

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// ErrNote says that a message is no signed note, or not written in the one way
// in which notes are written.
var ErrNote = errors.New("not a canonical signed note")

// OpenNote returns the text of a signed note (C2SP signed-note v1.0.0) that v
// has signed and nobody else. No byte of the message can be changed unseen: a
// signature line that is written in another way, such as with stray bits at
// the end of its base64, is refused, and so is a second one. Errors wrap
// ErrNote or ErrSignature.
//
// What signs a checkpoint signs other notes, too: whoever opens one must look
// at its first line.
func OpenNote(msg []byte, v note.Verifier) (text string, err error) {
	n, err := readNote(msg)
	if err != nil {
		return "", err
	}
	if len(n.UnverifiedSigs) != 1 {
		return "", fmt.Errorf("%w: it has %d signatures instead of one", ErrNote, len(n.UnverifiedSigs))
	}
	if by := n.UnverifiedSigs[0]; by.Name != v.Name() || by.Hash != v.KeyHash() {
		return "", fmt.Errorf("%w: it is signed by the key %s+%08x, and the one given is %s+%08x", ErrSignature, by.Name, by.Hash, v.Name(), v.KeyHash())
	}
	if _, err := note.Open(msg, note.VerifierList(v)); err != nil {
		return "", fmt.Errorf("%w: the signature does not fit the text", ErrSignature)
	}
	return n.Text, nil
}

// readNote reads a note without checking signatures: they are all among the
// unverified ones.
func readNote(msg []byte) (*note.Note, error) {
	// note.Open with no verifiers checks the form of the note.
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(msg, note.VerifierList()); !errors.As(err, &unverified) {
		return nil, fmt.Errorf("%w: %w", ErrNote, err)
	}
	n := unverified.Note
	// note.Open reads base64 with stray bits at its end, or line ends within:
	// two messages for one signature. So write the note again and compare.
	var canonical bytes.Buffer
	canonical.WriteString(n.Text)
	canonical.WriteByte('\n')
	for _, sig := range n.UnverifiedSigs {
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		if err != nil {
			return nil, fmt.Errorf("%w: a signature is not base64", ErrNote)
		}
		canonical.WriteString("— " + sig.Name + " " + base64.StdEncoding.EncodeToString(raw) + "\n")
	}
	if !bytes.Equal(canonical.Bytes(), msg) {
		return nil, fmt.Errorf("%w: a signature line is not written in the one way allowed", ErrNote)
	}
	return n, nil
}
