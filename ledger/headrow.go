package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"consentledger/crypto/seal"
	"consentledger/ledger/store"
)

// The maps of a ledger's store.
const (
	mapMeta    store.Map = "meta"
	mapEntries store.Map = "entries"
	mapTiles   store.Map = "tiles"
	mapKeyring store.Map = "keyring"
	mapMarks   store.Map = "marks"   // of idempotency keys
	mapWaiting store.Map = "waiting" // what certificates of destruction are made from
)

// Maps lists the maps that a store for a ledger must have.
func Maps() []store.Map {
	return []store.Map{mapMeta, mapEntries, mapTiles, mapKeyring, mapMarks, mapWaiting}
}

// Increasing lists the maps whose keys only grow, for stores that can make use of it.
func Increasing() []store.Map { return []store.Map{mapEntries, mapMarks, mapWaiting} }

var (
	keyIdentity = []byte("identity")
	keyHead     = []byte("head")
)

// FormatVersion is the version of everything that is on disk. A ledger of another version is refused.
const FormatVersion = 1

// Identity is what a store says in the clear about the ledger in it.
type Identity struct {
	Format    uint     `cbor:"1,keyasint"`
	ID        [16]byte `cbor:"2,keyasint"`
	Origin    string   `cbor:"3,keyasint"`
	PublicKey string   `cbor:"4,keyasint"` // signed-note verifier key
}

// ErrCorrupt says that what is stored contradicts itself; the message names where.
var ErrCorrupt = errors.New("the ledger's files contradict each other")

// Identify reads which ledger a store holds. It needs no key.
func Identify(s store.Store) (Identity, error) {
	var id Identity
	err := s.View(func(r store.Reader) error {
		raw, err := r.Get(mapMeta, keyIdentity)
		if err != nil {
			return err
		}
		if raw == nil {
			return fmt.Errorf("%w: the database does not say which ledger it holds", ErrCorrupt)
		}
		return cbor.Unmarshal(raw, &id)
	})
	if err != nil {
		return Identity{}, fmt.Errorf("read the ledger's identity: %w", err)
	}
	if id.Format != FormatVersion {
		return Identity{}, fmt.Errorf("this ledger has format %d and this program reads format %d: use the release that matches", id.Format, FormatVersion)
	}
	return id, nil
}

// headRow ties the newest entry, the tree and the keyring together. It is written in the same
// transaction as what it describes, and its MAC is keyed by the root.
type headRow struct {
	size       uint64
	root       [32]byte
	generation uint64   // of root keys
	version    uint64   // of the keyring; grows with every change to it
	top        [32]byte // hash of the sealed top page
	recordedAt int64    // of the newest entry, Unix ms
}

const headRowSize = 8 + 32 + 8 + 8 + 32 + 8 + 32

const headLabel = "consentledger/head/v1"

func (h headRow) encode(mac seal.Key) []byte {
	b := make([]byte, 0, headRowSize)
	b = binary.BigEndian.AppendUint64(b, h.size)
	b = append(b, h.root[:]...)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = binary.BigEndian.AppendUint64(b, h.version)
	b = append(b, h.top[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.recordedAt))
	m := mac.MAC(b)
	return append(b, m[:]...)
}

func decodeHead(b []byte) (headRow, error) {
	if len(b) != headRowSize {
		return headRow{}, fmt.Errorf("%w: the head row has %d bytes and should have %d", ErrCorrupt, len(b), headRowSize)
	}
	var h headRow
	h.size = binary.BigEndian.Uint64(b)
	copy(h.root[:], b[8:])
	h.generation = binary.BigEndian.Uint64(b[40:])
	h.version = binary.BigEndian.Uint64(b[48:])
	copy(h.top[:], b[56:])
	h.recordedAt = int64(binary.BigEndian.Uint64(b[88:]))
	return h, nil
}

// checkHead says whether the row was written under this root.
func checkHead(b []byte, root seal.Key) error {
	mac := root.Derive(headLabel)
	body := b[:headRowSize-32]
	want := mac.MAC(body)
	if !equal32(want, [32]byte(b[headRowSize-32:])) {
		return fmt.Errorf("%w: the head row was not written under this root key", ErrCorrupt)
	}
	return nil
}

func indexKey(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }

func tileKey(level int, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(level)}, n)
}
