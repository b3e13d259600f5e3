package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"consentledger/ledger/chain"
	"consentledger/ledger/remote/tilestest"
)

// prefix is the log as it was with its first n entries.
func prefix(t testing.TB, l *tilestest.Log, n int) *tilestest.Log {
	t.Helper()
	p, err := l.Prefix(n, origin, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// continued checks what is new at a URL since a head, as the command does, and
// says from which entry on.
func continued(t testing.TB, url string, head []byte, outside ...[]byte) (from uint64, _ []chain.Finding, _ error) {
	t.Helper()
	l, err := Open(t.Context(), url, Options{Connections: 4})
	if err != nil {
		return 0, nil, err
	}
	defer l.Close()
	l.pause = time.Millisecond
	start, err := l.Start(Claims(head))
	if err != nil {
		return 0, nil, err
	}
	if start != nil {
		from = start.Size
	}
	r, err := chain.Verify(t.Context(), l, chain.VerifyOptions{Verifier: verifier(t), Checkpoints: append(outside, head), Jobs: 4, Start: start})
	if err != nil {
		return from, nil, err
	}
	found := append(r.Findings, l.Findings()...)
	if len(found) > 0 {
		return from, found, nil
	}
	_, found, err = l.CheckEdge(r.Edges)
	return from, found, err
}

func TestWhatWasVerifiedBeforeIsNotReadAgain(t *testing.T) {
	all := newLog(t, 66_700)
	for _, c := range []struct{ before, now int }{
		{1, 300},
		{256, 257},
		{257, 257},
		{512, 513},
		{513, 700},
		{600, 66_000},
		{65_535, 65_537},
		{65_536, 65_536},
		{65_536, 65_793},
		{65_537, 66_000},
		{66_600, 66_700},
	} {
		t.Run(fmt.Sprintf("from %d to %d", c.before, c.now), func(t *testing.T) {
			old := prefix(t, all, c.before)
			h, paths := recorded(tilestest.Handler(prefix(t, all, c.now)))
			// A checkpoint that lies far below what is read is proved, not computed.
			from, found, err := continued(t, serve(t, h), old.Head, prefix(t, all, c.before/3).Head)
			if err != nil || len(found) > 0 {
				t.Fatalf("%v, %v", found, err)
			}
			if want := uint64(c.before-1) / 256 * 256; from != want {
				t.Errorf("it was read from %d on instead of %d", from, want)
			}
			bundles, tiles := 0, 0
			for _, p := range paths() {
				n, width, err := chain.ParseEntriesPath(p[1:])
				switch {
				case err == nil:
					bundles++
					if n < from/256 {
						t.Errorf("%s (width %d) was read again", p, width)
					}
				case p != "/checkpoint":
					tiles++
				}
			}
			fresh := (c.now+255)/256 - int(from/256)
			if bundles != fresh {
				t.Errorf("%d bundles were read instead of %d", bundles, fresh)
			}
			// Those of the new entries and above them; and those that lead to the
			// old head and to the one far below it, some on each level.
			if tiles > fresh+20 {
				t.Errorf("%d tiles were read for %d bundles", tiles, fresh)
			}
		})
	}
}

func TestALogThatDoesNotContinueTheHeadIsNotStarted(t *testing.T) {
	all := newLog(t, 900)
	old := prefix(t, all, 700)
	other, err := tilestest.New(900, origin, seed, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Entry 100 is altered and all after it is written anew, as one can who has all keys.
	altered := &tilestest.Log{All: slices.Clone(all.All), Tiles: map[string][]byte{}}
	altered.All[100] = bytes.Clone(altered.All[100])
	altered.All[100][200] ^= 1
	tree := chain.NewTree()
	for i, e := range altered.All {
		if i > 100 {
			e = bytes.Clone(e)
			chain.Complete(e, 1_700_000_000_000+int64(i), chain.LeafHash(altered.All[i-1]))
			altered.All[i] = e
		}
		tree.Append(chain.LeafHash(e))
	}
	tree.TakeFullTiles(func(level int, n uint64, data []byte) { altered.Tiles[chain.TilePath(level, n, 256)] = data })
	altered.Head = prefix(t, altered, 900).Head
	if found, err := check(t, serve(t, tilestest.Handler(altered))); err != nil || len(found) > 0 {
		t.Fatalf("control: the rewritten log by itself: %v, %v", found, err)
	}
	if from, found, err := continued(t, serve(t, tilestest.Handler(all)), old.Head); from != 512 || err != nil || len(found) > 0 {
		t.Fatalf("control: the same log: %d, %v, %v", from, found, err)
	}
	for name, l := range map[string]*tilestest.Log{"another": other, "an altered entry": altered, "a shorter one": prefix(t, all, 600)} {
		if _, found, err := continued(t, serve(t, tilestest.Handler(l)), old.Head); !errors.Is(err, ErrNoStart) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	// The old tiles are shown as they were, and new entries of another history.
	mixed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of := altered
		if _, _, width, err := chain.ParseTilePath(r.URL.Path[1:]); err == nil && (width < 256 || r.URL.Path == "/tile/0/000" || r.URL.Path == "/tile/0/001") {
			of = all
		}
		tilestest.Handler(of).ServeHTTP(w, r)
	})
	from, found, err := continued(t, serve(t, mixed), old.Head)
	if from != 512 || err != nil || !slices.ContainsFunc(found, func(f chain.Finding) bool { return f.Kind == chain.CheckpointRoot }) {
		t.Errorf("old tiles and new entries: from %d, %v, %v", from, found, err)
	}
}

// Every answer that is read for what is new is looked at: a flip in it ends in
// a finding, or in that nothing is left out.
func TestOneFlippedBitInAnyAnswerAboutWhatIsNewIsFound(t *testing.T) {
	all := newLog(t, 1100)
	old, far := prefix(t, all, 700), prefix(t, all, 300).Head
	log := tilestest.Handler(prefix(t, all, 1000))
	h, paths := recorded(log)
	if from, found, err := continued(t, serve(t, h), old.Head, far); from != 512 || err != nil || len(found) > 0 {
		t.Fatalf("control: %d, %v, %v", from, found, err)
	}
	read := slices.Compact(slices.Sorted(slices.Values(paths())))
	if len(read) < 7 {
		t.Fatalf("only %v were read", read)
	}
	for _, path := range read {
		for _, part := range []int{0, 1, 2, 3} {
			bad := changed(log, path, func(b []byte) []byte {
				b[part*(len(b)-1)/3] ^= 1
				return b
			})
			if _, found, err := continued(t, serve(t, bad), old.Head, far); errors.Is(err, ErrUnavailable) || err == nil && len(found) == 0 {
				t.Errorf("%s, %d of 3: found %v, %v", path, part, found, err)
			}
		}
		for name, change := range map[string]func(b []byte) []byte{
			"cut":     func(b []byte) []byte { return b[:len(b)-1] },
			"longer":  func(b []byte) []byte { return append(b, 0) },
			"empty":   func([]byte) []byte { return nil },
			"endless": func(b []byte) []byte { return append(b, make([]byte, maxBundle)...) },
		} {
			if _, found, err := continued(t, serve(t, changed(log, path, change)), old.Head, far); errors.Is(err, ErrUnavailable) || err == nil && len(found) == 0 {
				t.Errorf("%s, %s: found %v, %v", path, name, found, err)
			}
		}
	}
	// What is not read is not looked at.
	unread := "/tile/entries/000"
	if slices.Contains(read, unread) {
		t.Fatalf("%s was read", unread)
	}
	if _, found, err := continued(t, serve(t, changed(log, unread, func([]byte) []byte { return nil })), old.Head, far); err != nil || len(found) > 0 {
		t.Errorf("%s is looked at after all: %v, %v", unread, found, err)
	}
}

func TestAnOlderCheckpointThatTheHeadDoesNotContinueIsFound(t *testing.T) {
	all := newLog(t, 1000)
	other, err := tilestest.New(1000, origin, seed, 1)
	if err != nil {
		t.Fatal(err)
	}
	old := prefix(t, all, 700)
	url := serve(t, tilestest.Handler(all))
	for _, n := range []int{1, 255, 256, 300, 511, 512, 513} {
		if _, found, err := continued(t, url, old.Head, prefix(t, all, n).Head); err != nil || len(found) > 0 {
			t.Errorf("control: %d: %v, %v", n, found, err)
		}
		_, found, err := continued(t, url, old.Head, prefix(t, other, n).Head)
		if err != nil || !slices.ContainsFunc(found, func(f chain.Finding) bool { return f.Kind == chain.CheckpointRoot }) {
			t.Errorf("%d entries of another log: %v, %v", n, found, err)
		}
	}
}

func TestALogThatDoesNotAnswerIsNoLogThatDoesNotContinue(t *testing.T) {
	all := newLog(t, 900)
	old := prefix(t, all, 700)
	away := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/tile/") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		tilestest.Handler(all).ServeHTTP(w, r)
	})
	if _, _, err := continued(t, serve(t, away), old.Head); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoStart) {
		t.Error(err)
	}
}
