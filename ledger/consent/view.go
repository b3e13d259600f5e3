package consent

import (
	"encoding/hex"
	"time"
)

// States of a member.
const (
	StateActive    = "active"
	StateDormant   = "dormant"
	StateWithdrawn = "withdrawn"
)

// A MemberView is what GET /v1/members/{ref} shows.
type MemberView struct {
	State          string            `json:"state"`
	MemberKind     string            `json:"member_kind,omitempty"`  // under the policy decided on last
	MemberKinds    map[string]string `json:"member_kinds,omitempty"` // by policy
	Purposes       []PurposeView     `json:"purposes"`
	SuspendedItems []SuspendedView   `json:"suspended_items"`
	Suspended      bool              `json:"processing_suspended"` // the member asked for it
	Corrections    []CorrectionView  `json:"corrections"`          // that are not finished
	Requests       []RequestView     `json:"requests"`
	Signals        []SignalView      `json:"signals"` // the newest of each
	Disclosures    []DisclosureView  `json:"disclosures"`
	Holds          []HoldView        `json:"holds,omitempty"` // for the officer alone
}

// A CorrectionView is a correction that has no outcome yet, or of which a
// recipient is still to be told.
type CorrectionView struct {
	Correction string    `json:"correction"`
	Items      []string  `json:"items"`
	RecordedAt time.Time `json:"recorded_at"`
	Due        time.Time `json:"due"`
	Decided    bool      `json:"decided"`
	ToBeTold   []string  `json:"to_be_told,omitempty"` // recipients
	Index      uint64    `json:"index"`
}

// A RequestView is a request of the member and its outcome.
type RequestView struct {
	Request    string     `json:"request"`
	Type       string     `json:"type"`
	Channel    string     `json:"channel"`
	ReceivedAt time.Time  `json:"received_at"`
	RecordedAt time.Time  `json:"recorded_at"`
	Due        time.Time  `json:"due"`
	Outcome    string     `json:"outcome,omitempty"` // absent: open
	DecidedAt  *time.Time `json:"decided_at,omitempty"`
	Index      uint64     `json:"index"`
}

// A SignalView is what a browser said last by itself.
type SignalView struct {
	Signal     string    `json:"signal"`
	Value      bool      `json:"value"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// A PurposeView is a member's newest decision on a purpose.
type PurposeView struct {
	Policy        string    `json:"policy"`
	Purpose       string    `json:"purpose"`
	Decision      string    `json:"decision"` // granted, refused, ask, withdrawn
	Items         []string  `json:"items,omitempty"`
	Recipients    []string  `json:"recipients,omitempty"`
	PolicyVersion string    `json:"policy_version"`
	RecordedAt    time.Time `json:"recorded_at"`
	Index         uint64    `json:"index"`
	Allowed       bool      `json:"allowed"` // what a decision on it says now
	Reason        string    `json:"reason"`  // and why
}

// A SuspendedView is an item under correction.
type SuspendedView struct {
	Item       string    `json:"item"`
	Correction string    `json:"correction"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// A DisclosureView is a disclosure that was made.
type DisclosureView struct {
	Recipient  string    `json:"recipient"`
	Policy     string    `json:"policy"`
	Purpose    string    `json:"purpose"`
	Items      []string  `json:"items"`
	RecordedAt time.Time `json:"recorded_at"`
	Index      uint64    `json:"index"`
}

// View returns the member's state. Of a member who has left or is dormant it
// shows that, and no more. Holds are the officer's alone: see Holds. Lists are
// empty rather than nil.
func (f *Fold) View(r *Register, now time.Time) MemberView {
	v := MemberView{
		State: StateActive, Purposes: []PurposeView{}, SuspendedItems: []SuspendedView{}, Corrections: []CorrectionView{},
		Requests: []RequestView{}, Signals: []SignalView{}, Disclosures: []DisclosureView{},
	}
	switch {
	case f.withdrawn:
		v.State = StateWithdrawn
		return v
	case r.dormant(f, now):
		v.State = StateDormant
		return v
	}
	var newest uint64
	for i := range f.kinds {
		if v.MemberKinds == nil {
			v.MemberKinds = map[string]string{}
		}
		v.MemberKinds[f.kinds[i].policy] = f.kinds[i].kind
		v.MemberKind = f.kinds[i].kind
	}
	for i := range f.purposes {
		s := &f.purposes[i]
		if k := f.kind(s.policy); s.index >= newest && k != "" {
			newest, v.MemberKind = s.index, k
		}
		a := r.Decide(f, &Question{Purpose: s.policy + "/" + s.purpose}, now)
		v.Purposes = append(v.Purposes, PurposeView{
			Policy: s.policy, Purpose: s.purpose, Decision: s.decision.String(), Items: s.items, Recipients: s.recipients,
			PolicyVersion: s.version, RecordedAt: s.at, Index: s.index, Allowed: a.Allowed, Reason: a.Reason,
		})
	}
	for _, s := range f.suspended {
		v.SuspendedItems = append(v.SuspendedItems, SuspendedView{s.item, s.correction, s.at, s.index})
	}
	v.Suspended = f.processingSuspended() != nil
	f.viewOffice(r, &v)
	for i := range f.disclosures {
		d := &f.disclosures[i]
		v.Disclosures = append(v.Disclosures, DisclosureView{d.recipient, d.policy, d.purpose, d.items, d.at, d.index})
	}
	return v
}

// viewOffice shows what the member asked for and what comes of it.
func (f *Fold) viewOffice(r *Register, v *MemberView) {
	for i := range f.corrections {
		c := &f.corrections[i]
		if c.done && !c.untold() {
			continue
		}
		row := CorrectionView{Correction: c.id, Items: c.items, RecordedAt: c.at, Due: r.answerBy(c, c.at).UTC(), Decided: c.done, Index: c.index}
		if c.done {
			row.Due = r.answerBy(c, c.decided).UTC()
		}
		for _, t := range c.tell {
			if !t.done {
				row.ToBeTold = append(row.ToBeTold, t.recipient)
			}
		}
		v.Corrections = append(v.Corrections, row)
	}
	for i := range f.requests {
		q := &f.requests[i]
		row := RequestView{
			Request: q.id, Type: q.kind, Channel: q.channel, ReceivedAt: q.received.UTC(), RecordedAt: q.at, Due: q.due.UTC(),
			Outcome: q.outcome, Index: q.index,
		}
		if q.outcome != "" {
			row.DecidedAt = &q.decided
		}
		v.Requests = append(v.Requests, row)
	}
	for _, s := range f.signals {
		v.Signals = append(v.Signals, SignalView{s.name, s.value, s.at, s.index})
	}
}

// An EventView is what a row of /history shows of an entry's body.
type EventView struct {
	Kind          string         `json:"kind"`
	Policy        string         `json:"policy,omitempty"`
	PolicyVersion string         `json:"policy_version,omitempty"`
	MemberKind    string         `json:"member_kind,omitempty"`
	OccurredAt    *time.Time     `json:"occurred_at,omitempty"`
	Evidence      bool           `json:"evidence,omitempty"` // a copy kept as proof
	Decisions     []DecisionView `json:"decisions,omitempty"`
	Method        string         `json:"method,omitempty"`
	Locale        string         `json:"locale,omitempty"`
	ShownDigest   string         `json:"shown_digest,omitempty"`
	Age           string         `json:"age,omitempty"`
	Guardian      *GuardianView  `json:"guardian,omitempty"`
	Reference     string         `json:"reference,omitempty"`
	Scope         string         `json:"scope,omitempty"`
	Purposes      []string       `json:"purposes,omitempty"`
	Purpose       string         `json:"purpose,omitempty"`
	Items         []string       `json:"items,omitempty"`
	Correction    string         `json:"correction,omitempty"`
	Changes       []ChangeView   `json:"changes,omitempty"`
	Outcome       string         `json:"outcome,omitempty"`
	Reason        string         `json:"reason,omitempty"`
	Recipient     string         `json:"recipient,omitempty"`
	Business      string         `json:"business,omitempty"`
	Basis         string         `json:"basis,omitempty"`
	RestsOn       *uint64        `json:"rests_on,omitempty"`
	Form          string         `json:"form,omitempty"`
	Who           string         `json:"who,omitempty"`
	From          string         `json:"from,omitempty"`
	What          string         `json:"what,omitempty"`
	Recipients    []string       `json:"recipients,omitempty"` // of a correction's outcome: to be told
	Notice        string         `json:"notice,omitempty"`
	NoticeKind    string         `json:"notice_kind,omitempty"`
	Channel       string         `json:"channel,omitempty"`
	SentAt        *time.Time     `json:"sent_at,omitempty"`
	Destruction   *uint64        `json:"destruction,omitempty"`
	Request       string         `json:"request,omitempty"`
	RequestType   string         `json:"request_type,omitempty"`
	ReceivedAt    *time.Time     `json:"received_at,omitempty"`
	DueAt         *time.Time     `json:"due_at,omitempty"` // of a request and a destruction request
	Hold          string         `json:"hold,omitempty"`
	Classes       []string       `json:"classes,omitempty"`
	Until         *time.Time     `json:"until,omitempty"` // of a hold
	Ground        string         `json:"ground,omitempty"`
	Signal        string         `json:"signal,omitempty"`
	Value         *bool          `json:"value,omitempty"`
	ActiveAt      *time.Time     `json:"active_at,omitempty"` // of an activity whose own entry was destroyed
	WhileDormant  bool           `json:"while_dormant,omitempty"`
}

// A DecisionView is a Decision as it is shown.
type DecisionView struct {
	Purpose    string   `json:"purpose"`
	Decision   string   `json:"decision"`
	Items      []string `json:"items,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
}

// A GuardianView is a GuardianProof as it is shown.
type GuardianView struct {
	Reference  string    `json:"reference"`
	Method     string    `json:"method"`
	VerifiedAt time.Time `json:"verified_at"`
}

// A ChangeView is a ChangeValue as it is shown to those who may see values.
type ChangeView struct {
	Item string  `json:"item"`
	Old  *string `json:"old,omitempty"`
	New  *string `json:"new,omitempty"`
}

// View returns the event as a row of /history shows it: an EventView, ready
// for JSON. The ground of a hold is left out, because telling may defeat it.
func (e Event) View() any {
	v := e.OfficeView()
	v.Ground = ""
	return v
}

// OfficeView returns the event as the officer may see it, with a hold's ground.
func (e Event) OfficeView() EventView {
	v := EventView{
		Kind: e.Kind.String(), Policy: e.Policy, PolicyVersion: e.PolicyVersion, MemberKind: e.MemberKind, Evidence: e.Copy,
		Method: e.Method, Locale: e.Locale, ShownDigest: hex.EncodeToString(e.ShownDigest), Age: e.Age.String(), Reference: e.Reference,
		Purposes: e.Purposes, Items: e.Items, Correction: e.Correction, Outcome: e.Outcome, Reason: e.Reason,
		Recipient: e.Recipient, Business: e.Business, Basis: e.Basis, RestsOn: e.RestsOn, Form: e.Form, Who: e.Who, From: e.From, What: e.What,
		Recipients: e.Recipients, Notice: e.Notice, NoticeKind: e.NoticeKind, Channel: e.Channel, SentAt: millis(e.SentAtMs), Destruction: e.Destruction,
		Request: e.Request, RequestType: e.RequestType, ReceivedAt: millis(e.ReceivedAtMs), DueAt: millis(e.DueAtMs), Hold: e.Hold,
		Signal: e.Signal, OccurredAt: millis(e.OccurredAtMs), ActiveAt: millis(e.ActiveAtMs), WhileDormant: e.Dormant,
	}
	switch e.Kind {
	case KindHold:
		v.Until, v.DueAt = v.DueAt, nil
		v.Ground, v.Reason = e.Reason, ""
		for _, c := range e.Classes {
			v.Classes = append(v.Classes, ClassID(c).Name())
		}
	case KindSignal:
		v.Value = &e.Value
	}
	if e.Membership {
		v.Scope = "membership"
	}
	if e.Kind == KindDisclosure {
		v.Purposes = nil
		if len(e.Purposes) > 0 {
			v.Purpose = e.Purposes[0]
		}
		if v.Form == "" {
			v.Form = FormIdentified
		}
	}
	if g := e.Guardian; g != nil {
		v.Guardian = &GuardianView{g.Reference, g.Method, time.UnixMilli(g.VerifiedAtMs).UTC()}
	}
	for _, d := range e.Decisions {
		v.Decisions = append(v.Decisions, DecisionView{d.Purpose, d.state().String(), d.Items, d.Recipients})
	}
	for _, c := range e.Changes {
		v.Changes = append(v.Changes, ChangeView(c))
	}
	return v
}
