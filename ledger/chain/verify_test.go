package chain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentledger/crypto/digest"

	"github.com/google/go-cmp/cmp"
)

func verify(t testing.TB, l Source, o VerifyOptions) Report {
	t.Helper()
	r, err := Verify(t.Context(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Intact != (len(r.Findings) == 0) {
		t.Fatal("Intact and Findings disagree")
	}
	return r
}

func withKey(t testing.TB, outside ...[]byte) VerifyOptions {
	t.Helper()
	_, v := testSigner(t)
	return VerifyOptions{Verifier: v, Checkpoints: outside}
}

// wantFirst wants a log to be found wrong, and its first finding.
func wantFirst(t testing.TB, r Report, kind Kind, index uint64) {
	t.Helper()
	if r.Intact {
		t.Fatalf("found intact, want %s at %d", kind, index)
	}
	if f := r.Findings[0]; f.Kind != kind || f.Index != index {
		t.Fatalf("first finding is %s at %d (%s), want %s at %d", f.Kind, f.Index, f.What, kind, index)
	}
}

func has(r Report, kind Kind) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == kind })
}

func TestAnUntouchedLogIsIntactAtEverySizeThatBreaksPeople(t *testing.T) {
	all := newLog(t, 1200, 256, 512, 256, 4352)
	for _, n := range []int{0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1200} {
		l := &memLog{entries: all.entries[:n], tiles: map[tileKey][]byte{}}
		l.retile()
		l.sign(t)
		for _, jobs := range []int{0, 1, 3, 8} {
			o := withKey(t, l.signed(t, n), l.signed(t, n/2), l.signed(t, n-n/3))
			o.Jobs = jobs
			r := verify(t, l, o)
			if !r.Intact {
				t.Fatalf("%d entries, %d jobs: %+v", n, jobs, r.Findings)
			}
			want := l.head(t, n)
			if r.Entries != want.Size || r.Root != want.Root || r.Hash != digest.Name() {
				t.Fatalf("%d entries: the report says %d, %x, %s", n, r.Entries, r.Root, r.Hash)
			}
			if diff := cmp.Diff(edgesOf(t, l), r.Edges); diff != "" {
				t.Fatalf("%d entries: the right edges differ: %s", n, diff)
			}
			if n == 1200 && (r.FirstRecordedAtUnixMs != 1_700_000_000_000 || r.LastRecordedAtUnixMs != 1_700_000_000_399) {
				t.Fatalf("times %d to %d", r.FirstRecordedAtUnixMs, r.LastRecordedAtUnixMs)
			}
		}
	}
}

// edgesOf are the right edges of a log of fewer than 256³ entries, by golang.org/x/mod.
func edgesOf(t testing.TB, l *memLog) [][]byte {
	t.Helper()
	var leaves []Hash
	for _, e := range l.entries {
		leaves = append(leaves, LeafHash(e))
	}
	edges := [][]byte{bytesOf(nil, leaves[len(leaves)/256*256:])}
	for hashes := leaves; len(hashes) >= 256; {
		var above []Hash
		for tile := range slices.Chunk(hashes[:len(hashes)/256*256], 256) {
			above = append(above, tlogRoot(t, tile))
		}
		edges = append(edges, bytesOf(nil, above[len(above)/256*256:]))
		hashes = above
	}
	return edges
}

// startOf is what a check of the first n entries leaves for the next.
func startOf(t testing.TB, l *memLog, n int) *Start {
	t.Helper()
	first := &memLog{entries: l.entries[:n], tiles: map[tileKey][]byte{}}
	first.retile()
	return &Start{Size: uint64(n), Edges: verify(t, first, VerifyOptions{}).Edges}
}

func TestACheckGoesOnWhereOneEnded(t *testing.T) {
	l := newLog(t, 1200)
	whole := verify(t, l, withKey(t))
	for _, n := range []int{0, 256, 512, 1024} {
		o := withKey(t, l.signed(t, n), l.signed(t, n+1), l.signed(t, 1100))
		o.Start, o.Jobs = startOf(t, l, n), 1
		read := uint64(1200)
		r := verify(t, firstRead{l, &read}, o)
		if !r.Intact || r.Root != whole.Root || r.Entries != whole.Entries || r.LastRecordedAtUnixMs != whole.LastRecordedAtUnixMs || cmp.Diff(r.Edges, whole.Edges) != "" {
			t.Errorf("from %d: %+v", n, r)
		}
		if read != uint64(n) {
			t.Errorf("from %d: entries are read from %d on", n, read)
		}
		for _, at := range []int{n, n + 1, 1199} {
			bad := l.clone()
			bad.entries[at] = slices.Clone(bad.entries[at])
			bad.entries[at][100] ^= 1
			if r := verify(t, bad, o); r.Intact || r.Findings[0].Index != uint64(at) {
				t.Errorf("from %d, altered at %d: %+v", n, at, r.Findings)
			}
		}
		if n == 0 {
			continue
		}
		// Edges of another log have another root.
		o.Start.Edges[1] = slices.Clone(o.Start.Edges[1])
		o.Start.Edges[1][0] ^= 1
		if r := verify(t, l, o); !has(r, CheckpointRoot) {
			t.Errorf("from %d with other edges: %+v", n, r.Findings)
		}
	}
}

// firstRead says which entry is the first that is read.
type firstRead struct {
	*memLog
	first *uint64
}

func (l firstRead) Entries(from uint64, f func(uint64, []byte) error) error {
	*l.first = min(*l.first, from)
	return l.memLog.Entries(from, f)
}

func TestACheckpointBelowTheStartIsAskedAbout(t *testing.T) {
	l := newLog(t, 700)
	for _, c := range []struct {
		continues bool
		fail      error
	}{{true, nil}, {false, nil}, {true, errors.New("away")}} {
		o := withKey(t, l.signed(t, 300))
		o.Jobs = 1
		o.Start = startOf(t, l, 512)
		asked := uint64(0)
		o.Start.Continues = func(h Checkpoint) (bool, error) { asked = h.Size; return c.continues, c.fail }
		r, err := Verify(t.Context(), firstRead{l, new(uint64)}, o)
		if !errors.Is(err, c.fail) || asked != 300 || err == nil && (r.Intact != c.continues || has(r, CheckpointRoot) == c.continues) {
			t.Errorf("%+v: asked about %d: %+v, %v", c, asked, r.Findings, err)
		}
	}
}

func TestAStartThatIsNoneIsAnError(t *testing.T) {
	l := newLog(t, 700)
	good := *startOf(t, l, 512)
	for name, s := range map[string]Start{
		"no full tile":     {Size: 511, Edges: good.Edges},
		"too large":        {Size: 768, Edges: good.Edges},
		"no edges":         {Size: 512},
		"a level less":     {Size: 512, Edges: good.Edges[:1]},
		"a level more":     {Size: 512, Edges: append(slices.Clone(good.Edges), make([]byte, HashSize))},
		"a hash less":      {Size: 512, Edges: [][]byte{nil, good.Edges[1][:HashSize]}},
		"entries in it":    {Size: 512, Edges: [][]byte{make([]byte, HashSize), good.Edges[1]}},
		"not a whole hash": {Size: 512, Edges: [][]byte{nil, good.Edges[1][:HashSize+1]}},
	} {
		o := withKey(t)
		o.Start = &s
		if r, err := Verify(t.Context(), l, o); err == nil {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// leafLog gives its entries with a prefix.
type leafLog struct {
	*memLog
	prefix []byte
}

func (l leafLog) Leaves(from uint64, f func(uint64, []byte) error) error {
	return l.Entries(from, func(index uint64, entry []byte) error { return f(index, slices.Concat(l.prefix, entry)) })
}

func TestALogThatGivesItsLeavesIsCheckedAsOneThatGivesItsEntries(t *testing.T) {
	l := newLog(t, 600, 256, 4352)
	bad := l.clone()
	bad.entries[300] = slices.Clone(bad.entries[300])
	bad.entries[300][60] ^= 1
	bad.entries[555] = nil
	for name, l := range map[string]*memLog{"good": l, "bad": bad} {
		want := verify(t, l, withKey(t))
		if got := verify(t, leafLog{l, []byte{0}}, withKey(t)); want.Intact != (name == "good") || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", name, cmp.Diff(want, got))
		}
	}
	for _, prefix := range [][]byte{nil, {1}} {
		if r, err := Verify(t.Context(), leafLog{l, prefix}, withKey(t)); err == nil {
			t.Errorf("leaves with the prefix %x are taken: %+v", prefix, r.Findings)
		}
	}
}

func TestAReportSaysWhatWasNotChecked(t *testing.T) {
	l := newLog(t, 300)
	said := func(list []string, what string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, what) })
	}
	r := verify(t, l, VerifyOptions{})
	if !r.Intact || !said(r.Unchecked, "signatures") || !said(r.Unchecked, "self-consistent") || !said(r.Checked, "300 entries") || !said(r.Checked, "1 full tiles") {
		t.Errorf("without key and outside checkpoint: %q, %q", r.Checked, r.Unchecked)
	}
	r = verify(t, l, withKey(t, l.signed(t, 10)))
	if !r.Intact || len(r.Unchecked) != 0 {
		t.Errorf("with all: %q", r.Unchecked)
	}
	l.checkpoint = l.signed(t, 290)
	r = verify(t, l, withKey(t))
	if !r.Intact || !said(r.Unchecked, "entries 290 to 299") {
		t.Errorf("with a checkpoint that is behind: %q", r.Unchecked)
	}
	l.checkpoint = nil
	r = verify(t, l, withKey(t))
	if !r.Intact || !said(r.Unchecked, "own checkpoint") {
		t.Errorf("without its own checkpoint: %q", r.Unchecked)
	}
}

func TestFindingsAreTheSameHoweverManyJobs(t *testing.T) {
	l := newLog(t, 1500)
	for _, i := range []int{700, 3, 511, 512, 1400, 1401} {
		l.entries[i] = flip(l.entries[i], 60, 1)
	}
	o := withKey(t, l.checkpoint)
	o.Jobs = 1
	want := verify(t, l, o)
	wantFirst(t, want, EntryAltered, 3)
	for jobs := 2; jobs < 9; jobs++ {
		o.Jobs = jobs
		if diff := cmp.Diff(want, verify(t, l, o)); diff != "" {
			t.Fatalf("%d jobs: %s", jobs, diff)
		}
	}
	var named []uint64
	for _, f := range want.Findings {
		if f.Kind == EntryAltered {
			named = append(named, f.Index)
		}
	}
	if diff := cmp.Diff([]uint64{3, 511, 512, 700}, named); diff != "" {
		t.Fatal(diff)
	}
}

func TestFindingsAreCappedAndTheFirstIsStillFirst(t *testing.T) {
	l := newLog(t, 3000)
	for i := 7; i < len(l.entries); i += 2 {
		l.entries[i] = flip(l.entries[i], 100, 0x80)
	}
	r := verify(t, l, withKey(t, []byte("rubbish")))
	wantFirst(t, r, EntryAltered, 7)
	if len(r.Findings) != MaxFindings || r.Findings[MaxFindings-1].Kind != CheckpointMalformed {
		t.Fatalf("%d findings, the last is %s", len(r.Findings), r.Findings[len(r.Findings)-1].Kind)
	}
}

func TestACancelledVerificationIsNoVerdict(t *testing.T) {
	l := newLog(t, 2000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var read atomic.Int64
	src := hooked{l, func(i uint64) error {
		if read.Add(1) == 300 {
			cancel()
		}
		return nil
	}}
	r, err := Verify(ctx, src, VerifyOptions{Jobs: 2})
	if !errors.Is(err, context.Canceled) || r.Intact {
		t.Fatalf("%v, %+v", err, r)
	}
	if n := read.Load(); n > 1500 {
		t.Errorf("%d entries were read, most of them after the cancellation", n)
	}
}

func TestALogThatCannotBeReadIsNoVerdict(t *testing.T) {
	l := newLog(t, 600)
	bad := errors.New("the disk is gone")
	r, err := Verify(t.Context(), hooked{l, func(i uint64) error {
		if i == 400 {
			return bad
		}
		return nil
	}}, VerifyOptions{})
	if !errors.Is(err, bad) || r.Intact {
		t.Fatalf("%v, %+v", err, r)
	}
	// Control: the same source reads well otherwise.
	if r := verify(t, hooked{l, func(uint64) error { return nil }}, VerifyOptions{}); !r.Intact {
		t.Fatal(r.Findings)
	}
}

func TestALogThatGrowsMeanwhileIsIntact(t *testing.T) {
	l := newLog(t, 700)
	small := &memLog{entries: l.entries[:300], tiles: l.tiles, checkpoint: l.signed(t, 290)}
	// Size is asked for first, then the rest has become longer.
	if r := verify(t, &growing{memLog: l, small: small}, withKey(t)); !r.Intact || r.Entries != 300 {
		t.Fatalf("%+v", r)
	}
	// Control: one that stays at 300 with the tiles of 512 was cut.
	wantFirst(t, verify(t, small, withKey(t)), Truncated, 300)
}

type growing struct {
	*memLog
	small *memLog
	asked atomic.Int64
}

func (g *growing) Size() (uint64, error) {
	if g.asked.Add(1) == 1 {
		return g.small.Size()
	}
	return g.memLog.Size()
}
func (g *growing) Checkpoint() ([]byte, error) { return g.small.Checkpoint() }

// hooked calls hook before each entry.
type hooked struct {
	*memLog
	hook func(uint64) error
}

func (h hooked) Entries(from uint64, f func(uint64, []byte) error) error {
	return h.memLog.Entries(from, func(i uint64, e []byte) error {
		if err := h.hook(i); err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		return f(i, e)
	})
}

func TestProgressEndsAtTheTotal(t *testing.T) {
	l := newLog(t, 64*256+300)
	var calls []uint64
	o := withKey(t)
	o.Progress = func(done, total uint64) {
		if total != 64*256+300 {
			t.Errorf("total %d", total)
		}
		calls = append(calls, done)
	}
	verify(t, l, o)
	if diff := cmp.Diff([]uint64{64 * 256, 64*256 + 300}, calls); diff != "" {
		t.Fatal(diff)
	}
}

func TestVerifyHoldsFewBlocksAtATime(t *testing.T) {
	const jobs = 3
	const window = 4 * jobs * TileHashes
	l := newLog(t, 10*window)
	var furthest atomic.Int64
	full := make(chan struct{})
	src := hooked{l, func(i uint64) error {
		if i == 0 { // the first block is held up until the others cannot go on
			<-full
			time.Sleep(20 * time.Millisecond) // for what should not happen
			if n := furthest.Load(); n >= window {
				return fmt.Errorf("entry %d was read while block 0 was not done", n)
			}
		}
		furthest.Store(max(furthest.Load(), int64(i)))
		if i == window-1 {
			close(full)
		}
		return nil
	}}
	if r := verify(t, src, VerifyOptions{Jobs: jobs}); !r.Intact {
		t.Fatal(r.Findings)
	}
}
