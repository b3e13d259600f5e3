package ledger

import (
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// What stands on the registers, and when: versions of policies, and recipients between two of them.

// post puts an edition on the register.
func (r *run) post(e *edition, date, announced string) {
	text := strings.NewReplacer("VERSION", date, "ANNOUNCED", announced).Replace(e.yaml)
	_, _, err := r.l.AddPolicy(r.t.Context(), admin, []byte(text))
	want := r.m.postRefusals(e, date, announced)
	r.say("post %s as of %s, announced %s: %s", e.name, date, announced, codeOf(err))
	if !r.agreeOn("post", err, want) {
		return
	}
	if err == nil {
		r.m.addVersion(e, date)
	}
}

func (m *model) postRefusals(e *edition, date, announced string) []string {
	day, err := time.ParseInLocation(time.DateOnly, date, seoul)
	if err != nil {
		panic(err)
	}
	told, err := time.ParseInLocation(time.DateOnly, announced, seoul)
	if err != nil {
		panic(err)
	}
	if told.After(day) {
		return []string{"invalid_value"}
	}
	have := m.versions[e.policy]
	if len(have) == 0 {
		return nil
	}
	last := have[len(have)-1]
	var out []string
	if last.id == date {
		return []string{"policy_version_exists"}
	}
	if m.version(e.policy, date) != nil {
		return []string{"policy_version_exists"}
	}
	if day.Before(last.from) {
		return []string{"policy_version_not_newer"}
	}
	if posted := dayStart(m.now); posted.After(told) {
		told = posted
	}
	// What is in force promises a notice, and so does what will be by then.
	notice := max(last.notice, m.inForce(e.policy, m.now).notice)
	if day.Before(told.AddDate(0, 0, notice)) {
		out = append(out, "notice_too_short")
	}
	return out
}

func (m *model) addVersion(e *edition, date string) {
	from, _ := time.ParseInLocation(time.DateOnly, date, seoul)
	if m.versions[e.policy] == nil {
		m.order = append(m.order, e.policy)
	}
	m.versions[e.policy] = append(m.versions[e.policy], &version{edition: e, id: date, from: from, posted: m.now})
}

// A partyChange is one of a recipient, between two versions. It does not reach versions that are posted
// after it: those say anew who gets what.
type partyChange struct {
	policy string
	party  party
	ended  bool
	from   time.Time
	posted time.Time
	after  int // versions of the policy that were posted before it
}

// partyOf is a recipient as it stands on the register under a version, or nil.
func (m *model) partyOf(v *version, id string, at time.Time) *party {
	p := v.party(id)
	for i := range m.changes {
		c := &m.changes[i]
		if c.policy != v.policy || c.party.id != id || slices.Index(m.versions[v.policy], v) >= c.after || c.from.After(at) || c.posted.After(at) {
			continue
		}
		if p = &c.party; c.ended {
			p = nil
		}
	}
	return p
}

// partiesOf lists who is on the register under a version.
func (m *model) partiesOf(v *version, at time.Time) (out []*party) {
	ids := []string{}
	for _, p := range v.parties {
		ids = append(ids, p.id)
	}
	for _, c := range m.changes {
		if c.policy == v.policy && !slices.Contains(ids, c.party.id) {
			ids = append(ids, c.party.id)
		}
	}
	for _, id := range ids {
		if p := m.partyOf(v, id, at); p != nil {
			out = append(out, p)
		}
	}
	return out
}

// businesses of the companies, by name.
var businesses = map[string]string{
	"Host Co": "hosting", "Parcel Co": "delivery", "Courier Co": "delivery", "Brand Co": "cosmetics", "Label Co": "clothes", "Mover Co": "moving", "Other Co": "hosting",
}

// lastWord is what was last said of a recipient's id, whether or not it applies yet; nil if nothing was.
func (m *model) lastWord(policy, id string) *party {
	var last *party
	at := 0
	for i, v := range m.versions[policy] {
		if p := v.party(id); p != nil {
			last, at = p, i
		}
	}
	for i := range m.changes {
		if c := &m.changes[i]; c.policy == policy && c.party.id == id && c.after > at {
			last = &c.party
		}
	}
	return last
}

// recipientRefusals are the codes that a change of a recipient may be refused with.
func (m *model) recipientRefusals(c *partyChange, told time.Time) (out []string) {
	v := m.inForce(c.policy, m.now)
	last := m.lastWord(c.policy, c.party.id)
	today := dayStart(m.now)
	switch {
	case c.ended && last == nil:
		out = append(out, "unknown_recipient")
	case c.ended && c.from.Before(today):
		out = append(out, "notice_too_short")
	case c.ended:
		return nil
	}
	if told.After(c.from) {
		out = append(out, "invalid_value")
	}
	if told.Before(today) {
		told = today
	}
	if c.from.Before(told.AddDate(0, 0, v.notice)) {
		out = append(out, "notice_too_short")
	}
	if last != nil && last.company != c.party.company {
		out = append(out, "recipient_id_taken")
	}
	if last != nil && c.party.kind == "third_party" && !within(c.party.items, last.items) {
		out = append(out, "needs_policy_version")
	}
	return out
}

// recipient changes who gets data.
func (r *run) recipient() {
	c := &partyChange{policy: "shop", posted: r.m.now, after: len(r.m.versions["shop"])}
	switch r.rand.IntN(8) {
	case 0, 1:
		c.party = party{"mover", "Mover Co, KR", "processor", []string{"delivery"}, pick(r, []string{"name", "address"}, []string{"name"})}
	case 2:
		c.party = party{"parcel", "Parcel Co, KR", "processor", pick(r, []string{"delivery"}, []string{"raffle"}), []string{"name", "address"}}
	case 3:
		c.party = party{"host", pick(r, "Host Co, KR", "Host Co, KR", "Other Co, KR"), "processor", []string{"membership", "news"}, pick(r, []string{"email"}, []string{"email", "name", "phone"})}
	case 4:
		c.party = party{"label", "Label Co, KR", "third_party", []string{"partner"}, pick(r, []string{"email"}, []string{"email", "name"})}
	default: // the brand stays: the editions change what it is, and the points of law say so
		c.party, c.ended = party{id: pick(r, "host", "parcel", "courier", "label", "mover", "nobody")}, true
	}
	notice := r.m.inForce("shop", r.m.now).notice
	if c.ended {
		notice = 0
	}
	c.from = dayStart(r.m.now).AddDate(0, 0, notice+pick(r, -1, 0, 0, 0, 1, 9))
	told := dayStart(r.m.now).AddDate(0, 0, pick(r, -2, 0, 0))
	name, country, _ := strings.Cut(c.party.company, ", ")
	_, err := r.l.AddRecipient(r.t.Context(), admin, &consent.RecipientChange{
		Policy: c.policy, ID: c.party.id, Ended: c.ended, Announced: told.Format(time.DateOnly), Reason: "a reason",
		Recipient: consent.Recipient{Name: name, Business: businesses[name], Kind: c.party.kind, Country: country, Purposes: c.party.purposes, Items: c.party.items, From: c.from.Format(time.DateOnly)},
	})
	what := "change of " + c.party.id
	if c.ended {
		what = "end of " + c.party.id
	}
	r.say("%s from %s, %v %v: %s", what, c.from.Format(time.DateOnly), c.party.purposes, c.party.items, codeOf(err))
	if r.agreeOn(what, err, r.m.recipientRefusals(c, told)) && err == nil {
		if c.ended {
			id := c.party.id
			c.party = *r.m.lastWord(c.policy, id)
		}
		r.m.changes = append(r.m.changes, *c)
	}
}
