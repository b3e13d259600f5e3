package ledger

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"consentledger/crypto/seal"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
)

// Some of what the shop must be able to show is of no member: what everybody was told, audits of
// partners, what was asked of those who held a copy, disclosures that identify nobody.

// Notices returns the notices of no member, newest first, from before an index (0: the newest).
// next is the index to go on from, 0 where there is no more.
func (l *Ledger) Notices(who Caller, before uint64, limit int) (rows []HistoryRow, next uint64, err error) {
	return l.ownPage(who, topicNotices, before, limit, func(body []byte) (e consent.Event, err error) {
		var b noticeBody
		if err := decodeBody(body, &b); err != nil {
			return e, err
		}
		return consent.Event{
			Kind: consent.KindNotice, Notice: b.ID, NoticeKind: b.Notice, Destruction: b.Destruction, Recipient: b.Recipient,
			Channel: b.Channel, SentAtMs: b.SentAtMs, DueAtMs: b.DueAtMs, Outcome: b.Outcome, Reason: b.Reason,
		}, nil
	})
}

// Anonymised returns the disclosures of data that identifies nobody, like Notices.
func (l *Ledger) Anonymised(who Caller, before uint64, limit int) (rows []HistoryRow, next uint64, err error) {
	return l.ownPage(who, topicStatistics, before, limit, func(body []byte) (e consent.Event, err error) {
		var b eventBody
		if err := decodeBody(body, &b); err != nil {
			return e, err
		}
		return consent.DecodeEvent(b.Event)
	})
}

// ownPage opens entries of one of the ledger's own topics, and no more of them than it returns.
func (l *Ledger) ownPage(who Caller, name string, before uint64, limit int, event func([]byte) (consent.Event, error)) (rows []HistoryRow, next uint64, err error) {
	if !who.May(ActOffice) {
		return nil, 0, ErrForbidden
	}
	key, err := l.keys.System(name)
	if err != nil {
		return nil, 0, l.damaged(err)
	}
	tagger := seal.NewTagger(key)
	n, err := l.countTags(tagger)
	if err != nil {
		return nil, 0, l.damaged(err)
	}
	find := func(i uint64) (index uint64, err error) {
		index, ok, err := l.tags.Find(tagger.Tag(i))
		if err == nil && !ok {
			err = fmt.Errorf("%w: entry %d of %s is missing", ErrCorrupt, i, name)
		}
		return index, err
	}
	if before != 0 { // they lie in the order of their indexes
		var bad error
		n = uint64(sort.Search(int(n), func(i int) bool {
			index, err := find(uint64(i))
			bad = errors.Join(bad, err)
			return index >= before
		}))
		if bad != nil {
			return nil, 0, l.damaged(bad)
		}
	}
	for ; n > 0; n-- {
		if len(rows) == limit {
			return rows, rows[len(rows)-1].Index, nil
		}
		index, err := find(n - 1)
		if err != nil {
			return nil, 0, l.damaged(err)
		}
		row, err := l.ownEntry(name, key, index, event)
		if err != nil {
			return nil, 0, l.damaged(err)
		}
		rows = append(rows, row)
	}
	return rows, 0, nil
}

func (l *Ledger) ownEntry(name string, key seal.Key, index uint64, event func([]byte) (consent.Event, error)) (row HistoryRow, err error) {
	raw, err := l.entry(index)
	if err != nil {
		return row, err
	}
	e, err := chain.Parse(raw)
	if err != nil {
		return row, fmt.Errorf("%w: entry %d: %w", ErrCorrupt, index, err)
	}
	body, err := l.box.Open(nil, chain.Version, key, e.Sealed)
	if err != nil {
		return row, fmt.Errorf("%w: entry %d of %s: %w", ErrCorrupt, index, name, err)
	}
	row = HistoryRow{Index: index, LeafHash: chain.LeafHash(raw), Class: name[len("t/"):], RecordedAt: time.UnixMilli(e.RecordedAtUnixMs)}
	row.Event, err = event(body)
	return row, err
}
