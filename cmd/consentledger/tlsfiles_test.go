package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// served is a listener that goes by certFiles, with a clock of the test's.
type served struct {
	t       *testing.T
	files   *certFiles
	log     bytes.Buffer
	now     time.Time
	address string
	states  chan tls.ConnectionState
	server  *authority
	session tls.ClientSessionCache
}

func serveFiles(t *testing.T, clients []byte) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{t: t, now: time.Now(), states: make(chan tls.ConnectionState, 1), server: newAuthority(t, "servers"), session: tls.NewLRUClientSessionCache(8)}
	s.files = &certFiles{
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), clientCA: filepath.Join(dir, "ca.pem"),
		log: slog.New(slog.NewTextHandler(&s.log, nil)), now: func() time.Time { return s.now },
	}
	s.renew(time.Hour)
	s.authorities(clients)
	config, err := s.files.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = ln.Addr().String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			conn := tls.Server(c, config)
			if err := conn.Handshake(); err != nil {
				s.states <- tls.ConnectionState{}
			} else {
				s.states <- conn.ConnectionState()
				_, _ = io.WriteString(conn, "x")
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	return s
}

// renew puts a new certificate in the place of the old, and says which.
func (s *served) renew(lives time.Duration) (serial int64) {
	serial = s.server.next
	c, k := s.server.sign(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(lives)
	})
	writeFiles(s.t, map[string][]byte{s.files.cert: c, s.files.key: k})
	return serial
}

func (s *served) authorities(pem []byte) { writeFiles(s.t, map[string][]byte{s.files.clientCA: pem}) }

// connect makes a connection after a look at the files. It says what the server saw of the client, and which certificate the
// client saw.
func (s *served) connect(client *tls.Certificate) (state tls.ConnectionState, serial int64) {
	s.t.Helper()
	s.now = s.now.Add(2 * lookEvery)
	pool := x509.NewCertPool()
	pool.AddCert(s.server.cert)
	config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", ClientSessionCache: s.session}
	if client != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }
	}
	c, err := tls.Dial("tcp", s.address, config)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.ReadAll(c) // the ticket for another session comes with what is read
		serial = c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		c.Close()
	}
	return <-s.states, serial
}

func clientOf(t *testing.T, a *authority) *tls.Certificate {
	t.Helper()
	c, k := a.sign(func(c *x509.Certificate) { c.DNSNames = []string{"backend.shop.example"} })
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// A client that keeps its session must not get in by it once its authority is out.
func TestAnAuthorityThatIsTakenOutLetsNoSessionBeResumed(t *testing.T) {
	old, other := newAuthority(t, "old"), newAuthority(t, "other")
	s := serveFiles(t, old.pem())
	client := clientOf(t, old)
	s.connect(client)
	if state, _ := s.connect(client); !state.DidResume || len(state.VerifiedChains) == 0 {
		t.Fatalf("control: resumed %v, %d chains", state.DidResume, len(state.VerifiedChains))
	}
	s.authorities(other.pem())
	for range 3 {
		if state, _ := s.connect(client); len(state.VerifiedChains) != 0 {
			t.Errorf("it is let in: resumed %v, %d chains", state.DidResume, len(state.VerifiedChains))
		}
	}
	if state, _ := s.connect(clientOf(t, other)); len(state.VerifiedChains) == 0 {
		t.Error("control: the new authority's clients are not let in")
	}
}

func TestDamagedAuthoritiesChangeNothing(t *testing.T) {
	one, two := newAuthority(t, "one"), newAuthority(t, "two")
	both := append(one.pem(), two.pem()...)
	s := serveFiles(t, both)
	letIn := func() (n int) {
		for _, a := range []*authority{one, two} {
			s.session = tls.NewLRUClientSessionCache(8)
			if state, _ := s.connect(clientOf(t, a)); len(state.VerifiedChains) > 0 {
				n++
			}
		}
		return n
	}
	if letIn() != 2 {
		t.Fatal("control: both are let in")
	}
	damaged := bytes.Clone(both)
	damaged[len(one.pem())/2] = '!'
	key, _ := two.sign(func(*x509.Certificate) {})
	for name, b := range map[string][]byte{
		"the first of them is damaged": damaged, "the last is cut": both[:len(both)-40], "nothing": nil, "no certificate": []byte("hello"),
		"a key among them": append(bytes.Replace(key, []byte(" CERTIFICATE-"), []byte(" PRIVATE KEY-"), 2), both...),
	} {
		s.authorities(b)
		if n := letIn(); n != 2 {
			t.Errorf("%s: %d of two are let in", name, n)
		}
		if _, err := readAuthorities(s.files.clientCA); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
	s.authorities(one.pem())
	if n := letIn(); n != 1 {
		t.Errorf("control: a whole file with one of them: %d are let in", n)
	}
}

func TestACertificateThatHasRunOutDoesNotReplaceOneThatLives(t *testing.T) {
	s := serveFiles(t, newAuthority(t, "clients").pem())
	_, first := s.connect(nil)
	s.renew(-time.Hour)
	s.session = tls.NewLRUClientSessionCache(8)
	for range 5 {
		if _, serial := s.connect(nil); serial != first {
			t.Errorf("serial %d, want %d", serial, first)
		}
	}
	if n := strings.Count(s.log.String(), "the certificate has run out"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, s.log.String())
	}
	want := s.renew(2 * time.Hour)
	s.session = tls.NewLRUClientSessionCache(8)
	if _, serial := s.connect(nil); serial != want {
		t.Errorf("control: serial %d, want %d", serial, want)
	}
}
