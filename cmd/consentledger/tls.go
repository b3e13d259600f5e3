package main

import (
	"crypto/tls"
	"crypto/x509"
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
	pem, err := os.ReadFile(f.clientCA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of client certificates: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("read the authority of client certificates: the file holds no certificate in PEM")
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
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
	if err != nil {
		// The two files are not changed at one moment, so the next look may find them whole.
		f.log.Error("the new certificate cannot be used; the one before it stays", "error", err.Error())
		return f.config
	}
	f.config, f.seen = config, seen
	f.log.Info("a new certificate is in use")
	return f.config
}
