package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"consentledger/ledger/consent"
)

// kinds are the kinds of steps, and how often each is drawn.
var kinds = []struct {
	name  string
	often int
	do    func(*run)
}{
	{"time passes", 12, (*run).passTime},
	{"consent", 30, (*run).consent},
	{"questions", 16, (*run).questions},
	{"withdrawal", 10, (*run).withdrawal},
	{"disclosure", 14, (*run).disclose},
	{"activity", 3, (*run).activity},
	{"reactivation", 3, (*run).reactivate},
	{"signal", 2, (*run).signal},
	{"request", 4, (*run).request},
	{"answer to a request", 4, (*run).answerRequest},
	{"correction", 5, (*run).correct},
	{"outcome of a correction", 5, (*run).outcome},
	{"notice", 8, (*run).notice},
	{"hold", 4, (*run).hold},
	{"release", 3, (*run).release},
	{"end of an event", 5, (*run).eventEnd},
	{"look", 4, (*run).look},
	{"look at what is kept", 3, (*run).lookApart},
	{"due", 3, (*run).dueList},
	{"end for all", 2, (*run).endForAll},
	{"leave", 2, (*run).leaveMembership},
	{"sweep", 4, (*run).sweep},
	{"recipient", 3, (*run).recipient},
	{"policy", 2, (*run).newVersion},
	{"reopen", 1, (*run).reopen},
}

func pick[T any](r *run, list ...T) T { return list[r.rand.IntN(len(list))] }

func (r *run) chance(percent int) bool { return r.rand.IntN(100) < percent }

// someOf picks a part of a list, in its order.
func someOf(r *run, list []string) (out []string) {
	for _, s := range list {
		if r.chance(50) {
			out = append(out, s)
		}
	}
	return out
}

func (r *run) member() int { return r.rand.IntN(members) }

func (r *run) passTime() {
	day := 24 * time.Hour
	n := time.Duration(1 + r.rand.IntN(5))
	d := n * pick(r, time.Second, time.Minute, time.Hour, time.Hour, day, day, 7*day, 30*day, 90*day, 365*day)
	if r.chance(20) { // to the edge of a day, on either side
		d = dayStart(r.m.now.Add(d)).Add(time.Duration(r.rand.IntN(3)-1) * time.Millisecond).Sub(r.m.now)
	}
	if d > 0 {
		r.tick(d)
		r.say("%v later", d)
	}
}

func (r *run) reopen() {
	r.l = r.w.reopen(r.t, r.l)
	r.say("reopened")
}

func (r *run) newVersion() {
	all := editions()
	e := all[r.rand.IntN(len(all))]
	notice := 0
	if v := r.m.inForce(e.policy, r.m.now); v != nil {
		notice = v.notice
	}
	at := dayStart(r.m.now).AddDate(0, 0, notice+pick(r, -1, 0, 0, 1, 3, 20))
	told := dayStart(r.m.now).AddDate(0, 0, pick(r, -3, 0, 0, 0, 1))
	r.post(e, at.Format(time.DateOnly), told.Format(time.DateOnly))
}

var purposeNames = []string{"membership", "profile", "news", "offers", "health", "partner", "order", "delivery", "raffle", "trial", "survey", "poll", "cookies", "fans", "games", "gambling", "shop/news", "club/news"}

var itemNames = []string{"email", "name", "phone", "address", "record", "skin", "allergy", "cookie_id", "visits", "religion"}

// consent makes a consent that mostly fits the policy, and now and then does not.
func (r *run) consent() {
	who := r.member()
	p := r.m.people[who]
	policy := pick(r, "shop", "shop", "shop", "club")
	v := r.m.inForce(policy, r.m.now)
	c := &consent.Consent{
		Member: r.ids[who], Enrol: p.living == nil && !r.chance(10) || r.chance(5), Policy: policy, PolicyVersion: v.id,
		Method: pick(r, "button", "checkbox", "paper"), Locale: "en", OccurredAt: r.m.now, MinimumAgeConfirmed: true,
	}
	kind := kindUnder(p.living.list(), policy)
	if kind == "" || r.chance(15) {
		kind = pick(r, v.kinds...)
	}
	c.MemberKind = kind
	for range 1 + r.rand.IntN(4) {
		t := v.purposes[r.rand.IntN(len(v.purposes))]
		if !t.forKind(kind) && !r.chance(3) {
			continue
		}
		if byReference(v.classFor(&t, kind)) {
			c.Reference = pick(r, r.refs...)
		}
		d := consent.Decision{Purpose: t.name, Granted: t.basis != "consent" || r.chance(75)}
		if t.kind == "cookies" && r.chance(25) {
			d.Ask, d.Granted = true, false
		}
		if d.Granted && (len(t.must) == 0 || r.chance(60)) {
			d.Items = append(append(d.Items, t.must...), someOf(r, t.may)...)
		}
		if t.kind == "provision" && d.Granted && r.chance(40) {
			d.Recipients = someOf(r, []string{"brand", "label"})
		}
		c.Decisions = append(c.Decisions, d)
	}
	if r.chance(12) {
		r.spoilConsent(c)
	}
	r.call(who, describeConsent(c), c, r.m.forecastConsent(p, c))
}

func describeConsent(c *consent.Consent) string {
	var s []string
	for _, d := range c.Decisions {
		word := "no"
		if d.Granted {
			word = "yes"
		}
		if d.Ask {
			word = "ask"
		}
		x := d.Purpose + " " + word
		if d.Items != nil {
			x += fmt.Sprint(d.Items)
		}
		if d.Recipients != nil {
			x += fmt.Sprint(" to ", d.Recipients)
		}
		s = append(s, x)
	}
	if !c.MinimumAgeConfirmed {
		s = append(s, "age not confirmed")
	}
	if c.BirthDate != nil {
		s = append(s, fmt.Sprintf("born %d-%02d-%02d", c.BirthDate.Year, c.BirthDate.Month, c.BirthDate.Day))
	}
	if c.Guardian != nil {
		s = append(s, "with a guardian")
	}
	return fmt.Sprintf("consent to %s %s as %s (%s) enrol=%v", c.Policy, c.PolicyVersion, c.MemberKind, c.Reference, c.Enrol) + ": " + strings.Join(s, ", ")
}

// spoilConsent makes one mistake, or what may be one.
func (r *run) spoilConsent(c *consent.Consent) {
	one := func(f func(*consent.Decision)) {
		if len(c.Decisions) > 0 {
			f(&c.Decisions[r.rand.IntN(len(c.Decisions))])
		}
	}
	switch r.rand.IntN(21) {
	case 20:
		one(func(d *consent.Decision) { d.Ask, d.Granted = true, false })
	case 0:
		c.Policy = "bank"
	case 1:
		c.PolicyVersion = "2024-01-01"
	case 2:
		all := r.m.versions[c.Policy]
		c.PolicyVersion = all[r.rand.IntN(len(all))].id
	case 3:
		c.MemberKind = "giant"
	case 4:
		c.MemberKind = ""
	case 5:
		c.Decisions = nil
	case 6:
		one(func(d *consent.Decision) { d.Purpose = pick(r, purposeNames...) })
	case 7:
		if len(c.Decisions) > 0 {
			c.Decisions = append(c.Decisions, c.Decisions[0])
		}
	case 8:
		one(func(d *consent.Decision) { d.Granted = !d.Granted })
	case 9, 10:
		one(func(d *consent.Decision) { d.Items = append(d.Items, pick(r, itemNames...)) })
	case 11:
		one(func(d *consent.Decision) {
			if len(d.Items) > 0 {
				d.Items = d.Items[1:]
			}
		})
	case 12:
		one(func(d *consent.Decision) {
			d.Recipients = append(d.Recipients, pick(r, "brand", "label", "parcel", "nobody"))
		})
	case 13:
		c.Reference = ""
	case 14:
		c.Method = pick(r, "", "implied")
	case 15:
		c.OccurredAt = pick(r, time.Time{}, r.m.now.Add(6*time.Minute), r.m.now.Add(5*time.Minute), r.m.now.Add(-10*time.Hour))
	case 16:
		c.Locale = pick(r, "", "fr")
	case 17:
		c.MinimumAgeConfirmed = false
	case 18, 19:
		c.MinimumAgeConfirmed = false
		c.BirthDate = &consent.Date{Year: r.m.now.Year() - pick(r, 10, 14, 14, 40), Month: pick(r, r.m.now.Month(), 2, 12), Day: pick(r, r.m.now.Day(), 29, 1)}
		if c.BirthDate.Month == 2 && c.BirthDate.Day == 29 && c.BirthDate.Year%4 != 0 {
			c.BirthDate.Day = 28
		}
		if r.chance(60) {
			c.Guardian = &consent.Guardian{Reference: "file 7", Method: "phone", VerifiedAt: r.m.now}
		}
	}
}

// questions asks what may be done with a member's items now, or could be then.
func (r *run) questions() {
	who := r.member()
	for range 4 {
		r.ask(who)
	}
}

func (r *run) ask(who int) {
	q := &consent.Question{Member: r.ids[who], Purpose: pick(r, purposeNames...)}
	if r.chance(50) {
		q.Items = pick(r, []string{"email"}, []string{"name"}, []string{"email", "name"}, []string{"phone"}, []string{"skin"}, []string{"cookie_id"}, []string{"name", "record"}, []string{"name", "address"})
	}
	if r.chance(40) {
		q.Recipient = pick(r, "host", "parcel", "courier", "brand", "label", "mover", "nobody")
	}
	// Mostly about what was said, or the rare words would hardly ever be asked about.
	if said := r.m.people[who].living.list(); r.chance(60) && len(said) > 0 {
		if f := said[r.rand.IntN(len(said))]; len(f.says) > 0 {
			say := f.says[r.rand.IntN(len(f.says))]
			q.Purpose, q.Items, q.Recipient = say.purpose, nil, ""
			for _, to := range r.m.partiesOf(r.m.inForce(say.policy, r.m.now), r.m.now) {
				if slices.Contains(to.purposes, say.purpose) && r.chance(40) {
					q.Recipient = to.id
				}
			}
		}
	}
	at := r.m.now
	if r.chance(30) {
		q.At = r.m.now.Add(-time.Duration(r.rand.Int64N(int64(200 * 24 * time.Hour))))
		if r.chance(30) {
			q.At = r.m.now.Add(-time.Duration(r.rand.Int64N(int64(time.Hour))))
		}
		at = q.At
	}
	if r.chance(20) {
		q.Reference = pick(r, r.refs...)
	}
	got, err := r.l.Decide(r.t.Context(), writer, q)
	if err != nil {
		r.t.Fatal(err)
	}
	r.judge.answered(r, who, q, got)
	want := r.m.decide(r.m.people[who], q, at)
	index := ""
	if got.Allowed {
		if got.Index == nil {
			r.disagree("a yes without an index")
			return
		}
		index = fmt.Sprint(" by entry ", *got.Index)
	}
	if want.loose && !got.Allowed {
		want.reason = got.Reason
	}
	if got.Allowed != want.allowed || got.Reason != want.reason || got.Allowed && !slices.Contains(want.carried, *got.Index) {
		r.say("member %d: may %s (%s) use %v for %q, as of %v? %v %s%s", who, q.Purpose, q.Reference, q.Items, q.Recipient, at.In(seoul).Format(time.DateTime), got.Allowed, got.Reason, index)
		r.disagree("the ledger says %v %s%s, the model %v %s by one of %v", got.Allowed, got.Reason, index, want.allowed, want.reason, want.carried)
	}
}

// disclose gives items to somebody: mostly to whom the policy names for the purpose.
func (r *run) disclose() {
	who := r.member()
	p := r.m.people[who]
	policy := pick(r, "shop", "shop", "shop", "club")
	v := r.m.inForce(policy, r.m.now)
	d := &consent.Disclosure{Member: r.ids[who], OccurredAt: r.m.now, Form: pick(r, "", "", consent.FormPseudonymised)}
	parties := r.m.partiesOf(v, r.m.now)
	if len(parties) == 0 {
		return
	}
	to := parties[r.rand.IntN(len(parties))]
	d.Recipient, d.Purpose = to.id, pick(r, to.purposes...)
	if t := v.purpose(d.Purpose); t != nil {
		for _, i := range someOf(r, append(slices.Clone(t.must), t.may...)) {
			if slices.Contains(to.items, i) || r.chance(10) {
				d.Items = append(d.Items, i)
			}
		}
	}
	if len(d.Items) == 0 {
		d.Items = []string{pick(r, to.items...)}
	}
	if d.Purpose == "delivery" || d.Purpose == "raffle" || r.chance(5) {
		d.Reference = pick(r, r.refs...)
	}
	if r.chance(20) {
		d.Basis = pick(r, "court", "safety", "settle", "statistics", "whim")
	}
	if d.Basis != "" && r.chance(60) {
		d.Recipient = "district-court"
	}
	if r.chance(15) {
		switch r.rand.IntN(6) {
		case 0:
			d.Purpose = pick(r, purposeNames...)
		case 1:
			d.Recipient = pick(r, "host", "parcel", "courier", "brand", "label", "mover", "nobody")
		case 2:
			d.Items = append(d.Items, pick(r, itemNames...))
		case 3:
			d.Reference = ""
		case 4:
			d.OccurredAt = pick(r, time.Time{}, r.m.now.Add(time.Hour))
		case 5:
			d.Items = nil
		}
	}
	what := fmt.Sprintf("disclose %v to %s for %s (%s) by %q", d.Items, d.Recipient, d.Purpose, d.Reference, d.Basis)
	r.call(who, what, d, r.m.forecastDisclosure(p, d))
}

func (r *run) withdrawal() {
	who := r.member()
	w := &consent.Withdrawal{Member: r.ids[who], OccurredAt: pick(r, time.Time{}, r.m.now)}
	for range 1 + r.rand.IntN(2) {
		w.Purposes = append(w.Purposes, pick(r, purposeNames...))
	}
	if r.chance(30) {
		w.Items = pick(r, []string{"name"}, []string{"phone"}, []string{"address"}, []string{"email"}, []string{"allergy"})
	}
	if r.chance(5) {
		switch r.rand.IntN(3) {
		case 0:
			w.Purposes = nil
		case 1:
			w.Membership = true
		case 2:
			w.OccurredAt = r.m.now.Add(time.Hour)
		}
	}
	what := fmt.Sprintf("withdraw %v %v", w.Purposes, w.Items)
	r.call(who, what, w, r.m.forecastWithdrawal(r.m.people[who], w))
}

func (r *run) leaveMembership() {
	who := r.member()
	w := &consent.Withdrawal{Member: r.ids[who], Membership: true}
	r.call(who, "leave", w, r.m.forecastWithdrawal(r.m.people[who], w))
}

func (r *run) sweep() {
	if _, err := r.l.Sweep(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.say("sweep")
	r.m.sweep()
	for who := range members {
		r.adopt(who)
		r.compareKept(who)
	}
}
