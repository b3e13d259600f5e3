package consent

import (
	"slices"
	"strconv"
	"time"
)

// process says what a decision was about, as the policy version put it: the
// purpose, the items, the basis, how long they are kept and who gets them. Of
// a yes the items are those said yes to, of a no those that were asked for.
func (g *graph) process(uuid string, v *Posted, m *MemberEntry, d *Decision) node {
	id, pu := iri(uuid), v.byPurpose[d.Purpose]
	items := d.Items
	if len(items) == 0 {
		items = slices.Concat(pu.Mandatory, pu.Optional)
	}
	data := make([]any, 0, len(items))
	for _, it := range items {
		n := g.data(id, v.Policy, it)
		n["dpv:hasNecessity"] = ref("dpv:Optional")
		if slices.Contains(pu.Mandatory, it) {
			n["dpv:hasNecessity"] = ref("dpv:Required")
		}
		data = append(data, n)
	}
	recipients, places := g.recipients(v, m.RecordedAt, pu, d)
	return node{
		"@id": id + "#process", "@type": "dpv:Process", "dpv:hasPurpose": g.purpose(id, v.Policy, pu), "dpv:hasPersonalData": data,
		"dpv:hasLegalBasis": ref(g.consentOrBasis(m, pu)), "dpv:hasRecipient": recipients,
		"dpv:hasStorageCondition": g.storage(id, v.Policy, pu.Class(m.Event.MemberKind), places),
	}
}

func (g *graph) purpose(id string, p *Policy, pu *Purpose) node {
	n := node{"@id": id + "#purpose", "@type": "dpv:Purpose", "dct:identifier": p.id + "/" + pu.ID, "dct:title": texts(pu.Title)}
	if pu.Kind == PurposeMarketing {
		n["skos:broader"] = ref("dpv:Marketing")
	}
	return n
}

// data names an item. A policy's items are its own names, so nothing narrower
// than DPV's own categories is claimed of them.
func (g *graph) data(id string, p *Policy, item string) node {
	n := node{"@id": id + "#data-" + item, "dct:identifier": item}
	types := []any{"dpv:PersonalData"}
	if it := p.byItem[item]; it != nil {
		n["dct:title"] = texts(it.Label)
		if it.Sensitive { // only with a consent of its own: PIPA 23, GDPR 9
			types = append(types, "dpv:SensitivePersonalData", "dpv:SpecialCategoryPersonalData")
		}
		if it.UniqueID {
			types = append(types, "dpv:IdentifyingPersonalData")
		}
	}
	broader := make([]any, 0, len(types))
	for _, t := range types {
		broader = append(broader, ref(t.(string)))
	}
	n["@type"], n["skos:broader"] = types, broader
	return n
}

// consentOrBasis returns what a purpose rests on. Each decision is expressed
// by itself; those on sensitive items and unique identifiers are also asked for
// by themselves, as the law wants them to be.
func (g *graph) consentOrBasis(m *MemberEntry, pu *Purpose) string {
	switch {
	case pu.Basis == BasisContract:
		return "dpv:Contract"
	case pu.Basis == BasisLegalObligation:
		return "dpv:LegalObligation"
	case pu.Kind == PurposeSensitive || pu.Kind == PurposeUniqueID:
		return "dpv:ExplicitlyExpressedConsent"
	}
	return "dpv:ExpressedConsent"
}

// recipients returns who gets items for a purpose, the controller first, and
// the places where those who work for it are.
func (g *graph) recipients(v *Posted, at time.Time, pu *Purpose, d *Decision) (all, places []any) {
	all = []any{g.controller()}
	for _, id := range g.x.r.recipientIDs(v) {
		rec := g.x.r.recipient(v, id, at)
		if rec == nil || !slices.Contains(rec.Purposes, pu.ID) {
			continue
		}
		if rec.Kind != RecipientProcessor && pu.AsksConsent() && (d.Granted || len(d.Recipients) > 0) && !slices.Contains(d.Recipients, id) {
			continue // not said yes to
		}
		all = append(all, g.recipient(v.id, id, rec.Name, rec.Business, rec.Kind, rec.Country))
		if place := rec.Country; rec.Kind == RecipientProcessor && place != "" {
			if n := g.location(place); !slices.ContainsFunc(places, func(o any) bool { return o.(node)["@id"] == n["@id"] }) {
				places = append(places, n)
			}
		}
	}
	return all, places
}

// storage says how long and where. A policy names no place of the controller's
// own: what is known of places are those of the processors.
func (g *graph) storage(id string, p *Policy, class string, places []any) []any {
	rule := p.byClass[class]
	kept := node{"@id": id + "#kept", "@type": "dpv:StorageDuration", "dct:identifier": p.id + "/" + class, "dpv:hasDuration": duration(id+"#kept-for", rule)}
	if law := g.x.r.basis(p.classIDs[class], rule, g.x.MadeAt); law != "" {
		kept["dpv:hasApplicableLaw"] = node{"@id": id + "#kept-by", "@type": "dpv:Law", "dct:title": law}
	}
	stored := node{"@id": id + "#stored", "@type": "dpv:StorageLocation", "dct:description": english("The places of the controller's processors. The policy names no other.")}
	if len(places) > 0 {
		stored["dpv:hasLocation"] = places
	} else {
		stored["dct:description"] = english("The policy names no place.")
	}
	return []any{kept, stored}
}

// untilWords says in words what ends a class.
var untilWords = map[string]string{
	UntilWithdrawal:        "the end of the membership",
	UntilPurposeWithdrawal: "the withdrawal of the last purpose of the retention class",
	UntilDelivery:          "delivery",
	UntilEventEnd:          "the end of the event",
}

func duration(id string, rule Rule) node {
	if rule.Until != "" {
		return untilEvent(id, untilWords[rule.Until])
	}
	from := "from each entry"
	if rule.From == FromWithdrawal {
		from = "from the end of the membership"
	}
	return node{"@id": id, "@type": "dpv:TemporalDuration", "rdf:value": typed("duration", rule.Keep.iso()), "dct:description": english(from)}
}

// iso writes the period by ISO 8601.
func (p Period) iso() string {
	switch {
	case p.Days != 0:
		return "P" + strconv.Itoa(p.Days) + "D"
	case p.Months%12 == 0:
		return "P" + strconv.Itoa(p.Months/12) + "Y"
	}
	return "P" + strconv.Itoa(p.Months) + "M"
}

// disclosure adds the record of a disclosure.
func (g *graph) disclosure(d *ExportDisclosure) {
	i := slices.IndexFunc(g.x.entries, func(m MemberEntry) bool { return m.Index == d.Index })
	m := &g.x.entries[i]
	v := g.x.r.version(d.Policy, m.Event.PolicyVersion)
	if v == nil {
		return // no entry of this ledger names what its register does not have
	}
	uuid := g.id("disclosure", decimal(d.Index))
	id := iri(uuid)
	data := make([]any, 0, len(d.Items))
	for _, it := range d.Items {
		n := g.data(id, v.Policy, it)
		if d.Form == FormPseudonymised {
			n["@type"] = append(n["@type"].([]any), "dpv:PseudonymisedData")
		}
		data = append(data, n)
	}
	purpose := node{"@id": id + "#purpose", "@type": "dpv:Purpose", "dct:identifier": d.Policy + "/" + d.Purpose}
	if pu := v.byPurpose[d.Purpose]; pu != nil {
		purpose = g.purpose(id, v.Policy, pu)
	}
	n := node{
		"@id": id, "@type": "dpv:DataTransferRecord", "dct:identifier": uuid, "dpv:hasIdentifier": uuid, "dct:created": dateTime(m.RecordedAt),
		"dct:date": dateTime(occurred(m)), "dct:source": g.entry(m), "dpv:hasDataSubject": g.subject(), "dpv:hasDataController": g.controller(),
		"dpv:hasProcess": node{
			"@id": id + "#process", "@type": "dpv:Process", "dpv:hasProcessing": ref("dpv:Disclose"), "dpv:hasPurpose": purpose, "dpv:hasPersonalData": data,
			"dpv:hasRecipient":  g.recipient(d.Policy, d.Recipient, d.Name, d.Business, d.Kind, d.Country),
			"dpv:hasLegalBasis": g.disclosureBasis(id, v.Policy, m, d),
		},
	}
	if d.RestsOn != nil {
		for _, r := range g.list {
			if r.policy == d.Policy && r.purpose == d.Purpose && slices.Contains(r.indexes, *d.RestsOn) {
				n["dct:references"] = ref(r.node["@id"].(string))
			}
		}
	}
	g.transfers = append(g.transfers, n)
}

func (g *graph) disclosureBasis(id string, p *Policy, m *MemberEntry, d *ExportDisclosure) node {
	if pu := p.byPurpose[d.Purpose]; pu != nil && pu.Basis == d.Basis {
		return ref(g.consentOrBasis(m, pu))
	}
	n := node{"@id": id + "#basis", "@type": "dpv:LegalBasis", "dct:identifier": d.Policy + "/" + d.Basis, "dct:title": texts(d.BasisTitle)}
	if d.Law != "" {
		n["dpv:hasApplicableLaw"] = node{"@id": id + "#law", "@type": "dpv:Law", "dct:title": d.Law}
	}
	return n
}
