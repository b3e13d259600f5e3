package ledger

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"consentledger/crypto/seal"
	"consentledger/ledger/consent"
)

// The bodies of the ledger's own entries. Those of members are in ledger/consent, and that of a
// destruction in ledger/receipt.

const (
	kindPolicy     = "policy"
	kindKeyCreated = "key_created"
	kindKeyRevoked = "key_revoked"
	kindKeysUsed   = "keys_used"
	kindRecipient  = "recipient"
	kindNotice     = "notice"
	kindAnonymised = "anonymised_disclosure"
	kindWitness    = "witness"

	kindOperatorAdded    = "operator_added"
	kindOperatorHandover = "operator_handover"
	kindOperatorEnded    = "operator_ended"
	kindOperatorInvited  = "operator_invited"
)

// The causes of a destruction.
const (
	causeWithdrawal        = "withdrawal"
	causePurposeWithdrawal = "purpose_withdrawal"
	causeCorrection        = "correction"
	causeExpiry            = "expiry"
	causeHold              = "hold_release"
	causeEvent             = "event"
	causeDormancy          = "dormancy"
	causeOperatorEnd       = "operator_end"
	causeSignInReplaced    = "sign_in_replaced"
)

// registerBody is a change to a register. A policy too long for one entry is split over several.
type registerBody struct {
	Kind   string `cbor:"1,keyasint"`
	Part   uint64 `cbor:"2,keyasint,omitempty"` // of a policy, from 0
	Parts  uint64 `cbor:"3,keyasint,omitempty"`
	Data   []byte `cbor:"4,keyasint,omitempty"` // a piece of the policy file
	KeyID  string `cbor:"5,keyasint,omitempty"`
	Role   Role   `cbor:"6,keyasint,omitempty"`
	Name   string `cbor:"7,keyasint,omitempty"`
	Secret []byte `cbor:"8,keyasint,omitempty"` // keyed hash of an API key's secret
	By     string `cbor:"9,keyasint,omitempty"` // key id of who asked

	Recipient *recipientBody `cbor:"10,keyasint,omitempty"`

	Policies    []string `cbor:"11,keyasint,omitempty"` // that a key may touch
	Certificate string   `cbor:"12,keyasint,omitempty"` // whose name stands for a key
	Used        []string `cbor:"13,keyasint,omitempty"` // ids of keys that were used on a day
	UsedDay     int64    `cbor:"14,keyasint,omitempty"` // which day of the Unix epoch it was

	Operator *operatorBody `cbor:"20,keyasint,omitempty"`

	Witness *witnessBody `cbor:"21,keyasint,omitempty"`
}

var bodyEncoding = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

func encodeBody(v any) ([]byte, error) {
	b, err := bodyEncoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode an entry: %w", err)
	}
	return b, nil
}

// encodeOwn is encodeBody for what a caller brought. What no entry can hold is
// refused here: the commit loop cannot seal it, and would stop for good.
func encodeOwn(v any) ([]byte, error) {
	b, err := encodeBody(v)
	if err == nil && len(b) > seal.MaxBody {
		err = &consent.Refusal{
			Kind: consent.Invalid, Code: "too_large",
			Message: "the call holds more than an entry of 60,000 bytes can; split it into several calls or shorten its texts",
		}
	}
	return b, err
}

// decodeBody reads what encodeBody wrote, and nothing else.
func decodeBody(b []byte, v any) error {
	if err := cbor.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: an entry of the ledger's own cannot be read: %w", ErrCorrupt, err)
	}
	again, err := bodyEncoding.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return fmt.Errorf("%w: an entry of the ledger's own is not in canonical form", ErrCorrupt)
	}
	return nil
}
