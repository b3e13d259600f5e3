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
//	consentledger verify state v1
//	sha256 <hex of all that follows this line>
//	verified <time in UTC, RFC 3339, whole seconds>
//	<empty line>
//	<the signed checkpoint, byte for byte>
//
// There is one way to write it. The checksum is against damage; what keeps a
// forger away is the log's signature on the checkpoint, which Verify checks.
type State struct {
	Verified   time.Time
	Checkpoint []byte
}

// ErrState says that a file is no state, or a damaged one.
var ErrState = errors.New("not a state of verify")

const (
	stateMagic = "consentledger verify state v1\n"
	stateSum   = "sha256 "
	stateTime  = "verified "
	maxState   = maxCheckpoint + 1024
)

// ParseState parses what AppendTo writes, and nothing else.
func ParseState(b []byte) (State, error) {
	rest, ok := bytes.CutPrefix(b, []byte(stateMagic))
	if !ok {
		return State{}, fmt.Errorf("%w: it does not begin with %q", ErrState, stateMagic[:len(stateMagic)-1])
	}
	_, rest, _ = bytes.Cut(rest, []byte("\n")) // the sum is compared below
	line, rest, _ := bytes.Cut(rest, []byte("\n"))
	at, err := time.Parse(stateTime+time.RFC3339, string(line))
	checkpoint, ok := bytes.CutPrefix(rest, []byte("\n"))
	if err != nil || !ok || Claims(checkpoint).Origin == "" {
		return State{}, fmt.Errorf("%w: it is damaged", ErrState)
	}
	s := State{Verified: at, Checkpoint: checkpoint}
	if !bytes.Equal(s.AppendTo(nil), b) {
		return State{}, fmt.Errorf("%w: its checksum is not that of what it holds, or it is written another way", ErrState)
	}
	return s, nil
}

// AppendTo appends the state as it stands in a file.
func (s State) AppendTo(b []byte) []byte {
	body := s.Verified.UTC().AppendFormat([]byte(stateTime), "2006-01-02T15:04:05Z")
	body = append(append(body, "\n\n"...), s.Checkpoint...)
	sum := sha256.Sum256(body)
	b = append(b, stateMagic+stateSum+hex.EncodeToString(sum[:])+"\n"...)
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
