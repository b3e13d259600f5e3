package chain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

const ownName = "the log's own checkpoint"

// A head is a checkpoint that a log is verified against.
type head struct {
	Checkpoint
	name string // in the report
	// good is whether it parses and, if the key is known, is signed by it;
	// fault says why not.
	good  bool
	fault Finding
	// computed is the root that the entries give at its size, if there are
	// as many.
	computed Hash
}

// openHeads opens the log's own checkpoint, which may be nil, and those from
// outside.
func openHeads(own []byte, o VerifyOptions) []*head {
	var heads []*head
	if own != nil {
		heads = append(heads, openHead(ownName, own, o.Verifier))
	}
	for i, msg := range o.Checkpoints {
		heads = append(heads, openHead(fmt.Sprintf("outside checkpoint %d", i+1), msg, o.Verifier))
	}
	// Without a key the first that parses says whose log it is.
	origin := ""
	for _, h := range heads {
		switch {
		case !h.good:
		case origin == "":
			origin = h.Origin
		case h.Origin != origin:
			h.good = false
			h.fault = Finding{CheckpointOrigin, 0, fmt.Sprintf("%s is that of %s, not of %s", h.name, h.Origin, origin)}
		}
	}
	return heads
}

func openHead(name string, msg []byte, v note.Verifier) *head {
	h := &head{name: name}
	var err error
	if v == nil {
		h.Checkpoint, err = readCheckpoint(msg)
	} else {
		h.Checkpoint, err = OpenCheckpoint(msg, note.VerifierList(v), v.Name())
	}
	switch kind := CheckpointMalformed; {
	case err == nil:
		h.good = true
		if h.Size == 0 {
			h.computed = emptyRoot()
		}
	default:
		if errors.Is(err, ErrSignature) {
			kind = CheckpointSignature
		} else if errors.Is(err, ErrOtherOrigin) {
			kind = CheckpointOrigin
		}
		h.fault = Finding{kind, 0, fmt.Sprintf("%s: %v", name, err)}
	}
	return h
}

// judge returns the findings about the checkpoints: those of the log that they
// show, and those about the checkpoints themselves.
func (c *collector) judge() (log, themselves []Finding) {
	for _, h := range c.heads {
		switch {
		case !h.good:
			themselves = append(themselves, h.fault)
		case h.Size > c.size:
			log = append(log, Finding{Truncated, c.size, fmt.Sprintf("truncated: %s covers %d entries, the log has %d", h.name, h.Size, c.size)})
		case h.computed != h.Root:
			log = append(log, Finding{CheckpointRoot, h.Size - 1, fmt.Sprintf("the first %d entries do not give the root hash of %s; the first that differs is one of %d to %d", h.Size, h.name, c.agreed(h.Size), h.Size-1)})
		}
	}
	for i, h := range c.heads {
		for _, other := range c.heads[:i] {
			if f, ok := c.fork(h, other); ok {
				log = append(log, f)
			}
		}
	}
	return log, themselves
}

// agreed returns the size of the largest checkpoint below size that the
// entries fit.
func (c *collector) agreed(size uint64) uint64 {
	n := uint64(0)
	for _, h := range c.heads {
		if h.fits(c) && h.Size < size {
			n = max(n, h.Size)
		}
	}
	return n
}

func (h *head) fits(c *collector) bool { return h.good && h.Size <= c.size && h.computed == h.Root }

// fork reports whether two checkpoints cannot both be of one log: they have
// the same size and other roots, or the entries fit the larger and not the
// smaller.
func (c *collector) fork(a, b *head) (Finding, bool) {
	if !a.good || !b.good {
		return Finding{}, false
	}
	if a.Size > b.Size {
		a, b = b, a
	}
	if a.Root == b.Root || a.Size < b.Size && (a.fits(c) || !b.fits(c)) {
		return Finding{}, false
	}
	return Finding{Fork, a.Size - 1, fmt.Sprintf("%s of %d entries and %s of %d cannot both be of this log: its history was written twice", a.name, a.Size, b.name, b.Size)}, true
}

// report says what was found, when all blocks are taken.
func (c *collector) report(o VerifyOptions) Report {
	r := Report{
		Entries:               c.size,
		Root:                  c.root(),
		Edges:                 c.edges(),
		FirstRecordedAtUnixMs: c.firstTime,
		LastRecordedAtUnixMs:  c.lastTime,
		Hash:                  hashName(),
	}
	log, themselves := c.judge()
	r.Findings = append(c.blame(), log...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Index, b.Index) })
	themselves = themselves[:min(len(themselves), MaxFindings/2)]
	r.Findings = r.Findings[:min(len(r.Findings), MaxFindings-len(themselves))]
	r.Findings = append(r.Findings, themselves...)
	r.Intact = len(r.Findings) == 0
	r.Checked, r.Unchecked = c.scope(o)
	return r
}

// scope says in words what was checked and what was not.
func (c *collector) scope(o VerifyOptions) (checked, unchecked []string) {
	if c.from > 0 {
		checked = append(checked, fmt.Sprintf("%d entries, those from %d on: form, links, order of times, leaf hashes", c.size-c.from, c.from))
	} else {
		checked = append(checked, fmt.Sprintf("%d entries: form, links, order of times, leaf hashes", c.size))
	}
	if c.tiles > 0 {
		checked = append(checked, fmt.Sprintf("%d full tiles", c.tiles))
	}
	covered, outside, own := uint64(0), false, false
	for _, h := range c.heads {
		if !h.good {
			continue
		}
		covered = max(covered, h.Size)
		if h.name == ownName {
			own = true
		} else {
			outside = true
		}
		what := "root hash"
		if o.Verifier != nil {
			what += " and signature"
		}
		checked = append(checked, fmt.Sprintf("%s, of %d entries: %s", h.name, h.Size, what))
	}
	if o.Verifier == nil {
		unchecked = append(unchecked, "signatures: the log's public key was not given")
	}
	if !own {
		unchecked = append(unchecked, "the log's own checkpoint: there is none to go by")
	}
	if covered < c.size {
		unchecked = append(unchecked, fmt.Sprintf("entries %d to %d: no checkpoint covers them, only their links", covered, c.size-1))
	}
	if !outside {
		unchecked = append(unchecked, "more than that the log is self-consistent: without a checkpoint from outside, a history that was rewritten as a whole does not show")
	}
	return checked, unchecked
}
