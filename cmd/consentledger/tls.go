package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certFiles are a server's certificate, its key and the authority of its clients, read anew when one of
// the files has changed: a certificate is renewed by putting new files in the place of the old, and no
// connection ends for it. Files that do not fit each other change nothing and are logged.
type certFiles struct {
	cert, key, clientCA string
	log                 *slog.Logger
	now                 func() time.Time

	mu     sync.Mutex
	config *tls.Config
	seen   [3]stamp
	bad    [3]stamp // of the files that were last complained of
	looked time.Time
}

type stamp struct {
	modified time.Time
	size     int64
}

// lookEvery is how often a handshake looks at the files, at the most.
const lookEvery = time.Second

// tlsConfig returns a configuration that follows the files.
func (f *certFiles) tlsConfig() (*tls.Config, error) {
	config, err := f.read()
	if err != nil {
		return nil, err
	}
	f.config, f.seen, f.looked = config, f.stamps(), f.now()
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         config.NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil },
		// Never asked, because GetConfigForClient answers first; net/http wants to see one.
		Certificates: config.Certificates,
	}, nil
}

func (f *certFiles) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate and its key: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	if f.clientCA == "" {
		return config, nil
	}
	config.ClientCAs, err = readAuthorities(f.clientCA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of client certificates: %w", err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}

// readAuthorities takes a file of whole certificates. One that is damaged must not pass as a file with fewer
// authorities, which is what skipping it would do.
func readAuthorities(name string) (*x509.CertPool, error) {
	rest, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	begun := bytes.Count(rest, []byte("-----BEGIN "))
	if begun == 0 {
		return nil, errors.New("the file holds no certificate in PEM")
	}
	pool := x509.NewCertPool()
	for n := 1; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n <= begun {
				return nil, errors.New("a certificate in the file is not whole: copy the file anew")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the file holds a %q: leave only certificates in it", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		pool.AddCert(cert)
	}
}

func (f *certFiles) stamps() (s [3]stamp) {
	for i, name := range []string{f.cert, f.key, f.clientCA} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// current is asked at every handshake.
func (f *certFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.looked) < lookEvery && now.After(f.looked) {
		return f.config
	}
	f.looked = now
	seen := f.stamps()
	if seen == f.seen {
		return f.config
	}
	config, err := f.read()
	if err == nil && now.After(config.Certificates[0].Leaf.NotAfter) {
		err = errors.New("the certificate has run out")
	}
	if err != nil {
		// The two files are not changed at one moment, so the next look may find them whole. What is
		// wrong is said once, and not at each handshake.
		if seen != f.bad {
			f.log.Error("the new certificate cannot be used; the one before it stays", "error", err.Error())
			f.bad = seen
		}
		return f.config
	}
	f.config, f.seen = config, seen
	f.log.Info("a new certificate is in use")
	return f.config
}
