package ledger

import (
	"fmt"
	"io"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
	"consentledger/ledger/receipt"
)

// A destruction's entry holds a commitment to whose keys died: SHA-256(opening | subject). The opening
// is 32 random bytes, so nobody can test a guess without it; and who holds it, with the certificate of
// destruction, can show that the destruction is theirs. It is kept in two places only, each under a key
// that dies: in the answer to the call that asked for the destruction, where that came with an
// idempotency key (oncemark.go), and, of a destruction that nobody asked for, beside the log until the
// officer has delivered the certificate (waiting.go).

// opening is what opens a commitment.
type opening [32]byte

// Format prints no byte.
func (opening) Format(s fmt.State, _ rune) { io.WriteString(s, "[opening]") }

func (o opening) isZero() bool { return o == opening{} }

// commitTo gives a submission's destruction its commitment, and whoever is to have the certificate its
// opening. The subject is the member's id where the call brought it, and else the ref: the ledger does
// not know ids. kept says what lives on.
func (l *Ledger) commitTo(s *submission, ch change, memberKind string, kept func() []consent.Kept, now time.Time) error {
	var o opening
	if _, err := io.ReadFull(l.o.Rand, o[:]); err != nil {
		return fmt.Errorf("draw an opening: %w", err)
	}
	ref := s.pending.answer.Member
	subject := ch.of.Bytes()
	if ch.of.IsZero() {
		subject = []byte(ref.String())
	}
	sum := receipt.Commitment(o, subject)
	s.destruction.commitment = sum[:]
	switch {
	case memberKind == consent.OperatorKind: // nobody is given a certificate of theirs
	case ch.unasked:
		row, err := l.waitingRow(s.destruction.commitment, waitingBody{Opening: o[:], Member: ref[:], Kept: onceKepts(kept())}, now)
		if err != nil {
			return err
		}
		s.destruction.waits = row
	default:
		s.pending.answer.opening = o
	}
	return nil
}

// keptOf is what is left of a membership once a destruction nobody asked for is done.
func (l *Ledger) keptOf(m *member, keys []consent.KeyState, now time.Time) []consent.Kept {
	return l.register.Load().KeptOf(m.fold, keys, now)
}

// waitingTag ties what waits to the entry that it is about.
func waitingTag(commitment []byte) seal.Tag { return seal.Tag(commitment[:16]) }
