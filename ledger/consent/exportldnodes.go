package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// id names a thing of this ledger by a UUID of version 8 (RFC 9562, name-based
// with SHA-256): the first 16 bytes of the hash of "consentledger", the origin
// and the parts, with a line feed between each two. The same thing has the
// same id in every export.
func (g *graph) id(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(append([]string{"consentledger", g.x.Origin}, parts...), "\n")))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func (g *graph) recordID(index uint64, purpose string) string {
	return g.id("record", decimal(index), purpose)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func iri(uuid string) string { return "urn:uuid:" + uuid }

func ref(iri string) node { return node{"@id": iri} }

func typed(datatype, value string) node { return node{"@type": "xsd:" + datatype, "@value": value} }

func dateTime(t time.Time) node {
	return typed("dateTime", t.UTC().Format("2006-01-02T15:04:05.999Z07:00"))
}

// texts returns a text in each of its languages.
func texts(t Text) []any {
	langs := make([]string, 0, len(t))
	for lang := range t {
		langs = append(langs, lang)
	}
	slices.Sort(langs)
	values := make([]any, 0, len(t))
	for _, lang := range langs {
		values = append(values, node{"@language": lang, "@value": t[lang]})
	}
	return values
}

func english(s string) node { return node{"@language": "en", "@value": s} }

func untilEvent(id, event string) node {
	return node{"@id": id, "@type": "dpv:UntilEventDuration", "rdf:value": event}
}

// occurred returns when something was done by the sender's clock, and if that
// was not said, when it was recorded.
func occurred(m *MemberEntry) time.Time {
	if m.Event.OccurredAtMs != 0 {
		return time.UnixMilli(m.Event.OccurredAtMs)
	}
	return m.RecordedAt
}

// define reports whether a shared node is still to be written out.
func (g *graph) define(id string) bool {
	if g.defined[id] {
		return false
	}
	g.defined[id] = true
	return true
}

// entry names the entry of the log that something stands in: who has its
// receipt can check it.
func (g *graph) entry(m *MemberEntry) node {
	id := iri(g.id("entry", decimal(m.Index)))
	if !g.define(id) {
		return ref(id)
	}
	property := func(name string, value any) node {
		return node{"@id": id + "#" + name, "@type": "schema:PropertyValue", "schema:propertyID": name, "schema:value": value}
	}
	return node{"@id": id, "dpv:hasIdentifier": []any{
		property("origin", g.x.Origin), property("index", decimal(m.Index)), property("leaf_hash", hex.EncodeToString(m.LeafHash[:])),
	}}
}

func (g *graph) subject() node {
	id := iri(g.id("member", g.x.Member))
	if !g.define(id) {
		return ref(id)
	}
	g.entities = append(g.entities, node{"@id": id, "@type": "dpv:DataSubject", "dct:identifier": g.x.Member, "dpv:hasIdentifier": g.x.Member})
	return ref(id)
}

// controller names the controller, of whom a ledger has one. Its policies may
// name several contacts and officers.
func (g *graph) controller() node {
	id := iri(g.id("controller"))
	if !g.define(id) {
		return ref(id)
	}
	var contacts, points, officers []any
	var seen []ExportParty
	for i := range g.x.Policies {
		p := &g.x.Policies[i]
		if !slices.Contains(seen, p.Controller) {
			seen = append(seen, p.Controller)
			contacts, points = append(contacts, p.Controller.Contact), append(points, contactPoint(id, len(points), p.Controller.Contact))
		}
		if !slices.Contains(seen, p.Officer) {
			seen = append(seen, p.Officer)
			oid := iri(g.id("officer", p.Officer.Name, p.Officer.Contact))
			officers = append(officers, node{
				"@id": oid, "@type": "dpv:DataProtectionOfficer", "dpv:hasIdentifier": oid, "dpv:hasName": p.Officer.Name,
				"dpv:hasContact": p.Officer.Contact, "schema:contactPoint": contactPoint(oid, 0, p.Officer.Contact),
			})
		}
	}
	c := node{"@id": id, "@type": "dpv:DataController", "dpv:hasIdentifier": id, "dpv:hasName": g.x.r.controller}
	if len(contacts) > 0 {
		c["dpv:hasContact"], c["schema:contactPoint"], c["dpv:hasDataProtectionOfficer"] = contacts, points, officers
	}
	g.entities = append(g.entities, c)
	return ref(id)
}

// contactPoint puts the n-th contact of somebody where schema.org has a place
// for its kind.
func contactPoint(id string, n int, contact string) node {
	id += "#contact"
	if n > 0 {
		id += "-" + strconv.Itoa(n+1)
	}
	c := node{"@id": id, "@type": "schema:ContactPoint"}
	switch {
	case strings.Contains(contact, "://"):
		c["schema:url"] = contact
	case strings.Contains(contact, "@") && !strings.ContainsAny(contact, " \t\n"):
		c["schema:email"] = contact
	case strings.Trim(contact, "+0123456789 ()-.") == "":
		c["schema:telephone"] = contact
	default:
		c["schema:description"] = contact
	}
	return c
}

// recipient names somebody who gets data. An id may come to mean another
// company with a version of the policy, and then it is another node. Only the
// controller's contact is on the register: recipients are reached by way of it.
func (g *graph) recipient(policy, id, name, business, kind, country string) node {
	rid := iri(g.id("recipient", policy, id, name, kind, country))
	if !g.define(rid) {
		return ref(rid)
	}
	if name == "" {
		name = id
	}
	types := []any{"dpv:Recipient"}
	switch kind {
	case RecipientProcessor:
		types = append(types, "dpv:DataProcessor")
	case RecipientThirdParty:
		types = append(types, "dpv:ThirdParty")
	default:
		types = append(types, "dpv:Authority")
	}
	n := node{
		"@id": rid, "@type": types, "dct:identifier": id, "dpv:hasIdentifier": rid, "dpv:hasName": name,
		"schema:contactPoint": ref(g.controller()["@id"].(string) + "#contact"),
	}
	if business != "" {
		n["dct:description"] = business
	}
	if country != "" {
		n["dpv:hasLocation"] = g.location(country)
	}
	g.entities = append(g.entities, n)
	return ref(rid)
}

// location names a place by DPV's IRI if its name is a code that DPV has.
func (g *graph) location(name string) node {
	if isPlace(name) {
		return ref("loc:" + name)
	}
	id := iri(g.id("location", name))
	if !g.define(id) {
		return ref(id)
	}
	return node{"@id": id, "@type": "dpv:Location", "dct:title": name}
}

func (g *graph) jurisdictions(p *Policy) []any {
	all := make([]any, 0, len(p.jurisdictions))
	for _, name := range p.jurisdictions {
		all = append(all, g.location(name))
	}
	return all
}

// shown names what was shown to the member: the policy's text in the language,
// or, if that is not what the digest is of, something else that only the shop
// has, beside the text.
func (g *graph) shown(p *Policy, e *Event) []any {
	lang, ok := p.language(e.Locale)
	var text node
	same := false
	if ok {
		digest := p.digests[lang]
		same = string(digest[:]) == string(e.ShownDigest)
		text = g.text(p, lang, same)
	}
	if same {
		return []any{text}
	}
	id := iri(g.id("shown", p.id, p.version, e.Locale, hex.EncodeToString(e.ShownDigest)))
	if g.define(id) {
		n := node{
			"@id": id, "@type": "dpv:ConsentNotice", "dct:language": e.Locale, "dct:date": typed("date", p.version),
			"spdx:checksum": checksum(id, e.ShownDigest),
		}
		if ok {
			n["dct:references"] = text
		}
		g.notices = append(g.notices, n)
	}
	if !ok {
		return []any{ref(id)}
	}
	return []any{ref(id), text}
}

// text names the policy's text in a language and writes it out once. It is the
// consent notice too if a member decided on it.
func (g *graph) text(p *Policy, lang string, decidedOn bool) node {
	id := iri(g.id("text", p.id, p.version, lang))
	if g.define(id) {
		digest := p.digests[lang]
		g.notices = append(g.notices, node{
			"@id": id, "@type": "dpv:PrivacyNotice", "dct:identifier": p.id + "/" + p.version + "/" + lang, "dct:language": lang,
			"dct:date": typed("date", p.version), "schema:text": node{"@language": lang, "@value": p.text[lang]}, "spdx:checksum": checksum(id, digest[:]),
		})
	}
	if decidedOn && g.define(id+" decided on") {
		g.notices = append(g.notices, node{"@id": id, "@type": "dpv:ConsentNotice"})
	}
	return ref(id)
}

func checksum(id string, digest []byte) node {
	return node{
		"@id": id + "#sha256", "@type": "spdx:Checksum", "spdx:algorithm": ref("spdx:checksumAlgorithm_sha256"),
		"spdx:checksumValue": typed("hexBinary", hex.EncodeToString(digest)),
	}
}

// rightNames are what a member may ask for by this ledger's own calls.
var rightNames = []struct {
	id    string
	title Text
}{
	{"withdrawal", Text{"en": "Right to withdraw consent", "ko": "동의를 철회할 권리"}},
	{"access", Text{"en": "Right of access and to a copy that other programs can read", "ko": "개인정보 열람 및 전송을 요구할 권리"}},
	{"correction", Text{"en": "Right to correction", "ko": "개인정보의 정정을 요구할 권리"}},
	{"erasure", Text{"en": "Right to erasure", "ko": "개인정보의 삭제를 요구할 권리"}},
	{"suspension", Text{"en": "Right to suspend processing", "ko": "개인정보 처리의 정지를 요구할 권리"}},
	{"complaint", Text{"en": "Right to complain", "ko": "이의를 제기할 권리"}},
}

// rightsOf names the member's rights under a policy and where they are used.
func (g *graph) rightsOf(p *Policy) []any {
	all := make([]any, 0, len(rightNames))
	for _, r := range rightNames {
		id := iri(g.id("right", p.id, p.version, r.id))
		if g.define(id) {
			g.rights = append(g.rights, node{
				"@id": id, "@type": "dpv:DataSubjectRight", "dct:title": texts(r.title), "dpv:isExercisedAt": p.controller.Contact,
				"dpv:hasJurisdiction": g.jurisdictions(p),
			})
		}
		all = append(all, ref(id))
	}
	return all
}

// controls say how a consent is withdrawn, and that it may be refused and what
// that costs.
func (g *graph) controls(id string, p *Policy, purpose string) []any {
	all := []any{node{"@id": iri(id) + "#withdraw", "@type": "dpv:WithdrawConsent", "dpv:isExercisedAt": p.controller.Contact}}
	if t := p.byPurpose[purpose].Refusal; len(t) > 0 {
		all = append(all, node{"@id": iri(id) + "#refuse", "@type": "dpv:RefuseConsent", "dct:description": texts(t)})
	}
	return all
}
