package consent

import (
	"slices"
	"strings"
	"time"
)

// noticeRule says what a kind of notice is about.
type noticeRule struct {
	member, destruction need // whose it is
	recipient           need // who was told, asked or audited, if not the member
}

type need uint8

const (
	never need = iota
	maybe
	always
	either // member or destruction, one of the two
)

var noticeRules = map[string]noticeRule{
	NoticePolicyChange:       {member: maybe},
	NoticeProcessorChange:    {member: maybe, recipient: maybe},
	NoticeDormancy:           {member: always},
	NoticeWithdrawalDone:     {member: either, destruction: either},
	NoticeDestructionDone:    {member: either, destruction: either},
	NoticeBreach:             {member: maybe, destruction: maybe, recipient: maybe}, // of who left a destruction may be all that is known
	NoticeCorrection:         {member: always, recipient: always},
	NoticeDestructionRequest: {member: either, destruction: either, recipient: always},
	NoticePartnerAudit:       {recipient: always},
}

// CheckNotice holds a notice, of a member or of none, to its form (A11, C10).
func CheckNotice(n *Notice, now time.Time) error {
	rule, ok := noticeRules[n.Kind]
	if !ok {
		return invalid("invalid_notice_kind", "kind",
			"must be policy_change, processor_change, dormancy, withdrawal_done, destruction_done, breach, correction, destruction_request or partner_audit")
	}
	if err := checkNoticeSubject(n, rule); err != nil {
		return err
	}
	if err := checkChannel(n.Channel); err != nil {
		return err
	}
	switch {
	case n.SentAt.IsZero():
		return invalid("sent_at_required", "sent_at", "say when it was sent, tried or done")
	case n.SentAt.After(now.Add(maxAhead)):
		return invalid("sent_at_in_future", "sent_at", "is more than five minutes ahead; check the clock of the sender")
	}
	if err := checkNoticeDue(n); err != nil {
		return err
	}
	return checkNoticeOutcome(n)
}

func checkNoticeSubject(n *Notice, rule noticeRule) error {
	member, destruction := !n.Member.IsZero(), n.Destruction != nil
	switch {
	case rule.member == either && member == destruction, member && destruction && rule.destruction != never:
		return invalid("member_or_destruction_required", "member_id", "the notice is about one member or about one destruction; send member_id, or destruction where the member is gone")
	case rule.member == always && !member:
		return invalid("member_id_required", "member_id", "a notice of this kind is about a member; send member_id")
	case rule.member == never && member:
		return invalid("member_id_not_allowed", "member_id", "a notice of this kind is about nobody; send it without member_id")
	case rule.destruction == never && destruction:
		return invalid("destruction_not_allowed", "destruction", "a notice of this kind is not about a destruction; leave destruction out")
	case rule.recipient == always && n.Recipient == "":
		return invalid("recipient_required", "recipient", "name the recipient who was told, asked or audited")
	case rule.recipient == never && n.Recipient != "":
		return invalid("invalid_recipient", "recipient", "a notice of this kind goes to the member; leave recipient out")
	case n.Recipient != "" && !isName(n.Recipient):
		return invalid("invalid_recipient", "recipient", "a recipient is a name of 1 to 64 of a-z, 0-9, _ and -")
	case n.Kind == NoticeCorrection && n.Correction == "":
		return invalid("correction_required", "correction", "name the correction that the recipient was told of")
	case n.Kind != NoticeCorrection && n.Correction != "":
		return invalid("correction_not_allowed", "correction", "only a notice of kind correction is about one; leave correction out")
	}
	return nil
}

func checkNoticeDue(n *Notice) error {
	closed := n.Outcome == NoticeConfirmed || n.Outcome == NoticeImpossible
	switch {
	case n.Kind != NoticeDestructionRequest && !n.DueAt.IsZero():
		return invalid("invalid_due_at", "due_at", "only a destruction_request has a time by which it is to be done; leave due_at out")
	case n.Kind == NoticeDestructionRequest && n.DueAt.IsZero() && !closed:
		return invalid("due_at_required", "due_at", "say until when the copy is to be destroyed")
	case !n.DueAt.IsZero() && (n.DueAt.Before(n.SentAt) || n.DueAt.After(n.SentAt.AddDate(maxHoldYears, 0, 0))):
		return invalid("invalid_due_at", "due_at", "must be later than sent_at, by 30 years at most")
	}
	return nil
}

func checkNoticeOutcome(n *Notice) error {
	outcomes := []string{NoticeSent, NoticeDelivered, NoticeConfirmed, NoticeFailed, NoticeImpossible}
	if n.Kind == NoticePartnerAudit {
		outcomes = []string{NoticePassed, NoticeFindings, NoticeFailed, NoticeImpossible}
	}
	unhappy := n.Outcome == NoticeFailed || n.Outcome == NoticeImpossible
	switch {
	case !slices.Contains(outcomes, n.Outcome) && n.Kind == NoticePartnerAudit:
		return invalid("invalid_outcome", "outcome", "the outcome of an audit must be passed, findings, failed or impossible")
	case !slices.Contains(outcomes, n.Outcome):
		return invalid("invalid_outcome", "outcome", "the outcome of a notice must be sent, delivered, confirmed, failed or impossible")
	case unhappy && strings.TrimSpace(n.Reason) == "":
		return invalid("reason_required", "reason", "say why it failed or is impossible")
	case n.Destruction != nil && n.Reason != "" && !isName(n.Reason):
		// That record is never destroyed, so nothing of a person may stand in it.
		return invalid("invalid_reason", "reason", "where a destruction is named the reason is a name of 1 to 64 of a-z, 0-9, _ and -")
	case !isFreeText(n.Reason, maxReasonBytes):
		return invalid("invalid_reason", "reason", "must be text of at most 2048 bytes")
	}
	return nil
}

// PlanNotice records a notice about one member. The one that tells the last
// recipient of a correction destroys the correction's values (A9). id is the
// notice's, chosen by the ledger.
func (r *Register) PlanNotice(f *Fold, keys []KeyState, n *Notice, id string, now time.Time) (*Plan, error) {
	p, key, err := r.office(f, keys, now)
	if err != nil {
		return nil, err
	}
	if err := CheckNotice(n, now); err != nil {
		return nil, err
	}
	e := n.Event(id)
	e.Policy, e.PolicyVersion = p.id, p.version
	plan := &Plan{Recheck: true, Entries: []Draft{{key, e}}}
	if n.Kind == NoticeCorrection {
		c := f.correction(n.Correction)
		switch {
		case c == nil:
			return nil, refuse(NotFound, "unknown_correction", "correction", "the member has no such correction")
		case !c.done:
			return nil, refuse(Conflict, "correction_open", "correction", "the correction has no outcome yet; record that first")
		case !slices.ContainsFunc(c.tell, func(t toldState) bool { return t.recipient == n.Recipient }):
			return nil, invalid("recipient_not_to_be_told", "recipient", "the outcome of the correction does not list the recipient; name one of its notify")
		}
		values := KeyName{CorrectionClass, c.id}
		if n.Outcome != NoticeFailed && hasKey(keys, values) &&
			!slices.ContainsFunc(c.tell, func(t toldState) bool { return !t.done && t.recipient != n.Recipient }) {
			plan.Destroy = append(plan.Destroy, values)
		}
	}
	return r.settle(plan, f, keys, now), nil
}

// Event returns the notice as it is recorded, of a member or, in the ledger's
// own topic, of none. CheckNotice comes first.
func (n *Notice) Event(id string) Event {
	e := Event{
		Kind: KindNotice, Notice: id, NoticeKind: n.Kind, Destruction: n.Destruction, Recipient: n.Recipient, Correction: n.Correction,
		Channel: n.Channel, SentAtMs: n.SentAt.UnixMilli(), Outcome: n.Outcome, Reason: n.Reason,
	}
	if !n.DueAt.IsZero() {
		e.DueAtMs = n.DueAt.UnixMilli()
	}
	return e
}
