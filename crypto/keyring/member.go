package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

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
	Wake  int64  // Unix seconds when the member is to be looked at, whatever its keys; 0: never
	Task  int64  // Unix seconds from which on a person has something to do for it; 0: nothing
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
	NotBefore int64    // Unix seconds before which nothing of it is due, whatever Due says; 0: no such time
}

// DueAt is when something of the key is to be destroyed: Due, put off to NotBefore. 0: no clock
// runs. What is due stays so while it is put off, and no clock starts because nothing is put off.
func (k *MemberKey) DueAt() int64 {
	if k.Due == 0 || k.NotBefore == 0 {
		return k.Due
	}
	return max(k.Due, k.NotBefore)
}

// Due is the earliest time at which one of the member's keys is due, or the member is to be looked
// at. 0: never.
func (m *Member) Due() int64 {
	d := m.Wake
	for i := range m.Keys {
		d = earliest(d, m.Keys[i].DueAt())
	}
	return d
}

// times is what the member's slot is found by.
func (m *Member) times() times { return times{due: m.Due(), task: m.Task} }

// Clone returns a copy that shares nothing that changes.
func (m *Member) Clone() *Member {
	c := *m
	c.Keys = append([]MemberKey(nil), m.Keys...)
	return &c
}

var errDamagedRecord = fmt.Errorf("%w: a record is not well-formed", ErrDamaged)

func (r IDRecord) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+8*len(r.Kept)), r.Slot)
	for _, s := range r.Kept {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func decodeID(b []byte) (IDRecord, error) {
	r := reader{s: b}
	rec := IDRecord{Slot: r.u64()}
	for len(r.s) > 0 {
		rec.Kept = append(rec.Kept, r.u64())
	}
	if !r.done() {
		return IDRecord{}, errDamagedRecord
	}
	return rec, nil
}

// check says whether a member can be written so that it reads back as it is.
func (m *Member) check() error {
	if len(m.Kind) > 255 {
		return fmt.Errorf("keyring: a member kind has at most 255 bytes, this one has %d", len(m.Kind))
	}
	if len(m.Keys) > math.MaxUint16 {
		return fmt.Errorf("keyring: a member has at most %d keys, this one has %d", math.MaxUint16, len(m.Keys))
	}
	for i := range m.Keys {
		k := &m.Keys[i]
		switch {
		case len(k.Class) > 255:
			return fmt.Errorf("keyring: the name of a class has at most 255 bytes, this one has %d", len(k.Class))
		case len(k.Reference) > math.MaxUint16:
			return fmt.Errorf("keyring: a reference has at most %d bytes, this one has %d", math.MaxUint16, len(k.Reference))
		case k.Key.IsZero() || k.Ratchet && k.TagKey.IsZero():
			return errors.New("keyring: a member's key was cleared, or never drawn")
		case !k.Ratchet && (k.Day != 0 || !k.TagKey.IsZero()):
			return errors.New("keyring: a day or a tag key is given for a key that is no ratchet")
		}
	}
	return nil
}

func (m *Member) size() int {
	s := 8 + len(m.Path) + 1 + len(m.Kind) + 1 + 8 + 8 + 2
	for i := range m.Keys {
		k := &m.Keys[i]
		s += 1 + len(k.Class) + 2 + len(k.Reference) + seal.KeySize + 8 + 8 + 1
		if k.Ratchet {
			s += seal.KeySize + 4
		}
	}
	return s
}

// encode writes a member that was checked, into a buffer of the exact size: one that grew would
// leave keys behind.
func (m *Member) encode() []byte {
	b := make([]byte, 0, m.size())
	b = binary.BigEndian.AppendUint64(b, m.Nonce)
	b = append(b, m.Path[:]...)
	b = append(b, byte(len(m.Kind)))
	b = append(b, m.Kind...)
	b = append(b, flag(m.Ended))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Wake))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Task))
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Keys)))
	for i := range m.Keys {
		k := &m.Keys[i]
		b = append(b, byte(len(k.Class)))
		b = append(b, k.Class...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Reference)))
		b = append(b, k.Reference...)
		b = k.Key.AppendTo(b)
		b = binary.BigEndian.AppendUint64(b, uint64(k.Due))
		b = binary.BigEndian.AppendUint64(b, uint64(k.NotBefore))
		b = append(b, flag(k.Ratchet))
		if k.Ratchet {
			b = k.TagKey.AppendTo(b)
			b = binary.BigEndian.AppendUint32(b, uint32(k.Day))
		}
	}
	return b
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// decodeMember reads what encode wrote, and nothing else.
func decodeMember(b []byte) (*Member, error) {
	const leastKey = 1 + 2 + seal.KeySize + 8 + 8 + 1
	r := reader{s: b}
	m := &Member{Nonce: r.u64()}
	copy(m.Path[:], r.bytes(len(m.Path)))
	m.Kind = string(r.bytes(int(r.u8())))
	m.Ended = r.flag()
	m.Wake = int64(r.u64())
	m.Task = int64(r.u64())
	count := int(r.u16())
	if r.bad || count > len(r.s)/leastKey {
		return nil, errDamagedRecord
	}
	m.Keys = make([]MemberKey, count)
	for i := range m.Keys {
		k := &m.Keys[i]
		k.Class = string(r.bytes(int(r.u8())))
		k.Reference = string(r.bytes(int(r.u16())))
		k.Key = r.key()
		k.Due = int64(r.u64())
		k.NotBefore = int64(r.u64())
		if k.Ratchet = r.flag(); k.Ratchet {
			k.TagKey = r.key()
			k.Day = int32(r.u32())
		}
		if r.bad {
			return nil, errDamagedRecord
		}
	}
	if !r.done() {
		return nil, errDamagedRecord
	}
	return m, nil
}

// systemKey is the place of one of the ledger's own keys. Names are short and fixed in the code.
func systemKey(name string) []byte {
	if len(name) == 0 || len(name) > 16 {
		panic("keyring: the name of a system key has 1 to 16 bytes")
	}
	b := make([]byte, systemKeySize)
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
	key, err := seal.KeyFromBytes(val)
	if err != nil {
		return seal.Key{}, fmt.Errorf("%w: the ledger's own key %s: %w", ErrDamaged, name, err)
	}
	return key, nil
}

// Epoch returns a key that PutEpoch set: the oldest that can still be had, and which epoch it is of.
func (k *Keyring) Epoch(name string) (epoch uint32, key seal.Key, err error) {
	val, err := k.get(systemKey(name))
	if err != nil {
		return 0, seal.Key{}, err
	}
	if val == nil {
		return 0, seal.Key{}, fmt.Errorf("%w: %s", ErrNoKey, name)
	}
	if len(val) == seal.KeySize+4 {
		key, err = seal.KeyFromBytes(val[:seal.KeySize])
	} else {
		err = errDamagedRecord
	}
	if err != nil {
		return 0, seal.Key{}, fmt.Errorf("%w: the ledger's own key %s: %w", ErrDamaged, name, err)
	}
	return binary.BigEndian.Uint32(val[seal.KeySize:]), key, nil
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

// Slots returns up to limit slots that hold something, from one on, in order.
func (k *Keyring) Slots(from uint64, limit int) ([]Slot, error) { return k.slots(from, limit, false) }

// SlotsFromDisk is Slots, reading every page from the store whatever memory holds, so that damage
// on the disk is found.
func (k *Keyring) SlotsFromDisk(from uint64, limit int) ([]Slot, error) {
	return k.slots(from, limit, true)
}

func (k *Keyring) slots(from uint64, limit int, cold bool) ([]Slot, error) {
	recs, err := k.scan(mapSlot, slotKey(from), limit, cold)
	if err != nil {
		return nil, err
	}
	out := make([]Slot, 0, len(recs))
	for _, r := range recs {
		m, err := decodeMember(r.val)
		if err != nil {
			return nil, err
		}
		if m.times() != r.times {
			return nil, errDamagedRecord // it would not be found when its time comes
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
	if key.IsZero() {
		return fmt.Errorf("keyring: the ledger's own key %s was cleared, or never drawn", name)
	}
	return b.set(systemKey(name), key.AppendTo(nil), times{})
}

// PutEpoch sets a key of the ledger's own that moves on with time: the one of epoch, from which the
// later ones follow. Whoever moves it on puts the later key in its place, in a batch that is sealed
// under a fresh root.
func (b *Batch) PutEpoch(name string, epoch uint32, key seal.Key) error {
	if key.IsZero() {
		return fmt.Errorf("keyring: the ledger's own key %s was cleared, or never drawn", name)
	}
	return b.set(systemKey(name), binary.BigEndian.AppendUint32(key.AppendTo(nil), epoch), times{})
}

// PutID sets what a member id leads to.
func (b *Batch) PutID(p IDPath, rec IDRecord) error { return b.set(idKey(p), rec.encode(), times{}) }

// DeleteID makes a member id unknown.
func (b *Batch) DeleteID(p IDPath) error { return b.delete(idKey(p)) }

// PutMember sets what a slot holds. A member that would not read back as it is is refused.
func (b *Batch) PutMember(slot uint64, m *Member) error {
	if err := m.check(); err != nil {
		return err
	}
	return b.set(slotKey(slot), m.encode(), m.times())
}

// DeleteMember empties a slot.
func (b *Batch) DeleteMember(slot uint64) error { return b.delete(slotKey(slot)) }
