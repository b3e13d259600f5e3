package ledger

import "strings"

// The policies that the model test lives under: two of one controller, several versions of each. A
// version stands here twice: as the file that the ledger is given, and as what a reader of that
// file takes from it, written out by hand. Nothing here is parsed by the code under test.

// An edition is what one version of a policy says, whatever its date.
type edition struct {
	name      string
	policy    string
	yaml      string // with VERSION, ANNOUNCED
	notice    int    // days
	answer    int    // days
	minAge    int
	guardian  bool // minors may come with a guardian
	dormancy  *dormancyTerms
	evidence  string // class
	access    string // class
	kinds     []string
	sensitive []string
	purposes  []purposeTerms // in the file's order
	parties   []party
	grounds   []ground
}

type dormancyTerms struct{ after, notice, destroy span }

// A span is a length of time by the calendar.
type span struct{ months, days int }

// purposeTerms is one purpose. points names its four points of law (what for, which items, how
// long, what refusing costs, and to whom): a consent holds on under later versions exactly while they
// keep the same name.
type purposeTerms struct {
	name, kind string
	basis      string
	must, may  []string
	class      map[string]string // by kind of member, "" for all
	kinds      []string          // nil: all
	points     string
}

// A party is a recipient. company names who it is: name, business, kind and country.
type party struct {
	id, company, kind string
	purposes, items   []string
}

// A ground is an exemption.
type ground struct {
	id                            string
	authority, despite, anonymous bool
	purposes                      []string // nil: all
}

// A rule says when the facts of a retention class die.
type rule struct {
	until string // "withdrawal", "purpose", "delivery", "event"; or
	keep  span   // for so long
	from  string // after the "entry" or the "withdrawal"
	law   string
}

// rules are the retention classes, by class as the ledger names it. A class never changes.
var rules = map[string]rule{
	"shop/membership": {until: "withdrawal"},
	"shop/buyers":     {keep: span{months: 60}, from: "withdrawal", law: "Tax Act"},
	"shop/visitor":    {until: "withdrawal"},
	"shop/news":       {until: "purpose"},
	"shop/partners":   {until: "purpose"},
	"shop/health":     {until: "purpose"},
	"shop/cookies":    {until: "purpose"},
	"shop/shipping":   {until: "delivery"},
	"shop/raffle":     {until: "event"},
	"shop/trial":      {until: "event", law: "Trials Act"},
	"shop/purchase":   {keep: span{months: 60}, from: "entry", law: "Commerce Act"},
	"shop/survey":     {keep: span{months: 12}, from: "entry", law: "Survey Act"},
	"shop/survey2":    {keep: span{months: 24}, from: "entry", law: "Survey Act"},
	"shop/looks":      {keep: span{days: 90}, from: "entry", law: "Safety Standard"},
	"club/fans":       {until: "withdrawal"},
	"club/letters":    {until: "purpose"},
	"club/games":      {keep: span{months: 36}, from: "entry", law: "Games Act"},
	"club/proof":      {keep: span{months: 48}, from: "entry", law: "GDPR 17(3)"},
	"*/access":        {keep: span{months: 24}, from: "entry"},
	"*/correction":    {until: "outcome"},
}

const shopYAML = `policy: shop
version: "VERSION"
announced: "ANNOUNCED"
reason: a reason
controller: {name: Shop, contact: privacy@shop.example, time_zone: Asia/Seoul, officer: {name: Officer, contact: officer@shop.example}}
jurisdictions: [KR]
notice_days: 10
answer_days: 10
minimum_age: 14
minors: refuse
dormancy: {after: 6mo, notice: 30d, destroy_after: 2y}
text: {en: "what members see"}
prohibited: [religion]
member_kinds: [member, buyer, visitor]
items:
  email: {label: {en: E-mail}}
  name: {label: {en: Name}}
  phone: {label: {en: Telephone}}
  address: {label: {en: Address}}
  record: {label: {en: Record}}
  skin: {label: {en: Skin}, sensitive: true}
  allergy: {label: {en: Allergy}, sensitive: true}
  password: {label: {en: Password}, secret: true}
  cookie_id: {label: {en: Cookie}}
  visits: {label: {en: Visits}}
retention:
  membership: {until: withdrawal}
  buyers: {keep: 5y, from: withdrawal, basis: Tax Act}
  visitor: {until: withdrawal}
  news: {until: purpose_withdrawal}
  partners: {until: purpose_withdrawal}
  health: {until: purpose_withdrawal}
  cookies: {until: purpose_withdrawal}
  shipping: {until: delivery}
  raffle: {until: event_end}
  trial: {until: event_end, basis: Trials Act}
  purchase: {keep: 5y, from: entry, basis: Commerce Act}
  survey: {keep: 1y, from: entry, basis: Survey Act}
  survey2: {keep: 2y, from: entry, basis: Survey Act}
  looks: {keep: 90d, from: entry, basis: Safety Standard}
purposes:
  membership:
    title: {en: Registration}
    kind: collection
    basis: consent
    items: {mandatory: [email, name], optional: [phone, password]}
    retention: {member: membership, buyer: buyers}
    refusal: {en: No membership.}
    member_kinds: [member, buyer]
  profile:
    title: {en: Profile}
    kind: collection
    basis: consent
    items: {optional: [phone, address]}
    retention: {member: membership, buyer: buyers}
    refusal: {en: No profile.}
    member_kinds: [member, buyer]
  news:
    title: {en: News}
    kind: marketing
    basis: consent
    items: {mandatory: [email], optional: [name, phone]}
    retention: news
    refusal: {en: No news.}
    member_kinds: [member, buyer]
  offers:
    title: {en: Offers}
    kind: marketing
    basis: consent
    items: {mandatory: [email], optional: [name]}
    retention: news
    refusal: {en: No offers.}
    member_kinds: [member, buyer]
  health:
    title: {en: Advice}
    kind: sensitive
    basis: consent
    items: {mandatory: [skin], optional: [allergy]}
    retention: health
    refusal: {en: No advice.}
    member_kinds: [member, buyer]
  partner:
    title: {en: Partners}
    kind: provision
    basis: consent
    items: {mandatory: [email], optional: [name]}
    retention: partners
    refusal: {en: Partners get nothing.}
    member_kinds: [member, buyer]
  order:
    title: {en: Orders}
    kind: collection
    basis: contract
    items: {mandatory: [name, record], optional: [email]}
    retention: purchase
    refusal: {en: No order.}
    member_kinds: [member, buyer]
  delivery:
    title: {en: Delivery}
    kind: collection
    basis: contract
    items: {mandatory: [name, address], optional: [phone]}
    retention: shipping
    refusal: {en: No delivery.}
    member_kinds: [member, buyer]
  raffle:
    title: {en: Raffle}
    kind: collection
    basis: consent
    items: {mandatory: [name], optional: [email, address]}
    retention: raffle
    refusal: {en: No raffle.}
    member_kinds: [member, buyer]
  trial:
    title: {en: Trial}
    kind: collection
    basis: consent
    items: {mandatory: [name]}
    retention: trial
    refusal: {en: No trial.}
    member_kinds: [member, buyer]
  survey:
    title: {en: Survey}
    kind: marketing
    basis: consent
    items: {mandatory: [email], optional: [phone]}
    retention: survey
    refusal: {en: No survey.}
    member_kinds: [member, buyer]
  poll:
    title: {en: Poll}
    kind: collection
    basis: consent
    items: {mandatory: [name], optional: [email]}
    retention: {member: survey, buyer: survey2}
    refusal: {en: No poll.}
    member_kinds: [member, buyer]
  cookies:
    title: {en: Cookies that measure}
    kind: cookies
    basis: consent
    items: {mandatory: [cookie_id], optional: [visits]}
    retention: {member: cookies, buyer: cookies, visitor: visitor}
    refusal: {en: Nothing is lost.}
recipients:
  host: {name: Host Co, business: hosting, kind: processor, country: KR, purposes: [membership, order, news], items: [email, name, phone, record]}
  parcel: {name: Parcel Co, business: delivery, kind: processor, country: KR, purposes: [delivery, raffle], items: [name, address]}
  brand: {name: Brand Co, business: cosmetics, kind: third_party, country: KR, purposes: [partner], items: [email, name]}
  label: {name: Label Co, business: clothes, kind: third_party, country: KR, purposes: [partner], items: [email]}
exemptions:
  court: {title: {en: Court orders}, basis: Procedure Act, recipient: authority, despite_suspension: true}
  safety: {title: {en: Safety}, basis: Safety Act, recipient: authority}
  settle: {title: {en: Settlement}, basis: Settlement Act, purposes: [order]}
  statistics: {title: {en: Statistics}, anonymised: true}
`

const clubYAML = `policy: club
version: "VERSION"
announced: "ANNOUNCED"
reason: a reason
controller: {name: Shop, contact: privacy@shop.example, time_zone: Asia/Seoul, officer: {name: Officer, contact: officer@shop.example}}
jurisdictions: [KR]
notice_days: 0
answer_days: 5
minimum_age: 14
minors: guardian
text: {en: "what fans see"}
prohibited: [religion]
member_kinds: [fan]
items:
  email: {label: {en: E-mail}}
  name: {label: {en: Name}}
  record: {label: {en: Record}}
retention:
  fans: {until: withdrawal}
  letters: {until: purpose_withdrawal}
  games: {keep: 3y, from: entry, basis: Games Act}
  proof: {keep: 4y, from: entry, basis: GDPR 17(3)}
evidence: {retention: proof, ground: GDPR 17(3)(e)}
purposes:
  fans:
    title: {en: Fans}
    kind: collection
    basis: consent
    items: {mandatory: [name]}
    retention: fans
    refusal: {en: No club.}
  news:
    title: {en: Letters}
    kind: marketing
    basis: consent
    items: {mandatory: [email], optional: [name]}
    retention: letters
    refusal: {en: No letters.}
  games:
    title: {en: Games}
    kind: collection
    basis: contract
    items: {mandatory: [record], optional: [name]}
    retention: games
    refusal: {en: No games.}
recipients:
  host: {name: Host Co, business: hosting, kind: processor, country: KR, purposes: [fans, news], items: [email, name]}
exemptions:
  court: {title: {en: Court orders}, basis: Procedure Act, recipient: authority}
`

var people = []string{"member", "buyer"}

func all(class string) map[string]string { return map[string]string{"": class} }

// shop1 is the first version of the shop's policy.
func shop1() *edition {
	by := map[string]string{"member": "membership", "buyer": "buyers"}
	return &edition{
		name: "shop1", policy: "shop", yaml: shopYAML, notice: 10, answer: 10, minAge: 14,
		dormancy: &dormancyTerms{after: span{months: 6}, notice: span{days: 30}, destroy: span{months: 24}},
		kinds:    []string{"member", "buyer", "visitor"}, sensitive: []string{"skin", "allergy"},
		purposes: []purposeTerms{
			{name: "membership", kind: "collection", basis: "consent", must: []string{"email", "name"}, may: []string{"phone", "password"}, class: by, kinds: people, points: "membership 1"},
			{name: "profile", kind: "collection", basis: "consent", may: []string{"phone", "address"}, class: by, kinds: people, points: "profile 1"},
			{name: "news", kind: "marketing", basis: "consent", must: []string{"email"}, may: []string{"name", "phone"}, class: all("news"), kinds: people, points: "news 1"},
			{name: "offers", kind: "marketing", basis: "consent", must: []string{"email"}, may: []string{"name"}, class: all("news"), kinds: people, points: "offers 1"},
			{name: "health", kind: "sensitive", basis: "consent", must: []string{"skin"}, may: []string{"allergy"}, class: all("health"), kinds: people, points: "health 1"},
			{name: "partner", kind: "provision", basis: "consent", must: []string{"email"}, may: []string{"name"}, class: all("partners"), kinds: people, points: "partner 1"},
			{name: "order", kind: "collection", basis: "contract", must: []string{"name", "record"}, may: []string{"email"}, class: all("purchase"), kinds: people, points: "order 1"},
			{name: "delivery", kind: "collection", basis: "contract", must: []string{"name", "address"}, may: []string{"phone"}, class: all("shipping"), kinds: people, points: "delivery 1"},
			{name: "raffle", kind: "collection", basis: "consent", must: []string{"name"}, may: []string{"email", "address"}, class: all("raffle"), kinds: people, points: "raffle 1"},
			{name: "trial", kind: "collection", basis: "consent", must: []string{"name"}, class: all("trial"), kinds: people, points: "trial 1"},
			{name: "survey", kind: "marketing", basis: "consent", must: []string{"email"}, may: []string{"phone"}, class: all("survey"), kinds: people, points: "survey 1"},
			{name: "poll", kind: "collection", basis: "consent", must: []string{"name"}, may: []string{"email"}, class: map[string]string{"member": "survey", "buyer": "survey2"}, kinds: people, points: "poll 1"},
			{name: "cookies", kind: "cookies", basis: "consent", must: []string{"cookie_id"}, may: []string{"visits"}, class: map[string]string{"member": "cookies", "buyer": "cookies", "visitor": "visitor"}, points: "cookies 1"},
		},
		parties: []party{
			{"host", "Host Co, KR", "processor", []string{"membership", "order", "news"}, []string{"email", "name", "phone", "record"}},
			{"parcel", "Parcel Co, KR", "processor", []string{"delivery", "raffle"}, []string{"name", "address"}},
			{"brand", "Brand Co, KR", "third_party", []string{"partner"}, []string{"email", "name"}},
			{"label", "Label Co, KR", "third_party", []string{"partner"}, []string{"email"}},
		},
		grounds: []ground{
			{id: "court", authority: true, despite: true},
			{id: "safety", authority: true},
			{id: "settle", purposes: []string{"order"}},
			{id: "statistics", anonymous: true},
		},
	}
}

// change rewrites the file. A line that is not there is a mistake in this test.
func (e *edition) change(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(e.yaml, pairs[i]) != 1 {
			panic("the file has not one line " + pairs[i])
		}
		e.yaml = strings.Replace(e.yaml, pairs[i], pairs[i+1], 1)
	}
}

func (e *edition) purpose(name string) *purposeTerms {
	for i := range e.purposes {
		if e.purposes[i].name == name {
			return &e.purposes[i]
		}
	}
	return nil
}

func (e *edition) party(id string) *party {
	for i := range e.parties {
		if e.parties[i].id == id {
			return &e.parties[i]
		}
	}
	return nil
}

// shop2 changes points of law, each of its own kind: items, wording of the refusal, title, who a
// third party is. Looks fall in a class of the policy's own.
func shop2() *edition {
	e := shop1()
	e.name, e.access = "shop2", "looks"
	e.change(
		"minors: refuse", "minors: refuse\naccess: {retention: looks}",
		"optional: [name, phone]}\n    retention: news", "optional: [name]}\n    retention: news",
		"No profile.", "There is then no profile.",
		"{en: Registration}", "{en: Joining}",
		"brand: {name: Brand Co, business: cosmetics, kind: third_party, country: KR", "brand: {name: Brand Co, business: cosmetics, kind: third_party, country: JP",
		"purposes: [delivery, raffle], items: [name, address]", "purposes: [delivery], items: [name, address, phone]",
	)
	*e.purpose("news") = purposeTerms{name: "news", kind: "marketing", basis: "consent", must: []string{"email"}, may: []string{"name"}, class: all("news"), kinds: people, points: "news 2"}
	e.purpose("profile").points = "profile 2"
	e.purpose("membership").points = "membership 2"
	e.purpose("partner").points = "partner 2"
	e.party("brand").company = "Brand Co, JP"
	*e.party("parcel") = party{"parcel", "Parcel Co, KR", "processor", []string{"delivery"}, []string{"name", "address", "phone"}}
	return e
}

// shop3 changes a period, a basis, and what is no point of law: the text, the officer, the answer
// days, dormancy, a processor.
func shop3() *edition {
	e := shop1()
	e.name, e.dormancy, e.answer = "shop3", nil, 20
	e.change(
		"dormancy: {after: 6mo, notice: 30d, destroy_after: 2y}\n", "",
		"answer_days: 10", "answer_days: 20",
		"what members see", "what members see now",
		"{name: Officer, contact: officer@shop.example}", "{name: Other, contact: other@shop.example}",
		"retention: survey\n", "retention: survey2\n",
		"title: {en: Profile}\n    kind: collection\n    basis: consent", "title: {en: Profile}\n    kind: collection\n    basis: contract",
		"  parcel: {name: Parcel Co, business: delivery, kind: processor, country: KR, purposes: [delivery, raffle], items: [name, address]}\n",
		"  courier: {name: Courier Co, business: delivery, kind: processor, country: KR, purposes: [delivery, raffle], items: [name, address]}\n",
	)
	s := e.purpose("survey")
	s.class, s.points = all("survey2"), "survey 2"
	p := e.purpose("profile")
	p.basis, p.points = "contract", "profile 3"
	*e.party("parcel") = party{"courier", "Courier Co, KR", "processor", []string{"delivery", "raffle"}, []string{"name", "address"}}
	return e
}

// shop4 states fewer purposes and recipients: neither health nor the label.
func shop4() *edition {
	e := shop1()
	e.name, e.sensitive = "shop4", nil
	e.change(
		"  skin: {label: {en: Skin}, sensitive: true}\n  allergy: {label: {en: Allergy}, sensitive: true}\n", "",
		`  health:
    title: {en: Advice}
    kind: sensitive
    basis: consent
    items: {mandatory: [skin], optional: [allergy]}
    retention: health
    refusal: {en: No advice.}
    member_kinds: [member, buyer]
`, "",
		"  label: {name: Label Co, business: clothes, kind: third_party, country: KR, purposes: [partner], items: [email]}\n", "",
		"  safety: {title: {en: Safety}, basis: Safety Act, recipient: authority}\n", "",
	)
	var purposes []purposeTerms
	for _, p := range e.purposes {
		if p.name != "health" {
			purposes = append(purposes, p)
		}
	}
	e.purposes = purposes
	e.parties = e.parties[:3]
	e.grounds = []ground{e.grounds[0], e.grounds[2], e.grounds[3]}
	return e
}

// club1 is the first version of the club's policy, which keeps proof and takes minors.
func club1() *edition {
	return &edition{
		name: "club1", policy: "club", yaml: clubYAML, answer: 5, minAge: 14, guardian: true, evidence: "proof",
		kinds: []string{"fan"},
		purposes: []purposeTerms{
			{name: "fans", kind: "collection", basis: "consent", must: []string{"name"}, class: all("fans"), points: "fans 1"},
			{name: "news", kind: "marketing", basis: "consent", must: []string{"email"}, may: []string{"name"}, class: all("letters"), points: "letters 1"},
			{name: "games", kind: "collection", basis: "contract", must: []string{"record"}, may: []string{"name"}, class: all("games"), points: "games 1"},
		},
		parties: []party{{"host", "Host Co, KR", "processor", []string{"fans", "news"}, []string{"email", "name"}}},
		grounds: []ground{{id: "court", authority: true}},
	}
}

// club2 has another title for its letters, and a notice period.
func club2() *edition {
	e := club1()
	e.name, e.notice = "club2", 20
	e.change("{en: Letters}", "{en: Letters and offers}", "notice_days: 0", "notice_days: 20")
	e.purpose("news").points = "letters 2"
	return e
}

// editions are all there are; the first of each policy is its first version.
func editions() []*edition {
	return []*edition{shop1(), shop2(), shop3(), shop4(), club1(), club2()}
}
