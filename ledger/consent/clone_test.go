package consent

import (
	"reflect"
	"testing"
	"time"
)

// eventsOfEveryKind is a life of a member in which every kind of event changes
// something that an earlier one made.
func eventsOfEveryKind() []MemberEntry {
	membership, order := KeyName{Class: "haim/membership"}, KeyName{Class: "haim/shipping", Reference: "order-7"}
	noon := time.UnixMilli(1_773_111_600_000)
	var all []MemberEntry
	add := func(key KeyName, e Event) {
		e.Policy, e.PolicyVersion = "haim", "2025-01-01"
		i := len(all)
		all = append(all, MemberEntry{Index: uint64(i), RecordedAt: noon.Add(time.Duration(i) * time.Hour), Key: key, Event: e})
	}
	yes := func(purpose string, items ...string) []Decision {
		return []Decision{{Purpose: purpose, Granted: true, Items: items}}
	}
	for _, kind := range []string{"member", "purchasing_member", "member"} {
		add(membership, Event{Kind: KindConsent, MemberKind: kind, Age: AgeConfirmed, Decisions: yes("membership", "name", "email")})
		add(order, Event{Kind: KindConsent, MemberKind: kind, Decisions: yes("delivery", "name")})
		add(order, Event{Kind: KindDisclosure, Purposes: []string{"delivery"}, Items: []string{"name", "email"}, Recipient: "parcel-co"})
		add(membership, Event{Kind: KindCorrection, Correction: "cor_" + kind, Items: []string{"name", "email"}})
		add(membership, Event{Kind: KindCorrectionOutcome, Correction: "cor_" + kind, Outcome: OutcomeCorrected, Recipients: []string{"parcel-co"}})
		add(membership, Event{Kind: KindNotice, NoticeKind: NoticeCorrection, Correction: "cor_" + kind, Recipient: "parcel-co", Outcome: NoticeSent})
		add(membership, Event{Kind: KindNotice, NoticeKind: NoticeDestructionRequest, Recipient: "parcel-co", Outcome: NoticeSent, DueAtMs: 7})
		add(membership, Event{Kind: KindNotice, NoticeKind: NoticeDormancy, Outcome: NoticeSent})
		add(membership, Event{Kind: KindNotice, NoticeKind: NoticeDormancy, Outcome: NoticeImpossible})
		add(membership, Event{Kind: KindRequest, Request: "rqt_" + kind, RequestType: RequestSuspension})
		add(membership, Event{Kind: KindRequestOutcome, Request: "rqt_" + kind, Outcome: RequestGranted})
		add(order, Event{Kind: KindHold, Hold: "hld_" + kind, Classes: []string{"haim/shipping"}, DueAtMs: 1 << 50})
		add(order, Event{Kind: KindHoldRelease, Hold: "hld_" + kind})
		add(membership, Event{Kind: KindSignal, Signal: SignalGPC, Value: kind == "member"})
		add(membership, Event{Kind: KindActivity})
		add(membership, Event{Kind: KindWithdrawal, Purposes: []string{"membership"}, Items: []string{"name"}})
		add(membership, Event{Kind: KindWithdrawal, Purposes: []string{"membership"}})
		add(membership, Event{Kind: KindNotice, NoticeKind: NoticeDormancy, Outcome: NoticeDelivered})
		add(membership, Event{Kind: KindReactivation, Method: "sign_in"})
		add(order, Event{Kind: KindEventEnd, Reference: "order-7"})
	}
	return all
}

func TestApplyToAClonedFoldLeavesTheOriginalAlone(t *testing.T) {
	all := eventsOfEveryKind()
	apply := func(f *Fold, list []MemberEntry) *Fold {
		for _, m := range list {
			f.Apply(m.Index, m.RecordedAt, m.Key, m.Event)
		}
		return f
	}
	kinds := map[EventKind]bool{}
	for n := range all {
		kinds[all[n].Event.Kind] = true
		original := apply(NewFold(), all[:n])
		clone := original.Clone()
		if !reflect.DeepEqual(clone, original) {
			t.Fatalf("after %d entries a clone is another state", n)
		}
		apply(clone, all[n:])
		if !reflect.DeepEqual(original, apply(NewFold(), all[:n])) {
			t.Fatalf("entries from the %dth on changed the original", n)
		}
		if !reflect.DeepEqual(clone, apply(NewFold(), all)) {
			t.Fatalf("a clone made after %d entries became another state than a fold of all", n)
		}
	}
	for k := KindConsent; k <= KindEventEnd; k++ {
		if !kinds[k] && k != KindCorrectionValues && k != KindAccess { // which change nothing
			t.Errorf("no %s was applied", k)
		}
	}
	// Control: a shallow copy does not do.
	original := apply(NewFold(), all[:20])
	shallow := *original
	apply(&shallow, all[20:])
	if reflect.DeepEqual(original, apply(NewFold(), all[:20])) {
		t.Error("a shallow copy passes, so the test proves nothing")
	}
}
