package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
	"consentledger/ledger/store"
)

// A certificate of destruction is made each time that it is asked for, from the destruction's entry and
// its opening: the same opening, under the newest head that enough witnesses have signed.

// Certified says whether an answer leads to a certificate: the call destroyed keys of a member.
func (a *Answer) Certified() bool { return !a.opening.isZero() }

// CertificateOf makes the certificate of what a call destroyed. It waits for witnesses until ctx ends,
// and for five seconds at most: then its error is ErrWitnessesAway, at once if too few of them have
// answered of late. The answer may be told again while its idempotency key's lasts, and then leads to
// a certificate again.
func (l *Ledger) CertificateOf(ctx context.Context, a *Answer) ([]byte, error) {
	if !a.Certified() || len(a.Entries) == 0 {
		return nil, ErrNoCertificate
	}
	// A destruction's entry is the last of its call.
	c := certified{opening: a.opening, of: receipt.SubjectID, kept: a.Kept}
	d, err := l.destructionAt(a.Entries[len(a.Entries)-1].Index)
	if err != nil {
		return nil, l.damaged(err)
	}
	c.destroyed = d
	if sum := receipt.Commitment(a.opening, []byte(a.Member.String())); string(sum[:]) == string(d.body.Commitment) {
		c.of = receipt.SubjectRef
	}
	return l.certify(ctx, c)
}

// certified is what a certificate is made from.
type certified struct {
	destroyed
	opening opening
	of      string
	kept    []consent.Kept
}

// certify makes a certificate as a file.
func (l *Ledger) certify(ctx context.Context, c certified) ([]byte, error) {
	if !l.enoughAnswer() {
		return nil, fmt.Errorf("%w: too few of them have answered of late", ErrWitnessesAway)
	}
	checkpoint, err := l.CosignedCheckpoint(ctx, c.Index+1)
	if err != nil {
		return nil, err
	}
	e := receipt.Entry{Bytes: c.raw}
	if e.Proof, err = l.prove(c.Index, checkpoint); err != nil {
		return nil, l.damaged(err)
	}
	parsed, err := chain.Parse(c.raw)
	if err != nil {
		return nil, l.damaged(fmt.Errorf("%w: entry %d: %w", ErrCorrupt, c.Index, err))
	}
	// The key is that of all destructions; the PRK opens this entry and no other.
	if e.PRK, err = seal.PRK(l.commit.topics[topicDestructions].key, parsed.Sealed); err != nil {
		return nil, l.damaged(err)
	}
	return receipt.MakeCertificate(e, receipt.CertificateFacts{
		Body: c.body, Final: c.Final, IssuedAt: l.now(), Grade: c.Grade, Kept: c.kept, Of: c.of, Opening: c.opening,
	}, l.signer)
}

// enoughAnswer says whether as many witnesses as must sign have answered when they were last asked.
func (l *Ledger) enoughAnswer() bool {
	reg := l.witnesses.Load()
	answer := 0
	for _, w := range reg.All {
		if l.WitnessState(w.ID).AwaySince.IsZero() {
			answer++
		}
	}
	return answer >= reg.Required
}

// WaitingCertificate makes the certificate of a destruction that nobody asked for, for the officer, who
// sends it to the member with the notice; the ref says who that is. It can be had until a notice says
// that it was delivered, and for thirty days: then, and where none ever waited, the error is
// ErrNoCertificate. The look is recorded with the member if anything of them is left; where nothing is,
// there is nobody to record it with.
func (l *Ledger) WaitingCertificate(ctx context.Context, who Caller, lk Look, index uint64) (Ref, []byte, error) {
	if !who.May(ActOffice) {
		return Ref{}, nil, ErrForbidden
	}
	c, ref, err := l.waitingAt(index)
	if err != nil {
		return Ref{}, nil, err
	}
	// Before the look, so that none is recorded of which nothing came.
	file, err := l.certify(ctx, c)
	if err != nil {
		return Ref{}, nil, err
	}
	path, slot, _, err := l.resolve(ref)
	if err == nil {
		lk.What = consent.LookCertificate + strconv.FormatUint(index, 10)
		var p *Pending
		if p, err = l.recordLook(ctx, who, path, slot, lk, nil); err == nil {
			_, err = p.Wait(ctx)
		}
	}
	if err != nil && !errors.Is(err, ErrUnknownMember) {
		clear(file)
		return Ref{}, nil, err
	}
	return ref, file, nil
}

// waitingAt reads what waits for a destruction.
func (l *Ledger) waitingAt(index uint64) (c certified, ref Ref, err error) {
	if c.destroyed, err = l.destructionAt(index); err != nil {
		return c, ref, l.damaged(err)
	}
	var row []byte
	err = l.o.Store.View(func(r store.Reader) error {
		b, err := r.Get(mapWaiting, indexKey(index))
		if b != nil {
			row = append([]byte(nil), b...)
		}
		return err
	})
	if err != nil {
		return c, ref, l.damaged(err)
	}
	w, err := l.openWaiting(row, c.body.Commitment, l.now())
	if err != nil {
		return c, ref, l.damaged(err)
	}
	c.opening, c.of, c.kept = opening(w.Opening), receipt.SubjectRef, keptRows(w.Kept)
	return c, Ref(w.Member), nil
}

// Awaiting is a destruction whose certificate waits for the officer.
type Awaiting struct {
	Destruction
	Cause string
	Until time.Time // the first instant at which it can no longer be had
}

// Awaiting lists the destructions whose certificates wait, from an index on, the oldest first. next is
// the index to go on from, 0 where there is no more. Whose they are it does not say.
func (l *Ledger) Awaiting(who Caller, from uint64, limit int) (rows []Awaiting, next uint64, err error) {
	if !who.May(ActOffice) {
		return nil, 0, ErrForbidden
	}
	type waits struct {
		index uint64
		day   uint32
	}
	var found []waits
	oldest := max(dayOf(l.now())-waitingDays, l.waiting.oldest().number)
	err = l.o.Store.View(func(r store.Reader) error {
		return r.Scan(mapWaiting, indexKey(from), nil, func(k, row []byte) error {
			day, err := waitingDay(row)
			if err != nil {
				return err
			}
			if len(row) == 4 || day < oldest {
				return nil
			}
			found = append(found, waits{indexOf(k), day})
			if len(found) > limit {
				return store.ErrStop
			}
			return nil
		})
	})
	if err != nil {
		return nil, 0, l.damaged(err)
	}
	if len(found) > limit {
		next = found[limit].index
		found = found[:limit]
	}
	for _, f := range found {
		d, err := l.destructionAt(f.index)
		if err != nil {
			return nil, 0, l.damaged(err)
		}
		rows = append(rows, Awaiting{d.Destruction, d.body.Cause, time.Unix(int64(f.day+waitingDays+1)*secondsPerDay, 0).UTC()})
	}
	return rows, next, nil
}
