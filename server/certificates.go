package server

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"consentledger/ledger"
	"consentledger/server/api"
)

// A call that destroyed keys is answered with the certificate of destruction. The call is durable by
// then, so nothing that goes wrong with the certificate makes the answer any other than it is: it is left
// out, and whoever sends the call again under its idempotency key gets it.

// certificateWithin is how long such an answer waits for the witnesses.
const certificateWithin = 2 * time.Second

// certificate is what an answer has of one.
type certificate struct {
	file  []byte
	later bool // it can be had by sending the call again
}

// certificateOf makes the certificate of what a call destroyed. again says that the call can be sent again.
func (x *exchange) certificateOf(ctx context.Context, a *ledger.Answer, again bool) (c certificate) {
	if !a.Certified() {
		return c
	}
	var err error
	if c.file, err = x.s.book.CertificateOf(ctx, a); err == nil {
		return c
	}
	c.later = again
	if !errors.Is(err, ledger.ErrWitnessesAway) && !errors.Is(err, ledger.ErrClosed) && ctx.Err() == nil {
		x.s.log.Error("a certificate of destruction could not be made", x.ids("error", err.Error())...)
	}
	return c
}

func (x *exchange) appendCertificate(b []byte, a *ledger.Answer) []byte {
	ctx, cancel := context.WithTimeout(x.s.uncut, certificateWithin)
	defer cancel()
	return x.certificateOf(ctx, a, x.caller.Once != nil).appendTo(b)
}

// appendTo appends the members of an answer, after others.
func (c certificate) appendTo(b []byte) []byte {
	if c.file != nil {
		b = appendString(append(b, `,"certificate":`...), string(c.file))
		clear(c.file)
	}
	if c.later {
		b = append(b, `,"certificate_later":true`...)
	}
	return b
}

// getAwaiting lists the certificates that wait for the officer. It says of nobody whose they are.
func getAwaiting(x *exchange) *problem {
	from, limit, p := x.cut()
	if p != nil {
		return p
	}
	rows, next, err := x.s.book.Awaiting(x.caller, from, limit)
	if err != nil {
		return x.problemOf(err)
	}
	out := api.Awaiting{Destructions: make([]api.AwaitingDestruction, len(rows))}
	for i, r := range rows {
		out.Destructions[i] = api.AwaitingDestruction{
			Index: r.Index, LeafHash: hex.EncodeToString(r.LeafHash[:]), RecordedAt: r.RecordedAt.UTC(), Cause: r.Cause,
			Keys: r.Keys, Entries: r.Entries, Until: r.Until.UTC(),
		}
	}
	if next != 0 {
		out.Next = strconv.FormatUint(next, 10)
	}
	return x.answerJSON(http.StatusOK, out)
}

// getCertificate gives the officer a certificate that waits.
func getCertificate(x *exchange) *problem {
	index, err := decimal(x.params[0].Value)
	if err != nil {
		return problemOf(ledger.ErrUnknownDestruction)
	}
	ref, file, err := x.s.book.WaitingCertificate(x.s.uncut, x.caller, x.look, index)
	if err != nil {
		return x.problemOf(err)
	}
	defer clear(file)
	return x.answerJSON(http.StatusOK, api.WaitingCertificate{Member: ref.String(), Certificate: string(file)})
}
