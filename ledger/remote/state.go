package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State is what a reader keeps of a log that it found intact, in a file:
//
//	consentledger verify state v2
//	sha256 <hex of all that follows this line>
//	verified <time in UTC, RFC 3339, whole seconds>
//	whole <time, likewise>
//	<empty line>
//	<the signed checkpoint, byte for byte>
//
// There is one way to write it. Nothing else is needed to go on from there: the
// entries from the start of the checkpoint's last tile are read again, and its
// root hash says that they, and what leads to them, are those that were
// verified. The checksum is against damage; what keeps a forger away is the
// log's signature on the checkpoint, which Verify checks.
//
// Files of version 1, which had no line "whole", are read: then all was read
// each time.
type State struct {
	// Verified is when the checkpoint was verified, Whole when all of the log,
	// as it was then, was last read.
	Verified, Whole time.Time
	Checkpoint      []byte
}

// ErrState says that a file is no state, or a damaged one.
var ErrState = errors.New("not a state of verify")

const (
	stateMagic1 = "consentledger verify state v1\n"
	stateMagic  = "consentledger verify state v2\n"
	stateSum    = "sha256 "
	stateTime   = "verified "
	stateWhole  = "whole "
	maxState    = maxCheckpoint + 1024
)

// ParseState parses what AppendTo writes, and files of version 1, and nothing
// else.
func ParseState(b []byte) (State, error) {
	rest, now := bytes.CutPrefix(b, []byte(stateMagic))
	if !now {
		var ok bool
		if rest, ok = bytes.CutPrefix(b, []byte(stateMagic1)); !ok {
			return State{}, fmt.Errorf("%w: it does not begin with %q", ErrState, stateMagic[:len(stateMagic)-1])
		}
	}
	_, rest, _ = bytes.Cut(rest, []byte("\n")) // the sum is compared below
	var s State
	var err, err2 error
	s.Verified, rest, err = cutTime(rest, stateTime)
	if s.Whole = s.Verified; now {
		s.Whole, rest, err2 = cutTime(rest, stateWhole)
	}
	checkpoint, ok := bytes.CutPrefix(rest, []byte("\n"))
	if err != nil || err2 != nil || !ok || Claims(checkpoint).Origin == "" {
		return State{}, fmt.Errorf("%w: it is damaged", ErrState)
	}
	s.Checkpoint = checkpoint
	again := s.AppendTo(nil)
	if !now {
		again = s.append1(nil)
	}
	if !bytes.Equal(again, b) {
		return State{}, fmt.Errorf("%w: its checksum is not that of what it holds, or it is written another way", ErrState)
	}
	return s, nil
}

// cutTime cuts a line with a time off b.
func cutTime(b []byte, label string) (at time.Time, rest []byte, err error) {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	at, err = time.Parse(label+time.RFC3339, string(line))
	return at, rest, err
}

// AppendTo appends the state as it stands in a file.
func (s State) AppendTo(b []byte) []byte {
	return appendSummed(append(b, stateMagic...), appendTime(appendTime(nil, stateTime, s.Verified), stateWhole, s.Whole), s.Checkpoint)
}

// append1 is AppendTo as it was in version 1.
func (s State) append1(b []byte) []byte {
	return appendSummed(append(b, stateMagic1...), appendTime(nil, stateTime, s.Verified), s.Checkpoint)
}

func appendTime(b []byte, label string, at time.Time) []byte {
	return at.UTC().AppendFormat(append(b, label...), "2006-01-02T15:04:05Z\n")
}

func appendSummed(b, lines, checkpoint []byte) []byte {
	body := append(append(lines, '\n'), checkpoint...)
	sum := sha256.Sum256(body)
	b = append(b, stateSum+hex.EncodeToString(sum[:])+"\n"...)
	return append(b, body...)
}

// ReadState reads a state file; nil if there is none.
func ReadState(path string) (*State, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	s, err := ParseState(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: nothing was checked and the file is as it was: put a copy of it back; who moves it away instead begins anew, and no longer notices a history that was rewritten before today", path, err)
	}
	return &s, nil
}

// WriteState replaces a state file as a whole: whenever it is cut short, the
// old one or the new one is there.
func WriteState(path string, s State) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(s.AppendTo(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
