package consent

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// The operators are the named people who work with the ledger (DK5, DK9, HA9.2; D6): who they are,
// in which role, and which of them is responsible for customer information.
//
// The register holds what stays for good: ids, roles, when duties passed on. A name is sealed with
// its operator, under a key that is destroyed when nothing names the operator any more. What they
// sign in with lies under a key of its own, which dies as soon as it is replaced.
const (
	// OperatorClass holds an operator's name.
	OperatorClass ClassID = "*/operator"
	// SignInClass holds what an operator signs in with; its references number the enrolments.
	SignInClass ClassID = "*/sign-in"
	// OperatorKind is the member kind of operators, which no policy can name.
	OperatorKind = "*/operator"
)

var (
	operatorRule = Rule{Until: UntilWithdrawal}
	signInRule   = Rule{Until: untilReplaced}
)

// maxOperatorNameBytes is the longest name of an operator.
const maxOperatorNameBytes = 200

// The roles of operators: those of API keys, but for that of machines which write.
var operatorRoles = []string{"dpo", "reader", "admin", "auditor"}

// A NewOperator is a person to be added to the register.
type NewOperator struct {
	Name        string
	Role        string
	Responsible bool // for customer information; at most one is
}

// An Operator is a row of the register, without the name.
type Operator struct {
	ID          string // opr_…
	Role        string
	Responsible bool
	AddedAt     time.Time
	EndedAt     time.Time // zero: works here
}

// A Handover says that the responsibility for customer information passed on.
type Handover struct {
	From, To   string
	At         time.Time // by the caller's clock
	RecordedAt time.Time
}

// Operators is the register. It never changes: what adds to it returns another one.
type Operators struct {
	rows      []Operator
	handovers []Handover
}

// Rows returns the operators, those who have ended too, in the order in which they were added.
func (o *Operators) Rows() []Operator { return slices.Clone(o.rows) }

// Handovers returns what passed on, the oldest first.
func (o *Operators) Handovers() []Handover { return slices.Clone(o.handovers) }

// Find returns an operator.
func (o *Operators) Find(id string) (Operator, bool) {
	i := o.place(id)
	if i < 0 {
		return Operator{}, false
	}
	return o.rows[i], true
}

func (o *Operators) place(id string) int {
	return slices.IndexFunc(o.rows, func(r Operator) bool { return r.ID == id })
}

func (o *Operators) clone() *Operators {
	return &Operators{slices.Clone(o.rows), slices.Clone(o.handovers)}
}

// Check says whether a person may be added.
func (n *NewOperator) Check() error {
	switch {
	case n.Name == "" || len(n.Name) > maxOperatorNameBytes || n.Name != strings.TrimSpace(n.Name) || strings.ContainsAny(n.Name, "\n\t") ||
		!isFreeText(n.Name, maxOperatorNameBytes) || invisible(n.Name) || !norm.NFC.IsNormalString(n.Name):
		return invalid("invalid_operator_name", "name", "is the person's name: 1 to 200 bytes in Unicode normalization form C on one line, without control or invisible characters or space around it")
	case !slices.Contains(operatorRoles, n.Role):
		return invalid("invalid_operator_role", "role", "a person's role is one of dpo, reader, admin, auditor; writer is for machines, which have API keys")
	}
	return nil
}

// With returns the register with one more operator.
func (o *Operators) With(id string, n *NewOperator, at time.Time) (*Operators, error) {
	if n.Responsible && slices.ContainsFunc(o.rows, func(r Operator) bool { return r.Responsible }) {
		return nil, refuse(Conflict, "responsible_taken", "responsible", "somebody is responsible already; add the person with responsible: false, and hand over with POST /v1/operators/{id}/handover")
	}
	c := o.clone()
	c.rows = append(c.rows, Operator{ID: id, Role: n.Role, Responsible: n.Responsible, AddedAt: at})
	return c, nil
}

// living returns where an operator stands who has not ended.
func (o *Operators) living(id, field string) (int, error) {
	i := o.place(id)
	switch {
	case i < 0:
		return 0, refuse(NotFound, "unknown_operator", field, "there is no such operator; GET /v1/operators lists them")
	case !o.rows[i].EndedAt.IsZero():
		return 0, refuse(Conflict, "operator_ended", field, "the operator has ended; GET /v1/operators lists those who have not")
	}
	return i, nil
}

// Living says whether an operator is there and has not ended: nil, or why not.
func (o *Operators) Living(id string) error { _, err := o.living(id, ""); return err }

// WithHandover returns the register in which another operator is responsible. h.RecordedAt is now.
func (o *Operators) WithHandover(h Handover) (*Operators, error) {
	from, err := o.living(h.From, "")
	if err != nil {
		return nil, err
	}
	if !o.rows[from].Responsible {
		return nil, refuse(Conflict, "not_responsible", "", "the operator is not responsible for customer information, and has nothing to hand over; see GET /v1/operators")
	}
	to, err := o.living(h.To, "to")
	switch {
	case errors.As(err, new(*Refusal)) && o.place(h.To) < 0:
		return nil, invalid("unknown_operator_to", "to", "there is no such operator; add the person first, with POST /v1/operators")
	case err != nil:
		return nil, err
	case to == from:
		return nil, invalid("handover_to_self", "to", "name another operator; this one is responsible already")
	case h.At.After(h.RecordedAt.Add(maxAhead)):
		return nil, invalid("handover_at_in_future", "at", "is more than five minutes ahead; record a handover when it has happened")
	}
	c := o.clone()
	c.rows[from].Responsible, c.rows[to].Responsible = false, true
	c.handovers = append(c.handovers, h)
	return c, nil
}

// WithEnd returns the register without an operator's right to anything. Who is responsible hands
// over first: there is always somebody once there was.
func (o *Operators) WithEnd(id string, at time.Time) (*Operators, error) {
	i, err := o.living(id, "")
	if err != nil {
		return nil, err
	}
	if o.rows[i].Responsible {
		return nil, refuse(Conflict, "handover_needed", "", "the operator is responsible for customer information; hand over first, with POST /v1/operators/{id}/handover")
	}
	c := o.clone()
	c.rows[i].EndedAt = at
	return c, nil
}

// PlanOperator records a person's name.
func (r *Register) PlanOperator(n *NewOperator) (*Plan, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	key := KeyName{Class: OperatorClass}
	return &Plan{
		Entries: []Draft{{key, Event{Kind: KindOperator, Name: n.Name}}}, Create: []KeyName{key}, MemberKind: OperatorKind,
	}, nil
}

// PlanSignIn records what an operator signs in with from now on. With fresh it begins anew: what was
// there before is destroyed.
func (r *Register) PlanSignIn(keys []KeyState, record []byte, fresh bool) *Plan {
	key, newest := KeyName{Class: SignInClass}, 0
	p := &Plan{}
	for _, k := range keys {
		if k.Class != SignInClass {
			continue
		}
		if n, err := strconv.Atoi(k.Reference); err == nil && n > newest {
			newest = n
		}
		if fresh {
			p.Destroy = append(p.Destroy, k.KeyName)
		}
	}
	if fresh {
		newest++
		p.Create = []KeyName{{Class: SignInClass, Reference: strconv.Itoa(newest)}}
	}
	key.Reference = strconv.Itoa(newest)
	p.Entries = []Draft{{key, Event{Kind: KindSignIn, SignIn: record}}}
	return p
}

// PlanOperatorEnd destroys what an operator signed in with, and gives the name its end: when the
// last look that names the operator is destroyed by the clock.
func (r *Register) PlanOperatorEnd(keys []KeyState, now time.Time) *Plan {
	p := &Plan{Ended: true}
	for _, k := range keys {
		if k.Class == OperatorClass {
			p.SetDue = append(p.SetDue, KeyDue{k.KeyName, r.looksEnd(now)})
		} else {
			p.Destroy = append(p.Destroy, k.KeyName)
		}
	}
	return p
}

// looksEnd is when the last record of a look that is taken now has had its time, as far as that goes
// by the clock: the longest of the periods that the policies name for such records.
func (r *Register) looksEnd(now time.Time) time.Time {
	last := r.DiesOn(accessRule, r.Day(now))
	for _, versions := range r.policies {
		for _, v := range versions {
			if rule := r.rules[v.accessClass()]; rule.Ratchet() {
				last = max(last, r.DiesOn(rule, r.Day(now)))
			}
		}
	}
	return r.DayStart(last)
}
