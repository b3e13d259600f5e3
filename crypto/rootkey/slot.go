package rootkey

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"consentledger/crypto/digest"
	"consentledger/crypto/seal"
)

const (
	slotSize = 4096
	slots    = 2
	fileSize = slots * slotSize

	magic   = "clroot\n"
	version = 1

	versionAt    = len(magic)
	ledgerAt     = versionAt + 1
	generationAt = ledgerAt + len(LedgerID{})
	keyAt        = generationAt + 8
	sumAt        = keyAt + seal.KeySize
	usedSize     = sumAt + digest.Size
)

// A LedgerID says to which ledger a root-key file belongs. It is random and public.
type LedgerID [16]byte

// String returns the id in hexadecimal.
func (id LedgerID) String() string { return hex.EncodeToString(id[:]) }

// A Slot is one root key and its generation. Generations count up by one.
type Slot struct {
	Generation uint64
	Key        seal.Key
}

// block is the 4096 bytes of one slot. Every block that has held a key is cleared
// after use.
type block = [slotSize]byte

var cleared block

// encode fills b with a valid slot.
func (s Slot) encode(b *block, id LedgerID) {
	clear(b[:])
	copy(b[:], magic)
	b[versionAt] = version
	copy(b[ledgerAt:], id[:])
	binary.BigEndian.PutUint64(b[generationAt:], s.Generation)
	s.Key.AppendTo(b[:keyAt])
	sum := digest.Sum256(b[:sumAt])
	copy(b[sumAt:], sum[:])
}

var errNewerVersion = errors.New("a newer version of consentledger wrote it: use that one")

// decode returns the slot and the ledger that b belongs to, and false if b is not
// exactly what encode writes: then it is cleared or torn. The error is
// errNewerVersion: such a slot is whole, so it must not be taken for a torn one.
func decode(b *block) (s Slot, id LedgerID, valid bool, err error) {
	if string(b[:versionAt]) != magic || digest.Sum256(b[:sumAt]) != [digest.Size]byte(b[sumAt:usedSize]) {
		return Slot{}, LedgerID{}, false, nil
	}
	if b[versionAt] != version {
		return Slot{}, LedgerID{}, false, fmt.Errorf("format version %d: %w", b[versionAt], errNewerVersion)
	}
	if [slotSize - usedSize]byte(b[usedSize:]) != [slotSize - usedSize]byte{} {
		return Slot{}, LedgerID{}, false, nil
	}
	key, err := seal.KeyFromBytes(b[keyAt:sumAt])
	if err != nil {
		return Slot{}, LedgerID{}, false, nil
	}
	s = Slot{Generation: binary.BigEndian.Uint64(b[generationAt:]), Key: key}
	return s, LedgerID(b[ledgerAt:generationAt]), true, nil
}
