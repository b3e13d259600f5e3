package server

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"consentledger/ledger"
	"consentledger/ledger/consent"
)

// The answers of writes are appended by hand: they are the hot path, and every
// one of them has a fixed shape.

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259 section 7).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		d := s[i]
		if plainASCII[d] {
			i++
			continue
		}
		if d >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[start:i]...), `\ufffd`...)
		} else {
			b = append(b, s[start:i]...)
			if d == '"' || d == '\\' {
				b = append(b, '\\', d)
			} else {
				b = append(b, '\\', 'u', '0', '0', hexDigits[d>>4], hexDigits[d&15])
			}
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendTime appends an RFC 3339 time in UTC, to the millisecond in which the ledger counts.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	return append(b, '"')
}

func appendEntries(b []byte, entries []ledger.EntryRef) []byte {
	b = append(b, `"entries":[`...)
	for i := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendUint(b, entries[i].Index, 10)
		b = append(b, `,"leaf_hash":"`...)
		b = hex.AppendEncode(b, entries[i].LeafHash[:])
		b = append(b, `","class":`...)
		b = appendString(b, entries[i].Class)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendRecordedAt(b []byte, t time.Time) []byte {
	return appendTime(append(b, `,"recorded_at":`...), t)
}

// appendAnswer appends the members of the answer to a call, without braces.
func appendAnswer(b []byte, call ledger.Call, a *ledger.Answer) []byte {
	switch call.(type) {
	case *consent.Consent:
		b = append(b, `"member":"`...)
		b = append(b, a.Member.String()...)
		b = append(b, `",`...)
		b = appendEntries(b, a.Entries)
	case *consent.Withdrawal:
		b = appendDestroyed(appendEntries(b, a.Entries), a)
		b = appendAllKept(b, a.Kept)
		b = append(b, `,"notify":[`...)
		for i, n := range a.Notify {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"recipient":`...)
			b = appendString(b, n.Recipient)
			b = append(b, `,"items":`...)
			b = append(appendStrings(b, n.Items), '}')
		}
		b = append(b, ']')
	case *consent.Correction:
		b = append(b, `"correction":`...)
		b = appendString(b, a.Correction)
		b = append(b, ',')
		b = appendEntries(b, a.Entries)
	case *consent.CorrectionOutcome:
		b = appendEntries(b, a.Entries)
		b = append(b, `,"notify":[`...)
		for i, n := range a.Notify {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"recipient":`...)
			b = appendString(b, n.Recipient)
			b = append(b, `,"items":`...)
			b = appendStrings(b, n.Items)
			b = append(b, `,"disclosed_at":`...)
			b = appendTime(b, n.DisclosedAt)
			b = append(b, `,"index":`...)
			b = strconv.AppendUint(b, n.Index, 10)
			b = append(b, '}')
		}
		b = append(b, ']')
	case *consent.EventEnd:
		b = appendDestroyed(appendEntries(b, a.Entries), a)
		b = appendAllKept(b, a.Kept)
	case *consent.Notice:
		b = append(b, `"notice":`...)
		b = append(appendString(b, a.Notice), ',')
		b = appendEntries(b, a.Entries)
	case *consent.Request:
		b = append(b, `"request":`...)
		b = appendString(b, a.Request)
		b = append(b, `,"due":`...)
		b = append(appendTime(b, a.DueAt), ',')
		b = appendEntries(b, a.Entries)
	default:
		b = appendEntries(b, a.Entries)
	}
	return appendRecordedAt(b, a.RecordedAt)
}

func appendDestroyed(b []byte, a *ledger.Answer) []byte {
	b = append(b, `,"destroyed":{"keys":`...)
	b = strconv.AppendInt(b, int64(a.DestroyedKeys), 10)
	b = append(b, `,"entries":`...)
	b = strconv.AppendInt(b, int64(a.DestroyedEntries), 10)
	return append(b, '}')
}

func appendAllKept(b []byte, all []consent.Kept) []byte {
	b = append(b, `,"kept":[`...)
	for i, k := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendKept(b, k)
	}
	return append(b, ']')
}

func appendKept(b []byte, k consent.Kept) []byte {
	b = append(b, `{"class":`...)
	b = appendString(b, k.Class)
	b = append(b, `,"until":`...)
	if k.Until == nil {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, *k.Until)
	}
	if k.Event != "" {
		b = append(b, `,"event":`...)
		b = appendString(b, k.Event)
	}
	b = append(b, `,"basis":`...)
	return append(appendString(b, k.Basis), '}')
}

// appendAffected appends a line of the answer to a breach query.
func appendAffected(b []byte, row ledger.BreachRow) []byte {
	b = append(b, `{"member":`...)
	b = appendString(b, row.Member.String())
	b = append(b, `,"items":`...)
	b = appendStrings(b, row.Items)
	b = append(b, `,"entries":[`...)
	for i, index := range row.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, index, 10)
	}
	return append(b, ']', '}', '\n')
}

// appendDecision appends the answer to a question.
func appendDecision(b []byte, a consent.Answer) []byte {
	b = append(b, `{"allowed":`...)
	b = strconv.AppendBool(b, a.Allowed)
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason)
	if a.Index != nil {
		b = append(b, `,"index":`...)
		b = strconv.AppendUint(b, *a.Index, 10)
	}
	if a.PolicyVersion != "" {
		b = append(b, `,"policy_version":`...)
		b = appendString(b, a.PolicyVersion)
	}
	return append(b, '}')
}
