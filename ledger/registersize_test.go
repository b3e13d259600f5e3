package ledger

import (
	"slices"
	"strings"
	"testing"

	"consentledger/ledger/consent"
)

// Whatever a change of a recipient holds, it is refused or it fits an entry: one
// that cannot be written would stop every write.
func TestNoChangeOfARecipientStopsTheLedger(t *testing.T) {
	w := newWorld(t)
	l := w.create(t)
	defer func() { l.Close() }()
	long := strings.Repeat("x", 64<<10)
	for what, r := range map[string]consent.Recipient{
		"a name that nobody looks at":   {From: "2025-03-01", Name: long},
		"a country":                     {From: "2025-03-01", Country: long},
		"a kind":                        {From: "2025-03-01", Kind: long},
		"purposes that nobody looks at": {From: "2025-03-01", Purposes: slices.Repeat([]string{"delivery"}, 8000)},
	} {
		_, err := l.AddRecipient(t.Context(), admin, &consent.RecipientChange{
			Policy: "shop", ID: "parcel-co", Ended: true, Announced: "2025-03-01", Reason: "the contract ends", Recipient: r,
		})
		if err != nil && !isRefusal(err) {
			t.Fatalf("%s: %v", what, err)
		}
		if err := l.Health(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	before := l.Rules().Recipients()
	l = w.reopen(t, l)
	if got := l.Rules().Recipients(); len(got) != len(before) || len(got) < 2 {
		t.Errorf("after a restart %d states, before it %d", len(got), len(before))
	}
	verifyAll(t, l)
}

func TestWhatNoEntryCanHoldIsRefusedBeforeItIsQueued(t *testing.T) {
	for size, fits := range map[int]bool{60_000: true, 63_400: true, 63_484: false, 1 << 20: false} {
		_, err := encodeOwn(registerBody{Kind: kindPolicy, Data: make([]byte, size)})
		if (err == nil) != fits || err != nil && !isRefusal(err) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
