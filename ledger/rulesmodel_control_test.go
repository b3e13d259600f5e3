package ledger

import (
	"slices"
	"testing"
)

// A model that agreed whatever the ledger said would show nothing. So a row of its tables is taken
// out, and the steps of a short run must then find a disagreement. Rows that guard the ones below
// them, or that short runs seldom come to, are not among them.
func TestAModelWithoutOneOfItsRowsDisagrees(t *testing.T) {
	for _, c := range []struct {
		table   string
		all     []check
		reasons []string
		set     func(*tables, []check)
	}{
		{
			"decision", decisionChecks,
			[]string{"recipient_not_registered", "item_suspended", "processing_suspended", "dormant", "refused", "withdrawn", "reconsent_required", "ask_each_time", "item_not_consented", "recipient_not_consented"},
			func(tb *tables, rows []check) { tb.decision = rows },
		},
		{
			"disclosure", disclosureChecks,
			[]string{"basis_not_allowed", "recipient_not_registered", "recipient_not_allowed", "item_suspended", "processing_suspended"},
			func(tb *tables, rows []check) { tb.disclose = rows },
		},
	} {
		for _, reason := range c.reasons {
			t.Run(c.table+"/"+reason, func(t *testing.T) {
				n := slices.IndexFunc(c.all, func(row check) bool { return row.reason == reason })
				if n < 0 {
					t.Fatalf("the table has no row %s", reason)
				}
				left := slices.Delete(slices.Clone(c.all), n, n+1)
				for seed := range uint64(shortRounds) {
					r := newRun(t)
					without := *r.m.tables
					c.set(&without, left)
					r.m.tables = &without
					r.play(makeSteps(seed, runSteps))
					r.close()
					if r.bad != "" {
						return
					}
				}
				t.Errorf("%d steps do not find that the model lacks this row", shortRounds*runSteps)
			})
		}
	}
}
