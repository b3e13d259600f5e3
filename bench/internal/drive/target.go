// Package drive sends load to a running server and counts what comes back.
//
// It speaks HTTP/1.1 over plain connections with requests that were made
// beforehand and a reader that looks only at what the server's answers have:
// the driver shares the processors with the server, and what it uses up itself
// would be counted as the server's slowness. A net/http client costs about as
// much as the server that it asks.
//
// It talks to loopback addresses only.
package drive

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// A Target is a server on this machine, and a key for it.
type Target struct {
	address string
	key     string
}

// ErrNotLoopback says that a target is not on this machine.
var ErrNotLoopback = errors.New("load is sent to loopback addresses only: name 127.0.0.1, [::1] or localhost")

// ParseTarget reads http://HOST:PORT.
func ParseTarget(rawURL, key string) (Target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Target{}, fmt.Errorf("the url of the server: %w", err)
	}
	if u.Scheme != "http" || u.Port() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return Target{}, errors.New("the url of the server has the form http://127.0.0.1:8787")
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	// A name is never looked up: what it stands for could change.
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return Target{}, ErrNotLoopback
	}
	return Target{net.JoinHostPort(host, u.Port()), key}, nil
}

// ReadKey reads an API key from the first line of a file.
func ReadKey(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the API key: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("%s holds no API key in its first line", path)
	}
	return line, nil
}

// head is a request's header. A length below zero stands for chunks.
func (t Target) head(path, media string, length int) []byte {
	framing := "Transfer-Encoding: chunked"
	if length >= 0 {
		framing = fmt.Sprintf("Content-Length: %d", length)
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n",
		path, t.address, t.key, media, framing)
}
