package consent

import "time"

// PlanActivity records that the member used the service, from which dormancy
// counts. One entry a day says as much as many: a second one on the same day of
// the controller writes nothing, unless the member was told in between that
// they would fall dormant.
func (r *Register) PlanActivity(f *Fold, keys []KeyState, a *Activity, now time.Time) (*Plan, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, err
	}
	if r.dormant(f, now) {
		return nil, isDormant()
	}
	if err := checkOccurred(a.OccurredAt, now); err != nil {
		return nil, err
	}
	if len(f.idle.told) == 0 && !f.idle.activity.IsZero() && r.Day(f.idle.activity) == r.Day(now) {
		return &Plan{}, nil
	}
	return r.settle(&Plan{Entries: []Draft{{key, Event{
		Kind: KindActivity, Policy: p.id, PolicyVersion: p.version, OccurredAtMs: a.OccurredAt.UnixMilli(),
	}}}}, f, keys, now), nil
}

func checkOccurred(t, now time.Time) error {
	switch {
	case t.IsZero():
		return invalid("occurred_at_required", "occurred_at", "say when it happened")
	case t.After(now.Add(maxAhead)):
		return invalid("occurred_at_in_future", "occurred_at", "is more than five minutes ahead; check the clock of the sender")
	}
	return nil
}

// PlanReactivation records that a dormant member came back, which ends the
// dormancy.
func (r *Register) PlanReactivation(f *Fold, keys []KeyState, a *Reactivation, now time.Time) (*Plan, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, err
	}
	switch {
	case !r.dormant(f, now):
		return nil, refuse(Conflict, "not_dormant", "member_id", "the member is not dormant; record what they did with POST /v1/activity")
	case a.Method == "":
		return nil, invalid("method_required", "method", "say how the member came back, such as sign_in, phone or shop")
	case !isName(a.Method):
		return nil, invalid("invalid_method", "method", "a method is a name of 1 to 64 of a-z, 0-9, _ and -")
	}
	return &Plan{Recheck: true, Entries: []Draft{{key, Event{
		Kind: KindReactivation, Policy: p.id, PolicyVersion: p.version, Method: a.Method,
	}}}}, nil
}

// PlanSignal records what a browser said by itself. It is no consent and no
// refusal of one: no decision changes (A7).
func (r *Register) PlanSignal(f *Fold, keys []KeyState, s *Signal, now time.Time) (*Plan, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, err
	}
	if r.dormant(f, now) {
		return nil, isDormant()
	}
	if s.Signal != SignalGPC {
		return nil, invalid("invalid_signal", "signal", "must be gpc, Global Privacy Control")
	}
	if err := checkOccurred(s.OccurredAt, now); err != nil {
		return nil, err
	}
	return r.settle(&Plan{Entries: []Draft{{key, Event{
		Kind: KindSignal, Policy: p.id, PolicyVersion: p.version, Signal: s.Signal, Value: s.Value, OccurredAtMs: s.OccurredAt.UnixMilli(),
	}}}}, f, keys, now), nil
}

// CheckEventEnd holds the end of an order or event, of a member or of
// everybody, to its form.
func CheckEventEnd(e *EventEnd, now time.Time) error {
	switch {
	case e.Type != EventDelivered && e.Type != EventEnded:
		return invalid("invalid_event_type", "type", "must be delivered or event_ended")
	case e.Reference == "":
		return invalid("reference_required", "reference", "name the order or event that has ended")
	case !isReference(e.Reference):
		return invalid("invalid_reference", "reference", "a reference has 1 to 256 bytes of visible text in Unicode normalization form C (NFC), without space around it")
	}
	return checkOccurred(e.OccurredAt, now)
}

// PlanEventEnd ends an order or event of one member: its keys in the classes
// that wait for it are destroyed, also of a membership that has ended. Nothing
// is recorded of it, unless a hold keeps a key: then an entry under it says
// that what it holds is of no use any more.
func (r *Register) PlanEventEnd(f *Fold, keys []KeyState, e *EventEnd, now time.Time) (*Plan, error) {
	if f == nil {
		f = NewFold()
	}
	if len(keys) == 0 {
		return nil, refuse(NotFound, "unknown_member", "member_id", "there is no such member")
	}
	if err := CheckEventEnd(e, now); err != nil {
		return nil, err
	}
	until := UntilDelivery
	if e.Type == EventEnded {
		until = UntilEventEnd
	}
	plan := &Plan{}
	for i := range keys {
		k := &keys[i]
		if k.Reference != e.Reference || r.rules[k.Class].Until != until || !k.Due.IsZero() && !k.Due.After(now) {
			continue // of something else, or ended before and only held
		}
		plan.Destroy = append(plan.Destroy, k.KeyName)
		if k.HeldUntil.After(now) {
			plan.Entries = append(plan.Entries, Draft{k.KeyName, Event{
				Kind: KindEventEnd, Policy: k.Class.Policy(), OccurredAtMs: e.OccurredAt.UnixMilli(), Reference: e.Reference,
			}})
		}
	}
	if len(plan.Destroy) == 0 {
		return nil, refuse(Conflict, "reference_unknown", "reference", "nothing of the member that ends this way is open under that reference")
	}
	return r.settle(plan, f, keys, now), nil
}
