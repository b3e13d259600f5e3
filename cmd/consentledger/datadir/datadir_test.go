package datadir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/crypto/rootkey"
	"consentledger/testdata/policies"
)

var options = datadir.Options{AcceptWeakRoot: true, SweepEvery: -1}

func genesis() datadir.Genesis {
	return datadir.Genesis{Origin: "test.example", Policies: [][]byte{policies.Haim()}, Writer: true}
}

// names lists everything under a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOfSeveralCreatesAtOnceOneWinsAndTheOthersLeaveNothing(t *testing.T) {
	for range 5 {
		base := t.TempDir()
		dir := filepath.Join(base, "L")
		var wg sync.WaitGroup
		errs := make([]error, 4)
		made := make([]datadir.Created, 4)
		for i := range errs {
			wg.Go(func() { made[i], errs[i] = datadir.Create(dir, datadir.DefaultRoot(dir), genesis(), options) })
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			switch {
			case err == nil && won >= 0:
				t.Fatal("two have won")
			case err == nil:
				won = i
			case !errors.Is(err, datadir.ErrExists) && !errors.Is(err, rootkey.ErrExists):
				t.Errorf("a loser was told: %v", err)
			}
		}
		if won < 0 {
			t.Fatalf("nobody won: %v", errs)
		}
		l, err := datadir.Open(dir, datadir.DefaultRoot(dir), options)
		if err != nil {
			t.Fatal(err)
		}
		if l.PublicKey() != made[won].PublicKey {
			t.Error("the ledger is not the winner's")
		}
		if _, err := l.Authenticate(made[won].WriterKey, "test"); err != nil {
			t.Errorf("the winner's key: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if left := names(t, base); len(left) != 6 { // L, ledger.db, head, tags, L-root, root.key
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestACreateThatFailsLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(base string) error
		dir, root string
		change    func(g *datadir.Genesis)
	}{
		"the root key's place is a file": {
			prepare: func(base string) error { return os.WriteFile(filepath.Join(base, "f"), nil, 0o600) },
			dir:     "L", root: "f/root.key",
		},
		"there is a root key": {
			prepare: func(base string) error { return os.WriteFile(filepath.Join(base, "f"), nil, 0o600) },
			dir:     "L", root: "f",
		},
		"no parent":       {dir: "no/L", root: "r/root.key"},
		"a file is there": {prepare: func(base string) error { return os.WriteFile(filepath.Join(base, "L"), nil, 0o600) }, dir: "L", root: "r/root.key"},
		"no policy":       {dir: "L", root: "r/root.key", change: func(g *datadir.Genesis) { g.Policies = nil }},
		"no name":         {dir: "L", root: "r/root.key", change: func(g *datadir.Genesis) { g.Origin = "" }},
		"the same policy twice": {dir: "L", root: "r/root.key", change: func(g *datadir.Genesis) {
			g.Policies = append(g.Policies, g.Policies[0])
		}},
	} {
		base := t.TempDir()
		if c.prepare != nil {
			if err := c.prepare(base); err != nil {
				t.Fatal(err)
			}
		}
		before := names(t, base)
		g := genesis()
		if c.change != nil {
			c.change(&g)
		}
		made, err := datadir.Create(filepath.Join(base, c.dir), filepath.Join(base, c.root), g, options)
		if err == nil || made != (datadir.Created{}) {
			t.Errorf("%s: %v, %v", name, made, err)
		}
		if after := names(t, base); len(after) != len(before) {
			t.Errorf("%s: left behind %v", name, after)
		}
	}
}

func TestOpenTellsItsErrorsApart(t *testing.T) {
	base := t.TempDir()
	dir, other := filepath.Join(base, "L"), filepath.Join(base, "M")
	for _, d := range []string{dir, other} {
		if _, err := datadir.Create(d, datadir.DefaultRoot(d), genesis(), options); err != nil {
			t.Fatal(err)
		}
	}
	l, err := datadir.Open(dir, datadir.DefaultRoot(dir), options)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		what, dir, root string
		want            error
	}{
		{"a ledger that is open", dir, datadir.DefaultRoot(dir), datadir.ErrBusy},
		{"no ledger", filepath.Join(base, "N"), datadir.DefaultRoot(dir), datadir.ErrMissing},
		{"no root key", other, filepath.Join(base, "none"), rootkey.ErrMissing},
		{"a root key that is in use", other, datadir.DefaultRoot(dir), rootkey.ErrBusy},
	} {
		if l, err := datadir.Open(c.dir, c.root, options); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", c.what, l, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := datadir.Open(other, datadir.DefaultRoot(dir), options); !errors.Is(err, rootkey.ErrOtherLedger) {
		t.Errorf("another ledger's root key: %v", err)
	}
	// The control: with their own root keys both open.
	for _, d := range []string{dir, other} {
		l, err := datadir.Open(d, datadir.DefaultRoot(d), options)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
