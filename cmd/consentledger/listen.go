package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// listening is where a server listens.
type listening struct {
	Listen         string `placeholder:"A" default:"127.0.0.1:8787" help:"The address to serve on (default ${default}); port 0 takes a free one."`
	TLSCert        string `name:"tls-cert" placeholder:"F" help:"The server's certificate chain (PEM)."`
	TLSKey         string `name:"tls-key" placeholder:"F" help:"The certificate's private key (PEM)."`
	TLSClientCA    string `name:"tls-client-ca" placeholder:"F" help:"The authority (PEM) whose client certificates are taken: a certificate's name may then stand for an API key (key create --certificate)."`
	AllowPlaintext bool   `help:"Serve without TLS on an address that other machines reach. Whoever is on the way then reads API keys and personal data: only behind a proxy that speaks TLS, on a network of its own. Sign-ins through it have one address, so some that fail make all new people wait."`
}

// check finds out what is wrong before anything is opened.
func (l *listening) check() error {
	if (l.TLSCert == "") != (l.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: give both, or neither")
	}
	if l.TLSClientCA != "" && l.TLSCert == "" {
		return errors.New("--tls-client-ca: client certificates need TLS: give --tls-cert and --tls-key too")
	}
	host, _, err := net.SplitHostPort(l.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w: give an address and a port, such as 127.0.0.1:8787", l.Listen, err)
	}
	if l.TLSCert == "" && !l.AllowPlaintext && !isLoopback(host) {
		return plaintext("--listen " + l.Listen)
	}
	return nil
}

func plaintext(where string) error {
	return fmt.Errorf("%s: other machines reach that address, and without TLS API keys and personal data would cross the network in the clear: give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS and limits sign-ins by address (all that it passes on has its own), or accept it with --allow-plaintext", where)
}

// isLoopback goes by the address itself; of names only localhost is taken for
// what it says (RFC 6761 section 6.3), because others can change.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (l *listening) tls(log *slog.Logger) (*tls.Config, error) {
	if l.TLSCert == "" {
		return nil, nil
	}
	f := &certFiles{cert: l.TLSCert, key: l.TLSKey, clientCA: l.TLSClientCA, log: log, now: time.Now}
	return f.tlsConfig()
}

// listen takes the socket that systemd passed, or makes one.
func (l *listening) listen(ctx context.Context) (net.Listener, error) {
	if ln, err := l.activated(); ln != nil || err != nil {
		return ln, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen: %w: another program, perhaps another ledger's server, has this address: stop that one or give another --listen", err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen: %w: this user may not use this port: give one above 1023", err)
	case err != nil:
		return nil, fmt.Errorf("listen: %w: give an address of this machine with --listen", err)
	}
	return ln, nil
}

func (l *listening) url(ln net.Listener) string {
	if l.TLSCert != "" {
		return "https://" + ln.Addr().String()
	}
	return "http://" + ln.Addr().String()
}
