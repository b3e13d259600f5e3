package ledger

import (
	"fmt"
	"strings"
	"testing"

	"consentledger/ledger/consent"
)

func TestNoVerbPrintsWhatAMemberOrAnOfficerWrote(t *testing.T) {
	w := newWorld(t)
	l := w.createWith(t, officePolicy())
	defer func() { l.Close() }()
	const secret = "she-is-ill"
	id := secret + "@shop.example"
	a := mustDo(t, l, enrolment(t, id, w))
	mustDo(t, l, order(t, id, secret, w))
	why := Look{Reason: secret, What: "export"}
	if _, err := l.PlaceHold(t.Context(), dpo, a.Member, &consent.Hold{Classes: []string{"membership"}, Ground: secret, Until: w.clock.Now().AddDate(1, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	x, err := l.Export(t.Context(), dpo, a.Member, why)
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Member(t.Context(), dpo, a.Member, why)
	if err != nil || len(v.Holds) != 1 || v.Holds[0].Ground != secret {
		t.Fatalf("control: the officer is not shown the ground: %v", err)
	}
	m := memberID(t, id)
	for _, v := range []any{
		x, *x, v, v.Holds, why,
		KeptData{Holds: v.Holds},
		noticeBody{Reason: secret},
		&consent.Access{Reason: secret},
		&consent.EventEnd{Member: m, Reference: secret}, &consent.CorrectionOutcome{Member: m, Reason: secret}, &consent.RequestOutcome{Reason: secret},
		&consent.Hold{Ground: secret}, &consent.Notice{Member: m, Reason: secret}, &consent.Activity{Member: m}, &consent.Reactivation{Member: m},
		&consent.Signal{Member: m}, &consent.Request{Member: m}, l.requests, &l.endings, &l.asks,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if strings.Contains(fmt.Sprintf(verb, v), secret) {
				t.Errorf("%s of a %T prints it", verb, v)
			}
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("it is in the log")
	}
}
