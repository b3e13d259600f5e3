package consent

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"
)

// NewExport puts together what a ledger holds of a member: its entries, its
// state and what the policies say of them. The ground of a legal hold is left
// out, in the entries too.
func (r *Register) NewExport(origin, member string, entries []MemberEntry, f *Fold, now time.Time) *Export {
	if f == nil {
		f = NewFold()
	}
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b MemberEntry) int { return cmp.Compare(a.Index, b.Index) })
	x := &Export{
		MadeAt: now.UTC(), Origin: origin, Member: member, State: f.View(r, now),
		Policies: []ExportPolicy{}, Rights: []ExportRight{}, Consents: []ExportConsent{}, Texts: []ExportText{}, Disclosures: []ExportDisclosure{},
		Corrections: []ExportCorrection{}, Requests: []ExportRequest{}, Notices: []ExportNotice{}, Holds: []ExportHold{},
		Signals: []ExportSignal{}, Looks: []ExportLook{}, Retention: []ExportClass{}, Entries: make([]ExportEntry, 0, len(sorted)),
		r: r, entries: sorted,
	}
	for i := range sorted {
		x.add(&sorted[i])
	}
	for i := range sorted {
		x.addValues(&sorted[i].Event) // they may stand before their correction
		x.addEntry(&sorted[i], now)
		x.addClass(sorted[i].Key.Class, now)
	}
	x.addPolicies(now)
	for _, right := range rightNames {
		x.Rights = append(x.Rights, ExportRight{right.id, right.title})
	}
	return x
}

// add takes one entry into the list that its kind has.
func (x *Export) add(m *MemberEntry) {
	e, at := &m.Event, m.RecordedAt.UTC()
	switch e.Kind {
	case KindConsent:
		x.addConsent(m)
	case KindDisclosure:
		x.addDisclosure(m)
	case KindCorrection:
		x.Corrections = append(x.Corrections, ExportCorrection{Correction: e.Correction, Index: m.Index, RecordedAt: at, Items: list(e.Items)})
	case KindCorrectionOutcome:
		for i := range x.Corrections {
			if c := &x.Corrections[i]; c.Correction == e.Correction {
				index := m.Index
				c.Outcome, c.Reason, c.DecidedAt, c.DecidedBy, c.Tell = e.Outcome, e.Reason, &at, &index, e.Recipients
			}
		}
	case KindRequest:
		x.Requests = append(x.Requests, ExportRequest{
			Request: e.Request, Index: m.Index, RecordedAt: at, Type: e.RequestType, Channel: e.Channel,
			ReceivedAt: millis(e.ReceivedAtMs), DueAt: millis(e.DueAtMs), Answers: []ExportAnswer{},
		})
	case KindRequestOutcome:
		for i := range x.Requests {
			if q := &x.Requests[i]; q.Request == e.Request {
				q.Answers = append(q.Answers, ExportAnswer{m.Index, at, e.Outcome, e.Reason})
			}
		}
	case KindNotice:
		x.Notices = append(x.Notices, ExportNotice{
			Notice: e.Notice, Index: m.Index, RecordedAt: at, Kind: e.NoticeKind, Recipient: e.Recipient, Correction: e.Correction,
			Destruction: e.Destruction, Channel: e.Channel, SentAt: millis(e.SentAtMs), DueAt: millis(e.DueAtMs), Outcome: e.Outcome, Reason: e.Reason,
		})
	case KindHold:
		h := ExportHold{Hold: e.Hold, Index: m.Index, RecordedAt: at, Classes: []string{}, Until: millis(e.DueAtMs), GroundWithheld: true}
		for _, c := range e.Classes {
			h.Classes = append(h.Classes, ClassID(c).Name())
		}
		x.Holds = append(x.Holds, h)
	case KindHoldRelease:
		for i := range x.Holds {
			if x.Holds[i].Hold == e.Hold {
				x.Holds[i].ReleasedAt = &at
			}
		}
	case KindSignal:
		x.Signals = append(x.Signals, ExportSignal{m.Index, at, millis(e.OccurredAtMs), e.Signal, e.Value})
	case KindAccess:
		x.Looks = append(x.Looks, ExportLook{m.Index, at, e.Who, e.From, e.What, e.Reason})
	}
}

func (x *Export) addValues(e *Event) {
	if e.Kind != KindCorrectionValues {
		return
	}
	for i := range x.Corrections {
		if c := &x.Corrections[i]; c.Correction == e.Correction {
			for _, ch := range e.Changes {
				c.Values = append(c.Values, ChangeView(ch))
			}
		}
	}
}

func (x *Export) addConsent(m *MemberEntry) {
	e := &m.Event
	c := ExportConsent{
		Index: m.Index, RecordedAt: m.RecordedAt.UTC(), OccurredAt: millis(e.OccurredAtMs), Evidence: e.Copy, Policy: e.Policy, PolicyVersion: e.PolicyVersion,
		Locale: e.Locale, Decisions: []DecisionView{}, Method: e.Method, ShownDigest: hex.EncodeToString(e.ShownDigest),
	}
	if v, ok := e.View().(EventView); ok {
		c.Decisions = append(c.Decisions, v.Decisions...)
	}
	if p, ok := x.r.Version(e.Policy, e.PolicyVersion); ok {
		if lang, ok := p.language(e.Locale); ok {
			digest := p.digests[lang]
			c.Language, c.TextSHA256 = lang, hex.EncodeToString(digest[:])
			c.ShownIsText = c.TextSHA256 == c.ShownDigest
			t := ExportText{e.Policy, e.PolicyVersion, lang, c.TextSHA256, p.text[lang]}
			if !slices.Contains(x.Texts, t) {
				x.Texts = append(x.Texts, t)
			}
		}
	}
	x.Consents = append(x.Consents, c)
}

func (x *Export) addDisclosure(m *MemberEntry) {
	e := &m.Event
	d := ExportDisclosure{
		Index: m.Index, RecordedAt: m.RecordedAt.UTC(), OccurredAt: millis(e.OccurredAtMs), Recipient: e.Recipient, Business: e.Business,
		Policy: e.Policy, Items: list(e.Items), Form: e.Form, Basis: e.Basis, RestsOn: e.RestsOn, Reference: e.Reference,
	}
	if d.Form == "" {
		d.Form = FormIdentified
	}
	if len(e.Purposes) > 0 {
		d.Purpose = e.Purposes[0]
	}
	if v := x.r.version(e.Policy, e.PolicyVersion); v != nil {
		if rec := x.r.recipient(v, e.Recipient, m.RecordedAt); rec != nil {
			d.Name, d.Kind, d.Country = rec.Name, rec.Kind, rec.Country
		}
		if ex := v.byEx[e.Basis]; ex != nil {
			d.BasisTitle, d.Law = ex.Title, ex.Basis
		}
	}
	x.Disclosures = append(x.Disclosures, d)
}

func (x *Export) addEntry(m *MemberEntry, now time.Time) {
	row := ExportEntry{
		Index: m.Index, LeafHash: hex.EncodeToString(m.LeafHash[:]), RecordedAt: m.RecordedAt.UTC(), Class: m.Key.Class.Name(),
		Policy: ownPolicy(m.Key.Class),
	}
	if rule, ok := x.r.Rule(m.Key.Class); ok && rule.Ratchet() {
		until := x.r.DayStart(x.r.DiesOn(rule, x.r.Day(m.RecordedAt))).UTC()
		if held := x.heldUntil(m.Key.Class, now); held.After(until) {
			until = held
		}
		row.KeptUntil = &until
	}
	row.Event = m.Event.View()
	x.Entries = append(x.Entries, row)
}

// heldUntil returns the end of the longest hold on a class that runs now.
func (x *Export) heldUntil(c ClassID, now time.Time) (until time.Time) {
	for i := range x.entries {
		e := &x.entries[i].Event
		if e.Kind != KindHold || !slices.Contains(e.Classes, string(c)) {
			continue
		}
		j := slices.IndexFunc(x.Holds, func(h ExportHold) bool { return h.Hold == e.Hold })
		if h := &x.Holds[j]; h.ReleasedAt == nil && h.Until != nil && h.Until.After(now) && h.Until.After(until) {
			until = *h.Until
		}
	}
	return until
}

func (x *Export) addClass(c ClassID, now time.Time) {
	row := ExportClass{Class: c.Name(), Policy: ownPolicy(c)}
	if slices.ContainsFunc(x.Retention, func(o ExportClass) bool { return o.Class == row.Class && o.Policy == row.Policy }) {
		return
	}
	if rule, ok := x.r.Rule(c); ok {
		row.Until, row.Law = rule.Until, x.r.basis(c, rule, now)
		if rule.Until == "" {
			row.Keep, row.From = rule.Keep.String(), rule.From
		}
	}
	x.Retention = append(x.Retention, row)
}

// addPolicies explains every version that an entry names and those in force of
// the same policies, in the register's order.
func (x *Export) addPolicies(now time.Time) {
	versions, purposes, items := map[string][]string{}, map[string][]string{}, map[string][]string{}
	for i := range x.entries {
		m := &x.entries[i]
		for _, id := range []string{m.Event.Policy, m.Key.Class.Policy()} {
			versions[id] = append(versions[id], m.Event.PolicyVersion)
		}
		e := &m.Event
		purposes[e.Policy] = append(purposes[e.Policy], e.Purposes...)
		items[e.Policy] = append(items[e.Policy], e.Items...)
		for _, d := range e.Decisions {
			purposes[e.Policy] = append(purposes[e.Policy], d.Purpose)
			items[e.Policy] = append(items[e.Policy], d.Items...)
		}
	}
	for _, id := range x.r.ids {
		if versions[id] == nil {
			continue
		}
		inForce, _ := x.r.InForce(id, now)
		for _, v := range x.r.policies[id] {
			if v.Policy != inForce && !slices.Contains(versions[id], v.version) {
				continue
			}
			row := ExportPolicy{
				Policy: id, Version: v.version, InForce: v.Policy == inForce,
				Controller: ExportParty{v.controller.Name, v.controller.Contact}, Officer: ExportParty(v.controller.Officer),
				Jurisdictions: list(v.jurisdictions), AnswerDays: v.answerDays, Purposes: []ExportPurpose{}, Items: []ExportItem{}, Recipients: []ExportRecipient{},
			}
			for _, pu := range v.purposes {
				if slices.Contains(purposes[id], pu.ID) {
					row.Purposes = append(row.Purposes, ExportPurpose{pu.ID, pu.Title, pu.Kind, pu.Basis, pu.Refusal})
				}
			}
			for _, it := range v.items {
				if slices.Contains(items[id], it.ID) {
					row.Items = append(row.Items, ExportItem{it.ID, it.Label, it.Sensitive, it.UniqueID})
				}
			}
			if row.InForce {
				row.Recipients = x.r.mayReceive(&v, purposes[id], now)
			}
			x.Policies = append(x.Policies, row)
		}
	}
}

// mayReceive returns who may get items for some purposes, by the register of now.
func (r *Register) mayReceive(v *Posted, purposes []string, now time.Time) []ExportRecipient {
	rows := []ExportRecipient{}
	for _, id := range r.recipientIDs(v) {
		rec := r.recipient(v, id, now)
		if rec == nil {
			continue
		}
		row := ExportRecipient{id, rec.Name, rec.Business, rec.Kind, rec.Country, []string{}, []string{}}
		for _, name := range rec.Purposes {
			// A recipient that joined between versions may be for a purpose that this one has no more.
			if slices.Contains(purposes, name) && v.byPurpose[name] != nil {
				row.Purposes = append(row.Purposes, name)
			}
		}
		for _, it := range rec.Items {
			if slices.ContainsFunc(row.Purposes, func(name string) bool { return v.byPurpose[name].has(it) }) {
				row.Items = append(row.Items, it)
			}
		}
		if len(row.Items) > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// version returns a version of a policy as it was posted, nil if there is none.
func (r *Register) version(policy, version string) *Posted {
	for i := range r.policies[policy] {
		if v := &r.policies[policy][i]; v.version == version {
			return v
		}
	}
	return nil
}

// ownPolicy returns the policy that a class belongs to, "" for the ledger's own.
func ownPolicy(c ClassID) string {
	if p := c.Policy(); p != "*" {
		return p
	}
	return ""
}

func list(s []string) []string { return append([]string{}, s...) }

// millis reads a time that an event may lack.
func millis(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
