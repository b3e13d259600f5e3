package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/remote"
)

// result is what verify says.
type result struct {
	Intact          bool               `json:"intact"`
	Origin          string             `json:"origin"`
	PublicKey       string             `json:"public_key"`
	Entries         uint64             `json:"entries"`
	Root            string             `json:"root"` // base64, as in a checkpoint
	FirstRecordedAt *string            `json:"first_recorded_at"`
	LastRecordedAt  *string            `json:"last_recorded_at"`
	FirstBadIndex   *uint64            `json:"first_bad_index"` // null if no entry is at fault
	Outside         bool               `json:"outside_checkpoint"`
	Findings        []finding          `json:"findings"`
	Checked         []string           `json:"checked"`
	Unchecked       []string           `json:"unchecked"`
	SHA256          string             `json:"sha256"` // the implementation that ran
	Via             string             `json:"via"`    // database, server or url
	Where           string             `json:"where"`
	ReadFrom        uint64             `json:"read_from"` // the first entry that was read now, 0 unless Before is set
	Before          *verifiedBefore    `json:"before"`    // null if all was read now
	Receipts        []*paper           `json:"receipts,omitempty"`
	Certificates    []*paper           `json:"certificates,omitempty"`
	Deep            *ledger.DeepReport `json:"deep,omitempty"`

	report chain.Report
}

// verifiedBefore is what a state file says of the entries that were not read.
type verifiedBefore struct {
	Entries    uint64 `json:"entries"`     // of the head that was verified
	VerifiedAt string `json:"verified_at"` // when that head was
	WholeAt    string `json:"whole_at"`    // when the log, as it was then, was last read from its first entry on
}

// readBefore says that only the entries from an index on were read now.
func (r *result) readBefore(from uint64, before remote.State) {
	r.ReadFrom, r.FirstRecordedAt = from, nil
	r.Before = &verifiedBefore{remote.Claims(before.Checkpoint).Size, before.Verified.Format(time.RFC3339), before.Whole.Format(time.RFC3339)}
	r.Checked = append(r.Checked, fmt.Sprintf("entries 0 to %d: verified before with this state file, last on %s; the rest now, and that it continues them",
		r.Before.Entries-1, r.Before.VerifiedAt))
	r.Unchecked = append(r.Unchecked, fmt.Sprintf("whether the server still gives the entries 0 to %d, and their tiles, as they were: they were last read from the first on %s, --full reads them again", from-1, r.Before.WholeAt))
}

// The values of Via.
const (
	viaServer   = "server"
	viaDatabase = "database"
	viaURL      = "url"
)

func rfc3339(ms int64) *string {
	if ms == 0 {
		return nil
	}
	s := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return &s
}

// A finding is one thing that is wrong. Index is the entry that it is about,
// null where no entry is at fault.
type finding struct {
	Kind  chain.Kind `json:"kind"`
	Index *uint64    `json:"index"`
	What  string     `json:"what"`
	Rules bool       `json:"rules,omitempty"` // no damage: what is recorded breaks a rule
}

// find adds what package chain says, or in its words. A checkpoint that is no
// good itself is about no entry.
func (r *result) find(findings ...chain.Finding) {
	for _, f := range findings {
		switch f.Kind {
		case chain.CheckpointMalformed, chain.CheckpointSignature, chain.CheckpointOrigin:
			r.findOther(f.Kind, f.What)
		default:
			r.Findings = append(r.Findings, finding{Kind: f.Kind, Index: &f.Index, What: f.What})
		}
	}
}

// findOther adds what is about no entry.
func (r *result) findOther(kind chain.Kind, what string) {
	r.Findings = append(r.Findings, finding{Kind: kind, What: what})
}

// finish sorts the findings, those about no entry last, and draws the conclusion.
func (r *result) finish() *result {
	slices.SortStableFunc(r.Findings, func(a, b finding) int {
		switch {
		case a.Index == nil || b.Index == nil:
			return cmp.Compare(btoi(a.Index == nil), btoi(b.Index == nil))
		default:
			return cmp.Compare(*a.Index, *b.Index)
		}
	})
	r.Intact = len(r.Findings) == 0
	r.FirstBadIndex = nil
	if !r.Intact {
		r.FirstBadIndex = r.Findings[0].Index
	}
	return r
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// unreadable is the result for a database that cannot be read as one.
func (r *result) unreadable(err error) *result {
	r.findOther(ledger.StoreDamaged, err.Error())
	r.Unchecked = append(r.Unchecked, "the entries: the database cannot be read")
	return r.finish()
}

func (r *result) addDeep(d ledger.DeepReport) {
	r.Deep = &d
	r.Unchecked = slices.DeleteFunc(r.Unchecked, func(s string) bool { return s == ledger.NeedsRootKey })
	for _, f := range d.Findings {
		if f.Index < 0 {
			r.findOther(chain.Kind(f.Kind), f.What)
			continue
		}
		index := uint64(f.Index)
		r.Findings = append(r.Findings, finding{chain.Kind(f.Kind), &index, f.What, f.Rules})
	}
	if d.Unchecked > 0 {
		r.Unchecked = append(r.Unchecked, fmt.Sprintf("whether %d disclosures were allowed: what they rest on was destroyed since", d.Unchecked))
	}
	r.Checked = append(r.Checked, fmt.Sprintf(
		"with the root key: %d living entries opened (%d of them the ledger's own), %d members with %d keys, %d entries destroyed, of %d in all",
		d.Living, d.System, d.Members, d.Keys, d.Destroyed, d.Entries))
	if !d.Intact && len(d.Findings) == 0 { // a finding without words is one all the same
		r.findOther(NotIntact, "the deep check found something wrong, and does not say what")
	}
	r.finish()
}

// NotIntact is the kind of a finding of which nothing more is known.
const NotIntact chain.Kind = "not_intact"

func (r *result) print(t *terminal, asJSON bool) error {
	for _, list := range []*[]string{&r.Checked, &r.Unchecked} {
		if *list == nil {
			*list = []string{}
		}
	}
	if r.Findings == nil {
		r.Findings = []finding{}
	}
	if asJSON {
		return printJSON(t.out, r)
	}
	// A finding has in it what the log, a receipt or an export says: none of that is to write a line of its own.
	p := func(format string, args ...any) { fmt.Fprintln(t.out, visible(fmt.Sprintf(format, args...))) }
	p("ledger    %s", cmp.Or(r.Origin, "(not readable)"))
	switch r.Via {
	case viaServer:
		p("read      %s, through the server that runs on it", r.Where)
	case viaURL:
		p("read      %s, over HTTP: what its server chose to show", r.Where)
	default:
		p("read      %s", r.Where)
	}
	switch {
	case r.Before != nil && r.LastRecordedAt != nil:
		p("entries   %d, the last recorded %s; read now: those from %d on", r.Entries, *r.LastRecordedAt, r.ReadFrom)
	case r.FirstRecordedAt != nil && r.LastRecordedAt != nil:
		p("entries   %d, recorded %s to %s", r.Entries, *r.FirstRecordedAt, *r.LastRecordedAt)
	default:
		p("entries   %d", r.Entries)
	}
	if r.Root != "" {
		p("root      %s", r.Root)
	}
	if r.SHA256 != "" {
		p("SHA-256   %s", r.SHA256)
	}
	for _, s := range r.Checked {
		p("checked   %s", s)
	}
	for _, s := range r.Unchecked {
		p("unchecked %s", s)
	}
	for _, f := range append(slices.Clone(r.Receipts), r.Certificates...) {
		if f.Genuine {
			p("checked   the %s %s of entry %d: it is genuine", f.kind, f.File, *f.Index)
		}
	}
	for _, f := range r.Findings {
		if f.Index == nil {
			p("FOUND     %s: %s", f.Kind, f.What)
		} else {
			p("FOUND     %s at %d: %s", f.Kind, *f.Index, f.What)
		}
	}
	onlyRules := !slices.ContainsFunc(r.Findings, func(f finding) bool { return !f.Rules })
	switch {
	case !r.Intact && !slices.ContainsFunc(r.Findings, finding.aboutTheLog):
		p("DOES NOT FIT: the log is intact, and what was held against it is not as the log has it")
	case r.FirstBadIndex != nil && onlyRules:
		p("AGAINST THE RULES: the log is as it was recorded, and what it holds breaks a rule, first at %d", *r.FirstBadIndex)
	case r.FirstBadIndex != nil:
		p("TAMPERED OR DAMAGED: the first bad index is %d", *r.FirstBadIndex)
	case !r.Intact:
		p("TAMPERED OR DAMAGED: no single entry is at fault")
	case r.Outside:
		p("INTACT, and in agreement with the checkpoints from outside")
	default:
		p("INTACT as far as can be told: no outside checkpoint given: self-consistent only")
	}
	return nil
}
