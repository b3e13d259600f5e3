// Package witnessdir makes and opens the directory of a witness.
//
//	<dir>/witness.db    the newest head of each log that was signed
//	<dir>/witness.key   the signing key, as tlog-cosignature tools write it
//
// The two belong together: a key without its memory would sign other heads of
// sizes that it has signed before.
package witnessdir

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"consentledger/ledger/chain"
	"consentledger/ledger/store"
	"consentledger/ledger/store/bolt"
	"consentledger/server/witness"
)

const (
	databaseName = "witness.db"
	keyName      = "witness.key"
	keyLabel     = "PRIVATE+KEY+"
	seedSize     = 32
	maxKeyFile   = 4 << 10
)

// Create makes a witness of that name in dir, where nothing is yet, with a key
// of its own, and returns its verifier key. It appears under its name only
// when it is whole and durable; an error leaves nothing behind.
func Create(dir, name string) (vkey string, err error) {
	dir = filepath.Clean(dir)
	if _, err := chain.ParseOrigin(name); err != nil {
		return "", fmt.Errorf("the witness's name (--name): %w", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already: a witness is never replaced, because another in its place would not know what it has signed; give a path at which there is nothing", dir)
	}
	var seed [seedSize]byte
	defer clear(seed[:])
	if _, err := rand.Read(seed[:]); err != nil {
		return "", fmt.Errorf("draw the witness's key: %w", err)
	}
	_, vkey, err = chain.NewCosigner(name, seed, time.Now)
	if err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".init-*") // mode 0700
	if err != nil {
		return "", fmt.Errorf("make the witness's directory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err := fill(tmp, vkey, seed); err != nil {
		return "", fmt.Errorf("make the witness: %w", err)
	}
	if err := unix.Rename(tmp, dir); err != nil {
		return "", fmt.Errorf("make the witness in %s: %w", dir, err)
	}
	return vkey, syncDir(filepath.Dir(dir))
}

func fill(dir, vkey string, seed [seedSize]byte) error {
	path := filepath.Join(dir, databaseName)
	if err := bolt.Create(path, witness.Maps()); err != nil {
		return err
	}
	s, err := openStore(path)
	if err != nil {
		return err
	}
	if err := errors.Join(witness.CreateHeads(s, vkey), s.Close()); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, keyName), vkey, seed); err != nil {
		return err
	}
	return syncDir(dir)
}

func openStore(path string) (store.Store, error) {
	maps := make(map[store.Map]bolt.MapOptions)
	for _, m := range witness.Maps() {
		maps[m] = bolt.MapOptions{}
	}
	return bolt.Open(path, bolt.Options{MapBytes: 1 << 30, Maps: maps})
}

// writeKey writes the key as signed-note tools do: the verifier key with a
// label before it, and the seed in place of the public key.
func writeKey(path, vkey string, seed [seedSize]byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	b := make([]byte, 0, maxKeyFile)
	b = append(b, keyLabel...)
	head, _ := cutKey([]byte(vkey))
	b = append(b, head...)
	typed := append(make([]byte, 0, 1+seedSize), 0x04)
	typed = append(typed, seed[:]...)
	b = base64.StdEncoding.AppendEncode(b, typed)
	b = append(b, '\n')
	defer clear(b)
	defer clear(typed)
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// cutKey cuts name+id+base64 after its second plus sign; base64 has more of them.
func cutKey(key []byte) (head, encoded []byte) {
	name, rest, _ := bytes.Cut(key, []byte("+"))
	id, encoded, ok := bytes.Cut(rest, []byte("+"))
	if !ok {
		return key, nil
	}
	return key[:len(name)+1+len(id)+1], encoded
}

// Opened is a witness that is open. Its memory belongs to this process alone.
type Opened struct {
	Heads       *witness.Heads
	Signer      note.Signer
	VerifierKey string

	store store.Store
}

// Close frees the memory.
func (o *Opened) Close() error { return o.store.Close() }

// Open opens the witness in dir. It never makes one; an Open that fails changes
// nothing.
func Open(dir string, now func() time.Time) (*Opened, error) {
	path := filepath.Join(dir, databaseName)
	signer, vkey, err := readKey(filepath.Join(dir, keyName), now)
	if err != nil {
		return nil, missing(err, dir)
	}
	s, err := openStore(path)
	switch {
	case errors.Is(err, bolt.ErrBusy):
		return nil, fmt.Errorf("another process is the witness in %s: two would sign without knowing of each other, so this one does not start: %w", dir, err)
	case err != nil:
		return nil, missing(err, dir)
	}
	h, err := witness.OpenHeads(s, vkey)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w: put back no older copy, because that one would sign twice; make a witness of a new name with `witness init` and tell the logs", path, err), s.Close())
	}
	return &Opened{Heads: h, Signer: signer, VerifierKey: vkey, store: s}, nil
}

// missing says what to do where there is no witness, or half of one.
func missing(err error, dir string) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, e := os.Stat(dir); e == nil {
		return fmt.Errorf("%s holds no whole witness (%s and %s): look at what is there; a witness whose memory is lost must not go on under its key: %w", dir, databaseName, keyName, err)
	}
	return fmt.Errorf("there is no witness at %s: give the right --state, or make one with `consentledger witness init --state %s --name NAME`: %w", dir, dir, err)
}

// readKey reads what writeKey wrote, and nothing else.
func readKey(path string, now func() time.Time) (note.Signer, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, "", err
	case !info.Mode().IsRegular():
		return nil, "", fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, "", fmt.Errorf("%s is open to other users (mode %04o): chmod go= it; if others could read it, make a witness of a new name and key and tell the logs", path, info.Mode().Perm())
	case info.Size() > maxKeyFile:
		return nil, "", badKey(path)
	}
	b := make([]byte, info.Size())
	defer clear(b)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, "", fmt.Errorf("read the witness's key: %w", err)
	}
	line, ended := bytes.CutSuffix(b, []byte("\n"))
	rest, labelled := bytes.CutPrefix(line, []byte(keyLabel))
	head, encoded := cutKey(rest)
	typed := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	defer clear(typed)
	n, err := base64.StdEncoding.Strict().Decode(typed, encoded)
	if err != nil || !ended || !labelled || n != 1+seedSize || typed[0] != 0x04 {
		return nil, "", badKey(path)
	}
	seed := [seedSize]byte(typed[1 : 1+seedSize])
	defer clear(seed[:])
	name, _, _ := bytes.Cut(head, []byte("+"))
	signer, vkey, err := chain.NewCosigner(string(name), seed, now)
	// The id is made from name and key: a changed byte of any of them shows.
	if err != nil || !strings.HasPrefix(vkey, string(head)) {
		return nil, "", badKey(path)
	}
	return signer, vkey, nil
}

// badKey says nothing of what is in the file.
func badKey(path string) error {
	return fmt.Errorf("%s is not the key of a witness, or it is damaged: put the right one back from where it was copied to", path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
