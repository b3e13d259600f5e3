package server

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// The control routes let the command line work beside a running server, which
// alone has the database open. They hand out the log in bounded pieces: no
// snapshot of the store is held while a client reads.

func controlInfo(x *exchange) *problem {
	// The checkpoint comes first, so that the size covers it.
	checkpoint := string(x.s.book.Checkpoint())
	return x.answerJSON(http.StatusOK, api.Info{
		Origin: x.s.book.Origin(), PublicKey: x.s.book.PublicKey(), Size: x.s.book.Size(), Checkpoint: checkpoint,
	})
}

const (
	logEntries    = 256
	maxLogEntries = 4096
)

// controlLog sends entries from an index on, each as u32 BE length and bytes; none at or beyond the end.
func controlLog(x *exchange) *problem {
	q := x.r.URL.Query()
	from, limit := uint64(0), uint64(logEntries)
	var err error
	if q.Has("from") {
		if from, err = decimal(q.Get("from")); err != nil {
			return newProblem("invalid_parameter", "from", "Send the index of the first entry.")
		}
	}
	if q.Has("limit") {
		if limit, err = decimal(q.Get("limit")); err != nil || limit < 1 || limit > maxLogEntries {
			return newProblem("invalid_parameter", "limit", "Send a number from 1 to %d.", maxLogEntries)
		}
	}
	if from >= x.s.book.Size() {
		return x.send(http.StatusOK, octetStream, nil)
	}
	entries, err := x.s.book.LogEntries(from, int(limit))
	if err != nil {
		return x.problemOf(err)
	}
	for _, e := range entries {
		x.out = binary.BigEndian.AppendUint32(x.out, uint32(len(e)))
		x.out = append(x.out, e...)
	}
	return x.send(http.StatusOK, octetStream, x.out)
}

var octetStream = []string{"application/octet-stream"}

// controlTile sends a full tile as it is stored: 8192 bytes.
func controlTile(x *exchange) *problem {
	unknown := newProblem("unknown_tile", "", "There is no full tile of this level and number.")
	level, err := decimal(x.params[0].Value)
	if err != nil || level > 63 {
		return unknown
	}
	n, err := decimal(x.params[1].Value)
	if err != nil {
		return unknown
	}
	tile, err := x.s.book.LogTile(int(level), n)
	if errors.Is(err, ledger.ErrUnknownEntry) || err == nil && len(tile) == 0 {
		return unknown
	}
	if err != nil {
		return x.problemOf(err)
	}
	return x.send(http.StatusOK, octetStream, tile)
}

// controlWithdrawal is a withdrawal of whom a ref stands for, so that a person
// at a terminal needs no member id.
func controlWithdrawal(x *exchange) *problem {
	var in api.ControlWithdrawal
	if p := decodeInto(shapeControlWithdrawal, x.body, &in); p != nil {
		return p
	}
	w, p := withdrawnOf(&in)
	if p != nil {
		return p
	}
	ref, p := x.memberRef()
	if p != nil {
		return p
	}
	a, err := x.s.book.WithdrawRef(x.s.uncut, x.caller, ref, w)
	if err != nil {
		return x.registerProblem(err)
	}
	x.replayed(a.Replayed)
	x.out = x.appendCertificate(appendAnswer(append(x.out, '{'), w, a), a)
	x.out = append(x.out, '}', '\n')
	return x.answer(http.StatusCreated)
}

// controlVerifyDeep streams {"done","total"} lines, a few a second, and then
// one line with the report, or with a problem.
func controlVerifyDeep(x *exchange) *problem {
	rc := http.NewResponseController(x.w)
	_ = rc.SetWriteDeadline(time.Time{}) // it may take an hour; the client is on this machine
	_ = rc.SetReadDeadline(time.Time{})
	h := x.w.Header()
	h["Content-Type"], h["Cache-Control"] = ndjsonType, noStore
	x.status = http.StatusOK
	line := func(b []byte) {
		_, _ = x.w.Write(append(b, '\n'))
		_ = rc.Flush()
	}
	var told time.Time
	report, err := x.s.book.VerifyDeep(x.r.Context(), x.caller, func(done, total uint64) {
		if now := x.s.now(); done == total || now.Sub(told) >= 200*time.Millisecond {
			told = now
			b := strconv.AppendUint([]byte(`{"done":`), done, 10)
			b = strconv.AppendUint(append(b, `,"total":`...), total, 10)
			line(append(b, '}'))
		}
	})
	if err == nil {
		var b []byte
		if b, err = json.Marshal(map[string]any{"report": report}); err == nil {
			line(b)
			return nil
		}
	}
	line(append(x.problemOf(err).appendTo([]byte{'{'}, x.id, english), '}'))
	return nil
}
