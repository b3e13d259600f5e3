package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/store"
)

// A mark is what a write leaves of its idempotency key: a row of its own, in the commit of its
// entries.
//
//	tag [16] | body [16] | hour u32 | place [16] | n u8 | id [8] × n | sealed answer
//
//	tag     HMAC(K_month, "tag" | scope | key): finds the row, through an index of the month
//	body    HMAC(K_month, "body" | tag | request)
//	place   first entry u64 | recorded at i64 (ms), under a mask from K_answer: when a row is written
//	        the answer is sealed already, in the caller's goroutine, and these are not known yet
//	id      HMAC(k, "consentledger/answer-id/v1" | tag)[:8] for each key k that an entry of the write is
//	        sealed under, and that is alive after it
//	K_answer = HMAC(K_hour, "consentledger/answer/v1" | tag | all those k)
//
// So nobody finds or compares anything once K_month is gone, and an answer dies with its hour's key or
// with the first of the member's keys that one of its entries lies under: it holds nothing that
// outlives what it tells of. A write that ends a membership has no such key, and its answer dies with
// the hour. Which keys they were is found by trying those that the member of the call has.

const (
	markFixed   = 16 + 16 + 4 + 16 + 1
	markIDSize  = 8
	maxMarkKeys = 255
	placeAt     = 16 + 16 + 4
	hourAt      = 16 + 16

	// answerVersion keeps what is sealed here apart from entries, which have versions of their own.
	answerVersion = 0x81

	answerIDInfo = "consentledger/answer-id/v1"
	answerInfo   = "consentledger/answer/v1"
)

// mark is a row that waits for its place.
type mark struct {
	claim *claim
	month uint32
	tag   seal.Tag
	row   []byte
	mask  [16]byte
}

// complete fills in what only the commit loop knows.
func (m *mark) complete(first uint64, recordedAtUnixMs int64) {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], first)
	binary.BigEndian.PutUint64(place[8:], uint64(recordedAtUnixMs))
	for i := range place {
		m.row[placeAt+i] = place[i] ^ m.mask[i]
	}
}

func markTag(month seal.Key, c *claim) seal.Tag {
	sum := month.MAC([]byte("tag\x00"), []byte(c.name))
	return seal.Tag(sum[:16])
}

func markBody(month seal.Key, tag seal.Tag, request []byte) [16]byte {
	sum := month.MAC([]byte("body\x00"), tag[:], request)
	return [16]byte(sum[:16])
}

func answerKey(hour seal.Key, tag seal.Tag, keys []seal.Key) (k seal.Key, mask [16]byte, err error) {
	raw := make([]byte, 0, len(keys)*seal.KeySize)
	for _, k := range keys {
		raw = k.AppendTo(raw)
	}
	sum := hour.MAC([]byte(answerInfo), tag[:], raw)
	clear(raw)
	if k, err = seal.KeyFromBytes(sum[:]); err != nil {
		return k, mask, err
	}
	m := k.MAC([]byte("place"), tag[:])
	return k, [16]byte(m[:16]), nil
}

func answerID(k seal.Key, tag seal.Tag) [markIDSize]byte {
	sum := k.MAC([]byte(answerIDInfo), tag[:])
	return [markIDSize]byte(sum[:markIDSize])
}

// onceAnswer is an Answer as it is sealed. Indexes, leaf hashes and times are those of its entries,
// and are read from them.
type onceAnswer struct {
	Member           []byte       `cbor:"1,keyasint,omitempty"`
	Classes          []string     `cbor:"2,keyasint,omitempty"` // of the entries
	Correction       string       `cbor:"3,keyasint,omitempty"`
	DestroyedKeys    uint64       `cbor:"4,keyasint,omitempty"`
	DestroyedEntries uint64       `cbor:"5,keyasint,omitempty"`
	Kept             []onceKept   `cbor:"6,keyasint,omitempty"`
	Notify           []onceNotify `cbor:"7,keyasint,omitempty"`
	Request          string       `cbor:"8,keyasint,omitempty"`
	DueAtMs          int64        `cbor:"9,keyasint,omitempty"`
	Notice           string       `cbor:"10,keyasint,omitempty"`
	Hold             string       `cbor:"11,keyasint,omitempty"`
	Extra            []byte       `cbor:"12,keyasint,omitempty"`
	Opening          []byte       `cbor:"13,keyasint,omitempty"` // of a destruction's commitment
}

type onceKept struct {
	Class   string `cbor:"1,keyasint"`
	UntilMs *int64 `cbor:"2,keyasint,omitempty"`
	Event   string `cbor:"3,keyasint,omitempty"`
	Basis   string `cbor:"4,keyasint,omitempty"`
}

type onceNotify struct {
	Recipient     string   `cbor:"1,keyasint"`
	Items         []string `cbor:"2,keyasint"`
	DisclosedAtMs int64    `cbor:"3,keyasint,omitempty"`
	Index         uint64   `cbor:"4,keyasint,omitempty"`
}

// classes are those of the entries that a submission becomes, in their order.
func (s *submission) classes() []string {
	out := make([]string, 0, len(s.drafts)+len(s.system)+1)
	for i := range s.entries {
		out = append(out, s.drafts[i].Key.Class.Name())
	}
	for _, d := range s.system {
		out = append(out, d.class)
	}
	if s.destruction != nil {
		out = append(out, destructionsClass)
	}
	return out
}

func (s *submission) onceAnswer(extra []byte) onceAnswer {
	a := &s.pending.answer
	o := onceAnswer{
		Extra:   extra,
		Classes: s.classes(), Correction: a.Correction, DestroyedKeys: uint64(a.DestroyedKeys), DestroyedEntries: uint64(a.DestroyedEntries),
		Request: a.Request, DueAtMs: unixMilli(a.DueAt), Notice: a.Notice, Hold: a.Hold,
	}
	if a.Member != (Ref{}) {
		o.Member = a.Member[:]
	}
	if !a.opening.isZero() {
		o.Opening = a.opening[:]
	}
	o.Kept = onceKepts(a.Kept)
	for _, n := range a.Notify {
		o.Notify = append(o.Notify, onceNotify{n.Recipient, n.Items, unixMilli(n.DisclosedAt), n.Index})
	}
	return o
}

func (o *onceAnswer) answer() (*Answer, error) {
	a := &Answer{
		Correction: o.Correction, DestroyedKeys: int(o.DestroyedKeys), DestroyedEntries: int(o.DestroyedEntries),
		Request: o.Request, DueAt: timeOfMilli(o.DueAtMs), Notice: o.Notice, Hold: o.Hold, extra: o.Extra, Replayed: true,
	}
	if len(o.Member) != 0 && copy(a.Member[:], o.Member) != len(a.Member) {
		return nil, fmt.Errorf("%w: the member of an answer that was kept", ErrCorrupt)
	}
	if len(o.Opening) != 0 && copy(a.opening[:], o.Opening) != len(a.opening) {
		return nil, fmt.Errorf("%w: the opening in an answer that was kept", ErrCorrupt)
	}
	a.Kept = keptRows(o.Kept)
	for _, n := range o.Notify {
		a.Notify = append(a.Notify, consent.Notify{Recipient: n.Recipient, Items: n.Items, DisclosedAt: timeOfMilli(n.DisclosedAtMs), Index: n.Index})
	}
	return a, nil
}

func onceKepts(all []consent.Kept) (rows []onceKept) {
	for _, k := range all {
		row := onceKept{Class: k.Class, Event: k.Event, Basis: k.Basis}
		if k.Until != nil {
			ms := k.Until.UnixMilli()
			row.UntilMs = &ms
		}
		rows = append(rows, row)
	}
	return rows
}

func keptRows(rows []onceKept) (all []consent.Kept) {
	for _, k := range rows {
		row := consent.Kept{Class: k.Class, Event: k.Event, Basis: k.Basis}
		if k.UntilMs != nil {
			t := time.UnixMilli(*k.UntilMs)
			row.Until = &t
		}
		all = append(all, row)
	}
	return all
}

func timeOfMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// newMark makes the row of a submission that is complete but for its place.
func (l *Ledger) newMark(c *claim, s *submission) (*mark, error) {
	now := l.now()
	month, err := l.marks.key(monthOf(now))
	if err != nil {
		return nil, err
	}
	hour, err := l.answers.key(hourOf(now))
	if err != nil {
		return nil, err
	}
	m := &mark{claim: c, month: monthOf(now), tag: markTag(month, c)}
	keys := s.sealedUnder
	body := markBody(month, m.tag, c.once.Request)
	m.row = make([]byte, 0, 512)
	m.row = append(append(m.row, m.tag[:]...), body[:]...)
	m.row = binary.BigEndian.AppendUint32(m.row, hourOf(now))
	m.row = append(m.row, make([]byte, 16)...)
	if len(keys) > maxMarkKeys {
		m.row = append(m.row, 0)
		return m, nil // an answer of so many parts is not kept
	}
	m.row = append(m.row, byte(len(keys)))
	for _, k := range keys {
		id := answerID(k, m.tag)
		m.row = append(m.row, id[:]...)
	}
	var k seal.Key
	if k, m.mask, err = answerKey(hour, m.tag, keys); err != nil {
		return nil, err
	}
	defer k.Clear()
	raw, err := encodeBody(s.onceAnswer(c.extra))
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	if len(raw) > seal.MaxBody {
		return m, nil // nor is one that is so large
	}
	if m.row, err = l.box.Seal(m.row, l.o.Rand, answerVersion, k, m.tag, raw); err != nil {
		return nil, fmt.Errorf("seal an answer: %w", err)
	}
	return m, nil
}

// replay returns the answer that a claim's key has already, or nil if it has none.
func (l *Ledger) replay(c *claim, of slotFinder) (*Answer, error) {
	now := monthOf(l.now())
	for _, month := range []uint32{now, now - 1} {
		key, err := l.marks.key(month)
		if errors.Is(err, errEpochGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		tag := markTag(key, c)
		row, err := l.findMark(month, tag)
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		if body := markBody(key, tag, c.once.Request); !equalBytes(row[16:32], body[:]) {
			return nil, ErrKeyReused
		}
		return l.openAnswer(row, tag, of)
	}
	return nil, nil
}

// openAnswer opens the answer of a row, or fails with ErrAlreadyDone.
func (l *Ledger) openAnswer(row []byte, tag seal.Tag, of slotFinder) (*Answer, error) {
	n := int(row[markFixed-1])
	sealed := row[markFixed+n*markIDSize:]
	hourNo := binary.BigEndian.Uint32(row[hourAt:])
	hour, err := l.answers.key(hourNo)
	if errors.Is(err, errEpochGone) || len(sealed) == 0 {
		return nil, ErrAlreadyDone
	}
	if err != nil {
		return nil, err
	}
	keys, err := l.answerKeys(row, tag, hourNo, of)
	if err != nil {
		return nil, err
	}
	k, mask, err := answerKey(hour, tag, keys)
	if err != nil {
		return nil, err
	}
	raw, err := l.box.Open(nil, answerVersion, k, sealed)
	k.Clear()
	if err != nil {
		return nil, l.damaged(fmt.Errorf("%w: an answer that was kept cannot be opened: %w", ErrCorrupt, err))
	}
	defer clear(raw)
	var o onceAnswer
	if err := decodeBody(raw, &o); err != nil {
		return nil, err
	}
	a, err := o.answer()
	if err != nil {
		return nil, err
	}
	var place [16]byte
	for i := range place {
		place[i] = row[placeAt+i] ^ mask[i]
	}
	first := binary.BigEndian.Uint64(place[:])
	a.RecordedAt = time.UnixMilli(int64(binary.BigEndian.Uint64(place[8:])))
	for i, class := range o.Classes {
		raw, err := l.entry(first + uint64(i))
		if err != nil {
			return nil, l.damaged(err)
		}
		a.Entries = append(a.Entries, EntryRef{Index: first + uint64(i), LeafHash: chain.LeafHash(raw), Class: class})
	}
	return a, nil
}

// answerKeys finds the keys that an answer is sealed under among those of its member.
func (l *Ledger) answerKeys(row []byte, tag seal.Tag, hour uint32, of slotFinder) ([]seal.Key, error) {
	n := int(row[markFixed-1])
	if n == 0 {
		return nil, nil
	}
	slot, err := of()
	if err != nil {
		return nil, l.damaged(err)
	}
	var rec *keyring.Member
	if slot != 0 {
		if rec, err = l.keys.Member(slot); err != nil {
			return nil, l.damaged(err)
		}
	}
	if rec == nil {
		return nil, ErrAlreadyDone
	}
	have := make(map[[markIDSize]byte]seal.Key)
	reg := l.register.Load()
	start := time.Unix(int64(hour)*secondsPerHour, 0)
	for i := range rec.Keys {
		k := &rec.Keys[i]
		if !k.Ratchet {
			have[answerID(k.Key, tag)] = k.Key
			continue
		}
		// A controller's day may begin within an hour, and may be one that was chosen a moment before.
		mk := newMemberKey(k)
		for day := reg.Day(start.Add(-time.Hour)); day <= reg.Day(start.Add(time.Hour)); day++ {
			if day >= consent.Day(k.Day) {
				key := mk.keyOf(k, day)
				have[answerID(key, tag)] = key
			}
		}
	}
	keys := make([]seal.Key, n)
	for i := range keys {
		id := [markIDSize]byte(row[markFixed+i*markIDSize:])
		k, ok := have[id]
		if !ok {
			return nil, ErrAlreadyDone
		}
		keys[i] = k
	}
	return keys, nil
}

// checkMark says whether a row has the shape of one.
func checkMark(row []byte) error {
	if len(row) < markFixed || len(row) < markFixed+int(row[markFixed-1])*markIDSize {
		return fmt.Errorf("%w: the mark of an idempotency key is cut off", ErrCorrupt)
	}
	return nil
}

// markKey is where a row lies.
func markKey(month uint32, n uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(make([]byte, 0, 12), month), n)
}

// findMark returns the row of a tag, or nil.
func (l *Ledger) findMark(month uint32, tag seal.Tag) (row []byte, err error) {
	n, ok, err := l.marks.find(month, tag)
	if err != nil || !ok {
		return nil, err
	}
	err = l.o.Store.View(func(r store.Reader) error {
		b, err := r.Get(mapMarks, markKey(month, n))
		row = append(row, b...)
		return err
	})
	if err == nil {
		err = checkMark(row)
	}
	if err == nil && seal.Tag(row[:16]) != tag {
		err = fmt.Errorf("%w: the index of idempotency keys leads to the mark of another", ErrCorrupt)
	}
	if err != nil {
		return nil, l.damaged(err)
	}
	return row, nil
}
