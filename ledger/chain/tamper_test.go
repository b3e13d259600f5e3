package chain

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func flip(b []byte, at int, mask byte) []byte {
	b = slices.Clone(b)
	b[at] ^= mask
	return b
}

// isEntryKind is whether a finding is about an entry itself.
func isEntryKind(k Kind) bool {
	return k == EntryAltered || k == EntryMalformed || k == ChainBroken || k == TimeWentBack || k == CheckpointRoot
}

func TestEveryBitOfEveryEntryIsWatched(t *testing.T) {
	o := withKey(t)
	l := newLog(t, 6)
	for i, e := range l.entries {
		for at := range e {
			for bit := range 8 {
				c := l.clone()
				c.entries[i] = flip(e, at, 1<<bit)
				r := verify(t, c, o)
				if r.Intact || r.Findings[0].Index != uint64(i) || !isEntryKind(r.Findings[0].Kind) {
					t.Fatalf("bit %d of byte %d of entry %d: %+v", bit, at, i, r.Findings)
				}
			}
		}
	}
}

func TestEveryByteOfAnEntryBesideATileIsWatched(t *testing.T) {
	o := withKey(t)
	l := newLog(t, 260)
	rnd := rand.New(rand.NewPCG(1, 2))
	whole := []int{0, 1, 254, 255, 256, 257, 258, 259}
	for i, e := range l.entries {
		places := []int{rnd.IntN(9), 9 + rnd.IntN(32), 41 + rnd.IntN(len(e)-41)}
		if slices.Contains(whole, i) {
			places = places[:0]
			for at := range e {
				places = append(places, at)
			}
		}
		for _, at := range places {
			c := l.clone()
			c.entries[i] = flip(e, at, byte(1+rnd.IntN(255)))
			r := verify(t, c, o)
			if r.Intact || r.Findings[0].Index != uint64(i) || !isEntryKind(r.Findings[0].Kind) {
				t.Fatalf("byte %d of entry %d: %+v", at, i, r.Findings)
			}
			if i < 255 && r.Findings[0].Kind == ChainBroken {
				t.Fatalf("byte %d of entry %d: the tile could have told: %+v", at, i, r.Findings)
			}
		}
	}
}

func TestAnAlteredEntryIsNamedWithoutCheckpointAndTile(t *testing.T) {
	l := newLog(t, 9)
	l.checkpoint = nil
	for i, e := range l.entries[:8] { // nothing watches over the last but a checkpoint
		for at := range e {
			c := l.clone()
			c.entries[i] = flip(e, at, 0x10)
			r := verify(t, c, VerifyOptions{})
			if i == 7 && at >= 9 && at < 41 {
				// Its link is broken on both sides: still its own index.
				wantFirst(t, r, ChainBroken, 7)
			} else if r.Intact || i < 7 && r.Findings[0].Index != uint64(i) {
				t.Fatalf("byte %d of entry %d: %+v", at, i, r.Findings)
			}
		}
	}
}

func TestEveryByteOfATileIsWatched(t *testing.T) {
	o := withKey(t)
	key := tileKey{0, 0}
	for _, tc := range []struct{ entries, step int }{{256, 1}, {300, 31}} {
		l := newLog(t, tc.entries)
		for at := 0; at < TileSize; at += tc.step {
			c := l.clone()
			c.tiles[key] = flip(l.tiles[key], at, 0x40)
			wantFirst(t, verify(t, c, o), TileDiffers, uint64(at/HashSize))
		}
	}
}

func TestATileOfAHigherLevelIsWatched(t *testing.T) {
	l := newLog(t, 65536+3)
	if r := verify(t, l, withKey(t, l.signed(t, 65536), l.signed(t, 40000))); !r.Intact {
		t.Fatal(r.Findings)
	}
	key := tileKey{1, 0}
	for _, at := range []int{0, 31, 32, 100 * 32, 8191} {
		c := l.clone()
		c.tiles[key] = flip(l.tiles[key], at, 1)
		wantFirst(t, verify(t, c, withKey(t)), TileDiffers, uint64(at/HashSize*TileHashes))
	}
	c := l.clone()
	delete(c.tiles, key)
	wantFirst(t, verify(t, c, withKey(t)), TileMissing, 0)
	c = l.clone()
	c.entries[300] = flip(c.entries[300], 50, 1)
	r := verify(t, c, withKey(t))
	wantFirst(t, r, EntryAltered, 300) // and not the higher tile's hash that begins at 256
	if has(r, TileDiffers) {
		t.Errorf("tiles are blamed for an entry: %+v", r.Findings)
	}
}

func TestEveryByteOfTheCheckpointIsWatched(t *testing.T) {
	o := withKey(t)
	l := newLog(t, 20)
	for at := range l.checkpoint {
		for bit := range 8 {
			c := l.clone()
			c.checkpoint = flip(l.checkpoint, at, 1<<bit)
			r := verify(t, c, o)
			if r.Intact || !has(r, CheckpointMalformed) && !has(r, CheckpointSignature) && !has(r, CheckpointOrigin) {
				t.Fatalf("bit %d of byte %d of the checkpoint: %+v", bit, at, r.Findings)
			}
			// The same flip in one from outside.
			if r := verify(t, l, withKey(t, c.checkpoint)); r.Intact {
				t.Fatalf("bit %d of byte %d of an outside checkpoint was not seen", bit, at)
			}
		}
	}
}

func TestDropsSwapsAndDuplicatesAreNamed(t *testing.T) {
	for _, n := range []int{9, 256, 257, 262, 520} {
		l := newLog(t, n)
		for _, k := range slices.Compact([]int{0, 1, 4, 5, n / 2, n - 4, n - 3, n - 2, n - 1}) {
			at := uint64(k)
			c := l.clone()
			c.entries = slices.Delete(c.entries, k, k+1)
			r := verify(t, c, withKey(t))
			if r.Intact || r.Findings[0].Index != at {
				t.Fatalf("%d entries, %d dropped: %+v", n, k, r.Findings)
			}
			if !has(r, Truncated) {
				t.Errorf("%d entries, %d dropped: not said to be shorter", n, k)
			}

			c = l.clone()
			c.entries = slices.Insert(c.entries, k, c.entries[k])
			r = verify(t, c, withKey(t))
			if r.Intact || r.Findings[0].Index != at+1 {
				t.Fatalf("%d entries, %d twice: %+v", n, k, r.Findings)
			}

			c = l.clone()
			c.entries[k] = nil
			r = verify(t, c, withKey(t))
			wantFirst(t, r, EntryMissing, at)

			if k+1 == n {
				continue
			}
			c = l.clone()
			c.entries[k], c.entries[k+1] = c.entries[k+1], c.entries[k]
			r = verify(t, c, withKey(t))
			if r.Intact || r.Findings[0].Index != at {
				t.Fatalf("%d entries, %d swapped with the next: %+v", n, k, r.Findings)
			}
		}
	}
}

func TestTruncationIsNamed(t *testing.T) {
	l := newLog(t, 600)
	for _, m := range []int{0, 1, 255, 256, 257, 511, 512, 599} {
		c := l.clone()
		c.entries = c.entries[:m]
		r := verify(t, c, withKey(t))
		if r.Intact || r.Findings[0].Index != uint64(m) || !has(r, Truncated) {
			t.Fatalf("cut to %d: %+v", m, r.Findings)
		}
		want := fmt.Sprintf("truncated: the log's own checkpoint covers 600 entries, the log has %d", m)
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.What == want }) {
			t.Errorf("cut to %d: %+v", m, r.Findings)
		}
		// Tiles cut as well, and the log's own checkpoint put back to that
		// size: only one from outside, or the older tiles, tell.
		c.retile()
		c.checkpoint = l.signed(t, m)
		if r := verify(t, c, withKey(t)); !r.Intact {
			t.Fatalf("control: cut to %d and made good: %+v", m, r.Findings)
		}
		wantFirst(t, verify(t, c, withKey(t, l.checkpoint)), Truncated, uint64(m))
	}
}

func TestAHistoryRewrittenAsAWholeShowsOnlyFromOutside(t *testing.T) {
	l := newLog(t, 700)
	early, late := l.signed(t, 300), l.signed(t, 650)
	c := l.clone()
	c.entries[400] = flip(c.entries[400], 200, 1)
	c.relink(401)
	c.retile()
	c.sign(t)
	if r := verify(t, c, withKey(t)); !r.Intact {
		t.Fatalf("control: nothing inside tells: %+v", r.Findings)
	}
	if r := verify(t, c, withKey(t, early)); !r.Intact {
		t.Fatalf("control: what came before was not touched: %+v", r.Findings)
	}
	r := verify(t, c, withKey(t, early, late))
	wantFirst(t, r, CheckpointRoot, 649)
	if !has(r, Fork) {
		t.Errorf("two signed histories are no fork? %+v", r.Findings)
	}
	if want := []byte("the first that differs is one of 300 to 649"); !bytes.Contains([]byte(r.Findings[0].What), want) {
		t.Errorf("%s", r.Findings[0].What)
	}
}

func TestARewriteThatLeavesTheTilesIsNamedWhereItBegins(t *testing.T) {
	l := newLog(t, 700)
	for _, k := range []int{0, 5, 255, 256, 511} {
		c := l.clone()
		c.entries[k] = flip(c.entries[k], 200, 1)
		c.relink(k + 1)
		r := verify(t, c, withKey(t))
		if r.Intact || r.Findings[0].Index != uint64(k) {
			t.Fatalf("rewritten from %d: %+v", k, r.Findings)
		}
	}
}

func TestTwoCheckpointsThatForkAreNamed(t *testing.T) {
	l, other := newLog(t, 300), newLog(t, 301)
	r := verify(t, l, withKey(t, l.signed(t, 200), other.signed(t, 200)))
	wantFirst(t, r, CheckpointRoot, 199)
	if !has(r, Fork) {
		t.Errorf("same size, other root: %+v", r.Findings)
	}
	// Both beyond the log: their own disagreement is all there is.
	short := l.clone()
	short.entries = short.entries[:100]
	short.retile()
	short.checkpoint = nil
	r = verify(t, short, withKey(t, l.signed(t, 200), other.signed(t, 200)))
	if !has(r, Fork) || !has(r, Truncated) {
		t.Errorf("both beyond the log: %+v", r.Findings)
	}
}

func TestACheckpointOfAnotherKeyOrLogIsNamed(t *testing.T) {
	l := newLog(t, 30)
	stranger, _ := signerOf(t, testOrigin, 9)
	msg, err := l.head(t, 30).Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	wantFirst(t, verify(t, l, withKey(t, msg)), CheckpointSignature, 0)
	c := l.clone()
	c.checkpoint = msg
	wantFirst(t, verify(t, c, withKey(t)), CheckpointSignature, 0)

	elsewhere, _ := signerOf(t, "other.example/log", 1)
	head := l.head(t, 30)
	head.Origin = "other.example/log"
	if msg, err = head.Sign(elsewhere); err != nil {
		t.Fatal(err)
	}
	wantFirst(t, verify(t, l, withKey(t, msg)), CheckpointOrigin, 0)
	wantFirst(t, verify(t, l, VerifyOptions{Checkpoints: [][]byte{msg}}), CheckpointOrigin, 0)
}

func TestTimeThatGoesBackIsNamed(t *testing.T) {
	for _, k := range []int{1, 100, 256, 299} { // 256: across blocks
		l := newLog(t, 300)
		l.entries[k] = slices.Clone(l.entries[k])
		Complete(l.entries[k], 1_600_000_000_000, Hash{})
		l.relink(k)
		l.retile()
		l.sign(t)
		r := verify(t, l, withKey(t))
		wantFirst(t, r, TimeWentBack, uint64(k))
		if len(r.Findings) != 1 {
			t.Errorf("%+v", r.Findings)
		}
	}
}

func TestAMalformedEntryIsNamedEvenIfItWasLoggedSo(t *testing.T) {
	for _, k := range []int{0, 3, 255, 256, 299} {
		l := newLog(t, 300)
		l.entries[k] = append(slices.Clone(l.entries[k]), 0)
		l.relink(k + 1)
		l.retile()
		l.sign(t)
		r := verify(t, l, withKey(t))
		wantFirst(t, r, EntryMalformed, uint64(k))
		if len(r.Findings) != 1 {
			t.Errorf("%+v", r.Findings)
		}
	}
}

func TestMissingAndMisshapenTilesAreNamed(t *testing.T) {
	l := newLog(t, 600)
	c := l.clone()
	delete(c.tiles, tileKey{0, 1})
	wantFirst(t, verify(t, c, withKey(t)), TileMissing, 256)
	for _, b := range [][]byte{{}, l.tiles[tileKey{0, 1}][:TileSize-1], append(slices.Clone(l.tiles[tileKey{0, 1}]), 0)} {
		c = l.clone()
		c.tiles[tileKey{0, 1}] = b
		wantFirst(t, verify(t, c, withKey(t)), TileDiffers, 256)
	}
}

func TestARunOfMissingEntriesIsOneFinding(t *testing.T) {
	l := newLog(t, 900)
	for i := 200; i < 600; i++ {
		l.entries[i] = nil
	}
	r := verify(t, l, withKey(t))
	wantFirst(t, r, EntryMissing, 200)
	if want := "entries 200 to 599 are not there"; r.Findings[0].What != want {
		t.Errorf("%q, want %q", r.Findings[0].What, want)
	}
}

func TestAnEntryDroppedRightAfterATileIsNamedWithoutCheckpoint(t *testing.T) {
	l := newLog(t, 300)
	l.checkpoint = nil
	l.entries = slices.Delete(l.entries, 256, 257)
	wantFirst(t, verify(t, l, VerifyOptions{}), EntryAltered, 256)

	// The tile of the entry tells, though that of the one before is gone.
	l = newLog(t, 600)
	l.entries = slices.Delete(l.entries, 256, 257)
	delete(l.tiles, tileKey{0, 0})
	r := verify(t, l, withKey(t))
	wantFirst(t, r, TileMissing, 0)
	if f := r.Findings[1]; f.Kind != EntryAltered || f.Index != 256 {
		t.Errorf("%+v", r.Findings)
	}
}

func TestTheNeighbourOfARedatedEntryIsNotBlamed(t *testing.T) {
	l := newLog(t, 300)
	l.entries[100] = flip(l.entries[100], 3, 0x40) // far in the future
	r := verify(t, l, withKey(t))
	wantFirst(t, r, EntryAltered, 100)
	if has(r, TimeWentBack) {
		t.Errorf("%+v", r.Findings)
	}
}
