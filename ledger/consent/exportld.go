package consent

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// A node is an object of JSON-LD. Every node has an @id of its own and there
// are no blank nodes, so that two exports of one ledger can be merged.
type node map[string]any

// ldContext is all that a reader needs to make sense of the names: prefixes,
// and nothing that would have to be fetched.
var ldContext = node{
	"dct":    "http://purl.org/dc/terms/",
	"dpv":    "https://w3id.org/dpv#",
	"loc":    "https://w3id.org/dpv/loc#",
	"rdf":    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
	"schema": "https://schema.org/",
	"skos":   "http://www.w3.org/2004/02/skos/core#",
	"spdx":   "http://spdx.org/rdf/terms#",
	"xsd":    "http://www.w3.org/2001/XMLSchema#",
}

// The profiles of W3C DPV's guide to ISO/IEC TS 27560. They are names of
// schemas, so they stand in full.
const (
	profileRecord  = "https://w3id.org/dpv/schema/dpv-27560#record"
	profileReceipt = "https://w3id.org/dpv/schema/dpv-27560#receipt"
)

// JSONLD returns the member's consents as consent records by ISO/IEC TS 27560,
// in JSON-LD with the terms of the W3C's Data Privacy Vocabulary, inside one
// receipt, with the policy texts and with a record of every disclosure and of
// every purpose that rests on a contract or a duty. EXPORT.md says how each
// field of the standard is filled, and what a policy cannot fill.
func (x *Export) JSONLD() ([]byte, error) {
	_, doc := x.graph()
	return doc.encode()
}

func (x *Export) graph() (*graph, node) {
	g := &graph{x: x, defined: map[string]bool{}, entities: []any{}, notices: []any{}, rights: []any{}}
	g.records()
	for i := range x.Disclosures {
		g.disclosure(&x.Disclosures[i])
	}
	records := make([]any, 0, len(g.list)+len(g.transfers))
	for _, r := range g.list {
		records = append(records, r.node)
	}
	records = append(records, g.transfers...)
	id := g.id("receipt", x.Member, strconv.FormatInt(x.MadeAt.UnixMilli(), 10))
	return g, node{
		"@context":                ldContext,
		"@id":                     iri(id),
		"@type":                   "dpv:ConsentReceipt",
		"dct:identifier":          id,
		"dpv:hasIdentifier":       id,
		"dct:conformsTo":          ref(profileReceipt),
		"dct:created":             dateTime(x.MadeAt),
		"dct:publisher":           g.controller(),
		"dct:source":              x.Origin,
		"schema:recipient":        g.subject(),
		"dpv:hasDataSubject":      g.subject(),
		"dpv:hasDataController":   g.controller(),
		"dpv:hasRecordOfActivity": records,
		"dpv:hasEntity":           g.entities,
		"dpv:hasNotice":           g.notices,
		"dpv:hasRight":            g.rights,
	}
}

func (n node) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(n); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// A graph is a JSON-LD document in the making.
type graph struct {
	x         *Export
	list      []*record
	transfers []any
	defined   map[string]bool // @ids of the shared nodes that are written out
	entities  []any
	notices   []any
	rights    []any
}

// A record is what one decision led to.
type record struct {
	node
	policy, version string
	purpose         string
	decision        Decision
	at              time.Time
	asked           bool     // it was the member's to choose
	standing        bool     // no later event took it back or its place
	indexes         []uint64 // of the entries that say it
	entries         []any    // the same as nodes
	events          []any
	items           []string // still consented to
	ended           node     // the newest withdrawal among the events
	endedAt         time.Time
}

// records walks the entries in the order of the log. A decision may be in
// several: under other keys, and as a copy kept for proof. They were recorded
// at the same time and say the same, and are one record.
func (g *graph) records() {
	for i := range g.x.entries {
		m := &g.x.entries[i]
		switch e := &m.Event; e.Kind {
		case KindConsent:
			for _, d := range e.Decisions {
				g.decide(m, d)
			}
		case KindWithdrawal:
			g.withdraw(m)
		}
	}
	for _, r := range g.list {
		g.expire(r)
		r.node["dct:source"] = r.entries
		if r.asked {
			r.node["dpv:hasConsentStatus"] = r.events
		}
	}
}

func (g *graph) decide(m *MemberEntry, d Decision) {
	e := &m.Event
	v := g.x.r.version(e.Policy, e.PolicyVersion)
	if v == nil || v.byPurpose[d.Purpose] == nil {
		return // no entry of this ledger names what its register does not have
	}
	var before *record // the newest on the purpose
	for _, r := range g.list {
		if r.policy == e.Policy && r.purpose == d.Purpose {
			before = r
		}
	}
	if before != nil && before.at.Equal(m.RecordedAt) && before.decision.same(&d) {
		before.indexes, before.entries = append(before.indexes, m.Index), append(before.entries, g.entry(m))
		return
	}
	r := g.record(m, v, d)
	r.node["dpv:hasNotice"], r.node["dct:language"] = g.shown(v.Policy, e), e.Locale
	if r.asked {
		g.decisionEvent(r, before, m)
	} else {
		r.node["dct:date"] = dateTime(occurred(m))
	}
	if before != nil {
		r.node["dct:replaces"] = ref(before.node["@id"].(string))
		before.node["dct:isReplacedBy"] = ref(r.node["@id"].(string))
		if before.standing && before.asked && !d.Granted {
			g.event(before, m, "dpv:ConsentWithdrawn") // whoever says no where a yes stood takes it back
		}
		before.standing = false
	}
	g.list = append(g.list, r)
}

// record begins the record of a decision that an entry holds.
func (g *graph) record(m *MemberEntry, v *Posted, d Decision) *record {
	r := &record{
		policy: v.Policy.id, version: v.version, purpose: d.Purpose, decision: d, at: m.RecordedAt, asked: v.byPurpose[d.Purpose].AsksConsent(),
		standing: d.Granted, indexes: []uint64{m.Index}, entries: []any{g.entry(m)}, items: d.Items,
	}
	id := g.recordID(m.Index, d.Purpose)
	r.node = node{
		"@id": iri(id), "@type": "dpv:DataProcessingRecord", "dct:identifier": id, "dpv:hasIdentifier": id,
		"dct:created": dateTime(m.RecordedAt), "dpv:hasDataSubject": g.subject(), "dpv:hasDataController": g.controller(),
		"dpv:hasJurisdiction": g.jurisdictions(v.Policy), "dpv:hasRight": g.rightsOf(v.Policy), "dpv:hasProcess": g.process(id, v, m, &d),
	}
	if r.asked {
		r.node["@type"], r.node["dct:conformsTo"] = "dpv:ConsentRecord", ref(profileRecord)
		r.node["dpv:hasConsentControl"] = g.controls(id, v.Policy, d.Purpose)
	}
	return r
}

// same reports whether two decisions say the same.
func (d *Decision) same(o *Decision) bool {
	return d.Purpose == o.Purpose && d.Granted == o.Granted && d.Ask == o.Ask &&
		covers(d.Items, o.Items) && covers(o.Items, d.Items) && covers(d.Recipients, o.Recipients) && covers(o.Recipients, d.Recipients)
}

// decisionEvent adds the event that began the record.
func (g *graph) decisionEvent(r, before *record, m *MemberEntry) {
	state := "dpv:ConsentRefused"
	switch {
	case r.decision.Granted && before != nil && before.standing:
		state = "dpv:RenewedConsentGiven"
	case r.decision.Granted:
		state = "dpv:ConsentGiven"
	case r.decision.Ask:
		state = "dpv:ConsentRequestDeferred"
	}
	ev := g.event(r, m, state)
	if r.decision.Granted {
		ev["@type"] = []any{state, g.consentOrBasis(m, g.x.r.version(r.policy, r.version).byPurpose[r.purpose])}
	}
	if gp := m.Event.Guardian; gp != nil {
		ev["dpv:isIndicatedBy"] = node{
			"@id": r.node["@id"].(string) + "#guardian", "@type": "dpv:GuardianOfDataSubject", "dct:identifier": gp.Reference,
			"dpv:hasIndicationMethod": gp.Method, "dpv:isIndicatedAtTime": dateTime(time.UnixMilli(gp.VerifiedAtMs)),
		}
	}
}

// event adds an event of the member's to a record.
func (g *graph) event(r *record, m *MemberEntry, state string) node {
	id := r.node["@id"].(string) + "#event-" + strconv.FormatUint(m.Index, 10)
	until := "the next decision of the member"
	if state == "dpv:ConsentGiven" || state == "dpv:RenewedConsentGiven" {
		until = "withdrawal, or a change of the purpose, its items, its retention or the right to refuse"
	}
	ev := node{
		"@id": id, "@type": state, "dpv:isIndicatedAtTime": dateTime(occurred(m)), "dpv:isIndicatedBy": g.subject(),
		"dct:created": dateTime(m.RecordedAt), "dct:source": g.entry(m), "dpv:hasDuration": untilEvent(id+"-valid", until),
	}
	if m.Event.Method != "" {
		ev["dpv:hasIndicationMethod"] = m.Event.Method
	}
	r.events = append(r.events, ev)
	if state == "dpv:ConsentWithdrawn" {
		r.ended, r.endedAt = ev, m.RecordedAt
	}
	return ev
}

// withdraw ends what a withdrawal names: items, purposes or all. A copy says
// what the entry that it is a copy of says, and adds only itself as a source.
func (g *graph) withdraw(m *MemberEntry) {
	e := &m.Event
	g.withdrawUnknown(m)
	for _, r := range g.list {
		if !r.asked || r.policy != e.Policy || !e.Membership && !slices.Contains(e.Purposes, r.purpose) {
			continue
		}
		if e.Copy && r.ended != nil && r.endedAt.Equal(m.RecordedAt) {
			r.ended["dct:source"] = []any{r.ended["dct:source"], g.entry(m)}
			continue
		}
		if !r.standing {
			continue
		}
		if len(e.Items) == 0 {
			g.event(r, m, "dpv:ConsentWithdrawn")
			r.standing = false
			continue
		}
		var gone []any
		for _, it := range r.items {
			if slices.Contains(e.Items, it) {
				gone = append(gone, ref(r.node["@id"].(string)+"#data-"+it))
			}
		}
		if len(gone) > 0 {
			g.event(r, m, "dpv:ConsentWithdrawn")["dpv:hasPersonalData"] = gone
			r.items = without(r.items, e.Items)
			r.standing = len(r.items) > 0
		}
	}
}

// withdrawUnknown makes records of purposes of which nothing else is known any
// more than that consent to them was taken back.
func (g *graph) withdrawUnknown(m *MemberEntry) {
	e := &m.Event
	v := g.x.r.version(e.Policy, e.PolicyVersion)
	if v == nil {
		return
	}
	for _, purpose := range e.Purposes {
		known := slices.ContainsFunc(g.list, func(r *record) bool { return r.policy == e.Policy && r.purpose == purpose })
		if pu := v.byPurpose[purpose]; known || pu == nil || !pu.AsksConsent() {
			continue
		}
		// It is about the items that were taken back and no others, and so is withdrawn as a whole.
		r := g.record(m, v, Decision{Purpose: purpose, Items: e.Items})
		g.event(r, m, "dpv:ConsentWithdrawn")
		g.list = append(g.list, r)
	}
}

// expire adds to a consent that stands what ends it and is no entry of the
// member's: the end of the membership, of which no entry may be left to say
// when it was, and a change of the policy in a point of the law, after which
// the member has to be asked anew.
func (g *graph) expire(r *record) {
	if !r.asked || !r.standing {
		return
	}
	if g.x.State.State == StateWithdrawn {
		id := r.node["@id"].(string) + "#ended"
		r.events = append(r.events, node{
			"@id": id, "@type": "dpv:ConsentWithdrawn", "dpv:isIndicatedBy": g.subject(), "dct:description": english("The membership has ended. When is no longer on record."),
			"dpv:hasDuration": untilEvent(id+"-valid", "the next decision of the member"),
		})
		return
	}
	vs := g.x.r.policies[r.policy]
	_, n := g.x.r.posted(r.policy, g.x.MadeAt)
	for i := slices.IndexFunc(vs, func(v Posted) bool { return v.version == r.version }) + 1; i <= n; i++ {
		if vs[i].changed[r.purpose] {
			id := r.node["@id"].(string) + "#expired"
			r.events = append(r.events, node{
				"@id": id, "@type": "dpv:ConsentExpired", "dpv:isIndicatedAtTime": dateTime(vs[i].EffectiveAt), "dpv:isIndicatedBy": g.controller(),
				"dpv:hasDuration": untilEvent(id+"-valid", "the next decision of the member"),
			})
			return
		}
	}
}
