package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"consentledger/crypto/rootkey"
	"consentledger/crypto/seal"
	"consentledger/ledger"
	"consentledger/ledger/chain"
	"consentledger/ledger/consent"
	"consentledger/ledger/store/bolt"
)

// A Genesis says what a new ledger holds.
type Genesis struct {
	Origin   string   // its public name
	Policies [][]byte // the policy files, texts inline; all of one controller
	Writer   bool     // make a writer's key, too
}

// Created is a new ledger. The keys are shown this once.
type Created struct {
	Origin    string
	PublicKey string // signed-note verifier key
	AdminKey  string
	WriterKey string // if Genesis.Writer
	Grade     string // how surely the place of the root-key file forgets old keys
}

// Create makes a ledger in dir, where nothing is yet, and its root-key file.
// It appears under its name only when it is whole and durable; an error leaves
// nothing behind. What is wrong with the policies is found before anything is
// made.
//
// The root-key file comes first, at its final place: it refuses to replace
// another, so of two that run at once one fails, and a database that nothing
// opens never comes to be.
func Create(dir, root string, g Genesis, o Options) (c Created, err error) {
	if err := vacant(dir); err != nil {
		return Created{}, err
	}
	if err := vacantRoot(dir, root); err != nil {
		return Created{}, err
	}
	if _, err := chain.ParseOrigin(g.Origin); err != nil {
		return Created{}, fmt.Errorf("the ledger's name (--origin): %w", err)
	}
	if err := checkPolicies(g.Policies, o); err != nil {
		return Created{}, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), filepath.Base(filepath.Clean(dir))+initInfix+"*")
	if err != nil {
		return Created{}, fmt.Errorf("make the data directory: %w", hint(err, filepath.Dir(filepath.Clean(dir))))
	}
	undo := undo{tmp: tmp}
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	if err := os.Chmod(tmp, 0o700); err != nil { // whatever the umask
		return Created{}, fmt.Errorf("make the data directory: %w", err)
	}
	if c, err = fill(tmp, root, g, o, &undo); err != nil {
		return Created{}, fmt.Errorf("make the ledger: %w", hint(err, filepath.Dir(filepath.Clean(dir))))
	}
	if err := publish(tmp, dir, &undo); err != nil {
		return Created{}, fmt.Errorf("make the ledger: %w", err)
	}
	return c, nil
}

const initInfix = ".init-"

// vacant refuses whatever stands where the ledger is to be.
func vacant(dir string) error {
	if Exists(dir) == nil {
		return fmt.Errorf("%w: %s holds a ledger: serve it with `consentledger serve --dir %s`, or give a new one another path; a ledger is never replaced", ErrExists, dir, dir)
	}
	switch names, err := os.ReadDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %s: %w: give a path at which there is nothing", ErrExists, dir, err)
	case len(names) > 0:
		return fmt.Errorf("%w: %s is not empty and holds no ledger: give a path at which there is nothing, such as %s", ErrExists, dir, filepath.Join(dir, "ledger"))
	}
	return nil
}

// vacantRoot says what to do about a root-key file without its ledger: an init
// that was cut short leaves one, and so does a data directory that was lost.
func vacantRoot(dir, root string) error {
	if _, err := os.Lstat(root); err != nil {
		return nil // rootkey.Create decides
	}
	if left, _ := filepath.Glob(escape(filepath.Clean(dir)) + initInfix + "*"); len(left) > 0 {
		return fmt.Errorf("%w: the root-key file %s is there without its ledger, and an init that was cut short has left %s: nothing was recorded by it; remove both and run init again", ErrExists, root, strings.Join(left, ", "))
	}
	return fmt.Errorf("%w: the root-key file %s is there without its ledger: if the ledger's directory was moved or lost, put it back at %s; without the file nothing in it can be read. Only if nothing was ever recorded with it, remove it and run init again; or give another --root", ErrExists, root, dir)
}

// escape keeps a path's own characters from being a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// checkPolicies finds out, before anything is made, whether a ledger can start
// with these policies.
func checkPolicies(files [][]byte, o Options) error {
	if len(files) == 0 {
		return errors.New("a ledger starts with at least one policy: give its file with --policy")
	}
	now := time.Now()
	if o.Clock != nil {
		now = o.Clock()
	}
	reg := consent.NewRegister()
	for i, src := range files {
		p, err := consent.ParsePolicy(src)
		if err == nil {
			reg, err = reg.With(p, now)
		}
		if err != nil {
			return fmt.Errorf("policy %d of %d: %w", i+1, len(files), err)
		}
	}
	return nil
}

// fill makes everything in tmp, and the root-key file.
func fill(tmp, root string, g Genesis, o Options, u *undo) (Created, error) {
	if err := bolt.Create(Database(tmp), ledger.Maps()); err != nil {
		return Created{}, err
	}
	s, err := bolt.Open(Database(tmp), bolt.Options{Maps: boltMaps()})
	if err != nil {
		return Created{}, err
	}
	defer s.Close() // a second Close does nothing
	o.SweepEvery = -1
	l, err := ledger.Create(options(tmp, s, nil, o), ledger.Genesis{
		Origin: g.Origin,
		RootKey: func(id rootkey.LedgerID, generation uint64, key seal.Key) (ledger.RootKeeper, error) {
			dirs := missingDirs(root)
			f, err := rootkey.Create(root, id, generation, key, rootkey.Options{AcceptWeak: o.AcceptWeakRoot})
			if err != nil {
				return nil, rootHint(err)
			}
			u.root, u.dirs = root, dirs
			return f, nil
		},
	})
	if err != nil {
		return Created{}, err
	}
	c, err := record(l, g)
	return c, errors.Join(err, l.Close())
}

// record makes the first entries: the policies and the keys.
func record(l *ledger.Ledger, g Genesis) (Created, error) {
	ctx := context.Background()
	who := ledger.Caller{KeyID: "local", Role: ledger.RoleAdmin, From: "init"}
	for i, src := range g.Policies {
		if _, _, err := l.AddPolicy(ctx, who, src); err != nil {
			return Created{}, fmt.Errorf("policy %d of %d: %w", i+1, len(g.Policies), err)
		}
	}
	c := Created{Origin: l.Origin(), PublicKey: l.PublicKey(), Grade: l.Grade()}
	var err error
	if _, c.AdminKey, _, err = l.CreateAPIKey(ctx, who, ledger.NewAPIKey{Role: ledger.RoleAdmin, Name: "first-admin"}); err != nil {
		return Created{}, err
	}
	if g.Writer {
		if _, c.WriterKey, _, err = l.CreateAPIKey(ctx, who, ledger.NewAPIKey{Role: ledger.RoleWriter, Name: "first-writer"}); err != nil {
			return Created{}, err
		}
	}
	return c, nil
}

// publish gives a whole and durable directory its name. rename(2) replaces an
// empty directory and nothing else.
func publish(tmp, dir string, u *undo) error {
	for _, d := range []string{filepath.Join(tmp, "tags"), tmp} {
		if err := syncDir(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := unix.Rename(tmp, dir); err != nil {
		return fmt.Errorf("%w: %s: %w: give a path at which there is nothing; a mount point cannot be the data directory itself, a directory in it can", ErrExists, dir, err)
	}
	u.tmp = dir // whose keys nobody has yet
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// undo takes back what a Create that failed has made. No key in the root-key
// file has sealed anything that is left.
type undo struct {
	tmp, root string
	dirs      []string // innermost first
}

func (u *undo) run() {
	_ = os.RemoveAll(u.tmp)
	if u.root != "" {
		_ = os.Remove(u.root)
	}
	for _, d := range u.dirs {
		_ = os.Remove(d) // stays if somebody else has put something there
	}
}

// missingDirs lists the directories that a file needs and that are not there.
func missingDirs(file string) (dirs []string) {
	for d := filepath.Dir(filepath.Clean(file)); ; d = filepath.Dir(d) {
		if _, err := os.Lstat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			return dirs
		}
		dirs = append(dirs, d)
	}
}
