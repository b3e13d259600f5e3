package book

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"consentledger/bench/internal/floors"
	"consentledger/bench/internal/workload"
	"consentledger/ledger/chain"
)

func TestMembersAreEnrolledOnceAndWithdrawnOnce(t *testing.T) {
	const m, count = workload.Members("bench"), 3_000
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "ledger")
	if _, err := Create(dir); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := l.Size()
	if err := Enrol(ctx, l, m, 0, count, nil); err != nil {
		t.Fatal(err)
	}
	if n := l.Size() - before; n != count {
		t.Errorf("%d members are %d entries", count, n)
	}
	leaves, err := Leaves(l)
	if err != nil {
		t.Fatal(err)
	}
	if last := leaves[len(leaves)-1]; uint64(len(leaves)) != l.Size() || len(last) != 1+floors.EntryBytes {
		t.Errorf("%d leaves of %d entries, the last of %d bytes", len(leaves), l.Size(), len(last))
	} else if _, err := chain.Parse(last[1:]); err != nil {
		t.Error(err)
	}
	took, err := Withdraw(ctx, l, m, count, 10, 20, 4)
	if err != nil || len(took) != 10 {
		t.Fatal(len(took), err)
	}
	if _, err := Withdraw(ctx, l, m, count, 19, 20, 1); err == nil {
		t.Error("a member could withdraw twice")
	}
	for _, d := range took {
		if d <= 0 {
			t.Errorf("a destruction took %v", d)
		}
	}
}

func TestTheSpreadReachesEveryMemberOnce(t *testing.T) {
	const count = 10_000
	seen := make(map[uint64]bool)
	for n := range uint64(count) {
		seen[Spread(n, count)] = true
	}
	if len(seen) != count {
		t.Errorf("%d of %d members are reached", len(seen), count)
	}
}

func TestWhatIsMeasuredIsThatOfOne(t *testing.T) {
	c, err := Measure(10, func() error { time.Sleep(20 * time.Millisecond); return nil })
	if err != nil || c.Wall < 2*time.Millisecond || c.CPU > c.Wall+time.Second {
		t.Errorf("%v, error %v", c, err)
	}
}
