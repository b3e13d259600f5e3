package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"consentledger/server"
	"consentledger/server/api"
)

type importCmd struct {
	place
	LinesFile string `arg:"" name:"file" help:"A call a line, as POST /v1/batch takes them."`
	Results   string `placeholder:"F" help:"Where the answer to each line is kept, from which a stopped import goes on (default <file>.results)."`
	Skip      bool   `help:"Leave lines out whose answer never came, instead of sending them again. They may not be recorded."`
	DryRun    bool   `help:"Check the form of every line, and send nothing. What the rules say of them is not asked."`
	JSON      bool   `name:"json" help:"Print one JSON object."`
}

const (
	pieceLines = 512     // of one request
	pieceBytes = 4 << 20 // about
	lineBytes  = 64 << 10
)

// imported is what an import came to.
type imported struct {
	Lines    int    `json:"lines"`
	Recorded int    `json:"recorded"`
	Refused  int    `json:"refused"`
	Unknown  int    `json:"unknown"` // sent, and no answer came: recorded or not
	Left     int    `json:"left"`    // not sent
	Results  string `json:"results,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"`
}

func (c *importCmd) Run(ctx context.Context, t *terminal) error {
	f, err := os.Open(c.LinesFile)
	if err != nil {
		return fmt.Errorf("read the lines: %w", err)
	}
	defer f.Close()
	if c.DryRun {
		return c.dryRun(f, t)
	}
	if c.Results == "" {
		c.Results = c.LinesFile + ".results"
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	var res *results
	err = c.withControl(ctx, func(s *control) error {
		var in api.Info
		if err := s.call(ctx, http.MethodGet, "/control/info", nil, &in); err != nil {
			return err
		}
		head, err := headOf(f, in.Origin)
		if err != nil {
			return err
		}
		if res, err = openResults(c.Results, head); err != nil {
			return err
		}
		return errors.Join(c.send(ctx, t, s, f, res), res.close())
	})
	if res == nil {
		return err
	}
	if err := errors.Join(err, c.tell(t, res)); err != nil {
		return err
	}
	if res.count(lineRefused) > 0 {
		return no{}
	}
	return nil
}

// withKey gives a line the idempotency key of its place in this import, unless it has one of its own or
// no room for it: a line that is sent again, because its answer never came, is then recorded once.
func withKey(line []byte, id string, number int) []byte {
	rest, object := bytes.CutPrefix(bytes.TrimLeft(line, " \t"), []byte("{"))
	key := `{"idempotency_key":"` + id + "-" + strconv.Itoa(number+1) + `",`
	if !object || bytes.Contains(line, []byte("idempotency_key")) || len(key)+len(rest) > lineBytes || len(bytes.Trim(rest, " \t\r}")) == 0 {
		return line
	}
	return append([]byte(key), rest...)
}

// send sends every line that has no answer, in the file's order, in pieces, each
// answered before the next.
func (c *importCmd) send(ctx context.Context, t *terminal, s *control, f *os.File, res *results) error {
	progress, done := newProgress(t.err, "import", "lines")
	defer done()
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	in, err := newLines(f)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	var numbers []int
	for number, more := 0, true; more; {
		body.Reset()
		numbers = numbers[:0]
		for len(numbers) < pieceLines && body.Len() < pieceBytes {
			var line []byte
			if line, more, err = in.next(); err != nil {
				return err
			} else if !more {
				break
			}
			switch res.state(number) {
			case lineRecorded, lineRefused:
			case lineSent:
				if c.Skip {
					break
				}
				fallthrough
			default:
				numbers = append(numbers, number)
				body.Write(withKey(line, res.head.ID, number))
				body.WriteByte('\n')
			}
			number++
		}
		if len(numbers) == 0 {
			progress(uint64(number), uint64(res.head.Lines))
			continue
		}
		if ctx.Err() != nil {
			return errStopped
		}
		if err := res.sending(numbers); err != nil {
			return err
		}
		// What was begun is heard to its end: a signal stops the next piece.
		b, err := s.do(context.WithoutCancel(ctx), http.MethodPost, "/v1/batch", "application/x-ndjson", body.Bytes())
		var r *refusal
		if errors.As(err, &r) { // of the whole piece, of which nothing was recorded
			return errors.Join(r, res.unsent(numbers))
		}
		if err != nil {
			return err
		}
		if err := res.answers(numbers, b); err != nil {
			return err
		}
		progress(uint64(number), uint64(res.head.Lines))
	}
	return nil
}

var errStopped = errors.New("stopped: run the same command again to go on")

func (c *importCmd) tell(t *terminal, res *results) error {
	out := imported{
		Lines: res.head.Lines, Recorded: res.count(lineRecorded), Refused: res.count(lineRefused),
		Unknown: res.count(lineSent), Left: res.count(lineLeft), Results: c.Results,
	}
	if c.JSON {
		return printJSON(t.out, out)
	}
	fmt.Fprintf(t.out, "%d lines: %d recorded, %d refused, %d without an answer, %d not sent\n", out.Lines, out.Recorded, out.Refused, out.Unknown, out.Left)
	for _, r := range res.refused {
		fmt.Fprintf(t.out, "line %d: %s\n", r.Line, r.why())
	}
	if more := out.Refused - len(res.refused); more > 0 {
		fmt.Fprintf(t.out, "… and %d more\n", more)
	}
	_, err := fmt.Fprintf(t.out, "the answer to each line is in %s\n", c.Results)
	return err
}

// dryRun says which lines have no form, and asks no ledger.
func (c *importCmd) dryRun(f *os.File, t *terminal) error {
	in, err := newLines(f)
	if err != nil {
		return err
	}
	out := imported{DryRun: true}
	var bad []string
	for {
		line, more, err := in.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		out.Lines++
		if p := server.CheckLine(line); p != nil {
			out.Refused++
			if len(bad) < maxRefusedShown {
				bad = append(bad, fmt.Sprintf("line %d: %s", out.Lines, (&refusal{*p}).Error()))
			}
		}
	}
	out.Left = out.Lines
	if c.JSON {
		err = printJSON(t.out, out)
	} else {
		_, err = fmt.Fprintf(t.out, "%d lines, %d of them without the form of a call; nothing was sent\n", out.Lines, out.Refused)
		for _, b := range bad {
			fmt.Fprintln(t.out, b)
		}
		if more := out.Refused - len(bad); more > 0 {
			fmt.Fprintf(t.out, "… and %d more\n", more)
		}
	}
	if err == nil && out.Refused > 0 {
		return no{}
	}
	return err
}

// lines reads a file's lines, without their ends. One that is too long for the
// server is cut to where that can be told.
type lines struct {
	in  *bufio.Reader
	buf []byte
}

func newLines(f *os.File) (*lines, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the lines: %w: give a file that can be read again, and no pipe", err)
	}
	return &lines{in: bufio.NewReaderSize(f, 128<<10)}, nil
}

func (l *lines) next() (line []byte, more bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		if n := lineBytes + 1 - len(l.buf); n > 0 {
			l.buf = append(l.buf, part[:min(n, len(part))]...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(l.buf) == 0:
			return nil, false, nil
		case err != nil && err != io.EOF:
			return nil, false, fmt.Errorf("read the lines: %w", err)
		}
		return bytes.TrimSuffix(l.buf, []byte("\n")), true, nil
	}
}

// headOf says which lines go to which ledger.
func headOf(f *os.File, origin string) (resultsHead, error) {
	in, err := newLines(f)
	if err != nil {
		return resultsHead{}, err
	}
	h := resultsHead{Import: resultsVersion, Origin: origin}
	for {
		_, more, err := in.next()
		if err != nil {
			return h, err
		}
		if !more {
			break
		}
		h.Lines++
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return h, fmt.Errorf("read the lines: %w", err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return h, fmt.Errorf("read the lines: %w", err)
	}
	h.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return h, nil
}

// answered is what every answer to a line has.
type answered struct {
	Line   int    `json:"line"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (a *answered) why() string {
	r := refusal{api.Problem{Code: a.Code, Field: a.Field, Detail: a.Detail}}
	return r.Error()
}

// state is what an answer means for its line.
func (a *answered) state() lineState {
	switch {
	case a.Status/100 == 2, a.Code == "already_done":
		return lineRecorded
	case a.Status == http.StatusInternalServerError:
		return lineSent // nobody knows
	case a.Status == http.StatusServiceUnavailable, a.Status == http.StatusRequestTimeout, a.Status == http.StatusUnauthorized:
		return lineLeft
	}
	return lineRefused
}

// renumber gives an answer its line's number in the file, from 1.
func renumber(raw []byte, number int) ([]byte, error) {
	rest, found := bytes.CutPrefix(raw, []byte(`{"line":`))
	i := bytes.IndexByte(rest, ',')
	if !found || i < 0 || !json.Valid(raw) {
		return nil, errAnswers
	}
	return append(strconv.AppendInt([]byte(`{"line":`), int64(number+1), 10), rest[i:]...), nil
}

var errAnswers = errors.New("the server's answers are not what was asked for: are this program and the server of one release?")
