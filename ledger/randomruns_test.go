package ledger

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestWhateverIsCalledAndWheneverTheLedgerStaysAsItShould(t *testing.T) {
	runs, steps := uint64(6), 400
	if long {
		runs, steps = 60, 3000
	}
	first := uint64(1)
	if s := os.Getenv("CONSENTLEDGER_SEED"); s != "" { // to see one run again
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = n, 1
	}
	done := map[string]int{}
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			var cache int64
			if seed%2 == 0 {
				cache = 1
			}
			r := newRandomLife(t, seed, cache)
			defer func() { r.l.Close() }()
			for i := range steps {
				r.step()
				if i%20 == 19 {
					r.check()
				}
				if r.one(150) {
					r.l = r.w.reopen(t, r.l)
					r.log = append(r.log, "restart")
				}
			}
			r.check()
			verifyAll(t, r.l)
			for name, n := range r.done {
				done[name] += n
			}
			if strings.Contains(r.w.log.String(), "shop.example") {
				t.Error("a member id is in the log")
			}
		})
	}
	t.Log(done)
	for _, name := range []string{
		"consent", "leave", "withdrawal", "correction", "outcome", "disclosure", "activity", "reactivation", "signal", "request", "answer",
		"notice", "hold", "release", "event", "look", "kept", "end of an event", "policy", "recipient",
	} {
		if done[name] == 0 && first == 1 {
			t.Errorf("no %s was made in any of the runs", name)
		}
	}
}
