package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"

	"consentledger/crypto/seal"
)

// IDPath is where a member id stands in the map by id: a keyed hash of it.
type IDPath [16]byte

// IDRecord says what a member id leads to.
type IDRecord struct {
	Slot uint64   // the living member; 0 if there is none
	Kept []uint64 // slots of earlier memberships of which something is kept
}

// Member is what a slot holds: everything by which one membership can be read.
type Member struct {
	Nonce uint64 // half of the member's public ref
	Path  IDPath // the way back to the record by id
	Kind  string // member kind of the policy
	Ended bool   // the membership was withdrawn; what is left is kept apart
	Keys  []MemberKey
}

// MemberKey is the key of one retention class, or of one reference within it.
type MemberKey struct {
	Class     string
	Reference string   // of a class that ends by an event; else empty
	Key       seal.Key // for a ratchet the key of Day
	Ratchet   bool
	TagKey    seal.Key // ratchets only: the tag key, which does not move
	Day       int32    // ratchets only: the oldest day that may still be read
	Due       int64    // Unix seconds when something is to be destroyed; 0: no clock runs
}

// Due is the earliest due of the member's keys, 0 if none has one.
func (m *Member) Due() int64 {
	var d int64
	for i := range m.Keys {
		d = earliest(d, m.Keys[i].Due)
	}
	return d
}

// Clone returns a copy that shares nothing that changes.
func (m *Member) Clone() *Member {
	c := *m
	c.Keys = append([]MemberKey(nil), m.Keys...)
	return &c
}

var errRecordShape = errors.New("a record of the keyring is not well-formed")

func (r IDRecord) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, r.Slot)
	for _, s := range r.Kept {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func decodeID(b []byte) (IDRecord, error) {
	r := reader{b: b}
	rec := IDRecord{Slot: r.u64()}
	for len(r.b) > 0 {
		rec.Kept = append(rec.Kept, r.u64())
	}
	if !r.done() {
		return IDRecord{}, fmt.Errorf("%w: %w", ErrDamaged, errRecordShape)
	}
	return rec, nil
}

const (
	flagEnded   byte = 1
	flagRatchet byte = 1
)

func (m *Member) encode() []byte {
	b := make([]byte, 0, 64+128*len(m.Keys))
	b = binary.BigEndian.AppendUint64(b, m.Nonce)
	b = append(b, m.Path[:]...)
	b = append(b, byte(len(m.Kind)))
	b = append(b, m.Kind...)
	var flags byte
	if m.Ended {
		flags |= flagEnded
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Keys)))
	for i := range m.Keys {
		k := &m.Keys[i]
		b = append(b, byte(len(k.Class)))
		b = append(b, k.Class...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Reference)))
		b = append(b, k.Reference...)
		b = k.Key.AppendTo(b)
		b = binary.BigEndian.AppendUint64(b, uint64(k.Due))
		if !k.Ratchet {
			b = append(b, 0)
			continue
		}
		b = append(b, flagRatchet)
		b = k.TagKey.AppendTo(b)
		b = binary.BigEndian.AppendUint32(b, uint32(k.Day))
	}
	return b
}

func decodeMember(b []byte) (*Member, error) {
	bad := fmt.Errorf("%w: %w", ErrDamaged, errRecordShape)
	r := reader{b: b}
	m := &Member{Nonce: r.u64()}
	copy(m.Path[:], r.bytes(16))
	m.Kind = string(r.bytes(int(r.u8())))
	m.Ended = r.u8()&flagEnded != 0
	count := int(r.u16())
	if r.bad {
		return nil, bad
	}
	m.Keys = make([]MemberKey, count)
	for i := range m.Keys {
		k := &m.Keys[i]
		k.Class = string(r.bytes(int(r.u8())))
		k.Reference = string(r.bytes(int(r.u16())))
		key, err := seal.KeyFromBytes(r.bytes(32))
		if err != nil {
			return nil, bad
		}
		k.Key = key
		k.Due = int64(r.u64())
		if k.Ratchet = r.u8() == flagRatchet; k.Ratchet {
			if k.TagKey, err = seal.KeyFromBytes(r.bytes(32)); err != nil {
				return nil, bad
			}
			k.Day = int32(r.u32())
		}
	}
	if !r.done() {
		return nil, bad
	}
	return m, nil
}

// systemKey is the place of one of the ledger's own keys. Names are short and fixed in the code.
func systemKey(name string) []byte {
	if len(name) == 0 || len(name) > 16 {
		panic("keyring: the name of a system key has 1 to 16 bytes")
	}
	b := make([]byte, 17)
	b[0] = mapSystem
	copy(b[1:], name)
	return b
}

func idKey(p IDPath) []byte { return append([]byte{mapID}, p[:]...) }

func slotKey(slot uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{mapSlot}, slot)
}

// ErrNoKey says that a system key that every ledger has is not in this keyring.
var ErrNoKey = errors.New("the keyring lacks one of the ledger's own keys")

// System returns one of the ledger's own keys. A key that is not there is an error, never made.
func (k *Keyring) System(name string) (seal.Key, error) {
	val, err := k.get(systemKey(name))
	if err != nil {
		return seal.Key{}, err
	}
	if val == nil {
		return seal.Key{}, fmt.Errorf("%w: %s", ErrNoKey, name)
	}
	return seal.KeyFromBytes(val)
}

// ByID returns what a member id leads to; ok is false if the id is not known.
func (k *Keyring) ByID(p IDPath) (rec IDRecord, ok bool, err error) {
	val, err := k.get(idKey(p))
	if err != nil || val == nil {
		return IDRecord{}, false, err
	}
	rec, err = decodeID(val)
	return rec, err == nil, err
}

// Member returns what a slot holds, or nil if it is empty. The result is the caller's to keep.
func (k *Keyring) Member(slot uint64) (*Member, error) {
	val, err := k.get(slotKey(slot))
	if err != nil || val == nil {
		return nil, err
	}
	return decodeMember(val)
}

// Slot is one slot with what it holds.
type Slot struct {
	Number uint64
	Member *Member
}

// SlotsFromDisk returns up to limit slots from one on, reading every page from the store whatever
// memory holds, so that damage on the disk is found.
func (k *Keyring) SlotsFromDisk(from uint64, limit int) ([]Slot, error) {
	recs, err := k.scan(mapSlot, slotKey(from), limit, true)
	if err != nil {
		return nil, err
	}
	out := make([]Slot, 0, len(recs))
	for _, r := range recs {
		m, err := decodeMember(r.val)
		if err != nil {
			return nil, err
		}
		out = append(out, Slot{Number: binary.BigEndian.Uint64(r.key[1:]), Member: m})
	}
	return out, nil
}

// IDsFromDisk returns up to limit records by id, from a path on; see SlotsFromDisk.
func (k *Keyring) IDsFromDisk(from IDPath, limit int) (paths []IDPath, recs []IDRecord, err error) {
	raw, err := k.scan(mapID, idKey(from), limit, true)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range raw {
		rec, err := decodeID(r.val)
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, IDPath(r.key[1:]))
		recs = append(recs, rec)
	}
	return paths, recs, nil
}

// PutSystem sets one of the ledger's own keys.
func (b *Batch) PutSystem(name string, key seal.Key) error {
	return b.set(systemKey(name), key.AppendTo(nil), 0)
}

// PutID sets what a member id leads to.
func (b *Batch) PutID(p IDPath, rec IDRecord) error { return b.set(idKey(p), rec.encode(), 0) }

// DeleteID makes a member id unknown.
func (b *Batch) DeleteID(p IDPath) error { return b.delete(idKey(p)) }

// PutMember sets what a slot holds.
func (b *Batch) PutMember(slot uint64, m *Member) error {
	return b.set(slotKey(slot), m.encode(), m.Due())
}

// DeleteMember empties a slot.
func (b *Batch) DeleteMember(slot uint64) error { return b.delete(slotKey(slot)) }
