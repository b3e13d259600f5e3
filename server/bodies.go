package server

import (
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"consentledger/ledger/consent"
	"consentledger/server/api"
)

// Here bodies become calls: the strict reader, then types that cannot hold what
// is malformed. What the policy says of them is not asked here.

func decodeInto(s *shape, b []byte, v any) *problem {
	if f := s.decode(b, v); f != nil {
		return f.problem()
	}
	return nil
}

var (
	shapeConsent    = shapeOf[api.Consent]()
	shapeWithdrawal = shapeOf[api.Withdrawal]()
	shapeCorrection = shapeOf[api.Correction]()
	shapeOutcome    = shapeOf[api.CorrectionOutcome]()
	shapeDisclosure = shapeOf[api.Disclosure]()
	shapeQuestion   = shapeOf[api.Question]()
	shapeLookup     = shapeOf[api.Lookup]()
	shapeNewKey     = shapeOf[api.NewKey]()

	shapeActivity     = shapeOf[api.Activity]()
	shapeReactivation = shapeOf[api.Reactivation]()
	shapeSignal       = shapeOf[api.Signal]()
	shapeEventEnd     = shapeOf[api.EventEnd]()

	shapeNotice          = shapeOf[api.Notice]()
	shapeRequest         = shapeOf[api.Request]()
	shapeRequestOutcome  = shapeOf[api.RequestOutcome]()
	shapeHold            = shapeOf[api.Hold]()
	shapeBreachQuery     = shapeOf[api.BreachQuery]()
	shapeRecipientChange = shapeOf[api.RecipientChange]()

	shapeNewWitness = shapeOf[api.NewWitness]()

	shapeNewOperator = shapeOf[api.NewOperator]()
	shapeHandover    = shapeOf[api.HandoverOf]()

	shapeEnrolment    = shapeOf[api.NewEnrolment]()
	shapeConfirmation = shapeOf[api.Confirmation]()
	shapeSignIn       = shapeOf[api.SignIn]()

	shapeControlWithdrawal = shapeOf[api.ControlWithdrawal]()

	shapeConsentLine    = shapeOf[api.ConsentLine]()
	shapeWithdrawalLine = shapeOf[api.WithdrawalLine]()
	shapeCorrectionLine = shapeOf[api.CorrectionLine]()
	shapeDisclosureLine = shapeOf[api.DisclosureLine]()
	shapeActivityLine   = shapeOf[api.ActivityLine]()
	shapeSignalLine     = shapeOf[api.SignalLine]()
	shapeEventLine      = shapeOf[api.EventLine]()
)

func decodeConsent(b []byte) (*consent.Consent, *problem) {
	var in api.Consent
	if p := decodeInto(shapeConsent, b, &in); p != nil {
		return nil, p
	}
	return consentOf(&in)
}

func consentOf(in *api.Consent) (c *consent.Consent, p *problem) {
	c = &consent.Consent{
		Enrol: in.Enrol, MemberKind: in.MemberKind, Policy: in.Policy, PolicyVersion: in.PolicyVersion,
		Method: in.Method, Locale: in.Locale, MinimumAgeConfirmed: in.MinimumAgeConfirmed, Reference: in.Reference,
	}
	if c.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	c.Decisions = make([]consent.Decision, len(in.Decisions))
	for i, d := range in.Decisions {
		c.Decisions[i] = consent.Decision{Purpose: d.Purpose, Items: d.Items, Recipients: d.Recipients}
		switch d.Decision {
		case "granted":
			c.Decisions[i].Granted = true
		case "ask":
			c.Decisions[i].Ask = true
		case "refused":
		default:
			return nil, newProblem("invalid_value", "decisions["+strconv.Itoa(i)+"].decision", "Send granted or refused; or ask, where a member wants to be asked each time about cookies.")
		}
	}
	if c.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, true); p != nil {
		return nil, p
	}
	if c.ShownDigest, p = digestOf(in.ShownDigest); p != nil {
		return nil, p
	}
	if in.BirthDate != "" {
		d, err := consent.ParseDate(in.BirthDate)
		if err != nil {
			return nil, newProblem("invalid_date", "birth_date", "Send a day of the calendar as YYYY-MM-DD.")
		}
		c.BirthDate = &d
	}
	if g := in.Guardian; g != nil {
		c.Guardian = &consent.Guardian{Reference: g.Reference, Method: g.Method}
		if c.Guardian.VerifiedAt, p = timestamp("guardian.verified_at", g.VerifiedAt, true); p != nil {
			return nil, p
		}
	}
	return c, nil
}

func decodeWithdrawal(b []byte) (*consent.Withdrawal, *problem) {
	var in api.Withdrawal
	if p := decodeInto(shapeWithdrawal, b, &in); p != nil {
		return nil, p
	}
	return withdrawalOf(&in)
}

func withdrawalOf(in *api.Withdrawal) (w *consent.Withdrawal, p *problem) {
	member, p := memberID(in.MemberID)
	if p != nil {
		return nil, p
	}
	if w, p = withdrawnOf(&api.ControlWithdrawal{
		Purposes: in.Purposes, Items: in.Items, Scope: in.Scope, Method: in.Method, OccurredAt: in.OccurredAt,
	}); p != nil {
		return nil, p
	}
	w.Member = member
	return w, nil
}

// withdrawnOf says what is withdrawn, and not by whom.
func withdrawnOf(in *api.ControlWithdrawal) (w *consent.Withdrawal, p *problem) {
	w = &consent.Withdrawal{Purposes: in.Purposes, Items: in.Items, Method: in.Method}
	switch in.Scope {
	case "":
		if len(in.Purposes) == 0 {
			return nil, newProblem("missing_field", "purposes", "Name the purposes, or send the scope membership.")
		}
	case "membership":
		if len(in.Purposes) > 0 || len(in.Items) > 0 {
			return nil, newProblem("invalid_value", "scope", "The scope membership withdraws everything; send it without purposes and items.")
		}
		w.Membership = true
	default:
		return nil, newProblem("invalid_value", "scope", "The only scope is membership; leave it out to withdraw purposes.")
	}
	w.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, false)
	return w, p
}

func decodeCorrection(b []byte) (*consent.Correction, *problem) {
	var in api.Correction
	if p := decodeInto(shapeCorrection, b, &in); p != nil {
		return nil, p
	}
	return correctionOf(&in)
}

func correctionOf(in *api.Correction) (c *consent.Correction, p *problem) {
	c = &consent.Correction{Changes: make([]consent.Change, len(in.Changes))}
	if c.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	for i, ch := range in.Changes {
		c.Changes[i] = consent.Change(ch)
	}
	return c, nil
}

func decodeOutcome(b []byte, id string) (*consent.CorrectionOutcome, *problem) {
	var in api.CorrectionOutcome
	if p := decodeInto(shapeOutcome, b, &in); p != nil {
		return nil, p
	}
	o := &consent.CorrectionOutcome{Correction: id, Outcome: in.Outcome, Reason: in.Reason}
	var p *problem
	if o.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	if in.Outcome != consent.OutcomeCorrected && in.Outcome != consent.OutcomeRejected {
		return nil, newProblem("invalid_value", "outcome", "Send corrected or rejected.")
	}
	return o, nil
}

func decodeDisclosure(b []byte) (*consent.Disclosure, *problem) {
	var in api.Disclosure
	if p := decodeInto(shapeDisclosure, b, &in); p != nil {
		return nil, p
	}
	return disclosureOf(&in)
}

func disclosureOf(in *api.Disclosure) (d *consent.Disclosure, p *problem) {
	d = &consent.Disclosure{Recipient: in.Recipient, Purpose: in.Purpose, Items: in.Items, Basis: in.Basis, Form: in.Form, Reference: in.Reference}
	switch in.Form {
	case "", consent.FormIdentified, consent.FormPseudonymised:
		if d.Member, p = memberID(in.MemberID); p != nil {
			return nil, p
		}
	case consent.FormAnonymised:
		if in.MemberID != "" {
			return nil, newProblem("invalid_value", "member_id", "What is anonymised is of no member; leave member_id out.")
		}
	default:
		return nil, newProblem("invalid_value", "form", "Send identified, pseudonymised or anonymised, or leave it out.")
	}
	d.OccurredAt, p = timestamp("occurred_at", in.OccurredAt, true)
	return d, p
}

func decodeQuestion(b []byte) (*consent.Question, *problem) {
	var in api.Question
	if p := decodeInto(shapeQuestion, b, &in); p != nil {
		return nil, p
	}
	q := &consent.Question{Purpose: in.Purpose, Items: in.Items, Recipient: in.Recipient, Reference: in.Reference}
	var p *problem
	if q.Member, p = memberID(in.MemberID); p != nil {
		return nil, p
	}
	q.At, p = timestamp("at", in.At, false)
	return q, p
}

func decodeLookup(b []byte) (consent.MemberID, *problem) {
	var in api.Lookup
	if p := decodeInto(shapeLookup, b, &in); p != nil {
		return consent.MemberID{}, p
	}
	return memberID(in.MemberID)
}

func memberID(s string) (consent.MemberID, *problem) {
	if s == "" {
		return consent.MemberID{}, newProblem("missing_field", "member_id", "This field is missing or empty; it is needed here.")
	}
	id, err := consent.ParseMemberID(s)
	if err != nil {
		p := newProblem("invalid_member_id", "member_id", "Send 1 to 256 bytes of UTF-8 in normalization form C (NFC), without control or invisible characters, and without space around it.")
		switch {
		case errors.Is(err, consent.ErrMemberIDLength):
			p.also("What was sent is longer.")
		case errors.Is(err, consent.ErrMemberIDNFC):
			p.also("What was sent is in another form, such as NFD: normalise it before it is used anywhere.")
		case errors.Is(err, consent.ErrMemberIDSpace):
			p.also("What was sent begins or ends with space.")
		case errors.Is(err, consent.ErrMemberIDCharacter):
			p.also("What was sent holds such a character.")
		}
		return consent.MemberID{}, p
	}
	return id, nil
}

// timestamp reads RFC 3339, which has an offset always. The year bounds are
// those of what an entry can hold and a person can mean.
func timestamp(name, s string, needed bool) (t time.Time, p *problem) {
	if s == "" && !needed {
		return t, nil
	}
	formed := strictRFC3339(s) && t.UnmarshalText([]byte(s)) == nil
	if formed && t.Year() >= 1900 && t.Year() <= 2999 {
		return t, nil
	}
	p = newProblem("invalid_time", name, "Send an RFC 3339 time with an offset, such as 2025-01-31T09:30:00+09:00.")
	switch {
	case formed && t.UTC().Year() <= 1:
		p.also("What was sent is in the year 1, and looks like a time that was never set.")
	case formed:
		p.also("What was sent has the form, but is not of the years 1900 to 2999.")
	}
	return time.Time{}, p
}

// strictRFC3339 refuses what package time takes and RFC 3339 section 5.6 does
// not: an hour of one digit, a comma before the fraction, an offset of a day or more.
func strictRFC3339(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > 64 || s[13] != ':' || s[19] == ',' {
		return false
	}
	if s[len(s)-1] == 'Z' {
		return true
	}
	offset := s[len(s)-len("+09:00"):]
	return offset[1:3] < "24" && offset[4:] < "60"
}

// digestOf reads a SHA-256 in lower-case hex; empty is none.
func digestOf(s string) ([]byte, *problem) {
	if s == "" {
		return nil, nil
	}
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'F' {
			s = ""
			break
		}
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil, newProblem("invalid_digest", "shown_digest", "Send the SHA-256 of what was shown as 64 lower-case hex digits.")
	}
	return b, nil
}
