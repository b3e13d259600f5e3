package ledger

import (
	"errors"
	"slices"
	"testing"

	"consentledger/ledger/consent"
)

// What is of no member is read back as it was recorded, in pages that neither
// leave out an entry nor show one twice, also after a restart.
func TestWhatIsOfNoMemberCanBeShown(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	mustDo(t, l, enrolment(t, "somebody@shop.example", w))
	var want []uint64
	for i := range 7 {
		n := &consent.Notice{Kind: consent.NoticePartnerAudit, Recipient: "parcel-co", Channel: "visit", SentAt: w.clock.Now(), Outcome: consent.NoticePassed}
		if i == 6 {
			n.Outcome, n.Reason = consent.NoticeFindings, "old backups"
		}
		want = append(want, doAs(t, l, dpo, n).Entries[0].Index)
		mustDo(t, l, enrolment(t, "somebody@shop.example", w)) // something else in between
	}
	slices.Reverse(want)
	for range 2 {
		for limit := 1; limit <= 8; limit++ {
			var got []uint64
			for before, pages := uint64(0), 0; pages == 0 || before != 0; pages++ {
				rows, next, err := l.Notices(dpo, before, limit)
				if err != nil || len(rows) > limit || pages > 8 {
					t.Fatalf("%d rows, page %d, %v", len(rows), pages, err)
				}
				for _, r := range rows {
					got = append(got, r.Index)
				}
				before = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("in pages of %d: %v, want %v", limit, got, want)
			}
		}
		l = w.reopen(t, l)
	}
	rows, _, err := l.Notices(dpo, 0, 1)
	if err != nil || rows[0].Event.Reason != "old backups" || rows[0].Event.Recipient != "parcel-co" || rows[0].Event.NoticeKind != consent.NoticePartnerAudit {
		t.Errorf("%+v, %v", rows, err)
	}
	if rows, next, err := l.Anonymised(dpo, 0, 10); err != nil || len(rows) != 0 || next != 0 {
		t.Errorf("no disclosure was anonymised: %v, %v", rows, err)
	}
	for _, who := range []Caller{writer, admin, {KeyID: "key_auditor", Role: RoleAuditor}} {
		if _, _, err := l.Notices(who, 0, 1); !errors.Is(err, ErrForbidden) {
			t.Errorf("as %v: %v", who.Role, err)
		}
		if _, _, err := l.Anonymised(who, 0, 1); !errors.Is(err, ErrForbidden) {
			t.Errorf("as %v: %v", who.Role, err)
		}
	}
}
