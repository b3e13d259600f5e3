package chain

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrOrigin is what every error of ParseOrigin wraps.
	ErrOrigin = errors.New("not an origin")
	// ErrCheckpoint says that a message is no checkpoint, or not written as
	// checkpoints are written. Every error of OpenCheckpoint that is not
	// ErrSignature or ErrOtherOrigin wraps it.
	ErrCheckpoint = errors.New("malformed checkpoint")
	// ErrSignature says that a checkpoint does not carry a good signature of
	// the log, under a key that the caller knows.
	ErrSignature = errors.New("checkpoint not signed by the log")
	// ErrOtherOrigin says that a checkpoint is another log's.
	ErrOtherOrigin = errors.New("checkpoint of another origin")
)

const maxOriginBytes = 255

// ParseOrigin checks the public name of a log: a URL without its scheme, such
// as "ledger.example/consent". It is 1 to 255 bytes of UTF-8, without spaces,
// plus signs or characters that cannot be seen (it stands in a line of a
// note, and is the name of the key: C2SP signed-note), and without "://".
func ParseOrigin(s string) (string, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("%w: it is empty; name the log, for example ledger.example/consent", ErrOrigin)
	case len(s) > maxOriginBytes:
		return "", fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrOrigin, len(s), maxOriginBytes)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%w: it is not valid UTF-8", ErrOrigin)
	case strings.Contains(s, "://"):
		return "", fmt.Errorf("%w: it has a scheme; leave out what is before and with ://", ErrOrigin)
	}
	for _, r := range s {
		// IsGraphic leaves out control and format characters, among them
		// those that reverse or hide what a person reads.
		if unicode.IsSpace(r) || r == '+' || !unicode.IsGraphic(r) {
			return "", fmt.Errorf("%w: it holds the character %U; spaces, plus signs and control characters are not allowed", ErrOrigin, r)
		}
	}
	return s, nil
}

// Checkpoint is the head of a log: C2SP tlog-checkpoint without extension
// lines.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// text returns the body of the checkpoint's note.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// parseText parses the body of a checkpoint's note. What parses is written the
// same way again.
func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: it must have three lines, origin, size and root hash, and no others", ErrCheckpoint)
	}
	origin, err := ParseOrigin(lines[0])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: line 1: %w", ErrCheckpoint, err)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: line 2 is not a size in decimal digits", ErrCheckpoint)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != HashSize {
		return Checkpoint{}, fmt.Errorf("%w: line 3 is not the base64 of a root hash", ErrCheckpoint)
	}
	c := Checkpoint{Origin: origin, Size: size, Root: Hash(root)}
	if c.text() != text {
		return Checkpoint{}, fmt.Errorf("%w: its size or root hash is not written in the one way allowed", ErrCheckpoint)
	}
	if size == 0 && c.Root != emptyRoot() {
		return Checkpoint{}, fmt.Errorf("%w: its size is 0 and its root hash is not that of an empty log", ErrCheckpoint)
	}
	return c, nil
}

// Sign returns the checkpoint as a signed note. The signer's name must be the
// origin.
func (c Checkpoint) Sign(s note.Signer) ([]byte, error) {
	if _, err := parseText(c.text()); err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	if s.Name() != c.Origin {
		return nil, fmt.Errorf("signing a checkpoint of %s: %w: the key is that of %s", c.Origin, ErrOtherOrigin, s.Name())
	}
	msg, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint of %s: %w", c.Origin, err)
	}
	return msg, nil
}

// OpenCheckpoint returns the checkpoint in a signed note of the given origin,
// if a verifier in v that has the origin's name accepts a signature on it,
// and none in v rejects one. Signatures of others, such as witnesses, may
// stand beside it. The message must be exactly canonical, every signature
// line too, so that no byte of it can be changed unseen (but for signatures
// that v does not know). Errors wrap ErrCheckpoint, ErrSignature or
// ErrOtherOrigin.
func OpenCheckpoint(msg []byte, v note.Verifiers, origin string) (Checkpoint, error) {
	c, err := readCheckpoint(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("%w: it says %s instead of %s", ErrOtherOrigin, c.Origin, origin)
	}
	n, err := note.Open(msg, v)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	for _, sig := range n.Sigs {
		if sig.Name == origin {
			return c, nil
		}
	}
	return Checkpoint{}, fmt.Errorf("%w: only others have signed it", ErrSignature)
}

// readCheckpoint reads a checkpoint without checking signatures.
func readCheckpoint(msg []byte) (Checkpoint, error) {
	n, err := readNote(msg)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return parseText(n.Text)
}
