package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// The results of an import are a file of lines: what is imported and where to,
// then, in the order in which it happened, {"sent":[…]} before lines are sent
// and the answer to each line afterwards. A line that was sent and has no answer
// may be recorded or not, whatever ended the import: it is sent again, under the
// same idempotency key.

const resultsVersion = 2

type resultsHead struct {
	Import int    `json:"import"`
	Origin string `json:"origin"`
	SHA256 string `json:"sha256"` // of the file that is imported
	Lines  int    `json:"lines"`
	ID     string `json:"id"` // random; the idempotency keys of its lines begin with it
}

// span says that the lines from one to another, counted from 1, are sent, or
// were not sent after all.
type span struct {
	Sent   *[2]int `json:"sent,omitempty"`
	Unsent *[2]int `json:"unsent,omitempty"`
}

type lineState byte

const (
	lineLeft lineState = iota // not sent, or certainly not recorded
	lineSent
	lineRecorded
	lineRefused
	lineStates
)

// maxRefusedShown is how many refused lines are told on the terminal.
const maxRefusedShown = 20

type results struct {
	head    resultsHead
	f       *os.File
	states  []lineState
	counts  [lineStates]int
	refused []answered // the first ones
}

// openResults opens what an import has come to so far, or begins it.
func openResults(path string, head resultsHead) (_ *results, err error) {
	r := &results{head: head, states: make([]lineState, head.Lines)}
	r.counts[lineLeft] = head.Lines
	r.f, err = os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		r.head.ID = "file-" + rand.Text()
		if r.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			err = errors.Join(r.lock(), r.append(r.head), r.sync())
		}
		if err != nil {
			return nil, fmt.Errorf("begin the results: %w", err)
		}
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	if err := r.lock(); err != nil {
		_ = r.f.Close()
		return nil, fmt.Errorf("go on from %s: %w", path, err)
	}
	if err := r.load(); err != nil {
		_ = r.f.Close()
		return nil, fmt.Errorf("go on from %s: %w (another name for --results begins anew, and records again whatever this import has recorded)", path, err)
	}
	return r, nil
}

// lock keeps a second import from going on from the same results.
func (r *results) lock() error {
	if err := unix.Flock(int(r.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.New("another import is writing it; wait for its end")
	}
	return nil
}

// load reads the file, and takes off a last line that was not written whole.
func (r *results) load() error {
	in := bufio.NewReader(r.f)
	whole := int64(0)
	for first := true; ; first = false {
		b, err := in.ReadBytes('\n')
		if err == io.EOF {
			if first {
				return errors.New("it is empty or was cut off at its first line")
			}
			break
		}
		if err != nil {
			return err
		}
		whole += int64(len(b))
		if first {
			var h resultsHead
			switch err := json.Unmarshal(b, &h); {
			case err != nil || h.Import != resultsVersion:
				return errors.New("it is not the results of an import")
			case h.Origin != r.head.Origin:
				return fmt.Errorf("it is of an import into the ledger %s, and this one is %s", h.Origin, r.head.Origin)
			case h.SHA256 != r.head.SHA256 || h.Lines != r.head.Lines:
				return errors.New("the file with the lines is not as it was when the import began: put it back as it was, and lines that were refused, mended, into a file of their own, or what was recorded is recorded again")
			}
			r.head = h
			continue
		}
		var row struct {
			span
			answered
		}
		if err := json.Unmarshal(b, &row); err != nil {
			return errors.New("it is damaged")
		}
		switch {
		case row.Sent != nil:
			r.setAll(*row.Sent, lineSent)
		case row.Unsent != nil:
			r.setAll(*row.Unsent, lineLeft)
		case row.Line >= 1 && row.Line <= len(r.states):
			r.take(row.answered)
		default:
			return errors.New("it names a line that the file does not have")
		}
	}
	if err := r.f.Truncate(whole); err != nil {
		return err
	}
	_, err := r.f.Seek(whole, io.SeekStart)
	return err
}

func (r *results) setAll(s [2]int, to lineState) {
	for n := max(s[0], 1); n <= min(s[1], len(r.states)); n++ {
		if now := r.states[n-1]; now == lineLeft || now == lineSent {
			r.set(n-1, to)
		}
	}
}

func (r *results) set(number int, to lineState) {
	r.counts[r.states[number]]--
	r.states[number] = to
	r.counts[to]++
}

func (r *results) take(a answered) {
	to := a.state()
	if to == lineRefused && r.states[a.Line-1] != lineRefused && len(r.refused) < maxRefusedShown {
		r.refused = append(r.refused, a)
	}
	r.set(a.Line-1, to)
}

func (r *results) state(number int) lineState { return r.states[number] }
func (r *results) count(s lineState) int      { return r.counts[s] }

func (r *results) append(row any) error {
	b, err := json.Marshal(row)
	if err == nil {
		_, err = r.f.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

func (r *results) sync() error {
	if err := r.f.Sync(); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// sending says, before anything is sent, what will be.
func (r *results) sending(numbers []int) error {
	for s := range spans(numbers) {
		if err := r.append(span{Sent: &s}); err != nil {
			return err
		}
		r.setAll(s, lineSent)
	}
	return r.sync()
}

// unsent says that nothing of what was to be sent was recorded.
func (r *results) unsent(numbers []int) error {
	for s := range spans(numbers) {
		if err := r.append(span{Unsent: &s}); err != nil {
			return err
		}
		r.setAll(s, lineLeft)
	}
	return r.sync()
}

// spans are numbers without a gap, as first and last line.
func spans(numbers []int) iter.Seq[[2]int] {
	return func(yield func([2]int) bool) {
		for i := 0; i < len(numbers); {
			from := numbers[i] + 1
			for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
			}
			if !yield([2]int{from, numbers[i-1] + 1}) {
				return
			}
		}
	}
}

// answers keeps the answers to lines. It is an error if some are left without
// a final one; those that came are kept.
func (r *results) answers(numbers []int, all []byte) error {
	var kept bytes.Buffer
	got, unfinished := 0, ""
	for raw := range bytes.Lines(all) {
		var a answered
		if raw[len(raw)-1] != '\n' || got == len(numbers) || json.Unmarshal(raw, &a) != nil || a.Line != got+1 {
			return errAnswers
		}
		b, err := renumber(bytes.TrimSuffix(raw, []byte("\n")), numbers[got])
		if err != nil {
			return err
		}
		kept.Write(append(b, '\n'))
		a.Line = numbers[got] + 1
		r.take(a)
		if s := a.state(); (s == lineLeft || s == lineSent) && unfinished == "" {
			unfinished = fmt.Sprintf("line %d: %s", a.Line, a.why())
		}
		got++
	}
	if _, err := r.f.Write(kept.Bytes()); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	if unfinished != "" {
		if got < len(numbers) && r.states[numbers[got-1]] == lineLeft {
			// Reading ended there: nothing after it was looked at.
			if err := r.unsent(numbers[got:]); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s: run the same command again to go on", unfinished)
	}
	if got < len(numbers) {
		return fmt.Errorf("the server answered %d of %d lines and ended: see its log, then run the same command again", got, len(numbers))
	}
	return nil
}

func (r *results) close() error {
	if err := errors.Join(r.f.Sync(), r.f.Close()); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}
