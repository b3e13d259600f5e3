package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"consentledger/ledger/consent"
)

// The steps of the officer, and those that time runs by.

func (r *run) activity() {
	who := r.member()
	r.call(who, "activity", &consent.Activity{Member: r.ids[who], OccurredAt: r.m.now}, r.m.forecastActivity(r.m.people[who]))
}

func (r *run) reactivate() {
	who := r.member()
	r.call(who, "reactivation", &consent.Reactivation{Member: r.ids[who], Method: "button"}, r.m.forecastReactivation(r.m.people[who]))
}

func (r *run) signal() {
	who := r.member()
	s := &consent.Signal{Member: r.ids[who], Signal: consent.SignalGPC, Value: r.chance(50), OccurredAt: r.m.now}
	if r.chance(5) {
		s.Signal = "dnt"
	}
	r.call(who, "signal", s, r.m.forecastSignal(r.m.people[who], s))
}

func (r *run) request() {
	who := r.member()
	q := &consent.Request{Member: r.ids[who], Channel: "email", ReceivedAt: r.m.now.Add(-time.Duration(r.rand.IntN(100)) * time.Hour)}
	q.Type = pick(r, consent.RequestSuspension, consent.RequestSuspension, consent.RequestAccess, consent.RequestErasure, consent.RequestCorrection, consent.RequestComplaint)
	if r.chance(10) {
		q.ReceivedAt = r.m.now.Add(pick(r, time.Minute, time.Hour))
	}
	r.call(who, "request of "+q.Type, q, r.m.forecastRequest(r.m.people[who], q))
}

// someFact picks a fact of a kind of some membership, living or ended, with whose it is.
func (r *run) someFact(kind string, living bool) (who int, l *life, f *noted) {
	type found struct {
		who int
		l   *life
		f   *noted
	}
	var all []found
	for i, p := range r.m.people {
		lives := slices.Clone(p.ended)
		if living {
			lives = nil
		}
		if p.living != nil {
			lives = append(lives, p.living)
		}
		for _, l := range lives {
			for _, f := range l.facts {
				if f.kind == kind {
					all = append(all, found{i, l, f})
				}
			}
		}
	}
	if len(all) == 0 {
		return 0, nil, nil
	}
	// The newest are asked for most.
	x := all[max(r.rand.IntN(len(all)), r.rand.IntN(len(all)))]
	return x.who, x.l, x.f
}

func (r *run) answerRequest() {
	who, _, f := r.someFact("request", true)
	if f == nil {
		return
	}
	o := &consent.RequestOutcome{Request: f.id, Outcome: pick(r, consent.RequestGranted, consent.RequestGranted, consent.RequestRefused, consent.RequestWithdrawn, consent.RequestLifted), Reason: pick(r, "a reason", "a reason", "")}
	want := r.m.forecastRequestOutcome(r.m.people[who], o)
	a, err := r.l.RequestOutcome(r.t.Context(), dpo, o)
	r.compare(who, "request "+o.Outcome, a, err, want)
}

func (r *run) correct() {
	who := r.member()
	c := &consent.Correction{Member: r.ids[who]}
	for range 1 + r.rand.IntN(2) {
		ch := consent.Change{Item: pick(r, "email", "name", "phone", "email", "name", "record", "address", "skin", "password", "religion", "shoe_size")}
		if r.chance(60) {
			v := "value"
			ch.New = &v
		}
		c.Changes = append(c.Changes, ch)
	}
	var items []string
	for _, ch := range c.Changes {
		items = append(items, ch.Item)
	}
	r.call(who, fmt.Sprint("correction of ", items), c, r.m.forecastCorrection(r.m.people[who], c))
}

func (r *run) outcome() {
	who, _, f := r.someFact("correction", true)
	if f == nil {
		return
	}
	o := &consent.CorrectionOutcome{Member: r.ids[who], Correction: f.id, Outcome: pick(r, "corrected", "corrected", "rejected")}
	if r.chance(5) {
		o.Outcome = "forgotten"
	}
	if r.chance(5) {
		o.Correction = "cor_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	}
	r.call(who, "correction "+o.Outcome, o, r.m.forecastOutcome(r.m.people[who], o))
}

func (r *run) notice() {
	who := r.member()
	n := &consent.Notice{Kind: pick(r, consent.NoticeDormancy, consent.NoticeDormancy, consent.NoticeDormancy, consent.NoticePolicyChange, consent.NoticeWithdrawalDone, consent.NoticeDestructionRequest, consent.NoticeBreach), Channel: "email", SentAt: r.m.now}
	if r.chance(40) {
		if w, l, f := r.someFact("correction_outcome", true); f != nil {
			who, n.Kind, n.Correction = w, consent.NoticeCorrection, f.id
			n.Recipient = pick(r, "host", "parcel", "brand", "label")
			if left := untold(l.facts, f.id); len(left) > 0 && r.chance(80) {
				n.Recipient = left[0]
			}
		}
	}
	if n.Kind == consent.NoticeDestructionRequest {
		n.Recipient, n.DueAt = pick(r, "host", "brand"), r.m.now.Add(time.Duration(1+r.rand.IntN(60*24))*time.Hour)
	}
	n.Member = r.ids[who]
	n.Outcome = pick(r, consent.NoticeSent, consent.NoticeSent, consent.NoticeDelivered, consent.NoticeConfirmed, consent.NoticeFailed, consent.NoticeImpossible)
	n.Reason = pick(r, "a reason", "a reason", "")
	r.call(who, fmt.Sprintf("notice of %s to %q: %s", n.Kind, n.Recipient, n.Outcome), n, r.m.forecastNotice(r.m.people[who], n))
}

// refOf finds the ledger's own name of a membership.
func (r *run) refOf(who int, l *life) Ref {
	id, _, err := r.l.keys.ByID(r.l.pathOf(r.ids[who]))
	if err != nil {
		r.t.Fatal(err)
	}
	slot := id.Slot
	for i, e := range r.m.people[who].ended {
		if e == l {
			slot = id.Kept[i]
		}
	}
	rec, err := r.l.keys.Member(slot)
	if err != nil || rec == nil {
		r.t.Fatalf("slot %d: %v", slot, err)
	}
	return r.l.refs.ref(slot, rec.Nonce)
}

func (r *run) hold() {
	who := r.member()
	p := r.m.people[who]
	lives := slices.Clone(p.ended)
	if p.living != nil {
		lives = append(lives, p.living, p.living)
	}
	if len(lives) == 0 {
		return
	}
	l := lives[r.rand.IntN(len(lives))]
	h := &consent.Hold{Ground: "case 7", Until: r.m.now.Truncate(time.Second).Add(time.Duration(1+r.rand.IntN(3000)) * 24 * time.Hour)}
	for range 1 + r.rand.IntN(2) {
		all := l.places()
		h.Classes = append(h.Classes, all[r.rand.IntN(len(all))].class)
	}
	if r.chance(10) {
		switch r.rand.IntN(4) {
		case 0:
			h.Classes = append(h.Classes, pick(r, "shop/health", "moon"))
		case 1:
			h.Ground = ""
		case 2:
			h.Until = pick(r, r.m.now.Truncate(time.Second), r.m.now.AddDate(31, 0, 0))
		case 3:
			h.Classes = nil
		}
	}
	a, err := r.l.PlaceHold(r.t.Context(), dpo, r.refOf(who, l), h)
	r.compare(who, fmt.Sprintf("hold of %v until %v", h.Classes, h.Until.In(seoul).Format(time.DateTime)), a, err, r.m.forecastHold(l, h))
}

func (r *run) release() {
	who, l, f := r.someFact("hold", false)
	if f == nil {
		return
	}
	a, err := r.l.ReleaseHold(r.t.Context(), dpo, r.refOf(who, l), f.id)
	r.say("member %d: release: %s", who, codeOf(err))
	want := r.m.forecastRelease(l, f.id)
	if !r.agreeOn("release", err, want.refusals) || err != nil {
		return
	}
	// What has run out goes at once, or who has slept for too long; what is still due then is left
	// to the sweep.
	p, had := r.m.people[who], len(l.facts)
	want.facts[0].index = a.Entries[0].Index
	if x := r.m.restate(l, want); x != nil {
		want.facts = append(want.facts, x)
	}
	p.apply(l, want)
	if !r.m.endSleep(p, l) {
		r.m.expire(l)
		p.forget()
	}
	wrote := 0
	for _, e := range a.Entries {
		if e.Class != "destructions" {
			wrote++
		}
	}
	if gone := had + wrote - len(l.facts); gone != a.DestroyedEntries {
		r.disagree("release: %d entries are destroyed, the model says %d", a.DestroyedEntries, gone)
	}
	r.adopt(who)
	r.compareKept(who)
}

func (r *run) eventEnd() {
	who := r.member()
	e := &consent.EventEnd{Type: pick(r, consent.EventDelivered, consent.EventEnded), Member: r.ids[who], Reference: pick(r, r.refs...), OccurredAt: r.m.now}
	r.call(who, e.Type+" "+e.Reference, e, r.m.forecastEventEnd(r.m.people[who], e))
}

// look reads a member's state, which is recorded.
func (r *run) look() {
	who := r.member()
	p := r.m.people[who]
	ref, state, err := r.l.Lookup(r.t.Context(), writer, r.ids[who])
	want := State("")
	switch {
	case p.living != nil && r.m.dormant(p.living, r.m.now):
		want = StateDormant
	case p.living != nil:
		want = StateActive
	case len(p.ended) > 0:
		want = StateWithdrawn
	}
	if want == "" && !errors.Is(err, ErrUnknownMember) || state != want {
		r.disagree("a lookup says %v %v, the model %q", state, err, want)
		return
	}
	if want == "" || want == StateWithdrawn {
		return
	}
	v, err := r.l.Member(r.t.Context(), dpo, ref, Look{Reason: "a question", What: "state"})
	r.say("member %d: look: %v", who, err)
	if err != nil || v.State != string(want) {
		r.disagree("a look says %q, %v; the model %q", v.State, err, want)
		return
	}
	r.m.looked(p, p.living)
	r.adopt(who)
	r.compareKept(who)
	if want == StateActive && v.Suspended != suspension(p.living.asOf(r.m.now)) {
		r.disagree("the state says suspended: %v", v.Suspended)
	}
}

// endForAll ends an order or event for everybody. The keys go beside everything else, and what comes
// next here waits for that; sometimes the ledger is closed in between.
func (r *run) endForAll() {
	i := r.rand.IntN(len(r.refs))
	e := &consent.EventEnd{Type: pick(r, consent.EventEnded, consent.EventEnded, consent.EventDelivered), Reference: r.refs[i], OccurredAt: r.m.now}
	_, err := r.l.EndEvent(r.t.Context(), dpo, e)
	r.say("%s %s for all: %s", e.Type, e.Reference, codeOf(err))
	var want []string
	if r.m.endedForAll[e.Type+e.Reference] {
		want = []string{"reference_ended"}
	}
	if !r.agreeOn("end for all", err, want) || err != nil {
		return
	}
	if r.chance(20) {
		r.reopen()
	}
	for len(r.l.endings.unfinished()) > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	r.m.endedForAll[e.Type+e.Reference] = true
	for who, p := range r.m.people {
		lives := slices.Clone(p.ended)
		if p.living != nil {
			lives = append(lives, p.living)
		}
		for _, l := range lives {
			f := r.m.endingOf(l, e)
			r.m.putOff(l, f)
			if x := r.m.restate(l, f); x != nil {
				f.facts = append(f.facts, x)
			}
			p.apply(l, f)
		}
		r.adopt(who)
		r.compareKept(who)
	}
	if r.chance(80) { // the shop goes on with references of its own
		r.refs[i] += "+"
	}
}
