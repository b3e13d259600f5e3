package consent

import (
	"maps"
	"slices"
	"strconv"
)

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// check holds a policy that was read to what its parts say about each other.
func (d *decoder) check(p *Policy) {
	if !isPolicyName(p.id) {
		d.fail("invalid_value", "policy", "a policy's name has 1 to 64 of a-z, 0-9 and -")
	}
	if p.announced > p.version { // both are YYYY-MM-DD
		d.fail("invalid_value", "announced", "a version is announced on or before the date it takes effect")
	}
	for _, part := range []struct {
		path string
		n    int
	}{{"member_kinds", len(p.memberKinds)}, {"items", len(p.items)}, {"retention", len(p.classes)}, {"purposes", len(p.purposes)}} {
		if part.n == 0 {
			d.missing(part.path, "at least one")
		}
	}
	d.indexParts(p)
	d.checkItems(p)
	d.checkClasses(p)
	for i := range p.purposes {
		d.checkPurpose(p, &p.purposes[i])
	}
	d.checkUses(p)
	d.checkRecipients(p)
	d.checkExemptions(p)
	if d.fault == nil {
		d.findMembership(p)
	}
}

func (d *decoder) indexParts(p *Policy) {
	p.byItem = make(map[string]*Item, len(p.items))
	for i := range p.items {
		p.byItem[p.items[i].ID] = &p.items[i]
	}
	p.byClass = make(map[string]Rule, len(p.classes))
	p.classIDs = make(map[string]ClassID, len(p.classes))
	for _, c := range p.classes {
		p.byClass[c.Name] = c.Rule
		p.classIDs[c.Name] = classID(p.id, c.Name)
	}
	p.byPurpose = make(map[string]*Purpose, len(p.purposes))
	for i := range p.purposes {
		p.byPurpose[p.purposes[i].ID] = &p.purposes[i]
	}
	p.byRec = make(map[string]*Recipient, len(p.recipients))
	for i := range p.recipients {
		p.byRec[p.recipients[i].ID] = &p.recipients[i]
	}
	p.byEx = make(map[string]*Exemption, len(p.exemptions))
	for i := range p.exemptions {
		p.byEx[p.exemptions[i].ID] = &p.exemptions[i]
	}
}

func (d *decoder) checkItems(p *Policy) {
	for _, it := range p.items {
		path := "items." + it.ID
		if slices.Contains(p.prohibited, it.ID) {
			d.fail("prohibited_item", path, "the policy prohibits the item; remove it here or under prohibited")
		}
		if it.Sensitive && it.UniqueID {
			d.fail("invalid_value", path+".unique_id", "an item is sensitive or a unique identifier; split it into two items")
		}
	}
}

// checkUses refuses an item that is held for nothing (GDPR 5(1)(c); PIPA 16(1)).
func (d *decoder) checkUses(p *Policy) {
	for _, it := range p.items {
		if !slices.ContainsFunc(p.purposes, func(pu Purpose) bool { return pu.has(it.ID) }) {
			d.fail("invalid_value", "items."+it.ID, "no purpose uses the item; add it to one, or remove it here")
		}
	}
}

func (d *decoder) checkClasses(p *Policy) {
	ends := func(class, path string) bool { // with an event
		r, ok := p.byClass[class]
		if !ok {
			d.fail("unknown_name", path, "no such class under retention; add it there")
		}
		return r.Until != ""
	}
	if p.access != "" && ends(p.access, "access.retention") {
		d.fail("invalid_value", "access.retention", "must be a class with keep, because who looked must still be known after the member has left")
	}
	if p.evidence != nil && ends(p.evidence.Class, "evidence.retention") {
		d.fail("invalid_value", "evidence.retention", "must be a class with keep, because proof must outlive what it proves")
	}
}

func (d *decoder) checkPurpose(p *Policy, pu *Purpose) {
	path := "purposes." + pu.ID
	if len(pu.Mandatory)+len(pu.Optional) == 0 {
		d.missing(path+".items", "at least one item under mandatory or optional")
	}
	for i, id := range pu.Mandatory {
		d.checkPurposeItem(p, pu, id, index(path+".items.mandatory", i))
	}
	for i, id := range pu.Optional {
		d.checkPurposeItem(p, pu, id, index(path+".items.optional", i))
		if slices.Contains(pu.Mandatory, id) {
			d.fail("duplicate_field", index(path+".items.optional", i), "the item is mandatory already; remove it from one list")
		}
	}
	for i, k := range pu.MemberKinds {
		if !slices.Contains(p.memberKinds, k) {
			d.fail("unknown_name", index(path+".member_kinds", i), "no such kind under member_kinds; add it there")
		}
	}
	d.checkPurposeRetention(p, pu, path+".retention")
	if pu.Kind != PurposeCollection && !pu.AsksConsent() {
		d.fail("invalid_value", path+".basis", "only a purpose of kind collection may rest on anything but consent")
	}
	if pu.Kind == PurposeProvision && !slices.ContainsFunc(p.recipients, func(r Recipient) bool {
		return r.Kind == RecipientThirdParty && slices.Contains(r.Purposes, pu.ID) && slices.ContainsFunc(r.Items, pu.has)
	}) {
		d.missing(path+".recipients", "a third_party under recipients with its business, with this purpose among its purposes and an item of it among its items")
	}
	for _, lang := range p.languages {
		// Who reads the text in a language is asked in it.
		if pu.Title[lang] == "" {
			d.missing(join(path+".title", lang), "the title in each language of text")
		}
		if pu.Refusal[lang] == "" {
			d.missing(join(path+".refusal", lang), "the refusal in each language of text")
		}
	}
}

func (d *decoder) checkPurposeItem(p *Policy, pu *Purpose, id, path string) {
	it := p.byItem[id]
	switch {
	case slices.Contains(p.prohibited, id):
		d.fail("prohibited_item", path, "the policy prohibits the item; remove it")
	case it == nil:
		d.fail("unknown_name", path, "no such item under items; add it there")
	case it.Sensitive && pu.Kind != PurposeSensitive:
		d.fail("sensitive_item", path, "a sensitive item needs a consent of its own; move it to a purpose of kind sensitive")
	case it.UniqueID && pu.Kind != PurposeUniqueID:
		d.fail("unique_id_item", path, "a unique identifier needs a consent of its own; move it to a purpose of kind unique_id")
	}
}

func (d *decoder) checkPurposeRetention(p *Policy, pu *Purpose, path string) {
	for _, kind := range slices.Sorted(maps.Keys(pu.class)) {
		class := pu.class[kind]
		at := path
		if kind != "" {
			at = join(path, kind)
		}
		if kind != "" && (!slices.Contains(p.memberKinds, kind) || !pu.forKind(kind)) {
			d.fail("unknown_name", at, "the purpose has no such kind of member; remove it or add the kind")
		}
		if _, ok := p.byClass[class]; !ok {
			d.fail("unknown_name", at, "no such class under retention; add it there")
		}
	}
	for _, kind := range p.memberKinds {
		if pu.forKind(kind) && pu.Class(kind) == "" {
			d.missing(join(path, kind), "the class for this kind of member")
		}
	}
}

func (d *decoder) checkRecipients(p *Policy) {
	for i := range p.recipients {
		if f := p.recipientFault(&p.recipients[i]); f != nil {
			f.Field = "recipients." + p.recipients[i].ID + "." + f.Field
			d.put(d.place(f.Field), f)
		}
	}
}

func (d *decoder) checkExemptions(p *Policy) {
	for _, e := range p.exemptions {
		for i, id := range e.Purposes {
			if p.byPurpose[id] == nil {
				d.fail("unknown_name", index("exemptions."+e.ID+".purposes", i), "no such purpose under purposes; add it there")
			}
		}
	}
}

// findMembership finds for each kind of member the class that ends with its
// membership. There must be one: withdrawals and corrections are recorded in it.
func (d *decoder) findMembership(p *Policy) {
	p.membership = make(map[string]string, len(p.memberKinds))
	for i, kind := range p.memberKinds {
		for j := range p.purposes {
			pu := &p.purposes[j]
			r := p.byClass[pu.Class(kind)]
			if pu.forKind(kind) && (r.Until == UntilWithdrawal || r.Until == "" && r.From == FromWithdrawal) {
				p.membership[kind] = pu.Class(kind)
				break
			}
		}
		if p.membership[kind] == "" {
			d.failf("membership_class_missing", index("member_kinds", i),
				"no purpose of %s has a retention that ends with the membership; give one a class with until: withdrawal or with from: withdrawal", kind)
		}
	}
}
