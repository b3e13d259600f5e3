package consent

import (
	"bytes"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// ParsePolicy reads a policy file with its texts inline. Every error is a
// *Refusal with the path at fault, and its line and column in the message. A
// file that names less than the law asks for is refused here: for each purpose
// its title, items, retention, legal basis, the right to refuse and what
// refusing costs, and for provision purposes the recipients and their business
// (PIPA 15(2), 17(2); GDPR 13).
func ParsePolicy(src []byte) (*Policy, error) {
	d := &decoder{}
	p := d.policy(d.parseYAML(src))
	if d.fault == nil {
		d.check(p)
	}
	if d.fault != nil {
		return nil, d.fault
	}
	p.source = bytes.Clone(src)
	return p, nil
}

func (d *decoder) policy(n ast.Node) *Policy {
	m := d.object(n, "", "policy", "version", "announced", "reason", "controller", "jurisdictions", "notice_days",
		"answer_days", "minimum_age", "minors", "dormancy", "access", "text", "prohibited", "member_kinds", "items",
		"retention", "evidence", "purposes", "recipients", "exemptions")
	p := &Policy{answerDays: 30, loc: time.UTC}
	d.require(m, "", "policy", "the policy's name", "version", "the date it takes effect (YYYY-MM-DD)",
		"controller", "who decides about the data", "text", "the text that members see, at least in one language",
		"member_kinds", "the kinds of members, such as [member]", "items", "the items that purposes use",
		"retention", "the retention classes", "purposes", "what the items are used for")
	if d.fault != nil {
		return p
	}
	p.id = d.name(m["policy"], "policy")
	p.version, p.effective = d.date(m["version"], "version")
	p.announced, _ = d.date(m["announced"], "announced")
	p.reason = d.text(m["reason"], "reason")
	d.controller(m["controller"], p)
	for i, v := range d.list(m["jurisdictions"], "jurisdictions") {
		p.jurisdictions = append(p.jurisdictions, d.text(v, index("jurisdictions", i)))
	}
	p.noticeDays = d.number(m["notice_days"], "notice_days", 3650)
	if v := m["answer_days"]; v != nil {
		p.answerDays = d.number(v, "answer_days", 3650)
	}
	p.minimumAge = d.number(m["minimum_age"], "minimum_age", 150)
	p.guardian = d.oneOf(m["minors"], "minors", "refuse", "guardian") == "guardian"
	d.dormancy(m["dormancy"], p)
	if v := m["access"]; v != nil {
		a := d.object(v, "access", "retention")
		p.access = d.name(a["retention"], "access.retention")
		if a["retention"] == nil {
			d.missing("access.retention", "the name of a class under retention")
		}
	}
	d.policyText(m["text"], p)
	p.prohibited = d.names(m["prohibited"], "prohibited")
	p.memberKinds = d.names(m["member_kinds"], "member_kinds")
	d.items(m["items"], p)
	d.classes(m["retention"], p)
	if v := m["evidence"]; v != nil {
		e := d.object(v, "evidence", "retention", "ground")
		d.require(e, "evidence", "retention", "the name of a class under retention", "ground", "the law or claim that the proof is kept for")
		p.evidence = &Evidence{d.name(e["retention"], "evidence.retention"), d.text(e["ground"], "evidence.ground")}
	}
	d.purposes(m["purposes"], p)
	d.recipients(m["recipients"], p)
	d.exemptions(m["exemptions"], p)
	return p
}

// require refuses a mapping that lacks a key; pairs are a key and what to add.
func (d *decoder) require(m map[string]ast.Node, path string, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if v, ok := m[pairs[i]]; !ok || v == nil || v.Type() == ast.NullType {
			d.missing(join(path, pairs[i]), pairs[i+1])
		}
	}
}

func (d *decoder) controller(n ast.Node, p *Policy) {
	m := d.object(n, "controller", "name", "contact", "time_zone", "officer")
	if n == nil || d.fault != nil {
		return
	}
	d.require(m, "controller", "name", "the controller's name")
	p.controller = Controller{
		Name:     d.text(m["name"], "controller.name"),
		Contact:  d.text(m["contact"], "controller.contact"),
		TimeZone: "UTC",
	}
	if v := m["time_zone"]; v != nil {
		p.controller.TimeZone = d.text(v, "controller.time_zone")
		loc, err := loadZone(p.controller.TimeZone)
		if err != nil {
			d.fail("invalid_value", "controller.time_zone", "a time zone is a name of the IANA database, such as Asia/Seoul or UTC")
			return
		}
		p.loc = loc
	}
	if v := m["officer"]; v != nil {
		o := d.object(v, "controller.officer", "name", "contact")
		d.require(o, "controller.officer", "name", "the name or office of who answers for customer information", "contact", "how to reach them")
		p.controller.Officer = Officer{d.text(o["name"], "controller.officer.name"), d.text(o["contact"], "controller.officer.contact")}
	}
}

func (d *decoder) dormancy(n ast.Node, p *Policy) {
	if n == nil {
		return
	}
	m := d.object(n, "dormancy", "after", "notice", "destroy_after")
	d.require(m, "dormancy", "after", "how long without activity, such as 12mo", "notice", "how long before it the member is told, such as 30d",
		"destroy_after", "how long the data is then kept apart, such as 5y")
	p.dormancy = &Dormancy{
		d.period(m["after"], "dormancy.after"), d.period(m["notice"], "dormancy.notice"), d.period(m["destroy_after"], "dormancy.destroy_after"),
	}
}

func (d *decoder) policyText(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "text") {
		switch f.value.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			d.fail("text_not_inline", f.path, "the text must stand here itself; the command line puts files in its place")
			return
		}
	}
	p.text, p.languages = d.languages(n, "text")
	p.digests = digestsOf(p.text)
}

func (d *decoder) items(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "items") {
		d.nameKey(f)
		m := d.object(f.value, f.path, "label", "sensitive", "unique_id", "secret")
		label, _ := d.languages(m["label"], f.path+".label")
		p.items = append(p.items, Item{
			ID: f.key, Label: label,
			Sensitive: d.flag(m["sensitive"], f.path+".sensitive"),
			UniqueID:  d.flag(m["unique_id"], f.path+".unique_id"),
			Secret:    d.flag(m["secret"], f.path+".secret"),
		})
	}
}

func (d *decoder) nameKey(f field) {
	if d.fault == nil && !isName(f.key) {
		d.fail("invalid_value", f.path, "a name has 1 to 64 of a-z, 0-9, _ and -")
	}
}

func (d *decoder) classes(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "retention") {
		d.nameKey(f)
		m := d.object(f.value, f.path, "until", "keep", "from", "basis")
		r := Rule{Basis: d.text(m["basis"], f.path+".basis")}
		switch until, keep := m["until"], m["keep"]; {
		case until == nil && keep == nil:
			d.missing(f.path+".until", "until: <event> or keep: <period>")
		case until != nil && keep != nil:
			d.fail("invalid_value", f.path+".keep", "a class has either until or keep, not both")
		case until != nil:
			r.Until = d.oneOf(until, f.path+".until", UntilWithdrawal, UntilPurposeWithdrawal, UntilDelivery, UntilEventEnd)
			if m["from"] != nil {
				d.fail("invalid_value", f.path+".from", "from belongs to keep, not to until; remove it")
			}
		default:
			r.Keep = d.period(keep, f.path+".keep")
			r.From = FromEntry
			if v := m["from"]; v != nil {
				r.From = d.oneOf(v, f.path+".from", FromEntry, FromWithdrawal)
			}
			d.require(m, f.path, "basis", "the law or reason that the records are kept under")
		}
		p.classes = append(p.classes, Class{f.key, r})
	}
}

func (d *decoder) purposes(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "purposes") {
		d.nameKey(f)
		m := d.object(f.value, f.path, "title", "kind", "basis", "items", "retention", "refusal", "member_kinds")
		d.require(m, f.path, "title", "what the items are used for", "kind", "collection, provision, marketing, sensitive, unique_id or cookies",
			"basis", "consent, contract or legal_obligation", "items", "the items, mandatory and optional",
			"retention", "the name of a class under retention", "refusal", "the right to refuse and what refusing costs")
		pu := Purpose{
			ID:          f.key,
			Kind:        d.oneOf(m["kind"], f.path+".kind", PurposeCollection, PurposeProvision, PurposeMarketing, PurposeSensitive, PurposeUniqueID, PurposeCookies),
			Basis:       d.oneOf(m["basis"], f.path+".basis", BasisConsent, BasisContract, BasisLegalObligation),
			MemberKinds: d.names(m["member_kinds"], f.path+".member_kinds"),
			class:       map[string]string{},
		}
		pu.Title, _ = d.languages(m["title"], f.path+".title")
		pu.Refusal, _ = d.languages(m["refusal"], f.path+".refusal")
		items := d.object(m["items"], f.path+".items", "mandatory", "optional")
		pu.Mandatory = d.names(items["mandatory"], f.path+".items.mandatory")
		pu.Optional = d.names(items["optional"], f.path+".items.optional")
		switch v := m["retention"].(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			for _, k := range d.mapping(v, f.path+".retention") {
				pu.class[k.key] = d.name(k.value, k.path)
			}
		default:
			pu.class[""] = d.name(v, f.path+".retention")
		}
		p.purposes = append(p.purposes, pu)
	}
}

func (d *decoder) recipients(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "recipients") {
		d.nameKey(f)
		m := d.object(f.value, f.path, "name", "business", "kind", "country", "purposes", "items", "from")
		d.require(m, f.path, "name", "the recipient's name", "business", "the recipient's main business",
			"kind", "processor, third_party or authority", "purposes", "the purposes it gets data for", "items", "the items it gets")
		r := Recipient{
			ID: f.key, Name: d.text(m["name"], f.path+".name"), Business: d.text(m["business"], f.path+".business"),
			Kind:     d.oneOf(m["kind"], f.path+".kind", RecipientProcessor, RecipientThirdParty, RecipientAuthority),
			Country:  d.text(m["country"], f.path+".country"),
			Purposes: d.names(m["purposes"], f.path+".purposes"), Items: d.names(m["items"], f.path+".items"),
			from: p.effective,
		}
		if !isFreeText(r.Business, 256) {
			d.fail("invalid_value", f.path+".business", "has at most 256 bytes; it is copied into every disclosure")
		}
		if v := m["from"]; v != nil {
			r.From, r.from = d.date(v, f.path+".from")
		}
		p.recipients = append(p.recipients, r)
	}
}

func (d *decoder) exemptions(n ast.Node, p *Policy) {
	for _, f := range d.mapping(n, "exemptions") {
		d.nameKey(f)
		m := d.object(f.value, f.path, "title", "basis", "anonymised", "recipient", "despite_suspension", "purposes")
		d.require(m, f.path, "title", "what is disclosed and why")
		e := Exemption{
			ID:                f.key,
			Basis:             d.text(m["basis"], f.path+".basis"),
			Anonymised:        d.flag(m["anonymised"], f.path+".anonymised"),
			DespiteSuspension: d.flag(m["despite_suspension"], f.path+".despite_suspension"),
		}
		e.Title, _ = d.languages(m["title"], f.path+".title")
		e.Purposes = d.names(m["purposes"], f.path+".purposes")
		if v := m["recipient"]; v != nil {
			e.Authority = d.oneOf(v, f.path+".recipient", RecipientAuthority) != ""
		}
		if !e.Anonymised {
			d.require(m, f.path, "basis", "the law that allows it without consent")
			if !e.Authority {
				// Or any ground would open every purpose that was refused.
				d.require(m, f.path, "purposes", "the purposes that it covers")
			}
		}
		if slices.Contains([]string{BasisConsent, BasisContract, BasisLegalObligation}, f.key) {
			d.fail("invalid_value", f.path, "consent, contract and legal_obligation are bases of purposes; give the exemption another name")
		}
		p.exemptions = append(p.exemptions, e)
	}
}
