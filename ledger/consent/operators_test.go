package consent_test

import (
	"errors"
	"testing"
	"time"

	"consentledger/ledger/consent"
)

func addOperator(t *testing.T, o *consent.Operators, id string, responsible bool) *consent.Operators {
	t.Helper()
	next, err := o.With(id, &consent.NewOperator{Name: "Kim Min-ji", Role: "dpo", Responsible: responsible}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func responsible(o *consent.Operators) (ids []string) {
	for _, r := range o.Rows() {
		if r.Responsible {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func TestAnOperatorHasANameThatCanBeReadAndARoleOfPeople(t *testing.T) {
	for _, c := range []struct{ name, role, code, field string }{
		{"Kim Min-ji", "dpo", "", ""},
		{"김민지", "auditor", "", ""},
		{"", "dpo", "invalid_operator_name", "name"},
		{" Kim", "dpo", "invalid_operator_name", "name"},
		{"Kim\nMin-ji", "dpo", "invalid_operator_name", "name"},
		{"Kim\u200bMin-ji", "dpo", "invalid_operator_name", "name"},
		{"Kim\u202eMin-ji", "dpo", "invalid_operator_name", "name"},
		{"e\u0301", "dpo", "invalid_operator_name", "name"},
		{string(make([]byte, 201)), "dpo", "invalid_operator_name", "name"},
		{"Kim Min-ji", "writer", "invalid_operator_role", "role"},
		{"Kim Min-ji", "DPO", "invalid_operator_role", "role"},
		{"Kim Min-ji", "", "invalid_operator_role", "role"},
	} {
		err := (&consent.NewOperator{Name: c.name, Role: c.role}).Check()
		if c.code == "" {
			if err != nil {
				t.Errorf("%s is refused: %v", c.role, err)
			}
			continue
		}
		wantRefusal(t, err, consent.Invalid, c.code, c.field)
	}
}

func TestOneOperatorAtMostIsResponsibleAndThereIsAlwaysOneAgain(t *testing.T) {
	o := addOperator(t, &consent.Operators{}, "opr_1", true)
	_, err := o.With("opr_2", &consent.NewOperator{Name: "Lee", Role: "dpo", Responsible: true}, noon)
	wantRefusal(t, err, consent.Conflict, "responsible_taken", "responsible")
	_, err = o.WithEnd("opr_1", noon)
	wantRefusal(t, err, consent.Conflict, "handover_needed", "")

	o = addOperator(t, o, "opr_2", false)
	hand := func(from, to string, at time.Time) (*consent.Operators, error) {
		return o.WithHandover(consent.Handover{From: from, To: to, At: at, RecordedAt: noon})
	}
	for _, c := range []struct {
		from, to    string
		at          time.Time
		kind        consent.RefusalKind
		code, field string
	}{
		{"opr_9", "opr_2", noon, consent.NotFound, "unknown_operator", ""},
		{"opr_2", "opr_1", noon, consent.Conflict, "not_responsible", ""},
		{"opr_1", "opr_9", noon, consent.Invalid, "unknown_operator_to", "to"},
		{"opr_1", "opr_1", noon, consent.Invalid, "handover_to_self", "to"},
		{"opr_1", "opr_2", noon.Add(5*time.Minute + time.Millisecond), consent.Invalid, "handover_at_in_future", "at"},
	} {
		_, err := hand(c.from, c.to, c.at)
		wantRefusal(t, err, c.kind, c.code, c.field)
	}
	if got := responsible(o); len(got) != 1 || got[0] != "opr_1" {
		t.Fatalf("what was refused changed who is responsible: %v", got)
	}
	o, err = hand("opr_1", "opr_2", noon.Add(5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got := responsible(o); len(got) != 1 || got[0] != "opr_2" || len(o.Handovers()) != 1 {
		t.Fatalf("after the handover: %v", got)
	}
	if o, err = o.WithEnd("opr_1", noon); err != nil {
		t.Fatal(err)
	}
	_, err = o.WithEnd("opr_1", noon)
	wantRefusal(t, err, consent.Conflict, "operator_ended", "")
	_, err = hand("opr_2", "opr_1", noon)
	wantRefusal(t, err, consent.Conflict, "operator_ended", "to")
	if o.Living("opr_2") != nil || o.Living("opr_1") == nil || !errors.As(o.Living("opr_3"), new(*consent.Refusal)) {
		t.Error("who is living is another one")
	}
}

// The name outlives the operator for as long as a look that names them is kept: two years, or what
// the policy's class says, and to the end of the last day.
func TestAnOperatorsNameLivesAsLongAsTheLastLookThatNamesThem(t *testing.T) {
	reg := consent.NewRegister()
	keys := []consent.KeyState{
		{KeyName: consent.KeyName{Class: consent.OperatorClass}},
		{KeyName: consent.KeyName{Class: consent.SignInClass, Reference: "1"}},
	}
	at := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)
	p := reg.PlanOperatorEnd(keys, at)
	if !p.Ended || len(p.Destroy) != 1 || p.Destroy[0].Class != consent.SignInClass {
		t.Fatalf("what is signed in with is not destroyed: %+v", p)
	}
	if want := time.Date(2028, 3, 2, 0, 0, 0, 0, time.UTC); len(p.SetDue) != 1 || !p.SetDue[0].Due.Equal(want) {
		t.Errorf("the name is due at %v, want %v", p.SetDue, want)
	}
}
