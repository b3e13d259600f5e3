package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"consentledger/ledger/chain"
)

// What does not fit. Open says more in words.
var (
	// ErrFile says that a file is none of this kind, or is damaged in its form.
	ErrFile = errors.New("not a file of this kind")
	// ErrSignature says that the file is not signed by the key that was given.
	ErrSignature = errors.New("not signed by this key")
	// ErrOtherLedger says that the file is another ledger's.
	ErrOtherLedger = errors.New("of another ledger")
	// ErrEntry says that the entry in the file is no entry, or another one.
	ErrEntry = errors.New("the entry does not fit")
	// ErrProof says that the entry is not shown to be in the log.
	ErrProof = errors.New("not proved to be in the log")
	// ErrPRK says that what was disclosed does not open the entry.
	ErrPRK = errors.New("the disclosed PRK does not open the entry")
	// ErrContent says that the entry says something else than the file.
	ErrContent = errors.New("the entry says something else")
	// ErrCosignature says that a witness whose key was given has not signed.
	ErrCosignature = errors.New("not cosigned by the witness")
)

// MaxFileBytes bounds what is read as a file. The largest that is made is that
// of an entry of 63,637 bytes with all that it says and a policy's texts.
const MaxFileBytes = 4 << 20

// receiptLine is the first line of a receipt. By it no kind of file is taken
// for another, nor for a checkpoint, whose second line is a number.
const receiptLine = "consentledger/receipt/v1"

// Digest is the SHA-256 of a file, by which it can be told from others on paper.
func Digest(file []byte) [sha256.Size]byte { return sha256.Sum256(file) }

// sign writes a file: the line, v as JSON, the signature.
func sign(line string, v any, s note.Signer) ([]byte, error) {
	text, err := textOf(line, v)
	if err != nil {
		return nil, err
	}
	msg, err := note.Sign(&note.Note{Text: string(text)}, s)
	if err != nil {
		return nil, fmt.Errorf("sign a file: %w", err)
	}
	return msg, nil
}

func textOf(line string, v any) ([]byte, error) {
	b := bytes.NewBufferString(line + "\n")
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write a file: %w", err)
	}
	return b.Bytes(), nil
}

// A form is what a file has in it.
type form interface {
	utc() // writes its times as they are written when it is made
}

// isNumber says whether every reader of JSON takes a number as it is and writes it so again: as RFC 8785
// writes it, section 3.2.2.3, which encoding/json does but for a zero below zero.
func isNumber(s json.Number) bool {
	f, err := s.Float64()
	if err != nil {
		return false
	}
	b, err := json.Marshal(f)
	return err == nil && string(b) == string(s) && s != "-0"
}

func numbers(text string) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	for {
		switch t, err := dec.Token(); n := t.(type) {
		case json.Number:
			if !isNumber(n) {
				return fmt.Errorf("%w: its JSON has a number that is not written in the one way allowed", ErrFile)
			}
		case nil:
			if err != nil {
				return nil // the end: that it is JSON was seen before
			}
		}
	}
}

// open reads what sign wrote, and nothing else.
func open(line string, file []byte, v note.Verifier, into form) error {
	if len(file) > MaxFileBytes {
		return fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrFile, len(file), MaxFileBytes)
	}
	text, err := chain.OpenNote(file, v)
	switch first, _, _ := bytes.Cut(file, []byte("\n")); {
	case string(first) != line:
		return fmt.Errorf("%w: its first line is not %s", ErrFile, line)
	case errors.Is(err, chain.ErrSignature):
		return fmt.Errorf("%w: %w", ErrSignature, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	dec := json.NewDecoder(strings.NewReader(text[len(line)+1:]))
	dec.DisallowUnknownFields()
	dec.UseNumber() // what has no type of its own is written again as it came
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: its JSON cannot be read: %w", ErrFile, err)
	}
	if err := numbers(text[len(line)+1:]); err != nil {
		return err
	}
	into.utc()
	again, err := textOf(line, into)
	if err != nil || string(again) != text {
		return fmt.Errorf("%w: its JSON is not written in the one way allowed", ErrFile)
	}
	return nil
}
