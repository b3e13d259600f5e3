package drive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"consentledger/bench/internal/workload"
)

// A Batch is streams of POST /v1/batch. Lines are written as fast as the server
// reads them and answers are read as they come; it ends when the last line is answered.
type Batch struct {
	Target   Target
	Streams  int
	Duration time.Duration // of writing; 0: until Count
	Count    uint64        // at most so many lines; 0: no bound
	Line     workload.Body
	Next     func() (member uint64) // asked by several goroutines
}

// linesPerChunk makes chunks of some 28 KB.
const linesPerChunk = 64

// Run runs a batch to its end. Elapsed goes from the first line to the last answer.
func (b Batch) Run(ctx context.Context) (Result, error) {
	if b.Duration == 0 && b.Count == 0 {
		return Result{}, errors.New("a batch needs a bound: a duration or a count")
	}
	r := &batchRun{Batch: b, status: make(map[int]uint64), errs: make(map[string]uint64)}
	begin := time.Now()
	r.until = begin.Add(b.Duration)
	var work sync.WaitGroup
	for range b.Streams {
		work.Go(func() {
			if err := r.stream(ctx); err != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.errs[err.Error()]++
			}
		})
	}
	work.Wait()
	return Result{
		Elapsed: time.Since(begin), Requests: r.status[http.StatusCreated], Entries: r.entries.Load(),
		Status: r.status, Errors: r.errs, latency: []*hdrhistogram.Histogram{newHistogram()},
	}, nil
}

type batchRun struct {
	Batch
	until   time.Time
	given   atomic.Uint64
	entries atomic.Uint64

	mu     sync.Mutex
	status map[int]uint64
	errs   map[string]uint64
}

// take says how many of up to linesPerChunk lines may still be written.
func (r *batchRun) take() int {
	if r.Duration > 0 && !time.Now().Before(r.until) {
		return 0
	}
	if r.Count == 0 {
		return linesPerChunk
	}
	before := r.given.Add(linesPerChunk) - linesPerChunk
	if before >= r.Count {
		return 0
	}
	return int(min(linesPerChunk, r.Count-before))
}

func (r *batchRun) stream(ctx context.Context) error {
	limit := time.Now().Add(r.Duration + 10*time.Minute)
	c, err := dial(r.Target, limit)
	if err != nil {
		return errors.New("connection failed")
	}
	defer c.c.Close()
	if _, err := c.c.Write(r.Target.head("/v1/batch", "application/x-ndjson", -1)); err != nil {
		return errors.New("connection failed")
	}
	written := make(chan uint64, 1)
	go func() { written <- r.write(ctx, c) }()
	read, err := r.read(c)
	if err != nil {
		c.c.Close() // ends a write that nobody reads
		<-written
		return err
	}
	if sent := <-written; sent != read {
		return fmt.Errorf("a stream of %d lines had %d answers", sent, read)
	}
	return nil
}

// write returns how many lines it wrote whole.
func (r *batchRun) write(ctx context.Context, c *conn) (lines uint64) {
	size := len(r.Line.JSON)
	head := fmt.Appendf(nil, "%x\r\n", linesPerChunk*size)
	chunk := append(slices.Clone(head), bytes.Repeat(r.Line.JSON, linesPerChunk)...)
	chunk = append(chunk, "\r\n"...)
	for ctx.Err() == nil {
		n := r.take()
		if n == 0 {
			break
		}
		out := chunk
		body := chunk[len(head):]
		if n < linesPerChunk {
			out = fmt.Appendf(nil, "%x\r\n", n*size)
			start := len(out)
			out = append(append(out, body[:n*size]...), "\r\n"...)
			body = out[start:]
		}
		for i := range n {
			workload.SetMember(body[i*size:], r.Line.Offset(), r.Next())
		}
		if _, err := c.c.Write(out); err != nil {
			return lines // the reader says why
		}
		lines += uint64(n)
	}
	_, _ = c.c.Write([]byte("0\r\n\r\n")) // the reader notices
	return lines
}

var (
	created  = []byte(`"status":201,`)
	statusIs = []byte(`"status":`)
)

func (r *batchRun) read(c *conn) (lines uint64, err error) {
	in := bufio.NewReaderSize(c.c, 64<<10)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, errors.New("the batch had no answer")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the batch was answered with status %d", resp.StatusCode)
	}
	ok, other := uint64(0), map[int]uint64{}
	body := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := body.ReadSlice('\n')
		if err != nil {
			if len(line) > 0 || err != io.EOF {
				return lines, errors.New("the answer to a batch was cut off")
			}
			break
		}
		lines++
		if bytes.Contains(line[:min(len(line), 64)], created) {
			ok++
			r.entries.Add(uint64(bytes.Count(line, indexMember)))
			continue
		}
		i := bytes.Index(line, statusIs)
		if i < 0 || len(line) < i+len(statusIs)+3 {
			return lines, errors.New("a line of the answer to a batch has no status")
		}
		other[number(line[i+len(statusIs):i+len(statusIs)+3])]++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[http.StatusCreated] += ok
	for s, n := range other {
		r.status[s] += n
	}
	return lines, nil
}
