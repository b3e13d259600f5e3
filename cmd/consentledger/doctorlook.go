package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"consentledger/crypto/rootkey"
	"consentledger/ledger/chain"
	"consentledger/server"
	"consentledger/server/api"
)

// look gathers the facts.
func (c *doctorCmd) look(ctx context.Context) *facts {
	f := &facts{now: time.Now(), minFree: c.MinFree, free: map[string]room{}}
	if clock := c.options(nil).Clock; clock != nil {
		f.now = clock()
	}
	f.lookFiles(c.Dir, c.root())
	f.lookRoot(c.Dir, c.root())
	f.lookLedger(ctx, c)
	f.lookTLS(&c.listening)
	f.lookMachine(f.serverPID(ctx, c.Dir))
	dirs := []string{c.Dir}
	if !f.rootBeside {
		dirs = append(dirs, filepath.Dir(c.root()))
	}
	for _, dir := range dirs {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			f.notKnown("room on "+dir, err)
			continue
		}
		f.free[dir] = room{uint64(st.Bavail) * uint64(st.Bsize), st.Blocks * uint64(st.Bsize)} //nolint:gosec,unconvert // sizes are not negative; the types differ between systems
	}
	return f
}

func (f *facts) notKnown(what string, err error) {
	f.unknown = append(f.unknown, fmt.Sprintf("%s: %v", what, err))
}

func factOf(path string) (fileFact, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return fileFact{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileFact{}, errors.ErrUnsupported
	}
	return fileFact{path, uint32(info.Mode().Perm()), st.Uid}, nil
}

// lookFiles looks at everything in the data directory, and at the root-key file and its directory.
func (f *facts) lookFiles(dir, root string) {
	add := func(path string) {
		file, err := factOf(path)
		if errors.Is(err, fs.ErrNotExist) { // it has just gone
			return
		}
		if err != nil {
			f.notKnown("the mode of "+path, err)
			return
		}
		f.files = append(f.files, file)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.notKnown("what is in "+path, err)
			return fs.SkipDir
		}
		if err == nil && e.Type() != fs.ModeSymlink { // which has no mode of its own
			add(path)
		}
		return nil
	})
	if err != nil {
		f.notKnown("what is in "+dir, err)
	}
	add(filepath.Dir(root))
	add(root)
	if len(f.files) > 0 {
		f.users = append(f.users, f.files[0].uid)
	}
}

func (f *facts) lookRoot(dir, root string) {
	grade, err := rootkey.Inspect(root)
	if err != nil {
		f.notKnown("how surely the root-key file forgets", err)
	}
	f.rootGrade = grade
	realDir, err1 := filepath.EvalSymlinks(dir)
	realRoot, err2 := filepath.EvalSymlinks(root)
	if err := errors.Join(err1, err2); err != nil {
		f.notKnown("where the root-key file is", err)
		return
	}
	if absolute, err := filepath.Abs(realDir); err == nil {
		realDir = absolute
	}
	if absolute, err := filepath.Abs(realRoot); err == nil {
		realRoot = absolute
	}
	f.rootInside = strings.HasPrefix(realRoot, realDir+string(filepath.Separator))
	var a, b syscall.Stat_t
	if errors.Join(syscall.Stat(realDir, &a), syscall.Stat(realRoot, &b)) == nil {
		f.rootBeside = a.Dev == b.Dev
	}
}

// lookLedger asks the server that runs, or opens the ledger.
func (f *facts) lookLedger(ctx context.Context, c *doctorCmd) {
	err := c.withControl(ctx, func(s *control) error {
		var r *refusal
		if _, err := s.do(ctx, http.MethodGet, "/readyz", "", nil); errors.As(err, &r) {
			f.notReady = r.Code
		} else if err != nil {
			return err
		}
		if f.notReady == "starting" {
			return nil
		}
		var all api.Keys
		if err := s.call(ctx, http.MethodGet, "/v1/keys", nil, &all); err != nil {
			return err
		}
		for _, k := range all.Keys {
			if k.RevokedAt != nil {
				continue
			}
			fact := keyFact{id: k.ID, role: k.Role, created: k.CreatedAt}
			if k.LastUsed != "" {
				used, err := time.Parse(time.DateOnly, k.LastUsed)
				if err != nil {
					return fmt.Errorf("when %s was last used: %w", k.ID, err)
				}
				fact.lastUsed = used
			}
			f.keys = append(f.keys, fact)
		}
		var signers api.Witnesses
		if err := s.call(ctx, http.MethodGet, "/v1/witnesses", nil, &signers); err != nil {
			return err
		}
		f.required = int(signers.Required)
		for _, w := range signers.Witnesses {
			fact := witnessFact{id: w.ID, name: w.Name}
			if w.AwaySince != nil {
				fact.awaySince = *w.AwaySince
			}
			f.witnesses = append(f.witnesses, fact)
		}
		log := &controlSource{ctx: ctx, c: s}
		size, err := log.Size()
		if err != nil || size == 0 {
			return err
		}
		return log.Entries(size-1, func(_ uint64, b []byte) error {
			e, err := chain.Parse(b)
			if err == nil {
				f.lastEntry = time.UnixMilli(e.RecordedAtUnixMs)
			}
			return err
		})
	})
	if err != nil {
		f.notOpened = err.Error()
	}
}

func (f *facts) lookTLS(l *listening) {
	if l.TLSCert == "" && l.TLSKey == "" {
		if host, _, err := net.SplitHostPort(l.Listen); err == nil && !isLoopback(host) {
			f.open = l.Listen
		}
		return
	}
	cert, err := tls.LoadX509KeyPair(l.TLSCert, l.TLSKey)
	if err != nil {
		f.certError = err.Error()
		return
	}
	f.certExpires = cert.Leaf.NotAfter
	if key, err := factOf(l.TLSKey); err == nil {
		f.tlsKey = &key
	}
}

// serverPID is the process at the other end of the control socket, 0 if none runs.
func (f *facts) serverPID(ctx context.Context, dir string) int {
	conn, err := server.DialControl(ctx, dir)
	if err != nil {
		return 0
	}
	defer conn.Close()
	pid, uid, err := peer(conn)
	if err != nil {
		f.notKnown("which process the server is", err)
		return 0
	}
	f.users = append(f.users, uid)
	return pid
}
