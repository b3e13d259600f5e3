package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, cert: cert, key: key, next: 2}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// sign makes a certificate and its key, in PEM.
func (a *authority) sign(change func(*x509.Certificate)) (certPEM, keyPEM []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	a.next++
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func writeFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate is renewed under a running server: who is connected stays so, who comes next sees the new
// one, and files that do not fit leave the old one in use.
func TestACertificateIsRenewedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "test")
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func() int64 {
		serial := ca.next
		c, k := ca.sign(func(*x509.Certificate) {})
		writeFiles(t, map[string][]byte{certFile: c, keyFile: k})
		return serial
	}
	first := put()
	s := startServer(t, dir, "--init", "--tls-cert", certFile, "--tls-key", keyFile)
	defer s.stop(t, syscall.SIGTERM)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	serial := func() int64 {
		t.Helper()
		c := dial()
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	old := dial()
	defer old.Close()
	if got := serial(); got != first {
		t.Fatalf("serial %d, want %d", got, first)
	}
	time.Sleep(lookEvery + 100*time.Millisecond)
	writeFiles(t, map[string][]byte{certFile: []byte("no certificate at all")})
	if got := serial(); got != first {
		t.Errorf("with a broken file: serial %d, want %d", got, first)
	}
	second := put()
	renewed := false
	for end := time.Now().Add(10 * time.Second); !renewed && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		renewed = serial() == second
	}
	if !renewed {
		t.Errorf("after the renewal: serial %d, want %d", serial(), second)
	}
	// The connection from before is still good.
	if _, err := io.WriteString(old, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(old); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("the old connection: %v %.20q", err, b)
	}
	log, err := os.ReadFile(s.log.Name())
	if err != nil || !strings.Contains(string(log), "the new certificate cannot be used") || !strings.Contains(string(log), "a new certificate is in use") {
		t.Errorf("the log says nothing of it: %s", log)
	}
	if _, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
}

// The name in a client's certificate stands for a key, if an authority of the server's signed it and it has
// not run out, and for nobody else's.
func TestAClientCertificateStandsForTheKeyOfItsName(t *testing.T) {
	dir := t.TempDir()
	ca, clients, strangers := newAuthority(t, "servers"), newAuthority(t, "clients"), newAuthority(t, "strangers")
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	c, k := ca.sign(func(*x509.Certificate) {})
	writeFiles(t, map[string][]byte{certFile: c, keyFile: k, caFile: clients.pem()})
	s := startServer(t, dir, "--init", "--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca", caFile)
	defer s.stop(t, syscall.SIGTERM)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)

	ask := func(a *authority, change func(*x509.Certificate), token, method, path, body string) (int, string, error) {
		t.Helper()
		config := &tls.Config{RootCAs: pool}
		if a != nil {
			certPEM, keyPEM := a.sign(change)
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			// Sent whatever authorities the server names.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, string(b), err
	}
	dns := func(c *x509.Certificate) { c.DNSNames = []string{"backend.shop.example"} }
	uri := func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "shop.example", Path: "/backend"}}
	}
	const lookup, question = "/v1/lookups", `{"member_id":"nobody"}`

	var made struct{ ID, Key string }
	for name, certificate := range map[string]string{"backend": "backend.shop.example", "mesh": "spiffe://shop.example/backend"} {
		status, b, err := ask(nil, nil, s.admin, "POST", "/v1/keys", `{"role":"writer","name":"`+name+`","certificate":"`+certificate+`"}`)
		if err != nil || status != 201 || json.Unmarshal([]byte(b), &made) != nil || made.Key != "" {
			t.Fatalf("%d %s %v", status, b, err)
		}
	}
	for name, try := range map[string]func(*x509.Certificate){"a DNS name": dns, "a URI": uri} {
		if status, b, err := ask(clients, try, "", "POST", lookup, question); err != nil || status != 404 {
			t.Errorf("control: %s: %d %s %v", name, status, b, err)
		}
	}
	if status, b, err := ask(clients, dns, "", "GET", "/v1/keys", ""); err != nil || status != 403 {
		t.Errorf("its role: %d %s %v", status, b, err)
	}
	for name, try := range map[string]struct {
		a      *authority
		change func(*x509.Certificate)
		token  string
	}{
		"no certificate":            {nil, nil, ""},
		"another name":              {clients, func(c *x509.Certificate) { c.DNSNames = []string{"other.shop.example"} }, ""},
		"the name as a common name": {clients, func(c *x509.Certificate) { c.Subject.CommonName = "backend.shop.example" }, ""},
		"a wildcard":                {clients, func(c *x509.Certificate) { c.DNSNames = []string{"*.shop.example"} }, ""},
		"a token that is not one":   {clients, dns, "cl_live_nobody"},
	} {
		if status, b, err := ask(try.a, try.change, try.token, "POST", lookup, question); err != nil || status != 401 {
			t.Errorf("%s: %d %s %v", name, status, b, err)
		}
	}
	for name, try := range map[string]struct {
		a      *authority
		change func(*x509.Certificate)
	}{
		"another authority's":  {strangers, dns},
		"one that has run out": {clients, func(c *x509.Certificate) { dns(c); c.NotAfter = time.Now().Add(-time.Second) }},
		"a server's":           {clients, func(c *x509.Certificate) { dns(c); c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
	} {
		if status, b, err := ask(try.a, try.change, "", "POST", lookup, question); err == nil {
			t.Errorf("%s is let in: %d %s", name, status, b)
		}
	}
	all, _, err := ask(nil, nil, s.admin, "DELETE", "/v1/keys/"+made.ID, "")
	if err != nil || all != 200 {
		t.Fatal(all, err)
	}
	revoked := 0
	for _, try := range []func(*x509.Certificate){dns, uri} {
		if status, _, err := ask(clients, try, "", "POST", lookup, question); err == nil && status == 401 {
			revoked++
		}
	}
	if revoked != 1 {
		t.Errorf("%d of two certificates are let in no more after one key was revoked", revoked)
	}
}

// A connection that is open gives no right to anything: each request on it is asked anew whose key it is, over HTTP/1.1 and 2.
func TestAnOpenConnectionDoesNotOutliveTheKeyOfItsCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "everybody")
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	c, k := ca.sign(func(*x509.Certificate) {})
	writeFiles(t, map[string][]byte{certFile: c, keyFile: k, caFile: ca.pem()})
	s := startServer(t, dir, "--init", "--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca", caFile)
	defer s.stop(t, syscall.SIGTERM)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	pair := clientOf(t, ca)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		connections := 0
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*pair}},
			ForceAttemptHTTP2: proto == "HTTP/2.0",
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				connections++
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		ask := func(token, method, path, body string) (int, []byte) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.Proto != proto {
				t.Fatalf("%s %v", res.Proto, err)
			}
			return res.StatusCode, b
		}
		lookup := func() int {
			status, _ := ask("", "POST", "/v1/lookups", `{"member_id":"nobody"}`)
			return status
		}
		if got := lookup(); got != 401 {
			t.Errorf("%s: before there is a key: %d", proto, got)
		}
		var made struct{ ID string }
		if status, b := ask(s.admin, "POST", "/v1/keys", `{"role":"writer","name":"backend","certificate":"backend.shop.example"}`); status != 201 || json.Unmarshal(b, &made) != nil {
			t.Fatalf("%s: %d %s", proto, status, b)
		}
		if got := lookup(); got != 404 {
			t.Errorf("%s: control: %d", proto, got)
		}
		if status, b := ask(s.admin, "DELETE", "/v1/keys/"+made.ID, ""); status != 200 {
			t.Fatalf("%s: %d %s", proto, status, b)
		}
		if got := lookup(); got != 401 {
			t.Errorf("%s: after the key has ended: %d", proto, got)
		}
		if connections != 1 {
			t.Errorf("%s: control: %d connections", proto, connections)
		}
		client.CloseIdleConnections()
	}
}

// What one connection of HTTP/2 may hold is what its settings say: the server's first frame, by RFC 9113, 6.5.
func TestAConnectionOfHTTP2HoldsABoundedNumberOfRequests(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "test")
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := ca.sign(func(*x509.Certificate) {})
	writeFiles(t, map[string][]byte{certFile: cert, keyFile: key})
	s := startServer(t, dir, "--init", "--tls-cert", certFile, "--tls-key", keyFile)
	defer s.stop(t, syscall.SIGTERM)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Fatalf("the connection speaks %q", got)
	}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(c, payload); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is of type %d, %v", head[3], err)
	}
	settings := map[uint16]uint32{}
	for ; len(payload) >= 6; payload = payload[6:] {
		settings[binary.BigEndian.Uint16(payload)] = binary.BigEndian.Uint32(payload[2:])
	}
	const concurrent, window, headers = 3, 4, 6
	if settings[concurrent] != 32 || settings[window] != 128<<10 || settings[headers] == 0 || settings[headers] > 32<<10 {
		t.Errorf("a connection may have %d requests, %d bytes of each body and headers of %d bytes", settings[concurrent], settings[window], settings[headers])
	}
}
