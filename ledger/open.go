package ledger

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"consentledger/crypto/keyring"
	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// opened is one entry of a member, read.
type opened struct {
	HistoryRow
	key consent.KeyName
	day consent.Day // that it was sealed on; it dies by that day
}

func unixTime(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}

func isDamage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, keyring.ErrDamaged) || errors.Is(err, seal.ErrAltered)
}

func newMemberKey(k *keyring.MemberKey) *memberKey {
	mk := &memberKey{name: consent.KeyName{Class: consent.ClassID(k.Class), Reference: k.Reference}}
	if k.Ratchet {
		mk.tagger = seal.NewTagger(k.TagKey)
		mk.day, mk.dayKey = consent.Day(k.Day), k.Key
	} else {
		mk.tagger = seal.NewTagger(k.Key)
	}
	return mk
}

// keyOf returns the key of a day: for a ratchet by stepping forward from the newest one that is
// known and not later.
func (mk *memberKey) keyOf(k *keyring.MemberKey, day consent.Day) seal.Key {
	if !k.Ratchet {
		return k.Key
	}
	at, key := mk.day, mk.dayKey
	if day < at {
		at, key = consent.Day(k.Day), k.Key
	}
	for ; at < day; at++ {
		key = key.Next()
	}
	if at > mk.day {
		mk.day, mk.dayKey = at, key
	}
	return key
}

// openMember finds, opens and decodes all entries of a member that can still be read, in order.
func (l *Ledger) openMember(rec *keyring.Member) ([]opened, []*memberKey, error) {
	keys := make([]*memberKey, len(rec.Keys))
	var out []opened
	for i := range rec.Keys {
		keys[i] = newMemberKey(&rec.Keys[i])
		var err error
		if out, err = l.openKey(keys[i], &rec.Keys[i], out); err != nil {
			return nil, nil, err
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Index < out[j].Index })
	return out, keys, nil
}

// readAhead is how many entries of a key are found before they are read, all in one view of the
// store: to begin and end a view costs more than to read from it.
const readAhead = 64

// openKey opens the entries of one key and counts them.
func (l *Ledger) openKey(mk *memberKey, k *keyring.MemberKey, out []opened) ([]opened, error) {
	reg := l.register.Load()
	first := true
	var indexes [readAhead]uint64
	for {
		n := 0
		for n < readAhead {
			index, ok, err := l.tags.Find(mk.tagger.Tag(mk.count + uint64(n)))
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			indexes[n] = index
			n++
		}
		entries, err := l.entries(indexes[:n])
		if err != nil {
			return nil, l.damaged(err)
		}
		for i, raw := range entries {
			mk.count++
			e, err := l.openOne(reg, mk, k, indexes[i], raw)
			if errors.Is(err, errExpired) {
				mk.expired++
				continue
			}
			if err != nil {
				return nil, l.damaged(err)
			}
			if first || e.day > mk.newest {
				mk.newest, first = e.day, false
			}
			out = append(out, e)
		}
		if n < readAhead {
			return out, nil
		}
	}
}

// openOne opens and decodes one entry of a key.
func (l *Ledger) openOne(reg *consent.Register, mk *memberKey, k *keyring.MemberKey, index uint64, raw []byte) (opened, error) {
	e, err := chain.Parse(raw)
	if err != nil {
		return opened{}, fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	at := time.UnixMilli(e.RecordedAtUnixMs)
	body, day, err := l.openEntry(mk, k, reg.Day(at), e.Sealed)
	if errors.Is(err, errExpired) {
		return opened{}, err
	}
	if err != nil {
		return opened{}, fmt.Errorf("%w: entry %d cannot be opened with its own key: %w", ErrCorrupt, index, err)
	}
	ev, err := consent.DecodeEvent(body)
	if err != nil {
		return opened{}, fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	row := HistoryRow{Index: index, LeafHash: chain.LeafHash(raw), Class: mk.name.Class.Name(), RecordedAt: at, Event: ev}
	return opened{HistoryRow: row, key: mk.name, day: day}, nil
}

var errExpired = errors.New("the key of that day is gone")

// openEntry opens one sealed entry. It was sealed before its time was given to it, so an entry
// recorded just after midnight may be sealed under the key of the day before.
func (l *Ledger) openEntry(mk *memberKey, k *keyring.MemberKey, recorded consent.Day, sealed []byte) ([]byte, consent.Day, error) {
	if !k.Ratchet {
		body, err := l.box.Open(nil, chain.Version, k.Key, sealed)
		return body, recorded, err
	}
	if recorded < consent.Day(k.Day) {
		return nil, 0, errExpired
	}
	body, err := l.box.Open(nil, chain.Version, mk.keyOf(k, recorded), sealed)
	if !errors.Is(err, seal.ErrWrongKey) {
		return body, recorded, err
	}
	if recorded-1 < consent.Day(k.Day) {
		return nil, 0, errExpired
	}
	body, err = l.box.Open(nil, chain.Version, mk.keyOf(k, recorded-1), sealed)
	return body, recorded - 1, err
}

// countTags finds how many entries a key of the ledger's own has, by doubling and halving.
func (l *Ledger) countTags(t *seal.Tagger) (uint64, error) {
	has := func(i uint64) (bool, error) {
		_, ok, err := l.tags.Find(t.Tag(i))
		return ok, err
	}
	lo, hi := uint64(0), uint64(1)
	for {
		ok, err := has(hi - 1)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		lo, hi = hi, hi*2
	}
	// tags below lo exist, the one at hi-1 does not
	for lo < hi-1 {
		mid := (lo + hi - 1) / 2
		ok, err := has(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = mid + 1
		} else {
			hi = mid + 1
		}
	}
	return lo, nil
}

// page returns a member's entries, newest first, from before an index.
func page(all []opened, before uint64, limit int) (rows []HistoryRow, next uint64) {
	for _, e := range slices.Backward(all) {
		if before != 0 && e.Index >= before {
			continue
		}
		if len(rows) == limit {
			return rows, rows[len(rows)-1].Index
		}
		rows = append(rows, e.HistoryRow)
	}
	return rows, 0
}
