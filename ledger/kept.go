package ledger

import (
	"context"
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// KeptData is what is kept apart of a member on one ground.
type KeptData struct {
	State   State      // withdrawn or dormant
	Class   string     // the retention class that is the ground
	Basis   string     // the law, or the hold, that keeps it; empty for what lives until an event
	Until   *time.Time // nil where an event decides
	Entries []HistoryRow
	Holds   []consent.HoldView // that keep the class
}

// Kept returns what one retention class holds of a member who has withdrawn or is dormant. The
// class is the ground: nothing that another law keeps is shown for it. The look is recorded first,
// with the ground.
func (l *Ledger) Kept(ctx context.Context, who Caller, ref Ref, lk Look, ground string) (out KeptData, err error) {
	if !who.May(ActOffice) {
		return out, ErrForbidden
	}
	path, slot, _, err := l.resolve(ref)
	if err != nil {
		return out, err
	}
	reg := l.register.Load()
	var class consent.ClassID
	check := func(m *member, now time.Time) (err error) {
		class, out.State, err = keptOn(reg, m, ground, now)
		return err
	}
	lk.What = consent.LookKept + ground
	pending, err := l.recordLook(ctx, who, path, slot, lk, check)
	if err != nil {
		return out, err
	}
	if _, err := pending.Wait(ctx); err != nil {
		return out, err
	}
	err = l.readSlot(ctx, path, slot, func(m *member, now time.Time) error {
		if err := check(m, now); err != nil {
			return err // a dormant member came back meanwhile
		}
		all, _, err := l.openMember(m.rec)
		if err != nil {
			return err
		}
		out.Class = class.Name()
		out.Holds = slices.DeleteFunc(m.fold.Holds(now), func(h consent.HoldView) bool {
			return !slices.Contains(h.Classes, string(class))
		})
		open := false // an event decides of one of its keys
		for _, k := range m.states() {
			if k.Class != class {
				continue
			}
			until, basis := reg.KeptUntil(m.fold, k, now)
			out.Basis, open = basis, open || until == nil
			if until != nil && (out.Until == nil || until.After(*out.Until)) {
				at := until.UTC()
				out.Until = &at
			}
		}
		if open {
			out.Until = nil
		}
		for _, e := range slices.Backward(all) {
			if e.key.Class == class {
				out.Entries = append(out.Entries, e.HistoryRow)
			}
		}
		return nil
	})
	return out, err
}

// keptOn finds the class that is a ground on which something of a member is kept apart.
func keptOn(reg *consent.Register, m *member, ground string, now time.Time) (consent.ClassID, State, error) {
	state := StateWithdrawn
	if m.apart == 0 {
		if _, dormant := reg.DormantSince(m.fold, now); !dormant {
			return "", "", &consent.Refusal{
				Kind: consent.Conflict, Code: "not_kept_apart",
				Message: "the member is active, and nothing of them is kept apart; use the ordinary calls",
			}
		}
		state = StateDormant
	}
	class, err := m.ground(ground)
	return class, state, err
}

// ground finds the class that a ground names: "contract", or "haim/contract" where something is
// kept in a class of that name under two policies.
func (m *member) ground(name string) (class consent.ClassID, err error) {
	for _, k := range m.keys {
		is := k.name.Class
		if k.count == k.expired || is == class || name != is.Name() && name != string(is) {
			continue
		}
		if class != "" {
			return "", &consent.Refusal{
				Kind: consent.Invalid, Code: "class_ambiguous", Field: "Access-Ground",
				Message: "the member has such a class under several policies; write policy/class",
			}
		}
		class = is
	}
	if class == "" {
		return "", ErrUnknownGround
	}
	return class, nil
}

// Export returns everything of one member. The look is recorded first, and is in it.
func (l *Ledger) Export(ctx context.Context, who Caller, ref Ref, lk Look) (*consent.Export, error) {
	return l.export(ctx, who, ref, lk, false)
}

// CompleteExport is Export, with what shows to who has the log that it is everything.
func (l *Ledger) CompleteExport(ctx context.Context, who Caller, ref Ref, lk Look) (*consent.Export, error) {
	return l.export(ctx, who, ref, lk, true)
}

func (l *Ledger) export(ctx context.Context, who Caller, ref Ref, lk Look, complete bool) (out *consent.Export, err error) {
	lk.What = "export"
	err = l.look(ctx, who, ref, lk, l.awake, func(m *member, now time.Time) error {
		reg := l.register.Load()
		entries, err := l.memberEntries(m)
		if err != nil {
			return err
		}
		out = reg.NewExport(l.id.Origin, ref.String(), entries, m.fold, now)
		if complete {
			out.Completeness = l.completeness(m)
		}
		return nil
	})
	return out, err
}

// completeness says how many entries each key of a member has. No write of theirs is under way while
// they are locked, so below the size of the log there are no others.
func (l *Ledger) completeness(m *member) *consent.ExportCompleteness {
	c := &consent.ExportCompleteness{Size: l.size.Load(), Keys: []consent.ExportKey{}}
	for _, k := range m.keys {
		c.Keys = append(c.Keys, consent.NewExportKey(k.name.Class, k.tagger.Disclose(), k.count, k.expired))
	}
	return c
}

// memberEntries opens all that can still be read of a membership, in order.
func (l *Ledger) memberEntries(m *member) ([]consent.MemberEntry, error) {
	all, _, err := l.openMember(m.rec)
	if err != nil {
		return nil, err
	}
	out := make([]consent.MemberEntry, len(all))
	for i, e := range all {
		out[i] = e.memberEntry()
	}
	return out, nil
}

func (e *opened) memberEntry() consent.MemberEntry {
	return consent.MemberEntry{Index: e.Index, LeafHash: e.LeafHash, RecordedAt: e.RecordedAt, Key: e.key, Event: e.Event}
}
