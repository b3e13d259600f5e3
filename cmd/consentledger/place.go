package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"consentledger/cmd/consentledger/datadir"
	"consentledger/ledger/consent"
)

// place is where a ledger is.
type place struct {
	Dir            string `placeholder:"D" default:"consent-data" help:"The ledger's directory (default ${default})."`
	Root           string `placeholder:"F" help:"The root-key file (default <dir>-root/root.key). Keep it out of every backup of the directory; who loses it loses the ledger."`
	AcceptWeakRoot bool   `help:"Accept a filesystem for the root-key file where overwriting in place cannot be shown. Destroyed keys may then survive there, and every proof of destruction says so."`
}

func (p place) root() string {
	if p.Root != "" {
		return p.Root
	}
	return datadir.DefaultRoot(p.Dir)
}

func (p place) options(log *slog.Logger) datadir.Options {
	return clocked(datadir.Options{AcceptWeakRoot: p.AcceptWeakRoot, Log: log})
}

// once is for a command that does one thing and ends: what is due is left to the server.
func (p place) once() datadir.Options {
	o := p.options(nil)
	o.SweepEvery = -1
	return o
}

// readPolicy reads a policy file and puts the texts that it names in their
// place. What is wrong with it is said with its name.
func readPolicy(path string) ([]byte, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the policy file: %w", err)
	}
	dir := os.DirFS(filepath.Dir(path))
	src, err = consent.InlineTexts(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), func(name string) ([]byte, error) {
		return fs.ReadFile(dir, name)
	})
	if err == nil {
		_, err = consent.ParsePolicy(src)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return src, nil
}

func readPolicies(paths []string) ([][]byte, error) {
	var all [][]byte
	for _, p := range paths {
		src, err := readPolicy(p)
		if err != nil {
			return nil, err
		}
		all = append(all, src)
	}
	return all, nil
}
