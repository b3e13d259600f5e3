package consent

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAhead is how far the caller's clock may run ahead of ours.
const maxAhead = 5 * time.Minute

// digestBytes is the length of a SHA-256.
const digestBytes = 32

// maxGuardianTextBytes and its like bound the free text of calls.
const (
	maxGuardianTextBytes = 256
	maxReasonBytes       = 2048
)

// notMethods are ways in which nobody consents (GDPR recital 32): going on to
// use a shop, saying nothing, a box ticked beforehand, a browser's signal. They
// are compared without - and _.
var notMethods = []string{
	"implied", "implicit", "deemed", "assumed", "passive", "silence", "inactivity", "none",
	"continueduse", "browsing", "scroll", "scrolling",
	"preticked", "prechecked", "default", "optout",
	"signal", "gpc", "gpcsignal", "globalprivacycontrol",
}

var methodSpelling = strings.NewReplacer("-", "", "_", "")

// PlanConsent checks a consent against the policy version in force and says
// what it leads to: one entry for each retention class among its decisions,
// and a copy in the evidence class if the policy has one. If the call gives
// the member a kind and none of its decisions falls in the membership class,
// the kind has an entry there of its own, so that it outlives the other
// classes. f is empty for a new member. The error is a *Refusal, and then
// nothing of the request is to be kept.
func (r *Register) PlanConsent(f *Fold, keys []KeyState, c *Consent, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	fresh := f.Empty() && len(keys) == 0
	if f.Withdrawn() || fresh && !c.Enrol {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member; a first consent says enrol: true")
	}
	if r.dormant(f, now) {
		return nil, isDormant()
	}
	p, err := r.consentPolicy(c, now)
	if err != nil {
		return nil, err
	}
	kind, err := consentKind(f, p, c)
	if err != nil {
		return nil, err
	}
	e := Event{Kind: KindConsent, Policy: p.id, PolicyVersion: p.version, MemberKind: kind, Method: c.Method, Locale: c.Locale, Reference: c.Reference}
	if err := consentManner(p, c, now, &e); err != nil {
		return nil, err
	}
	if err := r.consentAge(f, p, c, now, &e); err != nil {
		return nil, err
	}
	if len(c.Decisions) == 0 {
		return nil, invalid("decisions_required", "decisions", "a consent holds at least one decision")
	}

	plan := &Plan{Entries: make([]Draft, 0, 2), Create: make([]KeyName, 0, 4)}
	for i := range c.Decisions {
		if err := r.planDecision(plan, p, kind, c, i, &e, now); err != nil {
			return nil, err
		}
	}
	plan.restate(f, keys, p, &e)
	membership := KeyName{Class: p.classIDs[p.membership[kind]]}
	was := f.kind(p.id)
	if was != kind {
		plan.MemberKind, plan.Recheck = kind, true
	}
	// The kind, and that a guardian is needed, must outlive the other classes.
	if was != kind || e.Guardian != nil && e.Age != AgeByBirthDate && !r.guarded(f, p) {
		if !slices.ContainsFunc(plan.Entries, func(d Draft) bool { return d.Key == membership }) {
			plan.Entries = append(plan.Entries, Draft{membership, e})
		}
	}
	r.reuse(plan, keys)
	plan.create(membership)
	plan.create(p.accessKey())
	if p.evidence != nil {
		plan.copyConsent(KeyName{Class: p.classIDs[p.evidence.Class]}, &e)
	}
	if err := plan.fits(); err != nil {
		return nil, err
	}
	return r.settle(plan, f, keys, now), nil
}

func (r *Register) consentPolicy(c *Consent, now time.Time) (*Policy, error) {
	if _, ok := r.policies[c.Policy]; !ok {
		return nil, invalid("unknown_policy", "policy", "no such policy; see GET /v1/policies")
	}
	v, _ := r.posted(c.Policy, now)
	if v != nil && v.version == c.PolicyVersion {
		return v.Policy, nil
	}
	if _, ok := r.Version(c.Policy, c.PolicyVersion); !ok {
		return nil, invalid("unknown_policy_version", "policy_version", "no such version; see GET /v1/policies")
	}
	return nil, invalid("policy_version_not_in_force", "policy_version", "the version is not the one in force; show the member the one that is, and send its version")
}

func consentKind(f *Fold, p *Policy, c *Consent) (string, error) {
	kind := c.MemberKind
	if kind == "" {
		kind = f.kind(p.id)
	}
	if kind == "" && len(p.memberKinds) == 1 {
		kind = p.memberKinds[0]
	}
	switch {
	case kind == "":
		return "", invalid("member_kind_required", "member_kind", "the policy has several kinds of members; say which")
	case !slices.Contains(p.memberKinds, kind):
		return "", invalid("unknown_member_kind", "member_kind", "no such kind of member in the policy; see its member_kinds")
	}
	return kind, nil
}

// consentManner checks how, when and in which language the consent was given.
func consentManner(p *Policy, c *Consent, now time.Time, e *Event) error {
	switch {
	case c.Method == "":
		return invalid("method_required", "method", "say how the consent was given, such as button, checkbox, paper or phone")
	case !isName(c.Method) || !strings.ContainsAny(c.Method, "abcdefghijklmnopqrstuvwxyz"):
		return invalid("invalid_method", "method", "a method is a name of 1 to 64 of a-z, 0-9, _ and -, with a letter")
	case slices.Contains(notMethods, methodSpelling.Replace(c.Method)):
		return invalid("not_a_consent", "method", "nobody consents by doing nothing or by a browser's signal; record only what the member decided")
	case c.OccurredAt.IsZero():
		return invalid("occurred_at_required", "occurred_at", "say when the member decided")
	case c.OccurredAt.After(now.Add(maxAhead)):
		return invalid("occurred_at_in_future", "occurred_at", "is more than five minutes ahead; check the clock of the sender")
	case c.Locale == "":
		return invalid("locale_required", "locale", "say in which language the text was shown, such as en or ko")
	case c.Reference != "" && !isReference(c.Reference):
		return invalid("invalid_reference", "reference", "a reference has 1 to 256 bytes of visible text in Unicode normalization form C (NFC), without space around it")
	case len(c.ShownDigest) != 0 && len(c.ShownDigest) != digestBytes:
		return invalid("invalid_shown_digest", "shown_digest", "must be the SHA-256 of what was shown: 64 hexadecimal digits")
	}
	e.OccurredAtMs = c.OccurredAt.UnixMilli()
	e.ShownDigest = c.ShownDigest
	lang, ok := p.language(c.Locale)
	if !ok && !isLanguage(c.Locale) {
		return invalid("invalid_locale", "locale", "must be a language by BCP 47, such as en, ko or ko-KR, with a hyphen and in these letters, and not ko_KR or ko-kr")
	}
	if len(c.ShownDigest) == 0 {
		if !ok {
			return invalid("locale_not_in_policy", "locale", "the policy has no text in that language; send shown_digest, the SHA-256 of what was shown, or a language that the policy has")
		}
		digest := p.digests[lang]
		e.ShownDigest = digest[:]
	}
	return nil
}

// language returns the language of the policy's text that serves a locale: the
// locale itself or what is left of it when subtags are taken away from the end
// (RFC 4647 lookup).
func (p *Policy) language(locale string) (string, bool) {
	for l := locale; ; {
		if _, ok := p.text[l]; ok {
			return l, l == locale || isLanguage(locale)
		}
		i := len(l) - 1
		for i > 0 && l[i] != '-' {
			i--
		}
		if i <= 0 {
			return "", false
		}
		l = l[:i]
	}
}

func at(i int, rest string) string { return "decisions[" + strconv.Itoa(i) + "]" + rest }

// planDecision checks one decision and adds it to the entry of its class.
func (r *Register) planDecision(plan *Plan, p *Policy, kind string, c *Consent, i int, e *Event, now time.Time) error {
	d := c.Decisions[i]
	d.Granted = d.Granted && !d.Ask
	pu := p.byPurpose[d.Purpose]
	switch {
	case pu == nil:
		return invalid("unknown_purpose", at(i, ".purpose"), "the policy version states no such purpose; see its purposes")
	case slices.ContainsFunc(c.Decisions[:i], func(o Decision) bool { return o.Purpose == d.Purpose }):
		return invalid("duplicate_purpose", at(i, ".purpose"), "the purpose is decided twice; send one decision a purpose")
	case !pu.forKind(kind):
		return invalid("purpose_not_for_member_kind", at(i, ".purpose"), "the purpose is not for this kind of member; see its member_kinds")
	case d.Ask && pu.Kind != PurposeCookies:
		return invalid("not_cookies", at(i, ".decision"), "only cookies can be asked for each time; send granted or refused")
	case !d.Granted && !pu.AsksConsent() && (len(d.Items) == 0 || covers(d.Items, pu.Mandatory)):
		return invalid("not_a_choice", at(i, ".decision"), "the purpose rests on a contract or a legal duty, not on consent; it cannot be refused, only left out")
	}
	if err := checkItems(p, pu, d.Items, i); err != nil {
		return err
	}
	if d.Granted {
		if err := r.grant(p, pu, &d, i, now); err != nil {
			return err
		}
	} else if len(d.Items) > 0 && !covers(d.Items, pu.Mandatory) {
		// Recorded as a refusal it would take the mandatory items along.
		return invalid("items_not_refused_alone", at(i, ".items"), "a refusal is of the whole purpose; to refuse optional items grant the purpose without them, or withdraw them")
	} else if err := checkRecipients(r, p, pu, d.Recipients, i, now); err != nil {
		return err
	}
	class := pu.Class(kind)
	key := KeyName{Class: p.classIDs[class]}
	if p.byClass[class].ByReference() {
		if c.Reference == "" {
			return invalid("reference_required", "reference", "the class of a purpose in this call ends by an event; name the order or event with reference")
		}
		key.Reference = c.Reference
	}
	for j := range plan.Entries {
		if plan.Entries[j].Key == key {
			plan.Entries[j].Event.Decisions = append(plan.Entries[j].Event.Decisions, d)
			return nil
		}
	}
	one := *e
	one.Decisions = append(make([]Decision, 0, len(c.Decisions)-i), d)
	plan.Entries = append(plan.Entries, Draft{key, one})
	plan.create(key)
	return nil
}

func checkItems(p *Policy, pu *Purpose, items []string, i int) error {
	for j, id := range items {
		if slices.Contains(items[:j], id) {
			return invalid("duplicate_item", at(i, index(".items", j)), "the item is there twice; remove one")
		}
		if pu.has(id) {
			continue
		}
		field := at(i, index(".items", j))
		it := p.byItem[id]
		switch {
		case slices.Contains(p.prohibited, id):
			return invalid("prohibited_item", field, "the policy prohibits the item; do not collect it")
		case it != nil && it.Sensitive:
			return invalid("sensitive_item", field, "a sensitive item is granted only under a purpose of kind sensitive; send a decision of its own")
		case it != nil && it.UniqueID:
			return invalid("unique_id_item", field, "a unique identifier is granted only under a purpose of kind unique_id; send a decision of its own")
		}
		return invalid("unknown_item", field, "the purpose has no such item; see the policy's purposes")
	}
	return nil
}

// grant fills in what a grant that names no items or recipients covers, and
// checks what it names. The slices it fills in are the policy's own and are
// not written to.
func (r *Register) grant(p *Policy, pu *Purpose, d *Decision, i int, now time.Time) error {
	if len(d.Items) == 0 {
		if len(pu.Mandatory) == 0 {
			return invalid("items_required", at(i, ".items"), "the purpose has only optional items; name those that are granted")
		}
		d.Items = pu.Mandatory
	} else {
		for _, id := range pu.Mandatory {
			if !slices.Contains(d.Items, id) {
				return invalid("mandatory_item_missing", at(i, ".items"), "a grant covers all mandatory items of the purpose; name them all, or leave items out")
			}
		}
	}
	if d.Recipients == nil && pu.Kind == PurposeProvision {
		// Of those that joined since the version was posted its text says nothing, and so a
		// member was told of them only if the call names them.
		v, _ := r.posted(p.id, now)
		for i := range v.recipients {
			id := v.recipients[i].ID
			if rec := r.recipient(v, id, now); rec != nil && rec.Kind != RecipientProcessor && slices.Contains(rec.Purposes, pu.ID) {
				d.Recipients = append(d.Recipients, id)
			}
		}
		return nil
	}
	return checkRecipients(r, p, pu, d.Recipients, i, now)
}

func checkRecipients(r *Register, p *Policy, pu *Purpose, recipients []string, i int, now time.Time) error {
	v, _ := r.posted(p.id, now)
	for j, id := range recipients {
		rec := r.recipient(v, id, now)
		switch {
		case slices.Contains(recipients[:j], id):
			return invalid("duplicate_recipient", at(i, index(".recipients", j)), "the recipient is there twice; remove one")
		case rec == nil:
			return invalid("unknown_recipient", at(i, index(".recipients", j)), "no such recipient in force; see the policy's recipients")
		case !slices.Contains(rec.Purposes, pu.ID):
			return invalid("recipient_not_for_purpose", at(i, index(".recipients", j)), "the recipient gets nothing for this purpose; see the policy's recipients")
		}
	}
	return nil
}

// restate records a decision also under every other living key in which the
// member said yes to more: the older yes would rule again once the key of this
// decision is destroyed. Keys of one class speak of different orders or
// events, and a no to one is no word on another.
func (p *Plan) restate(f *Fold, keys []KeyState, pol *Policy, e *Event) {
	for i := range len(p.Entries) {
		class := p.Entries[i].Key.Class
		for _, d := range slices.Clone(p.Entries[i].Event.Decisions) {
			for j := range f.keys {
				use := &f.keys[j]
				old := use.word(d.Purpose)
				if use.key.Class.Policy() == pol.id && use.key.Class != class && hasKey(keys, use.key) &&
					old != nil && old.decision == stateGranted && !d.coversAll(old) {
					p.alsoUnder(use.key, d, e)
				}
			}
		}
	}
}

// coversAll reports whether the decision grants all that an older one did.
func (d *Decision) coversAll(old *purposeState) bool {
	return d.Granted && covers(d.Items, old.items) && covers(d.Recipients, old.recipients)
}

// reuse takes the due of a destruction that a hold put off from keys that have
// a use again: those that a yes of the plan is recorded under. Nothing else
// gives a key of a living membership a due, but for ratchets, whose clocks
// nobody stops.
func (r *Register) reuse(p *Plan, keys []KeyState) {
	for _, d := range p.Entries {
		if !slices.ContainsFunc(d.Event.Decisions, func(d Decision) bool { return d.Granted }) {
			continue
		}
		for i := range keys {
			if k := &keys[i]; k.KeyName == d.Key && !k.Due.IsZero() && !r.rules[k.Class].Ratchet() {
				p.ClearDue = append(p.ClearDue, k.KeyName)
			}
		}
	}
}

// alsoUnder adds a decision of a consent to the entry under another key.
func (p *Plan) alsoUnder(key KeyName, d Decision, e *Event) {
	for i := range p.Entries {
		if o := &p.Entries[i]; o.Key == key {
			// The slice may have room that another entry's decisions use.
			o.Event.Decisions = append(slices.Clip(o.Event.Decisions), d)
			return
		}
	}
	one := *e
	one.Reference, one.Decisions = key.Reference, []Decision{d}
	p.Entries = append(p.Entries, Draft{key, one})
}

// covers reports whether all holds each of some.
func covers(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// copyConsent adds the proof of what is not in the evidence class already.
func (p *Plan) copyConsent(key KeyName, e *Event) {
	c := *e
	c.Copy = true
	for i := range p.Entries {
		if p.Entries[i].Key == key {
			continue
		}
		for _, d := range p.Entries[i].Event.Decisions {
			if !slices.ContainsFunc(c.Decisions, func(o Decision) bool { return o.Purpose == d.Purpose }) { // restated
				c.Decisions = append(c.Decisions, d)
			}
		}
	}
	p.create(key)
	if len(c.Decisions) > 0 {
		p.Entries = append(p.Entries, Draft{key, c})
	}
}

// fits refuses a plan with an event that no entry can hold.
func (p *Plan) fits() error {
	for i := range p.Entries {
		if e := &p.Entries[i].Event; e.sizeBound() > MaxEventBytes {
			if _, err := e.Encode(); err != nil {
				return invalid("too_large", "", "the call holds more than an entry of 60,000 bytes can; split it into several calls or shorten its texts")
			}
		}
	}
	return nil
}
