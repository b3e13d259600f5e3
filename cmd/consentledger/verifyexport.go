package main

import (
	"fmt"

	"consentledger/ledger/chain"
	"consentledger/ledger/receipt"
)

// export has the entries of the log, while they are verified, held against a member's export; nil if none
// was given.
func (c *verifyCmd) export(o *chain.VerifyOptions) (*receipt.ExportCheck, error) {
	if c.Export == "" {
		return nil, nil
	}
	b, err := readUpTo(c.Export, receipt.MaxExportBytes)
	if err != nil {
		return nil, fmt.Errorf("--export: %w", err)
	}
	x, err := receipt.NewExportCheck(b, o.Verifier.Name())
	if err != nil {
		return nil, fmt.Errorf("--export %s: %w: give one as GET /v1/members/{ref}/export?complete=true answered it", c.Export, err)
	}
	o.Each = x.Entry
	return x, nil
}

// findExport adds what was found of an export. Of a log that is not intact nothing can be said.
func (r *result) findExport(name string, x *receipt.ExportCheck) error {
	if !r.Intact {
		r.Unchecked = append(r.Unchecked, "the export: the log is not intact")
		return nil
	}
	if x.Size > r.Entries {
		return fmt.Errorf("--export %s: the log had %d entries when it was made, and has %d here: try again if it was made within the last second; else this is not all of the log", name, x.Size, r.Entries)
	}
	found, newer := x.Findings()
	for _, f := range found {
		if f.Kind == receipt.ExportGap {
			r.findOther(f.Kind, f.What)
			continue
		}
		r.find(f)
	}
	if len(found) == 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("the export %s: it has all entries of its member's keys but for %d that had run out, as they are in the log, up to entry %d; %d more came since", name, x.Expired(), x.Size, newer))
		if n := x.Expired(); n > 0 {
			r.Unchecked = append(r.Unchecked, fmt.Sprintf("whether the %d entries that the export leaves out had run out: the ledger's word", n))
		}
		r.Unchecked = append(r.Unchecked, "whether the member has keys that the export does not name: the ledger's word")
	}
	r.finish()
	return nil
}

// aboutTheLog says whether a finding is about the log, and not about what was held against it.
func (f finding) aboutTheLog() bool {
	switch f.Kind {
	case ReceiptBad, receipt.ExportLacks, receipt.ExportStrange, receipt.ExportGap:
		return false
	}
	return true
}
