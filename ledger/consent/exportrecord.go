package consent

import "encoding/hex"

// Record returns one entry as a consent receipt by ISO/IEC TS 27560 of that
// entry alone, ready for JSON: JSON-LD as JSONLD writes it, as things stood when it was
// recorded: what came later, such as a withdrawal, has entries of its own. It
// is nil for an entry that is neither a decision, nor a withdrawal of purposes
// that a policy has, nor a disclosure.
func (r *Register) Record(origin, member string, m MemberEntry) any {
	x := r.NewExport(origin, member, []MemberEntry{m}, nil, m.RecordedAt)
	g, doc := x.graph()
	if len(g.list)+len(g.transfers) == 0 {
		return nil
	}
	return doc
}

// NewExportKey is a key of a class with what its entries are found by.
func NewExportKey(c ClassID, tagKey [32]byte, entries, expired uint64) ExportKey {
	return ExportKey{Class: c.Name(), Policy: ownPolicy(c), TagKey: hex.EncodeToString(tagKey[:]), Entries: entries, Expired: expired}
}
