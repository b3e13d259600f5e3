package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// activated is the socket that systemd passed (sd_listen_fds(3)), nil if it passed none.
func (l *listening) activated() (net.Listener, error) {
	all, err := activation.Listeners()
	switch {
	case err != nil:
		return nil, fmt.Errorf("take the socket from systemd: %w", err)
	case len(all) == 0:
		return nil, nil
	}
	if len(all) > 1 || all[0] == nil {
		for _, ln := range all {
			if ln != nil {
				err = errors.Join(err, ln.Close())
			}
		}
		return nil, errors.Join(fmt.Errorf("systemd passed %d sockets, or one that does not listen: give the .socket unit one ListenStream=", len(all)), err)
	}
	ln := all[0]
	if err := l.mayShow(ln.Addr()); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// mayShow refuses what --listen would be refused for.
func (l *listening) mayShow(a net.Addr) error {
	if tcp, ok := a.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && l.TLSCert == "" && !l.AllowPlaintext {
		return plaintext("ListenStream=" + tcp.String())
	}
	return nil
}

// tell says to systemd what the server is at (sd_notify(3)), if it runs under it.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told how the server is", "error", err.Error())
	}
}
