package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"consentledger/ledger"
)

// A batch is a pipeline that is as long as it is wide:
//
//	reader    cuts what has arrived into a block of lines, and deals them out
//	workers   one for each processor; a member's lines all go to the same one, in
//	          order. They decode, and submit without waiting for the disk
//	collector waits for the lines in order and appends their answers
//	settler   waits for the same lines, and gives back their share of what all batches
//	          may have under way: that must not wait for a client who never reads
//	sender    sends whatever has been appended, and flushes
//
// Blocks are few and go round, so a client who does not read its answers stops
// its own reader and nobody else.

const (
	maxLineBytes   = 64 << 10
	blockBytes     = maxLineBytes + 8<<10
	blocksInFlight = 64
	maxUnsent      = 256 << 10

	// linesInFlight is for all batches together, until the ledger has done with a
	// line: half of the calls that a ledger lets wait, so that single calls find room
	// beside them. One batch may have as many until their answers are on their way.
	linesInFlight = 4096
)

// A block is what one read brought, and its lines.
type block struct {
	buf   []byte
	lines []line
	deal  [][]int32 // for each worker the lines that are its own
	open  atomic.Int32
	held  int64         // of linesInFlight
	ready chan struct{} // twice: every line has been submitted or refused
	gone  chan struct{} // the settler looks at it no more
}

// A line is one line on its way.
type line struct {
	from, to int // in buf
	kind     lineKind
	call     ledger.Call
	waiting  pending
	refused  *problem
	keyed    bool // it came with an idempotency key
}

var blocks = sync.Pool{New: func() any {
	return &block{
		buf: make([]byte, 0, blockBytes), deal: make([][]int32, runtime.GOMAXPROCS(0)),
		ready: make(chan struct{}, 2), gone: make(chan struct{}, 1),
	}
}}

func (b *block) release() {
	clear(b.buf)
	clear(b.lines)
	b.buf, b.lines = b.buf[:0], b.lines[:0]
	for i := range b.deal {
		b.deal[i] = b.deal[i][:0]
	}
	blocks.Put(b)
}

func postBatch(x *exchange) *problem {
	select {
	case x.s.batches <- struct{}{}:
		defer func() { <-x.s.batches }()
	default:
		return newProblem("too_many_batches", "", "Send the batch again after the time in Retry-After.")
	}
	if x.s.stopping() {
		return problemOf(ledger.ErrClosed)
	}
	b := &batch{
		x: x, lang: languageOf(x.r.Header["Accept-Language"]), rc: http.NewResponseController(x.w), own: semaphore.NewWeighted(linesInFlight),
		order: make(chan *block, blocksInFlight), settling: make(chan *block, blocksInFlight), tokens: make(chan struct{}, blocksInFlight),
	}
	if err := b.rc.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return x.problemOf(err)
	}
	// net/http ends the request's context at any error of reading, also at a
	// time-out of ours; the lines that were read are to be answered all the same.
	b.ctx, b.cancel = context.WithCancel(x.s.uncut)
	defer b.cancel()
	h := x.w.Header()
	h["Content-Type"], h["Cache-Control"] = ndjsonType, noStore
	h["Content-Language"] = []string{b.lang}
	h["X-Accel-Buffering"] = []string{"no"} // nginx would hold the answers back
	x.status = http.StatusOK
	b.run()
	if b.sendFailed.Load() {
		panic(http.ErrAbortHandler) // the answer is cut; a proper end would say that it is whole
	}
	return nil
}

type batch struct {
	x      *exchange
	lang   string // in which problems are told
	rc     *http.ResponseController
	ctx    context.Context
	cancel context.CancelFunc
	own    *semaphore.Weighted // lines whose answers have not been appended
	order  chan *block         // in the order in which they were read
	tokens chan struct{}       // one for each block under way
	work   []chan *block

	settling chan *block // as order, for the settler

	mu         sync.Mutex
	more       sync.Cond // the sender has taken what there was, or there is more
	unsent     []byte
	collected  bool
	sendFailed atomic.Bool
	last       *problem // why reading ended before the body did
}

func (b *batch) run() {
	b.more.L = &b.mu
	b.work = make([]chan *block, runtime.GOMAXPROCS(0))
	var workers, outlets sync.WaitGroup
	for i := range b.work {
		b.work[i] = make(chan *block, blocksInFlight)
		workers.Go(func() { b.submitLines(i) })
	}
	outlets.Go(b.settle)
	outlets.Go(b.collect)
	outlets.Go(b.send)

	// A server that stops must not wait for a client who does not send.
	unhook := b.onStop()
	defer unhook()
	b.last = b.read()
	for _, w := range b.work {
		close(w)
	}
	workers.Wait()
	close(b.order)
	close(b.settling)
	outlets.Wait()
}

// onStop ends a blocked read when the server stops, and gives a blocked write
// less than the time in which the server wants to have stopped.
func (b *batch) onStop() (unhook func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-b.x.s.stop:
			_ = b.rc.SetReadDeadline(time.Unix(1, 0))
			_ = b.rc.SetWriteDeadline(b.writeDeadline())
		case <-done:
		}
	}()
	return func() { close(done); <-over }
}

// read cuts the body into blocks until it ends. What is left over of a line goes into the next block.
func (b *batch) read() *problem {
	var rest []byte
	defer func() { clear(rest[:cap(rest)]) }()
	skipping := false // a line that is too long has been answered, and its end has not come yet
	for {
		select {
		case b.tokens <- struct{}{}:
		case <-b.ctx.Done():
			return nil
		}
		bl := blocks.Get().(*block)
		if len(bl.deal) != len(b.work) { // GOMAXPROCS has changed
			bl.deal = make([][]int32, len(b.work))
		}
		bl.buf = append(bl.buf, rest...)
		start := len(bl.buf)
		_ = b.rc.SetReadDeadline(time.Now().Add(b.x.s.o.StallTimeout))
		if b.x.s.stopping() { // after the deadline was set: the one that the stop sets must not be undone
			_ = b.rc.SetReadDeadline(time.Unix(1, 0))
		}
		n, err := b.x.r.Body.Read(bl.buf[start:cap(bl.buf)])
		bl.buf = bl.buf[:start+n]

		at := 0
		for searched := start; ; {
			i := bytes.IndexByte(bl.buf[searched:], '\n')
			if i < 0 {
				break
			}
			end := searched + i
			if skipping {
				skipping = false
			} else {
				b.cut(bl, at, end)
			}
			at = end + 1
			searched = at
		}
		if skipping {
			at = len(bl.buf)
		} else if len(bl.buf)-at > maxLineBytes {
			b.cut(bl, at, len(bl.buf))
			skipping = true
			at = len(bl.buf)
		}
		if err == io.EOF && at < len(bl.buf) { // the last line needs no end; a body that was cut off is no last line
			b.cut(bl, at, len(bl.buf))
			at = len(bl.buf)
		}
		rest = append(rest[:0], bl.buf[at:]...)
		b.dispatch(bl)
		switch {
		case err == io.EOF:
			return nil
		case err != nil && b.x.s.stopping():
			return newProblem("shutting_down", "", "The server stops. This line and those after it were not read; send them again.")
		case err != nil:
			return bodyProblem(err).also("This line and those after it were not read.")
		}
	}
}

// cut makes a line of a part of the block, and deals it to the worker of its member.
func (b *batch) cut(bl *block, from, to int) {
	l := line{from: from, to: to}
	worker := 0
	if to-from > maxLineBytes {
		l.refused = lineTooLarge()
	} else {
		var member uint32
		l.kind, member = peek(bl.buf[from:to])
		worker = int(member % uint32(len(b.work)))
	}
	bl.deal[worker] = append(bl.deal[worker], int32(len(bl.lines)))
	bl.lines = append(bl.lines, l)
}

func (b *batch) dispatch(bl *block) {
	if len(bl.lines) == 0 {
		bl.release()
		<-b.tokens
		return
	}
	// All or none, and in the order of the blocks: who waits holds nothing that another waits for.
	bl.held = min(int64(len(bl.lines)), linesInFlight)
	err := b.own.Acquire(b.ctx, bl.held) // first: this waits for the client, and must do so with empty hands
	if err == nil {
		err = b.x.s.lines.Acquire(b.ctx, bl.held)
	}
	if err != nil {
		bl.release() // nobody listens any more, and nothing of it was submitted
		<-b.tokens
		return
	}
	hands := int32(0)
	for _, own := range bl.deal {
		if len(own) > 0 {
			hands++
		}
	}
	bl.open.Store(hands)
	b.settling <- bl // these have room for every token
	b.order <- bl
	// When the last one has it, it may go round again: it is not looked at after that.
	for i := 0; hands > 0; i++ {
		if len(bl.deal[i]) > 0 {
			hands--
			b.work[i] <- bl // likewise
		}
	}
}

func (b *batch) submitLines(worker int) {
	for bl := range b.work[worker] {
		for _, n := range bl.deal[worker] {
			l := &bl.lines[n]
			if l.refused == nil {
				b.submitLine(l, bl.buf[l.from:l.to])
			}
		}
		if bl.open.Add(-1) == 0 {
			bl.ready <- struct{}{}
			bl.ready <- struct{}{}
		}
	}
}

// submitLine never lets a full queue refuse a line: who streams can wait.
func (b *batch) submitLine(l *line, raw []byte) {
	defer func() {
		if v := recover(); v != nil {
			b.x.s.log.Error("panic while submitting a line", b.x.ids("kind", panicKind(v))...)
			l.refused = newProblem("outcome_unknown", "", outcomeUnknown)
		}
	}()
	var key *string
	if l.call, key, l.refused = decodeLine(l.kind, raw); l.refused != nil {
		return
	}
	who := b.x.caller
	if l.keyed = key != nil; l.keyed {
		if who.Once, l.refused = b.x.once(lineOnce, *key, raw); l.refused != nil {
			return
		}
	}
	const shortest, longest = 250 * time.Microsecond, 8 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		if b.ctx.Err() != nil {
			l.refused = newProblem("shutting_down", "", "The connection has ended; nothing of this line was recorded.")
			return
		}
		if !b.x.lives() { // a batch may go on for hours after its key was looked at
			l.refused = keyIsNeeded()
			return
		}
		if l.kind != lineWithdrawal && b.x.s.disk.low(b.x.s) {
			if who.Once == nil {
				l.refused = lowDisk()
				return
			}
			who.Once.Recorded = true
		}
		var err error
		l.waiting, err = b.x.s.book.Submit(b.ctx, who, l.call)
		if err == nil {
			return
		}
		if !errors.Is(err, ledger.ErrBusy) && !errors.Is(err, ledger.ErrInProgress) {
			if l.refused = b.x.problemOf(err); l.refused.field == idempotencyKey {
				l.refused.field = lineOnce
			}
			return
		}
		select {
		case <-b.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// settle gives back a block's share of linesInFlight when the ledger has done
// with it. The collector, who waits for the same lines, may be waiting for the client.
func (b *batch) settle() {
	for bl := range b.settling {
		<-bl.ready
		for i := range bl.lines {
			if w := bl.lines[i].waiting; w != nil {
				_, _ = w.Wait(b.ctx) // the collector hears the same
			}
		}
		b.x.s.lines.Release(bl.held)
		bl.gone <- struct{}{}
	}
}

// collect waits for the lines in order and appends their answers to what is unsent.
func (b *batch) collect() {
	number := 0
	for bl := range b.order {
		<-bl.ready
		for i := range bl.lines {
			l := &bl.lines[i]
			number++
			var a *ledger.Answer
			if l.waiting != nil {
				var err error
				if a, err = l.waiting.Wait(b.ctx); err != nil {
					l.refused = waitProblem(err)
				}
			}
			cert := b.certificateOf(l, a)
			b.mu.Lock()
			for len(b.unsent) > maxUnsent && !b.sendFailed.Load() {
				b.more.Wait()
			}
			idle := len(b.unsent) == 0
			b.unsent = b.appendLine(b.unsent, number, l, a, cert)
			if idle {
				b.more.Signal()
			}
			b.mu.Unlock()
		}
		<-bl.gone
		b.own.Release(bl.held)
		bl.release()
		<-b.tokens
	}
	b.mu.Lock()
	if b.last != nil {
		b.unsent = b.appendLine(b.unsent, number+1, &line{refused: b.last}, nil, certificate{})
	}
	b.collected = true
	b.more.Broadcast()
	b.mu.Unlock()
}

// certificateOf does not wait for witnesses: those behind the line would wait, too.
func (b *batch) certificateOf(l *line, a *ledger.Answer) (c certificate) {
	if l.refused != nil || a == nil || !a.Certified() {
		return c
	}
	now, cancel := context.WithCancel(b.ctx)
	cancel()
	return b.x.certificateOf(now, a, l.keyed)
}

func (b *batch) appendLine(out []byte, number int, l *line, a *ledger.Answer, cert certificate) []byte {
	out = append(out, `{"line":`...)
	out = strconv.AppendInt(out, int64(number), 10)
	out = append(out, ',')
	b.x.s.metrics.line(l.refused)
	if l.refused != nil {
		out = l.refused.appendTo(out, b.x.id, b.lang)
	} else {
		out = append(out, `"status":201,`...)
		if a.Replayed {
			out = append(out, `"idempotent_replayed":true,`...)
		}
		out = cert.appendTo(appendAnswer(out, l.call, a))
	}
	return append(out, '}', '\n')
}

// send writes and flushes what is unsent, again and again. While it does, more
// is appended, so that one write carries what one commit made durable.
func (b *batch) send() {
	var taken []byte
	for {
		b.mu.Lock()
		for len(b.unsent) == 0 && !b.collected {
			b.more.Wait()
		}
		if len(b.unsent) == 0 {
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		runtime.Gosched() // the collector may have a whole group to append
		b.mu.Lock()
		taken, b.unsent = b.unsent, taken[:0]
		b.more.Broadcast()
		b.mu.Unlock()
		if b.sendFailed.Load() {
			continue // nobody listens; what was submitted is still waited for
		}
		_ = b.rc.SetWriteDeadline(time.Now().Add(b.x.s.o.StallTimeout))
		if b.x.s.stopping() { // after it was set, as with reading
			_ = b.rc.SetWriteDeadline(b.writeDeadline())
		}
		_, err := b.x.w.Write(taken)
		if err == nil {
			err = b.rc.Flush()
		}
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			b.sendFailed.Store(true)
			b.cancel()
			_ = b.rc.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// writeDeadline is for a write while the server stops.
func (b *batch) writeDeadline() time.Time {
	return time.Now().Add(min(b.x.s.o.StallTimeout, b.x.s.o.ShutdownWithin/2))
}
