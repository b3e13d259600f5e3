package consent

import (
	"crypto/sha256"
	"slices"
	"time"
)

// A Text is the same words in several languages, by BCP 47 tag.
type Text map[string]string

// The kinds of purposes. Each but collection is a decision of its own by law
// (PIPA 15, 17, 22, 23, 24).
const (
	PurposeCollection = "collection"
	PurposeProvision  = "provision"
	PurposeMarketing  = "marketing"
	PurposeSensitive  = "sensitive"
	PurposeUniqueID   = "unique_id"
	PurposeCookies    = "cookies"
)

// The legal bases of purposes.
const (
	BasisConsent         = "consent"
	BasisContract        = "contract"
	BasisLegalObligation = "legal_obligation"
)

// The kinds of recipients.
const (
	RecipientProcessor  = "processor"   // works on the controller's behalf: needs no consent, but a place in the register
	RecipientThirdParty = "third_party" // works for itself: needs the member's consent by name
	RecipientAuthority  = "authority"
)

// A Controller is who decides about the data.
type Controller struct {
	Name     string
	Contact  string
	TimeZone string
	Officer  Officer
}

// An Officer is who answers for customer information.
type Officer struct{ Name, Contact string }

// A Purpose is what a policy uses items for.
type Purpose struct {
	ID          string
	Title       Text
	Kind        string
	Basis       string
	Mandatory   []string
	Optional    []string
	Refusal     Text
	MemberKinds []string // empty: all

	class map[string]string // retention class by member kind; "" for all
}

// States reports whether the policy has a purpose.
func (p *Policy) States(purpose string) bool { return p.byPurpose[purpose] != nil }

// Class returns the name of the retention class for a kind of member.
func (p *Purpose) Class(memberKind string) string {
	if c, ok := p.class[memberKind]; ok {
		return c
	}
	return p.class[""]
}

// AsksConsent reports whether the purpose is the member's to choose.
func (p *Purpose) AsksConsent() bool { return p.Basis == BasisConsent }

func (p *Purpose) forKind(kind string) bool {
	return len(p.MemberKinds) == 0 || slices.Contains(p.MemberKinds, kind)
}

func (p *Purpose) has(item string) bool {
	return slices.Contains(p.Mandatory, item) || slices.Contains(p.Optional, item)
}

// An Item is a kind of data about a member.
type Item struct {
	ID        string
	Label     Text
	Sensitive bool // health and the like: only under a purpose of kind sensitive
	UniqueID  bool // resident registration number and the like: only under a purpose of kind unique_id
	Secret    bool // a password: may be named, never has a value
}

// A Recipient is somebody who gets data.
type Recipient struct {
	ID       string
	Name     string
	Business string
	Kind     string
	Country  string
	Purposes []string
	Items    []string
	From     string // YYYY-MM-DD; empty: with the policy version

	from Day
}

// An Exemption is a ground on which data may be disclosed without consent.
type Exemption struct {
	ID                string
	Title             Text
	Basis             string   // the law
	Anonymised        bool     // only of data that identifies nobody
	Authority         bool     // its recipient is an authority, which need not be on the register
	DespiteSuspension bool     // also of items under correction
	Purposes          []string // for which it stands in for the consent; empty: all
}

// A Class is a retention class of a policy.
type Class struct {
	Name string
	Rule Rule
}

// Dormancy says when an idle member falls dormant.
type Dormancy struct{ After, Notice, DestroyAfter Period }

// Evidence says in which class consents and withdrawals are also kept as proof.
type Evidence struct{ Class, Ground string }

// A Policy is one version of one policy, checked and immutable.
type Policy struct {
	id, version, announced, reason string
	controller                     Controller
	jurisdictions                  []string
	noticeDays, answerDays         int
	minimumAge                     int
	guardian                       bool
	dormancy                       *Dormancy
	access                         string
	evidence                       *Evidence
	text                           Text
	digests                        map[string][32]byte
	languages                      []string
	prohibited                     []string
	memberKinds                    []string
	items                          []Item
	classes                        []Class
	purposes                       []Purpose
	recipients                     []Recipient
	exemptions                     []Exemption
	source                         []byte

	loc        *time.Location
	effective  Day
	byPurpose  map[string]*Purpose
	byItem     map[string]*Item
	byClass    map[string]Rule
	byRec      map[string]*Recipient
	byEx       map[string]*Exemption
	classIDs   map[string]ClassID
	membership map[string]string // membership class by member kind
}

// ID returns the policy's name.
func (p *Policy) ID() string { return p.id }

// Version returns the version, which is the date it takes effect.
func (p *Policy) Version() string { return p.version }

// Announced returns the date of the announcement, or "".
func (p *Policy) Announced() string { return p.announced }

// Reason returns why this version was made, or "".
func (p *Policy) Reason() string { return p.reason }

// Controller returns who decides about the data.
func (p *Policy) Controller() Controller { return p.controller }

// Jurisdictions returns the names that the policy gives.
func (p *Policy) Jurisdictions() []string { return slices.Clone(p.jurisdictions) }

// NoticeDays returns how long before it takes effect a change is announced.
func (p *Policy) NoticeDays() int { return p.noticeDays }

// AnswerDays returns how long a member's request may take.
func (p *Policy) AnswerDays() int { return p.answerDays }

// MinimumAge returns the least age of a member in years, 0 for none.
func (p *Policy) MinimumAge() int { return p.minimumAge }

// Dormancy returns when idle members fall dormant, if ever.
func (p *Policy) Dormancy() (Dormancy, bool) {
	if p.dormancy == nil {
		return Dormancy{}, false
	}
	return *p.dormancy, true
}

// Evidence returns where consents and withdrawals are kept as proof, if so.
func (p *Policy) Evidence() (Evidence, bool) {
	if p.evidence == nil {
		return Evidence{}, false
	}
	return *p.evidence, true
}

// Languages returns the languages of the policy's text, in the file's order.
func (p *Policy) Languages() []string { return slices.Clone(p.languages) }

// Text returns the policy's text in a language, exactly as members see it.
func (p *Policy) Text(lang string) (string, bool) { t, ok := p.text[lang]; return t, ok }

// TextDigest returns the SHA-256 of the text in a language.
func (p *Policy) TextDigest(lang string) ([32]byte, bool) { d, ok := p.digests[lang]; return d, ok }

// MemberKinds returns the kinds of members, in the file's order.
func (p *Policy) MemberKinds() []string { return slices.Clone(p.memberKinds) }

// Prohibited returns the names of items that are refused always.
func (p *Policy) Prohibited() []string { return slices.Clone(p.prohibited) }

// Items returns the items in the file's order.
func (p *Policy) Items() []Item { return slices.Clone(p.items) }

// Classes returns the retention classes in the file's order.
func (p *Policy) Classes() []Class { return slices.Clone(p.classes) }

// Purposes returns the purposes in the file's order.
func (p *Policy) Purposes() []Purpose { return slices.Clone(p.purposes) }

// Recipients returns the recipients in the file's order.
func (p *Policy) Recipients() []Recipient { return slices.Clone(p.recipients) }

// Exemptions returns the exemptions in the file's order.
func (p *Policy) Exemptions() []Exemption { return slices.Clone(p.exemptions) }

// Source returns the file that the policy was parsed from. The caller must not
// change it.
func (p *Policy) Source() []byte { return p.source }

// MembershipClass returns the class that ends with the membership of a kind of
// member: that of the first purpose, in the file's order, whose rule for the
// kind is until withdrawal or counts from it.
func (p *Policy) MembershipClass(memberKind string) (ClassID, bool) {
	c, ok := p.membership[memberKind]
	return p.classIDs[c], ok
}

func (p *Policy) accessClass() ClassID {
	if p.access == "" {
		return AccessClass
	}
	return p.classIDs[p.access]
}

func digestsOf(t Text) map[string][32]byte {
	m := make(map[string][32]byte, len(t))
	for lang, s := range t {
		m[lang] = sha256.Sum256([]byte(s))
	}
	return m
}
